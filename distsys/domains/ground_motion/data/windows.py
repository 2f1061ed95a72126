"""From records to windows: one rate, one pass band, one length, and where the shaking begins."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from scipy.signal.windows import tukey

from distsys.domains.ground_motion.config import DataConfig
from distsys.domains.ground_motion.data.operators import CUTOFF_HZ, RATE_HZ, WINDOW
from distsys.domains.ground_motion.data.records import Record
from distsys.errors import DataError
from distsys.signals.energy import arrival
from distsys.signals.filters import band_pass, low_pass
from distsys.signals.resampling import resampled

_LARGEST_DENOMINATOR = 1000
_TAPER_SHARE = 0.05
_ONSET_SHARE = 0.01
"""Of a record's energy."""
LEAST_LEAD_S, MOST_LEAD_S = 0.5, 6.0
"""Between the beginning of a window and the onset: drawn, so that no place in a window means anything."""


@dataclass(frozen=True)
class Motion:
    """A record ready to be cut.

    Args:
        samples: [time] float32 in g, at 100 Hz, within the pass band.
        onset: sample at which 1 % of the energy below 1 Hz has arrived: of what is given, and of nothing else.
    """

    record: Record
    samples: np.ndarray
    onset: int

    def window(self, uniform: float) -> np.ndarray:
        """[2048] samples that begin a drawn lead before the onset; ``uniform`` is in (0, 1)."""
        start = self.start(uniform)
        return self.samples[start : start + WINDOW]

    def start(self, uniform: float) -> int:
        """Where that window begins."""
        lead = round((LEAST_LEAD_S + (MOST_LEAD_S - LEAST_LEAD_S) * uniform) * RATE_HZ)
        return min(max(0, self.onset - lead), len(self.samples) - WINDOW)


def prepare(
    record: Record, data: DataConfig, *, highest_hz: float | None = None, onset_s: float | None = None
) -> Motion:
    """Resample, remove the mean, taper, band-pass.

    Args:
        highest_hz: what the record must hold; data.high_hz unless only the part below 1 Hz is asked for.
        onset_s: where somebody sees the onset, in s of the record; None finds it.

    Raises:
        DataError: the record is shorter than a window, or sampled too slowly.
    """
    highest_hz = data.high_hz if highest_hz is None else highest_hz
    if 0.5 / record.dt_s < highest_hz:
        raise DataError(
            f"{record.name}: sampled at {1.0 / record.dt_s:.4g} Hz",
            expected=f"at least {2.0 * highest_hz:g} Hz for motion up to {highest_hz:g} Hz",
        )
    samples = _at_rate(record.samples - record.samples.mean(), record.dt_s)
    if len(samples) < WINDOW:
        raise DataError(
            f"{record.name}: lasts {len(samples) / RATE_HZ:.2f} s", expected=f"at least {WINDOW / RATE_HZ:g} s"
        )
    samples = (samples - samples.mean()) * tukey(len(samples), _TAPER_SHARE)
    samples = band_pass(samples, rate_hz=RATE_HZ, low_hz=data.low_hz, high_hz=data.high_hz)
    below = low_pass(samples, rate_hz=RATE_HZ, cutoff_hz=CUTOFF_HZ)
    found = int(arrival(torch.from_numpy(np.square(below)), _ONSET_SHARE))
    onset = found if onset_s is None else round(onset_s * RATE_HZ)
    if onset >= len(samples):
        raise DataError(
            f"{record.name}: an onset at {onset_s:g} s", expected=f"within its {len(samples) / RATE_HZ:g} s"
        )
    return Motion(record, samples.astype(np.float32), onset)


def _at_rate(samples: np.ndarray, dt_s: float) -> np.ndarray:
    """At 100 Hz; the ratio is rational, since time steps such as 0.0024 s exist."""
    ratio = Fraction(dt_s * RATE_HZ).limit_denominator(_LARGEST_DENOMINATOR)
    return resampled(samples, up=ratio.numerator, down=ratio.denominator)
