"""Twenty steps of every shipped domain: a change of code that means to change nothing reproduces them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from distsys.config.layers import read_layers
from distsys.config.validate import config_type, validate_layers
from distsys.domains.registry import get_domain
from distsys.tracking.spool import RunRecord, Spool, read_metrics
from distsys.training.context import FitContext, keep_quiet
from distsys.training.loop import fit
from distsys.training.spec import RunSpec
from distsys.training.workers import Workers, pick_device

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).with_name("golden.json")
SETTINGS = {
    "ground_motion": (
        "data.synthetic_events=12",
        "data.synthetic_stations=1",
        "model.channels=8",
        "model.blocks=2",
    ),
    "ris_localization": ("data.num_x=4", "data.num_y=4", "data.validation_scenes=20", "data.test_scenes=20"),
    "speaker_extraction": (
        "data.synthetic_speakers=12",
        "data.synthetic_s=4.0",
        "data.mixture_s=0.5",
        "data.enrolment_s=0.5",
        "data.validation_items=20",
        "data.test_items=20",
        "model.width=8",
        "model.hidden=6",
        "model.mask_hidden=12",
    ),
    "semantic_eq": ("data.num_synthetic=600", "data.held_out_rows=60"),
}
TOLERANCE = 2e-3
"""Relative; sums in another order on another processor move the last digits, and 20 steps enlarge them."""


def losses(name: str, folder: Path) -> list[float]:
    """Training losses of steps 1 to 20."""
    overrides = ("batch_size=32", "final.steps=20", "final.eval_every_steps=1", *SETTINGS[name])
    domain = get_domain(name)
    layers = read_layers(ROOT / "configs" / f"{name}.yaml", preset="demo", overrides=overrides)
    spec = RunSpec(validate_layers(layers, config_type(domain.config)), "final")
    spool = Spool.open(folder, RunRecord("train", "golden", None, {}, {}))
    fit(FitContext(spec, domain, folder, Workers(pick_device("cpu")), spool, keep_quiet))
    return [line.metrics["train_loss"] for line in read_metrics(folder)]


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_twenty_steps_are_what_they_were(name: str, tmp_path: Path) -> None:
    found = losses(name, tmp_path)
    if "DISTSYS_WRITE_GOLDEN" in os.environ:
        stored = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
        GOLDEN.write_text(json.dumps({**stored, name: found}, indent=1) + "\n")
    assert len(found) == 20
    assert found == pytest.approx(json.loads(GOLDEN.read_text())[name], rel=TOLERANCE)
    assert sum(found[-5:]) < sum(found[:5])
