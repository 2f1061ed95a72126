"""What no recording is heard with, in training and in use alike: its offset, and rumble below any voice."""

from __future__ import annotations

import numpy as np
from scipy.signal import butter, sosfilt

from distsys.shapes import Float
from distsys.signals.audio import without_offset
from distsys.signals.resampling import resampled

RUMBLE_HZ = 50.0
"""Below the lowest voices, at about 70 Hz; mains hum of 50 Hz is halved in power (a Butterworth filter)."""
_ORDER = 4


def cleaned(samples: Float[np.ndarray, " time"], *, file_hz: int, rate_hz: int) -> Float[np.ndarray, " new_time"]:
    """``samples`` at ``rate_hz``, less their mean and what lies below 50 Hz, by a filter that does not look ahead."""
    sections = butter(_ORDER, RUMBLE_HZ, "highpass", fs=rate_hz, output="sos")
    heard = resampled(without_offset(samples), up=rate_hz, down=file_hz)
    return sosfilt(sections, heard.astype(np.float64)).astype(np.float32)
