"""What is exported gives the model's output in a process that never saw the model, or is refused."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import pytest
import torch

from distsys.config.layers import read_layers
from distsys.config.validate import config_type, validate_layers
from distsys.domains.protocol import Program
from distsys.domains.registry import get_domain
from distsys.errors import RunFailed, UsageError
from distsys.training import program as module
from distsys.training.assess import Loaded
from distsys.training.checkpoint import Checkpoint
from distsys.training.spec import RunSpec
from tests.training.test_golden import ROOT, SETTINGS

DOMAINS = ("ground_motion", "ris_localization", "semantic_eq", "speaker_extraction")
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


class _AtNoStep(Checkpoint):
    step = 0


def loaded(name: str) -> Loaded:
    """A model that was never trained, as a checkpoint would give it."""
    domain = get_domain(name)
    layers = read_layers(ROOT / "configs" / f"{name}.yaml", preset="demo", overrides=SETTINGS[name])
    spec = RunSpec(validate_layers(layers, config_type(domain.config)), "final")
    bundle = domain.build_data(spec.config, seed=0)
    torch.manual_seed(0)
    model = domain.build_model(spec.config, bundle.statistics).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # some begin at 0, where everything gives the same
            parameter.add_(0.02 * torch.randn_like(parameter))
    source: Any = object.__new__(_AtNoStep)
    return Loaded(spec, domain, model, source)


@pytest.mark.parametrize("name", DOMAINS)
def test_torchscript_of_every_domain(name: str) -> None:
    made = loaded(name)
    content = module.export(made, ".pt")
    extra = {module.ABOUT: ""}
    program = torch.jit.load(io.BytesIO(content), _extra_files=extra)
    about = json.loads(extra[module.ABOUT])
    assert about["domain"] == name
    given: Program = made.domain.program(made.model)  # type: ignore[attr-defined]
    assert list(about["inputs"]) == list(given.inputs)
    with torch.no_grad():
        found, wanted = program(*given.check.values()), given.module(*given.check.values())
    for one, other in zip(*(item if isinstance(item, tuple) else (item,) for item in (found, wanted)), strict=True):
        assert float((one - other).abs().max()) <= given.tolerance * float(other.abs().max())
    assert next(made.model.parameters()).requires_grad  # the model itself is as it was


def test_onnx_says_what_its_words_are() -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    made = loaded("semantic_eq")
    model = onnx.load_from_string(module.export(made, ".onnx"))
    (about,) = [json.loads(item.value) for item in model.metadata_props if item.key == "about"]
    assert about["words"] == made.domain.program(made.model).about["words"]  # type: ignore[attr-defined]
    assert about["inputs"]["setting"] == "float32 [items, 13]"


def test_a_form_that_there_is_not() -> None:
    made = loaded("ris_localization")
    with pytest.raises(UsageError, match="complex matrices"):
        module.export(made, ".onnx")
    with pytest.raises(UsageError, match="no format"):
        module.export(made, ".zip")


def test_a_program_that_gives_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    made = loaded("semantic_eq")
    true = made.domain.program(made.model.requires_grad_(False))  # type: ignore[attr-defined]

    class Once(torch.nn.Module):
        """Remembers how many items it was traced with."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = true.module

        def forward(self, setting: torch.Tensor, word: torch.Tensor, amount: torch.Tensor) -> Any:
            moved, latent = self.inner(setting, word, amount)
            return moved * (1.0 + 0.01 * float(len(setting) == len(true.inputs["setting"]))), latent

    monkeypatch.setattr(type(made.domain), "program", lambda self, model: replace(true, module=Once()))
    with pytest.raises(RunFailed, match="'moved' of what was exported differs"):
        module.export(made, ".pt")
