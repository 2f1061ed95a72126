"""Metrics of a committee on windows that the answering member never saw the event of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from distsys.domains.ground_motion.data.operators import envelope, highpart, lowpass
from distsys.domains.ground_motion.model.network import Committee
from distsys.domains.ground_motion.score.copies import nearest
from distsys.domains.ground_motion.score.metrics import Scores
from distsys.domains.protocol import Batch, EvalSet, Evaluation
from distsys.signals.ensembles import correlation, standard_error

_SEED = 0
_COPIED = 0.5
"""Largest correlation with a training record, over all shifts, from which on a motion may be a copy."""
_AT_ONCE = 4
"""Records that are worked on together: more would only move memory about."""


@dataclass(frozen=True)
class Example:
    """One record to look at.

    Args:
        label: how well it is met.
        motions: [samples, time] that were generated.
        truth: [time].
    """

    label: str
    motions: Tensor
    truth: Tensor


@dataclass(frozen=True)
class Details:
    """What figures show of an evaluation, on the CPU.

    Args:
        examples: three records, from well met to badly met.
        residuals: ln(median of samples / truth) of every record, by intensity measure.
    """

    examples: Sequence[Example]
    residuals: Mapping[str, Tensor]


def evaluate(model: Committee, data: EvalSet) -> Evaluation:
    """Scores of an ensemble for every record, and what is lost when what is given is another event's."""
    largest = max(data.batches, key=lambda batch: len(batch["motion"]))
    parts, shuffled, copies, chances = [], [], [], []
    examples: list[Example] = []
    for batch in data.batches:
        motions = ensemble(model, batch)
        parts.append(Scores.of(motions, batch["motion"]))
        shuffled.append(_course(motions[others(batch["event"].tolist())], batch["motion"]))
        if data.reference is not None:
            known = data.reference["motion"][data.reference["member"] == batch["member"][0]]
            copies.append(nearest(motions[:, 0], known))
            chances.append(nearest(batch["motion"], known))
        if batch is largest:
            examples = _examples(motions, batch["motion"], crps=parts[-1].columns["crps"])
    scores = Scores.joined(parts)
    metrics = {**_with_extremes(scores.summary(), torch.cat(shuffled)), **_copied(copies, chances)}
    residuals = {name: values.cpu() for name, values in scores.median_residuals.items()}
    events = torch.cat([batch["event"] for batch in data.batches])
    return Evaluation(
        metrics,
        scores.columns["crps"].double().cpu().numpy(),
        Details(examples, residuals),
        errors=_errors(scores, torch.cat(shuffled), events),
    )


def ensemble(model: Committee, batch: Batch) -> Tensor:
    """Motions [records, samples, time] by the member that ``batch`` is for."""
    generator = torch.Generator().manual_seed(_SEED + int(batch["member"][0]))
    member, count = model.member(int(batch["member"][0])), int(batch["samples"][0])
    given = zip(lowpass(batch["motion"]).split(_AT_ONCE), batch["metadata"].split(_AT_ONCE), strict=True)
    return torch.cat([member.sample(motion, known, count, generator=generator) for motion, known in given])


def others(events: Sequence[int]) -> list[int]:
    """For each record another one, of another event where there is one."""
    count = len(events)
    found = []
    for number, event in enumerate(events):
        places = ((number + step) % count for step in range(count // 2, count // 2 + count))
        found.append(next((place for place in places if events[place] != event), number))
    return found


def _errors(scores: Scores, shuffled: Tensor, events: Tensor) -> dict[str, float]:
    """Standard errors of the constrained metrics; records of one event count as one.

    That of the highest coverage is one event at least: where all are covered one more may yet be missed.
    """
    covered = {name: values.float() for name, values in scores.columns.items() if name.startswith("coverage/")}
    lowest, highest = (pick(covered.values(), key=lambda values: float(values.mean())) for pick in (min, max))
    lost = scores.columns["hf_envelope_correlation"] - shuffled
    pairs = {"coverage_lowest": lowest, "coverage_highest": highest, "shuffle_loss": lost}
    found = {name: standard_error(values, events) for name, values in pairs.items()}
    one_event = 1.0 / (len(events.unique()) + 1)
    return {**found, "coverage_highest": max(one_event, found["coverage_highest"])}


def _with_extremes(metrics: Mapping[str, float], shuffled: Tensor) -> dict[str, float]:
    """``metrics`` with the extremes of coverage, and what is left of the course under another's conditioning."""
    covered = [value for name, value in metrics.items() if name.startswith("coverage/")]
    left = float(shuffled.mean())
    return {
        **metrics,
        "coverage_lowest": min(covered),
        "coverage_highest": max(covered),
        "hf_envelope_correlation_shuffled": left,
        "shuffle_loss": metrics["hf_envelope_correlation"] - left,
    }


def _copied(copies: list[Tensor], chances: list[Tensor]) -> dict[str, float]:
    """How near motions come to training records, beside how near the truth does; nothing where none are known."""
    if not copies:
        return {}
    return {
        "training_copy": float(torch.cat(copies).max()),
        "training_copy_truth": float(torch.cat(chances).max()),
        "training_copy_share": float((torch.cat(copies) > _COPIED).float().mean()),
    }


def _examples(motions: Tensor, truth: Tensor, *, crps: Tensor) -> list[Example]:
    order = crps.argsort().tolist()
    chosen = {"well met": order[len(order) // 10], "median": order[len(order) // 2], "badly met": order[-1]}
    return [Example(label, motions[row].cpu().clone(), truth[row].cpu()) for label, row in chosen.items()]


def _course(motions: Tensor, truth: Tensor) -> Tensor:
    """[records] correlation of the mean envelope above 1 Hz with the true one."""
    return correlation(envelope(highpart(motions)).mean(dim=1), envelope(highpart(truth)))
