"""What generated motions are judged by: everything above 1 Hz, beside a gate for what lies below."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import torch
from torch import Tensor

from distsys.domains.ground_motion.data.operators import envelope, highpart, lowpass, rms
from distsys.domains.ground_motion.score.intensity import SCORED, durations, fourier_amplitude, measures
from distsys.shapes import Float
from distsys.signals.ensembles import correlation, covered, crps

FOURIER_HZ = (1.2, 5.0, 12.0, 25.0)
_BIAS, _COURSE = "fas_bias/", "hf_envelope_correlation"
_LOWEST_ENVELOPE = -5.0
"""ln of the envelope over the RMS: quieter counts as this quiet."""
_AT_ONCE = 4
"""Records that are scored together: more would only move memory about."""
_STRIDE = 8
"""Samples between those of an envelope that are compared."""
_PAIRS = 4
"""Samples of an ensemble that are correlated with each other."""


@dataclass(frozen=True)
class Scores:
    """One row a record.

    Args:
        columns: numbers that are averaged or, for residuals, also spread; tables begin with the first of them.
        median_residuals: ln(median of samples / truth), by intensity measure.
    """

    columns: dict[str, Float[Tensor, " records"]]
    median_residuals: dict[str, Float[Tensor, " records"]]

    @classmethod
    def of(cls, samples: Float[Tensor, "records count time"], truth: Float[Tensor, "records time"]) -> Self:
        """Scores of ensembles for records whose whole motion is ``truth``."""
        pairs = zip(samples.split(_AT_ONCE), truth.split(_AT_ONCE), strict=True)
        return cls.joined(cls._of_few(few, real) for few, real in pairs)

    @classmethod
    def _of_few(cls, samples: Tensor, truth: Tensor) -> Self:
        made, real = ({**measures(item), **durations(item)} for item in (samples, truth))
        columns = {**_envelopes(samples, truth), **_gate(samples, truth), **_measures(made, real)}
        bands = fourier_amplitude(samples, FOURIER_HZ).mean(dim=1) - fourier_amplitude(truth, FOURIER_HZ)
        for number, (low, high) in enumerate(pairwise(FOURIER_HZ)):
            columns[f"{_BIAS}{low:g}-{high:g}Hz"] = bands[:, number]
        columns["crps"] = columns["crps_ln_im"] + columns["crps_envelope"]
        return cls(columns, {name: made[name].median(dim=-1).values - value for name, value in real.items()})

    @classmethod
    def joined(cls, parts: Iterable[Self]) -> Self:
        """All records of ``parts``."""
        rows = list(parts)
        return cls(_joined([row.columns for row in rows]), _joined([row.median_residuals for row in rows]))

    def summary(self) -> dict[str, float]:
        """Means over records; of spectra also the spread."""
        found = {name: float(values.double().mean()) for name, values in self.columns.items()}
        spread = {name: values.double().std() for name, values in self.columns.items() if name.startswith(_BIAS)}
        found |= {name.replace(_BIAS, "fas_sd/"): float(value) for name, value in spread.items()}
        middle = float(self.columns[_COURSE].double().median())
        return found | {f"{_COURSE}_median": middle}


def _gate(samples: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """The part below 1 Hz is given; a sampler that changes it broke its word."""
    given, kept = lowpass(truth)[:, None], lowpass(samples)
    return {
        "envelope_correlation": correlation(kept, given.expand_as(kept)).mean(dim=1),
        "low_frequency_error": (rms(kept - given) / rms(given)).mean(dim=1),
    }


def _envelopes(samples: Tensor, truth: Tensor) -> dict[str, Tensor]:
    made, real = highpart(samples), highpart(truth)
    envelopes = envelope(made) / rms(made)[..., None]
    wanted = envelope(real) / rms(real)[..., None]
    logs = envelopes[..., ::_STRIDE].clamp(min=1e-30).log().clamp(min=_LOWEST_ENVELOPE)
    wanted_logs = wanted[..., ::_STRIDE].clamp(min=1e-30).log().clamp(min=_LOWEST_ENVELOPE)
    logs = logs.transpose(1, 2)
    found = {
        _COURSE: correlation(envelopes.mean(dim=1), wanted),
        f"{_COURSE}_single": correlation(envelopes, wanted[:, None].expand_as(envelopes)).mean(dim=1),
        "crps_envelope": crps(logs, wanted_logs).mean(dim=-1),
    }
    if samples.shape[1] > 1:
        found["coverage/envelope"] = covered(logs, wanted_logs).float().mean(dim=-1)
        few = made[:, : _PAIRS + 1]
        found["seed_to_seed"] = correlation(few[:, :-1], few[:, 1:]).abs().mean(dim=1)
    return found


def _measures(made: dict[str, Tensor], real: dict[str, Tensor]) -> dict[str, Tensor]:
    """Of measures [records, count] beside those of the truth [records]."""
    found = {f"residual/{name}": made[name].mean(dim=-1) - value for name, value in real.items()}
    scores = {name: crps(made[name], real[name]) for name in SCORED}
    found["crps_ln_im"] = torch.stack(list(scores.values())).mean(dim=0)
    found |= {f"crps/{name}": value for name, value in scores.items()}
    if made["pga"].shape[-1] > 1:
        found |= {f"coverage/{name}": covered(made[name], real[name]).float() for name in SCORED}
    return found


def _joined(rows: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
