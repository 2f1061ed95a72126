"""What a person looks at: sound as spectrograms, gains and levels of every query."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from distsys.domains.protocol import EvalSet
from distsys.domains.speaker_extraction.baselines import as_it_is
from distsys.domains.speaker_extraction.config import LEVEL_BAND
from distsys.domains.speaker_extraction.evaluation import scores_by_group
from distsys.domains.speaker_extraction.metrics import Scores
from distsys.domains.speaker_extraction.model import Extractor
from distsys.domains.speaker_extraction.samples import Example, chosen_examples

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BLUE, _RED, _GREY = "#2b6cb0", "#c53030", "#a0aec0"
_RANGE_DB = 70.0
_GROUP_NAMES = {"": "unseen speakers", "holdout": "holdout speakers", "noisy": "unseen speakers, noise"}


def make_figures(model: Extractor, data: EvalSet) -> Mapping[str, Figure]:
    """Spectrograms, gains by item, and levels of present and absent targets."""
    scores = scores_by_group(data.batches, lambda batch: model(batch["mixture"], batch["enrolment"]))
    before = scores_by_group(data.batches, as_it_is)
    return {
        "Spectrograms": _spectrograms(chosen_examples(model, data, scores[""]), model.config.data.sample_rate_hz),
        "Gain of every query": _gains(scores, before),
        "Levels": _levels(scores[""]),
    }


def _spectrograms(examples: list[Example], rate_hz: int) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 2.3 * len(examples)), layout="constrained")
    axes = figure.subplots(len(examples), 4, sharex=False, sharey=True, squeeze=False)
    for row, example in zip(axes, examples, strict=True):
        top_db = _power_db(example.mixture, rate_hz).max()
        for place, (name, samples) in zip(row, example.sounds().items(), strict=True):
            image = _power_db(samples, rate_hz)
            place.imshow(
                image,
                origin="lower",
                aspect="auto",
                cmap="magma",
                vmin=top_db - _RANGE_DB,
                vmax=top_db,
                extent=(0.0, len(samples) / rate_hz, 0.0, rate_hz / 2000.0),
            )
            place.set_title(f"{example.label}: {name}" if name == "mixture" else name, fontsize=8)
            place.tick_params(labelsize=7)
        row[0].set_ylabel("frequency, kHz", fontsize=8)
    for place in axes[-1]:
        place.set_xlabel("time, s", fontsize=8)
    return figure


def _power_db(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    from scipy.signal import ShortTimeFFT
    from scipy.signal.windows import hann

    size = round(0.032 * rate_hz)
    transform = ShortTimeFFT(hann(size), hop=size // 4, fs=rate_hz)
    return np.asarray(10.0 * np.log10(transform.spectrogram(samples.astype(np.float64)) + 1e-10))


def _gains(scores: Mapping[str, Scores], before: Mapping[str, Scores]) -> Figure:
    """SI-SDR of the mixture against that of the estimate; what lies below the line was made worse."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.7 * len(scores), 3.5), layout="constrained")
    axes = figure.subplots(1, len(scores), sharex=True, sharey=True, squeeze=False)[0]
    for place, (group, item) in zip(axes, scores.items(), strict=True):
        there = item.present
        x, y = (_plain(part.si_sdr[there]) for part in (before[group], item))
        colours = np.where(_plain(item.wrong[there]).astype(bool), _RED, _BLUE)
        place.scatter(x, y, s=9, c=colours, alpha=0.7)
        low, high = min(x.min(), y.min()), max(x.max(), y.max())
        place.plot([low, high], [low, high], color=_GREY, linewidth=1.0)
        gained = float(item.gained[there].mean())
        _label(
            place, f"{_GROUP_NAMES[group]}: {gained:+.2f} dB", "SI-SDR of the mixture, dB", "SI-SDR of the estimate, dB"
        )
    axes[0].annotate("red: closer to another speaker", (0.03, 0.95), xycoords="axes fraction", fontsize=7, color=_RED)
    return figure


def _levels(scores: Scores) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 3.2), layout="constrained")
    ratio, drop = figure.subplots(1, 2)
    there = scores.present
    values_db = 20.0 * np.log10(np.maximum(_plain(scores.ratio[there]), 1e-3))
    ratio.hist(values_db, bins=40, color=_BLUE)
    for edge in LEVEL_BAND:
        ratio.axvline(20.0 * np.log10(edge), color=_RED, linewidth=0.8, linestyle="--")
    _label(ratio, "estimate against target, present", "level, dB (dashed: rms_ratio of 0.9 and 1.1)", "queries")
    for shown, colour, name in ((there, _BLUE, "present"), (~there, _RED, "absent")):
        if bool(shown.any()):
            drop.hist(_plain(scores.drop[shown]), bins=30, color=colour, alpha=0.7, label=name)
    _label(drop, "how much quieter than the mixture", "mixture over estimate, dB", "queries")
    drop.legend(fontsize=8)
    return figure


def _label(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize=9)
    axes.set_xlabel(x, fontsize=8)
    axes.set_ylabel(y, fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25)


def _plain(values: torch.Tensor) -> Any:
    return values.detach().double().cpu().numpy()
