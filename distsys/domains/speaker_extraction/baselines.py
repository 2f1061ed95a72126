"""Rows that need no model: the mixture as it is, and the mask that knows the answer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from distsys.domains.protocol import Batch
from distsys.domains.speaker_extraction.evaluation import scores_by_group, summaries
from distsys.domains.speaker_extraction.metrics import target_of
from distsys.domains.speaker_extraction.spectrum import Spectrum

_ORACLE_WINDOW_S = 0.032
_SMALLEST = 1e-12


def baseline_rows(sample_rate_hz: int, batches: Sequence[Batch]) -> dict[str, dict[str, float]]:
    """``mixture``: nothing done; ``oracle mask``: the ideal ratio mask, which has to know the target."""
    window = 2 * round(_ORACLE_WINDOW_S * sample_rate_hz / 2)
    spectrum = Spectrum(window)
    return {
        "mixture": summaries(scores_by_group(batches, as_it_is)),
        "oracle mask": summaries(scores_by_group(batches, lambda batch: ideal_ratio_mask(batch, spectrum))),
    }


def as_it_is(batch: Batch) -> Tensor:
    """The mixture as the answer to every query."""
    return batch["mixture"][:, None].expand(-1, batch["asked"].shape[1], -1)


def ideal_ratio_mask(batch: Batch, spectrum: Spectrum) -> Tensor:
    """sqrt(|S|^2 / (|S|^2 + |N|^2)) on the mixture, N being all but the target (Wang et al., TASLP 2014, eq. 2)."""
    target, mixture = target_of(batch), batch["mixture"][:, None]
    whole = spectrum(batch["mixture"])[:, None]
    wanted = spectrum(target.flatten(0, 1)).unflatten(0, target.shape[:2]).abs().square()
    rest = spectrum((mixture - target).flatten(0, 1)).unflatten(0, target.shape[:2]).abs().square()
    masked = (wanted / (wanted + rest + _SMALLEST)).sqrt() * whole
    return torch.as_tensor(spectrum.inverse(masked.flatten(0, 1), target.shape[-1]).view_as(target))
