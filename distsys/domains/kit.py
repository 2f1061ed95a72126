"""Craft that several domains share: rooms, seeds of parts, ordered ranges, named metrics, answers, labelled axes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic

import numpy as np
from pydantic import BaseModel

from distsys.domains.protocol import (
    Baseline,
    Batch,
    ConfigT,
    DataBundle,
    EvalSet,
    Evaluation,
    ModelT,
    Outputs,
    Prediction,
    Statistics,
)

if TYPE_CHECKING:
    import torch
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor


class DomainInRooms(Generic[ConfigT, ModelT]):
    """A domain whose methods stand in the modules of its package, which are imported when they are first needed.

    =================== ============================================
    ``data.bundle``     ``build_data``
    ``model.network``   ``build_model``
    ``model.terms``     ``forward``, ``loss_terms``
    ``score.evaluation`` ``evaluate``
    ``score.baselines`` ``baselines``
    ``score.figures``   ``figures``
    ``answer``          ``predict``
    =================== ============================================

    The package's ``__init__`` declares what :class:`~distsys.domains.protocol.Domain` has besides these.
    """

    def _room(self, name: str) -> Any:
        """A module of the package in which the class that derives from this one stands; its heirs may be anywhere."""
        home = next(kind for kind in type(self).__mro__ if DomainInRooms in kind.__bases__)
        return import_module(f"{home.__module__}.{name}")

    def build_data(self, config: ConfigT, *, seed: int) -> DataBundle:
        return self._room("data.bundle").build_data(config, seed=seed)

    def build_model(self, config: ConfigT, statistics: Statistics) -> ModelT:
        return self._room("model.network").build_model(config, statistics)

    def forward(self, model: ModelT, batch: Batch, *, generator: torch.Generator) -> Outputs:
        return self._room("model.terms").forward(model, batch, generator=generator)

    def loss_terms(self, outputs: Outputs, batch: Batch, *, config: ConfigT) -> Mapping[str, Tensor]:
        return self._room("model.terms").loss_terms(outputs, batch, config=config)

    def evaluate(self, model: ModelT, data: EvalSet) -> Evaluation:
        return self._room("score.evaluation").evaluate(model, data)

    def baselines(self, config: ConfigT, bundle: DataBundle, data: EvalSet) -> Mapping[str, Baseline]:
        return self._room("score.baselines").baselines(config, bundle, data)

    def figures(self, model: ModelT, data: EvalSet, evaluation: Evaluation) -> Mapping[str, Figure]:
        return self._room("score.figures").figures(model, data, evaluation)

    def predict(self, model: ModelT, request: Any) -> Prediction:
        import torch

        with torch.no_grad():
            return self._room("answer").predict(model, request)


class Lazily(Mapping[str, float]):
    """Metrics that are found when one of them is first looked at: not every row of a table is always needed.

    Args:
        find: gives them.
    """

    def __init__(self, find: Callable[[], Mapping[str, float]]) -> None:
        self._find = cache(find)

    def __getitem__(self, name: str) -> float:
        return self._find()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._find())

    def __len__(self) -> int:
        return len(self._find())


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch on one thread: thousands of small matrices cost several times the CPU on more."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def part_seed(seed: int, part: str, *, parts: Sequence[str]) -> int:
    """A seed of its own for each of the named ``parts`` of the data; never that of another part or seed."""
    return len(parts) * seed + parts.index(part)


def require_ordered(section: BaseModel, *pairs: tuple[str, str]) -> None:
    """Raise ValueError, as validators do, where the first of two fields lies above the second."""
    for low, high in pairs:
        if getattr(section, low) > getattr(section, high):
            raise ValueError(f"{low} {getattr(section, low)} is above {high} {getattr(section, high)}")


def named(metrics: Mapping[str, float], part: str) -> dict[str, float]:
    """``metrics`` under names of a part of the items; those of the whole (``""``) keep their own."""
    return {f"{name}/{part}" if part else name: value for name, value in metrics.items()}


def json_text(summary: Mapping[str, Any]) -> str:
    """A JSON answer."""
    return json.dumps(summary, indent=1) + "\n"


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """A CSV answer."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def npz_bytes(**arrays: np.ndarray | float) -> bytes:
    """An answer in NumPy's compressed format."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # its stub knows no plain numbers
    return buffer.getvalue()


def labelled(axes: Axes, *, x: str, y: str, title: str = "") -> None:
    """Labels with units, small enough for panels side by side, over a pale grid."""
    if title:
        axes.set_title(title, fontsize=9)
    axes.set_xlabel(x, fontsize=8)
    axes.set_ylabel(y, fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25)
