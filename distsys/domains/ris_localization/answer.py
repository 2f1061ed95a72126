"""Sources of recorded snapshots, with the uncertainties that the Cramer-Rao bound gives."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from distsys.domains.kit import csv_text, json_text, one_thread
from distsys.domains.protocol import Batch, Prediction
from distsys.domains.ris_localization.config import DataConfig, Request
from distsys.domains.ris_localization.data.geometry import to_physical
from distsys.domains.ris_localization.data.recording import Recording, read_recording
from distsys.domains.ris_localization.data.steering import steering_of
from distsys.domains.ris_localization.model.grouping import by_number, padded
from distsys.domains.ris_localization.model.likelihood import projected
from distsys.domains.ris_localization.model.localizer import Localizer, localizer_of
from distsys.domains.ris_localization.model.network import CovarianceNet, predict_factors
from distsys.domains.ris_localization.model.order import order_by_likelihood
from distsys.domains.ris_localization.score.bound import crb_deviations
from distsys.domains.ris_localization.score.errors import matched_errors
from distsys.domains.ris_localization.score.gospa import gospa_m
from distsys.domains.ris_localization.score.metrics import success

_LOOKED_AT = 20
"""Scenes by which the convention of phases is judged."""
_MUCH_LESS = 0.5
"""Of the unexplained power: noise alone makes both alike."""
_NO_POWER = 1e-5
"""Singular values below this share of the largest are rounding."""
CONVENTION = (
    "x = r sin(phi) cos(theta), y = r sin(theta), z = r cos(phi) cos(theta); the array lies in x-y, looks along z, "
    "elements are numbered y fastest; a phase is exp(-j 2 pi distance / wavelength)"
)
_COLUMNS = (
    "scene", "source", "phi_deg", "theta_deg", "range_m", "phi_sd_deg", "theta_sd_deg", "range_sd_m",
)  # fmt: skip


def predict(model: CovarianceNet, request: Request) -> Prediction:
    """Sources in the scenes of ``request.snapshots``, nearest first in each scene.

    Raises:
        DataError: the file does not fit the model.
    """
    with one_thread():
        return _answered(model, request)


def _answered(model: CovarianceNet, request: Request) -> Prediction:
    settings, device = _settings(model, request), next(model.parameters()).device
    recording = read_recording(request.snapshots, settings, num_sources=request.num_sources)
    batch: Batch = {
        "snapshots": recording.snapshots.to(device),
        "num_sources": recording.num_sources.to(device),
        "num_snapshots": recording.num_snapshots.to(device),
    }
    localizer, warnings, others = localizer_of(settings), list[str](), None
    if request.num_sources == "auto":
        number, others, warnings = _counted(localizer, batch)
        batch = {**batch, "num_sources": number}
    uvq = _located(model, localizer, batch, others)
    rows = _rows(uvq, _deviations(localizer, uvq, batch), batch["num_sources"])
    summary: dict[str, Any] = {"scenes": len(recording.snapshots), "convention": CONVENTION, "sources": rows}
    if recording.true_uvq is not None:
        summary["errors"] = _errors(uvq.cpu(), batch["num_sources"].cpu(), recording, recording.true_uvq)
    files = {".csv": csv_text(_COLUMNS, rows), ".json": json_text(summary)}
    return Prediction(summary, files, warnings=[*warnings, *_warnings(model, localizer, batch, uvq)])


def _counted(localizer: Localizer, batch: Batch) -> tuple[Tensor, Tensor, list[str]]:
    """Numbers of sources by likelihood, up to the model's most, where these are, and what speaks against them."""
    most, snapshots = localizer.max_sources, batch["snapshots"]
    found = order_by_likelihood(localizer, snapshots, most=most + 1, num_snapshots=batch["num_snapshots"])
    more = int((found.num_sources > most).sum())
    number = found.scores[:, : most + 1].argmin(dim=1)
    places = found.places[torch.arange(len(number)), number, :most]
    text = (
        f"{more} of {len(number)} scenes seem to hold more than {most} sources, the most that the model was trained for"
    )
    return number, places, [text] if more else []


def _settings(model: CovarianceNet, request: Request) -> DataConfig:
    """The model's, with the array that was learned since."""
    data = model.config.data
    return data if request.array is None else data.model_copy(update={"array": request.array})


def _located(model: CovarianceNet, localizer: Localizer, batch: Batch, others: Tensor | None = None) -> Tensor:
    """(u, v, q) of the sources [scenes, most sources, 3], zero where there are none.

    Args:
        others: candidates beside the network's; by default the peaks of the sample covariance.
    """
    here = batch["num_sources"] > 0
    uvq = torch.zeros(len(here), localizer.max_sources, 3, dtype=torch.float64, device=here.device)
    if not bool(here.any()):
        return uvq
    some = {name: values[here] for name, values in batch.items()}
    factors = predict_factors(model, some, _turn(model, localizer))
    starts = localizer.raw_peaks(some) if others is None else others[here]
    uvq[here] = localizer.estimate(factors, some, others=starts).polished
    return uvq


def _turn(model: CovarianceNet, localizer: Localizer) -> Tensor | None:
    """By what phases the elements of ``localizer`` differ from those that ``model`` was trained for."""
    data = model.config.data
    trained, now = (item.response for item in (steering_of(data, data.steering), localizer.steering))
    if now is None:
        return None
    device = next(model.parameters()).device
    turn = now.gains if trained is None else now.gains * trained.gains.conj()
    return torch.polar(torch.ones_like(turn.real), turn.angle()).to(device, torch.complex64)


def _warnings(model: CovarianceNet, localizer: Localizer, batch: Batch, uvq: Tensor) -> list[str]:
    """Too many sources for what was recorded, and waves whose phase turns the other way."""
    return [*_above_rank(batch), *_conjugated(model, localizer, batch, uvq)]


def _above_rank(batch: Batch) -> list[str]:
    """Scenes with more sources than their snapshots have dimensions: a covariance shows only so many."""
    rank = torch.linalg.matrix_rank(batch["snapshots"].to(torch.complex128), rtol=_NO_POWER)
    above = (batch["num_sources"] > rank).nonzero()[:, 0]
    if not len(above):
        return []
    first = int(above[0])
    what = f"{int(batch['num_sources'][first])} sources of snapshots of rank {int(rank[first])}"
    text = f"{len(above)} of {len(rank)} scenes have more sources than rank (first {first}: {what})"
    return [f"{text}: eigenvectors cannot tell them apart, likelihood alone does, as well as deviations say"]


def _conjugated(model: CovarianceNet, localizer: Localizer, batch: Batch, uvq: Tensor) -> list[str]:
    here = (batch["num_sources"] > 0).nonzero()[:_LOOKED_AT, 0]
    if not len(here):
        return []
    some = {name: values[here] for name, values in batch.items()}
    turned = {**some, "snapshots": some["snapshots"].conj().resolve_conj()}
    ours = _unexplained(localizer, uvq[here], some)
    there = _unexplained(localizer, _located(model, localizer, turned), turned)
    if not there < _MUCH_LESS * ours:
        return []
    times = f"the snapshots fit {ours / there:.1f} times better conjugated"
    return [f"{times}: conjugate them, or sources are mirrored (here a phase is exp(-j 2 pi distance / wavelength))"]


def _unexplained(localizer: Localizer, uvq: Tensor, batch: Batch) -> float:
    """Share of the snapshots' power that sources at ``uvq`` do not explain, the median over scenes."""

    def solve(rows: Tensor, number: int) -> tuple[Tensor, ...]:
        data = localizer.grouped(batch["snapshots"][rows])
        _, residual = projected(localizer.sensing.apply(localizer.steering.vectors(uvq[rows, :number])), data)
        power = torch.view_as_real(data).square().flatten(1).sum(dim=1)
        return (torch.view_as_real(residual).square().flatten(1).sum(dim=1) / power,)

    return float(by_number(batch["num_sources"], solve)[0].median())


def _deviations(localizer: Localizer, uvq: Tensor, batch: Batch) -> Tensor:
    """The bound at the estimate, with its own amplitudes and residual noise."""
    steering, sensing = localizer.steering, localizer.sensing

    def solve(rows: Tensor, number: int) -> tuple[Tensor, ...]:
        if number == 0:
            return (torch.zeros(len(rows), localizer.max_sources, 3, dtype=torch.float64, device=rows.device),)
        data, places = localizer.grouped(batch["snapshots"][rows]), uvq[rows, :number]
        amplitudes, residual = projected(sensing.apply(steering.vectors(places)), data)
        free = batch["num_snapshots"][rows] * (data.shape[2] - number)
        noise = torch.view_as_real(residual).square().flatten(1).sum(dim=1) / free
        found = crb_deviations(places, amplitudes, noise_variance=noise, steering=steering, sensing=sensing)
        return (padded(found, max_sources=localizer.max_sources),)

    return by_number(batch["num_sources"], solve)[0]


def _rows(uvq: Tensor, deviations: Tensor, num_sources: Tensor) -> list[dict[str, float | None]]:
    """A row a source; a deviation that nobody can know is None."""
    physical, spread = (item.cpu() for item in (to_physical(uvq), deviations))
    degrees = torch.tensor([180.0 / torch.pi, 180.0 / torch.pi, 1.0], dtype=torch.float64)
    values = torch.cat([physical * degrees, spread * degrees], dim=-1)
    rows = []
    for scene, number in enumerate(num_sources.tolist()):
        order = values[scene, :number, 2].argsort()
        for source, row in enumerate(values[scene, order].tolist()):
            numbers = [round(value, 5) if math.isfinite(value) else None for value in row]
            rows.append(dict(zip(_COLUMNS, [scene, source, *numbers], strict=True)))
    return rows


def _errors(uvq: Tensor, number: Tensor, recording: Recording, true_uvq: Tensor) -> dict[str, float]:
    """Of all sources where their numbers are the true ones; ``gospa_m`` and ``order_accuracy`` of every scene."""
    right = number == recording.num_sources
    present = (torch.arange(uvq.shape[1]) < recording.num_sources[:, None]) & right[:, None]
    distance = gospa_m(uvq, number, true_uvq=true_uvq, num_sources=recording.num_sources)
    whole = {"order_accuracy": float(right.double().mean()), "gospa_m": float(distance.mean())}
    if not bool(present.any()):
        return whole
    found = matched_errors(uvq[right], true_uvq=true_uvq[right], present=present[right])
    here = present[right]
    return {
        "success": success(found),
        "phi_median_deg": float(found.phi_deg[here].abs().median()),
        "theta_median_deg": float(found.theta_deg[here].abs().median()),
        "range_median_m": float(found.range_m[here].abs().median()),
        **whole,
    }
