"""The terms of a batch: how well what is drawn fits, and whether the course of the envelope is met.

What ``fit`` is depends on the route: the negative log-likelihood of band envelopes, the weighted error of a
denoiser, or both added up. ``envelope`` is one minus a correlation of envelopes, for the complement route the sum of
two such; for the broadband route it is the error below 1 Hz over what is given there, as in the original.
"""

from __future__ import annotations

import torch
from torch import Tensor

from distsys.domains.ground_motion.model import NUM_FOLDS, Committee
from distsys.domains.protocol import Batch


def loss_terms(model: Committee, batch: Batch, *, generator: torch.Generator) -> dict[str, Tensor]:
    """Each term, every window by the member it is for, mean over windows."""
    fits, envelopes, idle = [], [], torch.zeros((), device=batch["motion"].device)
    for fold in range(NUM_FOLDS):
        member, motion = model.member(fold), batch["motion"][batch["member"] == fold]
        if len(motion) > 0:
            fit, envelope = member.terms(motion, generator=generator)
            fits.append(fit)
            envelopes.append(envelope)
        else:  # workers wait for the gradient of every parameter
            idle = idle + 0.0 * torch.stack([parameter.sum() for parameter in member.parameters()]).sum()
    return {"fit": torch.cat(fits).mean() + idle, "envelope": torch.cat(envelopes).mean()}
