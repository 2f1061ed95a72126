"""One speaker out of a recording of any rate and length, at the recording's own level."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from distsys.domains.protocol import Prediction
from distsys.domains.speaker_extraction.config import Request
from distsys.domains.speaker_extraction.data.cleaning import cleaned
from distsys.domains.speaker_extraction.model.network import Extractor
from distsys.errors import DataError
from distsys.shapes import Float
from distsys.signals.audio import is_silent, read_channels, wav_bytes, without_offset
from distsys.signals.levels import energy_db
from distsys.signals.resampling import resampled

_CHUNK_S, _OVERLAP_S = 16.0, 2.0
"""Longer recordings are worked on in pieces of this length that fade into each other."""
_ENROLMENT_S = 60.0
"""What follows in an enrolment is left out: every piece of the mixture attends to all of it."""


def predict(model: Extractor, request: Request) -> Prediction:
    """The wanted speaker of ``request.mixture``, as long as it, at its rate, and in as many channels.

    Raises:
        DataError: a recording is at fault, or shorter than one frame of the model.
    """
    mixture, rate_hz = read_channels(request.mixture, may_clip=True)
    model_hz, enrolment = model.sample_rate_hz, _enrolment(model, request)
    channels = [_extracted(model, channel, rate_hz, request.mixture, enrolment) for channel in mixture.T]
    restored = np.stack(channels, axis=1)
    heard = torch.from_numpy(without_offset(mixture).T.ravel())
    drop_db = float(energy_db(heard) - energy_db(torch.from_numpy(restored.T.ravel())))
    summary = {
        "seconds": round(len(mixture) / rate_hz, 3),
        "sample_rate_hz": rate_hz,
        "channels": len(channels),
        "band_hz": min(model_hz, rate_hz) // 2,
        "level_drop_db": round(drop_db, 2),
        "enrolment_used_s": round(len(enrolment) / model_hz, 3),
    }
    return Prediction(summary, {".wav": wav_bytes(restored, rate_hz=rate_hz)})


def _extracted(
    model: Extractor, channel: np.ndarray, rate_hz: int, path: Path, enrolment: Tensor
) -> Float[np.ndarray, " time"]:
    """The speaker in one channel [time] of a mixture, at its rate."""
    estimate = extract(model, _at_model_rate(model, channel, rate_hz, path), enrolment)
    restored = resampled(estimate.numpy(), up=rate_hz, down=model.sample_rate_hz)[: len(channel)]
    return np.pad(restored, (0, len(channel) - len(restored)))


def extract(
    model: Extractor, mixture: Float[Tensor, " time"], enrolment: Float[Tensor, " enrol_time"]
) -> Float[Tensor, " time"]:
    """The enrolled speaker of ``mixture``, both at the model's rate.

    A mixture of up to 16 s goes through the model at once, as in evaluation; a longer one in pieces.
    """
    device = next(model.parameters()).device
    reference, whole = enrolment[None, None].to(device), mixture[None].to(device)
    hop = model.stft.hop
    size, overlap = (round(seconds * model.sample_rate_hz / hop) * hop for seconds in (_CHUNK_S, _OVERLAP_S))
    if len(mixture) <= size:
        return model(whole, reference)[0, 0].cpu()
    return _in_pieces(model, whole, reference, size=size, overlap=overlap).cpu()


def _in_pieces(model: Extractor, whole: Tensor, reference: Tensor, *, size: int, overlap: int) -> Tensor:
    """Estimate [time] from overlapping pieces of ``whole`` [1, time], summed under weights that add up to 1.

    They share the RMS of the whole, so that no piece is normalised on its own.
    """
    hop, rms = model.stft.hop, model.rms(whole)
    weighted, weights = torch.zeros_like(whole[0]), torch.zeros_like(whole[0])
    for start in range(0, whole.shape[-1] - overlap, size - overlap):
        piece = whole[:, start : start + size]
        fade = _fade(piece.shape[-1], overlap).to(whole.device)
        first, number = start // hop, math.ceil(piece.shape[-1] / hop) + 1
        frames = slice(first, first + number) if rms.shape[-1] > 1 else slice(None)
        weighted[start : start + size] += fade * model(piece, reference, rms=rms[..., frames])[0, 0]
        weights[start : start + size] += fade
    return weighted / weights


def _fade(length: int, overlap: int) -> Tensor:
    """Weights [length] that change linearly over ``overlap`` samples at either end, never 0."""
    place = torch.arange(1, length + 1, dtype=torch.float32)
    return torch.minimum(place, place.flip(0)).clamp(max=overlap) / overlap


def _enrolment(model: Extractor, request: Request) -> Tensor:
    channels, rate_hz = read_channels(request.enrol)
    samples = channels.mean(axis=1)
    used = _at_model_rate(model, samples[: round(_ENROLMENT_S * rate_hz)], rate_hz, request.enrol)
    if is_silent(used.numpy()):
        raise DataError(
            f"{request.enrol}: silent in its first {_ENROLMENT_S:g} s below {model.sample_rate_hz // 2} Hz",
            expected="the wanted speaker's voice there",
        )
    return used


def _at_model_rate(model: Extractor, samples: np.ndarray, rate_hz: int, path: Path) -> Tensor:
    model_hz, window = model.sample_rate_hz, model.stft.size
    result = cleaned(samples, file_hz=rate_hz, rate_hz=model_hz)
    if len(result) < window:
        raise DataError(
            f"{path}: lasts {1000.0 * len(result) / model_hz:.0f} ms",
            expected=f"at least one frame of the model, {1000.0 * window / model_hz:.0f} ms; seconds are better",
        )
    return torch.from_numpy(result)
