"""What went wrong in the project that this domain comes from, rebuilt in miniature."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from distsys.config.layers import read_layers
from distsys.config.validate import config_type, validate_layers
from distsys.domains.registry import get_domain
from distsys.domains.semantic_eq.model.network import SettingAutoencoder
from distsys.health.causes import OUT_OF_BOUNDS
from distsys.training.context import FitContext
from distsys.training.evaluate import Validation
from distsys.training.loop import Run
from distsys.training.spec import RunSpec
from distsys.training.workers import Workers, pick_device
from tests.training.test_golden import ROOT, SETTINGS


def trained(folder: Path, *overrides: str) -> Validation:
    """The last of two validations of 64 steps."""
    domain = get_domain("semantic_eq")
    base = ("batch_size=32", "model.width=32", "final.steps=64", "final.eval_every_steps=32", "cpu_threads=1")
    layers = read_layers(
        ROOT / "configs" / "semantic_eq.yaml", preset="demo", overrides=(*base, *SETTINGS["semantic_eq"], *overrides)
    )
    spec = RunSpec(validate_layers(layers, config_type(domain.config)), "final")
    *_, last = Run(FitContext(spec, domain, folder, Workers(pick_device("cpu")), None)).validations()
    return last


@pytest.mark.parametrize("beyond", [1.01, 3.0, 80.0])
def test_a_decoder_that_leaves_its_bounds_is_named_and_not_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beyond: float
) -> None:
    def unbounded(self: Any, activation: Tensor) -> Tensor:
        return beyond + activation.sigmoid()

    monkeypatch.setattr(SettingAutoencoder, "bound", unbounded)
    last = trained(tmp_path)
    assert (last.verdicts[0].status, last.verdicts[0].cause) == ("stop", OUT_OF_BOUNDS.name)
    assert "100% of 'u' outside [0, 1] 1, the worst by" in last.verdicts[0].evidence
    assert last.metrics["in_bounds_fraction"] == 0.0


def test_a_few_values_beyond_are_a_matter_of_the_constraint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SettingAutoencoder, "bound", lambda self, activation: 1.2 * torch.sigmoid(activation))
    last = trained(tmp_path)
    assert OUT_OF_BOUNDS.name not in [item.cause for item in last.verdicts]
    assert 0.0 < last.metrics["in_bounds_fraction"] < 1.0


@pytest.mark.parametrize("heads", ["clamp", "seed"])
def test_bounded_heads_are_healthy(tmp_path: Path, heads: str) -> None:
    last = trained(tmp_path, f"model.heads={heads}")
    assert OUT_OF_BOUNDS.name not in [item.cause for item in last.verdicts]
    assert last.metrics["in_bounds_fraction"] == 1.0
