"""A bidirectional gated scan: the recurrence of an SRU without recurrent products (Lei et al., arXiv 1709.02755).

c_t = f_t * c_{t-1} + (1 - f_t) * v_t, read through a second gate. Everything but the one multiply-add per step is a
matrix product over all positions at once, which is what makes it faster than an LSTM on a CPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from distsys.domains.speaker_extraction.model import native
from distsys.shapes import Float

Run = Callable[[Tensor, Tensor, int, bool], Tensor]


def scan(values: Tensor, keep: Tensor, axis: int, reverse: bool) -> Tensor:
    """States [...] of the recurrence along ``axis``, from a state of 0; forward only, and within TorchScript."""
    states = torch.empty_like(values)
    value_at, keep_at, state_at = values.unbind(axis), keep.unbind(axis), states.unbind(axis)
    length = len(value_at)
    previous = torch.zeros_like(value_at[0])
    for step in range(length):
        at = length - 1 - step if reverse else step
        torch.lerp(value_at[at], previous, keep_at[at], out=state_at[at])
        previous = state_at[at]
    return states


def scan_adjoint(gradient: Tensor, keep: Tensor, axis: int, reverse: bool) -> Tensor:
    """Turns the gradient of the states, as read, into that of the states as they feed each other; in place."""
    parts, gates = gradient.unbind(axis), keep.unbind(axis)
    last = len(parts) - 1
    if reverse:
        for step in range(1, last + 1):
            parts[step].addcmul_(gates[step - 1], parts[step - 1])
    else:
        for step in range(last - 1, -1, -1):
            parts[step].addcmul_(gates[step + 1], parts[step + 1])
    return gradient


def plain_forward(projected: Tensor, bias: Tensor, directions: int, axis: int, run: Run) -> tuple[Tensor, Tensor]:
    """What ``native.forward`` gives."""
    hidden = projected.shape[-1] // 3
    projected += bias
    projected[..., hidden:].sigmoid_()
    values, keep, read = projected.split(hidden, dim=-1)
    states = torch.stack([run(values, keep, axis, direction == 1) for direction in range(directions)], dim=-2)
    return states, states * read[..., None, :]


def plain_backward(by_gated: Tensor, projected: Tensor, states: Tensor, axis: int) -> tuple[Tensor, Tensor, Tensor]:
    """What ``native.backward`` gives."""
    hidden, inner = states.shape[-1], states.shape[axis] - 1
    values, keep, read = projected.split(hidden, dim=-1)
    result = torch.zeros_like(projected)
    by_value, by_keep, by_read = result.split(hidden, dim=-1)
    for direction, (gradient, state) in enumerate(zip(by_gated.unbind(-2), states.unbind(-2), strict=True)):
        by_read.addcmul_(gradient, state)
        by_state = scan_adjoint(gradient * read, keep, axis, direction == 1)
        before, after, edge = (1, 0, inner) if direction == 1 else (0, 1, 0)
        difference = state.narrow(axis, before, inner) - values.narrow(axis, after, inner)
        by_keep.narrow(axis, after, inner).addcmul_(difference, by_state.narrow(axis, after, inner))
        at_edge = values.narrow(axis, edge, 1), by_state.narrow(axis, edge, 1)
        by_keep.narrow(axis, edge, 1).addcmul_(*at_edge, value=-1.0)
        by_value += by_state
    by_value.addcmul_(by_value, keep, value=-1.0)
    by_gates, gates = result[..., hidden:], projected[..., hidden:]
    torch.ops.aten.sigmoid_backward.grad_input(by_gates, gates, grad_input=by_gates)
    return result, states * read[..., None, :], result.view(-1, 3 * hidden).sum(0)


def _mix(
    x: Tensor, inputs: Tensor, bias: Tensor, out: Tensor, axis: int, run: Run
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """The layer's output; the projected inputs (values, then both gates after their sigmoid) and the states."""
    directions, hidden, width = out.shape
    projected = (x.reshape(-1, width) @ inputs).view((*x.shape[:-1], 3 * hidden))
    if run is scan and native.serves(projected, hidden):
        states, gated = native.forward(projected, bias, directions, axis)
    else:
        states, gated = plain_forward(projected, bias, directions, axis, run)
    mixed = gated.view(-1, directions * hidden) @ out.view(-1, width)
    return mixed.view_as(x), (projected, states)


class _Mix(torch.autograd.Function):
    """``x @ inputs`` -> scans in each direction -> ``@ out``, summed; gradients written by hand.

    Autograd alone would keep and revisit every intermediate: on a CPU that costs more than the products do.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, inputs: Tensor, bias: Tensor, out: Tensor, axis: int) -> Tensor:
        mixed, saved = _mix(x, inputs, bias, out, axis, scan)
        ctx.save_for_backward(x, inputs, out, *saved)
        ctx.axis = axis
        return mixed

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, inputs, out, projected, states = ctx.saved_tensors
        directions, hidden, width = out.shape
        flat, gradient = x.reshape(-1, width), gradients[0].reshape(-1, width)
        by_gated = (gradient @ out.view(-1, width).T).view_as(states)
        through = native.backward if native.serves(projected, hidden) else plain_backward
        by_projected, gated, by_bias = through(by_gated, projected, states, ctx.axis)
        by_projected = by_projected.view(-1, 3 * hidden)
        by_out = (gated.view(-1, directions * hidden).T @ gradient).view_as(out)
        return (by_projected @ inputs.T).view_as(x), flat.T @ by_projected, by_bias, by_out, None


class GatedScan(nn.Module):
    """Residual layer that carries information along one axis of its input.

    Both directions scan the same values with the same gates and are read out by weights of their own: a quarter
    faster than with values and gates of their own, and no worse.

    Args:
        width: channels, the last axis of the input.
        hidden: states in each direction.
        axis: what is scanned.
        num_directions: 2, or 1 for forward only.
    """

    def __init__(self, width: int, hidden: int, *, axis: int, num_directions: int = 2) -> None:
        super().__init__()
        self.axis = axis
        self.run: Run = scan
        """What scans where no gradient is wanted; an export puts a compiled one here."""
        self.norm = nn.LayerNorm(width)
        self.inputs = nn.Parameter(torch.randn(width, 3 * hidden) / math.sqrt(width))
        # Kept shares from 0.27 to 0.95: memories of one to twenty steps to begin with.
        memory = torch.cat((torch.zeros(hidden), torch.linspace(-1.0, 3.0, hidden), torch.zeros(hidden)))
        self.bias = nn.Parameter(memory)
        self.out = nn.Parameter(torch.randn(num_directions, hidden, width) / math.sqrt(num_directions * hidden))

    def forward(self, x: Float[Tensor, "*position width"]) -> Float[Tensor, "*position width"]:
        with torch.autocast(x.device.type, enabled=False):  # a long sum, and gradients written by hand: float32
            parts = self.norm(x.float()), self.inputs, self.bias, self.out, self.axis
            if torch.is_grad_enabled():
                mixed = _Mix.apply(*parts)  # type: ignore[no-untyped-call]
            else:
                mixed, _ = _mix(*parts, self.run)
        return x + mixed

    def step(
        self, x: Float[Tensor, "*position width"], before: Float[Tensor, "*position hidden"] | None
    ) -> tuple[Float[Tensor, "*position width"], Float[Tensor, "*position hidden"]]:
        """The next place along the axis of a layer that only scans forward: output, and the state to go on from."""
        hidden = self.out.shape[1]
        values, gates = torch.addmm(self.bias, self.norm(x).view(-1, x.shape[-1]), self.inputs).split(
            (hidden, 2 * hidden), dim=-1
        )
        keep, read = gates.sigmoid().chunk(2, dim=-1)
        previous = torch.zeros_like(values) if before is None else before.view(-1, hidden)
        state = torch.lerp(values, previous, keep)
        mixed = (state * read) @ self.out[0]
        return x + mixed.view_as(x), state.view(*x.shape[:-1], hidden)
