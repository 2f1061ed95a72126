"""A compiled run learns what another learns, and says so where nothing can compile it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch

from distsys.config.validate import numbers_of
from distsys.errors import ConfigError
from distsys.training.compiling import compiled
from distsys.training.loop import Run
from distsys.training.workers import Workers
from tests.training.support import make_context, make_spec

has_compiler = shutil.which(os.environ.get("CXX", "g++")) is not None


@pytest.mark.slow
@pytest.mark.skipif(not has_compiler, reason="torch.compile needs a C++ compiler on the CPU, and there is none")
@pytest.mark.filterwarnings("ignore")
def test_a_compiled_run_learns_what_another_learns(outside: Path, tmp_path: Path) -> None:
    """Beyond the first looks, which are taken without the compiler."""
    found = {}
    for choice in ("true", "false"):
        run = Run(make_context(outside, tmp_path / choice, f"compile={choice}", "optimizer.ema_decay=0.9"))
        losses = []
        for _ in range(20):
            run._train_one()
            losses.append(run._stepper.readings()["train_loss"])
        assert not run._monitor.is_sick
        found[choice] = losses, run._stepper.state()["model"]
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    assert found["true"][0] == pytest.approx(found["false"][0], rel=1e-4)
    assert found["true"][1].keys() == found["false"][1].keys()
    for name, tensor in found["false"][1].items():
        torch.testing.assert_close(found["true"][1][name], tensor, rtol=1e-3, atol=1e-4)


def test_without_a_compiler_it_says_what_is_missing(
    outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ConfigError, match=r"compile = true on cpu without the C\+\+ compiler no-such-compiler"):
        Run(make_context(outside, tmp_path, "compile=true"))


def test_graphs_are_for_one_cuda_device(outside: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="compile = graphs on cpu"):
        Run(make_context(outside, tmp_path, "compile=graphs"))
    with pytest.raises(ConfigError, match="compile = graphs on several workers"):
        compiled(torch.nn.Identity(), Workers(torch.device("cuda"), world_size=2), how="graphs")


def test_a_run_that_is_not_compiled_keeps_its_name(outside: Path) -> None:
    assert "compile" not in numbers_of(make_spec(outside)[0].config)
    assert numbers_of(make_spec(outside, "compile=true")[0].config)["compile"]
