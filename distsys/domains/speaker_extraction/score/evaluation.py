"""Metrics of one model on frozen mixtures, by group."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from distsys.domains.kit import named
from distsys.domains.protocol import Batch, EvalSet, Evaluation
from distsys.domains.speaker_extraction.data.queries import group_of
from distsys.domains.speaker_extraction.model.network import Extractor
from distsys.domains.speaker_extraction.score.conditions import Conditions
from distsys.domains.speaker_extraction.score.examples import Example, chosen_examples
from distsys.domains.speaker_extraction.score.metrics import Scores


@dataclass(frozen=True)
class Found:
    """What figures and samples show.

    Args:
        scores: of all queries, by group.
        examples: of the main group.
    """

    scores: Mapping[str, Scores]
    examples: Sequence[Example]


def evaluate(model: Extractor, data: EvalSet) -> Evaluation:
    """The metrics of ``metrics.Scores``; without suffix over speakers like those of training, who were not in it.

    Estimates are held until the examples are chosen; they take less memory than the set itself.
    """
    estimates = [model(batch["mixture"], batch["enrolment"]) for batch in data.batches]
    scores = scores_by_group(data.batches, estimates)
    main = scores[""]
    pairs = [pair for pair in zip(data.batches, estimates, strict=True) if group_of(pair[0]) == ""]
    return Evaluation(
        summaries(scores) | _by_condition(data, main),
        main.si_sdr[main.present].double().cpu().numpy(),
        Found(scores, chosen_examples(pairs, main)),
        errors=main.errors(),
    )


def _by_condition(data: EvalSet, main: Scores) -> dict[str, float]:
    """Of the main group, where the set says what it is made of."""
    batches = [batch for batch in data.batches if group_of(batch) == ""]
    lines = data.manifest[: sum(len(batch["asked"]) for batch in batches)]  # the main group comes first
    if not lines:
        return {}
    gained, present = (item.cpu().numpy() for item in (main.gained.double(), main.present))
    return Conditions.of(batches, lines).summary(gained, present)


def scores_by_group(batches: Iterable[Batch], estimates: Iterable[Tensor]) -> dict[str, Scores]:
    """Scores of every group that ``batches`` hold; ``estimates`` [batch, queries, time] belong to them in turn."""
    parts: dict[str, list[Scores]] = {}
    for batch, estimate in zip(batches, estimates, strict=True):
        parts.setdefault(group_of(batch), []).append(Scores.of(estimate, batch))
    return {group: Scores.joined(items) for group, items in parts.items()}


def summaries(scores: Mapping[str, Scores]) -> dict[str, float]:
    """Metrics of each group, those of the main one without suffix."""
    found: dict[str, float] = {}
    for group, item in scores.items():
        found |= named(item.summary(), group)
    return found
