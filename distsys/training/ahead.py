"""Steps that a device takes or skips by itself, so that the host need not wait; the host counts them a few steps later.

The optimiser's kernel leaves everything as it is where it is told of a gradient that is not finite, as for a gradient
scaler; how many steps were taken, and by that the learning rate, is then known to the device alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

LAG = 8
"""Steps by which the host's count is behind at most, which is also how far it runs ahead of the device."""


@dataclass(frozen=True)
class Uncounted:
    """A step of which the host does not know yet whether it was taken."""

    number: int
    terms: Sequence[Mapping[str, Tensor]]
    _found: Tensor
    _ready: torch.cuda.Event | None

    def found(self) -> tuple[bool, Tensor]:
        """Whether it was taken, and what was asked of it; waits for the device where that has not come so far."""
        if self._ready is not None:
            self._ready.synchronize()
        return bool(self._found[0]), self._found[1:]


class Ahead:
    """Updates that are decided on ``device``.

    Args:
        rate_after: learning rate after so many steps that were really taken.
        steps: planned.
    """

    def __init__(self, device: torch.device, rate_after: Callable[[int], float], *, steps: int) -> None:
        self._device, self._rate_after, self._steps = device, rate_after, steps
        self._rates: Tensor | None = None
        self._taken: Tensor | None = None
        self._open: deque[Uncounted] = deque()

    def update(
        self, optimizer: torch.optim.Optimizer, gradients: list[Tensor], *, norm: Tensor, is_finite: Tensor,
        limit: float | None, counted: int,
    ) -> None:  # fmt: skip
        """Clip and step where ``is_finite``, after ``counted`` steps that the host knows of and those still open."""
        if limit is not None:
            torch._foreach_mul_(gradients, (limit / norm.double()).clamp(max=1.0).to(norm.dtype))
        rate, groups = self._rate(counted), optimizer.param_groups
        usual = [group["lr"] for group in groups]
        for group in groups:
            group["lr"] = rate
        optimizer.found_inf = (~is_finite).float()  # type: ignore[attr-defined]
        optimizer.step()
        del optimizer.found_inf  # type: ignore[attr-defined]
        for group, value in zip(groups, usual, strict=True):
            group["lr"] = value
        assert self._taken is not None
        self._taken += is_finite

    def _rate(self, counted: int) -> Tensor:
        if self._rates is None:
            kind = torch.float32 if self._device.type == "cuda" else torch.float64
            rates = [self._rate_after(taken) for taken in range(self._steps)]
            self._rates = torch.tensor(rates, dtype=kind).to(self._device)
        if self._taken is None:
            self._taken = torch.full((1,), counted, device=self._device)
        return self._rates.index_select(0, self._taken).squeeze(0)

    def leave_open(self, number: int, is_finite: Tensor, asked: Tensor, terms: Sequence[Mapping[str, Tensor]]) -> None:
        """Step ``number`` is to be counted later; its ``terms`` say by then what was not finite."""
        held = [_held(part) for part in terms]
        found = torch.cat([is_finite.float().reshape(1), asked]).to("cpu", copy=True, non_blocking=True)
        ready = None
        if self._device.type == "cuda":
            ready = torch.cuda.Event()
            ready.record()
        self._open.append(Uncounted(number, held, found, ready))

    def counted(self, *, keep: int = 0) -> Iterator[Uncounted]:
        """Steps that are to be counted now, all but the last ``keep``, in their order."""
        while len(self._open) > keep:
            yield self._open.popleft()
        if not self._open:
            self._taken = None

    def forget(self) -> None:
        """Open steps are part of no run any more."""
        self._open.clear()
        self._taken = None


def _held(terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A copy without graph: a replayed CUDA graph writes its next terms where these stand."""
    values = torch.stack([value.detach() for value in terms.values()])
    return dict(zip(terms, values.unbind(), strict=True))


def mix(average: AveragedModel, model: nn.Module, *, share: Tensor) -> None:
    """Move ``average`` by ``share`` towards ``model``; as its own method does, which waits for the device."""
    with torch.no_grad():
        held: list[Tensor] = list(average.module.parameters())
        apart = list(torch._foreach_sub(list(model.parameters()), held))
        torch._foreach_mul_(apart, share)
        torch._foreach_add_(held, apart)
        for own, other in zip(average.module.buffers(), model.buffers(), strict=True):
            own.copy_(other)
