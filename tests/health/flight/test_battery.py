"""Why a term stays at chance: the battery names rate, dropout, data or model, once a run, and changes nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from distsys.config import reuse
from distsys.health.causes import (
    AT_CHANCE,
    CANNOT_LEARN,
    CONSTANT_OUTPUT,
    DROPOUT,
    RATE_TOO_HIGH,
    RATE_TOO_LOW,
    UNRELATED_TARGETS,
)
from distsys.health.check import Update, View
from distsys.health.flight.battery import NOT_ASKED, Battery
from distsys.health.flight.progress import NothingMoves
from distsys.health.verdict import Verdict
from distsys.specs import TermSpec
from tests.health.probes.support import Batch, Change, data, noise_of
from tests.health.support import Altered, bare_view, found, judged, make_run, verdicts_of

MSE = {"mse": TermSpec("mse", "V^2", 0.0)}


def patterns(size: int = 64) -> Batch:
    """Items that differ in every value, and targets that are noise."""
    return {"x": noise_of(range(size), 32), "y": noise_of(range(size), 1, seed=1)}


def network(*first: nn.Module) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(*first, nn.Linear(32, 64), nn.Tanh(), nn.Linear(64, 1))


def square(model: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {"mse": (model(batch["x"]) - batch["y"]).square().mean()}


def view_of(model: nn.Module, *, moved: float = 1.0, rate: float = 1e-2, **parts: Any) -> View:
    """A step of ``model`` whose weights have moved by ``moved`` of their size."""
    start = {name: item.detach().flatten() * (1.0 + moved) for name, item in model.named_parameters() if item.dim() > 1}
    usual = {"batch": patterns(), "terms": {"mse": 1.0}, "weights": {"mse": 1.0}, "term_specs": MSE}
    return bare_view(model=model, start=start, learning_rate=rate, **{**usual, **parts})


def answer(model: nn.Module, terms: Any = square, *, term: str = "mse", **view: Any) -> Verdict:
    """What the battery says of ``model``."""
    found = Battery(terms).why(view_of(model, **view), term)
    assert found is not None
    return found


@pytest.mark.parametrize("dropout", [0.0, 0.1, 0.3])
def test_items_that_are_learned_by_heart_point_at_the_data(dropout: float) -> None:
    found = answer(network(nn.Dropout(dropout)))
    assert (found.cause, found.fix) == (UNRELATED_TARGETS.name, UNRELATED_TARGETS.fix)
    assert "a copy on 8 items goes" in found.evidence
    assert ("with dropout" in found.evidence) == (dropout > 0)


@pytest.mark.parametrize("dropout", [0.97, 0.99, 1.0])
def test_items_that_are_learned_without_dropout_alone_point_at_it(dropout: float) -> None:
    found = answer(network(nn.Dropout(dropout)))
    assert found.cause == DROPOUT.name
    assert "without dropout, " in found.evidence


class Scaled(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


@pytest.mark.parametrize("part", [Scaled(0.0), Scaled(1e-9), nn.Threshold(1e9, 0.0)])
def test_items_that_no_copy_learns_point_at_the_model(part: nn.Module) -> None:
    found = answer(nn.Sequential(network(), part))
    assert found.cause == CANNOT_LEARN.name
    assert "goes 0% of the way" in found.evidence


@pytest.mark.parametrize("rate", [0.0, 1e-7, 1e-5])
def test_weights_that_do_not_move_at_the_rate_of_the_run_point_at_it(rate: float) -> None:
    found = answer(network(), moved=1e-3, rate=rate)
    assert found.cause == RATE_TOO_LOW.name
    assert found.fix.startswith("raise optimizer.learning_rate")
    assert "has moved by 0.10% of its size" in found.evidence


def test_a_step_that_was_skipped_has_the_rate_of_its_schedule() -> None:
    skipped = Update(False, math.nan, math.nan, None, math.nan, 1e-6, (), frozenset())
    assert "at a rate of 0.003, 0% at 1e-06" in answer(network(), moved=1e-3, update=skipped).evidence


def test_large_weights_that_hardly_move_clear_a_rate_at_which_a_copy_learns() -> None:
    assert answer(network(), moved=1e-3, rate=1e-2).cause == UNRELATED_TARGETS.name


@pytest.mark.parametrize("rate", [3.0, 100.0])
def test_a_rate_at_which_no_copy_learns_is_too_high(rate: float) -> None:
    found = answer(network(), rate=rate)
    assert found.cause == RATE_TOO_HIGH.name
    assert f"at a rate of 0.003, 0% at {rate:.2g}" in found.evidence


def test_a_goal_that_is_neither_reached_nor_out_of_reach_has_no_cause() -> None:
    wide = {"mse": TermSpec("mse", "V^2", -3.0)}
    found = answer(network(), term_specs=wide)
    assert found.cause == ""
    assert "of the way to mse's bound in 60 steps" in found.evidence


def paired(model: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A term that only the ninth item and later ones have a part in."""
    later = (torch.arange(len(batch["x"])) >= 8).float()[:, None]
    return {"mse": ((model(batch["x"]) - batch["y"]).square() * later).mean()}


def test_a_handful_that_a_term_asks_nothing_of_is_made_larger() -> None:
    assert "on 32 items" in answer(network(), paired).evidence
    nothing = answer(network(), lambda model, batch: {"mse": 0.0 * model(batch["x"]).mean()})
    assert (nothing.cause, nothing.evidence) == ("", "no few items hold what the term asks for")


def test_a_value_that_is_not_finite_says_nothing() -> None:
    assert answer(network(), lambda model, batch: {"mse": square(model, batch)["mse"] * torch.nan}).cause == ""


def test_a_model_that_cannot_be_run_apart_leaves_what_its_weights_say() -> None:
    def refuse(model: nn.Module, batch: Any) -> Any:
        raise RuntimeError("only in the loop")

    assert answer(network(), refuse).evidence == "a copy of the model could not be trained (RuntimeError)"
    assert answer(network(), refuse, moved=0.0).cause == RATE_TOO_LOW.name


def test_a_recurrent_model_with_dropout_of_its_own() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.cells, self.out = nn.GRU(4, 32, num_layers=2, dropout=0.9999, batch_first=True), nn.Linear(32, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.cells(x.unflatten(1, (8, 4)))[0][:, -1])

    assert answer(Recurrent()).cause == DROPOUT.name


def test_it_is_asked_once_and_remembers_through_a_checkpoint() -> None:
    calls: list[int] = []

    def counted(model: nn.Module, batch: Any) -> Any:
        calls.append(1)
        return square(model, batch)

    model = network()
    battery, view = Battery(counted), view_of(model)
    assert battery.state()["answer"] == NOT_ASKED.content()
    first, count = battery.why(view, "mse"), len(calls)
    assert 0 < count <= 180
    assert battery.why(view, "mse") == first == battery.why(view)
    assert battery.why(view, "other") is None
    other = Battery(counted)
    other.load(battery.state())
    assert other.why(view, "mse") == first
    assert len(calls) == count


def test_model_gradients_buffers_and_random_states_are_left_alone() -> None:
    model = network(nn.BatchNorm1d(32), nn.Dropout(0.5))
    square(model, patterns())["mse"].backward()
    before = [item.clone() for item in [*model.state_dict().values(), *(p.grad for p in model.parameters())]]
    random = torch.get_rng_state()
    answer(model)
    after = [*model.state_dict().values(), *(item.grad for item in model.parameters())]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert torch.equal(random, torch.get_rng_state())
    assert all(module.training for module in model.modules())


def shuffled(batch: dict[str, Tensor], indices: Any) -> Batch:
    return {**batch, "y": noise_of(indices, 1).clamp(-1.0, 1.0)}


class Waves(nn.Module):
    """Sines of many frequencies, from which any few items can be told apart."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.first, self.dropout, self.last = nn.Linear(1, 256), nn.Dropout(dropout), nn.Linear(256, 1)
        nn.init.uniform_(self.first.weight, -20.0, 20.0)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.last(self.dropout(torch.sin(self.first(x))))
        return found


def waves(change: Change = shuffled, **parts: Any) -> Altered:
    """The sine with such a network, on changed items."""
    reuse.forget()
    made = data(change, frozen=False)
    return Altered(
        build_data=lambda original, config, *, seed: made(config, seed=seed),
        build_model=lambda original, config, statistics: Waves(config.model.dropout),
        **parts,
    )


LONG = ("final.steps=400", "final.eval_every_steps=200", "batch_size=512", "health.every=10")


@pytest.mark.parametrize("dropout", ["0.0", "0.5"])
def test_shuffled_targets_are_named_whatever_shows_them(outside: Path, tmp_path: Path, dropout: str) -> None:
    verdicts = verdicts_of(outside, tmp_path, *LONG, f"model.dropout={dropout}", domain=waves())
    assert verdicts[0].cause in (CONSTANT_OUTPUT.name, AT_CHANCE.name)
    assert UNRELATED_TARGETS.name in verdicts[0].evidence
    assert verdicts[0].fix == UNRELATED_TARGETS.fix


def test_when_nothing_at_all_is_learned_the_cause_is_the_verdict(outside: Path, tmp_path: Path) -> None:
    off = ("final.weights.lambda_size=0.0", "health.checks.constant_outputs=off", "model.dropout=0.3")
    verdicts = verdicts_of(outside, tmp_path, *LONG, *off, domain=waves())
    assert found(verdicts) == [("warn", UNRELATED_TARGETS.name)]
    assert "when every item is given another's outputs; a copy on 8 items" in verdicts[0].evidence


def test_related_targets_are_healthy(outside: Path, tmp_path: Path) -> None:
    assert verdicts_of(outside, tmp_path, *LONG, domain=waves(lambda batch, indices: batch)) == []


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_in_which_it_was_asked_ends_with_the_same_weights(outside: Path, tmp_path: Path, precision: str) -> None:
    ended = []
    for name, setting in (("a", "health.on=true"), ("b", "health.on=false")):
        overrides = (*LONG, setting, "model.dropout=0.3", f"precision={precision}")
        run = make_run(outside, tmp_path / name, *overrides, domain=waves())
        judged(run)
        ended.append((run._stepper.model.state_dict(), torch.get_rng_state(), run._monitor.state()["battery"]))
    assert ended[0][2]["answer"]["cause"] == UNRELATED_TARGETS.name
    assert ended[1][2]["answer"] == NOT_ASKED.content()
    assert all(torch.equal(ended[0][0][name], ended[1][0][name]) for name in ended[0][0])
    assert torch.equal(ended[0][1], ended[1][1])


def test_a_run_that_is_cut_asks_no_second_time(outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut = make_run(outside, tmp_path, *LONG, "model.dropout=0.3", domain=waves())
    next(cut.validations())
    assert cut._monitor.state()["battery"]["answer"]["cause"] == UNRELATED_TARGETS.name
    resumed = make_run(outside, tmp_path, *LONG, "model.dropout=0.3", domain=waves())
    assert resumed._monitor.state() == cut._monitor.state()
    asked: list[int] = []
    monkeypatch.setattr(Battery, "_asked", lambda *args: asked.append(1))
    assert UNRELATED_TARGETS.name in judged(resumed)[0].evidence
    assert asked == []


def test_a_steep_start_is_a_fall_however_much_it_scatters() -> None:
    check = NothingMoves()
    verdicts: list[Verdict] = []
    for step, value in enumerate([25.0, 9.0, 4.0, 2.0, 1.0, 0.9, 0.8, 0.7, *[1e-3] * 8], start=1):
        view = view_of(network(), moved=1e-3, step=step, planned_steps=16, terms={"mse": value})
        verdicts = list(check.look(view))
    assert verdicts == []
