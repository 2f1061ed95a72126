"""The seam: what a domain gives to the core. The core knows nothing else of it.

A domain never sees weights, the optimiser, ranks, trackers or Ray.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from pydantic import BaseModel

from distsys.health.verdict import Constraint

if TYPE_CHECKING:
    import numpy as np
    import torch
    from matplotlib.figure import Figure
    from torch import Tensor, nn

Batch = Mapping[str, "Tensor"]
"""Named tensors of one batch; the first axis counts items."""

Direction = Literal["max", "min"]


@dataclass(frozen=True)
class MetricSpec:
    """The metric that is optimised and that chooses a checkpoint; never the loss."""

    name: str
    direction: Direction
    unit: str

    def better(self, value: float, *, than: float) -> bool:
        """Whether ``value`` is strictly better; nothing that is not finite is better."""
        if not math.isfinite(value):
            return False
        if not math.isfinite(than):
            return True
        return value > than if self.direction == "max" else value < than

    @property
    def worst(self) -> float:
        """The value that every other one beats."""
        return -math.inf if self.direction == "max" else math.inf


@dataclass(frozen=True)
class TermSpec:
    """One unweighted part of the loss; its weight is ``lambda_<name>``.

    Args:
        unit: of its value.
        lower_bound: the value it never goes below.
        scale: ``invariant`` when multiplying the model's output by a constant leaves it alone.
        chance: its value for a model that learned nothing, where that is known.
    """

    name: str
    unit: str
    lower_bound: float
    scale: Literal["invariant", "sensitive"] = "sensitive"
    chance: float | None = None

    @property
    def weight_name(self) -> str:
        return f"lambda_{self.name}"


class TrainSource(Protocol):
    """Training items as a pure function of (index, progress) and the seed of ``build_data``.

    No hidden state: asking twice for an index at the same progress gives the same item, so that data
    order, curricula and resume need nothing to be saved.
    """

    def batch(self, indices: Sequence[int], *, progress: float) -> Batch:
        """The items at ``indices`` (any non-negative integers) at ``progress`` 0 to 1 of the run."""
        ...


@dataclass(frozen=True)
class EvalSet:
    """A frozen set of items to evaluate on, disjoint from training.

    Args:
        batches: the items, always the same, on the CPU.
        digest: hash of the items.
        reference: training items that a metric compares with (neighbours, say), or None.
        baselines: rows of metrics that need no model, by name; called only when a table is made.
        manifest: a line of JSON for each item, saying what it is made of, where the tensors do not.
    """

    batches: Sequence[Batch]
    digest: str
    reference: Batch | None = None
    baselines: Callable[[], Mapping[str, Mapping[str, float]]] = field(default=dict)
    manifest: Sequence[str] = ()

    def to(self, device: torch.device) -> EvalSet:
        """The same set with its tensors on ``device``."""
        reference = None if self.reference is None else to_device(self.reference, device)
        batches = [to_device(batch, device) for batch in self.batches]
        return replace(self, batches=batches, reference=reference)


@dataclass(frozen=True)
class DataBundle:
    """Everything ``build_data`` makes.

    Args:
        train: endless training items.
        validation: what trials and checkpoints are chosen on.
        test: looked at once, after everything is chosen.
        ranges: physical range of each named quantity, as (low, high, unit).
        provenance: where the data came from: source, counts, sha256, licence.
        statistics: what a model must remember of its training data; saved in every checkpoint.
    """

    train: TrainSource
    validation: EvalSet
    test: EvalSet
    ranges: Mapping[str, tuple[float, float, str]]
    provenance: Mapping[str, str | int | float]
    statistics: Mapping[str, Tensor | list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """Metrics over an evaluation set.

    Args:
        metrics: by name; holds the selection metric and every constrained metric. ``name/part`` is a metric of
            a part of the items; reports fold these away.
        items: the selection metric of each item, shape [items]; its spread gives the noise floor.
    """

    metrics: Mapping[str, float]
    items: np.ndarray

    def noise_floor(self) -> float:
        """Standard error of the selection metric over items; differences below it are ties."""
        count = len(self.items)
        return float(self.items.std(ddof=1) / math.sqrt(count)) if count > 1 else 0.0


@dataclass(frozen=True)
class Prediction:
    """The answer to a request.

    Args:
        summary: plain values for a person or ``--json``.
        files: content by file suffix (``.json``, ``.txt``), the first being the default.
        folder: content by file name, for whoever asks for a folder; empty where one file says it all.
    """

    summary: Mapping[str, Any]
    files: Mapping[str, str | bytes]
    folder: Mapping[str, str | bytes] = field(default_factory=dict)


class Domain(Protocol):
    """One kind of model and data. Instances hold no state."""

    name: str
    title: str
    """One line for ``distsys domains``."""
    config: type[BaseModel]
    """A Section with exactly two fields, ``data`` and ``model``."""
    request: type[BaseModel]
    """What ``predict`` is asked; its fields become options of ``distsys predict <name>``."""
    selection: MetricSpec
    constraints: tuple[Constraint, ...]
    terms: tuple[TermSpec, ...]

    def build_data(self, config: Any, *, seed: int) -> DataBundle:
        """Data for ``config``. Raises DataError for a file that is missing, damaged or mislabelled."""
        ...

    def build_model(self, config: Any, statistics: Mapping[str, Tensor | list[str]]) -> nn.Module:
        """A fresh model; draws its weights from torch's global generator."""
        ...

    def loss_terms(self, model: nn.Module, batch: Batch, *, generator: torch.Generator) -> Mapping[str, Tensor]:
        """Each term of ``terms``, unweighted: a scalar, the mean over the items of ``batch``."""
        ...

    def evaluate(self, model: nn.Module, data: EvalSet) -> Evaluation:
        """Metrics of ``model``. The caller has set evaluation mode and switched gradients off."""
        ...

    def figures(self, model: nn.Module, data: EvalSet) -> Mapping[str, Figure]:
        """What a person would look at, by title."""
        ...

    def predict(self, model: nn.Module, request: Any) -> Prediction:
        """Answer ``request`` by the code path that ``evaluate`` uses."""
        ...


@runtime_checkable
class Sampling(Protocol):
    """What a domain has besides, whose results are better heard or opened than plotted."""

    def samples(self, model: nn.Module, data: EvalSet) -> Mapping[str, bytes]:
        """Files by name, kept beside the figures."""
        ...


@dataclass(frozen=True)
class Inspection:
    """What data are like, before anything is trained on them.

    Args:
        tables: headers and rows by title.
        faults: what is wrong with them, a text each.
    """

    tables: Mapping[str, tuple[Sequence[str], Sequence[Sequence[object]]]]
    faults: Sequence[str] = ()


@runtime_checkable
class Inspecting(Protocol):
    """What a domain has besides, whose data can be wrong in ways that no reader can refuse."""

    def inspect(self, config: Any, *, seed: int) -> Inspection:
        """Ranges, levels and spectra by source, beside what is expected of them."""
        ...


@runtime_checkable
class Exporting(Protocol):
    """What a domain has besides, whose models can run without distsys."""

    def export(self, model: nn.Module) -> Mapping[str, bytes]:
        """The model as a program, by file suffix; its output was compared with the model's after loading."""
        ...


def to_device(batch: Batch, device: torch.device) -> dict[str, Tensor]:
    """``batch`` with every tensor on ``device``."""
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}


def effective_constraints(domain: Domain, overrides: Mapping[str, Any]) -> tuple[Constraint, ...]:
    """The domain's constraints with the bands of a config in place of its own."""
    own = {item.metric: item for item in domain.constraints}
    for metric, band in overrides.items():
        low = -math.inf if band.min is None else band.min
        high = math.inf if band.max is None else band.max
        fix = own[metric].fix if metric in own else ""
        own[metric] = Constraint(metric, low, high, fix)
    return tuple(own.values())
