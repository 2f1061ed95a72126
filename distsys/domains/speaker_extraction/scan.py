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

from distsys.shapes import Float

Run = Callable[[Tensor, Tensor, int, bool], Tensor]


def scan(values: Tensor, keep: Tensor, axis: int, reverse: bool) -> Tensor:
    """States [...] of the recurrence along ``axis``, from a state of 0; forward only, and within TorchScript."""
    states = torch.empty_like(values)
    entering, kept, left = values.unbind(axis), keep.unbind(axis), states.unbind(axis)
    length = len(entering)
    previous = torch.zeros_like(entering[0])
    for step in range(length):
        at = length - 1 - step if reverse else step
        torch.lerp(entering[at], previous, kept[at], out=left[at])
        previous = left[at]
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


def _mix(x: Tensor, inputs: Tensor, bias: Tensor, out: Tensor, axis: int, run: Run) -> tuple[Tensor, list[Tensor]]:
    """The layer's output, and what came in (values, then both gates, opened) and the states of each direction."""
    hidden = out.shape[1]
    flat = x.reshape(-1, x.shape[-1])
    entered = torch.addmm(bias, flat, inputs).view((*x.shape[:-1], 3 * hidden))
    entered[..., hidden:].sigmoid_()
    values, keep, read = entered.split(hidden, dim=-1)
    total, saved = torch.zeros_like(flat), [entered]
    for direction in range(len(out)):
        states = run(values, keep, axis, direction == 1)
        total.addmm_((states * read).view(-1, hidden), out[direction])
        saved.append(states)
    return total.view_as(x), saved


class _Mix(torch.autograd.Function):
    """``x @ inputs`` -> scans in each direction -> ``@ out``, summed; gradients written by hand.

    Autograd alone would keep and revisit every intermediate: on a CPU that costs more than the products do.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, inputs: Tensor, bias: Tensor, out: Tensor, axis: int) -> Tensor:
        total, saved = _mix(x, inputs, bias, out, axis, scan)
        ctx.save_for_backward(x, inputs, out, *saved)
        ctx.axis = axis
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, inputs, out, entered, *states = ctx.saved_tensors
        hidden = out.shape[1]
        flat, gradient = x.reshape(-1, x.shape[-1]), gradients[0].reshape(-1, x.shape[-1])
        read = entered[..., 2 * hidden :]
        by_read = [(gradient @ item.T).view_as(state) for item, state in zip(out, states, strict=True)]
        by_out = torch.stack([(state * read).view(-1, hidden).T @ gradient for state in states])
        by_entered = _through_scans(by_read, entered, states, ctx.axis)
        return (by_entered @ inputs.T).view_as(x), flat.T @ by_entered, by_entered.sum(0), by_out, None


def _through_scans(by_read: list[Tensor], entered: Tensor, states: list[Tensor], axis: int) -> Tensor:
    """Gradient [positions, 3 hidden] of what entered, before its gates were opened."""
    hidden, inner = states[0].shape[-1], states[0].shape[axis] - 1
    values, keep, read = entered.split(hidden, dim=-1)
    result = torch.zeros_like(entered)
    by_value, by_keep, by_gate = result.split(hidden, dim=-1)
    for direction, (gradient, state) in enumerate(zip(by_read, states, strict=True)):
        by_gate.addcmul_(gradient, state)
        by_state = scan_adjoint(gradient.mul_(read), keep, axis, direction == 1)
        before, after, edge = (1, 0, inner) if direction == 1 else (0, 1, 0)
        change = state.narrow(axis, before, inner) - values.narrow(axis, after, inner)
        by_keep.narrow(axis, after, inner).addcmul_(change, by_state.narrow(axis, after, inner))
        at_edge = values.narrow(axis, edge, 1), by_state.narrow(axis, edge, 1)
        by_keep.narrow(axis, edge, 1).addcmul_(*at_edge, value=-1.0)
        by_value += by_state
    by_value.addcmul_(by_value, keep, value=-1.0)
    gates, opened = result[..., hidden:], entered[..., hidden:]
    torch.ops.aten.sigmoid_backward.grad_input(gates, opened, grad_input=gates)
    return result.view(-1, 3 * hidden)


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
                mixed: Tensor = _Mix.apply(*parts)  # type: ignore[no-untyped-call]
            else:
                mixed, _ = _mix(*parts, self.run)
        return x + mixed
