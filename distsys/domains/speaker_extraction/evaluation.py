"""Metrics of one model on frozen mixtures, by group."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from distsys.domains.protocol import Batch, EvalSet, Evaluation
from distsys.domains.speaker_extraction.metrics import Scores, named
from distsys.domains.speaker_extraction.model import Extractor

GROUPS = ("", "holdout", "noisy")
"""Of a frozen set: speakers like those of training, those of ``data.holdout``, and mixtures with noise."""

Estimator = Callable[[Batch], Tensor]
"""From a batch to estimates [batch, queries, time]."""


def evaluate(model: Extractor, data: EvalSet) -> Evaluation:
    """The metrics of ``metrics.Scores``; without suffix over speakers like those of training, who were not in it."""
    scores = scores_by_group(data.batches, lambda batch: model(batch["mixture"], batch["enrolment"]))
    main = scores[""]
    return Evaluation(summaries(scores), main.si_sdr[main.present].double().cpu().numpy())


def scores_by_group(batches: Sequence[Batch], estimator: Estimator) -> dict[str, Scores]:
    """Scores of every group that ``batches`` hold."""
    parts: dict[str, list[Scores]] = {}
    for batch in batches:
        parts.setdefault(GROUPS[int(batch["group"][0])], []).append(Scores.of(estimator(batch), batch))
    return {group: Scores.joined(items) for group, items in parts.items()}


def summaries(scores: dict[str, Scores]) -> dict[str, float]:
    """Metrics of each group, those of the main one without suffix."""
    found: dict[str, float] = {}
    for group, item in scores.items():
        found |= named(item.summary(), group)
    return found
