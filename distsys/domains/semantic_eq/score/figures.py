"""What a person looks at: responses beside their targets, the latent map, and each word's curve."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from distsys.domains.kit import labelled
from distsys.domains.protocol import Batch, EvalSet, Evaluation
from distsys.domains.semantic_eq.data.response import frequency_grid_hz, response_db
from distsys.domains.semantic_eq.data.settings import nearest
from distsys.domains.semantic_eq.model.network import SettingAutoencoder
from distsys.domains.semantic_eq.model.words import words_of
from distsys.domains.semantic_eq.score.evaluation import Found
from distsys.domains.semantic_eq.score.metrics import share_of_word

_COLOURS = ("#c05621", "#2b6cb0", "#2f855a", "#805ad5", "#b83280", "#718096")
_NUM_EXAMPLES = 6
_AMOUNTS = (0.0, 0.25, 0.5, 0.75, 1.0)
_MIN_SPAN_DB = 3.0
"""A flat setting is drawn flat, not blown up to fill its panel."""


def figures(model: SettingAutoencoder, data: EvalSet, evaluation: Evaluation) -> Mapping[str, Figure]:
    """Responses beside their targets, the latent map, and each word's curve."""
    (held_out,), reference, found = data.batches, data.reference, evaluation.details
    terms = model.statistics["terms"]
    assert reference is not None and isinstance(found, Found) and isinstance(terms, list)
    return {
        "Responses": _responses(found, held_out),
        "Latent map": _latent_map(model, found, held_out, reference, terms),
        "Word curves": _word_curves(model, found, reference, terms),
        "Steering": _steering(model, found, held_out, reference, terms),
    }


def _response_axes(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.set_xlim(20, 20000)
    axes.set_xticks([20, 100, 1000, 10000], ["20", "100", "1k", "10k"])
    labelled(axes, x="frequency, Hz", y="gain, dB")
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, -_MIN_SPAN_DB), max(high, _MIN_SPAN_DB))


def _responses(found: Found, held_out: Batch) -> Figure:
    """Held-out settings at even ranks of their error, best to worst."""
    estimate = found.estimate_db.cpu()
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


def _latent_map(
    model: SettingAutoencoder, found: Found, held_out: Batch, reference: Batch, terms: Sequence[str]
) -> Figure:
    """The projection's two main axes: training words pale, held-out words strong."""
    codes = (model.projection(code) for code in (found.known, found.latent))
    known, asked = (torch.nn.functional.normalize(points, dim=1) for points in codes)
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
    labelled(axes, x="first axis of the projection", y="second axis")
    figure.legend(loc="outside right upper", fontsize=8)
    return figure


def _word_curves(model: SettingAutoencoder, found: Found, reference: Batch, terms: Sequence[str]) -> Figure:
    """Each word's centre in the latent, decoded, over the 16-84 % band of its settings."""
    latent = found.known
    figure = Figure(figsize=(3.3 * min(3, len(terms)), 2.8 * -(-len(terms) // 3)), layout="constrained")
    grid = frequency_grid_hz()
    for word, name in enumerate(terms):
        chosen = reference["label"] == word
        centre = response_db(nearest(model.decode(latent[chosen].mean(dim=0, keepdim=True))), model.ranges)[0].cpu()
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


def _steering(
    model: SettingAutoencoder, found: Found, held_out: Batch, reference: Batch, terms: Sequence[str]
) -> Figure:
    """Held-out settings of other words moved towards each word: how much of it they gain for how much they change."""
    words = words_of(model)
    figure = Figure(figsize=(3.3 * min(3, len(terms)), 2.8 * -(-len(terms) // 3)), layout="constrained")
    for index, term in enumerate(terms):
        others = held_out["label"] != index
        u, latent, before_db = held_out["u"][others], found.latent[others], held_out["curve_db"][others]
        ways = {
            "by the latent": [_moved(latent, words.centre(term), amount, model.decode) for amount in _AMOUNTS],
            "by the parameters": [_moved(u, words.mean_setting(term), amount, nearest) for amount in _AMOUNTS],
        }
        axes = figure.add_subplot(-(-len(terms) // 3), min(3, len(terms)), index + 1)
        for (label, moved), style in zip(ways.items(), ("-", "--"), strict=True):
            curves = [response_db(nearest(item), model.ranges) for item in moved]
            changes = [float((curve - before_db).abs().mean()) for curve in curves]
            known = {"reference": reference["curve_db"], "is_word": reference["label"] == index}
            shares = [float(share_of_word(curve, **known).mean()) for curve in curves]
            axes.plot(changes, shares, style, color=_COLOURS[index % 6], marker="o", markersize=3, label=label)
        axes.set_title(f"towards {term}", fontsize=9)
        axes.set_ylim(0.0, 1.0)
        labelled(axes, x="change of the curve, dB", y="share of neighbours")
    if figure.axes:
        figure.axes[0].legend(fontsize=7)
    return figure


def _moved(start: Tensor, end: Tensor, amount: float, decode: Callable[[Tensor], Tensor]) -> Tensor:
    return decode(start + amount * (end - start))
