"""Acceleration records in NumPy's format (.npz), with the keys of the original project."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from distsys.domains.ground_motion.config import Unit
from distsys.domains.ground_motion.data.records import G_IN, Record
from distsys.errors import DataError


def read_npz(path: Path, unit: Unit) -> Iterator[Record]:
    """``signal_broadband`` [time] in units of ``pga_broadband`` when that is there, at ``sampling_rate`` Hz."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            content: Mapping[str, np.ndarray] = {name: archive[name] for name in archive.files}
    except (OSError, EOFError, ValueError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error})", expected="an .npz without pickled objects") from None
    for name in ("signal_broadband", "sampling_rate"):
        if name not in content:
            raise DataError(f"{path}: no '{name}' (there are {', '.join(content) or 'none'})")
    samples = _numeric(path, content, "signal_broadband").squeeze()
    rate_hz = _single(path, content, "sampling_rate")
    if not rate_hz > 0.0:
        raise DataError(f"{path}: sampling_rate {rate_hz:g}", expected="samples a second")
    if "pga_broadband" in content:
        samples = _denormalised(path, samples, _single(path, content, "pga_broadband"))
    event, station = (str(content[name]) if name in content else str(path) for name in ("event", "station"))
    yield Record(samples / G_IN[unit], 1.0 / rate_hz, event, station, str(path))


def _numeric(path: Path, content: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if content[name].dtype.kind not in "biuf":
        raise DataError(f"{path}: '{name}' has type {content[name].dtype}", expected="numbers")
    return np.asarray(content[name], dtype=np.float64)


def _single(path: Path, content: Mapping[str, np.ndarray], name: str) -> float:
    values = _numeric(path, content, name)
    if values.size != 1:
        raise DataError(f"{path}: '{name}' has {values.size} values", expected="one number")
    return float(values.reshape(()))


def _denormalised(path: Path, samples: np.ndarray, pga: float) -> np.ndarray:
    """``samples`` times ``pga``, if they peak at 1; a record that peaks at its PGA is physical already."""
    peak = float(np.abs(samples).max(initial=0.0))
    if np.isclose(peak, 1.0, rtol=0.01):
        return samples * pga
    if np.isclose(peak, pga, rtol=0.01):
        return samples
    raise DataError(
        f"{path}: signal_broadband peaks at {peak:.4g}, pga_broadband is {pga:.4g}",
        expected="a peak of 1 (normalised) or of pga_broadband (physical)",
        fix=f"a peak of {pga * pga:.4g} would be a record that was multiplied by its PGA twice",
    )
