"""The loss terms of a batch of mixtures."""

from __future__ import annotations

from torch import Tensor

from distsys.domains.protocol import Batch
from distsys.domains.speaker_extraction import losses
from distsys.domains.speaker_extraction.metrics import present_in, target_of
from distsys.domains.speaker_extraction.model import Extractor


def loss_terms(model: Extractor, batch: Batch) -> dict[str, Tensor]:
    """Each term over all queries of ``batch``."""
    settings = model.config.model
    target, present = target_of(batch), present_in(batch)
    estimate = model(batch["mixture"], batch["enrolment"]).float()
    level_db = losses.energy_db(batch["mixture"])[:, None].expand_as(present)
    reference_db = level_db if settings.ta_reference == "mixture" else level_db.new_zeros(present.shape)
    spectra = [model.spectrum(item.flatten(0, 1)).unflatten(0, present.shape) for item in (estimate, target)]
    return {
        "sisdr": losses.si_sdr_loss(estimate, target=target, present=present),
        "ta_energy": losses.ta_energy_loss(
            estimate, reference_db=reference_db, target_db=settings.ta_target_db, present=present
        ),
        "amp": losses.amplitude_loss(estimate, target=target, present=present),
        "phase": losses.spectral_loss(spectra[0], target=spectra[1], present=present),
    }
