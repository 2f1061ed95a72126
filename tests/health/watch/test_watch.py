"""The watch itself: it takes itself away, reports, survives a check that fails, and loads nothing early."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import optimizer as optimizers

from distsys.health.watch import Watch, watch
from distsys.health.watch.check import Check
from distsys.health.watch.hooks import LOSSES
from tests.health.watch.programs import classify, mlp


def patched() -> list[Any]:
    """Everything that a watch stands in, as it is now."""
    owners = [nn.Module, Tensor, torch, torch.autograd, torch.linalg, torch.nn.utils, torch.nn.utils.clip_grad]
    owners += [functional, torch.amp.GradScaler, torch.utils.data.DataLoader]
    owners += [torch.optim.lr_scheduler.LRScheduler, torch.optim.lr_scheduler.ReduceLROnPlateau]
    names = ["__call__", "backward", "softmax", "log_softmax", "argmax", "eigh", "step", "scale", "unscale_"]
    names += ["clip_grad_norm_", "clip_grad_value_", "__iter__", *LOSSES]
    found: list[Any] = [vars(owner).get(name) for owner in owners for name in names]
    hooks = (optimizers._global_optimizer_pre_hooks, optimizers._global_optimizer_post_hooks)
    return [*found, *(len(item) for item in hooks)]


def test_nothing_is_left_behind() -> None:
    before = patched()
    with watch(quiet=True):
        assert patched() != before
    assert patched() == before


def test_nothing_is_left_behind_after_an_exception() -> None:
    before = patched()

    def fail() -> None:
        classify(0, epochs=1)
        raise ZeroDivisionError

    watching = watch(quiet=True)
    with pytest.raises(ZeroDivisionError), watching:
        fail()
    assert patched() == before and watching.report.done and watching.report.steps == 16


def test_a_second_watch_ends_the_first() -> None:
    before = patched()
    first = watch(quiet=True)
    second = watch(quiet=True)
    assert first.report.done and not second.report.done
    second.close()
    assert patched() == before


def test_a_function_imported_by_name_is_seen_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules[__name__]
    monkeypatch.setattr(module, "imported", functional.cross_entropy, raising=False)
    plain = functional.cross_entropy
    with watch(quiet=True) as report:
        classify(0, loss=lambda output, target: module.imported(output.softmax(1), target), epochs=1)
    assert report.verdicts[0].cause == "softmax twice"
    assert module.imported is plain


def test_random_states_are_left_alone() -> None:
    import numpy as np

    def draw() -> tuple[float, float, float]:
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)
        classify(0, epochs=1, shuffled=True)
        return float(torch.rand(())), random.random(), float(np.random.rand())

    plain = draw()
    with watch(quiet=True, strict=True):
        assert draw() == plain


def test_a_check_that_fails_is_named_and_the_loop_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Check):
        def on_step(self, held: object) -> None:
            raise ValueError("no such thing")

    watching = Watch(quiet=True)
    watching._run.use([Broken(watching._run)])
    losses = classify(0, epochs=1)
    report = watching.close()
    assert len(losses) == 16 and report.status == "ok"
    assert "Broken: ValueError: no such thing" in report.verdicts[0].evidence


def test_one_line_on_standard_error_where_all_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    with watch():
        classify(0)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "distsys watch: all is well after 160 steps\n"


def test_cause_evidence_onset_and_fix_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    with watch():
        classify(0, clear=False)
    text = capsys.readouterr().err
    assert "stop from step" in text and "gradients are never cleared" in text and "fix: " in text
    assert all(len(line) <= 80 for line in text.splitlines())


def test_parameters_gradients_and_modes_are_left_alone() -> None:
    def end() -> tuple[list[Tensor], list[bool]]:
        torch.manual_seed(3)
        net = nn.Sequential(nn.BatchNorm1d(16), mlp(16, 64, 64, 4, dropout=0.9))
        classify(3, model=net, shuffled=True, num=2048, epochs=1)
        grads = [item.grad for item in net.parameters() if item.grad is not None]
        return [*net.state_dict().values(), *grads], [item.training for item in net.modules()]

    plain, modes = end()
    with watch(quiet=True, strict=True):
        seen, same = end()
    assert all(torch.equal(a, b) for a, b in zip(seen, plain, strict=True)) and same == modes


def _python(code: str) -> subprocess.CompletedProcess[str]:
    own = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=own)


def test_the_package_loads_no_torch_before_it_is_used() -> None:
    code = "import sys, distsys.health, distsys.testing.plugin; print('torch' in sys.modules); "
    code += "distsys.health.watch; print('torch' in sys.modules, 'pydantic' in sys.modules, 'ray' in sys.modules)"
    assert _python(code).stdout.split() == ["False", "True", "False", "False"]


def test_one_line_without_arguments_reports_at_the_end_of_the_process() -> None:
    code = """
import distsys.health; distsys.health.watch()
import torch
net = torch.nn.Linear(4, 2)
optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
for _ in range(30):
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(net(torch.randn(8, 4)), torch.zeros(8).long()).backward()
    optimizer.step()
"""
    done = _python(code)
    assert done.stdout == "" and "learning rate of zero" in done.stderr
