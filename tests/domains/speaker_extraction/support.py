"""Small configs, small folders of recordings, and models whose answers are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from torch import Tensor, nn

from distsys.config.layers import read_layers
from distsys.config.schema import CoreConfig
from distsys.config.validate import config_type, validate_layers
from distsys.domains.protocol import Batch, EvalSet
from distsys.domains.speaker_extraction.config import Config
from distsys.domains.speaker_extraction.data.queries import target_of
from distsys.domains.speaker_extraction.data.synthetic import synthetic_voices

RATE_HZ = 8000
SMALL_DATA = {
    "synthetic_speakers": 12,
    "synthetic_s": 4.0,
    "mixture_s": 0.5,
    "enrolment_s": 0.5,
    "test_mixture_s": 0.8,
    "test_enrolment_s": 0.6,
    "validation_items": 40,
    "test_items": 40,
}
SMALL_MODEL = {"window": 128, "width": 8, "hidden": 6, "mixture_depth": 1, "depth": 1, "mask_hidden": 12}
SMALL = tuple(f"data.{name}={value}" for name, value in SMALL_DATA.items()) + tuple(
    f"model.{name}={value}" for name, value in SMALL_MODEL.items()
)


def small_config(**data: object) -> Config:
    """A config that builds in a second."""
    return Config.model_validate({"data": {**SMALL_DATA, **data}, "model": SMALL_MODEL})


def core_config(**optimizer: Any) -> CoreConfig:
    """The shipped experiment with the small data and model, and ``optimizer`` in place of its settings."""
    layers = read_layers(
        Path(__file__).parents[3] / "configs" / "speaker_extraction.yaml", preset=None, overrides=SMALL
    )
    config = validate_layers(layers, config_type(Config))
    return config.model_copy(update={"optimizer": config.optimizer.model_copy(update=optimizer)})


def write_speakers(folder: Path, *, count: int = 14, seconds: float = 4.0, rate_hz: int = RATE_HZ) -> Path:
    """A folder of synthetic speakers with two recordings each."""
    for name, utterances in synthetic_voices(count, seconds=seconds, sample_rate_hz=rate_hz, seed=5).items():
        place = folder / name
        place.mkdir(parents=True)
        for number, samples in enumerate(utterances):
            soundfile.write(place / f"{number}.wav", samples, rate_hz, subtype="FLOAT")
    return folder


def write_noise(folder: Path, *, count: int = 5) -> Path:
    """A folder of white noises of different lengths."""
    folder.mkdir(parents=True)
    for number in range(count):
        noise = 0.1 * np.random.default_rng(number).standard_normal(RATE_HZ + 500 * number)
        soundfile.write(folder / f"{number}.wav", noise, RATE_HZ, subtype="FLOAT")
    return folder


class Known(nn.Module):
    """Answers with ``clean`` times the target and ``leak`` times the rest, and ``absent`` times the mixture.

    It looks the answer up by the mixture, which only a test can.
    """

    def __init__(self, data: EvalSet, *, clean: float, leak: float, absent: float) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(()))
        self._batches, self._gains = data.batches, (clean, leak, absent)

    def forward(self, mixture: Tensor, enrolment: Tensor) -> Tensor:
        batch = self._batch_of(mixture)
        clean, leak, absent = self._gains
        target, whole = target_of(batch), mixture[:, None]
        there = (batch["asked"] >= 0)[..., None]
        return torch.where(there, clean * target + leak * (whole - target), absent * whole)

    def _batch_of(self, mixture: Tensor) -> Batch:
        return next(batch for batch in self._batches if torch.equal(batch["mixture"], mixture))
