"""A learned array as a file: positions, gains and their standard deviations, by element."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distsys.domains.ris_localization.data.geometry import Surface
from distsys.errors import DataError

_KIND = "ris_localization array"
_COLUMNS = ("x_m", "y_m", "gain_db", "phase_deg")
_HOW = "distsys calibrate ris_localization --scenes unlabelled.npz -o array.json writes one"


@dataclass(frozen=True)
class LearnedArray:
    """Elements as they were learned.

    Args:
        positions_m: [elements, 2], float64.
        gains: [elements], complex128, of mean power one.
    """

    positions_m: Tensor
    gains: Tensor


def array_content(surface: Surface, learned: LearnedArray, about: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values of a file that :func:`read_array` reads."""
    values = torch.stack(
        [*learned.positions_m.unbind(1), 20.0 * learned.gains.abs().log10(), learned.gains.angle().rad2deg()], dim=1
    )
    return {
        "kind": _KIND,
        "num_x": surface.num_x,
        "num_y": surface.num_y,
        "wavelength_m": surface.wavelength_m,
        "spacing_m": surface.spacing_m,
        "elements": [dict(zip(_COLUMNS, row, strict=True)) for row in values.tolist()],
        **about,
    }


def read_array(path: Path, surface: Surface) -> LearnedArray:
    """The array in ``path``, which must be one of ``surface``.

    Raises:
        DataError: it is no such file, or of another surface.
    """
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error})", expected="a learned array", fix=_HOW) from None
    if not isinstance(content, dict) or content.get("kind") != _KIND:
        raise DataError(f"{path}: is no learned array", expected=f"JSON with 'kind': '{_KIND}'", fix=_HOW)
    for name in ("num_x", "num_y", "wavelength_m", "spacing_m"):
        wanted, found = getattr(surface, name), content.get(name)
        if not isinstance(found, int | float) or not math.isclose(found, wanted, rel_tol=1e-6):
            raise DataError(
                f"{path}: '{name}' is {found}",
                expected=f"{wanted:g}, that of the surface",
                fix="calibrate this surface",
            )
    return _elements(path, content.get("elements"), surface.num_elements)


def _elements(path: Path, rows: Any, number: int) -> LearnedArray:
    try:
        values = torch.tensor([[float(row[name]) for name in _COLUMNS] for row in rows], dtype=torch.float64)
    except (TypeError, KeyError, ValueError):
        values = torch.zeros(0, 4)
    if values.shape != (number, 4) or not bool(torch.isfinite(values).all()):
        raise DataError(
            f"{path}: 'elements' of another form", expected=f"{number} rows of numbers {', '.join(_COLUMNS)}", fix=_HOW
        )
    size = 10.0 ** (values[:, 2] / 20.0)
    gains = torch.polar(size / size.square().mean().sqrt(), values[:, 3].deg2rad())
    return LearnedArray(values[:, :2], gains)
