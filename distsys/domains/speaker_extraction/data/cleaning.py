"""What no recording is heard with, in training and in use alike: its offset, and rumble below any voice."""

from __future__ import annotations

import numpy as np
from scipy.signal import butter, sosfiltfilt

from distsys.shapes import Float
from distsys.signals.audio import without_offset
from distsys.signals.resampling import resampled

RUMBLE_HZ = 50.0
"""Below the lowest voices, at about 70 Hz; there a component is halved, at 85 Hz it loses 0.3 dB."""
_ORDER = 3
"""Of a Butterworth filter that runs forth and back: one that only runs forth turns the phase of a voice's lowest
harmonics by 80 degrees, and an estimate would no longer match what it was taken from."""


def cleaned(samples: Float[np.ndarray, " time"], *, file_hz: int, rate_hz: int) -> Float[np.ndarray, " new_time"]:
    """``samples`` at ``rate_hz``, less their mean and what lies below 50 Hz; no phase is turned."""
    sections = butter(_ORDER, RUMBLE_HZ, "highpass", fs=rate_hz, output="sos")
    heard = resampled(without_offset(samples), up=rate_hz, down=file_hz)
    return sosfiltfilt(sections, heard.astype(np.float64)).astype(np.float32)
