"""A network that is given noise and draws log envelopes in one pass, as those of FGN (arXiv 2506.10772) draw weather.

Noise comes as a vector that shifts and scales every block, as channels that change slowly or from frame to frame, and
as channels of blocks that are left out. The last is dropout that does not end with training: draws would lose the
spread that it gave them there.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from distsys.domains.ground_motion.config import ModelConfig
from distsys.domains.ground_motion.data.envelopes import NUM_INPUTS
from distsys.domains.ground_motion.data.operators import NUM_BANDS, NUM_FRAMES, normal
from distsys.domains.ground_motion.model.blocks import dilated
from distsys.shapes import Float

_SHARED = 16
"""Numbers that all frames of a draw are told."""
_SLOW, _PLACES = 4, 8
"""Channels that are drawn at so many places and change linearly between them."""
_FRESH = 2
"""Channels that are drawn anew in every frame."""
_START_WEIGHT = 0.05


class NoisyNetwork(nn.Module):
    """Draws log envelopes [bands, frames] for channels [inputs, frames] of the motion below 1 Hz."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.channels
        self.left_out = config.dropout
        self.proj_in = nn.Conv1d(NUM_INPUTS + _SLOW + _FRESH, width, 1)
        self.blocks = dilated(width, config.blocks, dropout=0.0, embedding=_SHARED)
        self.proj_out = nn.Conv1d(width, NUM_BANDS, 1, bias=False)
        nn.init.normal_(self.proj_out.weight, std=_START_WEIGHT)

    def forward(
        self, inputs: Float[Tensor, "batch channels frames"], count: int, *, generator: torch.Generator
    ) -> Float[Tensor, "batch count bands frames"]:
        """``count`` draws for each of the batch, every band of a mean square of 1 over its frames."""
        batch, width, blocks = len(inputs), self.proj_out.in_channels, len(self.blocks)
        sizes = (_SHARED, _SLOW * _PLACES, _FRESH * NUM_FRAMES, blocks * width)
        noise = normal(batch, count, sum(sizes), generator=generator, device=inputs.device).flatten(0, 1)
        shared, slow, fresh, masks = noise.split(sizes, dim=-1)
        slow = nn.functional.interpolate(slow.unflatten(-1, (_SLOW, _PLACES)), size=NUM_FRAMES, mode="linear")
        kept = self._kept(masks).unflatten(-1, (blocks, width))
        given = inputs.repeat_interleave(count, dim=0)
        x = self.proj_in(torch.cat((given, slow, fresh.unflatten(-1, (_FRESH, NUM_FRAMES))), dim=1))
        for number, block in enumerate(self.blocks):
            x = block(x, shared, kept=kept[:, number])
        return _of_unit_power(self.proj_out(x)).unflatten(0, (batch, count))

    def _kept(self, noise: Tensor) -> Tensor:
        """0 for the share of channels that are left out, and for the others what makes up for them."""
        edge = torch.special.ndtri(torch.tensor(self.left_out, device=noise.device))
        return (noise > edge).to(noise.dtype) / (1.0 - self.left_out)


def _of_unit_power(shape: Float[Tensor, "items bands frames"]) -> Tensor:
    """As a motion is given its level, whatever is drawn.

    Else draws would differ most by an offset of all frames, which scores frame by frame are content with, and which
    is gone from the motion: so trained, a band of 90 % held 65 % of the envelope that it was made for.
    """
    return shape - 0.5 * (torch.logsumexp(2.0 * shape, dim=-1, keepdim=True) - math.log(NUM_FRAMES))
