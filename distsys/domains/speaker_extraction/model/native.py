"""The scan compiled for the processor at hand, where there is a C++ compiler; :mod:`scan` has the plain form of it."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from distsys.files import processor
from distsys.shapes import Float
from distsys.storage.place import cache_root

_SOURCE = Path(__file__).with_name("scan.cpp")
_FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")
_COMPILER_S = 60.0
_MOST_HIDDEN = 1024
"""As in scan.cpp."""


def serves(projected: Tensor, hidden: int) -> bool:
    """Whether :func:`forward` and :func:`backward` can take the place of the plain form for ``projected``."""
    suits = projected.device.type == "cpu" and projected.dtype == torch.float32 and hidden <= _MOST_HIDDEN
    return suits and not torch.compiler.is_compiling() and _library() is not None


def forward(
    projected: Float[Tensor, "*place three_hidden"], bias: Float[Tensor, " three_hidden"], directions: int, axis: int
) -> tuple[Float[Tensor, "*place directions hidden"], Float[Tensor, "*place directions hidden"]]:
    """States, and these read through their gate; ``projected`` gets its bias and its gates their sigmoid in place."""
    hidden = projected.shape[-1] // 3
    states = projected.new_empty((*projected.shape[:-1], directions, hidden))
    gated = torch.empty_like(states)
    _call("scan_forward", [projected, bias.contiguous(), states, gated], directions, axis)
    return states, gated


def backward(
    by_gated: Float[Tensor, "*place directions hidden"],
    projected: Float[Tensor, "*place three_hidden"],
    states: Float[Tensor, "*place directions hidden"],
    axis: int,
) -> tuple[
    Float[Tensor, "*place three_hidden"], Float[Tensor, "*place directions hidden"], Float[Tensor, " three_hidden"]
]:
    """Gradients of ``projected`` as it was before :func:`forward`, and of the bias; between them ``gated`` again."""
    by_projected, gated = torch.empty_like(projected), torch.empty_like(states)
    by_bias = projected.new_empty(projected.shape[-1])
    given = [projected, states, by_gated.contiguous(), by_projected, gated, by_bias]
    _call("scan_backward", given, states.shape[-2], axis)
    return by_projected, gated, by_bias


def _call(name: str, tensors: list[Tensor], directions: int, axis: int) -> None:
    library, first = _library(), tensors[0]
    assert library is not None and all(item.is_contiguous() for item in tensors)
    outer, length, inner = first.shape[:axis].numel(), first.shape[axis], first.shape[axis + 1 : -1].numel()
    sizes = (outer, length, inner, first.shape[-1] // 3, directions)
    pointers = (ctypes.c_void_p(item.data_ptr()) for item in tensors)
    getattr(library, name)(*pointers, *map(ctypes.c_long, sizes))


@cache
def _library() -> ctypes.CDLL | None:
    """What scan.cpp compiles to, kept for later processes; None without a compiler that takes it."""
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        return None
    marks = (_SOURCE.read_text(), compiler, " ".join(_FLAGS), processor())
    name = hashlib.sha256("\n".join(marks).encode()).hexdigest()[:16]
    try:
        path = cache_root() / "scan" / f"{name}.so"
        if not path.exists():
            _compile(compiler, path)
        return ctypes.CDLL(str(path))
    except (OSError, subprocess.SubprocessError):
        return None


def _compile(compiler: str, path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    command = [compiler, *_FLAGS, str(_SOURCE), "-o", str(partial)]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=_COMPILER_S)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
