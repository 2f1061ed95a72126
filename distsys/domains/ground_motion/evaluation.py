"""Metrics of a committee on windows that the answering member never saw the event of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from distsys.domains.ground_motion.metrics import Scores
from distsys.domains.ground_motion.model import Committee
from distsys.domains.ground_motion.operators import WINDOW, envelope, highpart, lowpass
from distsys.domains.ground_motion.scores import correlation
from distsys.domains.protocol import Batch, EvalSet, Evaluation

_SEED = 0
_COPIED = 0.5
"""Largest correlation with a training record, over all shifts, from which on a motion may be a copy."""
_AT_ONCE = 4
"""Records that are worked on together: more would only move memory about."""


def evaluate(model: Committee, data: EvalSet) -> Evaluation:
    """Scores of an ensemble for every record, and what is lost when what is given is another event's."""
    parts, shuffled, copies, chances = [], [], [], []
    for batch in data.batches:
        motions = ensemble(model, batch)
        parts.append(Scores.of(motions, batch["motion"]))
        shuffled.append(_course(motions[others(batch["event"].tolist())], batch["motion"]))
        if data.reference is not None:
            known = data.reference["motion"][data.reference["member"] == batch["member"][0]]
            copies.append(_nearest(motions[:, 0], known))
            chances.append(_nearest(batch["motion"], known))
    scores = Scores.joined(parts)
    metrics = scores.summary()
    covered = [value for name, value in metrics.items() if name.startswith("coverage/")]
    metrics["coverage_lowest"], metrics["coverage_highest"] = min(covered), max(covered)
    metrics["hf_envelope_correlation_shuffled"] = float(torch.cat(shuffled).mean())
    metrics["shuffle_loss"] = metrics["hf_envelope_correlation"] - metrics["hf_envelope_correlation_shuffled"]
    if copies:
        metrics["training_copy"] = float(torch.cat(copies).max())
        metrics["training_copy_truth"] = float(torch.cat(chances).max())
        metrics["training_copy_share"] = float((torch.cat(copies) > _COPIED).float().mean())
    return Evaluation(metrics, scores.columns["crps"].double().cpu().numpy())


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


def _course(motions: Tensor, truth: Tensor) -> Tensor:
    """[records] correlation of the mean envelope above 1 Hz with the true one."""
    return correlation(envelope(highpart(motions)).mean(dim=1), envelope(highpart(truth)))


def _nearest(motions: Tensor, known: Tensor) -> Tensor:
    """[records] largest correlation, over all shifts, of what was made above 1 Hz with any training window."""
    spectra = _unit_spectrum(known)
    found = []
    for part in _unit_spectrum(motions).split(_AT_ONCE):
        alike = torch.fft.irfft(part[:, None] * spectra.conj(), 2 * WINDOW)
        found.append(alike.abs().amax(dim=(-1, -2)))
    return torch.cat(found)


def _unit_spectrum(motion: Tensor) -> Tensor:
    high = highpart(motion)
    return torch.as_tensor(torch.fft.rfft(high / high.norm(dim=-1, keepdim=True).clamp(min=1e-30), 2 * WINDOW))
