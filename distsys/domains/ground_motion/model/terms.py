"""What the committee makes of a batch, every window by the member it is for, and the loss terms of that.

What ``fit`` is depends on the route: the negative log-likelihood of band envelopes, the score of an ensemble of them,
the weighted error of a denoiser, or the first and the last added up. ``envelope`` is one minus a correlation of
envelopes, for the complement route the sum of two such; for the broadband route it is the error below 1 Hz over what
is given there, as in the original.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from distsys.domains.ground_motion.config import NUM_FOLDS, Config, Route
from distsys.domains.ground_motion.data.envelopes import shapes_of
from distsys.domains.ground_motion.model import losses
from distsys.domains.ground_motion.model.network import Committee
from distsys.domains.protocol import Batch, Outputs

IDLE = "idle"
"""Zero, from every parameter of members without windows: workers wait for the gradient of each."""


def forward(model: Committee, batch: Batch, *, generator: torch.Generator) -> dict[str, Tensor]:
    """What each member with windows puts out, under its number (``0/mean``), and ``idle``."""
    found: dict[str, Tensor] = {}
    idle = torch.zeros((), device=batch["motion"].device)
    for fold in range(NUM_FOLDS):
        member, motion = model.member(fold), batch["motion"][batch["member"] == fold]
        if len(motion) > 0:
            outputs = member.outputs(motion, generator=generator)
            found |= {f"{fold}/{name}": value for name, value in outputs.items()}
        else:
            idle = idle + 0.0 * torch.stack([parameter.sum() for parameter in member.parameters()]).sum()
    return {**found, IDLE: idle}


def loss_terms(outputs: Outputs, batch: Batch, *, config: Config) -> dict[str, Tensor]:
    """Each term, mean over the windows of all members, see :mod:`losses`."""
    terms_of, fits, envelopes = _TERMS[config.model.route], [], []
    for fold in range(NUM_FOLDS):
        if part := _of_member(outputs, fold):
            fit, envelope = terms_of(part, batch["motion"][batch["member"] == fold])
            fits.append(fit)
            envelopes.append(envelope)
    return {"fit": torch.cat(fits).mean() + outputs[IDLE], "envelope": torch.cat(envelopes).mean()}


def _of_member(outputs: Outputs, fold: int) -> dict[str, Tensor]:
    prefix = f"{fold}/"
    return {name.removeprefix(prefix): value for name, value in outputs.items() if name.startswith(prefix)}


def _gaussian(outputs: Outputs, motion: Tensor) -> tuple[Tensor, Tensor]:
    fit = -_likelihood(outputs, motion)
    return fit, losses.course_loss(_expected_power(outputs), motion)


def _ensemble(outputs: Outputs, motion: Tensor) -> tuple[Tensor, Tensor]:
    drawn = outputs["drawn"]
    expected = 0.5 * (torch.logsumexp(2.0 * drawn, dim=1) - math.log(drawn.shape[1]))
    return losses.ensemble_score(drawn, motion), losses.course_loss(expected, motion)


def _envelope(outputs: Outputs, motion: Tensor) -> tuple[Tensor, Tensor]:
    return _denoising(outputs), losses.course_loss(outputs["expected"], motion)


def _complement(outputs: Outputs, motion: Tensor) -> tuple[Tensor, Tensor]:
    likelihood, error = _likelihood(outputs, motion), _denoising(outputs)
    course = losses.flat_course_loss(outputs["denoised"], clean=outputs["clean"])
    return error - likelihood, course + losses.course_loss(_expected_power(outputs), motion)


def _broadband(outputs: Outputs, motion: Tensor) -> tuple[Tensor, Tensor]:
    return _denoising(outputs), losses.stray_loss(outputs["denoised"], given=outputs["given"])


_TERMS: Mapping[Route, Callable[[Outputs, Tensor], tuple[Tensor, Tensor]]] = {
    "gaussian": _gaussian,
    "ensemble": _ensemble,
    "envelope": _envelope,
    "complement": _complement,
    "broadband": _broadband,
}
"""``fit`` and ``envelope`` of each of a member's windows."""


def _likelihood(outputs: Outputs, motion: Tensor) -> Tensor:
    names = ("mean", "spread", "memory", "correlation_factor")
    return losses.log_likelihood(shapes_of(motion), **{name: outputs[name] for name in names})


def _expected_power(outputs: Outputs) -> Tensor:
    """ln of the root of the expected power of log-normal envelopes."""
    return outputs["mean"] + outputs["spread"].square()


def _denoising(outputs: Outputs) -> Tensor:
    return losses.denoising_loss(outputs["denoised"], clean=outputs["clean"], weight=outputs["weight"])
