"""Motions for a record of which only the part below 1 Hz is used."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distsys.domains.ground_motion.config import NUM_FOLDS, Request
from distsys.domains.ground_motion.data.at2 import at2_text
from distsys.domains.ground_motion.data.operators import CUTOFF_HZ, RATE_HZ, WINDOW, lowpass
from distsys.domains.ground_motion.data.reading import read_one
from distsys.domains.ground_motion.data.records import Declared, Metadata, Record
from distsys.domains.ground_motion.data.windows import prepare
from distsys.domains.ground_motion.model.network import Committee
from distsys.domains.ground_motion.score.figures import motion_figure
from distsys.domains.ground_motion.score.intensity import measures
from distsys.domains.kit import npz_bytes
from distsys.domains.protocol import Prediction

_LEAD = 0.3
"""Place of the onset in the window, as a share of what training draws."""


def predict(model: Committee, request: Request) -> Prediction:
    """Motions for the 20.48 s of the record around its onset, from all members in turn.

    Raises:
        DataError: the record is at fault, too short, or does not reach 1 Hz.
    """
    record = read_one(request.lowfreq, Declared(request.unit, request.dt_s))
    motion = prepare(record, model.config.data, highest_hz=CUTOFF_HZ)
    window = motion.window(_LEAD)
    device = next(model.parameters()).device
    given = lowpass(torch.from_numpy(np.ascontiguousarray(window))[None].to(device))
    motions = _motions(model, given, _metadata(request).to(device), request).cpu()
    starts_s = round(motion.start(_LEAD) / RATE_HZ, 2)
    texts = _texts(motions, record, request, starts_s=starts_s)
    arrays = npz_bytes(motions_g=motions.numpy(), given_g=given[0].cpu().numpy(), sampling_rate=RATE_HZ)
    files: dict[str, str | bytes] = {".npz": arrays, ".zip": _zip(texts)}
    if request.samples == 1:
        files = {".at2": next(iter(texts.values())), **files}
    picture = io.BytesIO()
    motion_figure(given[0].cpu(), motions).savefig(picture, format="png", dpi=120)
    return Prediction(_summary(motions, starts_s=starts_s), files, {**texts, "motions.png": picture.getvalue()})


def _summary(motions: Tensor, *, starts_s: float) -> dict[str, Any]:
    """What is said of motions [samples, time], with 5 %, median and 95 % of some measures."""
    found = measures(motions)
    return {
        "samples": len(motions),
        "seconds": WINDOW / RATE_HZ,
        "starts_s": starts_s,
        "sample_rate_hz": int(RATE_HZ),
        "unit": "g",
        **{
            f"{name}_{unit}": [float(f"{value:.4g}") for value in _band(found[name].exp())]
            for name, unit in (("pga", "g"), ("psa_0.3s", "g"), ("psa_1s", "g"), ("arias", "m_s"))
        },
    }


def _texts(motions: Tensor, record: Record, request: Request, *, starts_s: float) -> dict[str, str]:
    """A file in PEER's format for each motion."""
    title = f"distsys, generated, from {starts_s} s of {request.lowfreq.name} on"
    place = f"{record.event}, {record.station}, {request.component or 'unknown component'}".replace("\n", " ")
    return {
        f"motion_{number + 1:03d}.AT2": at2_text(row.numpy(), dt_s=1.0 / RATE_HZ, title=title, place=place)
        for number, row in enumerate(motions)
    }


def _motions(model: Committee, given: Tensor, metadata: Tensor, request: Request) -> Tensor:
    """[samples, time]; sample n is by member n modulo four."""
    generator = torch.Generator().manual_seed(request.seed)
    each = math.ceil(request.samples / NUM_FOLDS)
    parts = [model.member(fold).sample(given, metadata, each, generator=generator)[0] for fold in range(NUM_FOLDS)]
    return torch.stack(parts, dim=1).flatten(0, 1)[: request.samples]


def _metadata(request: Request) -> Tensor:
    asked = request.model_dump(include={"magnitude", "distance_km", "vs30_m_s"}, exclude_none=True)
    vertical = {} if request.component is None else {"vertical": float(request.component == "vertical")}
    return torch.tensor([Metadata(**asked, **vertical).row()])


def _band(values: Tensor) -> list[float]:
    """5 %, median, 95 %."""
    return torch.quantile(values.cpu(), torch.tensor([0.05, 0.5, 0.95])).tolist()


def _zip(texts: Mapping[str, str]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in texts.items():
            archive.writestr(name, text)
    return stream.getvalue()
