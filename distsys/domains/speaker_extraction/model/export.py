"""The extractor as TorchScript: one file that runs wherever torch does, without distsys."""

from __future__ import annotations

import copy
import io
import warnings

import torch
from torch import Tensor

from distsys.domains.speaker_extraction.model.network import Extractor
from distsys.domains.speaker_extraction.model.scan import GatedScan, scan
from distsys.errors import RunFailed

_TOLERANCE = 1e-5
"""Of the peak; what a loaded program may differ by."""
_EXAMPLE_S, _CHECK_S = (1.0, 1.3), (2.1, 0.9)
"""Seconds of mixture and enrolment that the program is traced and checked with."""


def export(model: Extractor) -> dict[str, bytes]:
    """``.pt``: a program ``(mixture [batch, time], enrolment [batch, queries, time]) -> estimates`` for any lengths.

    Raises:
        RunFailed: the program, loaded again, does not give the model's output on lengths it was not traced with.
    """
    model = copy.deepcopy(model).cpu().eval().requires_grad_(False)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns of every shape it reads, and of its age
        program = _traced(model)
        loaded = torch.jit.load(io.BytesIO(program))
        inputs = _inputs(model, _CHECK_S)
        wanted, given = model(*inputs), loaded(*inputs)
    difference = float((wanted - given).abs().max() / wanted.abs().max())
    if not difference <= _TOLERANCE:
        raise RunFailed(f"the exported program differs from the model by {difference:.1e} of its peak")
    return {".pt": program}


def _traced(model: Extractor) -> bytes:
    """``model`` as TorchScript; its scans are replaced."""
    compiled = torch.jit.script(scan)  # tracing alone would unroll its loop to one length
    for module in model.modules():
        if isinstance(module, GatedScan):
            module.run = compiled
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(model, _inputs(model, _EXAMPLE_S), check_trace=False), buffer)
    return buffer.getvalue()


def _inputs(model: Extractor, seconds: tuple[float, float]) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    lengths = [round(item * model.sample_rate_hz) for item in seconds]
    mixture = 0.1 * torch.randn(2, lengths[0], generator=generator)
    return mixture, 0.1 * torch.randn(2, 2, lengths[1], generator=generator)
