"""The example keeps the contract; variants of it that break a promise are told which, and why."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from distsys.domains.protocol import Baseline, Batch, DataBundle, EvalSet, FieldSpec
from distsys.testing.check import check, tried
from distsys.testing.contract import DomainContract
from distsys.testing.promises import PROMISES
from distsys.testing.subject import Overfit, Subject
from tests.outside import importable, install_package

EXAMPLE = Path(__file__).parents[2] / "examples" / "time_delay"
SMALL = ("data.num_held_out=64", "model.width=16")
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The example's package, installed."""
    site = tmp_path_factory.mktemp("site")
    install_package(EXAMPLE, site)
    with importable(site):
        import time_delay

        yield time_delay


@pytest.mark.usefixtures("example")
class TestContract(DomainContract):
    domain_name = "time_delay"
    overrides = SMALL
    overfit = Overfit("delay", share=0.5)


def test_it_is_short() -> None:
    code = (EXAMPLE / "time_delay" / "__init__.py").read_text()
    assert len([line for line in code.splitlines() if line.strip()]) <= 120


def test_a_known_delay_is_found_by_plain_correlation(example: ModuleType) -> None:
    quiet = example.Data(snr_db=40.0)
    batch = example.Frames(0, quiet).batch(range(50), progress=0.0)
    found = example.LAGS_US[example.correlation(example.cross_spectrum(batch["frames"])).argmax(dim=1)]
    assert (found - batch["delay_us"]).abs().max() < 20.0


@pytest.mark.usefixtures("example")
@pytest.mark.parametrize("preset", ["demo", "laptop"])
def test_its_config_and_search_space_are_found_by_its_bare_name(distsys: Call, preset: str) -> None:
    code, out, err = distsys("config", "time_delay", "--preset", preset, "--set", SMALL[0], "--check")
    assert code == 0, err
    assert "search space fit" in out


class Neighbourly:
    """Items less the mean of their batch."""

    def __init__(self, source: Any) -> None:
        self.source = source

    def batch(self, indices: Sequence[int], *, progress: float) -> Batch:
        batch = self.source.batch(indices, progress=progress)
        return {**batch, "frames": batch["frames"] - batch["frames"].mean(dim=0)}


class Shut:
    """Items that cannot be handed to another process."""

    def __init__(self, source: Any) -> None:
        self.batch = lambda indices, *, progress: source.batch(indices, progress=progress)


def with_source(wrap: Callable[[Any], Any]) -> dict[str, Any]:
    def build_data(self: Any, config: Any, *, seed: int) -> DataBundle:
        bundle = super(type(self), self).build_data(config, seed=seed)
        return replace(bundle, train=wrap(bundle.train))

    return {"build_data": build_data}


def one_set(self: Any, config: Any, *, seed: int) -> DataBundle:
    bundle = super(type(self), self).build_data(config, seed=seed)
    return replace(bundle, test=bundle.validation)


def below(self: Any, outputs: Batch, batch: Batch, *, config: Any) -> Mapping[str, torch.Tensor]:
    terms = super(type(self), self).loss_terms(outputs, batch, config=config)
    return {**terms, "entropy": terms["entropy"] - 9.0}


def misspelt(self: Any, outputs: Batch, batch: Batch, *, config: Any) -> Mapping[str, torch.Tensor]:
    return {"delay": outputs["dealy"], "entropy": outputs["log_share"]}


def detached(self: Any, model: Any, batch: Batch, *, generator: torch.Generator) -> Batch:
    outputs = super(type(self), self).forward(model, batch, generator=generator)
    return {name: value.detach() for name, value in outputs.items()}


def noisy(self: Any, model: Any, batch: Batch, *, generator: torch.Generator) -> Batch:
    louder = {**batch, "frames": batch["frames"] + torch.randn_like(batch["frames"])}
    return super(type(self), self).forward(model, louder, generator=generator)


def spare(self: Any, config: Any, statistics: Any) -> torch.nn.Module:
    model = super(type(self), self).build_model(config, statistics)
    model.spare = torch.nn.Linear(2, 2)
    return model


def drawn(self: Any, model: Any, data: EvalSet) -> Any:
    torch.default_generator.seed()
    found = super(type(self), self).evaluate(model, data)
    items = found.items + torch.rand(1).numpy()
    return replace(found, metrics={**found.metrics, "delay_mae_us": float(items.mean())}, items=items)


def no_trivial(self: Any, config: Any, bundle: DataBundle, data: EvalSet) -> dict[str, Baseline]:
    rows = super(type(self), self).baselines(config, bundle, data)
    return {name: row for name, row in rows.items() if row.kind != "trivial"}


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "fields_are_those_of_a_batch": (
        {"fields": (FieldSpec("frames", "noisy input", "Pa"),)},
        "a batch holds ['delay_us', 'frames'], fields declare ['frames']",
    ),
    "terms_are_as_declared": ({"loss_terms": below}, "below its bound 0"),
    "gradients_reach_every_parameter": ({"forward": detached}, "no term's gradient reaches any parameter"),
    "items_are_a_function_of_their_index": (
        with_source(Neighbourly),
        "'frames' of an item depends on which others are in its batch",
    ),
    "sets_are_frozen": ({"build_data": one_set}, "validation and test set hold the same items"),
    "data_can_be_handed_on": (with_source(Shut), "cannot be pickled"),
    "randomness_comes_from_the_generator": ({"forward": noisy}, "other outputs for the same generator"),
    "evaluation_can_be_repeated": ({"evaluate": drawn}, "evaluated twice, delay_mae_us differ"),
    "baselines_stand_beside_the_model": ({"baselines": no_trivial}, "no baseline of kind 'trivial'"),
    "figures_can_be_read": ({"figures": lambda self, model, data, evaluation: {}}, "figures gives none"),
}


def broken(example: ModuleType, members: dict[str, Any]) -> Subject:
    """The example with some members replaced, under test."""
    subject = Subject("time_delay", overrides=SMALL)
    subject.__dict__["domain"] = type("BrokenDelay", (example.TimeDelay,), members)()
    return subject


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_promise_is_named_with_what_breaks_it(example: ModuleType, name: str) -> None:
    members, why = BROKEN[name]
    (promise,) = (item for item in PROMISES if item.__name__ == name)
    finding = tried(promise, broken(example, members))
    assert finding.promise == name
    assert why in finding.why


def test_a_parameter_that_nothing_uses_is_named(example: ModuleType) -> None:
    (promise,) = (item for item in PROMISES if item.__name__ == "gradients_reach_every_parameter")
    finding = tried(promise, broken(example, {"build_model": spare}))
    assert finding.why == "no term's gradient reaches the parameter 'spare.weight'"


def test_every_promise_is_tried_after_one_that_raises(example: ModuleType) -> None:
    found = list(check(broken(example, {"loss_terms": misspelt})))
    assert [item.promise for item in found] == [item.__name__ for item in PROMISES]
    kept = {item.promise: item.kept for item in found}
    assert not kept["terms_are_as_declared"]
    assert kept["sets_are_frozen"]
    assert kept["figures_can_be_read"]
    assert any(item.why.startswith("KeyError: 'dealy'") for item in found)


def test_an_error_in_the_domains_own_code_comes_with_its_line(example: ModuleType) -> None:
    def wide(self: Any, config: Any, statistics: Any) -> torch.nn.Module:
        return example.LearnedWeighting("wide")

    (promise,) = (item for item in PROMISES if item.__name__ == "terms_are_as_declared")
    subject = Subject("time_delay", overrides=SMALL)
    subject.domain.build_model = wide.__get__(subject.domain)  # type: ignore[method-assign]
    finding = tried(promise, subject)
    assert finding.why.startswith("TypeError: ")
    assert "(__init__.py, line " in finding.why


def test_the_command_prints_a_line_a_promise_that_fits_a_terminal(
    example: ModuleType, distsys: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty = type("BrokenDelay", (example.TimeDelay,), {"loss_terms": below})
    monkeypatch.setattr("distsys.testing.subject.get_domain", lambda name: faulty())
    settings = [part for item in SMALL for part in ("--set", item)]
    code, out, _ = distsys("check-domain", "time_delay", *settings)
    assert code == 1
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "kept    fields are those of a batch"
    assert lines[1].startswith("BROKEN  terms are as declared: term 'entropy' is -")
    assert sum(line.startswith("kept ") for line in lines) == len(PROMISES) - 1
    assert lines[-1] == "13 of 14 promises kept"


@pytest.mark.usefixtures("example")
def test_the_command_gives_json_and_exit_code_0_where_all_are_kept(distsys: Call) -> None:
    settings = [part for item in SMALL for part in ("--set", item)]
    code, out, _ = distsys("check-domain", "time_delay", *settings, "--json")
    found = json.loads(out)
    assert code == 0
    assert found["kept"] is True
    assert [item["promise"] for item in found["promises"]] == [item.__name__ for item in PROMISES]


def test_a_domain_or_preset_that_is_not_there_is_told_before_anything_is_tried(distsys: Call) -> None:
    code, out, err = distsys("check-domain", "time_dely")
    assert (code, out) == (2, "")
    assert "unknown domain 'time_dely'" in err
    code, out, err = distsys("check-domain", "semantic_eq", "--preset", "dmo")
    assert (code, out) == (2, "")
    assert "did you mean 'demo'?" in err
