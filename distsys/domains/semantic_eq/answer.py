"""A setting for a word: a move in the latent, and the formats that equalisers read."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from distsys.domains.kit import csv_text, json_text
from distsys.domains.protocol import Prediction, Statistics
from distsys.domains.semantic_eq.config import Request
from distsys.domains.semantic_eq.data.response import response_db
from distsys.domains.semantic_eq.data.settings import BANDS, NAMES, SHELF_Q, columns
from distsys.domains.semantic_eq.model.network import SettingAutoencoder
from distsys.errors import UsageError, did_you_mean

_APO_KINDS = {"low_shelf": "LSC", "bell": "PK", "high_shelf": "HSC"}


class WordMap:
    """Where the words stand in a model's latent: the centres of their training settings.

    Args:
        statistics: ``terms``, ``term_u`` [rows, 13] and ``term_label`` [rows], as saved with the model.
    """

    def __init__(self, model: SettingAutoencoder, statistics: Statistics) -> None:
        terms, u, label = statistics["terms"], statistics["term_u"], statistics["term_label"]
        assert isinstance(terms, list) and isinstance(u, Tensor) and isinstance(label, Tensor)
        device = next(model.parameters()).device
        latent = model.encode_setting(u.to(device))
        self._centres = {name: latent[label.to(device) == index].mean(dim=0) for index, name in enumerate(terms)}

    def centre(self, term: str) -> Tensor:
        """The latent [latent] of ``term``.

        Raises:
            UsageError: the model does not know the word.
        """
        if term not in self._centres:
            raise UsageError(
                f"the model has no place for '{term}'",
                expected=f"one of {', '.join(self._centres)}",
                fix=did_you_mean(term, self._centres),
            )
        return self._centres[term]


def predict(model: SettingAutoencoder, request: Request) -> Prediction:
    """The setting that ``request`` describes, as Equalizer APO text, JSON or CSV."""
    words = WordMap(model, model.statistics)
    start = words.centre(request.term) if request.toward else _flat(model)
    end = words.centre(request.toward or request.term)
    latent = start + request.strength * (end - start)
    u = model.decode(latent[None])
    physical = model.ranges.decode(u)[0].tolist()
    # A shelf reaches its whole gain only beyond the grid. Rounded up to what is written: rounding down would clip.
    shelves_db = [physical[band.gain] for band in BANDS if band.q is None]
    peak_db = math.ceil(10.0 * max(0.0, float(response_db(u, model.ranges).max()), *shelves_db)) / 10.0
    setting = {name: round(value, 4) for name, value in zip(NAMES, physical, strict=True)}
    summary = {
        "term": request.term,
        "toward": request.toward,
        "strength": request.strength,
        "preamp_db": round(0.0 - peak_db, 1),
        "setting": setting,
    }
    files = {
        ".txt": _apo_text(physical, peak_db),
        ".json": json_text(summary),
        ".csv": csv_text(["term", *setting], [{"term": request.term, **setting}]),
    }
    return Prediction(summary, files)


def _flat(model: SettingAutoencoder) -> Tensor:
    """The latent of a setting that does nothing: every gain at 0 dB, the rest in the middle of its range."""
    middle = model.ranges.decode(torch.full((1, len(NAMES)), 0.5))
    middle[:, columns("gain")] = 0.0
    low, high = model.ranges.limits(middle)
    u = model.ranges.encode(middle.clamp(low, high))
    return model.encode_setting(u.to(next(model.parameters())))[0]


def _apo_text(physical: list[float], peak_db: float) -> str:
    """Equalizer APO's format, which REW and AutoEq read too; the preamp keeps the summed curve below 0 dB."""
    lines = [f"Preamp: {0.0 - peak_db:.1f} dB"]
    for number, band in enumerate(BANDS, start=1):
        q = SHELF_Q if band.q is None else physical[band.q]
        lines.append(
            f"Filter {number}: ON {_APO_KINDS[band.kind]} Fc {physical[band.freq]:.1f} Hz "
            f"Gain {physical[band.gain]:.1f} dB Q {q:.3f}"
        )
    return "\n".join(lines) + "\n"
