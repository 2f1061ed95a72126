"""Training mixtures, and frozen sets of mixtures of speakers who are never trained on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial

import torch

from distsys.domains.protocol import Batch, DataBundle, EvalSet
from distsys.domains.speaker_extraction.baselines import baseline_rows
from distsys.domains.speaker_extraction.config import Config, DataConfig
from distsys.domains.speaker_extraction.corpus import Corpus, Voices, with_speeds
from distsys.domains.speaker_extraction.evaluation import GROUPS
from distsys.domains.speaker_extraction.material import Material, Part, gather_material
from distsys.domains.speaker_extraction.mixing import Mixer, MixtureSource, NoiseBank
from distsys.domains.speaker_extraction.picks import NUM_QUERIES, Picker

_SETS = {"train": 0, "validation": 1, "test": 2, "holdout": 3, "noisy": 4}
_FROZEN_BATCH = 20


@dataclass(frozen=True)
class _Workshop:
    """Makes sets of mixtures out of material."""

    data: DataConfig
    material: Material
    seed: int

    def training(self) -> tuple[MixtureSource, Corpus]:
        """Endless mixtures of the training speakers, at every speed."""
        picker, mixer = self._tools(self.data, self.material.train, part="train", of="train")
        return MixtureSource(picker, mixer), mixer.corpus

    def frozen(self, voices: Voices, *, part: str, of: Part, num_queries: int, noisy: bool = False) -> _Frozen:
        """``num_queries`` of fixed mixtures of ``voices`` in noise and rooms of one part; all noisy when ``noisy``."""
        share = 1.0 if noisy else self.data.noise_share
        data = self.data.model_copy(update={"noise_share": share})
        picker, mixer = self._tools(data, voices, part=part, of=of)
        picks = picker.draw(range(-(-num_queries // NUM_QUERIES)), progress=1.0)
        whole = mixer.render(picks)
        group = torch.full((len(whole["mixture"]),), GROUPS.index(part if part in GROUPS else ""))
        size = len(group)
        batches = [
            {name: values[start : start + _FROZEN_BATCH] for name, values in {**whole, "group": group}.items()}
            for start in range(0, size, _FROZEN_BATCH)
        ]
        return _Frozen(batches, [json.dumps(row, sort_keys=True, allow_nan=False) for row in picks.rows(mixer.corpus)])

    def _tools(self, data: DataConfig, voices: Voices, *, part: str, of: Part) -> tuple[Picker, Mixer]:
        frozen, noise = of != "train", self.material.noise[of]
        spoken = (data.test_mixture_s, data.test_enrolment_s) if frozen else (data.mixture_s, data.enrolment_s)
        lengths = round(spoken[0] * data.sample_rate_hz), round(spoken[1] * data.sample_rate_hz)
        rooms = None if self.material.rooms is None else self.material.rooms[of]
        lead = 0 if rooms is None else rooms.shape[1]
        spread = voices if frozen else with_speeds(voices, data.speeds)
        corpus = Corpus.of(spread, longest_crop=max(lengths), lead=lead)
        seed = len(_SETS) * self.seed + _SETS[part]
        picker = Picker(data, corpus, num_persons=len(voices), lengths=lengths, seed=seed, frozen=frozen)
        bank = None
        if noise:
            recordings = Corpus.of(noise, longest_crop=max(lengths))
            bank = NoiseBank(recordings, lengths=lengths, sample_rate_hz=data.sample_rate_hz)
        return picker, Mixer(corpus, lengths, bank, rooms)


@dataclass(frozen=True)
class _Frozen:
    batches: Sequence[Batch]
    manifest: Sequence[str]


def build_data(config: Config, *, seed: int) -> DataBundle:
    """Mixtures for ``config``; no speaker of one set is a speaker of another.

    Raises:
        DataError: a recording or a folder is at fault.
    """
    data = config.data
    material = gather_material(data, seed=seed)
    make = _Workshop(data, material, seed)
    source, corpus = make.training()
    validation = make.frozen(material.validation, part="validation", of="validation", num_queries=data.validation_items)
    groups = {"test": material.test, "holdout": material.holdout}
    tests = [
        make.frozen(voices, part=part, of="test", num_queries=data.test_items)
        for part, voices in groups.items()
        if voices
    ]
    if data.noise is not None:
        tests.append(make.frozen(material.test, part="noisy", of="test", num_queries=data.test_items, noisy=True))
    return DataBundle(
        train=source,
        validation=_eval_set(data, [validation]),
        test=_eval_set(data, tests),
        ranges={
            "mixture": (-1.0, 1.0, "full scale"),
            "sir": (min(data.min_sir_db, -data.max_sir_db), max(data.max_sir_db, -data.min_sir_db), "dB"),
            "snr": (data.min_snr_db, data.max_snr_db, "dB"),
        },
        provenance={
            "source": material.source,
            "corpus": corpus.digest,
            "train_speakers": len(material.train),
            "validation_speakers": len(material.validation),
            "test_speakers": len(material.test),
            "holdout_speakers": len(material.holdout),
            "train_speech_s": round(
                sum(len(item) for items in material.train.values() for item in items) / data.sample_rate_hz
            ),
            "sample_rate_hz": data.sample_rate_hz,
            "noise_recordings": sum(len(items) for items in material.noise.values()),
            "rooms": sum(len(items) for items in (material.rooms or {}).values()),
            "left_out": "; ".join(material.left_out) or "nothing",
            "licence": "Apache-2.0" if data.speakers is None else "that of the recordings",
        },
    )


def _eval_set(data: DataConfig, frozen: Sequence[_Frozen]) -> EvalSet:
    batches = [batch for item in frozen for batch in item.batches]
    content = hashlib.sha256()
    for batch in batches:
        for name in ("mixture", "enrolment", "asked"):
            content.update(batch[name].numpy().tobytes())
    return EvalSet(
        batches,
        content.hexdigest()[:16],
        baselines=cache(partial(baseline_rows, data.sample_rate_hz, batches)),
        manifest=[line for item in frozen for line in item.manifest],
    )
