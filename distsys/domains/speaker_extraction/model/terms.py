"""What the extractor makes of a batch of mixtures, and the loss terms of that."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from distsys.domains.protocol import Batch, Outputs
from distsys.domains.speaker_extraction.config import Config, ModelConfig
from distsys.domains.speaker_extraction.data.queries import present_in, target_of
from distsys.domains.speaker_extraction.model import losses
from distsys.domains.speaker_extraction.model.network import Extractor
from distsys.signals.levels import energy_db
from distsys.signals.stft import Stft
from distsys.specs import RoundTrip


def forward(model: Extractor, batch: Batch, *, generator: torch.Generator) -> Outputs:
    """``estimate`` [batch, queries, time]; nothing is drawn."""
    return {"estimate": model(batch["mixture"], batch["enrolment"]).float()}


def loss_terms(outputs: Outputs, batch: Batch, *, config: Config) -> dict[str, Tensor]:
    """Unweighted terms over all queries of ``batch``, see ``losses``."""
    estimate, target, present = outputs["estimate"], target_of(batch), present_in(batch)
    transform = _transform(config.model.window, estimate.device)
    spectra = [transform(item.flatten(0, 1)).unflatten(0, present.shape) for item in (estimate, target)]
    return {
        "sisdr": losses.si_sdr_loss(estimate, target=target, present=present),
        "ta_energy": losses.ta_energy_loss(
            estimate,
            reference_db=_reference_db(batch, config.model),
            target_db=config.model.ta_target_db,
            present=present,
        ),
        "amp": losses.amplitude_loss(estimate, target=target, present=present),
        "phase": losses.spectral_loss(spectra[0], target=spectra[1], present=present),
    }


def round_trip(mixture: Tensor, config: ModelConfig) -> dict[str, RoundTrip]:
    """``mixture`` [batch, time] through the transform that masks are laid over, and back."""
    transform = _transform(config.window, mixture.device)
    decoded = transform.inverse(transform(mixture), mixture.shape[-1])
    return {"mixture": RoundTrip(mixture, decoded, "full scale", -1.0, 1.0)}


def _reference_db(batch: Batch, config: ModelConfig) -> Tensor:
    """What the energy of an estimate for an absent speaker is relative to, [batch, queries]."""
    mixture_db = energy_db(batch["mixture"])[:, None].expand(batch["asked"].shape)
    return mixture_db if config.ta_reference == "mixture" else torch.zeros_like(mixture_db)


@cache
def _transform(size: int, device: torch.device) -> Stft:
    """Kept, since a window made anew would be copied to the device at every step."""
    return Stft(size).to(device)
