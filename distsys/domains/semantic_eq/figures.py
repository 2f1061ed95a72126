"""What a person looks at: responses beside their targets, the latent map, and each word's curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from distsys.domains.protocol import Batch
from distsys.domains.semantic_eq.model import SettingAutoencoder
from distsys.domains.semantic_eq.response import frequency_grid_hz, response_db

_COLOURS = ("#c05621", "#2b6cb0", "#2f855a", "#805ad5", "#b83280", "#718096")
_NUM_EXAMPLES = 6
_MIN_SPAN_DB = 3.0
"""A flat setting is drawn flat, not blown up to fill its panel."""


def make_figures(
    model: SettingAutoencoder, held_out: Batch, reference: Batch, terms: Sequence[str]
) -> Mapping[str, Figure]:
    """Figures by title."""
    return {
        "Responses": _responses(model, held_out),
        "Latent map": _latent_map(model, held_out, reference, terms),
        "Word curves": _word_curves(model, reference, terms),
    }


def _response_axes(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.set_xlim(20, 20000)
    axes.set_xticks([20, 100, 1000, 10000], ["20", "100", "1k", "10k"])
    axes.set_xlabel("frequency, Hz", fontsize=8)
    axes.set_ylabel("gain, dB", fontsize=8)
    axes.grid(alpha=0.25)
    axes.tick_params(labelsize=8)
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, -_MIN_SPAN_DB), max(high, _MIN_SPAN_DB))


def _responses(model: SettingAutoencoder, held_out: Batch) -> Figure:
    """Held-out settings at even ranks of their error, best to worst."""
    estimate = response_db(model.decode(model.encode(held_out["u"], curve_db=held_out["curve_db"]).mean)).cpu()
    target, grid = held_out["curve_db"].cpu(), frequency_grid_hz()
    error = (estimate - target).abs().mean(dim=1)
    ranks = torch.linspace(0, len(error) - 1, _NUM_EXAMPLES).long()
    figure = Figure(figsize=(10, 5), layout="constrained")
    for panel, row in enumerate(error.argsort()[ranks].tolist()):
        axes = figure.add_subplot(2, _NUM_EXAMPLES // 2, panel + 1)
        axes.plot(grid, target[row], color="black", linewidth=1.2, label="setting")
        axes.plot(grid, estimate[row], color=_COLOURS[0], linewidth=1.2, linestyle="--", label="reconstruction")
        axes.set_title(
            f"{100 * int(ranks[panel]) / (len(error) - 1):.0f} % rank, error {float(error[row]):.2f} dB", fontsize=9
        )
        _response_axes(axes)
    figure.axes[0].legend(fontsize=8)
    return figure


def _latent_map(model: SettingAutoencoder, held_out: Batch, reference: Batch, terms: Sequence[str]) -> Figure:
    """The projection's two main axes: training words pale, held-out words strong."""
    known = model.projection(model.encode(reference["u"], curve_db=reference["curve_db"]).mean)
    asked = model.projection(model.encode(held_out["u"], curve_db=held_out["curve_db"]).mean)
    known, asked = (torch.nn.functional.normalize(points, dim=1) for points in (known, asked))
    mean = known.mean(dim=0)
    axes_of = torch.linalg.svd(known - mean, full_matrices=False)[2][:2].T
    figure = Figure(figsize=(6.5, 4.6), layout="constrained")
    axes = figure.add_subplot()
    for points, label, alpha, size in ((known, reference["label"], 0.2, 10), (asked, held_out["label"], 1.0, 26)):
        flat = ((points - mean) @ axes_of).cpu()
        for word, name in enumerate(terms):
            chosen = (label == word).cpu()
            shown = f"{name} (held out)" if alpha == 1.0 else f"{name} (training)"
            axes.scatter(
                flat[chosen, 0],
                flat[chosen, 1],
                s=size,
                alpha=alpha,
                color=_COLOURS[word % 6],
                label=shown,
                linewidths=0,
            )
    axes.set_xlabel("first axis of the projection", fontsize=8)
    axes.set_ylabel("second axis", fontsize=8)
    axes.tick_params(labelsize=8)
    figure.legend(loc="outside right upper", fontsize=8)
    return figure


def _word_curves(model: SettingAutoencoder, reference: Batch, terms: Sequence[str]) -> Figure:
    """Each word's centre in the latent, decoded, over the 16-84 % band of its settings."""
    latent: Tensor = model.encode(reference["u"], curve_db=reference["curve_db"]).mean
    figure = Figure(figsize=(3.3 * min(3, len(terms)), 2.8 * -(-len(terms) // 3)), layout="constrained")
    grid = frequency_grid_hz()
    for word, name in enumerate(terms):
        chosen = reference["label"] == word
        centre = response_db(model.decode(latent[chosen].mean(dim=0, keepdim=True)))[0].cpu()
        low, high = torch.quantile(reference["curve_db"][chosen], torch.tensor([0.16, 0.84]).to(latent), dim=0).cpu()
        axes = figure.add_subplot(-(-len(terms) // 3), min(3, len(terms)), word + 1)
        axes.fill_between(grid, low, high, color=_COLOURS[word % 6], alpha=0.2, label="16-84 % of settings")
        axes.plot(grid, centre, color=_COLOURS[word % 6], label="centre of the word")
        axes.axhline(0.0, color="black", linewidth=0.6)
        axes.set_title(f"{name} ({int(chosen.sum())} settings)", fontsize=9)
        _response_axes(axes)
    if figure.axes:
        figure.axes[0].legend(fontsize=7)
    return figure
