"""The doctor on the shipped domains: nothing on healthy ones, the cause where a defect of their past is put back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from distsys.config.layers import read_layers
from distsys.config.validate import config_type, validate_layers
from distsys.domains.ground_motion.model import preconditioning
from distsys.domains.ground_motion.model.member import Member
from distsys.domains.registry import get_domain
from distsys.domains.ris_localization.data.scenes import SceneSource
from distsys.domains.semantic_eq.data.bundle import RecombiningSource, Rows
from distsys.domains.speaker_extraction.model import losses as speech_losses
from distsys.domains.speaker_extraction.model import network as speech
from distsys.health.verdict import Verdict
from distsys.pipeline.doctor import diagnosed
from distsys.signals.levels import energy_db
from tests.training.test_golden import ROOT, SETTINGS

PatchedWith = pytest.MonkeyPatch


def verdicts(name: str, *overrides: str, seed: int = 0) -> list[Verdict]:
    """What the doctor finds in a small experiment of a shipped domain."""
    domain = get_domain(name)
    size = "4" if name == "speaker_extraction" else "32"
    given = (f"batch_size={size}", f"seed={seed}", "device=cpu", *SETTINGS[name], *overrides)
    layers = read_layers(ROOT / "configs" / f"{name}.yaml", preset="demo", overrides=given)
    found = diagnosed(domain, validate_layers(layers, config_type(domain.config)))
    assert [item.failure for item in found.findings if item.failure] == []
    return found.verdicts


SLOW = pytest.mark.slow
NAMES = [pytest.param(name, marks=SLOW) if name == "ground_motion" else name for name in sorted(SETTINGS)]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", NAMES)
def test_shipped_domains_are_healthy(name: str, seed: int) -> None:
    assert verdicts(name, seed=seed) == []


@pytest.mark.slow
@pytest.mark.parametrize("route", ["envelope", "complement", "broadband"])
def test_every_way_of_diffusing_is_healthy(route: str) -> None:
    assert verdicts("ground_motion", f"model.route={route}", "model.diffusion.steps=4") == []


def test_a_variational_equaliser_is_healthy() -> None:
    weights = ("search.weights.lambda_kl=0.001", "final.weights.lambda_kl=0.001")
    assert verdicts("semantic_eq", "model.variant=vae", *weights) == []


def stops(found: list[Verdict]) -> list[str]:
    return [item.cause for item in found if item.status == "stop"]


@pytest.mark.slow
def test_noise_levels_of_sampling_outside_those_of_training(monkeypatch: PatchedWith) -> None:
    monkeypatch.setattr(preconditioning, "_EVEN_SHARE", 0.0)
    monkeypatch.setattr(preconditioning, "_LOG_SPREAD", 0.3)
    found = verdicts("ground_motion", "model.route=envelope", "model.diffusion.steps=8")
    assert stops(found) == ["sampling visits noise levels that training never saw"]


@pytest.mark.slow
@pytest.mark.parametrize("size", [0.2, 1.0])
def test_samples_that_lose_what_is_given(monkeypatch: PatchedWith, size: float) -> None:
    whole = Member.sample

    def unguarded(self: Member, given: torch.Tensor, *args: Any, **more: Any) -> torch.Tensor:
        return whole(self, given, *args, **more) - size * given[:, None]

    monkeypatch.setattr(Member, "sample", unguarded)
    found = verdicts("ground_motion")
    assert set(stops(found)) == {"a constraint holds in training alone"}
    assert "low_frequency_error = " in found[0].evidence


@pytest.mark.parametrize("share", [1e-3, 0.5])
def test_a_target_that_was_made_of_noisy_snapshots(monkeypatch: PatchedWith, share: float) -> None:
    clean = SceneSource.batch

    def circular(self: SceneSource, indices: Any, *, progress: float) -> dict[str, torch.Tensor]:
        batch = dict(clean(self, indices, progress=progress))
        noisy = batch["snapshots"].real.mean(dim=(1, 2)).clamp(-0.9, 0.9)[:, None, None]
        return {**batch, "uvq": (1 - share) * batch["uvq"] + share * noisy}

    monkeypatch.setattr(SceneSource, "batch", circular)
    assert "the target depends on the noise" in stops(verdicts("ris_localization"))


def patched_forward(monkeypatch: PatchedWith, change: Callable[[Any, Any], tuple[Any, Any]]) -> None:
    forward = speech.Extractor.forward

    def changed(self: Any, mixture: Any, enrolment: Any, **more: Any) -> Any:
        return forward(self, *change(mixture, enrolment), **more)

    monkeypatch.setattr(speech.Extractor, "forward", changed)


def test_an_enrolment_that_is_set_to_zero(monkeypatch: PatchedWith) -> None:
    patched_forward(monkeypatch, lambda mixture, enrolment: (mixture, 0.0 * enrolment))
    found = verdicts("speaker_extraction")
    assert stops(found) == ["an input does nothing"]
    assert "'enrolment' (conditioning)" in found[0].evidence


def test_an_energy_of_absent_targets_without_a_floor(monkeypatch: PatchedWith) -> None:
    def unbounded(estimate: Any, *, reference_db: Any, target_db: float, present: Any) -> Any:
        return speech_losses._over_all(energy_db(estimate), ~present)

    monkeypatch.setattr(speech_losses, "ta_energy_loss", unbounded)
    (verdict, *_) = verdicts("speaker_extraction", "data.ta_share=0.5")
    assert (verdict.status, verdict.cause) == ("stop", "a term falls below its bound")
    assert verdict.evidence.startswith("ta_energy = -")


def test_speech_without_an_anchor_of_its_level() -> None:
    names = ("lambda_ta_energy", "lambda_amp", "lambda_phase")
    weights = [f"{phase}.weights.{name}=0.0" for phase in ("search", "final") for name in names]
    found = verdicts("speaker_extraction", *weights)
    assert stops(found) == ["nothing holds the scale of outputs"]
    assert "rms_ratio goes from" in found[0].evidence


def test_settings_of_the_equaliser_under_one_scale(monkeypatch: PatchedWith) -> None:
    batch = Rows.batch
    size = torch.tensor([1.0, 1e-3, 1.0, 1e-3, 1e-4, 1.0, 1e-3, 1e-4, 1.0, 1e-3, 1e-4, 1.0, 1e-3])
    monkeypatch.setattr(Rows, "batch", lambda self: {**batch(self), "u": batch(self)["u"] * size})
    items = RecombiningSource.batch
    monkeypatch.setattr(
        RecombiningSource,
        "batch",
        lambda self, indices, *, progress: {
            **items(self, indices, progress=progress),
            "u": items(self, indices, progress=progress)["u"] * size,
        },
    )
    assert "one scale for different units" in [item.cause for item in verdicts("semantic_eq")]
