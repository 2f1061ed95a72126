"""A learned array beside its uncertainty, and what no recording of this kind can tell of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from distsys.domains.kit import json_text, one_thread
from distsys.domains.protocol import Prediction
from distsys.domains.ris_localization.config import CalibrationRequest, Config
from distsys.domains.ris_localization.data.array_file import array_content
from distsys.domains.ris_localization.data.recording import Recording, read_recording
from distsys.domains.ris_localization.data.steering import Steering
from distsys.domains.ris_localization.model.array_fit import PER_ELEMENT, Scenes, parameters
from distsys.domains.ris_localization.model.calibration import Calibration, Calibrator
from distsys.domains.ris_localization.model.localizer import Localizer, localizer_of
from distsys.errors import DataError
from distsys.shapes import Float

_DB_PER_NEPER = 20.0 / math.log(10.0)
_WEAK = 1e-6
"""Of the prior: keeps what scenes say nothing about from being divided by zero."""
_FEWEST = 20
_DEAD = 0.1
"""Elements of less gain than this hear nothing, so that their phases and positions mean nothing."""


@dataclass(frozen=True)
class Direction:
    """A change of all elements together that sources elsewhere can explain as well, or nearly.

    Args:
        name, unit: for people; ``per_unit`` turns the coefficient into the unit.
        vector: [parameters], the change by a coefficient of one.
    """

    name: str
    unit: str
    per_unit: float
    vector: Tensor


def directions(steering: Steering) -> list[Direction]:
    """Common gain and phase, tilt, shift, rotation and stretch of an array."""
    x, y = steering.positions_m.unbind(1)
    none, one, k0 = torch.zeros_like(x), torch.ones_like(x), steering.wavenumber
    degree = 180.0 / math.pi

    def change(log: Tensor = none, turn: Tensor = none, along_x: Tensor = none, along_y: Tensor = none) -> Tensor:
        return torch.stack([log, turn, along_x, along_y], dim=1).flatten()

    return [
        Direction("common gain", "dB", _DB_PER_NEPER, change(log=one)),
        Direction("common phase", "deg", degree, change(turn=one)),
        Direction("tilt along x", "deg", degree, change(turn=k0 * x)),
        Direction("tilt along y", "deg", degree, change(turn=k0 * y)),
        Direction("shift along x", "mm", 1e3, change(along_x=one)),
        Direction("shift along y", "mm", 1e3, change(along_y=one)),
        Direction("rotation", "deg", degree, change(along_x=-y, along_y=x)),
        Direction("stretch", "%", 100.0, change(along_x=x, along_y=y)),
    ]


def without(values: Float[Tensor, "parameters any"], steering: Steering) -> Float[Tensor, "parameters any"]:
    """``values`` less their least-squares part along :func:`directions`."""
    basis = torch.linalg.qr(torch.stack([item.vector for item in directions(steering)], dim=1)).Q
    return values - basis @ (basis.T @ values)


def array_errors(learned: Steering, truth: Steering, nominal: Steering) -> dict[str, float]:
    """Root mean square errors of gain in dB, phase in deg and position in m without :func:`directions`; those apart.

    Dead elements have none.
    """
    found, true = (parameters(item, nominal).reshape(-1, PER_ELEMENT) for item in (learned, truth))
    gap = found - true
    mean = torch.polar(torch.ones_like(gap[:, 1]), gap[:, 1]).mean().angle()
    gap[:, 1] = torch.polar(torch.ones_like(gap[:, 1]), gap[:, 1] - mean).angle()
    gap = gap * (true[:, :1] > math.log(_DEAD))
    flat = gap.flatten()[:, None]
    rest = without(flat, nominal).reshape(-1, PER_ELEMENT).square().mean(dim=0).sqrt().tolist()
    along = {
        f"{item.name}, {item.unit}": item.per_unit * float(item.vector @ flat[:, 0] / item.vector.square().sum())
        for item in directions(nominal)
    }
    position = math.hypot(rest[2], rest[3]) / math.sqrt(2.0)
    return {
        "gain_db": _DB_PER_NEPER * rest[0], "phase_deg": math.degrees(rest[1]), "position_m": position, **along
    }  # fmt: skip


def calibrate(config: Config, request: CalibrationRequest) -> Prediction:
    """Elements of the array of ``config`` from the scenes of ``request``.

    Raises:
        DataError: a file does not fit the config, or anchors do not say where their sources are.
    """
    data = config.data
    localizer = localizer_of(data)
    scenes = read_recording(request.scenes, data, num_sources=request.num_sources)
    if len(scenes.snapshots) < _FEWEST:
        raise DataError(
            f"{request.scenes}: {len(scenes.snapshots)} scenes",
            expected=f"{_FEWEST} or more",
            fix="record more of them",
        )
    anchors: Sequence[Scenes] = ()
    if request.anchors is not None:
        known = read_recording(request.anchors, data, num_sources=request.num_sources)
        if known.true_uvq is None:
            raise DataError(
                f"{request.anchors}: anchors without 'sources'", expected="phi and theta in radians, range in metres"
            )
        anchors = scenes_of(known, localizer, known.true_uvq)
    with one_thread(), torch.no_grad():
        found = Calibrator(localizer).run(scenes_of(scenes, localizer, None), anchors)
        return _answer(found, localizer, num_scenes=len(scenes.snapshots), anchors=anchors)


def scenes_of(recording: Recording, localizer: Localizer, uvq: Tensor | None) -> list[Scenes]:
    """Scenes by their number of sources; ``uvq`` where sources are known."""
    parts = []
    for number in recording.num_sources.unique().tolist():
        rows = recording.num_sources == number
        data = localizer.grouped(recording.snapshots[rows])
        places = torch.zeros(int(rows.sum()), number, 3, dtype=torch.float64) if uvq is None else uvq[rows, :number]
        free = recording.num_snapshots[rows].double() * max(data.shape[2] - number, 1)
        parts.append(Scenes(data, places, free, are_known=uvq is not None))
    return parts


def uncertainty(found: Calibration, nominal: Steering) -> tuple[Tensor, list[dict[str, Any]]]:
    """Deviations [elements, 4] of what is identifiable, and a row for each of :func:`directions`."""
    covariance = found.covariance()
    left = without(without(covariance, nominal).T.contiguous(), nominal)
    deviations = left.diagonal().clamp(min=0.0).sqrt().reshape(-1, PER_ELEMENT)
    by_scenes = torch.linalg.inv(found.information + torch.diag(_WEAK * found.prior))
    rows = []
    for item in directions(nominal):
        unit = item.vector / item.vector.square().sum()
        told = item.per_unit * float(unit @ by_scenes @ unit) ** 0.5
        believed = item.per_unit * float((unit.square() / found.prior).sum()) ** 0.5
        rows.append(
            {
                "direction": item.name,
                "unit": item.unit,
                "deviation": round(min(told, believed), 6),
                "identifiable": told < believed,
            }
        )
    return deviations, rows


def _answer(found: Calibration, localizer: Localizer, *, num_scenes: int, anchors: Sequence[Scenes]) -> Prediction:
    deviations, rows = uncertainty(found, localizer.steering)
    is_alive = found.array.gains.abs() >= _DEAD
    sizes = deviations[is_alive].square().mean(dim=0).sqrt().tolist()
    about = {
        "scenes": num_scenes,
        "scenes_used": found.num_used,
        "anchors": sum(len(part.uvq) for part in anchors),
        "dead_elements": (found.array.gains.abs() < _DEAD).nonzero()[:, 0].tolist(),
        "gain_sd_db": round(_DB_PER_NEPER * sizes[0], 5),
        "phase_sd_deg": round(math.degrees(sizes[1]), 5),
        "position_sd_mm": round(1e3 * math.hypot(sizes[2], sizes[3]) / math.sqrt(2.0), 5),
        "not identifiable": ", ".join(row["direction"] for row in rows if not row["identifiable"]) or "nothing",
    }
    columns = zip(("gain_sd_db", "phase_sd_deg", "x_sd_m", "y_sd_m"), deviations.T, strict=True)
    factors = (_DB_PER_NEPER, math.degrees(1.0), 1.0, 1.0)
    spread = {name: (factor * item).tolist() for (name, item), factor in zip(columns, factors, strict=True)}
    content = array_content(
        localizer.surface, found.array, {"learned_from": about, "directions": rows, "deviations": spread}
    )
    return Prediction(about, {".json": json_text(content)}, warnings=_warnings(found, num_scenes))


def _warnings(found: Calibration, num_scenes: int) -> list[str]:
    if found.num_used >= 0.8 * num_scenes:
        return []
    left_out = f"{num_scenes - found.num_used} of {num_scenes} scenes fit the learned array far worse than others"
    return [f"{left_out}: their sources, the number of these or the surface may be others than is said"]
