"""Recorded snapshots of a file: checked, and brought into the form of simulated scenes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from distsys.domains.ris_localization.config import DataConfig
from distsys.domains.ris_localization.data.arrays import read_arrays
from distsys.domains.ris_localization.data.geometry import from_physical
from distsys.errors import DataError, did_you_mean

_KNOWN = ("snapshots", "covariance", "num_snapshots", "num_sources", "sources")
_HERMITIAN = 1e-6
_ROUNDING = 50.0
"""Of the file's own precision, that matrices and eigenvalues may be off by."""


@dataclass(frozen=True)
class Recording:
    """Scenes of a file.

    Args:
        snapshots: [scenes, channels, snapshots] complex64.
        num_sources, num_snapshots: [scenes].
        true_uvq: [scenes, most sources, 3], or None where the file does not say.
    """

    snapshots: Tensor
    num_sources: Tensor
    num_snapshots: Tensor
    true_uvq: Tensor | None


def read_recording(path: Path, data: DataConfig, *, num_sources: int | Literal["auto"] | None) -> Recording:
    """The scenes in ``path``, see :func:`~.arrays.read_arrays`; ``auto`` takes the most where the file does not say.

    It holds ``snapshots`` [scenes, channels, snapshots] or, for an array, ``covariance`` [scenes, elements,
    elements] with ``num_snapshots``; optionally ``num_sources`` [scenes] and, to compare with, ``sources``
    [scenes, sources, 3]: phi and theta in radians, range in metres.

    Raises:
        DataError: the file is no such thing; what was found and what was expected are named.
    """
    content = _load(path)
    snapshots, taken = _snapshots(path, content, data)
    number = _numbers(path, content, data, len(snapshots), num_sources)
    truth = _truth(path, content, data, number) if "sources" in content else None
    return Recording(torch.from_numpy(snapshots), torch.from_numpy(number), torch.from_numpy(taken), truth)


def _load(path: Path) -> dict[str, np.ndarray]:
    content = read_arrays(path)
    for name in content:
        if name not in _KNOWN:
            raise DataError(
                f"{path}: unknown array '{name}'",
                expected=f"some of {', '.join(_KNOWN)}",
                fix=did_you_mean(name, _KNOWN),
            )
    if ("snapshots" in content) == ("covariance" in content):
        raise DataError(
            f"{path}: holds {', '.join(content) or 'nothing'}", expected="either 'snapshots' or 'covariance'"
        )
    return content


def _snapshots(path: Path, content: Mapping[str, np.ndarray], data: DataConfig) -> tuple[np.ndarray, np.ndarray]:
    """Snapshots of every scene, complex64, and how many they are or stand for."""
    name = "snapshots" if "snapshots" in content else "covariance"
    values = content[name][None] if content[name].ndim == 2 else content[name]
    what = f"{path}: '{name}' of shape {content[name].shape} and type {content[name].dtype}"
    if not np.issubdtype(values.dtype, np.complexfloating) or values.ndim != 3 or 0 in values.shape:
        raise DataError(what, expected="complex numbers [scenes, channels, snapshots], or without the first axis")
    if values.shape[1] != data.num_channels:
        kind = "elements" if data.measurement == "array" else "antennas"
        raise DataError(
            f"{what}: {values.shape[1]} channels",
            expected=f"{data.num_channels} {kind}, which the model was trained for",
            fix="put channels on the second axis, y fastest, or use a checkpoint trained for this surface",
        )
    _require_finite(path, name, values)
    values = values.astype(np.complex128)
    if name == "covariance":
        return _from_covariance(path, values, content, data)
    if data.measurement == "coded" and values.shape[2] > data.num_snapshots:
        raise DataError(f"{what}: {values.shape[2]} snapshots", expected=f"at most {data.num_snapshots}, one a code")
    missing = data.num_snapshots - values.shape[2] if data.measurement == "coded" else 0
    snapshots = np.pad(_scaled(values), ((0, 0), (0, 0), (0, missing))).astype(np.complex64)
    return snapshots, np.full(len(values), values.shape[2])


def _require_finite(path: Path, name: str, values: np.ndarray) -> None:
    bad = np.flatnonzero(~np.isfinite(values).all(axis=(1, 2)))
    silent = np.flatnonzero(~values.any(axis=(1, 2)))
    if len(bad):
        raise DataError(
            f"{path}: '{name}' is not finite in {len(bad)} of {len(values)} scenes, first in scene {bad[0]}",
            expected="finite numbers",
            fix="leave these scenes out",
        )
    if len(silent):
        raise DataError(f"{path}: '{name}' is all zero in scene {silent[0]}", expected="a signal")


def _from_covariance(
    path: Path, values: np.ndarray, content: Mapping[str, np.ndarray], data: DataConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Snapshots with the given sample covariance, its scaled eigenvectors, and how many it averages."""
    if data.measurement == "coded":
        raise DataError(f"{path}: 'covariance' for a coded surface", expected="'snapshots', one for each code")
    if values.shape[2] != values.shape[1]:
        raise DataError(f"{path}: 'covariance' of shape {values.shape}", expected="square matrices")
    tolerance = max(_HERMITIAN, _ROUNDING * float(np.finfo(content["covariance"].dtype).eps))
    gap = np.abs(values - values.conj().swapaxes(1, 2)).max(axis=(1, 2)) / np.abs(values).max(axis=(1, 2))
    if gap.max() > tolerance:
        raise DataError(
            f"{path}: 'covariance' of scene {gap.argmax()} differs from its conjugate transpose by {gap.max():.2g} "
            "of its largest entry",
            expected=f"Hermitian matrices, to {tolerance:.1g}",
            fix="Y @ Y.conj().T / num_snapshots is one",
        )
    if "num_snapshots" not in content:
        raise DataError(f"{path}: 'covariance' without 'num_snapshots'", expected="how many snapshots it averages")
    taken = _integers(path, "num_snapshots", content["num_snapshots"], len(values))
    if taken.min() < 1:
        raise DataError(f"{path}: 'num_snapshots' holds {taken.min()}", expected="1 or more")
    return _scaled(_factors(path, values, taken, tolerance)).astype(np.complex64), taken


def _factors(path: Path, covariance: np.ndarray, taken: np.ndarray, tolerance: float) -> np.ndarray:
    """F with F F^H = L R, [scenes, elements, elements]."""
    size, vectors = np.linalg.eigh(covariance)
    largest = size[:, -1]
    if (size[:, 0] < -tolerance * largest).any():
        raise DataError(f"{path}: 'covariance' has the eigenvalue {size.min():.3g}", expected="none below 0")
    rank = (size > tolerance * largest[:, None]).sum(axis=1)
    if (rank > taken).any():
        scene = int((rank > taken).argmax())
        raise DataError(
            f"{path}: 'covariance' of scene {scene} has rank {rank[scene]}, 'num_snapshots' says {taken[scene]}",
            expected="a sample covariance, whose rank is at most its number of snapshots",
            fix="give the number of snapshots that were averaged, and add no loading",
        )
    return vectors * np.sqrt(taken[:, None, None] * np.clip(size[:, None], 0.0, None))


def _integers(path: Path, name: str, found: np.ndarray, num_scenes: int) -> np.ndarray:
    """``found``, one number for all scenes or one each, as [scenes]."""
    if not np.issubdtype(found.dtype, np.integer) or found.shape not in ((), (1,), (num_scenes,)):
        raise DataError(
            f"{path}: '{name}' of shape {found.shape} and type {found.dtype}",
            expected=f"one integer, or one for each of {num_scenes} scenes",
        )
    return np.broadcast_to(found, (num_scenes,)).astype(np.int64)


def _scaled(values: np.ndarray) -> np.ndarray:
    """Volts or counts to a power of one a channel: nothing depends on it but float32's range."""
    values = values / np.abs(values).max(axis=(1, 2), keepdims=True)
    return values / np.sqrt(np.square(np.abs(values)).mean(axis=(1, 2), keepdims=True))


def _numbers(
    path: Path, content: Mapping[str, np.ndarray], data: DataConfig, num_scenes: int, asked: int | str | None
) -> np.ndarray:
    if isinstance(asked, int):
        found, source = np.full(num_scenes, asked), "--num-sources"
    elif "num_sources" in content:
        found = _integers(path, "num_sources", content["num_sources"], num_scenes)
        source = f"{path}: 'num_sources'"
    elif data.min_sources == data.max_sources or asked is not None:
        found, source = np.full(num_scenes, data.max_sources), "the model"
    else:
        raise DataError(
            f"{path}: does not say how many sources there are",
            expected=f"{data.min_sources} to {data.max_sources} sources a scene",
            fix="give --num-sources, a number or auto, or 'num_sources' in the file",
        )
    fewest = 0 if asked == "auto" else data.min_sources  # then it is the truth to compare with
    if found.min() < fewest or found.max() > data.max_sources:
        wrong = found.max() if found.max() > data.max_sources else found.min()
        raise DataError(
            f"{source}: {wrong} sources",
            expected=f"{fewest} to {data.max_sources}, which the model was trained for",
            fix="train with data.max_sources set to what is needed",
        )
    return found.astype(np.int64)


def _truth(path: Path, content: Mapping[str, np.ndarray], data: DataConfig, number: np.ndarray) -> Tensor:
    sources = content["sources"]
    if not np.issubdtype(sources.dtype, np.floating) or sources.shape != (len(number), int(number.max()), 3):
        raise DataError(
            f"{path}: 'sources' of shape {sources.shape} and type {sources.dtype}",
            expected=f"floats ({len(number)}, {int(number.max())}, 3): phi and theta in radians, range in metres",
        )
    present = np.arange(sources.shape[1]) < number[:, None]
    limits = (np.radians(data.max_phi_deg), np.radians(data.max_theta_deg))
    for column, (name, limit) in enumerate(zip(("phi", "theta"), limits, strict=True)):
        worst = float(np.abs(sources[..., column][present]).max())
        if not worst <= limit + 1e-9:
            raise DataError(
                f"{path}: 'sources' holds {name} = {worst:.4g} rad",
                expected=f"within +-{limit:.4g} rad ({np.degrees(limit):g} deg)",
                fix="angles are in radians: convert degrees with numpy.radians, or leave out what is outside the grid",
            )
    ranges = sources[..., 2][present]
    outside = ~((ranges >= data.min_range_m) & (ranges <= data.max_range_m))
    if outside.any():
        raise DataError(
            f"{path}: 'sources' holds a range of {ranges[outside][0]:.4g} m",
            expected=f"{data.min_range_m:g} to {data.max_range_m:g} m, the grid of the model",
            fix="give metres, or train with another data.min_range_m and data.max_range_m",
        )
    safe = np.where(present[..., None], sources.astype(np.float64), [0.0, 0.0, 1.0])
    padded = np.pad(safe, ((0, 0), (0, data.max_sources - safe.shape[1]), (0, 0)), constant_values=1.0)
    return from_physical(torch.from_numpy(padded))
