"""Starting from another run's weights: which are taken, what of their moments, and that a kill changes nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from distsys.config import reuse
from distsys.errors import CheckpointError, StoppedByHealth, UsageError
from distsys.training import checkpoint
from distsys.training.context import FitContext
from distsys.training.data import built_data
from distsys.training.loop import Run, fit
from distsys.training.meaning import require_same_domain, require_same_meaning
from distsys.training.origin import changed_keys, doubts, find_origin, load_origin
from distsys.training.spec import Origin
from tests.health.support import Altered, with_output
from tests.training.support import make_context
from tests.training.test_loop import Killed, assert_same_weights, numbers, weights

SHORT = ("final.steps=60", "final.eval_every_steps=20")
AVERAGED = ("optimizer.ema_decay=0.9", "model.dropout=0.2")


def origin_in(place: Path, *, reset: bool = False) -> Origin:
    source, _ = find_origin(place)
    return Origin(str(source.path), source.step, source.digest, reset)


def started(outside: Path, folder: Path, origin: Origin | None, *overrides: str, domain: Any = None) -> FitContext:
    context = make_context(outside, folder, *SHORT, *overrides, domain=domain)
    return replace(context, spec=replace(context.spec, origin=origin))


@pytest.fixture
def source(outside: Path, tmp_path: Path) -> Path:
    """A healthy run."""
    fit(make_context(outside, tmp_path / "source", *SHORT, *AVERAGED))
    return tmp_path / "source"


def test_it_is_another_run_wherever_the_same_weights_lie(outside: Path, tmp_path: Path, source: Path) -> None:
    shutil.copytree(source, tmp_path / "copy")
    alone, *others = (
        started(outside, tmp_path / "b", origin).spec.identity
        for origin in (None, origin_in(source), origin_in(tmp_path / "copy"), origin_in(source, reset=True))
    )
    assert others[0] == others[1] != others[2]
    assert alone not in others
    spec = started(outside, tmp_path / "b", origin_in(source)).spec
    assert type(spec).from_content(json.loads(json.dumps(spec.content()))) == spec


def test_weights_average_and_moments_are_taken_over_and_the_rates_are_its_own(
    outside: Path, tmp_path: Path, source: Path
) -> None:
    new = ("optimizer.learning_rate=1e-3", "optimizer.weight_decay=0.1")
    run = Run(started(outside, tmp_path / "b", origin_in(source), *AVERAGED, *new))
    before = checkpoint.load(checkpoint.directory_of(source, 60)).training_state()
    state = run._stepper.state()
    for part in ("model", "average"):
        assert all(torch.equal(state[part][name], value) for name, value in before[part].items())
    ages = {int(item["step"]) for item in state["optimizer"]["state"].values()}
    assert (run.step, ages, state["stepped"]) == (0, {60}, 0)
    assert {group["weight_decay"] for group in state["optimizer"]["param_groups"]} == {0.1}
    (note,) = run.finish().notes
    assert note == (
        f"started from step 60 of {source / 'checkpoints' / 'step-00000060'}: weights, their average, moments taken "
        "over; not schedule, which is this run's own"
    )


def test_a_constant_schedule_goes_on_without_a_second_warm_up(outside: Path, tmp_path: Path, source: Path) -> None:
    constant = ("optimizer.schedule=constant", "optimizer.warmup_share=0.5", *AVERAGED)
    run = Run(started(outside, tmp_path / "b", origin_in(source), *constant))
    assert run._stepper.learning_rate == 1e-2
    assert "the schedule's 60 steps taken over" in run.finish().notes[0]
    assert [list(validation.verdicts) for validation in run.validations()] == [[], [], []]
    fresh = Run(started(outside, tmp_path / "c", origin_in(source, reset=True), *constant))
    assert fresh._stepper.learning_rate < 1e-3


def test_reset_leaves_moments_and_begins_from_what_was_validated(outside: Path, tmp_path: Path, source: Path) -> None:
    run = Run(started(outside, tmp_path / "b", origin_in(source, reset=True), *AVERAGED))
    assert run._stepper.state()["optimizer"]["state"] == {}
    validated = weights(source, 60)
    for model in (run._stepper.model, run._stepper.evaluated):
        assert all(torch.equal(value, validated[name]) for name, value in model.state_dict().items())
    assert run.finish().notes[0].endswith("weights taken over; not moments and schedule")


def test_without_an_average_of_its_own_it_begins_from_the_averaged_weights(
    outside: Path, tmp_path: Path, source: Path
) -> None:
    run = Run(started(outside, tmp_path / "b", origin_in(source)))
    validated = weights(source, 60)
    assert all(torch.equal(value, validated[name]) for name, value in run._stepper.model.state_dict().items())
    raw = checkpoint.load(checkpoint.directory_of(source, 60)).training_state()["model"]
    assert not all(torch.equal(raw[name], value) for name, value in validated.items())


def test_moments_of_other_parameters_are_left(outside: Path, tmp_path: Path, source: Path) -> None:
    def build_model(original: Any, *arguments: Any) -> Any:
        model = original(*arguments)
        model[0].bias.no_weight_decay = True
        return model

    run = Run(started(outside, tmp_path / "b", origin_in(source), domain=Altered(build_model=build_model)))
    assert run._stepper.state()["optimizer"]["state"] == {}
    assert "weights taken over; not moments, schedule" in run.finish().notes[0]


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("kill_at", [0, 7, 20, 41])
def test_killed_and_resumed_it_ends_bit_equal(
    outside: Path, tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, kill_at: int, reset: bool
) -> None:
    origin = origin_in(source, reset=reset)
    whole = fit(started(outside, tmp_path / "whole", origin, *AVERAGED))
    original = Run._train_one

    def dying(run: Run) -> object:
        if run.step == kill_at:
            raise Killed
        return original(run)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "_train_one", dying)
        with pytest.raises(Killed):
            fit(started(outside, tmp_path / "cut", origin, *AVERAGED))
    if kill_at >= 20:
        shutil.rmtree(source)  # needed at its beginning alone
    cut = fit(started(outside, tmp_path / "cut", origin, *AVERAGED))
    assert numbers(tmp_path / "whole") == numbers(tmp_path / "cut")
    assert_same_weights(tmp_path / "whole", tmp_path / "cut", 60)
    assert cut.notes[0] == whole.notes[0]
    assert cut.spec == whole.spec
    meta = checkpoint.load(checkpoint.directory_of(tmp_path / "cut", 60)).meta
    assert (meta["origin"]["path"], meta["origin"]["sha256"]) == (origin.path, origin.sha256)


def test_it_begins_where_the_other_ended_and_learns_on(outside: Path, tmp_path: Path, source: Path) -> None:
    one, other = (
        fit(started(outside, tmp_path / name, origin, *AVERAGED)).selection.history
        for name, origin in (("b", origin_in(source)), ("c", None))
    )
    assert one[0][1] < other[0][1]
    assert one[-1][1] < other[-1][1]


def with_scale(value: float) -> Altered:
    """``sine`` that remembers a scale of its data, which are built again."""
    reuse.forget()

    def build_data(original: Any, *arguments: Any, **named: Any) -> Any:
        statistics = {"scale": torch.tensor(value), "curve": torch.full((3,), value), "words": ["a"]}
        return replace(original(*arguments, **named), statistics=statistics)

    return Altered(build_data=build_data)


def meant(context: FitContext, place: Path) -> None:
    source, _ = find_origin(place)
    require_same_meaning(source, context.spec, context.domain, built_data(context.domain, context.spec.config))


def test_what_leaves_the_meaning_of_weights_alone_may_differ(outside: Path, tmp_path: Path, source: Path) -> None:
    others = ("model.dropout=0.4", "data.cycles=0.7", "batch_size=16", "final.weights.lambda_size=0.1")
    context = started(outside, tmp_path / "b", None, *others)
    meant(context, source)
    found = changed_keys(find_origin(source)[0], context.spec.config)
    assert found == {
        "batch_size": (32, 16),
        "optimizer.ema_decay": (0.9, None),
        "data.cycles": (0.5, 0.7),
        "model.dropout": (0.2, 0.4),
        "final.weights.lambda_size": ({"times": 2.0, "start_at": 0.0, "over": 0.3}, 0.1),
    }


def test_another_width_other_statistics_and_another_meaning_are_refused(
    outside: Path, tmp_path: Path, source: Path
) -> None:
    with pytest.raises(CheckpointError) as caught:
        meant(started(outside, tmp_path / "b", None, "model.width=8"), source)
    assert "its weights do not fit this model: 0.weight [16, 1], here [8, 1]; 0.bias [16], here [8]" in str(
        caught.value
    )
    fix = "fix: --set model.width=16 --set model.dropout=0.2, as there, or train without --from"
    assert fix in str(caught.value)
    fit(started(outside, tmp_path / "scaled", None, domain=with_scale(0.5)))
    meant(started(outside, tmp_path / "c", None, domain=with_scale(0.500001)), tmp_path / "scaled")
    with pytest.raises(CheckpointError) as caught:
        meant(started(outside, tmp_path / "c", None, domain=with_scale(0.7)), tmp_path / "scaled")
    text = "its weights expect data scaled by other statistics: scale 0.5 -> 0.7; curve differs by up to 0.2"
    assert text in str(caught.value)


def test_the_same_shapes_that_compute_something_else_are_refused(outside: Path, tmp_path: Path, source: Path) -> None:
    def forward(original: Any, model: Any, batch: Mapping[str, torch.Tensor], *, generator: Any) -> Any:
        return {"out": model(batch["x"]) * model.gain}

    def build_model(original: Any, config: Any, statistics: Any) -> Any:
        model = original(config, statistics)
        model.gain = config.model.unread
        return model

    domain = Altered(forward=forward, build_model=build_model)
    meant(started(outside, tmp_path / "b", None, domain=domain), source)
    with pytest.raises(CheckpointError) as caught:
        meant(started(outside, tmp_path / "b", None, "model.unread=2", domain=domain), source)
    assert "its weights mean something else here: 'out' of the same items is another one" in str(caught.value)
    assert "fix: --set model.dropout=0.2 --set model.unread=1, as there" in str(caught.value)


def test_another_domain_and_a_config_of_long_ago_are_refused(outside: Path, tmp_path: Path, source: Path) -> None:
    found, context = find_origin(source)[0], started(outside, tmp_path / "b", None)
    with pytest.raises(UsageError) as caught:
        require_same_domain(found, Altered(name="cosine"))
    assert f"--from {found.path}: weights of 'sine'\n  expected: weights of 'cosine'" in str(caught.value)
    config = {**found.meta["config"], "model": {"depth": 3}}
    old = replace(found, meta={**found.meta, "config": config})
    with pytest.raises(CheckpointError, match=r"its config does not fit 'sine' any more: model\.depth: "):
        require_same_meaning(old, context.spec, context.domain, built_data(context.domain, context.spec.config))


def test_doubts_are_named(outside: Path, tmp_path: Path, source: Path) -> None:
    context = started(outside, tmp_path / "b", None, "data.edge=0.02")
    data = built_data(context.domain, context.spec.config)
    found, origin = find_origin(source)[0], origin_in(source)
    known = "other data than there: the validation set changed, what is tested on may have been trained on"
    assert doubts(found, origin, context.domain, data) == [known]
    old = replace(found, meta={**found.meta, "code": "another"})
    texts = doubts(old, origin, context.domain, data)
    assert texts[1:] == [
        "the domain's code changed since (moments of another loss, if its loss did): --reset-optimizer starts with "
        "fresh ones"
    ]
    assert doubts(old, replace(origin, reset_optimizer=True), context.domain, data) == [known]


def sick_run(outside: Path, folder: Path) -> None:
    fit(started(outside, folder, None, "constraints={spread: {min: 50}}"))


def test_of_a_run_the_last_healthy_one_is_taken_and_of_a_sick_one_none(outside: Path, tmp_path: Path) -> None:
    calls = [0]

    def late(model: Any, x: torch.Tensor) -> torch.Tensor:
        calls[0] += model.training
        return model(x) if calls[0] < 48 else model(x).clamp(-1e-3, 1e-3) + 0 * model(x)

    options = ("health.every=5", "final.rollbacks=0")
    fit(started(outside, tmp_path / "late", None, *options, domain=with_output(late)))
    assert find_origin(tmp_path / "late")[0].step == 40
    sick_run(outside, tmp_path / "sick")
    with pytest.raises(StoppedByHealth) as caught:
        find_origin(tmp_path / "sick")
    assert f"--from {tmp_path / 'sick'}: no checkpoint is healthy\nspread outside its band: spread = " in str(
        caught.value
    )
    given, named = caught.value.fix.split(", or --from ")
    assert given == "what the verdicts name"
    source, _ = find_origin(Path(named))
    context = started(outside, tmp_path / "b", None)
    texts = doubts(source, Origin("", 1, ""), context.domain, built_data(context.domain, context.spec.config))
    assert texts[0].startswith("the checkpoint is sick: spread outside its band: spread = ")


def test_of_a_run_that_was_killed_too(outside: Path, tmp_path: Path) -> None:
    next(Run(started(outside, tmp_path, None)).validations())
    assert find_origin(tmp_path)[0].step == 20


def test_a_damaged_one_is_refused_where_it_is_named_and_left_out_where_it_is_not(source: Path) -> None:
    last = checkpoint.directory_of(source, 60)
    (last / "training.pt").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match=r"training.pt: does not match its hash"):
        find_origin(last)
    found, complaints = find_origin(source)
    assert found.step < 60
    assert complaints == [f"left out a damaged checkpoint: {last / 'training.pt'}: does not match its hash"]
    (last / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match=r"no readable manifest.json"):
        find_origin(last)


def test_what_is_no_checkpoint_is_refused(tmp_path: Path, source: Path) -> None:
    for place, what in (
        (tmp_path / "nowhere", "there is no such folder"),
        (source / "outcome.json", "is a file"),
        (tmp_path, "0 final trainings with a checkpoint in it"),
    ):
        with pytest.raises(UsageError) as caught:
            find_origin(place)
        assert str(caught.value).startswith(f"--from {place}: {what}\n  expected: a checkpoint, or the folder of a run")


def test_of_several_finals_the_evaluated_one_is_taken(tmp_path: Path, source: Path) -> None:
    for name in ("a", "b"):
        shutil.copytree(source, tmp_path / "experiment" / "final" / name)
    experiment = tmp_path / "experiment"
    with pytest.raises(UsageError) as caught:
        find_origin(experiment)
    assert f"fix: name one of them: {experiment / 'final' / 'a'}, {experiment / 'final' / 'b'}" in str(caught.value)
    taken = checkpoint.directory_of(experiment / "final" / "b", 20)
    (experiment / "evaluation.json").write_text(json.dumps({"checkpoint": str(taken), "verdicts": []}))
    assert find_origin(experiment)[0].path == checkpoint.directory_of(experiment / "final" / "b", 60)


def test_another_checkpoint_than_at_the_start_is_not_loaded(outside: Path, tmp_path: Path, source: Path) -> None:
    origin = replace(origin_in(source), sha256="0" * 64)
    with pytest.raises(CheckpointError, match="is another checkpoint than when this run was started"):
        load_origin(origin)
    with pytest.raises(CheckpointError, match="expected: a manifest with sha256 000000000000"):
        Run(started(outside, tmp_path / "b", origin))
