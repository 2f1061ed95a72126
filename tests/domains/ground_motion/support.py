"""Small configs, records with known content, and files of them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

from distsys.domains.ground_motion.config import Config
from distsys.domains.ground_motion.data.bundle import build_data
from distsys.domains.ground_motion.data.operators import RATE_HZ, WINDOW
from distsys.domains.ground_motion.data.records import Record
from distsys.domains.ground_motion.data.synthetic import synthetic_records
from distsys.domains.ground_motion.model.network import Committee
from distsys.domains.protocol import DataBundle

SMALL_DATA = {"synthetic_events": 12, "synthetic_stations": 1, "validation_samples": 19, "test_samples": 20}
SMALL_MODEL = {"channels": 8, "blocks": 2}
SMALL = tuple(f"data.{name}={value}" for name, value in SMALL_DATA.items()) + tuple(
    f"model.{name}={value}" for name, value in SMALL_MODEL.items()
)
ROUTES = ("gaussian", "ensemble", "envelope", "complement", "broadband")


def small_config(route: str = "gaussian", *, diffusion: dict[str, object] | None = None, **data: object) -> Config:
    """A config that builds in a second or two."""
    model = {
        **SMALL_MODEL,
        "route": route,
        "diffusion": {**({} if route in ("gaussian", "ensemble") else {"steps": 4}), **(diffusion or {})},
    }
    return Config.model_validate({"data": {**SMALL_DATA, **data}, "model": model})


@cache
def small_bundle(route: str = "gaussian") -> DataBundle:
    """The data of :func:`small_config`."""
    return build_data(small_config(route), seed=0)


def small_model(route: str = "gaussian", **diffusion: object) -> Committee:
    """A model whose silent layers speak, as after some training."""
    torch.manual_seed(0)
    model = Committee(small_config(route, diffusion=diffusion), small_bundle(route).statistics)
    for parameter in model.parameters():
        if not bool(parameter.detach().any()):
            nn.init.normal_(parameter, std=0.05)
    return model.eval()


def some_motions(count: int = 6) -> torch.Tensor:
    """[count, time] windows in g."""
    motion: torch.Tensor = torch.cat([batch["motion"] for batch in small_bundle().test.batches])[:count]
    return motion


def some_record() -> Record:
    """A synthetic record of 40 s at 100 Hz."""
    return synthetic_records(1, 1, seed=3)[0]


def write_npz(path: Path, samples: np.ndarray, *, rate_hz: float = RATE_HZ, **more: object) -> Path:
    """A file with the keys of the original project."""
    np.savez(path, signal_broadband=samples, sampling_rate=rate_hz, **more)  # type: ignore[arg-type]
    return path


def write_at2(path: Path, samples: np.ndarray, *, dt_s: float, old: bool = False) -> Path:
    """A file in one of PEER's two headers."""
    count = len(samples)
    header = f"{count:5d}{dt_s:10.5f}    NPTS, DT" if old else f"NPTS= {count}, DT= {dt_s:.5f} SEC"
    rows = "\n".join(f"{value:15.7E}" for value in samples)
    path.write_text(f"PEER\nSomewhere, 1/1/2000, Station 1, 90\nACCELERATION IN UNITS OF G\n{header}\n{rows}\n")
    return path


def sine(frequency_hz: float, *, count: int = WINDOW) -> torch.Tensor:
    """[count] of amplitude 1 at 100 Hz."""
    return torch.sin(2.0 * torch.pi * frequency_hz * torch.arange(count, dtype=torch.float64) / RATE_HZ).float()
