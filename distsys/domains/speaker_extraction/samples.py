"""A few queries of a frozen set to listen to and to look at: a typical one, the worst, and an absent speaker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from distsys.domains.protocol import Batch, EvalSet
from distsys.domains.speaker_extraction.audio import wav_bytes
from distsys.domains.speaker_extraction.evaluation import scores_by_group
from distsys.domains.speaker_extraction.metrics import Scores, target_of
from distsys.domains.speaker_extraction.model import Extractor


@dataclass(frozen=True)
class Example:
    """One query, as samples [time]."""

    label: str
    mixture: np.ndarray
    enrolment: np.ndarray
    target: np.ndarray
    estimate: np.ndarray

    def sounds(self) -> dict[str, np.ndarray]:
        """Everything there is to hear, by name."""
        return {name: getattr(self, name) for name in ("mixture", "enrolment", "target", "estimate")}


def chosen_examples(model: Extractor, data: EvalSet, scores: Scores) -> list[Example]:
    """The queries of median and of least gain, and the absent one that is loudest, all of the main group.

    Args:
        scores: of ``model`` on the main group.
    """
    main = main_batches(data)
    there = scores.present.nonzero()[:, 0]
    order = there[scores.gained[there].argsort()]
    picked = {"median": int(order[len(order) // 2]), "worst": int(order[0])}
    absent = (~scores.present).nonzero()[:, 0]
    if len(absent):
        picked["loudest absent"] = int(absent[scores.drop[absent].argmin()])
    return [_example(model, main, label, number) for label, number in picked.items()]


def make_samples(model: Extractor, data: EvalSet) -> Mapping[str, bytes]:
    """The chosen examples as .wav files by name."""
    rate_hz = model.config.data.sample_rate_hz
    scores = scores_by_group(main_batches(data), lambda batch: model(batch["mixture"], batch["enrolment"]))[""]
    return {
        f"{example.label.replace(' ', '_')}_{name}.wav": wav_bytes(samples, rate_hz=rate_hz)
        for example in chosen_examples(model, data, scores)
        for name, samples in example.sounds().items()
    }


def main_batches(data: EvalSet) -> list[Batch]:
    """Those of the main group."""
    return [batch for batch in data.batches if int(batch["group"][0]) == 0]


def _example(model: Extractor, batches: list[Batch], label: str, number: int) -> Example:
    """The query with this ``number`` among all of ``batches``."""
    for batch in batches:
        queries = batch["asked"].shape[1]
        if number < batch["asked"].numel():
            break
        number -= batch["asked"].numel()
    item, query = divmod(number, queries)
    one = {name: values[item : item + 1] for name, values in batch.items()}
    with torch.no_grad():
        estimate = model(one["mixture"], one["enrolment"])
    sounds = one["mixture"][0], one["enrolment"][0, query], target_of(one)[0, query], estimate[0, query]
    return Example(label, *(sound.cpu().numpy() for sound in sounds))
