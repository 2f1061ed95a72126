"""All metrics of one model on frozen scenes, by condition and by range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
_RANGE_EDGES_M = (2.0, 5.0)


def evaluate(model: CovarianceNet, data: EvalSet) -> Evaluation:
    """Metrics of MUSIC on the model's covariance (``music_...``) and of maximum likelihood started from it."""
    found: dict[str, float] = {}
    scenes, polished, deviations, ratios, raw = [], [], [], [], []
    for batch in data.batches:
        factors = predict_factors(model, batch)
        estimate = localizer(model.config.data).estimate(factors, batch)
        bound = deviations_of(model.config.data, batch)
        music, best = (errors_of(uvq, batch) for uvq in (estimate.music, estimate.polished))
        name = condition_name(batch)
        constant = float(errors_of(middle_of(model.config.data, batch), batch).scene_position_m().mean())
        found |= named(summary(best, bound), name)
        found[f"skill/{name}"] = 1.0 - found[f"position_error_m/{name}"] / constant
        found |= named({key: summary(music, bound)[key] for key in _MUSIC_METRICS}, name, prefix="music_")
        scenes.append(music.scene_position_m())
        polished.append(best)
        deviations.append(bound)
        if is_coherent(batch):
            ratios.append(eigenvalue_ratio(factors, batch["num_sources"]))
            raw.append([_success(errors_of(batch["raw_uvq"], batch)), _success(music)])
    items = torch.cat(scenes)
    gained = torch.tensor(raw).mean(dim=0) if raw else torch.zeros(2)
    overall = {
        "music_position_error_m": float(items.mean()),
        "position_error_m": float(torch.cat([item.scene_position_m() for item in polished]).mean()),
        "eigenvalue_ratio": float(torch.cat(ratios).median()) if ratios else 1.0,
        "success_over_raw_music": float(gained[1] - gained[0]),
    }
    return Evaluation({**overall, **found, **_by_range(polished, deviations)}, items.cpu().numpy())


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


def named(row: Mapping[str, float], condition: str, *, prefix: str = "") -> dict[str, float]:
    """``metric/condition`` for each metric of ``row``."""
    return {f"{prefix}{name}/{condition}": value for name, value in row.items()}


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


def _by_range(errors: Sequence[Errors], deviations: Sequence[Tensor]) -> dict[str, float]:
    """Success and ratio to the bound over all conditions, by the sources' true range."""
    whole = Errors(*(torch.cat([getattr(item, name) for item in errors]) for name in Errors.__dataclass_fields__))
    bound = torch.cat(list(deviations))
    found: dict[str, float] = {}
    for low, high in zip((0.0, *_RANGE_EDGES_M), (*_RANGE_EDGES_M, np.inf), strict=True):
        part = whole.only((whole.true_range_m >= low) & (whole.true_range_m < high))
        name = f"range_{low:g}_{high:g}m" if np.isfinite(high) else f"range_{low:g}m_up"
        if bool(part.present.any()):
            found |= {f"success/{name}": _success(part), f"crb_ratio/{name}": crb_ratio(part, bound)}
    return found
