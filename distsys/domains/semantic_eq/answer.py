"""Settings for words: from flat or one's own, towards a word or examples, or drawn; in the formats of equalisers."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distsys.domains.kit import csv_text, json_text
from distsys.domains.protocol import Prediction
from distsys.domains.semantic_eq.config import Request
from distsys.domains.semantic_eq.data.eq_file import read_curve_db
from distsys.domains.semantic_eq.data.response import response_db
from distsys.domains.semantic_eq.data.settings import BANDS, NAMES, SHELF_Q, columns
from distsys.domains.semantic_eq.model.codes import code_of_curve, code_of_setting, error_db
from distsys.domains.semantic_eq.model.network import SettingAutoencoder
from distsys.domains.semantic_eq.model.words import words_of
from distsys.errors import DataError

_APO_KINDS = {"low_shelf": "LSC", "bell": "PK", "high_shelf": "HSC"}


def predict(model: SettingAutoencoder, request: Request) -> Prediction:
    """The setting that ``request`` describes, as Equalizer APO text, JSON or CSV; several where draws are asked for.

    Raises:
        UsageError: the model does not know the word.
        DataError: a file of ``from`` or ``like`` is no equaliser's.
    """
    if request.draws:
        return _several(model, request)
    start, about = _start(model, request)
    latent = start + request.amount * (_end(model, request) - start)
    summary = {**about, **_told(model, model.decode(latent[None]))}
    texts = [_text(summary)]
    rows = [{"term": request.term or "", **summary["setting"]}]
    files = {".txt": texts[0], ".json": json_text(summary), ".csv": csv_text(["term", *NAMES], rows)}
    return Prediction(summary, files)


def _several(model: SettingAutoencoder, request: Request) -> Prediction:
    """Settings as different people would make them for the word."""
    words, term = words_of(model), request.term
    assert term is not None, "the request says so"
    rows = words.drawn(term, request.draws, generator=torch.Generator().manual_seed(request.seed))
    u = model.decode(code_of_setting(model, words.u[rows]))
    found = [_told(model, row[None]) for row in u]
    summary = {"term": term, "draws": found}
    table = csv_text(["term", *NAMES], [{"term": term, **item["setting"]} for item in found])
    folder = {f"{term}_{number:03d}.txt": _text(item) for number, item in enumerate(found, start=1)}
    return Prediction(summary, {".csv": table, ".json": json_text(summary)}, folder)


def _start(model: SettingAutoencoder, request: Request) -> tuple[Tensor, dict[str, Any]]:
    """The code that is moved, and what is said of it."""
    about: dict[str, Any] = {"term": request.term, "toward": request.toward, "amount": request.amount}
    if request.from_ is not None:
        curve_db, own = _curve(model, request.from_)
        code = _code(model, curve_db, own)
        error = float(error_db(model, code[None], curve_db)[0])
        return code, {**about, "from": request.from_.name, "from_error_db": round(error, 3)}
    return words_of(model).centre(request.term) if request.toward and request.term else _flat(model), about


def _end(model: SettingAutoencoder, request: Request) -> Tensor:
    """The code that an amount of 1 reaches."""
    if request.like:
        codes = [_code(model, *_curve(model, path)) for path in request.like]
        return torch.stack(codes).mean(dim=0)
    word = request.toward or request.term
    assert word is not None, "the request says so"
    return words_of(model).centre(word)


def _curve(model: SettingAutoencoder, path: Path) -> tuple[Tensor, Tensor | None]:
    """The response [points] of an equaliser's file, and u [13] where it is one of our own settings."""
    if path.suffix.lower() not in (".csv", ".json"):
        curve_db = torch.from_numpy(read_curve_db(path)).float()
        return curve_db.to(next(model.parameters()).device), None
    try:
        physical = torch.tensor([[float(_setting_in(path)[name]) for name in NAMES]])
        u = model.ranges.encode(physical).to(next(model.parameters()).device)
    except (OSError, ValueError, KeyError, TypeError, StopIteration) as error:
        raise DataError(
            f"{path}: no setting in it ({type(error).__name__}: {error})",
            expected="a .csv or .json as 'predict' writes it, or an equaliser's text file",
        ) from None
    return response_db(u, model.ranges)[0], u[0]


def _setting_in(path: Path) -> Mapping[str, Any]:
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix.lower() == ".csv":
        return next(csv.DictReader(text.splitlines()))
    content: Mapping[str, Any] = json.loads(text)["setting"]
    return content


def _code(model: SettingAutoencoder, curve_db: Tensor, u: Tensor | None) -> Tensor:
    return code_of_curve(model, curve_db) if u is None else code_of_setting(model, u[None])[0]


def _flat(model: SettingAutoencoder) -> Tensor:
    """The code of a setting that does nothing: every gain at 0 dB, the rest in the middle of its range."""
    middle = model.ranges.decode(torch.full((1, len(NAMES)), 0.5))
    middle[:, columns("gain")] = 0.0
    low, high = model.ranges.limits(middle)
    u = model.ranges.encode(middle.clamp(low, high))
    return model.encode_setting(u.to(next(model.parameters())))[0]


def _told(model: SettingAutoencoder, u: Tensor) -> dict[str, Any]:
    """A setting [1, 13] in physical units, and the preamp that keeps its curve below 0 dB."""
    physical = model.ranges.decode(u)[0].tolist()
    # A shelf reaches its whole gain only beyond the grid. Rounded up to what is written: rounding down would clip.
    shelves_db = [physical[band.gain] for band in BANDS if band.q is None]
    peak_db = math.ceil(10.0 * max(0.0, float(response_db(u, model.ranges).max()), *shelves_db)) / 10.0
    setting = {name: round(value, 4) for name, value in zip(NAMES, physical, strict=True)}
    return {"preamp_db": round(0.0 - peak_db, 1), "setting": setting}


def _text(told: Mapping[str, Any]) -> str:
    """Equalizer APO's format, which REW and AutoEq read too."""
    lines, values = [f"Preamp: {told['preamp_db']:.1f} dB"], list(told["setting"].values())
    for number, band in enumerate(BANDS, start=1):
        q = SHELF_Q if band.q is None else values[band.q]
        lines.append(
            f"Filter {number}: ON {_APO_KINDS[band.kind]} Fc {values[band.freq]:.1f} Hz "
            f"Gain {values[band.gain]:.1f} dB Q {q:.3f}"
        )
    return "\n".join(lines) + "\n"
