"""A final training that turns sick goes back once, with fresh moments; a kill on the way changes nothing."""

from __future__ import annotations

import json
import math
import multiprocessing
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from distsys.domains.protocol import Batch
from distsys.health.causes import NOT_FINITE, OUTPUT_ON_BOUND
from distsys.tracking.spool import read_metrics, read_metrics_from
from distsys.training import checkpoint
from distsys.training.context import FitContext
from distsys.training.loop import Run, fit
from distsys.training.outcome import Outcome
from distsys.training.step import Stepper
from distsys.training.workers import Workers
from tests.health.support import with_output
from tests.outside import importable
from tests.training.support import make_context, make_spec
from tests.training.test_loop import Killed, assert_same_weights, nan_after, numbers

OPTIONS = ("model.dropout=0.2", "optimizer.ema_decay=0.9", "optimizer.warmup_share=0.2", "optimizer.weight_decay=0.01")


def fails_on_old_moments(monkeypatch: pytest.MonkeyPatch, *, until: int) -> None:
    """Before step ``until`` no gradient is finite once moments are more than 35 steps old."""
    step, norm = Stepper.step, Stepper._norm

    def noted(stepper: Any, batch: Batch, *, progress: float, seed: int) -> None:
        stepper.done = round(progress * stepper._steps)
        step(stepper, batch, progress=progress, seed=seed)

    def broken(stepper: Any, total: torch.Tensor) -> torch.Tensor:
        ages = [int(state["step"]) for state in stepper._optimizer.state.values()]
        is_broken = bool(ages) and ages[0] > 35 and stepper.done < until
        return torch.tensor(math.nan) if is_broken else norm(stepper, total)

    monkeypatch.setattr(Stepper, "step", noted)
    monkeypatch.setattr(Stepper, "_norm", broken)


def test_a_training_whose_moments_fail_goes_back_once_and_ends_well(
    outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails_on_old_moments(monkeypatch, until=60)
    outcome = fit(make_context(outside, tmp_path, *OPTIONS))
    (note,) = outcome.notes
    assert note.startswith("sick at step 42 (not finite: 7 steps had a gradient that is not finite (budget 6)")
    assert "went back to step 30, the last healthy checkpoint, with fresh moments" in note
    assert outcome.ended_by == ()
    assert [step for step, _ in outcome.selection.history] == [30, 60, 90, 120]
    assert [line.metrics["rollbacks"] for line in read_metrics(tmp_path)] == [0.0, 1.0, 1.0, 1.0]
    assert read_metrics(tmp_path)[-1].metrics["skipped_steps"] == 0.0


def kill(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, when: Callable[..., bool]) -> None:
    original = getattr(owner, name)

    def dying(*arguments: Any, **named: Any) -> Any:
        if when(*arguments):
            raise Killed
        return original(*arguments, **named)

    monkeypatch.setattr(owner, name, dying)


class Visit:
    """The ``count``-th training of a step."""

    def __init__(self, step: int, count: int) -> None:
        self._step, self._left = step, count

    def __call__(self, run: Run) -> bool:
        self._left -= run.step == self._step
        return self._left <= 0 and run.step == self._step


KILLS: dict[str, tuple[Any, str, Callable[[], Callable[..., bool]]]] = {
    "while it fails": (Run, "_train_one", lambda: Visit(40, 1)),
    "before it goes back": (Run, "_restore", lambda: lambda run, found: run.step == 42),
    "while that is saved": (checkpoint, "_write_json", lambda: lambda path, content: went_back(content)),
    "before the sick ones are deleted": (checkpoint, "keep_only", lambda: lambda folder, steps: 30 in steps and deep()),
    "right after it went back": (Run, "_train_one", lambda: Visit(30, 2)),
    "on its way again": (Run, "_train_one", lambda: Visit(55, 1)),
    "later": (Run, "_train_one", lambda: Visit(100, 1)),
}


def went_back(content: dict[str, Any]) -> bool:
    return bool(content.get("course", {}).get("rollbacks"))


def deep() -> bool:
    import inspect

    return any(frame.function == "_goes_back" for frame in inspect.stack())


@pytest.mark.parametrize("until", [60, 10**6], ids=["once", "again"])
@pytest.mark.parametrize("when", list(KILLS))
def test_a_kill_before_amid_or_after_changes_nothing(
    outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str, until: int
) -> None:
    fails_on_old_moments(monkeypatch, until=until)
    fit(make_context(outside, tmp_path / "whole", *OPTIONS))
    owner, name, condition = KILLS[when]
    with monkeypatch.context() as patch:
        kill(patch, owner, name, condition())
        if until == 60 or when != "later":
            with pytest.raises(Killed):
                fit(make_context(outside, tmp_path / "cut", *OPTIONS))
    fit(make_context(outside, tmp_path / "cut", *OPTIONS))
    assert numbers(tmp_path / "whole") == numbers(tmp_path / "cut")
    names = [sorted(path.name for path in (tmp_path / part / "checkpoints").iterdir()) for part in ("whole", "cut")]
    assert names[0] == names[1]
    for path in names[0]:
        assert_same_weights(tmp_path / "whole", tmp_path / "cut", int(path.removeprefix("step-")))
    whole, cut = (json.loads((tmp_path / part / "outcome.json").read_text()) for part in ("whole", "cut"))
    assert [note for note in cut.pop("notes") if "resumed" not in note] == whole.pop("notes")
    assert cut == whole


def test_sick_again_it_ends_with_the_best_from_before(outside: Path, tmp_path: Path) -> None:
    domain = nan_after(make_context(outside, tmp_path / "a").domain, start=40)
    folder = tmp_path / "b"
    outcome = fit(make_context(outside, folder, domain=domain))
    assert [item.cause for item in outcome.ended_by] == [NOT_FINITE.name]
    assert outcome.checkpoint == checkpoint.directory_of(folder, 30)
    assert outcome.verdicts == ()
    assert len(outcome.notes) == 2
    assert "went back to step 30" in outcome.notes[0]
    assert outcome.notes[1].startswith("sick again at step 36 (not finite)")
    assert Outcome.read(folder, make_context(outside, tmp_path / "c").domain.selection) == outcome
    assert checkpoint.load(checkpoint.directory_of(folder, 30)).training_state()["optimizer"]["state"] == {}


def late_bound(calls: list[int], *, start: int, stop: int = 10**9) -> Any:
    """Outputs that lie on a bound from one forward pass of training on to another."""

    def output(model: Any, x: torch.Tensor) -> torch.Tensor:
        calls[0] += model.training
        return model(x).clamp(-1e-3, 1e-3) + 0 * model(x) if start <= calls[0] < stop else model(x)

    return with_output(output)


def test_what_a_check_finds_in_flight_sends_it_back_with_the_checks_of_that_time(outside: Path, tmp_path: Path) -> None:
    outcome = fit(make_context(outside, tmp_path, "health.every=5", domain=late_bound([0], start=70, stop=100)))
    assert len(outcome.notes) == 1
    assert "went back to step 60" in outcome.notes[0]
    assert OUTPUT_ON_BOUND.name in outcome.notes[0]
    assert outcome.ended_by == ()
    assert outcome.selection.last is not None
    assert not outcome.selection.last.is_sick
    steps = [line.step for line, _ in read_metrics_from(tmp_path, 0)]
    assert [line.step for line in read_metrics(tmp_path)] == [30, 60, 90, 120] != steps


def test_what_a_check_finds_again_ends_it_at_that_validation(outside: Path, tmp_path: Path) -> None:
    context = make_context(outside, tmp_path, "health.every=5", "final.steps=240", domain=late_bound([0], start=70))
    outcome = fit(context)
    assert [item.cause for item in outcome.ended_by] == [OUTPUT_ON_BOUND.name]
    assert len(outcome.notes) == 2
    assert outcome.notes[1].startswith("sick again at step 90 (outputs on their bound): ended there; step ")
    assert [line.step for line in read_metrics(tmp_path)] == [30, 60, 90]
    saved = Run(context)
    assert (saved.step, saved.is_over) == (90, True)
    assert outcome.checkpoint is not None
    assert checkpoint.load(outcome.checkpoint).step <= 60


def test_without_a_healthy_checkpoint_or_switched_off_it_does_not_go_back(outside: Path, tmp_path: Path) -> None:
    sick = fit(make_context(outside, tmp_path / "a", "health.every=5", domain=late_bound([0], start=0)))
    assert (sick.checkpoint, sick.notes, sick.ended_by) == (None, (), ())
    off = fit(
        make_context(outside, tmp_path / "b", "health.every=5", "final.rollbacks=0", domain=late_bound([0], start=70))
    )
    assert (off.notes, off.ended_by) == ((), ())
    assert [step for step, _ in off.selection.history] == [30, 60, 90, 120]
    assert "rollbacks" not in read_metrics(tmp_path / "b")[0].metrics


def test_a_damaged_healthy_checkpoint_is_not_gone_back_to(outside: Path, tmp_path: Path) -> None:
    run = Run(make_context(outside, tmp_path, domain=nan_after(make_context(outside, tmp_path).domain, start=40)))
    validations = run.validations()
    next(validations)
    (checkpoint.directory_of(tmp_path, 30) / "model.pt").write_bytes(b"damaged")
    assert next(validations, None) is None
    outcome = run.finish()
    assert outcome.ended_by
    assert any("cannot go back" in note and "does not match its hash" in note for note in outcome.notes)


def worker(rank: int, port: int, outside: str, folder: str, results: Any) -> None:
    """Trains in ``folder`` with a second worker, on whose part nothing is finite after some 40 steps."""
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    torch.set_num_threads(1)
    with importable(Path(outside)):
        spec, domain = make_spec(Path(outside))
        broken = nan_after(domain, start=40) if rank else domain
        workers = Workers(torch.device("cpu"), rank, 2)
        run, resumed = (FitContext(spec, item, Path(folder), workers, None) for item in (broken, domain))
        running = Run(run)
        validations = running.validations()
        steps, saved = [next(validations).step], running._monitor.state()
        loaded = Run(resumed)._monitor.state()
        steps += [validation.step for validation in validations]
        outcome = running.finish()
        results.put((rank, steps, outcome.notes, [item.cause for item in outcome.ended_by], saved, loaded))
    dist.destroy_process_group()


@pytest.mark.parametrize("folders", [("one", "one"), ("one", "another")], ids=["one disk", "a disk each"])
def test_two_workers_go_back_together_and_each_takes_its_own_checks(
    outside: Path, tmp_path: Path, folders: tuple[str, str]
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [
        context.Process(target=worker, args=(rank, port, str(outside), str(tmp_path / folder), results))
        for rank, folder in enumerate(folders)
    ]
    for process in processes:
        process.start()
    first, second = sorted(results.get(timeout=120) for _ in processes)
    for process in processes:
        process.join(timeout=60)
    assert first[1:4] == second[1:4]
    (steps, notes, causes, *checks), (*_, saved, loaded) = first[1:], second
    assert (steps, causes) == ([30], [NOT_FINITE.name])
    assert "went back to step 30" in notes[0]
    assert notes[1].startswith("sick again at step 36 (not finite)")
    assert checks[0] == checks[1] != saved
    assert loaded == saved or len(set(folders)) == 2, "a disk of its own has nothing to resume from yet"
    assert_same_weights(tmp_path / folders[0], tmp_path / folders[1], 30)
