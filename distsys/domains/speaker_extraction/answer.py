"""One speaker out of a recording of any rate and length, at the recording's own level."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from distsys.domains.protocol import Prediction
from distsys.domains.speaker_extraction.audio import is_silent, read_audio, resample, wav_bytes
from distsys.domains.speaker_extraction.config import Request
from distsys.domains.speaker_extraction.losses import energy_db
from distsys.domains.speaker_extraction.model import Extractor
from distsys.errors import DataError
from distsys.shapes import Float

_CHUNK_S, _OVERLAP_S = 16.0, 2.0
"""Longer recordings are worked on in pieces of this length that fade into each other."""
_ENROLMENT_S = 60.0
"""What follows in an enrolment is not listened to: every piece of the mixture attends to all of it."""


def answer(model: Extractor, request: Request) -> Prediction:
    """The wanted speaker of ``request.mixture``, as long as it and at its rate.

    Raises:
        DataError: a recording is at fault, or shorter than one frame of the model.
    """
    mixture, rate_hz = read_audio(request.mixture, may_clip=True)
    own_hz, enrolment = model.config.data.sample_rate_hz, _enrolment(model, request)
    estimate = extract(model, _at_model_rate(model, mixture, rate_hz, request.mixture), enrolment)
    restored = resample(estimate.numpy(), source_hz=own_hz, target_hz=rate_hz)[: len(mixture)]
    restored = np.pad(restored, (0, len(mixture) - len(restored)))
    drop_db = float(energy_db(torch.from_numpy(mixture)) - energy_db(torch.from_numpy(restored)))
    summary = {
        "seconds": round(len(mixture) / rate_hz, 3),
        "sample_rate_hz": rate_hz,
        "band_hz": min(own_hz, rate_hz) // 2,
        "level_drop_db": round(drop_db, 2),
        "enrolment_used_s": round(len(enrolment) / own_hz, 3),
    }
    return Prediction(summary, {".wav": wav_bytes(restored, rate_hz=rate_hz)})


def extract(
    model: Extractor, mixture: Float[Tensor, " time"], enrolment: Float[Tensor, " enrol_time"]
) -> Float[Tensor, " time"]:
    """The enrolled speaker of ``mixture``, both at the model's rate.

    A mixture of up to 16 s goes through the model at once, as in evaluation. A longer one is cut into overlapping
    pieces that share the level of the whole, so that no piece is normalised on its own, and summed under weights that
    add up to 1.
    """
    device = next(model.parameters()).device
    rate_hz = model.config.data.sample_rate_hz
    hop = model.config.model.window // 2
    size, overlap = (round(seconds * rate_hz / hop) * hop for seconds in (_CHUNK_S, _OVERLAP_S))
    known, whole = enrolment[None, None].to(device), mixture[None].to(device)
    if len(mixture) <= size:
        return torch.as_tensor(model(whole, known)[0, 0].cpu())
    level = model.level(whole)
    total, weight = torch.zeros_like(whole[0]), torch.zeros_like(whole[0])
    for start in range(0, len(mixture) - overlap, size - overlap):
        piece = whole[:, start : start + size]
        fade = _fade(piece.shape[-1], overlap).to(device)
        first, number = start // hop, math.ceil(piece.shape[-1] / hop) + 1
        frames = slice(first, first + number) if level.shape[-1] > 1 else slice(None)
        total[start : start + size] += fade * model(piece, known, level=level[..., frames])[0, 0]
        weight[start : start + size] += fade
    return torch.as_tensor((total / weight).cpu())


def _fade(length: int, overlap: int) -> Tensor:
    """Weights [length] that rise and fall linearly over ``overlap`` samples at the ends, never 0."""
    place = torch.arange(1, length + 1, dtype=torch.float32)
    return torch.minimum(place, place.flip(0)).clamp(max=overlap) / overlap


def _enrolment(model: Extractor, request: Request) -> Tensor:
    samples, rate_hz = read_audio(request.enrol)
    heard = _at_model_rate(model, samples[: round(_ENROLMENT_S * rate_hz)], rate_hz, request.enrol)
    if is_silent(heard.numpy()):
        raise DataError(
            f"{request.enrol}: silent in its first {_ENROLMENT_S:g} s below {model.config.data.sample_rate_hz // 2} Hz",
            expected="the wanted speaker's voice there",
        )
    return heard


def _at_model_rate(model: Extractor, samples: np.ndarray, rate_hz: int, path: Path) -> Tensor:
    own_hz, window = model.config.data.sample_rate_hz, model.config.model.window
    result = resample(samples, source_hz=rate_hz, target_hz=own_hz)
    if len(result) < window:
        raise DataError(
            f"{path}: lasts {1000.0 * len(result) / own_hz:.0f} ms",
            expected=f"at least one frame of the model, {1000.0 * window / own_hz:.0f} ms; seconds are better",
        )
    return torch.from_numpy(np.ascontiguousarray(result))
