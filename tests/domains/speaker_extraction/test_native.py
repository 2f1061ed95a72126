"""The compiled scan is the plain one, forward and backward, and is done without where there is no compiler."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

from distsys.domains.speaker_extraction.model import native
from distsys.domains.speaker_extraction.model.scan import GatedScan, plain_backward, plain_forward, scan

SHAPES = [(5, 3, 7, 24), (22, 8, 64, 96), (1, 1, 40, 15), (3, 1, 1, 9)]
compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def close(one: Tensor, other: Tensor) -> bool:
    return bool((one - other).abs().max() <= 1e-5 * other.abs().max().clamp(min=1.0))


@compiler
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("axis", [0, 2])
@pytest.mark.parametrize("directions", [1, 2])
def test_both_ways_are_those_of_the_plain_form(shape: tuple[int, ...], axis: int, directions: int) -> None:
    raw, bias = 3.0 * drawn(*shape, seed=0), drawn(shape[-1], seed=1)
    assert native.serves(raw, shape[-1] // 3)
    plain, compiled = raw.clone(), raw.clone()
    wanted = plain_forward(plain, bias, directions, axis, scan)
    found = native.forward(compiled, bias, directions, axis)
    assert close(compiled, plain)
    assert all(close(one, other) for one, other in zip(found, wanted, strict=True))
    gradient = drawn(*wanted[0].shape, seed=2)
    for one, other in zip(
        native.backward(gradient, plain, wanted[0], axis),
        plain_backward(gradient, plain, wanted[0], axis),
        strict=True,
    ):
        assert close(one, other)


@compiler
def test_gates_saturate_and_nan_is_passed_on() -> None:
    raw = torch.tensor([[1.0, -200.0, 200.0], [2.0, 0.0, torch.nan]])
    states, gated = native.forward(raw, torch.zeros(3), 1, 0)
    assert torch.allclose(raw[0], torch.tensor([1.0, 0.0, 1.0]), atol=1e-30)
    assert states.flatten().tolist() == pytest.approx([1.0, 1.5])
    assert bool(gated[1].isnan().all())


def test_without_a_compiler_the_plain_form_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    layer, x = GatedScan(4, 3, axis=0), drawn(6, 2, 5, 4, seed=0)
    wanted = layer(x)
    native._library.cache_clear()
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert not native.serves(drawn(2, 9, seed=0), 3)
    assert close(layer(x), wanted)
    native._library.cache_clear()
    (tmp_path / "broken").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "broken").chmod(0o700)
    monkeypatch.setenv("CXX", str(tmp_path / "broken"))
    assert not native.serves(drawn(2, 9, seed=0), 3)
    native._library.cache_clear()


def test_other_numbers_than_single_ones_take_the_plain_way() -> None:
    assert not native.serves(drawn(2, 9, seed=0).double(), 3)
    assert not native.serves(drawn(2, 9, seed=0), 5000)
