"""The extractor as a program of waveforms."""

from __future__ import annotations

import torch
from torch import Tensor

from distsys.domains.protocol import Program
from distsys.domains.speaker_extraction.model.network import Extractor
from distsys.domains.speaker_extraction.model.scan import GatedScan, scan

_EXAMPLE_S, _CHECK_S = (1.0, 1.3), (2.1, 0.9)
"""Seconds of mixture and enrolment that the program is traced and checked with."""


def program(model: Extractor) -> Program:
    """``(mixture [batch, time], enrolment [batch, queries, enrol_time]) -> estimates [batch, queries, time]``."""
    compiled = torch.jit.script(scan)  # tracing alone would unroll its loop to one length
    for module in model.modules():
        if isinstance(module, GatedScan):
            module.run = compiled
    return Program(
        module=model,
        inputs=_inputs(model, _EXAMPLE_S),
        check=_inputs(model, _CHECK_S),
        outputs=("estimates",),
        free={
            "mixture": {0: "batch", 1: "time"},
            "enrolment": {0: "batch", 1: "queries", 2: "enrol_time"},
            "estimates": {0: "batch", 1: "queries", 2: "time"},
        },
        about={"sample_rate_hz": model.sample_rate_hz, "unit": "full scale is 1"},
        no_onnx="ONNX has no transform that gives complex spectra and takes them back",
    )


def _inputs(model: Extractor, seconds: tuple[float, float]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    lengths = [round(item * model.sample_rate_hz) for item in seconds]
    mixture = 0.1 * torch.randn(2, lengths[0], generator=generator)
    return {"mixture": mixture, "enrolment": 0.1 * torch.randn(2, 2, lengths[1], generator=generator)}
