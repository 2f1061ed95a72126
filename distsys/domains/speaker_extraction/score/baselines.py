"""Rows that need no model: the mixture as it is, and the mask that knows the answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor

from distsys.domains.kit import Lazily
from distsys.domains.protocol import Baseline, Batch, DataBundle, EvalSet, Kind
from distsys.domains.speaker_extraction.config import Config
from distsys.domains.speaker_extraction.data.queries import target_of
from distsys.domains.speaker_extraction.score.evaluation import scores_by_group, summaries
from distsys.signals.stft import Stft

_ORACLE_WINDOW_S = 0.032
_SMALLEST = 1e-12


def baselines(config: Config, bundle: DataBundle, data: EvalSet) -> dict[str, Baseline]:
    """``mixture``: nothing done; ``oracle mask``: the ideal ratio mask, which has to know the target."""
    stft = Stft(2 * round(_ORACLE_WINDOW_S * config.data.sample_rate_hz / 2))
    return {
        "mixture": _row("trivial", data, as_it_is),
        "oracle mask": _row("bound", data, partial(ideal_ratio_mask, stft=stft)),
    }


def _row(kind: Kind, data: EvalSet, estimate: Callable[[Batch], Tensor]) -> Baseline:
    return Baseline(kind, Lazily(lambda: summaries(scores_by_group(data.batches, map(estimate, data.batches)))))


def as_it_is(batch: Batch) -> Tensor:
    """The mixture as the answer to every query."""
    return batch["mixture"][:, None].expand(-1, batch["asked"].shape[1], -1)


def ideal_ratio_mask(batch: Batch, stft: Stft) -> Tensor:
    """sqrt(|S|^2 / (|S|^2 + |N|^2)) on the mixture, N being all but the target (Wang et al., TASLP 2014, eq. 2)."""
    target, mixture = target_of(batch), batch["mixture"][:, None]
    whole = stft(batch["mixture"])[:, None]
    wanted = stft(target.flatten(0, 1)).unflatten(0, target.shape[:2]).abs().square()
    rest = stft((mixture - target).flatten(0, 1)).unflatten(0, target.shape[:2]).abs().square()
    masked = (wanted / (wanted + rest + _SMALLEST)).sqrt() * whole
    return stft.inverse(masked.flatten(0, 1), target.shape[-1]).view_as(target)
