"""What a person looks at: sound as spectrograms, gains and levels of every query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann
from torch import Tensor

from distsys.domains.kit import labelled
from distsys.domains.protocol import EvalSet, Evaluation
from distsys.domains.speaker_extraction.config import RMS_RATIO_BAND
from distsys.domains.speaker_extraction.model.network import Extractor
from distsys.domains.speaker_extraction.score.evaluation import Found
from distsys.domains.speaker_extraction.score.examples import Example
from distsys.domains.speaker_extraction.score.metrics import Scores
from distsys.domains.speaker_extraction.score.presence import Roc

_BLUE, _RED, _GREY = "#2b6cb0", "#c53030", "#a0aec0"
_RANGE_DB = 70.0
_GROUP_NAMES = {
    "": "unseen speakers",
    "holdout": "holdout speakers",
    "noisy": "unseen speakers, noise",
    "librimix": "Libri2Mix",
}


def figures(model: Extractor, data: EvalSet, evaluation: Evaluation) -> Mapping[str, Figure]:
    """Spectrograms, gains by item, and levels of present and absent targets."""
    found = evaluation.details
    assert isinstance(found, Found)
    return {
        "Spectrograms": _spectrograms(found.examples, model.sample_rate_hz),
        "Gain of every query": _gains(found.scores),
        "Levels": _levels(found.scores[""]),
    } | _presence(found.scores[""])


def _spectrograms(examples: Sequence[Example], rate_hz: int) -> Figure:
    figure = Figure(figsize=(11.0, 2.3 * len(examples)), layout="constrained")
    axes = figure.subplots(len(examples), 4, sharex=False, sharey=True, squeeze=False)
    for row, example in zip(axes, examples, strict=True):
        top_db = _power_db(example.mixture, rate_hz).max()
        for place, (name, samples) in zip(row, example.sounds().items(), strict=True):
            _spectrogram(place, samples, rate_hz, top_db)
            place.set_title(f"{example.label}: {name}" if name == "mixture" else name, fontsize=8)
        row[0].set_ylabel("frequency, kHz", fontsize=8)
    for place in axes[-1]:
        place.set_xlabel("time, s", fontsize=8)
    return figure


def _spectrogram(axes: Axes, samples: np.ndarray, rate_hz: int, top_db: float) -> None:
    axes.imshow(
        _power_db(samples, rate_hz),
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=top_db - _RANGE_DB,
        vmax=top_db,
        extent=(0.0, len(samples) / rate_hz, 0.0, rate_hz / 2000.0),
    )
    axes.tick_params(labelsize=7)


def _power_db(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    size = round(0.032 * rate_hz)
    transform = ShortTimeFFT(hann(size), hop=size // 4, fs=rate_hz)
    return 10.0 * np.log10(transform.spectrogram(samples.astype(np.float64)) + 1e-10)


def _gains(scores: Mapping[str, Scores]) -> Figure:
    """SI-SDR of the mixture against that of the estimate; what lies below the line was made worse."""
    figure = Figure(figsize=(3.7 * len(scores), 3.5), layout="constrained")
    axes = figure.subplots(1, len(scores), sharex=True, sharey=True, squeeze=False)[0]
    for place, (group, item) in zip(axes, scores.items(), strict=True):
        _group_gains(place, _GROUP_NAMES[group], item)
    axes[0].annotate("red: closer to another speaker", (0.03, 0.95), xycoords="axes fraction", fontsize=7, color=_RED)
    return figure


def _group_gains(axes: Axes, name: str, scores: Scores) -> None:
    present = scores.present
    x, y = (_array(values[present]) for values in (scores.mixture_si_sdr, scores.si_sdr))
    colours = np.where(_array(scores.wrong[present]).astype(bool), _RED, _BLUE)
    axes.scatter(x, y, s=9, c=colours, alpha=0.7)
    low, high = min(x.min(), y.min()), max(x.max(), y.max())
    axes.plot([low, high], [low, high], color=_GREY, linewidth=1.0)
    title = f"{name}: {float(scores.gained[present].mean()):+.2f} dB"
    labelled(axes, x="SI-SDR of the mixture, dB", y="SI-SDR of the estimate, dB", title=title)


def _levels(scores: Scores) -> Figure:
    figure = Figure(figsize=(8.4, 3.2), layout="constrained")
    ratio, drop = figure.subplots(1, 2)
    present = scores.present
    values_db = 20.0 * np.log10(np.maximum(_array(scores.ratio[present]), 1e-3))
    ratio.hist(values_db, bins=40, color=_BLUE)
    for edge in RMS_RATIO_BAND:
        ratio.axvline(20.0 * np.log10(edge), color=_RED, linewidth=0.8, linestyle="--")
    labelled(
        ratio,
        x="level, dB (dashed: rms_ratio of 0.9 and 1.1)",
        y="queries",
        title="estimate against target, present",
    )
    for shown, colour, name in ((present, _BLUE, "present"), (~present, _RED, "absent")):
        if bool(shown.any()):
            drop.hist(_array(scores.drop[shown]), bins=30, color=colour, alpha=0.7, label=name)
    labelled(drop, x="mixture over estimate, dB", y="queries", title="how much quieter than the mixture")
    drop.legend(fontsize=8)
    return figure


def _presence(scores: Scores) -> dict[str, Figure]:
    """Mistakes about who is there against each other, where somebody is absent."""
    if bool(scores.present.all()):
        return {}
    curve, figure = Roc.of(scores.drop, scores.present), Figure(figsize=(4.2, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.plot(100.0 * _array(curve.false_alarm), 100.0 * _array(curve.miss), color=_BLUE, drawstyle="steps-post")
    axes.plot([0.0, 100.0], [100.0, 0.0], color=_GREY, linewidth=1.0)
    title = f"told by the level drop; area {curve.summary()['presence_auc']:.3f}"
    labelled(axes, x="absent speakers taken for present, %", y="present ones missed, %", title=title)
    return {"Is the speaker there": figure}


def _array(values: Tensor) -> np.ndarray:
    return values.double().cpu().numpy()
