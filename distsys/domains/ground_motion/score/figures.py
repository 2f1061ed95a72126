"""What a person looks at: motions, spectra, arrival of energy, and what is systematically missed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from distsys.domains.ground_motion.data.operators import RATE_HZ, WINDOW, envelope, highpart, lowpass
from distsys.domains.ground_motion.model.network import Committee
from distsys.domains.ground_motion.score.evaluation import Details, Example
from distsys.domains.ground_motion.score.intensity import PERIODS_S, fourier_amplitude, response
from distsys.domains.kit import labelled
from distsys.domains.protocol import EvalSet, Evaluation
from distsys.shapes import Float
from distsys.signals.energy import arrived_share
from distsys.signals.ensembles import HIGH, LOW

_TRUE, _MADE, _GIVEN, _BAND = "black", "#2b6cb0", "#c05621", "#90cdf4"
_FOURIER_HZ = tuple((10.0 ** torch.linspace(-0.6, 1.45, 26)).tolist())
_PERIODS_S = tuple((10.0 ** torch.linspace(-1.3, 0.5, 16)).tolist())


def figures(model: Committee, data: EvalSet, evaluation: Evaluation) -> Mapping[str, Figure]:
    """Three records, from well met to badly met, and residuals of all."""
    found = evaluation.details
    assert isinstance(found, Details)
    return {
        "Motions": _motions(found.examples),
        "Spectra and energy": _spectra(found.examples),
        "Residuals of intensity measures": _residuals(found.residuals),
    }


def motion_figure(given: Float[Tensor, " time"], motions: Float[Tensor, "samples time"]) -> Figure:
    """What ``distsys predict`` shows: the given part, one motion, and spectra of all."""
    figure = Figure(figsize=(10.0, 6.5), layout="constrained")
    axes = figure.subplots(2, 2)
    _draw_motion(axes[0, 0], given, motions, None)
    _draw_fourier(axes[0, 1], motions, None, given)
    _draw_response(axes[1, 0], motions, None)
    _draw_arrival(axes[1, 1], motions, None)
    axes[0, 0].legend(fontsize=7, loc="upper right")
    return figure


def _motions(examples: Sequence[Example]) -> Figure:
    figure = Figure(figsize=(11.0, 2.6 * len(examples)), layout="constrained")
    axes = figure.subplots(len(examples), 2, squeeze=False)
    for (left, right), example in zip(axes, examples, strict=True):
        motions, truth = example.motions, example.truth
        _draw_motion(left, lowpass(truth), motions, truth)
        left.set_title(f"{example.label}: truth, one sample, what was given", fontsize=8)
        time_s = torch.arange(WINDOW) / RATE_HZ
        envelopes = envelope(highpart(motions))
        low, high = _edges(envelopes)
        right.fill_between(time_s, low, high, color=_BAND, label=f"{LOW:.0%} to {HIGH:.0%} of samples")
        right.plot(time_s, envelopes.mean(dim=0), color=_MADE, linewidth=1.0, label="mean of samples")
        right.plot(time_s, envelope(highpart(truth)), color=_TRUE, linewidth=0.8, label="truth")
        labelled(right, x="time, s", y="g", title="envelope above 1 Hz")
    axes[0, 0].legend(fontsize=7)
    axes[0, 1].legend(fontsize=7)
    return figure


def _spectra(examples: Sequence[Example]) -> Figure:
    figure = Figure(figsize=(11.0, 2.6 * len(examples)), layout="constrained")
    axes = figure.subplots(len(examples), 3, squeeze=False)
    for row, example in zip(axes, examples, strict=True):
        motions, truth = example.motions, example.truth
        _draw_fourier(row[0], motions, truth, lowpass(truth))
        _draw_response(row[1], motions, truth)
        _draw_arrival(row[2], motions, truth)
        row[0].set_title(f"{example.label}: Fourier amplitude", fontsize=8)
    return figure


def _residuals(residuals: Mapping[str, Tensor]) -> Figure:
    """ln(median of samples / truth) of every record."""
    names = ["pga", "pgv", "arias", "cav", *(f"psa_{period:g}s" for period in PERIODS_S)]
    figure = Figure(figsize=(9.0, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.boxplot([residuals[name].numpy() for name in names], tick_labels=names, whis=(5.0, 95.0), sym="")
    axes.axhline(0.0, color=_TRUE, linewidth=0.6)
    title = "boxes: quartiles; whiskers: 5 to 95 % of records"
    labelled(axes, x="", y="ln(median of samples / truth)", title=title)
    return figure


def _draw_motion(axes: Axes, given: Tensor, motions: Tensor, truth: Tensor | None) -> None:
    time_s = torch.arange(WINDOW) / RATE_HZ
    if truth is not None:
        axes.plot(time_s, truth, color=_TRUE, linewidth=0.5, label="truth")
    axes.plot(time_s, motions[0], color=_MADE, linewidth=0.5, alpha=0.8, label="one sample")
    axes.plot(time_s, given, color=_GIVEN, linewidth=1.0, label="given, below 1 Hz")
    labelled(axes, x="time, s", y="g", title="acceleration")


def _draw_fourier(axes: Axes, motions: Tensor, truth: Tensor | None, given: Tensor) -> None:
    centres = [(low * high) ** 0.5 for low, high in pairwise(_FOURIER_HZ)]

    def amplitude(motion: Tensor) -> Tensor:
        return fourier_amplitude(motion, _FOURIER_HZ).exp() / RATE_HZ

    _draw_band(axes, centres, amplitude(motions))
    if truth is not None:
        axes.plot(centres, amplitude(truth), color=_TRUE, linewidth=0.9)
    below = [number for number, centre in enumerate(centres) if centre < 1.0]
    axes.plot([centres[n] for n in below], amplitude(given)[below], color=_GIVEN, linewidth=1.2)
    _logarithmic(axes)
    labelled(axes, x="frequency, Hz", y="g s", title="Fourier amplitude")


def _draw_response(axes: Axes, motions: Tensor, truth: Tensor | None) -> None:
    spectra = torch.stack([response(motions, period) for period in _PERIODS_S], dim=-1)
    _draw_band(axes, list(_PERIODS_S), spectra)
    if truth is not None:
        axes.plot(_PERIODS_S, [float(response(truth, period)) for period in _PERIODS_S], color=_TRUE, linewidth=0.9)
    _logarithmic(axes)
    labelled(axes, x="period, s", y="PSA, g", title="response at 5 % damping")


def _draw_arrival(axes: Axes, motions: Tensor, truth: Tensor | None) -> None:
    time_s = (torch.arange(WINDOW) / RATE_HZ).tolist()
    _draw_band(axes, time_s, arrived_share(motions.square()))
    if truth is not None:
        axes.plot(time_s, arrived_share(truth.square()), color=_TRUE, linewidth=0.9)
    labelled(axes, x="time, s", y="share", title="arrival of energy (Husid)")


def _draw_band(axes: Axes, x: list[float], values: Tensor) -> None:
    low, high = _edges(values)
    axes.fill_between(x, low, high, color=_BAND)
    axes.plot(x, values.median(dim=0).values, color=_MADE, linewidth=1.0)


def _edges(values: Tensor) -> tuple[Tensor, Tensor]:
    low, high = torch.quantile(values, torch.tensor([LOW, HIGH]), dim=0)
    return low, high


def _logarithmic(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
