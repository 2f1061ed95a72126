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
    """The layer's output, and for each direction what came in (values, then both gates, opened) and the states."""
    hidden = out.shape[1]
    flat = x.reshape(-1, x.shape[-1])
    total, saved = torch.zeros_like(flat), []
    for direction in range(len(out)):
        entered = torch.addmm(bias[direction], flat, inputs[direction]).view((*x.shape[:-1], 3 * hidden))
        entered[..., hidden:].sigmoid_()
        states = run(entered[..., :hidden], entered[..., hidden : 2 * hidden], axis, direction == 1)
        total.addmm_((states * entered[..., 2 * hidden :]).view(-1, hidden), out[direction])
        saved += [entered, states]
    return total.view_as(x), saved


class _Mix(torch.autograd.Function):
    """``x @ inputs`` -> scan -> ``@ out`` for each direction, summed; gradients written by hand.

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
        x, inputs, out, *saved = ctx.saved_tensors
        hidden = out.shape[1]
        flat, gradient = x.reshape(-1, x.shape[-1]), gradients[0].reshape(-1, x.shape[-1])
        into_x = torch.zeros_like(flat)
        found: list[list[Tensor]] = [[], [], []]
        for direction in range(len(out)):
            entered, states = saved[2 * direction : 2 * direction + 2]
            by_read = (gradient @ out[direction].T).view_as(states)
            by_out = (states * entered[..., 2 * hidden :]).view(-1, hidden).T @ gradient
            by_entered = _through_scan(by_read, entered, states, ctx.axis, direction == 1)
            into_x.addmm_(by_entered, inputs[direction].T)
            for items, item in zip(found, (flat.T @ by_entered, by_entered.sum(0), by_out), strict=True):
                items.append(item)
        return into_x.view_as(x), *(torch.stack(items) for items in found), None


def _through_scan(by_read: Tensor, entered: Tensor, states: Tensor, axis: int, reverse: bool) -> Tensor:
    """Gradient [positions, 3 hidden] of what entered, before its gates were opened."""
    hidden, inner = states.shape[-1], states.shape[axis] - 1
    values, keep, read = entered.split(hidden, dim=-1)
    result = torch.empty_like(entered)
    by_value, by_keep, by_gate = result.split(hidden, dim=-1)
    torch.mul(by_read, states, out=by_gate)
    by_state = scan_adjoint(by_read.mul_(read), keep, axis, reverse)
    before, after, edge = (1, 0, inner) if reverse else (0, 1, 0)
    earlier, later = states.narrow(axis, before, inner), values.narrow(axis, after, inner)
    torch.sub(earlier, later, out=by_keep.narrow(axis, after, inner))
    torch.neg(values.narrow(axis, edge, 1), out=by_keep.narrow(axis, edge, 1))
    by_keep.mul_(by_state)
    torch.addcmul(by_state, by_state, keep, value=-1.0, out=by_value)
    gates, opened = result[..., hidden:], entered[..., hidden:]
    torch.ops.aten.sigmoid_backward.grad_input(gates, opened, grad_input=gates)
    return result.view(-1, 3 * hidden)


class GatedScan(nn.Module):
    """Residual layer that carries information along one axis of its input.

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
        self.inputs = nn.Parameter(torch.randn(num_directions, width, 3 * hidden) / math.sqrt(width))
        # Kept shares from 0.27 to 0.95: memories of one to twenty steps to begin with.
        memory = torch.cat((torch.zeros(hidden), torch.linspace(-1.0, 3.0, hidden), torch.zeros(hidden)))
        self.bias = nn.Parameter(memory.expand(num_directions, -1).clone())
        self.out = nn.Parameter(torch.randn(num_directions, hidden, width) / math.sqrt(num_directions * hidden))

    def forward(self, x: Float[Tensor, "*position width"]) -> Float[Tensor, "*position width"]:
        with torch.autocast(x.device.type, enabled=False):  # a long sum, and gradients written by hand: float32
            parts = self.norm(x.float()), self.inputs, self.bias, self.out, self.axis
            if torch.is_grad_enabled():
                mixed: Tensor = _Mix.apply(*parts)  # type: ignore[no-untyped-call]
            else:
                mixed, _ = _mix(*parts, self.run)
        return x + mixed
