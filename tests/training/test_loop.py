"""Same seed, same numbers: twice, after a kill at any step, and whatever stands beside."""

from __future__ import annotations

import importlib
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from distsys.config.schema import CoreConfig
from distsys.domains.protocol import AnyDomain, Batch, Outputs
from distsys.errors import Interrupted, StoppedByHealth
from distsys.tracking.spool import read_metrics
from distsys.training import checkpoint
from distsys.training.clock import is_timing
from distsys.training.evaluate import Validation, validate
from distsys.training.loop import Run, fit
from distsys.training.stamp import _stamp_of, code_stamp
from tests.health.support import Altered
from tests.training.support import make_context


def numbers(folder: Path) -> list[tuple[int, dict[str, float]]]:
    """Everything logged but speeds."""
    return [(line.step, {k: v for k, v in line.metrics.items() if not is_timing(k)}) for line in read_metrics(folder)]


def weights(folder: Path, step: int) -> dict[str, torch.Tensor]:
    return dict(checkpoint.load(checkpoint.directory_of(folder, step)).model)


def assert_same_weights(one: Path, other: Path, step: int) -> None:
    first, second = weights(one, step), weights(other, step)
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def test_two_runs_are_bit_equal_and_another_seed_is_not(outside: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        fit(make_context(outside, tmp_path / name, f"seed={seed}", "model.dropout=0.2"))
    assert numbers(tmp_path / "a") == numbers(tmp_path / "b") != numbers(tmp_path / "c")
    assert_same_weights(tmp_path / "a", tmp_path / "b", 120)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("kill_at", [1, 29, 30, 31, 60, 77, 119])
@pytest.mark.parametrize(
    "more",
    [
        ("optimizer.ema_decay=null",),
        ("optimizer.ema_decay=0.9",),
        ("accumulate=4", "feeding={workers: 2, ahead: 3}", "precision=bfloat16", "optimizer.grad_clip_norm=0.1"),
    ],
    ids=["raw", "averaged", "in parts"],
)
def test_a_run_killed_at_any_step_and_resumed_ends_bit_equal(
    outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill_at: int, more: tuple[str, ...]
) -> None:
    options = ("model.dropout=0.2", "optimizer.warmup_share=0.2", *more)
    fit(make_context(outside, tmp_path / "whole", *options))
    original = Run._train_one

    def dying(run: Run) -> object:
        if run.step == kill_at:
            raise Killed
        return original(run)

    monkeypatch.setattr(Run, "_train_one", dying)
    with pytest.raises(Killed):
        fit(make_context(outside, tmp_path / "cut", *options))
    monkeypatch.undo()
    outcome = fit(make_context(outside, tmp_path / "cut", *options))
    assert numbers(tmp_path / "whole") == numbers(tmp_path / "cut")
    assert_same_weights(tmp_path / "whole", tmp_path / "cut", 120)
    assert bool(outcome.notes) == (kill_at >= 30)


def test_metrics_torn_after_their_checkpoint_are_told_again_from_it(outside: Path, tmp_path: Path) -> None:
    def die(validation: Validation) -> None:
        if validation.step == 90:
            raise Killed

    fit(make_context(outside, tmp_path / "whole"))
    with pytest.raises(Killed):
        fit(make_context(outside, tmp_path / "cut", report=die))
    path = tmp_path / "cut" / "metrics.jsonl"
    content, numbers_then = path.read_bytes(), numbers(tmp_path / "whole")
    first = content.index(b"\n") + 1
    assert content.count(b"\n") == 3
    for end in range(first, len(content), 97):
        folder = shutil.copytree(tmp_path / "cut", tmp_path / f"torn-{end}")
        (folder / path.name).write_bytes(content[:end])
        outcome = fit(make_context(outside, folder))
        assert outcome.notes == ("resumed at step 90 of 120",)
        assert numbers(folder) == numbers_then


@pytest.mark.slow
@pytest.mark.promise
def test_kill_9_of_the_process_and_the_same_command_ends_bit_equal(outside: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "distsys.cli", "train", str(outside / "sine.yaml"), "--local", "--quiet", "--json"]
    command += ["--set", "final.steps=3000", "--set", "final.eval_every_steps=200"]
    whole = subprocess.run([*command, "--out", str(tmp_path / "whole")], capture_output=True, text=True, check=True)
    process = subprocess.Popen([*command, "--out", str(tmp_path / "cut")], stdout=subprocess.DEVNULL)
    while not list((tmp_path / "cut").glob("*/checkpoints/step-*")):
        assert process.poll() is None, "it ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()
    cut = subprocess.run([*command, "--out", str(tmp_path / "cut")], capture_output=True, text=True, check=True)
    (one,), (other,) = (list((tmp_path / name).iterdir()) for name in ("whole", "cut"))
    assert numbers(one) == numbers(other)
    assert_same_weights(one, other, 3000)
    assert whole.stdout.replace("/whole/", "/cut/") == cut.stdout


def test_sigterm_saves_and_the_next_run_goes_on(outside: Path, tmp_path: Path) -> None:
    def interrupt(validation: Validation) -> None:
        if validation.step == 60:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted) as caught:
        fit(make_context(outside, tmp_path / "cut", report=interrupt))
    assert caught.value.exit_code == 143
    assert "state of step 61 is saved" in str(caught.value)
    outcome = fit(make_context(outside, tmp_path / "cut"))
    fit(make_context(outside, tmp_path / "whole"))
    assert "resumed at step 61 of 120" in outcome.notes
    assert numbers(tmp_path / "whole") == numbers(tmp_path / "cut")


def numpy_state() -> list[int]:
    return np.random.get_state(legacy=False)["state"]["key"].tolist()


def test_validation_leaves_every_random_state_alone(outside: Path, tmp_path: Path) -> None:
    run = Run(make_context(outside, tmp_path / "a", "model.dropout=0.5"))
    before = torch.get_rng_state(), numpy_state(), random.getstate()
    looks = [
        validate(
            run._domain, run._stepper.evaluated, run.data.validation, config=run._spec.config, objective=run._objective,
            judge=run._judge, step=0, progress=0.0,
        )
        for _ in range(2)
    ]  # fmt: skip
    assert looks[0] == looks[1]
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == numpy_state()
    assert before[2] == random.getstate()
    assert run._stepper.model.training


def test_non_finite_gradients_are_skipped_counted_and_past_the_budget_stop_the_run(
    outside: Path, tmp_path: Path
) -> None:
    context = make_context(outside, tmp_path / "a")
    broken = nan_after(context.domain, start=40)
    outcome = fit(make_context(outside, tmp_path / "b", "final.rollbacks=0", domain=broken))
    assert [(item.status, item.cause) for item in outcome.ended_by] == [("stop", "not finite")]
    assert "7 steps had a gradient that is not finite (budget 6)" in outcome.ended_by[0].evidence
    assert "terms not finite: mse" in outcome.ended_by[0].evidence
    assert outcome.checkpoint == checkpoint.directory_of(tmp_path / "b", 30)
    assert outcome.notes[0].startswith("sick at step 45 (not finite)")
    assert outcome.notes[0].endswith("ended there; step 30, from before, stays its best")
    kept = checkpoint.latest(tmp_path / "b")[0]
    assert kept is not None
    assert kept.step == 30
    assert all(bool(torch.isfinite(tensor).all()) for tensor in kept.model.values())


@pytest.mark.parametrize("setting", ["health.on=true", "health.on=false"])
def test_where_nothing_was_validated_yet_a_run_that_is_lost_says_so_by_an_error(
    outside: Path, tmp_path: Path, setting: str
) -> None:
    context = make_context(outside, tmp_path / "a")
    with pytest.raises(StoppedByHealth) as caught:
        fit(make_context(outside, tmp_path / "b", setting, domain=nan_after(context.domain, start=5)))
    assert "7 steps had a gradient that is not finite (budget 6)" in str(caught.value)
    assert "terms not finite: mse" in str(caught.value)
    assert not (tmp_path / "b" / "outcome.json").exists()


def test_a_few_skipped_steps_do_not_move_weights_or_schedule(outside: Path, tmp_path: Path) -> None:
    domain = nan_after(make_context(outside, tmp_path / "a").domain, start=10, count=2)
    run = Run(make_context(outside, tmp_path / "b", domain=domain))
    for _ in range(10):
        run._train_one()
    before = {name: tensor.clone() for name, tensor in run._stepper.model.state_dict().items()}
    rate = run._stepper.learning_rate
    run._train_one()
    run._train_one()
    assert run._stepper.readings()["skipped_steps"] == 2
    assert run._stepper.learning_rate == rate
    assert all(torch.equal(tensor, before[name]) for name, tensor in run._stepper.model.state_dict().items())
    run._train_one()
    assert not all(torch.equal(tensor, before[name]) for name, tensor in run._stepper.model.state_dict().items())


class NanAfter:
    """A domain whose first term turns NaN for some steps of training."""

    def __init__(self, domain: AnyDomain, *, start: int, count: int) -> None:
        self._domain, self._start, self._count, self._calls = domain, start, count, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._domain, name)

    def loss_terms(self, outputs: Outputs, batch: Batch, *, config: CoreConfig) -> dict[str, torch.Tensor]:
        terms = dict(self._domain.loss_terms(outputs, batch, config=config))
        if outputs["out"].requires_grad:
            self._calls += 1
            if self._start < self._calls <= self._start + self._count:
                terms["mse"] = terms["mse"] * float("nan")
        return terms


def nan_after(domain: AnyDomain, *, start: int, count: int = 10**9) -> AnyDomain:
    """``domain`` so broken; whatever else it is asked goes on to ``domain``, which no type can say."""
    return cast(AnyDomain, NanAfter(domain, start=start, count=count))


def change_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distsys.training.origin.code_stamp", lambda domain: "another")


def tripled(domain: AnyDomain) -> Any:
    return Altered(
        loss_terms=lambda terms, *given, **more: {name: 3 * it for name, it in terms(*given, **more).items()}
    )


def test_a_resume_across_code_that_gives_the_same_loss_says_so_and_goes_on(
    outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, changes in (("same", False), ("changed", True)):
        next(Run(make_context(outside, tmp_path / name)).validations())
        if changes:
            change_code(monkeypatch)
        again = Run(make_context(outside, tmp_path / name))
        next(again.validations())
        run = Run(make_context(outside, tmp_path / name))  # its checkpoint was made under the code that stands now
        notes = run.finish().notes
        assert (again.notes[-1], notes[-1]) == ("resumed at step 30 of 120", "resumed at step 60 of 120")
        said = "since step 30 the domain's code changed, and its loss did not"
        assert (said in notes) == changes
    assert_same_weights(tmp_path / "same", tmp_path / "changed", 60)


@pytest.mark.parametrize("accepted", ["[]", "[moments of another loss]"])
def test_a_resume_across_a_changed_loss_is_refused_unless_it_is_meant(
    outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accepted: str
) -> None:
    before = make_context(outside, tmp_path)
    validation = next(Run(before).validations())
    change_code(monkeypatch)
    after = make_context(outside, tmp_path, f"health.accept={accepted}", domain=tripled(before.domain))
    said = f"its validation loss was {validation.loss:.4g} and is {3 * validation.loss:.4g} of the same weights"
    if accepted == "[]":
        with pytest.raises(StoppedByHealth, match="moments of another loss") as caught:
            Run(after)
        assert said in caught.value.found
        assert f"--from {tmp_path} --reset-optimizer" in str(caught.value)
        assert "health.accept=[moments of another loss]" in str(caught.value)
        assert [item.cause for item in caught.value.verdicts] == ["moments of another loss"]
    else:
        assert any(said in note for note in Run(after).finish().notes)


def test_a_resume_between_two_validations_cannot_tell_whether_the_loss_changed(
    outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(make_context(outside, tmp_path))
    next(run.validations())
    run._train_one()
    run._save()
    change_code(monkeypatch)
    notes = Run(make_context(outside, tmp_path)).finish().notes
    assert any("since step 31 the domain's code changed (moments of another loss, if" in note for note in notes)


def test_the_stamp_of_code_is_that_of_all_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "stamped"
    package.mkdir()
    (package / "__init__.py").write_text("class Stamped:\n    name = 'stamped'\n")
    (package / "losses.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    domain = importlib.import_module("stamped").Stamped()
    first = code_stamp(domain)
    assert len(first) == 16
    _stamp_of.cache_clear()
    (package / "losses.py").write_text("x = 2\n")
    assert code_stamp(domain) != first
