"""What records are like, by source: peaks, levels, spectra, and the scale a diffusion would see."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import get_args

import numpy as np
import torch
from torch import Tensor

from distsys.domains.ground_motion.config import Config, Route, Scale
from distsys.domains.ground_motion.data.diffused import measured_sigma
from distsys.domains.ground_motion.data.gathering import gather_motions, require_events
from distsys.domains.ground_motion.data.grouping import Group, grouped
from distsys.domains.ground_motion.data.levels import levels_of
from distsys.domains.ground_motion.data.operators import EDGES_HZ, highpart, lowpass, rms
from distsys.domains.ground_motion.data.windows import Motion
from distsys.domains.protocol import Inspection
from distsys.errors import DataError

_PEAK_G = (1e-3, 2.0)
"""Median peak of a source whose unit is right."""
_RATIO = (0.3, 30.0)
"""Median RMS above 1 Hz over that below: a conditioning scaled by itself, or by another signal, leaves it."""
_MIDDLE = 0.5
_KNOWN = ("magn.", "dist.", "Vs30", "axis")
_REASON = 34
"""Characters of a line that says why records were joined, beside what is known of them."""


def inspect(config: Config, *, seed: int) -> Inspection:
    """Tables by source, and every fault of every file and source."""
    data = config.data.model_copy(update={"on_fault": "leave_out"})
    motions, faults = gather_motions(data, seed=seed)
    if not motions:
        return Inspection({}, faults)
    names = sorted({motion.record.source for motion in motions})
    sources = {name: [motion for motion in motions if motion.record.source == name] for name in names}
    wrong = [text for name, items in sources.items() for text in _out_of_band(name, items)]
    found = grouped(motions)
    try:
        require_events(found.numbers, declared=len({motion.record.event for motion in motions}))
    except DataError as error:
        wrong.append(str(error))
    return Inspection({**_tables(sources), **_joined(found.groups)}, [*faults, *wrong])


def _joined(groups: Sequence[Group]) -> dict[str, tuple[list[str], list[list[object]]]]:
    """Names that are taken for one earthquake, sure and doubtful ones apart; nothing where each stands for its own."""
    found = {}
    for sure, title in (
        (True, "names of one earthquake, which stay in one fold"),
        (False, "names that may mean one earthquake, and stay in one fold: doubtful"),
    ):
        rows: list[list[object]] = []
        for number, group in enumerate((group for group in groups if group.likeness.sure is sure), start=1):
            for name in group.names:
                magnitude = "" if name.magnitude is None else name.magnitude
                rows.append([f"{number} {name.event}, {name.source}", name.origin.text(), magnitude])
            rows += [[f"  {line}", "", ""] for line in textwrap.wrap(group.likeness.why, _REASON)]
        if rows:
            found[title] = (["event and source, and by what joined", "origin", "magnitude"], rows)
    return found


def _known_row(name: str, motions: Sequence[Motion]) -> list[object]:
    """Of what share of records each thing is known."""
    records = [motion.record for motion in motions]
    known = {
        "event": [record.tells_event for record in records],
        "time": [record.origin.time is not None for record in records],
        "place": [record.origin.place is not None for record in records],
        **{
            word: [math.isfinite(getattr(record.metadata, key)) for record in records]
            for word, key in zip(_KNOWN, ("magnitude", "distance_km", "vs30_m_s", "vertical"), strict=True)
        },
        "net": [bool(record.network) for record in records],
        "start": [record.begins is not None for record in records],
    }
    return [
        name,
        *("all" if all(each) else f"{sum(each) / len(each):.0%}" if any(each) else "-" for each in known.values()),
    ]


def _tables(sources: Mapping[str, Sequence[Motion]]) -> dict[str, tuple[list[str], list[list[object]]]]:
    bands = [f"{low:g}-{high:g}" for low, high in pairwise(EDGES_HZ)]
    return {
        f"records (expected: a median peak of {_PEAK_G[0]:g} to {_PEAK_G[1]:g} g)": (
            ["source", "records", "events", "step, s", "peak, g", "RMS, g"],
            [_records_row(name, items) for name, items in sources.items()],
        ),
        "share of records of which is known (the rest: a metadata.csv beside the files)": (
            ["source", "event", "time", "place", *_KNOWN, "net", "start"],
            [_known_row(name, items) for name, items in sources.items()],
        ),
        f"median RMS of a band over that below 1 Hz (expected in all: {_RATIO[0]:g} to {_RATIO[1]:g})": (
            ["source", *bands],
            [_spectrum_row(name, items) for name, items in sources.items()],
        ),
        "standard deviation of what each route diffuses (sigma_data)": (
            ["source", "envelope", "complement", *get_args(Scale)],
            [_sigma_row(name, items) for name, items in sources.items()],
        ),
    }


def _records_row(name: str, motions: Sequence[Motion]) -> list[object]:
    steps = sorted({motion.record.dt_s for motion in motions})
    return [
        name,
        len(motions),
        len({motion.record.event for motion in motions}),
        _span(steps),
        _span([_peak_g(motion) for motion in motions]),
        _span([float(np.sqrt(np.square(motion.samples).mean())) for motion in motions]),
    ]


def _spectrum_row(name: str, motions: Sequence[Motion]) -> list[object]:
    return [name, *levels_of(_windows(motions)).median(dim=0).values.exp().tolist()]


def _sigma_row(name: str, motions: Sequence[Motion]) -> list[object]:
    windows = _windows(motions)
    routes: tuple[Route, ...] = ("envelope", "complement")
    broadband = [float(measured_sigma(windows, "broadband", scale)) for scale in get_args(Scale)]
    return [name, *(float(measured_sigma(windows, route, "raw")) for route in routes), *broadband]


def _out_of_band(name: str, motions: Sequence[Motion]) -> list[str]:
    """Sources whose typical record is unlike recorded ground motion."""
    windows = _windows(motions)
    judged: tuple[tuple[str, float, tuple[float, float], str], ...] = (
        ("median peak", float(np.median([_peak_g(motion) for motion in motions])), _PEAK_G, " g"),
        ("median RMS above 1 Hz over that below", _median_ratio(windows), _RATIO, ""),
    )
    return [
        f"{name}: {what}: {value:.3g}{unit} (expected {low:g} to {high:g}{unit}; check data.unit and how it was scaled)"
        for what, value, (low, high), unit in judged
        if not low <= value <= high
    ]


def _median_ratio(windows: Tensor) -> float:
    return float((rms(highpart(windows)) / rms(lowpass(windows))).median())


def _windows(motions: Sequence[Motion]) -> Tensor:
    return torch.from_numpy(np.stack([motion.window(_MIDDLE) for motion in motions]))


def _peak_g(motion: Motion) -> float:
    return float(np.abs(motion.samples).max())


def _span(values: Sequence[float]) -> str:
    low, high = f"{min(values):.2g}", f"{max(values):.2g}"
    return low if low == high else f"{low} to {high}"
