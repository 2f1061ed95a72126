"""Whether drawn motions can be told from recorded ones: a classifier, and how often it is right.

Source: the two-sample test by a classifier, Lopez-Paz and Oquab 2017, arXiv 1610.06545.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from distsys.domains.ground_motion.data.operators import NUM_FRAMES
from distsys.domains.ground_motion.score.intensity import PERIODS_S, measures
from distsys.domains.ground_motion.score.texture import STRETCHES, band_courses, kurtosis, zero_crossing_rate
from distsys.shapes import Float

_STEPS = 25
_PENALTY = 1.0
"""Of a weight of 1, in the log-likelihood of all motions: that of one motion that is told apart for certain."""


def features(motion: Float[Tensor, "*batch time"]) -> Float[Tensor, "*batch features"]:
    """Numbers that do not change with scale: of zero crossings, peaks, band courses, and the shape of the spectrum.

    Of each band how much its loudness varies, how much from frame to frame, and how it goes with the next band's.
    """
    rate = (zero_crossing_rate(motion) + 1.0).log()
    course = band_courses(motion, frames=NUM_FRAMES)
    centred = course - course.mean(dim=-1, keepdim=True)
    spread = centred.square().mean(dim=-1).sqrt().clamp(min=1e-6)
    rough = (course[..., 1:] - course[..., :-1]).abs().mean(dim=-1)
    alike = (centred[..., 1:, :] * centred[..., :-1, :]).mean(dim=-1) / (spread[..., 1:] * spread[..., :-1])
    found = measures(motion)
    spectrum = torch.stack([found[f"psa_{period:g}s"] - found["pga"] for period in PERIODS_S], dim=-1)
    one = torch.stack((rate.mean(dim=-1), rate.std(dim=-1), kurtosis(motion).log()), dim=-1)
    assert rate.shape[-1] == STRETCHES
    return torch.cat((one, spread.log(), (rough + 1e-6).log(), alike, spectrum), dim=-1)


@dataclass(frozen=True)
class Classifier:
    """Logistic regression on standardised features and their squares.

    Args:
        mean, scale: [features] of what it learned from.
        weight: [1 + 2 features], the constant first.
    """

    mean: Tensor
    scale: Tensor
    weight: Tensor

    @classmethod
    def fit(cls, real: Float[Tensor, "records features"], drawn: Float[Tensor, "records features"]) -> Self:
        """By Newton's method with a ridge; both kinds count the same."""
        x = torch.cat((real, drawn)).double()
        mean, scale = x.mean(dim=0), x.std(dim=0).clamp(min=1e-6)
        z = _expanded((x - mean) / scale)
        label = torch.cat((torch.ones(len(real)), torch.zeros(len(drawn)))).double()
        share = torch.where(label > 0.5, 0.5 / len(real), 0.5 / len(drawn)) * len(x)
        penalty = torch.full((z.shape[1],), _PENALTY, dtype=z.dtype)
        penalty[0] = 1e-6
        weight = torch.zeros(z.shape[1], dtype=z.dtype)
        for _ in range(_STEPS):
            belief = torch.sigmoid(z @ weight)
            slope = z.T @ (share * (belief - label)) + penalty * weight
            curvature = (z * (share * belief * (1.0 - belief))[:, None]).T @ z + torch.diag(penalty)
            weight = weight - torch.linalg.solve(curvature, slope)
        return cls(mean, scale, weight)

    def score(self, found: Float[Tensor, "*batch features"]) -> Float[Tensor, "*batch"]:
        """Log odds that a motion was recorded."""
        return _expanded((found.double() - self.mean) / self.scale) @ self.weight


def area_under_curve(real: Float[Tensor, " records"], drawn: Float[Tensor, " others"]) -> float:
    """How often a recorded motion scores above a drawn one, ties half: 0.5 where they cannot be told apart, at most 1.

    Source: Mann and Whitney 1947.
    """
    above = (real[:, None] > drawn).double() + 0.5 * (real[:, None] == drawn).double()
    return float(above.mean())


def _expanded(z: Tensor) -> Tensor:
    z = z.clamp(-4.0, 4.0)
    return torch.cat((torch.ones_like(z[..., :1]), z, z.square() - 1.0), dim=-1)
