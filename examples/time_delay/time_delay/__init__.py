"""Domain time_delay: how much later a second microphone hears a source, told from two short, noisy frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from distsys.config import DataPath, Section
from distsys.domains import draws, kit, protocol
from distsys.domains.protocol import Batch, EvalSet, Evaluation
from distsys.errors import DataError
from distsys.health.verdict import Constraint

RATE_HZ, NUM_SAMPLES, MAX_DELAY_US = 16000.0, 128, 500.0
LAGS_US = torch.linspace(-MAX_DELAY_US, MAX_DELAY_US, 65)
HZ = torch.fft.rfftfreq(2 * NUM_SAMPLES, 1.0 / RATE_HZ)  # of frames that are padded to twice their length


class Data(Section):
    corner_hz: PositiveFloat = 1500.0
    """Where the source's spectrum begins to fall."""
    snr_db: float = -5.0
    """Of each microphone."""
    num_held_out: PositiveInt = 1000


class Model(Section):
    width: PositiveInt = 128


class Config(Section):
    data: Data = Data()
    model: Model = Model()


class Request(Section):
    file: DataPath
    """CSV of two columns: 128 samples of each microphone, at 16 kHz."""


@dataclass(frozen=True)
class Frames:
    """Frames made on demand from a hash of their index: asked again, in any company, an item is the same."""

    seed: int
    data: Data

    def batch(self, indices: Sequence[int], *, progress: float) -> Batch:
        delay_us = MAX_DELAY_US * (2.0 * draws.uniforms(indices, seed=2 * self.seed, num_lanes=1) - 1.0)
        spectra = draws.complex_normals(indices, seed=2 * self.seed + 1, num_lanes=3 * len(HZ)).astype(np.complex128)
        source, *noise = np.split(spectra, 3, axis=1)
        power, hz = 1.0 / (1.0 + (HZ.numpy() / self.data.corner_hz) ** 2), HZ.numpy()
        source = np.sqrt(power) * source
        late = source * np.exp(-2j * np.pi * hz * delay_us * 1e-6)
        level = np.sqrt(power.mean()) * 10.0 ** (-self.data.snr_db / 20.0)
        heard = np.stack([source + level * noise[0], late + level * noise[1]], axis=1)
        frames = np.fft.irfft(heard)[..., NUM_SAMPLES // 2 : -NUM_SAMPLES // 2] * np.sqrt(NUM_SAMPLES)
        return {"frames": torch.from_numpy(frames).float(), "delay_us": torch.from_numpy(delay_us[:, 0]).float()}


def cross_spectrum(frames: Tensor) -> Tensor:
    first, second = torch.fft.rfft(frames, n=2 * NUM_SAMPLES).unbind(dim=1)
    return first.conj() * second


def correlation(weighted: Tensor) -> Tensor:
    """Of cross spectra [items, bins], at each of ``LAGS_US``."""
    return (weighted @ torch.polar(torch.ones(1), 2e-6 * torch.pi * HZ[:, None] * LAGS_US).to(weighted)).real


class LearnedWeighting(nn.Module):
    """Generalised cross-correlation (Knapp and Carter 1976) whose weights a network makes of both spectra."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2 * len(HZ), width), nn.SiLU(), nn.Linear(width, len(HZ)))

    def forward(self, frames: Tensor) -> Tensor:
        levels = torch.fft.rfft(frames, n=2 * NUM_SAMPLES).abs().log1p().flatten(start_dim=1)
        weights = nn.functional.softplus(self.layers(levels).float())
        cross = cross_spectrum(frames)
        return correlation(weights * cross / cross.abs().mean(dim=1, keepdim=True)).log_softmax(dim=1)


def measured(estimate_us: Tensor, data: EvalSet) -> Evaluation:
    error = (estimate_us - data.batches[0]["delay_us"]).abs().double()
    metrics = {"delay_mae_us": float(error.mean()), "outlier_share": float((error > 100.0).double().mean())}
    return Evaluation(metrics, error.cpu().numpy(), details=estimate_us)


class TimeDelay:
    name = "time_delay"
    title = "Delay between two microphones"
    config, request = Config, Request
    selection = protocol.MetricSpec("delay_mae_us", "min", "us")
    constraints = (Constraint("outlier_share", high=0.25, fix="train longer: one error in four is above 100 us"),)
    terms = (protocol.TermSpec("delay", "(100 us)^2", 0.0), protocol.TermSpec("entropy", "nat", 0.0, chance=4.174))
    fields = (
        protocol.FieldSpec("frames", "noisy input", "Pa"),
        protocol.FieldSpec("delay_us", "target", "us", -MAX_DELAY_US, MAX_DELAY_US),
    )

    def build_data(self, config: Config, *, seed: int) -> protocol.DataBundle:
        parts = ("train", "validation", "test")
        sources = [Frames(kit.part_seed(seed, part, parts=parts), config.data) for part in parts]
        held_out = range(config.data.num_held_out)
        validation, test = (EvalSet([source.batch(held_out, progress=0.0)]) for source in sources[1:])
        return protocol.DataBundle(sources[0], validation, test, {"source": "simulated"})

    def build_model(self, config: Config, statistics: protocol.Statistics) -> LearnedWeighting:
        return LearnedWeighting(config.model.width)

    def forward(self, model: LearnedWeighting, batch: Batch, *, generator: torch.Generator) -> Batch:
        log_share = model(batch["frames"])
        return {"log_share": log_share, "delay_us": log_share.exp() @ LAGS_US.to(log_share)}

    def loss_terms(self, outputs: Batch, batch: Batch, *, config: Config) -> dict[str, Tensor]:
        error = (outputs["delay_us"] - batch["delay_us"]) / 100.0
        entropy = -(outputs["log_share"].exp() * outputs["log_share"]).sum(dim=1)
        return {"delay": nn.functional.smooth_l1_loss(error, torch.zeros_like(error)), "entropy": entropy.mean()}

    def evaluate(self, model: LearnedWeighting, data: EvalSet) -> Evaluation:
        share = model(data.batches[0]["frames"]).exp()
        return measured(share @ LAGS_US.to(share), data)

    def baselines(self, config: Config, bundle: protocol.DataBundle, data: EvalSet) -> dict[str, protocol.Baseline]:
        cross = cross_spectrum(data.batches[0]["frames"])
        plain, phat = (LAGS_US[correlation(c).argmax(dim=1).cpu()].to(cross.device) for c in (cross, torch.sgn(cross)))
        rows = {"no delay": torch.zeros_like(plain), "cross-correlation": plain, "GCC-PHAT": phat}
        zero, *peers = (protocol.Baseline("peer", measured(row, data).metrics) for row in rows.values())
        return dict(zip(rows, (protocol.Baseline("trivial", zero.metrics), *peers), strict=True))

    def figures(self, model: LearnedWeighting, data: EvalSet, evaluation: Evaluation) -> dict[str, Any]:
        from matplotlib.figure import Figure

        figure = Figure(layout="constrained")
        axes = figure.add_subplot()
        axes.scatter(data.batches[0]["delay_us"].cpu(), evaluation.details.cpu(), s=4)
        kit.labelled(axes, x="true delay, us", y="estimated delay, us")
        return {"Delays": figure}

    def predict(self, model: LearnedWeighting, request: Request) -> protocol.Prediction:
        try:
            frames = torch.from_numpy(np.loadtxt(request.file, delimiter=",", ndmin=2).T).float()
        except (OSError, ValueError) as error:
            raise DataError(f"{request.file}: {error}", expected="a CSV of two columns of numbers") from error
        if frames.shape != (2, NUM_SAMPLES):
            raise DataError(f"{request.file}: {tuple(frames.T.shape)}", expected=f"{NUM_SAMPLES} rows of two samples")
        share = model(frames[None].to(next(model.parameters()).device)).exp()
        summary = {"delay_us": round(float(share[0] @ LAGS_US.to(share)), 1)}
        return protocol.Prediction(summary, {".json": kit.json_text(summary)})
