"""Inputs, steps and learning: every defect at several strengths, and its healthy twin."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from distsys.domains.protocol import FieldSpec
from distsys.health.probes import examine as examining
from distsys.health.probes.bounds import outputs_in_range, outputs_on_bound
from distsys.health.probes.examine import examine
from distsys.health.probes.inputs import inputs_matter, items_are_independent
from distsys.health.probes.order import parameters_learn, step_order
from distsys.health.probes.overfit import eight_items
from distsys.health.verdict import Verdict
from distsys.training.step import Stepper
from tests.health.probes.support import Batch, data, found, model_of, noise_of, patient

FIELDS = (
    FieldSpec("x", "input", "1", -1.0, 1.0),
    FieldSpec("y", "target", "V", -1.0, 1.0),
    FieldSpec("hint", "conditioning", "1"),
)
HINTED = data(lambda batch, indices: {**batch, "hint": noise_of(indices, 1)})


class Gated(nn.Module):
    """A network with a conditioning behind a gate."""

    def __init__(self, gate: float) -> None:
        super().__init__()
        self.body, self.side = nn.Linear(1, 8), nn.Linear(1, 8)
        self.head, self.gate = nn.Linear(8, 1), nn.Parameter(torch.tensor(gate), requires_grad=gate != 0.0)

    def forward(self, x: Tensor, hint: Tensor) -> Tensor:
        return self.head(torch.tanh(self.body(x) + self.gate * self.side(hint)))


def hinted(model: nn.Module, batch: Batch, *, generator: torch.Generator) -> dict[str, Tensor]:
    return {"out": model(batch["x"], batch["hint"])}


def gated(outside: Path, gate: float) -> list[Verdict]:
    parts = {"fields": FIELDS, "build_data": HINTED, "forward": hinted}
    return found(inputs_matter, outside, **parts, build_model=model_of(lambda width: Gated(gate)))


def test_conditioning_behind_a_dead_gate_stops(outside: Path) -> None:
    (verdict,) = gated(outside, 0.0)
    assert (verdict.status, verdict.cause) == ("stop", "an input does nothing")
    assert "'hint' (conditioning) changes the outputs by 0" in verdict.evidence


@pytest.mark.parametrize("gate", [1e-4, 0.1, 1.0])
def test_conditioning_behind_an_open_gate_is_healthy(outside: Path, gate: float) -> None:
    assert gated(outside, gate) == []


def test_a_gate_that_is_zero_at_first_and_learns_is_healthy(outside: Path) -> None:
    def zero(width: int) -> nn.Module:
        model = Gated(1.0)
        nn.init.zeros_(model.gate)
        nn.init.zeros_(model.head.weight)
        return model

    parts = {"fields": FIELDS, "build_data": HINTED, "forward": hinted}
    assert found(inputs_matter, outside, **parts, build_model=model_of(zero)) == []


@pytest.mark.parametrize("rate", [1e-12, 1e-6])
def test_a_gate_that_is_zero_at_first_is_healthy_at_tiny_rates(outside: Path, rate: float) -> None:
    def zero(width: int) -> nn.Module:
        model = Gated(1.0)
        nn.init.zeros_(model.gate)
        return model

    parts = {"fields": FIELDS, "build_data": HINTED, "forward": hinted, "build_model": model_of(zero)}
    assert found(inputs_matter, outside, f"optimizer.learning_rate={rate}", **parts) == []


def test_conditioning_behind_a_saturated_gate_stops(outside: Path) -> None:
    class Saturated(Gated):
        def forward(self, x: Tensor, hint: Tensor) -> Tensor:
            return self.head(torch.tanh(self.body(x) + torch.sigmoid(self.gate - 200.0) * self.side(hint)))

    parts = {"fields": FIELDS, "build_data": HINTED, "forward": hinted}
    (verdict,) = found(inputs_matter, outside, **parts, build_model=model_of(lambda width: Saturated(1.0)))
    assert (verdict.status, verdict.cause) == ("stop", "an input does nothing")


def test_conditioning_that_forward_never_reads_is_a_warning(outside: Path) -> None:
    (verdict,) = found(inputs_matter, outside, fields=FIELDS, build_data=HINTED)
    assert (verdict.status, verdict.evidence) == ("warn", "conditioning 'hint' is never read by forward")


def test_an_input_that_is_multiplied_by_zero_stops(outside: Path) -> None:
    dead = {"forward": lambda model, batch, *, generator: {"out": model(0.0 * batch["x"])}}
    (verdict,) = found(inputs_matter, outside, **dead)
    assert (verdict.status, verdict.cause) == ("stop", "an input does nothing")


@pytest.mark.parametrize(
    "mix",
    [
        lambda out: out - out.mean(dim=0),
        lambda out: out.softmax(dim=0),
        lambda out: out + 1e-2 * out.std(),
        lambda out: out.cumsum(dim=0).flip(0),
    ],
    ids=["mean", "softmax", "weak", "sum"],
)
def test_items_that_look_at_each_other_are_a_warning(outside: Path, mix: Callable[[Tensor], Tensor]) -> None:
    forward = {"forward": lambda model, batch, *, generator: {"out": mix(model(batch["x"]))}}
    (verdict,) = found(items_are_independent, outside, **forward)
    assert (verdict.status, verdict.cause) == ("warn", "items of a batch influence each other")


@pytest.mark.parametrize("place", [0, -1])
def test_one_item_that_all_others_look_at_is_a_warning(outside: Path, place: int) -> None:
    forward = {"forward": lambda model, batch, *, generator: {"out": model(batch["x"]) + model(batch["x"])[place]}}
    (verdict,) = found(items_are_independent, outside, **forward)
    assert (verdict.status, verdict.cause) == ("warn", "items of a batch influence each other")


@pytest.mark.parametrize(("limit", "is_bound"), [(1e-3, True), (0.02, True), (10.0, False)])
def test_outputs_on_a_bound_are_a_warning(outside: Path, limit: float, is_bound: bool) -> None:
    forward = {"forward": lambda model, batch, *, generator: {"out": model(batch["x"]).clamp(-limit, limit)}}
    verdicts = found(outputs_on_bound, outside, **forward)
    assert [(item.status, item.cause) for item in verdicts] == (
        [("warn", "outputs on their bound")] if is_bound else []
    )
    assert all(f"lie exactly on -{limit:g} or {limit:g}" in item.evidence for item in verdicts)


@pytest.mark.parametrize(("shift", "status"), [(3.0, "warn"), (100.0, "warn"), (0.0, "")])
def test_outputs_outside_the_range_of_their_field_are_a_warning(outside: Path, shift: float, status: str) -> None:
    def forward(model: nn.Module, batch: Batch, *, generator: torch.Generator) -> dict[str, Tensor]:
        out = model(batch["x"])
        return {"out": out, "y": torch.tanh(out) + shift}

    verdicts = found(outputs_in_range, outside, forward=forward, fields=FIELDS[:2])
    assert [(item.status, item.cause) for item in verdicts] == (
        [(status, "outputs outside their range")] * bool(status)
    )
    assert all("100% of 'y' outside [-1, 1] V" in item.evidence for item in verdicts)


def test_a_rectifier_is_on_no_bound(outside: Path) -> None:
    forward = {"forward": lambda model, batch, *, generator: {"out": torch.relu(model(batch["x"]) - 0.1)}}
    assert found(outputs_on_bound, outside, **forward) == []


def test_batch_statistics_that_rest_in_evaluation_are_healthy(outside: Path) -> None:
    normed = model_of(lambda width: nn.Sequential(nn.Linear(1, width), nn.BatchNorm1d(width), nn.Linear(width, 1)))
    assert found(items_are_independent, outside, build_model=normed) == []


@pytest.mark.parametrize("limit", [0.01, 0.05])
def test_a_gradient_clipped_before_it_is_complete_stops(
    outside: Path, monkeypatch: pytest.MonkeyPatch, limit: float
) -> None:
    monkeypatch.setattr(Stepper, "_clip", lambda self, norm: None)
    (verdict,) = found(step_order, outside, f"optimizer.grad_clip_norm={limit}")
    assert (verdict.status, verdict.cause) == ("stop", "steps in the wrong order")
    assert f"clipped at {limit:g}" in verdict.evidence


@pytest.mark.parametrize("factor", [1 / 65536, 0.5])
def test_a_gradient_unscaled_twice_stops(outside: Path, monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    update = Stepper._update

    def unscaled(self: Stepper) -> None:
        for item in self._parameters:
            assert item.grad is not None
            item.grad.mul_(factor)
        update(self)

    monkeypatch.setattr(Stepper, "_update", unscaled)
    (verdict,) = found(step_order, outside)
    assert (verdict.status, verdict.cause, verdict.onset_step) == ("stop", "steps in the wrong order", 0)


def test_gradients_that_are_not_cleared_stop(outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.optim.AdamW, "zero_grad", lambda self, set_to_none=True: None)
    (verdict,) = found(step_order, outside)
    assert (verdict.status, verdict.cause, verdict.onset_step) == ("stop", "steps in the wrong order", 1)


@pytest.mark.parametrize("ahead", [1, 5])
def test_a_schedule_ahead_of_the_optimiser_stops(outside: Path, monkeypatch: pytest.MonkeyPatch, ahead: int) -> None:
    rate: Callable[[Stepper], float] = vars(Stepper)["learning_rate"].fget

    def early(self: Stepper) -> float:
        self._stepped += ahead
        found = rate(self)
        self._stepped -= ahead
        return found

    monkeypatch.setattr(Stepper, "learning_rate", property(early))
    (verdict,) = found(step_order, outside, "optimizer.warmup_share=0.1")
    assert (verdict.status, verdict.cause) == ("stop", "schedule ahead of the optimiser")


@pytest.mark.parametrize("more", ["optimizer.grad_clip_norm=0.01", "optimizer.warmup_share=0.1", "precision=bfloat16"])
def test_steps_in_order_are_healthy(outside: Path, more: str) -> None:
    assert found(step_order, outside, more, "model.dropout=0.5") == []


class Cut(nn.Module):
    """A network of which only the last layer is reached by gradients."""

    def __init__(self, cut: bool) -> None:
        super().__init__()
        self.body, self.head, self.cut = nn.Sequential(nn.Linear(1, 8), nn.Linear(8, 8)), nn.Linear(8, 1), cut

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.body(x)
        return self.head(hidden.detach() if self.cut else hidden)


def test_most_parameters_without_gradient_stop(outside: Path) -> None:
    (verdict,) = found(parameters_learn, outside, build_model=model_of(lambda width: Cut(True)))
    assert (verdict.status, verdict.cause) == ("stop", "parameters without gradient")
    assert verdict.evidence == "4 of 6 parameters had no gradient in 4 steps: body.0.weight, body.0.bias, body.1.weight"


def test_frozen_parameters_and_zero_heads_are_healthy(outside: Path) -> None:
    def frozen(width: int) -> nn.Module:
        model = Cut(False)
        model.body.requires_grad_(False)
        return model

    def zero(width: int) -> nn.Module:
        model = Cut(False)
        nn.init.zeros_(model.head.weight)
        nn.init.zeros_(model.head.bias)
        return model

    for make in (frozen, zero):
        assert found(parameters_learn, outside, build_model=model_of(make)) == []


class Stuck(nn.Module):
    """A network whose outputs nothing can move: zeros, or what its input is."""

    def __init__(self, *, is_zero: bool) -> None:
        super().__init__()
        self.layer, self._is_zero = nn.Linear(1, 1), is_zero

    def forward(self, x: Tensor) -> Tensor:
        return 0.0 * self.layer(x) + (0.0 if self._is_zero else x)


@pytest.mark.parametrize(("is_zero", "cause"), [(True, "constant outputs"), (False, "nothing is learned")])
def test_what_cannot_learn_eight_items_is_a_warning(outside: Path, is_zero: bool, cause: str) -> None:
    (verdict,) = found(eight_items, outside, build_model=model_of(lambda width: Stuck(is_zero=is_zero)))
    assert (verdict.status, verdict.cause) == ("warn", cause)


def test_dropout_of_nearly_everything_is_named(outside: Path) -> None:
    hidden = model_of(lambda width: nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1), nn.Dropout(1.0)))
    (verdict,) = found(eight_items, outside, build_model=hidden)
    assert (verdict.status, verdict.cause) == ("warn", "dropout hides what is learned")


def test_a_probe_that_does_not_fit_a_domain_refuses_nothing(outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def raising(patient: object) -> list[Verdict]:
        raise KeyError("graph")

    monkeypatch.setattr(examining, "PROBES", {"one": raising})
    (finding,) = examine(patient(outside))
    assert (finding.status, finding.verdicts, finding.failure) == ("ok", (), "KeyError: 'graph'")


def embedded(width: int) -> nn.Module:
    """A frozen embedding, a zero-initialised head, dropout of half."""
    embedding, head = nn.Linear(1, width), nn.Linear(width, 1)
    embedding.requires_grad_(False)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return nn.Sequential(embedding, nn.Tanh(), nn.Dropout(0.5), head)


@pytest.mark.parametrize("seed", range(5))
def test_harmless_oddities_give_nothing(outside: Path, seed: int) -> None:
    for overrides, parts in (((), {}), ((), {"build_model": model_of(embedded)}), (("model.dropout=0.5",), {})):
        who = patient(outside, f"seed={seed}", *overrides, **parts)
        seen = list(examine(who))
        assert [(item.verdicts, item.failure) for item in seen] == [((), "")] * len(examining.PROBES)
