"""Training windows of every fold, and frozen windows that each member is judged on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from distsys.domains.draws import uniforms
from distsys.domains.faults import Faults
from distsys.domains.ground_motion.baselines import Plain, baseline_rows
from distsys.domains.ground_motion.config import Config, DataConfig, ModelConfig
from distsys.domains.ground_motion.envelopes import shapes_of
from distsys.domains.ground_motion.fields import measured_sigma
from distsys.domains.ground_motion.folds import Fold, event_numbers, split
from distsys.domains.ground_motion.levels import LevelModel, features_of, levels_of
from distsys.domains.ground_motion.model import NUM_FOLDS
from distsys.domains.ground_motion.operators import WINDOW, lowpass, rms
from distsys.domains.ground_motion.quakes import read_quakes
from distsys.domains.ground_motion.records import read_records, usable
from distsys.domains.ground_motion.synthetic import synthetic_records
from distsys.domains.ground_motion.windows import Motion, prepare
from distsys.domains.protocol import Batch, DataBundle, EvalSet
from distsys.errors import DataError

_LEAST_EVENTS = 12
_DIGITS = 16
_CUTS = 4
"""Windows of each training record that levels are regressed on; the last of them as if nothing else were known."""
_LARGEST_CONTRADICTION = 1.5
"""Between measured and configured sigma_data."""
_SETS = {"train": 0, "cuts": 1, "validation": 2, "test": 3}


@dataclass(frozen=True)
class WindowSource:
    """Endless training windows, each for one member; workers that take every n-th of them see all members."""

    motions: Sequence[Motion]
    events: np.ndarray
    folds: Sequence[Fold]
    seed: int

    def batch(self, indices: Sequence[int], *, progress: float) -> Batch:
        """``motion`` [items, time] in g and ``member`` [items]; every event of a member comes equally often."""
        draws = uniforms(indices, seed=self.seed, num_lanes=3)
        member = _member_of(np.asarray(indices))
        windows = [self._window(int(number), draw) for number, draw in zip(member, draws, strict=True)]
        return {"motion": torch.from_numpy(np.stack(windows)), "member": torch.from_numpy(member)}

    def _window(self, member: int, draw: np.ndarray) -> np.ndarray:
        mine = self.folds[member].train
        events = np.unique(self.events[mine])
        records = mine[self.events[mine] == events[int(draw[0] * len(events))]]
        return np.asarray(self.motions[records[int(draw[1] * len(records))]].window(draw[2]))


def _member_of(indices: np.ndarray) -> np.ndarray:
    """Sum of the digits to the base of four."""
    digits = [indices // NUM_FOLDS**place for place in range(_DIGITS)]
    return np.asarray(np.sum(digits, axis=0) % NUM_FOLDS)


def build_data(config: Config, *, seed: int) -> DataBundle:
    """Windows for ``config``; no event of one set of a member is an event of another set of it.

    Raises:
        DataError: a file is at fault, or too few events are left.
    """
    data = config.data
    motions, left_out = gather_motions(data, seed=seed)
    events = event_numbers(motions)
    require_events(events, declared=len({motion.record.event for motion in motions}))
    folds = split(events, validation_share=data.validation_share, seed=seed)
    cuts = [_cut(motions, fold.train, _CUTS, seed=_seed(seed, "cuts")) for fold in folds]
    plain = [_plain(cut, events[np.tile(fold.train, _CUTS)]) for cut, fold in zip(cuts, folds, strict=True)]
    make = partial(_frozen, motions, events, plain)
    validation = make([fold.validation for fold in folds], data.validation_samples, seed=_seed(seed, "validation"))
    test = make([fold.test for fold in folds], data.test_samples, seed=_seed(seed, "test"))
    levels = np.array([float(rms(torch.from_numpy(motion.samples))) for motion in motions])
    return DataBundle(
        train=WindowSource(motions, events, folds, _seed(seed, "train")),
        validation=validation,
        test=replace(test, reference=_reference(cuts)),
        ranges={"motion": (-5.0, 5.0, "g")},
        provenance={
            "source": ", ".join([*map(str, data.records), *["FEMA P-695"] * data.quakes]) or "synthetic records",
            "records": len(motions),
            "events": len(np.unique(events)),
            "rms_g": f"{levels.min():.2g} to {levels.max():.2g}",
            "pass_band_hz": f"{data.low_hz:g} to {data.high_hz:g}",
            "left_out": "; ".join(line.splitlines()[0] for line in left_out) or "nothing",
            "without_event": sum(motion.record.event == motion.record.name for motion in motions),
            "licence": "that of the records" if data.records or data.quakes else "Apache-2.0",
        },
        statistics=statistics_of(cuts, plain, config.model),
    )


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


def statistics_of(cuts: Sequence[Batch], plain: Sequence[Plain], model: ModelConfig) -> dict[str, Tensor]:
    """What every member of the model remembers of its training windows, stacked over members.

    Raises:
        DataError: the configured sigma_data contradicts the data.
    """
    found: dict[str, list[Tensor]] = {}
    for cut, item in zip(cuts, plain, strict=True):
        motion = cut["motion"]
        values = {
            **{f"level_{name}": value for name, value in vars(item.levels).items()},
            "spectrum": item.spectrum,
            "mean_shape": shapes_of(motion).mean(dim=0),
            "global_rms": motion.square().mean().sqrt(),
            "peak_factor": (motion.abs().amax(dim=-1) / rms(motion)).log().mean().exp(),
            "sigma_data": _sigma_data(motion, model),
        }
        for name, value in values.items():
            found.setdefault(name, []).append(value)
    return {name: torch.stack(values) for name, values in found.items()}


def _sigma_data(motion: Tensor, model: ModelConfig) -> Tensor:
    measured = measured_sigma(motion, model.route, model.diffusion.scale)
    wanted = model.diffusion.sigma_data
    if wanted is None or model.route == "gaussian":
        return measured
    ratio = float(measured) / wanted
    if not 1.0 / _LARGEST_CONTRADICTION <= ratio <= _LARGEST_CONTRADICTION:
        raise DataError(
            f"what the {model.route} route diffuses has a standard deviation of {float(measured):.3g}, "
            f"model.diffusion.sigma_data is {wanted:g}",
            expected=f"a factor of {_LARGEST_CONTRADICTION:g} at most between them: else nearly every noise level "
            "drowns the data, or is drowned",
            fix="set model.diffusion.sigma_data to null, which measures it, or model.diffusion.scale to record_rms",
        )
    return torch.tensor(wanted)


def _reference(cuts: Sequence[Batch]) -> Batch:
    """Training windows of every member, the first of each record, for the search of copies."""
    parts = [(cut["motion"][: len(cut["motion"]) // _CUTS], fold) for fold, cut in enumerate(cuts)]
    return {
        "motion": torch.cat([motion for motion, _ in parts]),
        "member": torch.cat([torch.full((len(motion),), fold) for motion, fold in parts]),
    }


def _seed(seed: int, part: str) -> int:
    return len(_SETS) * seed + _SETS[part]


def _cut(motions: Sequence[Motion], chosen: np.ndarray, number: int, *, seed: int) -> Batch:
    """``number`` windows of each of the chosen motions, one round after the other."""
    place = uniforms(chosen, seed=seed, num_lanes=number)
    windows = [motions[index].window(place[row, turn]) for turn in range(number) for row, index in enumerate(chosen)]
    metadata = np.array(
        [motions[index].record.metadata.row() for _ in range(number) for index in chosen], dtype=np.float32
    )
    return {"motion": torch.from_numpy(np.stack(windows)), "metadata": torch.from_numpy(metadata)}


def _siblings(motions: Sequence[Motion], chosen: np.ndarray, *, seed: int) -> np.ndarray:
    """[chosen, time] windows of another component of each station, cut where :func:`_cut` cuts; 0 without one."""
    place = uniforms(chosen, seed=seed, num_lanes=1)[:, 0]
    found = np.zeros((len(chosen), WINDOW), dtype=np.float32)
    stations: dict[tuple[str, str], list[Motion]] = {}
    for motion in motions:
        stations.setdefault((motion.record.event, motion.record.station), []).append(motion)
    for row, index in enumerate(chosen):
        own, start = motions[index], motions[index].start(place[row])
        for other in stations[own.record.event, own.record.station]:
            if other is not own and len(other.samples) >= start + WINDOW:
                found[row] = other.samples[start : start + WINDOW]
                break
    return found


def _plain(cut: Batch, events: np.ndarray) -> Plain:
    """From windows of training records, the metadata of the last of each hidden."""
    metadata = cut["metadata"].clone()
    metadata[-(len(metadata) // _CUTS) :] = torch.nan
    features = features_of(lowpass(cut["motion"]), metadata)
    return Plain.fit(cut["motion"], features, events, LevelModel.fit(features, levels_of(cut["motion"]), events))


def _frozen(
    motions: Sequence[Motion],
    events: np.ndarray,
    plain: Sequence[Plain],
    chosen: Sequence[np.ndarray],
    samples: int,
    *,
    seed: int,
) -> EvalSet:
    batches: list[Mapping[str, Tensor]] = []
    content = hashlib.sha256()
    for member, indices in enumerate(chosen):
        cut = _cut(motions, indices, 1, seed=seed)
        batches.append(
            {
                **cut,
                "member": torch.full((len(indices),), member),
                "event": torch.from_numpy(events[indices]),
                "sibling": torch.from_numpy(_siblings(motions, indices, seed=seed)),
                "samples": torch.full((len(indices),), samples),
            }
        )
        for tensor in batches[-1].values():
            content.update(tensor.numpy().tobytes())
    rows = cache(partial(baseline_rows, batches, plain))
    return EvalSet(batches, content.hexdigest()[:16], baselines=rows)
