"""The processes of one run: alone, or ranks of a torch.distributed group that somebody else started."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from distsys.errors import ConfigError, RunFailed
from distsys.files import write_bytes

Value = TypeVar("Value")


@dataclass(frozen=True)
class Workers:
    """This process's place among the workers of a run, and its device."""

    device: torch.device
    rank: int = 0
    world_size: int = 1

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """``module`` with gradients averaged over workers; itself when there is one."""
        if self.world_size == 1:
            return module
        ids = [self.device] if self.device.type == "cuda" else None
        return _Averaged(module, device_ids=ids)

    def alone(self, wrapped: nn.Module) -> AbstractContextManager[None]:
        """Within, gradients of a module from :meth:`wrap` stay on their worker, and add up."""
        found: AbstractContextManager[None] = (
            wrapped.no_sync() if isinstance(wrapped, DistributedDataParallel) else nullcontext()
        )
        return found

    def sum(self, values: Tensor) -> Tensor:
        """``values`` added up over workers, on every worker."""
        if self.world_size == 1:
            return values
        total = values.clone()
        dist.all_reduce(total)
        return total

    def joined(self, values: Tensor) -> list[Tensor]:
        """The tensors of all workers, alike in shape, in the order of ranks; only this worker's own has a graph."""
        if self.world_size == 1:
            return [values]
        found = [torch.empty_like(values, memory_format=torch.contiguous_format) for _ in range(self.world_size)]
        dist.all_gather(found, values.detach().contiguous())
        found[self.rank] = values
        return found

    def from_first(self, value: Value | None) -> Value:
        """The value that the first worker passes in, on every worker."""
        if self.world_size == 1:
            assert value is not None
            return value
        box: list[Any] = [value]
        dist.broadcast_object_list(box, src=0, device=self.device)
        received: Value = box[0]
        return received

    def gather(self, value: Value) -> list[Value]:
        """The values that all workers pass in, in the order of ranks, on every worker."""
        if self.world_size == 1:
            return [value]
        box: list[Any] = [None] * self.world_size
        dist.all_gather_object(box, value)
        return box

    def bring(self, checkpoint: Path) -> None:
        """Have the directory ``checkpoint`` as the first worker has it; nothing travels where all see the same disk.

        Those on other nodes may lack it, or have it as it was before the first one wrote it anew.
        """
        if self.world_size == 1 or len(set(self.gather(_manifest_of(checkpoint)))) == 1:
            return
        own = {path.name: path.read_bytes() for path in checkpoint.glob("*")} if self.is_first else None
        files = self.from_first(own)
        if not self.is_first:
            checkpoint.mkdir(parents=True, exist_ok=True)
            for name, content in files.items():
                write_bytes(checkpoint / name, content)

    def share_of(self, start: int, count: int) -> range:
        """This worker's item indices among ``count`` beginning at ``start``.

        Raises:
            ConfigError: the batch cannot be divided evenly.
        """
        if count % self.world_size:
            raise ConfigError(
                f"batch_size = {count} over {self.world_size} workers",
                expected="a batch size that the number of workers divides",
                fix=f"batch_size: {(count // self.world_size + 1) * self.world_size}",
            )
        return range(start + self.rank, start + count, self.world_size)

    def parts_of(self, start: int, count: int, *, parts: int) -> list[range]:
        """This worker's share of ``count`` items in equal parts, which it takes one after the other.

        Raises:
            ConfigError: the batch cannot be divided evenly.
        """
        share = self.share_of(start, count)
        if len(share) % parts:
            whole = parts * self.world_size
            raise ConfigError(
                f"batch_size = {count} in {parts} parts on each of {self.world_size} workers",
                expected="a batch size that workers times accumulate divides",
                fix=f"batch_size: {(count // whole + 1) * whole}, or another accumulate",
            )
        size = len(share) // parts
        return [share[first : first + size] for first in range(0, len(share), size)]


def _manifest_of(checkpoint: Path) -> bytes:
    """What names the hashes of all files of ``checkpoint``; nothing where that is none."""
    file = checkpoint / "manifest.json"
    return file.read_bytes() if file.is_file() else b""


class _Averaged(DistributedDataParallel):
    """Gradients averaged over workers, with a word on those that do not come.

    torch could look for them by itself (``find_unused_parameters``), but then it cuts outputs off from the terms, so
    that no check sees any more how a term depends on them.
    """

    def forward(self, *given: Any, **named: Any) -> Any:
        """What the module gives.

        Raises:
            RunFailed: the step before gave some parameters no gradient, for which the workers would wait.
        """
        try:
            return super().forward(*given, **named)  # type: ignore[no-untyped-call]  # torch says no types
        except RuntimeError as error:
            raise self._explained(error) from error

    def _explained(self, error: RuntimeError) -> Exception:
        found = _NO_GRADIENT.search(str(error))
        if found is None:
            return error
        names = [name.removeprefix("model.") for name, item in self.module.named_parameters() if item.requires_grad]
        missing = ", ".join(names[int(index)] for index in found[1].split())
        return RunFailed(
            f"parameters without gradient: {missing}; several workers cannot average what does not come",
            expected="a term that depends on every trained parameter, at every step",
            fix="take them out of the model or freeze them (requires_grad_(False)), or train with --workers 1",
        )


_NO_GRADIENT = re.compile(r"Parameter indices which did not receive grad for rank \d+: ((?:\d+ ?)+)")


def pick_device(wanted: str, *, index: int = 0) -> torch.device:
    """``auto`` takes CUDA where there is one.

    Raises:
        ConfigError: CUDA is asked for and there is none.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device = cuda, but no CUDA device is visible", fix="device: auto")
    use_cuda = wanted == "cuda" or (wanted == "auto" and torch.cuda.is_available())
    return torch.device("cuda", index) if use_cuda else torch.device("cpu")
