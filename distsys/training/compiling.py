"""A model's forward pass and losses through torch.compile, where there is something to compile with."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import warnings
from typing import Literal, cast

import torch
from torch import nn

from distsys.errors import ConfigError
from distsys.training.workers import Workers


def compiled(module: nn.Module, workers: Workers, *, how: bool | Literal["graphs"]) -> nn.Module:
    """``module``, compiled at its first call; parameters are shared.

    Args:
        how: False leaves it as it is; ``graphs`` replays it as CUDA graphs, whose outputs the next call overwrites.

    Raises:
        ConfigError: there is no compiler for the device of ``workers``, or nothing that replays graphs.
    """
    if not how:
        return module
    device = workers.device
    if how == "graphs" and (device.type != "cuda" or workers.world_size > 1):
        found = "several workers" if device.type == "cuda" else device.type
        raise ConfigError(
            f"compile = graphs on {found}", expected="a CUDA device and one worker", fix="compile: true, or false"
        )
    if (lacking := _lacking(device)) is not None:
        raise ConfigError(
            f"compile = true on {device.type} without {lacking}", fix=f"install {lacking}, or compile: false"
        )
    logging.getLogger("torch._dynamo").setLevel(logging.ERROR)  # else every place where a graph ends is told
    warnings.filterwarnings("ignore", category=UserWarning, module=r"torch\._inductor")
    return cast(nn.Module, torch.compile(module, mode="reduce-overhead" if how == "graphs" else None))


def _lacking(device: torch.device) -> str | None:
    if device.type == "cuda":
        return None if importlib.util.find_spec("triton") else "triton"
    compiler = os.environ.get("CXX", "g++")
    return None if shutil.which(compiler) else f"the C++ compiler {compiler}"
