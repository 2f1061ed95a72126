"""Synthetic records by the stochastic method (Boore 2003), with a law that ties each to its part below 1 Hz.

An event has a magnitude and a few subevents; a station has a distance and a site. Subevents arrive as pulses of
P and S waves that both the motion below 1 Hz and the motion above it follow, the higher bands more briefly. Levels
follow an omega-square spectrum, with a scatter of known size that no model can foresee.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from distsys.domains.ground_motion.data.operators import RATE_HZ
from distsys.domains.ground_motion.data.records import Metadata, Record

_LENGTH_S = 40.0
_BEFORE_S = 8.0
_SHEAR_KM_S, _COMPRESSION_RATIO = 3.5, 1.73
_STRESS_BAR = 80.0
_KAPPA_S = 0.035
_QUALITY, _QUALITY_POWER = 180.0, 0.45
LEVEL_SCATTER = 0.35
"""Standard deviation of ln level of everything above 1 Hz, given everything below: what no model can foresee."""
_BANDS_HZ = (0.05, 0.5, 1.0, 2.0, 4.0, 7.0, 12.0, 18.0, 45.0)
_FLOOR_G = 1e-6
_STRENGTH = 10.0
"""Of a shaking at 1 km, in g, before source, path and site; sets peaks to some hundredths of g."""


@dataclass(frozen=True)
class Event:
    """What its records share: subevents at ``delays_s`` with ``strengths`` that add up to 1."""

    name: str
    magnitude: float
    delays_s: np.ndarray
    strengths: np.ndarray

    @classmethod
    def drawn(cls, name: str, random: np.random.Generator) -> Event:
        """Some event of magnitude 5 to 7.5."""
        magnitude = float(random.uniform(5.0, 7.5))
        number = int(random.integers(1, 4))
        delays_s = np.sort(random.uniform(0.0, 10.0 ** (0.5 * magnitude - 2.6), number))
        strengths = random.uniform(0.3, 1.0, number)
        return cls(name, magnitude, delays_s - delays_s[0], strengths / strengths.sum())

    @property
    def corner_hz(self) -> float:
        """Brune's corner frequency."""
        moment_dyne_cm = 10.0 ** (1.5 * self.magnitude + 16.05)
        return float(4.9e6 * _SHEAR_KM_S * (_STRESS_BAR / moment_dyne_cm) ** (1.0 / 3.0))


def synthetic_records(num_events: int, stations_per_event: int, *, seed: int) -> list[Record]:
    """Both components of every station of ``num_events`` events."""
    found = []
    for number in range(num_events):
        random = np.random.default_rng((seed, number))
        event = Event.drawn(f"event_{number:03d}", random)
        for station in range(stations_per_event):
            found += _components(event, f"station_{station}", random)
    return found


def _components(event: Event, station: str, random: np.random.Generator) -> list[Record]:
    """Two records that share everything but the noise in them."""
    distance_km = float(np.exp(random.uniform(np.log(8.0), np.log(80.0))))
    site = float(random.uniform(-0.4, 0.4))
    scatter = float(np.exp(LEVEL_SCATTER * random.standard_normal()))
    return [
        Record(
            _motion_g(event, distance_km, site, scatter, random),
            1.0 / RATE_HZ,
            event.name,
            station,
            f"{event.name}/{station}/{component}",
            "synthetic",
            Metadata(event.magnitude, distance_km, float(760.0 * np.exp(-site)), vertical=0.0),
        )
        for component in "ab"
    ]


def _motion_g(event: Event, distance_km: float, site: float, scatter: float, random: np.random.Generator) -> np.ndarray:
    size = round(_LENGTH_S * RATE_HZ)
    time_s = np.arange(size) / RATE_HZ
    frequency_hz = np.fft.rfftfreq(size, 1.0 / RATE_HZ)
    amplitude = _amplitude_g(event, distance_km, site, frequency_hz) * np.where(frequency_hz > 1.0, scatter, 1.0)
    spectrum = np.fft.rfft(random.standard_normal(size)) * amplitude
    total = _FLOOR_G * random.standard_normal(size)
    for low, high in pairwise(_BANDS_HZ):
        band = np.fft.irfft(spectrum * ((frequency_hz >= low) & (frequency_hz < high)), size)
        total += band * _shaking(event, distance_km, time_s, float(np.sqrt(low * high)))
    return total


def _amplitude_g(event: Event, distance_km: float, site: float, frequency_hz: np.ndarray) -> np.ndarray:
    """Strength of white noise at each frequency: source, path and site (Boore 2003, eqs. 4 to 20)."""
    f = np.maximum(frequency_hz, 0.02)
    moment = 10.0 ** (1.5 * (event.magnitude - 6.0))
    source = moment * f**2 / (1.0 + (f / event.corner_hz) ** 2)
    attenuation = np.exp(-np.pi * f ** (1.0 - _QUALITY_POWER) * distance_km / (_QUALITY * _SHEAR_KM_S))
    near_surface = np.exp(-np.pi * _KAPPA_S * f) * np.exp(site / (1.0 + f))
    return _STRENGTH * source * attenuation * near_surface / distance_km


def _shaking(event: Event, distance_km: float, time_s: np.ndarray, frequency_hz: float) -> np.ndarray:
    """Envelope in time at one frequency: P and S pulses of every subevent, longer below, weaker P above."""
    shear_s = distance_km / _SHEAR_KM_S
    rise_s = 0.5 + 0.02 * distance_km
    decay_s = (1.0 + 0.05 * distance_km) * frequency_hz**-0.35
    power = np.zeros(len(time_s))
    for delay_s, strength in zip(event.delays_s, event.strengths, strict=True):
        start_s = _BEFORE_S + delay_s
        power += strength * _pulse(time_s - start_s - shear_s * (1.0 - 1.0 / _COMPRESSION_RATIO), rise_s, decay_s)
        power += 0.08 * strength * _pulse(time_s - start_s, rise_s, decay_s)
    return np.sqrt(power)


def _pulse(time_s: np.ndarray, rise_s: float, decay_s: float) -> np.ndarray:
    since = np.maximum(time_s, 0.0)
    return (1.0 - np.exp(-since / rise_s)) * np.exp(-since / decay_s)
