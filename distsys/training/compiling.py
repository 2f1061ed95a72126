"""A model's forward pass and losses through torch.compile, where there is something to compile with."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import warnings
from typing import cast

import torch
from torch import nn

from distsys.errors import ConfigError


def compiled(module: nn.Module, device: torch.device) -> nn.Module:
    """``module``, compiled at its first call; parameters are shared.

    Raises:
        ConfigError: there is no compiler for ``device``.
    """
    if (lacking := _lacking(device)) is not None:
        raise ConfigError(
            f"compile = true on {device.type} without {lacking}", fix=f"install {lacking}, or compile: false"
        )
    logging.getLogger("torch._dynamo").setLevel(logging.ERROR)  # else every place where a graph ends is told
    warnings.filterwarnings("ignore", category=UserWarning, module=r"torch\._inductor")
    return cast(nn.Module, torch.compile(module))


def _lacking(device: torch.device) -> str | None:
    if device.type == "cuda":
        return None if importlib.util.find_spec("triton") else "triton"
    compiler = os.environ.get("CXX", "g++")
    return None if shutil.which(compiler) else f"the C++ compiler {compiler}"
