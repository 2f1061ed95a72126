"""Sources of recorded snapshots, with the uncertainties that the Cramer-Rao bound gives."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from distsys.domains.protocol import Batch, Prediction
from distsys.domains.ris_localization.bound import crb_deviations
from distsys.domains.ris_localization.config import Request
from distsys.domains.ris_localization.estimate import Localizer, by_number, localizer, restored
from distsys.domains.ris_localization.evaluation import predict_factors
from distsys.domains.ris_localization.geometry import to_physical
from distsys.domains.ris_localization.likelihood import projected
from distsys.domains.ris_localization.metrics import matched_errors
from distsys.domains.ris_localization.model import CovarianceNet
from distsys.domains.ris_localization.recording import Recording, read_recording

_COLUMNS = (
    "scene", "source", "phi_deg", "theta_deg", "range_m", "phi_sd_deg", "theta_sd_deg", "range_sd_m",
)  # fmt: skip


def answer(model: CovarianceNet, request: Request) -> Prediction:
    """Sources in the scenes of ``request.snapshots``, nearest first in each scene.

    Raises:
        DataError: the file does not fit the model.
    """
    data = model.config.data
    recording = read_recording(request.snapshots, data, num_sources=request.num_sources)
    device = next(model.parameters()).device
    shape = (len(recording.snapshots), data.max_sources, 3)
    batch: Batch = {
        "snapshots": recording.snapshots.to(device),
        "num_sources": recording.num_sources.to(device),
        "num_snapshots": recording.num_snapshots.to(device),
        "uvq": torch.zeros(shape, device=device),
    }
    tools = localizer(data)
    uvq = tools.estimate(predict_factors(model, batch), batch, others=tools.raw_peaks(batch)).polished
    rows = _rows(uvq, _deviations(tools, uvq, batch), recording.num_sources)
    summary: dict[str, Any] = {"scenes": len(recording.snapshots), "sources": rows}
    if recording.true_uvq is not None:
        summary["errors"] = _errors(uvq.cpu(), recording)
    return Prediction(summary, {".csv": _csv_text(rows), ".json": json.dumps(summary, indent=1) + "\n"})


def _deviations(tools: Localizer, uvq: Tensor, batch: Batch) -> Tensor:
    """The bound at the estimate, with its own amplitudes and residual noise."""

    def bound(rows: Tensor, number: int) -> tuple[Tensor, ...]:
        data = tools.grouped(batch["snapshots"][rows])
        amplitudes, left = projected(tools.sensing.apply(tools.steering.vectors(uvq[rows, :number])), data)
        free = batch["num_snapshots"][rows] * (data.shape[2] - number)
        noise = torch.view_as_real(left).square().flatten(1).sum(dim=1) / free
        found = crb_deviations(
            uvq[rows, :number], amplitudes, noise_variance=noise, steering=tools.steering, sensing=tools.sensing
        )
        return (torch.nn.functional.pad(found, (0, 0, 0, uvq.shape[1] - number)),)

    return restored(batch["num_sources"], by_number(batch["num_sources"], bound))[0]


def _rows(uvq: Tensor, deviations: Tensor, num_sources: Tensor) -> list[dict[str, float | None]]:
    """A row a source; a deviation that nobody can know is None."""
    physical, spread = (item.cpu() for item in (to_physical(uvq), deviations))
    degrees = torch.tensor([180.0 / torch.pi, 180.0 / torch.pi, 1.0], dtype=torch.float64)
    values = torch.cat([physical * degrees, spread * degrees], dim=-1)
    rows = []
    for scene, number in enumerate(num_sources.tolist()):
        order = values[scene, :number, 2].argsort()
        for source, row in enumerate(values[scene, order].tolist()):
            numbers = [round(value, 5) if math.isfinite(value) else None for value in row]
            rows.append(dict(zip(_COLUMNS, [scene, source, *numbers], strict=True)))
    return rows


def _errors(uvq: Tensor, recording: Recording) -> dict[str, float]:
    assert recording.true_uvq is not None
    present = torch.arange(uvq.shape[1]) < recording.num_sources[:, None]
    found = matched_errors(uvq, true_uvq=recording.true_uvq, present=present)
    return {
        "success": float(found.found[present].double().mean()),
        "phi_median_deg": float(found.phi_deg[present].abs().median()),
        "theta_median_deg": float(found.theta_deg[present].abs().median()),
        "range_median_m": float(found.range_m[present].abs().median()),
    }


def _csv_text(rows: Sequence[dict[str, float | None]]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()
