"""All metrics of one model on frozen scenes, by condition and by range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from distsys.domains.protocol import Batch, EvalSet, Evaluation
from distsys.domains.ris_localization.bound import crb_deviations
from distsys.domains.ris_localization.config import DataConfig
from distsys.domains.ris_localization.estimate import by_number, localizer
from distsys.domains.ris_localization.metrics import Errors, crb_ratio, matched_errors, summary
from distsys.domains.ris_localization.model import CovarianceNet
from distsys.domains.ris_localization.sensing import Sensing
from distsys.shapes import Bool, Complex, Float

_BATCH = 250
_MUSIC_METRICS = ("success", "position_error_m", "phi_rmse_deg", "theta_rmse_deg")
_OVERALL = ("music_position_error_m", "position_error_m", "success")
"""Metrics that are also given over all conditions together."""
_RANGE_EDGES_M = (2.0, 5.0)


@dataclass(frozen=True)
class Look:
    """One model on the scenes of one condition.

    Args:
        ratio: eigenvalue ratio of each scene with two sources or more.
        music, polished: errors of both estimates; ``raw`` those of MUSIC without a network.
        bound: Cramer-Rao deviations, [scenes, sources, 3].
    """

    batch: Batch
    ratio: Tensor
    music: Errors
    polished: Errors
    raw: Errors
    bound: Tensor

    def metrics(self, data: DataConfig) -> dict[str, float]:
        """By name and condition; ``music_...`` before maximum likelihood has polished."""
        constant = float(errors_of(middle_of(data, self.batch), self.batch).scene_position_m().mean())
        row = summary(self.polished, self.bound)
        row["skill"] = 1.0 - row["position_error_m"] / constant
        music = summary(self.music, self.bound)
        row |= {f"music_{name}": music[name] for name in _MUSIC_METRICS}
        return named(row, condition_name(self.batch))


def evaluate(model: CovarianceNet, data: EvalSet) -> Evaluation:
    """Metrics of MUSIC on the model's covariance (``music_...``) and of maximum likelihood.

    The likelihood starts from those peaks of the model's and of the sample covariance that explain the
    snapshots best, so that where MUSIC needs no network nothing is lost by one.
    """
    looks = [look_at(model, batch) for batch in data.batches]
    items = torch.cat([look.music.scene_position_m() for look in looks])
    found: dict[str, float] = {}
    for look in looks:
        found |= look.metrics(model.config.data)
    health = _health([look for look in looks if is_coherent(look.batch)])
    return Evaluation({**overall(found), **health, **found, **_by_range(looks)}, items.cpu().numpy())


def overall(found: Mapping[str, float]) -> dict[str, float]:
    """Means over the conditions, which have equally many scenes."""
    means = {}
    for name in _OVERALL:
        values = [value for key, value in found.items() if key.startswith(f"{name}/")]
        if values:
            means[name] = float(np.mean(values))
    return means


def look_at(model: CovarianceNet, batch: Batch) -> Look:
    """Both estimates of every scene of ``batch``, with their errors; NaN where the model gave no finite covariance."""
    data = model.config.data
    factors = predict_factors(model, batch)
    broken = ~torch.isfinite(torch.view_as_real(factors)).all(dim=(1, 2, 3))
    factors = factors.masked_fill(broken[:, None, None], 0.0)  # LAPACK refuses NaN; what follows becomes NaN again
    estimate = localizer(data).estimate(factors, batch, others=batch["raw_uvq"])
    found = (item.masked_fill(broken[:, None, None], torch.nan) for item in (estimate.music, estimate.polished))
    ratio = eigenvalue_ratio(factors, batch["num_sources"]).masked_fill(broken[batch["num_sources"] > 1], torch.nan)
    music, polished, raw = (errors_of(uvq, batch) for uvq in (*found, batch["raw_uvq"]))
    return Look(batch, ratio, music, polished, raw, deviations_of(data, batch))


def _health(coherent: Sequence[Look]) -> dict[str, float]:
    """What the constraints judge, on coherent scenes: rank, and success beside MUSIC without the network."""
    gains = [_success(look.music) - _success(look.raw) for look in coherent]
    ratios = torch.cat([look.ratio for look in coherent])
    return {
        # One source has no second eigenvalue to lose.
        "eigenvalue_ratio": float(ratios.median()) if len(ratios) else 1.0,
        "success_over_raw_music": float(np.mean(gains)),
    }


def predict_factors(model: CovarianceNet, batch: Batch) -> Complex[Tensor, "scenes elements rank"]:
    """The model's covariance factors, a few hundred scenes at a time."""
    names = ("snapshots", "num_sources")
    pieces = zip(*(batch[name].split(_BATCH) for name in names), strict=True)
    return torch.cat([model(dict(zip(names, piece, strict=True))) for piece in pieces])


def true_columns(data: DataConfig, batch: Batch) -> Complex[Tensor, "scenes elements sources"]:
    """Steering vectors of the true sources under the assumed wave, as columns; absent sources are zero."""
    steering = localizer(data).steering
    columns: Tensor = steering.vectors(batch["uvq"]) * present_in(batch)[..., None]
    return columns.mT


def present_in(batch: Batch) -> Bool[Tensor, "scenes sources"]:
    """Which of the sources exist."""
    number = batch["num_sources"]
    return torch.arange(batch["uvq"].shape[1], device=number.device) < number[:, None]


def errors_of(uvq: Float[Tensor, "scenes sources 3"], batch: Batch) -> Errors:
    """Errors of ``uvq`` against the scenes of ``batch``."""
    return matched_errors(uvq, true_uvq=_standing(batch), present=present_in(batch))


def deviations_of(data: DataConfig, batch: Batch) -> Float[Tensor, "scenes sources 3"]:
    """Cramer-Rao bounds (phi in rad, theta in rad, r in m) of the scenes of ``batch``, under their own wave."""
    steering, sensing = data.true_steering(), data.sensing()
    result = torch.ones_like(batch["uvq"], dtype=torch.float64)

    def bound(rows: Tensor, number: int) -> tuple[Tensor, ...]:
        result[rows, :number] = crb_deviations(
            batch["uvq"][rows, :number].double(),
            _grouped_amplitudes(batch["amplitudes"][rows, :number], sensing),
            noise_variance=batch["noise_variance"][rows].double(),
            steering=steering,
            sensing=sensing,
        )
        return ()

    by_number(batch["num_sources"], bound)
    return result


def condition_name(batch: Batch) -> str:
    """What the scenes of a frozen batch have in common, such as snr10 or snr10_independent or snr10_l1."""
    name = f"snr{float(batch['snr_db'][0]):g}"
    if not is_coherent(batch):
        name += "_independent"
    few = int(batch["num_snapshots"][0])
    return f"{name}_l{few}" if few <= 2 else name


def is_coherent(batch: Batch) -> bool:
    """Whether the sources of a frozen batch send one signal."""
    return float(batch["correlation"][0]) == 1.0


def named(row: Mapping[str, float], condition: str) -> dict[str, float]:
    """``metric/condition`` for each metric of ``row``."""
    return {f"{name}/{condition}": value for name, value in row.items()}


def middle_of(data: DataConfig, batch: Batch) -> Float[Tensor, "scenes sources 3"]:
    """The answer that is always the middle of the region."""
    middle = torch.tensor([0.0, 0.0, 2.0 / (data.min_range_m + data.max_range_m)], device=batch["uvq"].device)
    return torch.as_tensor(middle.expand_as(batch["uvq"]))


def eigenvalue_ratio(factors: Complex[Tensor, "scenes elements rank"], num_sources: Tensor) -> Float[Tensor, " any"]:
    """lambda_K / lambda_1 of F F^H for scenes of two sources or more; near 0 the rank has collapsed."""
    values = torch.linalg.eigvalsh(factors.mH @ factors).flip(1)
    several = num_sources > 1
    last = values.gather(1, (num_sources - 1)[:, None])[:, 0]
    return torch.as_tensor((last / values[:, 0].clamp(min=1e-30))[several])


def _standing(batch: Batch) -> Tensor:
    """True sources, absent ones put far away instead of at 1/r = 0."""
    away = torch.tensor([0.0, 0.0, 1e-3], device=batch["uvq"].device)
    return torch.where(present_in(batch)[..., None], batch["uvq"], away)


def _grouped_amplitudes(amplitudes: Tensor, sensing: Sensing) -> Tensor:
    wide = amplitudes.to(torch.complex128)
    return wide[:, None] if sensing.matrices is None else wide.movedim(-1, 1)[..., None]


def _success(errors: Errors) -> float:
    return float(errors.found[errors.present].double().mean())


def _by_range(looks: Sequence[Look]) -> dict[str, float]:
    """Success and ratio to the bound of polished estimates over all conditions, by the sources' true range."""
    errors = [look.polished for look in looks]
    whole = Errors(*(torch.cat([getattr(item, name) for item in errors]) for name in Errors.__dataclass_fields__))
    bound = torch.cat([look.bound for look in looks])
    found: dict[str, float] = {}
    for low, high in zip((0.0, *_RANGE_EDGES_M), (*_RANGE_EDGES_M, np.inf), strict=True):
        part = whole.only((whole.true_range_m >= low) & (whole.true_range_m < high))
        name = f"range_{low:g}_{high:g}m" if np.isfinite(high) else f"range_{low:g}m_up"
        if bool(part.present.any()):
            found |= {f"success/{name}": _success(part), f"crb_ratio/{name}": crb_ratio(part, bound)}
    return found
