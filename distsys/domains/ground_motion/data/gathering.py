"""Every record of a config, read, filtered, and told apart by event: once for all trials that agree on the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from distsys.config.reuse import reused
from distsys.domains.faults import Faults
from distsys.domains.ground_motion.config import DataConfig
from distsys.domains.ground_motion.data.grouping import event_numbers
from distsys.domains.ground_motion.data.operators import rms
from distsys.domains.ground_motion.data.quakes import read_quakes
from distsys.domains.ground_motion.data.reading import read_records
from distsys.domains.ground_motion.data.records import usable
from distsys.domains.ground_motion.data.synthetic import synthetic_records
from distsys.domains.ground_motion.data.windows import Motion, prepare
from distsys.errors import DataError

_LEAST_EVENTS = 12


@dataclass(frozen=True)
class Gathered:
    """Motions and whose they are.

    Args:
        events: [motions] number of the event of each.
        left_out: a text for each record that cannot be used.
    """

    motions: Sequence[Motion]
    events: np.ndarray
    left_out: Sequence[str]


@reused
def gathered(data: DataConfig, *, seed: int) -> Gathered:
    """The motions of ``data`` with their events.

    Raises:
        DataError: a file is at fault, or too few events are left.
    """
    motions, left_out = gather_motions(data, seed=seed)
    events = event_numbers(motions)
    require_events(events, declared=len({motion.record.event for motion in motions}))
    return Gathered(motions, events, left_out)


@reused
def gather_motions(data: DataConfig, *, seed: int) -> tuple[list[Motion], list[str]]:
    """Every record of ``data``, prepared, and a text for each that was left out.

    Raises:
        DataError: a file is at fault.
    """
    faults = Faults(Path(data.records[0]) if data.records else Path())
    records = read_records(data, faults)
    if data.quakes:
        records += usable(read_quakes(), faults)
    if not data.records and not data.quakes:
        records = synthetic_records(data.synthetic_events, data.synthetic_stations, seed=seed)
    motions = []
    for record in records:
        try:
            motions.append(prepare(record, data))
        except DataError as error:
            faults.note(error)
    if data.on_fault == "refuse":
        faults.require_none()
    return motions, faults.lines


def require_events(events: np.ndarray, *, declared: int) -> None:
    """Raise DataError where records are of too few events to be split by event."""
    number = len(np.unique(events))
    if number < _LEAST_EVENTS:
        merged = f" ({declared} are named; near copies are one)" if number < declared else ""
        raise DataError(
            f"data.records: {number} event{'' if number == 1 else 's'}{merged}",
            expected=f"at least {_LEAST_EVENTS}: records are split by event",
            fix="add records of other events, or say which event each is of",
        )


def provenance_of(found: Gathered, data: DataConfig) -> Mapping[str, str | int | float]:
    """Where the motions came from, how many and how large they are, and what was left out."""
    levels = np.array([float(rms(torch.from_numpy(motion.samples))) for motion in found.motions])
    return {
        "source": ", ".join([*map(str, data.records), *["FEMA P-695"] * data.quakes]) or "synthetic records",
        "records": len(found.motions),
        "events": len(np.unique(found.events)),
        "rms_g": f"{levels.min():.2g} to {levels.max():.2g}",
        "pass_band_hz": f"{data.low_hz:g} to {data.high_hz:g}",
        "left_out": "; ".join(line.splitlines()[0] for line in found.left_out) or "nothing",
        "without_event": sum(not motion.record.tells_event for motion in found.motions),
        "licence": "that of the records" if data.records or data.quakes else "Apache-2.0",
    }
