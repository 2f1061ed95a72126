"""What a member does when it is sampled, beside what it was trained on: noise levels, scale, and what samples keep."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from distsys.domains.ground_motion.data.operators import lowpass, rms
from distsys.domains.ground_motion.data.records import Metadata
from distsys.domains.ground_motion.model import preconditioning
from distsys.domains.ground_motion.model.diffusing import Diffusing
from distsys.domains.ground_motion.model.member import Member
from distsys.domains.ground_motion.model.network import Committee
from distsys.domains.protocol import Batch, Generation
from distsys.signals.ensembles import correlation

_FEW, _SAMPLES = 4, 2
_DRAWS = 4096
"""Training levels: as many as show both ends of their range."""


def generation(model: Committee, batch: Batch, *, generator: torch.Generator) -> Generation:
    """Of the member of the first window: every member is built alike."""
    fold = int(batch["member"][0])
    member, motion = model.member(fold), batch["motion"][batch["member"] == fold][:_FEW]
    visited: list[Tensor] = []
    handle = None
    if isinstance(member, Diffusing):
        handle = member.denoiser.register_forward_pre_hook(lambda module, given: visited.append(given[1][:1]))
    guarded = _kept(member, motion, generator)
    if handle is None or not isinstance(member, Diffusing):
        return Generation(torch.empty(0), torch.empty(0), 0.0, 0.0, guarded)
    handle.remove()
    sigma_data = member.denoiser.sigma_data
    drawn = preconditioning.training_levels(_DRAWS, sigma_data, generator=generator)
    clean = member.outputs(motion, generator=generator)["clean"]
    return Generation(drawn, torch.cat(visited), float(sigma_data), float(clean.std()), guarded)


def _kept(member: Member, motion: Tensor, generator: torch.Generator) -> dict[str, float]:
    """How far samples keep what is given below 1 Hz; NaN stands for metadata that are not known."""
    given = lowpass(motion)
    unknown = motion.new_full((len(motion), len(Metadata().row())), math.nan)
    kept = lowpass(member.sample(given, unknown, _SAMPLES, generator=generator))
    wanted = given[:, None].expand_as(kept)
    return {
        "low_frequency_error": float((rms(kept - wanted) / rms(wanted)).mean()),
        "envelope_correlation": float(correlation(kept, wanted).mean()),
    }
