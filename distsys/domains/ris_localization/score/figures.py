"""What a person looks at: spectra, errors against SNR and the bound, truth against estimate, wave models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from distsys.domains.kit import labelled
from distsys.domains.protocol import EvalSet, Evaluation
from distsys.domains.ris_localization.config import SteeringModel
from distsys.domains.ris_localization.data.geometry import Surface, surface_of, to_physical
from distsys.domains.ris_localization.data.truth import present_in
from distsys.domains.ris_localization.model.localizer import Localizer, localizer_of
from distsys.domains.ris_localization.model.network import CovarianceNet
from distsys.domains.ris_localization.model.subspace import signal_subspace
from distsys.domains.ris_localization.score.evaluation import ConditionResult, Found
from distsys.domains.ris_localization.score.metrics import bound_summary, summary
from distsys.domains.ris_localization.score.mismatch import steering_bias

_NETWORK, _RAW, _POLISHED, _BOUND = "#2b6cb0", "#a0aec0", "#c05621", "black"
_SHOWN_SNR_DB = 10.0
_SIMPLER: tuple[tuple[SteeringModel, str, str], ...] = (("fresnel", _NETWORK, "-"), ("paraxial", _POLISHED, "--"))
_PANELS = {
    "phi_rmse_deg": "azimuth RMSE, deg",
    "range_median_m": "range, median error, m",
    "success": "sources found",
}


def figures(model: CovarianceNet, data: EvalSet, evaluation: Evaluation) -> Mapping[str, Figure]:
    """Figures by title, of coherent scenes with all their snapshots."""
    found = evaluation.details
    assert isinstance(found, Found)
    coherent = [result for result in found.conditions if result.is_coherent]
    most = max(result.num_snapshots for result in coherent)
    full = [result for result in coherent if result.num_snapshots == most]
    shown = min(full, key=lambda result: abs(result.snr_db - _SHOWN_SNR_DB))
    return {
        "Spectra of one scene": _spectra(localizer_of(model.config.data), shown),
        "Errors against SNR": _against_snr(full),
        "Truth and estimate": _scatter(shown),
        "Bias of wave models": _bias(surface_of(model.config.data)),
    }


def _spectra(localizer: Localizer, result: ConditionResult) -> Figure:
    """A scene of middling difficulty: the raw spectrum above, the network's below; directions, then ranges."""
    batch, scene = result.batch, _middling(result)
    number = int(batch["num_sources"][scene])
    rows = {
        "sample covariance": localizer.raw_factors(batch)[scene][None],
        "network": result.factors[scene][None],
    }
    truth = to_physical(batch["uvq"][scene, :number].double()).cpu()
    figure = Figure(figsize=(9.5, 6), layout="constrained")
    for row, (name, factors) in enumerate(rows.items()):
        subspace = signal_subspace(factors, num_sources=number)
        spectrum = -10.0 * (1.0 - localizer.music.spectrum(subspace)[0].cpu()).clamp(min=1e-6).log10()
        _direction_map(figure.add_subplot(2, 2, 2 * row + 1), localizer, spectrum, truth, name)
        _range_cut(figure.add_subplot(2, 2, 2 * row + 2), localizer, subspace, batch["uvq"][scene, :number], name)
    return figure


def _middling(result: ConditionResult) -> int:
    """The scene whose raw MUSIC error is the median."""
    errors_m = result.raw.scene_position_m()
    return int(errors_m.argsort()[len(errors_m) // 2])


def _direction_map(axes: Axes, localizer: Localizer, spectrum: Tensor, truth: Tensor, name: str) -> None:
    grid = localizer.music.grid
    place = to_physical(grid.points).reshape(*grid.shape, 3)[:, :, 0].rad2deg()
    best = spectrum.masked_fill(grid.outside, 0.0).amax(dim=2)
    mesh = axes.pcolormesh(*(item.numpy() for item in (place[..., 0], place[..., 1], best)), shading="gouraud")
    shown = truth[:, :2].rad2deg().numpy()
    axes.scatter(shown[:, 0], shown[:, 1], s=70, facecolors="none", edgecolors="red", label="truth")
    axes.legend(fontsize=7, loc="upper right")
    assert axes.figure is not None
    axes.figure.colorbar(mesh, ax=axes)
    labelled(axes, x="azimuth phi, deg", y="elevation theta, deg", title=f"{name}: best over range, dB")
    axes.set_xlim(-65, 65)


def _range_cut(axes: Axes, localizer: Localizer, subspace: Tensor, uvq: Tensor, name: str) -> None:
    surface = localizer.surface
    q = torch.linspace(1.0 / surface.max_range_m, 1.0 / surface.min_range_m, 400, dtype=torch.float64)
    for index, source in enumerate(uvq.double()):
        along = source.repeat(len(q), 1)
        along[:, 2] = q.to(along)
        matched = torch.view_as_real(localizer.steering.vectors(along).conj() @ subspace[0]).square().sum(dim=(-2, -1))
        height = -10.0 * (1.0 - matched.cpu()).clamp(min=1e-6).log10()
        line = axes.plot((1.0 / q).numpy(), height.numpy(), label=f"source {index + 1}")[0]
        axes.axvline(float(1.0 / source[2]), color=line.get_color(), linestyle="--", linewidth=0.9)
    axes.set_xscale("log")
    axes.legend(fontsize=7)
    labelled(axes, x="range, m (dashed: truth)", y="spectrum, dB", title=f"{name}: range cuts at the true directions")


def _against_snr(results: Sequence[ConditionResult]) -> Figure:
    """RMSE of azimuth of the sources found, median error of range, and the share that is found."""
    lines = {
        "raw MUSIC": (_RAW, [summary(result.raw, result.bound) for result in results]),
        "network + MUSIC": (_NETWORK, [summary(result.music, result.bound) for result in results]),
        "network + MUSIC + ML": (_POLISHED, [summary(result.polished, result.bound) for result in results]),
    }
    bounds = [bound_summary(result.bound, present_in(result.batch)) for result in results]
    snr = [result.snr_db for result in results]
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    for index, (metric, label) in enumerate(_PANELS.items()):
        axes = figure.add_subplot(1, 3, index + 1)
        for name, (colour, rows) in lines.items():
            axes.plot(snr, [row[metric] for row in rows], marker="o", markersize=4, color=colour, label=name)
        if metric in bounds[0]:
            axes.plot(snr, [row[metric] for row in bounds], "--", color=_BOUND, label="Cramer-Rao bound, all sources")
            axes.set_yscale("log")
        else:
            axes.set_ylim(0.0, 1.03)
        labelled(axes, x="SNR per element, dB", y=label)
    figure.axes[0].legend(fontsize=7)
    figure.suptitle("Errors are those of found sources alone, so that they may lie below the bound", fontsize=8)
    return figure


def _scatter(result: ConditionResult) -> Figure:
    errors, uvq = result.polished, result.batch["uvq"]
    here = errors.present
    truth = to_physical(torch.where(here[..., None], uvq, torch.ones(()).to(uvq))).double()
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
        labelled(axes, x=f"true {label}", y=f"estimated {label}")
    figure.suptitle(f"network + MUSIC + ML, {result.name}", fontsize=9)
    return figure


def _bias(surface: Surface) -> Figure:
    """What a simplified wave costs, without noise and without a network."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    for index, label in enumerate(("angle error, deg", "range error, m")):
        axes = figure.add_subplot(1, 2, index + 1)
        for assumed, colour, line in _SIMPLER:
            ranges_m, errors = steering_bias(surface, assumed)
            axes.plot(ranges_m.numpy(), errors[:, index].numpy(), line, color=colour, label=f"{assumed} on exact")
        axes.set_xscale("log")
        axes.set_yscale("log")
        labelled(axes, x="true range, m", y=f"median {label}")
    figure.axes[0].legend(fontsize=8)
    return figure
