"""What a person looks at: spectra, errors against SNR and the bound, truth against estimate, wave models."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from distsys.domains.protocol import Batch, EvalSet
from distsys.domains.ris_localization.config import SteeringModel
from distsys.domains.ris_localization.estimate import Localizer, localizer, raw_factors
from distsys.domains.ris_localization.evaluation import (
    condition_name,
    deviations_of,
    errors_of,
    is_coherent,
    predict_factors,
    present_in,
)
from distsys.domains.ris_localization.geometry import to_physical
from distsys.domains.ris_localization.metrics import Errors, bound_summary, summary
from distsys.domains.ris_localization.mismatch import steering_bias
from distsys.domains.ris_localization.model import CovarianceNet
from distsys.domains.ris_localization.music import signal_subspace

_NETWORK, _RAW, _POLISHED, _BOUND = "#2b6cb0", "#a0aec0", "#c05621", "black"
_SHOWN_SNR_DB = 10.0
_SIMPLER: tuple[tuple[SteeringModel, str, str], ...] = (("fresnel", _NETWORK, "-"), ("paraxial", _POLISHED, "--"))


def make_figures(model: CovarianceNet, data: EvalSet) -> Mapping[str, Figure]:
    """Figures by title."""
    coherent = [batch for batch in data.batches if is_coherent(batch)]
    most = max(int(batch["num_snapshots"][0]) for batch in coherent)
    full = [batch for batch in coherent if int(batch["num_snapshots"][0]) == most]
    shown = min(full, key=lambda batch: abs(float(batch["snr_db"][0]) - _SHOWN_SNR_DB))
    return {
        "Spectra of one scene": _spectra(model, shown),
        "Errors against SNR": _against_snr(model, full),
        "Truth and estimate": _scatter(model, shown),
        "Bias of wave models": _bias(model),
    }


def _axes(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x, fontsize=8)
    axes.set_ylabel(y, fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25)


def _spectra(model: CovarianceNet, batch: Batch) -> Figure:
    """A scene of middling difficulty: the raw spectrum above, the network's below; directions, then ranges."""
    tools = localizer(model.config.data)
    scene = _middling(model, batch)
    number = int(batch["num_sources"][scene])
    rows = {
        "sample covariance": raw_factors(batch["snapshots"], tools.sensing, rank=batch["uvq"].shape[1])[scene][None],
        "network": predict_factors(model, batch)[scene][None],
    }
    truth = to_physical(batch["uvq"][scene, :number].double()).cpu()
    figure = Figure(figsize=(9.5, 6), layout="constrained")
    for row, (name, factors) in enumerate(rows.items()):
        subspace = signal_subspace(factors, num_sources=number)
        spectrum = -10.0 * (1.0 - tools.music.spectrum(subspace)[0].cpu()).clamp(min=1e-6).log10()
        _direction_map(figure.add_subplot(2, 2, 2 * row + 1), tools, spectrum, truth, name)
        _range_cut(figure.add_subplot(2, 2, 2 * row + 2), tools, subspace, batch["uvq"][scene, :number], name)
    return figure


def _middling(model: CovarianceNet, batch: Batch) -> int:
    """The scene whose raw MUSIC error is the median."""
    return int(errors_of(batch["raw_uvq"], batch).scene_position_m().argsort()[len(batch["uvq"]) // 2])


def _direction_map(axes: Axes, tools: Localizer, spectrum: Tensor, truth: Tensor, name: str) -> None:
    grid = tools.music.grid
    place = to_physical(grid.points).reshape(*grid.shape, 3)[:, :, 0].rad2deg()
    best = spectrum.masked_fill(grid.outside, 0.0).amax(dim=2)
    mesh = axes.pcolormesh(*(item.numpy() for item in (place[..., 0], place[..., 1], best)), shading="gouraud")
    shown = truth[:, :2].rad2deg().numpy()
    axes.scatter(shown[:, 0], shown[:, 1], s=70, facecolors="none", edgecolors="red", label="truth")
    axes.set_title(f"{name}: best over range, dB", fontsize=9)
    axes.legend(fontsize=7, loc="upper right")
    assert axes.figure is not None
    axes.figure.colorbar(mesh, ax=axes)
    _axes(axes, "azimuth phi, deg", "elevation theta, deg")
    axes.set_xlim(-65, 65)


def _range_cut(axes: Axes, tools: Localizer, subspace: Tensor, uvq: Tensor, name: str) -> None:
    surface = tools.surface
    q = torch.linspace(1.0 / surface.max_range_m, 1.0 / surface.min_range_m, 400, dtype=torch.float64)
    for index, source in enumerate(uvq.double()):
        along = source.repeat(len(q), 1)
        along[:, 2] = q.to(along)
        seen = torch.view_as_real(tools.steering.vectors(along).conj() @ subspace[0]).square().sum(dim=(-2, -1))
        height = -10.0 * (1.0 - seen.cpu()).clamp(min=1e-6).log10()
        line = axes.plot((1.0 / q).numpy(), height.numpy(), label=f"source {index + 1}")[0]
        axes.axvline(float(1.0 / source[2]), color=line.get_color(), linestyle="--", linewidth=0.9)
    axes.set_xscale("log")
    axes.set_title(f"{name}: range cuts at the true directions", fontsize=9)
    axes.legend(fontsize=7)
    _axes(axes, "range, m (dashed: truth)", "spectrum, dB")


def _against_snr(model: CovarianceNet, batches: list[Batch]) -> Figure:
    """RMSE of azimuth of the sources found, median error of range, and the share that is found."""
    data = model.config.data
    lines: dict[str, list[dict[str, float]]] = {"raw MUSIC": [], "network + MUSIC": [], "network + MUSIC + ML": []}
    bounds = []
    for batch in batches:
        bound = deviations_of(data, batch)
        estimate = localizer(data).estimate(predict_factors(model, batch), batch, others=batch["raw_uvq"])
        for name, uvq in zip(lines, (batch["raw_uvq"], estimate.music, estimate.polished), strict=True):
            lines[name].append(summary(errors_of(uvq, batch), bound))
        bounds.append(bound_summary(bound, present_in(batch)))
    snr = [float(batch["snr_db"][0]) for batch in batches]
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    panels = {
        "phi_rmse_deg": "azimuth RMSE, deg",
        "range_median_m": "range, median error, m",
        "success": "sources found",
    }
    for index, (metric, label) in enumerate(panels.items()):
        axes = figure.add_subplot(1, 3, index + 1)
        for (name, rows), colour in zip(lines.items(), (_RAW, _NETWORK, _POLISHED), strict=True):
            axes.plot(snr, [row[metric] for row in rows], marker="o", markersize=4, color=colour, label=name)
        if metric in bounds[0]:
            axes.plot(snr, [row[metric] for row in bounds], "--", color=_BOUND, label="Cramer-Rao bound")
            axes.set_yscale("log")
        else:
            axes.set_ylim(0.0, 1.03)
        _axes(axes, "SNR per element, dB", label)
    figure.axes[0].legend(fontsize=7)
    return figure


def _scatter(model: CovarianceNet, batch: Batch) -> Figure:
    factors = predict_factors(model, batch)
    found = localizer(model.config.data).estimate(factors, batch, others=batch["raw_uvq"]).polished
    errors: Errors = errors_of(found, batch)
    here = errors.present
    truth = to_physical(torch.where(here[..., None], batch["uvq"], torch.ones(()).to(batch["uvq"]))).double()
    panels = (
        ("azimuth phi, deg", truth[..., 0].rad2deg(), errors.phi_deg),
        ("elevation theta, deg", truth[..., 1].rad2deg(), errors.theta_deg),
        ("range, m", errors.true_range_m, errors.range_m),
    )
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    for index, (label, true, error) in enumerate(panels):
        axes = figure.add_subplot(1, 3, index + 1)
        values, estimates = true[here].cpu().numpy(), (true + error)[here].cpu().numpy()
        axes.plot([values.min(), values.max()], [values.min(), values.max()], color=_RAW, linewidth=0.8)
        axes.scatter(values, estimates, s=6, color=_POLISHED, linewidths=0)
        _axes(axes, f"true {label}", f"estimated {label}")
    figure.suptitle(f"network + MUSIC + ML, {condition_name(batch)}", fontsize=9)
    return figure


def _bias(model: CovarianceNet) -> Figure:
    """What a simplified wave costs, without noise and without a network."""
    surface = model.config.data.surface()
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    for index, label in enumerate(("angle error, deg", "range error, m")):
        axes = figure.add_subplot(1, 2, index + 1)
        for assumed, colour, line in _SIMPLER:
            ranges_m, errors = steering_bias(surface, assumed)
            axes.plot(ranges_m.numpy(), errors[:, index].numpy(), line, color=colour, label=f"{assumed} on exact")
        axes.set_xscale("log")
        axes.set_yscale("log")
        _axes(axes, "true range, m", f"median {label}")
    figure.axes[0].legend(fontsize=8)
    return figure
