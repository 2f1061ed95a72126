"""What extraction is judged by, one number a query, and how queries are summed up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from distsys.domains.protocol import Batch
from distsys.domains.speaker_extraction.data.queries import present_in, target_of
from distsys.domains.speaker_extraction.model.losses import rms_ratio, si_sdr_db
from distsys.domains.speaker_extraction.score.presence import Roc
from distsys.shapes import Bool, Float
from distsys.signals.ensembles import standard_error
from distsys.signals.levels import energy_db

_CLEARLY_BETTER_DB = 1.0
_SILENT_DB = 30.0
"""So far below the mixture an estimate counts as silent: one perfect silence must not make up for other answers."""
_QUIET_DB = 10.0


@dataclass(frozen=True)
class Scores:
    """One number for each query, of shape [queries]; those on targets mean nothing where none is present.

    Args:
        present: whether the wanted speaker is in the mixture.
        si_sdr, mixture_si_sdr: SI-SDR in dB of the estimate, and of the mixture as it is.
        wrong: whether the estimate is closer to another speaker.
        ratio: RMS over that of the target.
        drop: energy of the mixture over that of the estimate, in dB, at most 30.
    """

    present: Bool[Tensor, " queries"]
    si_sdr: Float[Tensor, " queries"]
    mixture_si_sdr: Float[Tensor, " queries"]
    wrong: Bool[Tensor, " queries"]
    ratio: Float[Tensor, " queries"]
    drop: Float[Tensor, " queries"]

    @classmethod
    def joined(cls, parts: Iterable[Self]) -> Self:
        """All queries of ``parts``."""
        lists = zip(*(vars(part).values() for part in parts), strict=True)
        return cls(*(torch.cat(items) for items in lists))

    @classmethod
    def of(cls, estimate: Float[Tensor, "batch queries time"], batch: Batch) -> Self:
        """Scores of ``estimate`` on the mixtures of ``batch``."""
        present, target = present_in(batch), target_of(batch)
        mixture = batch["mixture"][:, None].expand_as(estimate)
        si_sdr = si_sdr_db(estimate, target=target)
        found = (
            present,
            si_sdr,
            si_sdr_db(mixture, target=target),
            _best_of_others(estimate, batch) > si_sdr,
            rms_ratio(estimate, target=target),
            (energy_db(mixture) - energy_db(estimate)).clamp(max=_SILENT_DB),
        )
        return cls(*(item.flatten() for item in found))

    @property
    def gained(self) -> Float[Tensor, " queries"]:
        """How far the estimate's SI-SDR lies above the mixture's, in dB."""
        return self.si_sdr - self.mixture_si_sdr

    def errors(self) -> dict[str, float]:
        """Standard errors of the constrained metrics."""
        ratio = self.ratio[self.present].double().clamp(min=1e-6).log()
        found = {"rms_ratio": standard_error(ratio) * float(ratio.mean().exp())}
        if not bool(self.present.all()):
            found["ta_attenuation_db"] = standard_error(self.drop[~self.present])
        return found

    def summary(self) -> dict[str, float]:
        """The metrics by name; those on absent targets only where there are any."""
        present = self.present
        gained, ratio = self.gained[present].double(), self.ratio[present].double()
        found = {
            "si_sdr_db": float(self.si_sdr[present].double().mean()),
            "si_sdri_db": float(gained.mean()),
            "si_sdri_median_db": float(gained.median()),
            "share_above_1db": float((gained > _CLEARLY_BETTER_DB).double().mean()),
            "share_below_0db": float((gained < 0.0).double().mean()),
            "wrong_speaker_rate": float(self.wrong[present].double().mean()),
            "rms_ratio": float(ratio.clamp(min=1e-6).log().mean().exp()),
            "rms_ratio_p10": float(ratio.quantile(0.1)),
            "rms_ratio_p90": float(ratio.quantile(0.9)),
            "tp_level_drop_db": float(self.drop[present].double().mean()),
        }
        if not bool(present.all()):
            found["ta_attenuation_db"] = float(self.drop[~present].double().mean())
            found["ta_quiet_share"] = float((self.drop[~present] >= _QUIET_DB).double().mean())
            found["ta_specific_db"] = found["ta_attenuation_db"] - found["tp_level_drop_db"]
            found |= Roc.of(self.drop, present).summary()
        return found


def _best_of_others(estimate: Tensor, batch: Batch) -> Tensor:
    """SI-SDR [batch, queries] of ``estimate`` against the nearest source that was not asked for."""
    sources, asked = batch["sources"], batch["asked"]
    pairs = estimate[:, :, None].expand(-1, -1, sources.shape[1], -1)
    against = si_sdr_db(pairs, target=sources[:, None].expand_as(pairs))
    unused = sources.square().sum(dim=-1)[:, None] == 0.0
    wanted = torch.arange(sources.shape[1], device=asked.device) == asked[..., None]
    return against.masked_fill(wanted | unused, -torch.inf).amax(dim=-1)
