"""Synthetic voices: a source of harmonics and breath through moving formants (Fant 1960, Klatt 1980).

Speakers differ in pitch, vocal-tract length, spectral tilt, breath and rate, so that one can be told from
another by an enrolment, and everybody draws on the same vowels, so that content does not give a speaker away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

_VOWELS_HZ = np.array(
    [
        (730, 1090, 2440, 3400),
        (270, 2290, 3010, 3600),
        (530, 1840, 2480, 3500),
        (300, 870, 2240, 3300),
        (570, 840, 2410, 3300),
        (490, 1350, 1690, 3300),
        (640, 1190, 2390, 3400),
        (390, 1990, 2550, 3500),
    ],
    dtype=np.float64,
)
"""Formants of American English vowels (Peterson and Barney 1952), the fourth by rule."""
_BANDWIDTHS_HZ = np.array([80.0, 100.0, 140.0, 200.0])
_FRAME_S = 0.01
_UTTERANCES = 2
_FLOOR = 1e-3
"""Noise of a quiet room, so that no pause is digital silence."""


@dataclass(frozen=True)
class Voice:
    """What stays the same over everything a speaker says."""

    pitch_hz: float
    formants: tuple[float, ...]
    """Factor on each formant frequency: a shorter vocal tract has higher ones, and no two have one shape."""
    tilt_db_per_octave: float
    breath: float
    syllables_per_s: float

    @classmethod
    def drawn(cls, random: np.random.Generator) -> Voice:
        """Somebody: pitch 85 to 260 Hz, and a tract whose length goes along with it, but not strictly."""
        pitch_hz = float(85.0 * (260.0 / 85.0) ** random.uniform())
        tract = float(0.88 + 0.22 * np.log2(pitch_hz / 85.0) / np.log2(260.0 / 85.0) + random.uniform(-0.12, 0.12))
        return cls(
            pitch_hz=pitch_hz,
            formants=tuple(float(tract * np.exp(random.normal(0.0, 0.06))) for _ in _BANDWIDTHS_HZ),
            tilt_db_per_octave=float(random.uniform(-15.0, -5.0)),
            breath=float(0.003 * 30.0 ** random.uniform()),
            syllables_per_s=float(random.uniform(2.8, 4.8)),
        )


def synthetic_voices(
    num_speakers: int, *, seconds: float, sample_rate_hz: int, seed: int
) -> dict[str, list[np.ndarray]]:
    """Utterances [time] of float32 of each speaker, two of half of ``seconds`` each."""
    result = {}
    for number in range(num_speakers):
        random = np.random.default_rng((seed, number))
        voice = Voice.drawn(random)
        utterances = [
            speak(voice, seconds=seconds / _UTTERANCES, sample_rate_hz=sample_rate_hz, random=random)
            for _ in range(_UTTERANCES)
        ]
        result[f"voice_{number:04d}"] = utterances
    return result


def speak(voice: Voice, *, seconds: float, sample_rate_hz: int, random: np.random.Generator) -> np.ndarray:
    """One utterance [time] of float32: syllables of moving vowels, fricatives between them, and pauses."""
    size = round(seconds * sample_rate_hz)
    frames = int(np.ceil(seconds / _FRAME_S)) + 1
    formants_hz, voicing, friction = _articulation(voice, frames, random)
    at = np.arange(size) / (sample_rate_hz * _FRAME_S)
    voiced = _voiced(voice, formants_hz, voicing, at, sample_rate_hz, random)
    hiss = lfilter([1.0, -0.95], [1.0], random.standard_normal(size))
    sound = voiced + 0.25 * hiss * np.interp(at, np.arange(frames), friction)
    return (0.1 * sound / np.sqrt(np.mean(np.square(sound)))).astype(np.float32)


def _articulation(voice: Voice, frames: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Formants [frames, 4] in Hz, and the strength of voice and of friction [frames]."""
    formants, voicing, friction = np.empty((frames, 4)), np.zeros(frames), np.zeros(frames)
    at, vowel = 0, _VOWELS_HZ[random.integers(len(_VOWELS_HZ))]
    while at < frames:
        length = max(6, round(random.uniform(0.7, 1.3) / voice.syllables_per_s / _FRAME_S))
        end, onset = min(at + length, frames), max(2, length // 4)
        target = _VOWELS_HZ[random.integers(len(_VOWELS_HZ))]
        glide = 1.0 / (1.0 + np.exp(-(np.arange(length) - length / 3.0) / max(1.0, length / 10.0)))
        formants[at:end] = (vowel + glide[:, None] * (target - vowel))[: end - at]
        kind = random.uniform()
        if kind < 0.85:  # the rest are pauses
            swell = np.sin(np.pi * (np.arange(length) + 0.5) / length) ** 0.5 * random.uniform(0.5, 1.0)
            if kind < 0.35:
                swell[:onset] *= 0.1
                friction[at : min(at + onset, frames)] = random.uniform(0.2, 0.8)
            voicing[at:end] = swell[: end - at]
        at, vowel = end, target
    return formants * np.array(voice.formants), voicing, friction


def _voiced(
    voice: Voice,
    formants_hz: np.ndarray,
    voicing: np.ndarray,
    at: np.ndarray,
    sample_rate_hz: int,
    random: np.random.Generator,
) -> np.ndarray:
    """Harmonics of a wandering pitch, each as strong as the formants leave it, with breath in step."""
    frames = np.arange(len(formants_hz))
    slow = np.interp(frames, frames[::20], random.normal(0.0, 0.05, len(frames[::20])))
    pitch_hz = voice.pitch_hz * np.exp(slow + random.normal(0.0, 0.008, len(frames)))
    phase = 2.0 * np.pi * np.cumsum(np.interp(at, frames, pitch_hz)) / sample_rate_hz
    shimmer = voicing * np.exp(random.normal(0.0, 0.05, len(frames)))
    turn = np.exp(1j * (phase + 0.3)).astype(np.complex64)
    wave, sound = turn.copy(), np.zeros(len(at), dtype=np.float32)
    for harmonic in range(1, int(0.5 * sample_rate_hz / pitch_hz.max()) + 1):
        strength = _response(harmonic * pitch_hz, formants_hz) * harmonic ** (voice.tilt_db_per_octave / 6.02)
        sound += np.interp(at, frames, strength * shimmer).astype(np.float32) * wave.real
        wave *= turn
    breath = random.standard_normal(len(at)) * np.interp(at, frames, shimmer)
    room = _FLOOR * random.standard_normal(len(at))
    return sound + voice.breath * breath + room


def _response(frequency_hz: np.ndarray, formants_hz: np.ndarray) -> np.ndarray:
    """Magnitude of a cascade of resonators [frames] at one frequency a frame."""
    f = frequency_hz[:, None]
    half = 0.5 * _BANDWIDTHS_HZ
    peak = formants_hz**2 + half**2
    below = np.sqrt(((f - formants_hz) ** 2 + half**2) * ((f + formants_hz) ** 2 + half**2))
    return (peak / below).prod(axis=1)
