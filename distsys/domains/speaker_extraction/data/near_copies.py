"""Two files of one utterance: by another microphone, at another level or bit depth, with an offset, or cut.

Their loudness rises and falls alike, which no two utterances do. Of 274 pairs of utterances of one speaker the most
alike correlate by 0.90 (one pair; the next by 0.80); 36 pairs of files of one utterance by 0.993 and more.
"""

from __future__ import annotations

import numpy as np

from distsys.shapes import Float

ALIKE = 0.95
"""Correlation of envelopes from which two recordings are one."""
_HOP_S, _RANGE_DB = 0.02, 40.0
_LEAST_S, _LEAST_SHARE = 1.0, 0.5
"""Of the shorter recording, that must lie over the other one."""


def envelope_db(samples: Float[np.ndarray, " time"], rate_hz: int) -> Float[np.ndarray, " frames"]:
    """Level every 20 ms in dB of full scale, at most 40 dB below the loudest."""
    size = round(_HOP_S * rate_hz)
    frames = samples[: len(samples) // size * size].reshape(-1, size).astype(np.float64)
    level = 10.0 * np.log10(np.square(frames - samples.mean(dtype=np.float64)).mean(axis=1) + 1e-12)
    return np.asarray(np.maximum(level, level.max(initial=-120.0) - _RANGE_DB))


def likeness(one: Float[np.ndarray, " frames"], other: Float[np.ndarray, " others"]) -> float:
    """Largest correlation of two envelopes over all shifts at which half of the shorter, and a second, overlap.

    Pearson's, over what overlaps: a cut takes nothing from it.
    """
    longer, shorter = (one, other) if len(one) >= len(other) else (other, one)
    if len(shorter) < _LEAST_S / _HOP_S:
        return 0.0
    longer, shorter = longer - longer.mean(), shorter - shorter.mean()
    size = len(longer) + len(shorter)

    def slid(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.fft.irfft(np.fft.rfft(a, size) * np.fft.rfft(b, size).conj(), size)

    all_of_longer, all_of_shorter = np.ones(len(longer)), np.ones(len(shorter))
    count = np.maximum(slid(all_of_longer, all_of_shorter), 1.0)
    sums = slid(longer, all_of_shorter), slid(all_of_longer, shorter)
    squares = slid(longer**2, all_of_shorter), slid(all_of_longer, shorter**2)
    spreads = [square - total**2 / count for square, total in zip(squares, sums, strict=True)]
    together = slid(longer, shorter) - sums[0] * sums[1] / count
    is_enough = count >= max(_LEAST_SHARE * len(shorter), _LEAST_S / _HOP_S) - 0.5
    is_lively = np.minimum(*spreads) > count  # a spread of 1 dB: what is next to constant is like nothing
    found = together / np.sqrt(np.maximum(spreads[0], 1.0) * np.maximum(spreads[1], 1.0))
    return float(found[is_enough & is_lively].max(initial=0.0))
