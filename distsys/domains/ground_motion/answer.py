"""Motions for a record of which only the part below 1 Hz is used."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from distsys.domains.ground_motion.config import NUM_FOLDS, Request
from distsys.domains.ground_motion.data.at2 import at2_text
from distsys.domains.ground_motion.data.mseed import EPOCH, Channel, mseed_bytes
from distsys.domains.ground_motion.data.operators import CUTOFF_HZ, NUM_BANDS, RATE_HZ, WINDOW, GivenNoise, lowpass
from distsys.domains.ground_motion.data.reading import read_one
from distsys.domains.ground_motion.data.records import Declared, Record
from distsys.domains.ground_motion.data.tiles import below, joined, tile_starts
from distsys.domains.ground_motion.data.windows import Motion, prepare
from distsys.domains.ground_motion.model.member import Member
from distsys.domains.ground_motion.model.network import Committee
from distsys.domains.ground_motion.score.figures import motion_figure
from distsys.domains.ground_motion.score.intensity import measures
from distsys.domains.kit import npz_bytes
from distsys.domains.protocol import Prediction

_LEAD = 0.3
"""Place of the onset in the window, as a share of what training draws."""


def predict(model: Committee, request: Request) -> Prediction:
    """Motions for a window of the record around its onset, or a longer part of it, from all members in turn.

    Raises:
        DataError: the record is at fault, too short, or does not reach 1 Hz.
    """
    record = read_one(request.lowfreq, Declared(request.unit, request.dt_s))
    motion = prepare(record, model.config.data, highest_hz=CUTOFF_HZ, onset_s=request.onset_s)
    start, length = _part(motion, request.duration_s)
    device = next(model.parameters()).device
    given = torch.from_numpy(np.ascontiguousarray(motion.samples[start : start + length])).to(device)
    motions, given = _motions(model, given, _metadata(request, record).to(device), request).cpu(), below(given).cpu()
    shown = min(motion.start(_LEAD) - start, length - WINDOW)
    window = motions[:, shown : shown + WINDOW]
    starts_s = round(start / RATE_HZ, 2)
    summary = _summary(
        window, seconds=length / RATE_HZ, starts_s=starts_s, measured_s=round((start + shown) / RATE_HZ, 2)
    )
    texts = _texts(motions, record, request, starts_s=starts_s)
    picture = io.BytesIO()
    motion_figure(given[shown : shown + WINDOW], window).savefig(picture, format="png", dpi=120)
    files: dict[str, str | bytes] = {
        ".npz": npz_bytes(motions_g=motions.numpy(), given_g=given.numpy(), sampling_rate=RATE_HZ),
        ".zip": _zip(texts),
        ".mseed": mseed_bytes(motions.numpy(), _channel(record, request, start), rate_hz=int(RATE_HZ)),
        ".png": picture.getvalue(),
    }
    if request.samples == 1:
        files = {".at2": next(iter(texts.values())), **files}
    return Prediction(summary, files, {**texts, "motions.png": picture.getvalue()})


def _part(motion: Motion, duration_s: float | str | None) -> tuple[int, int]:
    """First sample and length of what is answered for: from the window of the onset on, or all of it."""
    if duration_s == "whole":
        return 0, len(motion.samples)
    length = WINDOW if duration_s is None else min(round(float(duration_s) * RATE_HZ), len(motion.samples))
    return min(motion.start(_LEAD), len(motion.samples) - length), length


def _channel(record: Record, request: Request, start: int) -> Channel:
    """Codes of a record at 100 Hz from an accelerometer."""
    orientation = "Z" if request.component == "vertical" or record.metadata.vertical == 1.0 else record.component[-1:]
    begins = EPOCH if record.begins is None else record.begins
    return Channel(
        record.network or "XX",
        record.station or "STA",
        f"HN{orientation or 'X'}",
        begins + timedelta(seconds=start / RATE_HZ),
    )


def _summary(motions: Tensor, *, seconds: float, starts_s: float, measured_s: float) -> dict[str, Any]:
    """What is said of motions, with 5 %, median and 95 % of some measures of the onset's window [samples, time]."""
    found = measures(motions)
    return {
        "samples": len(motions),
        "seconds": seconds,
        "starts_s": starts_s,
        "measured_from_s": measured_s,
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
    """[samples, time]; sample n is by member n modulo four.

    Levels of the windows of one motion leave what is expected of each by the same amount: a station is louder than
    foreseen, or not, for all of an earthquake.
    """
    generator = torch.Generator().manual_seed(request.seed)
    each = math.ceil(request.samples / NUM_FOLDS)
    starts = tile_starts(len(given))
    windows = lowpass(torch.stack([given[start : start + WINDOW] for start in starts]))
    if len(starts) == 1:
        parts = [
            model.member(fold).sample(windows, metadata, each, generator=generator)[0] for fold in range(NUM_FOLDS)
        ]
    else:
        parts = [_tiled(model.member(fold), given, windows, metadata, each, generator) for fold in range(NUM_FOLDS)]
    return torch.stack(parts, dim=1).flatten(0, 1)[: request.samples]


def _tiled(
    member: Member, given: Tensor, windows: Tensor, metadata: Tensor, count: int, generator: torch.Generator
) -> Tensor:
    """[count, time] of windows [tiles, time] that are drawn one by one."""
    counting = GivenNoise(None, device=given.device)
    member.sample(windows[:1], metadata, 1, generator=cast("torch.Generator", counting))
    noise = torch.randn(len(windows), count, counting.numbers, generator=generator).to(given.device)
    noise[..., :NUM_BANDS] = noise[:1, :, :NUM_BANDS]  # what a member asks for first is its levels
    tiles = [
        member.sample(window[None], metadata, count, generator=cast("torch.Generator", GivenNoise(part[None])))[0]
        for window, part in zip(windows, noise, strict=True)
    ]
    return joined(torch.stack(tiles), given)


def _metadata(request: Request, record: Record) -> Tensor:
    """What is asked with, else what the record's file knows."""
    asked = request.model_dump(include={"magnitude", "distance_km", "vs30_m_s"}, exclude_none=True)
    vertical = {} if request.component is None else {"vertical": float(request.component == "vertical")}
    return torch.tensor([replace(record.metadata, **asked, **vertical).row()])


def _band(values: Tensor) -> list[float]:
    """5 %, median, 95 %."""
    return torch.quantile(values.cpu(), torch.tensor([0.05, 0.5, 0.95])).tolist()


def _zip(texts: Mapping[str, str]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in texts.items():
            archive.writestr(name, text)
    return stream.getvalue()
