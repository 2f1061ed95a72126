"""Training mixtures, and frozen sets of mixtures of speakers who are never trained on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from distsys.config.reuse import reused
from distsys.domains.kit import part_seed
from distsys.domains.protocol import Batch, DataBundle, EvalSet
from distsys.domains.speaker_extraction.config import Config, DataConfig
from distsys.domains.speaker_extraction.data.corpus import Voices, with_speeds
from distsys.domains.speaker_extraction.data.librimix import read_librimix
from distsys.domains.speaker_extraction.data.material import Material, gather_material
from distsys.domains.speaker_extraction.data.mixing import Mixer, MixtureSource
from distsys.domains.speaker_extraction.data.picker import Picker
from distsys.domains.speaker_extraction.data.queries import GROUPS, NUM_QUERIES
from distsys.domains.speaker_extraction.data.split import Part
from distsys.domains.speaker_extraction.data.stock import Lengths, NoiseBank, Stock

_SETS = ("train", "validation", "test", "holdout", "noisy")
_FROZEN_BATCH = 20


@dataclass(frozen=True)
class _Frozen:
    batches: Sequence[Batch]
    manifest: Sequence[str]


def build_data(config: Config, *, seed: int) -> DataBundle:
    """Mixtures for ``config``; no speaker of one set is a speaker of another.

    Raises:
        DataError: a recording or a folder is at fault.
    """
    data, stock = config.data, training_stock(config.data, seed=seed)
    picker = Picker(data, stock, seed=part_seed(seed, "train", parts=_SETS))
    return DataBundle(
        train=MixtureSource(picker, Mixer(stock)),
        validation=validation_set(data, seed=seed),
        test=test_set(data, seed=seed),
        provenance=_provenance(data, gather_material(data, seed=seed), stock),
    )


@reused
def training_stock(data: DataConfig, *, seed: int) -> Stock:
    """The training speakers at every speed."""
    material = gather_material(data, seed=seed)
    voices = material.voices["train"]
    lengths = _samples(data, data.mixture_s, data.enrolment_s)
    spread = with_speeds(voices, data.speeds)
    return _stock(data, material, "train", spread, num_persons=len(voices), lengths=lengths)


@reused
def validation_set(data: DataConfig, *, seed: int) -> EvalSet:
    """Mixtures of the validation speakers."""
    voices = gather_material(data, seed=seed).voices["validation"]
    return _joined([_frozen(data, voices, seed, name="validation", num_queries=data.validation_items)])


@reused
def test_set(data: DataConfig, *, seed: int) -> EvalSet:
    """Mixtures of the test speakers, of those held out, of the test speakers in noise, and those of Libri2Mix."""
    material, number = gather_material(data, seed=seed), data.test_items
    parts = [_frozen(data, material.voices["test"], seed, name="test", num_queries=number)]
    if material.holdout:
        parts.append(_frozen(data, material.holdout, seed, name="holdout", num_queries=number))
    if data.noise is not None:
        parts.append(_frozen(data, material.voices["test"], seed, name="noisy", num_queries=number))
    parts.append(_Frozen(*read_librimix(data)))
    return _joined(parts)


def _frozen(data: DataConfig, voices: Voices, seed: int, *, name: str, num_queries: int) -> _Frozen:
    """``num_queries`` of fixed mixtures of ``voices``, in noise and rooms that are for validation or testing alone."""
    part: Part = "validation" if name == "validation" else "test"
    lengths = _samples(data, data.test_mixture_s, data.test_enrolment_s)
    material = gather_material(data, seed=seed)
    stock = _stock(data, material, part, voices, num_persons=len(voices), lengths=lengths)
    seed = part_seed(seed, name, parts=_SETS)
    picks = Picker(data, stock, seed=seed, frozen=True, noisy=name == "noisy").draw(
        range(-(-num_queries // NUM_QUERIES)), progress=1.0
    )
    whole = dict(Mixer(stock).render(picks))
    whole["group"] = torch.full((len(picks.asked),), GROUPS.index(name if name in GROUPS else ""))
    return _Frozen(
        _batches(whole), [json.dumps(row, sort_keys=True, allow_nan=False) for row in picks.rows(stock.corpus)]
    )


def _stock(
    data: DataConfig, material: Material, part: Part, voices: Voices, *, num_persons: int, lengths: Lengths
) -> Stock:
    """``voices`` with noise and rooms of one part."""
    noises, rate_hz = material.noise[part], data.sample_rate_hz
    return Stock.of(
        voices,
        num_persons=num_persons,
        lengths=lengths,
        sample_rate_hz=rate_hz,
        noise=NoiseBank.of(noises, lengths=lengths, sample_rate_hz=rate_hz) if noises else None,
        rooms=None if material.rooms is None else material.rooms[part],
    )


def _samples(data: DataConfig, mixture_s: float, enrolment_s: float) -> Lengths:
    return round(mixture_s * data.sample_rate_hz), round(enrolment_s * data.sample_rate_hz)


def _batches(whole: Batch) -> list[Batch]:
    """Cut into pieces that do not share memory: pickled, each would carry all of it."""
    starts = range(0, len(whole["mixture"]), _FROZEN_BATCH)
    return [{name: values[start : start + _FROZEN_BATCH].clone() for name, values in whole.items()} for start in starts]


def _joined(parts: Sequence[_Frozen]) -> EvalSet:
    return EvalSet(
        [batch for part in parts for batch in part.batches], manifest=[line for part in parts for line in part.manifest]
    )


def _provenance(data: DataConfig, material: Material, stock: Stock) -> dict[str, str | int | float]:
    voices = material.voices
    return {
        "source": material.source,
        "corpus": stock.corpus.digest,
        **{f"{part}_speakers": len(items) for part, items in voices.items()},
        "holdout_speakers": len(material.holdout),
        "train_speech_s": round(
            sum(len(item) for items in voices["train"].values() for item in items) / data.sample_rate_hz
        ),
        "sample_rate_hz": data.sample_rate_hz,
        "noise_recordings": sum(len(items) for items in material.noise.values()),
        "rooms": sum(len(items) for items in (material.rooms or {}).values()),
        "left_out": "; ".join(material.left_out) or "nothing",
        "licence": "Apache-2.0" if data.speakers is None else "that of the recordings",
    }
