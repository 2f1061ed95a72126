"""Terms below their bound, dead, or drowned, and terms at chance (D11, D12, D24, D25)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from distsys.health.causes import AT_CHANCE, DEAD_TERM, ONE_TERM, RATE_TOO_LOW, UNBOUNDED_TERM
from distsys.health.flight.terms import OneTerm
from distsys.health.verdict import Verdict
from distsys.specs import TermSpec
from tests.health.support import bare_view, found, verdicts_of, with_terms

Tensors = dict[str, torch.Tensor]


@pytest.mark.parametrize("depth", [0.6, 5.0, 1e4])
def test_a_term_below_its_bound_stops(outside: Path, tmp_path: Path, depth: float) -> None:
    domain = with_terms(lambda o, b, t: {**t, "size": o["out"].square().mean() - depth})
    verdicts = verdicts_of(outside, tmp_path, domain=domain)
    assert found(verdicts) == [("stop", UNBOUNDED_TERM.name)]
    assert "declared lower bound 0" in verdicts[0].evidence


def test_a_term_that_rewards_silence_is_seen_when_it_turns_negative(outside: Path, tmp_path: Path) -> None:
    domain = with_terms(lambda o, b, t: {**t, "size": (o["out"].square().mean() + 1e-6).log() + 2.0})
    verdicts = verdicts_of(outside, tmp_path, "final.weights.lambda_size=1.0", domain=domain)
    assert ("stop", UNBOUNDED_TERM.name) in found(verdicts)


@pytest.mark.parametrize("ceiling", [1.0, 1e-3])
def test_a_term_that_is_saturated_for_every_item_stops(outside: Path, tmp_path: Path, ceiling: float) -> None:
    domain = with_terms(lambda o, b, t: {**t, "size": ((o["out"] - 30.0).square()).clamp(max=ceiling).mean() + 0.01})
    (verdict,) = verdicts_of(outside, tmp_path, domain=domain)
    assert (verdict.status, verdict.cause) == ("stop", DEAD_TERM.name)
    assert "100% of items give it no gradient" in verdict.evidence


def test_a_hinge_at_its_floor_and_masked_items_are_healthy(outside: Path, tmp_path: Path) -> None:
    hinge = with_terms(lambda o, b, t: {**t, "size": (o["out"].abs() - 5.0).relu().mean()})
    assert verdicts_of(outside, tmp_path / "a", domain=hinge) == []
    masked = with_terms(lambda o, b, t: {**t, "size": (o["out"].square() * (b["x"] > 0.9)).mean()})
    assert verdicts_of(outside, tmp_path / "b", domain=masked) == []


@pytest.mark.parametrize("scale", [1e5, 1e9])
def test_a_term_in_other_units_takes_all_of_the_gradient(outside: Path, tmp_path: Path, scale: float) -> None:
    domain = with_terms(lambda o, b, t: {"mse": scale * t["mse"], "size": (o["out"] - 0.5).abs().mean()})
    verdicts = verdicts_of(outside, tmp_path, "final.weights.lambda_size=1.0", domain=domain)
    assert ONE_TERM.name in [item.cause for item in verdicts]
    assert "of the gradient norm" in verdicts[0].evidence


def others(o: Tensors, b: Tensors, t: Tensors) -> torch.Tensor:
    """A goal that is not the sine's."""
    return (o["out"] - 3.0 * b["x"]).square().mean()


LONGER = ("final.weights.lambda_size=1.0", "final.steps=600", "final.eval_every_steps=50")


def test_a_term_that_was_drowned_stops_after_the_other_is_learned(outside: Path, tmp_path: Path) -> None:
    domain = with_terms(lambda o, b, t: {"mse": 1e5 * t["mse"], "size": others(o, b, t)})
    (verdict,) = verdicts_of(outside, tmp_path, *LONGER, domain=domain)
    assert (verdict.status, verdict.cause, verdict.onset_step) == ("stop", ONE_TERM.name, 50)
    assert "has not fallen" in verdict.evidence
    assert "mse has 99.8" in verdict.evidence


def test_a_drowned_term_that_falls_all_the_same_is_a_warning(outside: Path, tmp_path: Path) -> None:
    domain = with_terms(lambda o, b, t: {"mse": 1e5 * t["mse"], "size": (o["out"] - b["y"]).abs().mean()})
    assert found(verdicts_of(outside, tmp_path, *LONGER, domain=domain)) == [("warn", ONE_TERM.name)]


def test_goals_of_one_unit_that_do_not_agree_are_healthy(outside: Path, tmp_path: Path) -> None:
    domain = with_terms(lambda o, b, t: {"mse": t["mse"], "size": others(o, b, t)})
    assert ONE_TERM.name not in [item.cause for item in verdicts_of(outside, tmp_path, *LONGER, domain=domain)]


SPECS = {name: TermSpec(name, "1", 0.0) for name in ("large", "small")}


def weighed(check: OneTerm, shares: list[float], values: list[float]) -> list[str]:
    """What is said of ``large`` at the last of some validations, half of a run, where ``small`` has these values."""
    verdicts: Sequence[Verdict] = []
    for number, (share, value) in enumerate(zip(shares, values, strict=True)):
        view = bare_view(step=100 + number, terms={"large": 1.0, "small": value}, weights={"large": 1.0, "small": 1.0},
                         shares={"large": share, "small": 1.0 - share}, term_specs=SPECS)  # fmt: skip
        verdicts = check.look(view)
    return [item.status for item in verdicts]


@pytest.mark.parametrize(
    ("shares", "values", "said"),
    [
        ([0.9998], [1.0], []),
        ([0.9998, 0.9998], [1.0, 1.0], ["stop"]),
        ([0.9998, 0.9998], [1.0, 0.5], ["warn"]),
        ([0.9998, 0.9998, 0.995], [1.0, 1.0, 1.0], ["stop"]),
        ([0.9998, 0.9998, 0.995], [1.0, 1.0, 0.5], []),
        ([0.9998, 0.9998, 0.98], [1.0, 1.0, 1.0], []),
        ([0.995, 0.995, 0.995], [1.0, 1.0, 1.0], []),
        ([0.9998, 0.9998], [0.0, 0.0], []),
        ([0.9998, math.nan, 0.9998], [1.0, 1.0, 1.0], []),
        ([0.9998, 0.9998], [1.0, math.nan], []),
    ],
)
def test_what_is_said_of_a_course_of_shares(shares: list[float], values: list[float], said: list[str]) -> None:
    assert weighed(OneTerm(), shares, values) == said
    first, second = OneTerm(), OneTerm()
    weighed(first, shares[:-1], values[:-1])
    second.load(first.state())
    assert weighed(second, shares[-1:], values[-1:]) == said


def test_a_small_weight_is_a_choice(outside: Path, tmp_path: Path) -> None:
    assert verdicts_of(outside, tmp_path, "final.weights.lambda_size=1e-9") == []


def flat(o: Tensors, b: Tensors, t: Tensors) -> Tensors:
    """A contrast of items that nothing can tell apart."""
    noise = 0.02 * torch.cos(1e4 * o["out"].detach()).mean()
    return {**t, "size": 3.466 + noise + 0.0 * o["out"].mean() + 1e-7 * o["out"].sum()}


def test_a_term_that_stays_at_its_declared_chance_is_a_warning(outside: Path, tmp_path: Path) -> None:
    specs = (TermSpec("mse", "V^2", 0.0), TermSpec("size", "nat", 0.0, chance=3.466))
    verdicts = verdicts_of(outside, tmp_path, "final.steps=300", domain=with_terms(flat, terms=specs))
    assert ("warn", AT_CHANCE.name) in found(verdicts)
    assert "chance 3.466" in next(item.evidence for item in verdicts if item.cause == AT_CHANCE.name)


@pytest.mark.parametrize("rate", ["1e-7", "1e-6"])
def test_a_run_in_which_nothing_moves_is_a_warning(outside: Path, tmp_path: Path, rate: str) -> None:
    verdicts = verdicts_of(outside, tmp_path, f"optimizer.learning_rate={rate}", "final.steps=300")
    assert found(verdicts)[0] == ("warn", RATE_TOO_LOW.name)
    assert all(item.status != "stop" for item in verdicts)
    assert "no term has fallen; a copy on 8 items" in verdicts[0].evidence


def contrast(
    o: dict[str, torch.Tensor], b: dict[str, torch.Tensor], t: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """InfoNCE of outputs and a random key of each item: nothing can be learned of it."""
    key = torch.cos(1e5 * b["x"])
    logits = (o["out"] - key.T).square().neg()
    return {**t, "size": torch.nn.functional.cross_entropy(logits, torch.arange(len(key)))}


def pairing(
    o: dict[str, torch.Tensor], b: dict[str, torch.Tensor], t: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """InfoNCE of outputs and targets, which the network does learn."""
    logits = 30 * (o["out"] - b["y"].T).square().neg()
    return {**t, "size": torch.nn.functional.cross_entropy(logits, torch.arange(len(logits)))}


LONG = ("final.steps=1000", "final.eval_every_steps=500", "final.weights.lambda_size=0.01")


@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_a_contrast_that_cannot_be_learned_is_at_a_chance_nobody_declared(
    outside: Path, tmp_path: Path, scale: float
) -> None:
    domain = with_terms(lambda o, b, t: contrast({"out": scale * o["out"]}, b, t))
    verdicts = verdicts_of(outside, tmp_path, *LONG, domain=domain)
    assert found(verdicts) == [("warn", AT_CHANCE.name)]
    assert "when every item is given another's outputs; a copy on 8 items" in verdicts[0].evidence


def test_a_contrast_that_is_learned_is_healthy(outside: Path, tmp_path: Path) -> None:
    assert verdicts_of(outside, tmp_path, *LONG, domain=with_terms(pairing)) == []
