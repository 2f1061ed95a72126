"""The seam: what a domain gives to the core. The core knows nothing else of it.

A domain never sees weights, the optimiser, ranks, trackers or Ray.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from pydantic import BaseModel

from distsys.health.verdict import Constraint
from distsys.specs import Direction as Direction
from distsys.specs import FieldSpec as FieldSpec
from distsys.specs import Generation as Generation
from distsys.specs import Kind as Kind
from distsys.specs import MetricSpec as MetricSpec
from distsys.specs import Role as Role
from distsys.specs import RoundTrip as RoundTrip
from distsys.specs import TermSpec as TermSpec

if TYPE_CHECKING:
    import numpy as np
    import torch
    from matplotlib.figure import Figure
    from torch import Tensor, nn

Batch = Mapping[str, "Tensor"]
"""Named tensors of one batch; the first axis counts items."""
Outputs = Mapping[str, "Tensor"]
"""Named tensors that a model made of a batch: what loss terms and health checks look at."""
Statistics = Mapping[str, "Tensor | list[str]"]
"""What a model remembers of its training data."""

ConfigT = TypeVar("ConfigT", bound=BaseModel)
ModelT = TypeVar("ModelT", bound="nn.Module")


class TrainSource(Protocol):
    """Training items as a pure function of (index, progress) and the seed of ``build_data``.

    No hidden state: asking twice for an index at the same progress gives the same item, so that data
    order, curricula and resume need nothing to be saved.
    """

    def batch(self, indices: Sequence[int], *, progress: float) -> Batch:
        """The items at ``indices`` (any non-negative integers) at ``progress`` 0 to 1 of the run."""
        ...


@runtime_checkable
class SimulatedSource(TrainSource, Protocol):
    """A source that computes its items, and can do so where the model is; a run on a CUDA device asks for that."""

    def on(self, device: torch.device) -> TrainSource:
        """The same items made on ``device``, but for how it rounds; they need not come from this process's memory."""
        ...


@dataclass(frozen=True, eq=False)
class EvalSet:
    """A frozen set of items to evaluate on, disjoint from training; equal to any other of the same tensors.

    Args:
        batches: the items, always the same.
        reference: training items that a metric compares with (neighbours, say), or None.
        manifest: a line of JSON for each item, saying what it is made of, where the tensors do not.
        digest: hash of all tensors; made here.
    """

    batches: Sequence[Batch]
    reference: Batch | None = None
    manifest: Sequence[str] = ()
    digest: str = ""

    def __post_init__(self) -> None:
        if not self.digest:
            object.__setattr__(self, "digest", _digest([*self.batches, self.reference or {}]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EvalSet) and other.digest == self.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def to(self, device: torch.device) -> EvalSet:
        """The same set with its tensors on ``device``."""
        reference = None if self.reference is None else to_device(self.reference, device)
        return replace(self, batches=[to_device(batch, device) for batch in self.batches], reference=reference)


def digest(*parts: bytes | np.ndarray) -> str:
    """Sixteen hexadecimal digits that tell these bytes and arrays from others."""
    content = hashlib.sha256()
    for part in parts:
        content.update(part if isinstance(part, bytes) else part.tobytes())
    return content.hexdigest()[:16]


def _digest(batches: Sequence[Batch]) -> str:
    """Of all tensors with their names, types and shapes."""
    parts: list[bytes | np.ndarray] = []
    for batch in batches:
        for name in sorted(batch):
            values = batch[name].detach().cpu().contiguous().numpy()
            parts += [f"{name} {values.dtype} {values.shape} ".encode(), values]
    return digest(*parts)


@dataclass(frozen=True)
class DataBundle:
    """Everything ``build_data`` makes.

    Args:
        train: endless training items.
        validation: what trials and checkpoints are chosen on.
        test: looked at once, after everything is chosen.
        provenance: where the data came from: source, counts, sha256, licence.
        statistics: what a model must remember of its training data; saved in every checkpoint.
    """

    train: TrainSource
    validation: EvalSet
    test: EvalSet
    provenance: Mapping[str, str | int | float]
    statistics: Statistics = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """Metrics over an evaluation set.

    Args:
        metrics: by name; holds the selection metric and every constrained metric. ``name/part`` is a metric of
            a part of the items; reports fold these away.
        items: the selection metric of each item, shape [items]; its spread gives the noise floor.
        errors: standard error of constrained metrics, where it is known: outside a band by less is doubtful, not sick.
        details: what the domain's figures and samples need of it, so that nothing is computed again.
    """

    metrics: Mapping[str, float]
    items: np.ndarray
    details: Any = None
    errors: Mapping[str, float] = field(default_factory=dict)

    def noise_floor(self) -> float:
        """Standard error of the selection metric over items; differences below it are ties."""
        count = len(self.items)
        return float(self.items.std(ddof=1) / math.sqrt(count)) if count > 1 else 0.0


@dataclass(frozen=True)
class Baseline:
    """A row of metrics to see a model beside.

    Args:
        kind: ``trivial``, which a healthy model beats; ``peer``, another method for the same task; ``bound``, which
            knows what no method is told (an oracle, the truth, a Cramer-Rao bound) and is never "better".
        metrics: by name; costly ones by :class:`~distsys.domains.kit.Lazily`: training looks at trivial rows alone.
    """

    kind: Kind
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Prediction:
    """The answer to a request.

    Args:
        summary: plain values for a person or ``--json``.
        files: content by file suffix (``.json``, ``.txt``), the first being the default.
        folder: content by file name, for whoever asks for a folder; empty where one file says it all.
        warnings: what speaks against the answer, a text each.
    """

    summary: Mapping[str, Any]
    files: Mapping[str, str | bytes]
    folder: Mapping[str, str | bytes] = field(default_factory=dict)
    warnings: Sequence[str] = ()


class Domain(Protocol[ConfigT, ModelT]):
    """One kind of model and data. Instances hold no state.

    The ``config`` that methods are given is the whole experiment's, with the domain's two sections in it.
    """

    name: str
    title: str
    """One line for ``distsys domains``."""
    config: type[ConfigT]
    """A Section with exactly two fields, ``data`` and ``model``."""
    selection: MetricSpec

    # Class attributes too; read-only here, so that one of a narrower type (a request of its own, three terms) fits.
    @property
    def request(self) -> type[BaseModel]:
        """What ``predict`` is asked; its fields become options of ``distsys predict <name>``.

        Where a folder is asked about, files that match a pattern in its class variable ``beside``, if it has one, are
        left out: they say more of the others.
        """
        ...

    @property
    def constraints(self) -> tuple[Constraint, ...]: ...

    @property
    def terms(self) -> tuple[TermSpec, ...]: ...

    @property
    def fields(self) -> tuple[FieldSpec, ...]:
        """Every tensor of a training batch; frozen batches may hold more."""
        ...

    def build_data(self, config: ConfigT, *, seed: int) -> DataBundle:
        """Data for ``config``. Raises DataError for a file that is missing, damaged or mislabelled."""
        ...

    def build_model(self, config: ConfigT, statistics: Statistics) -> ModelT:
        """A fresh model; draws its weights from torch's global generator."""
        ...

    def forward(self, model: ModelT, batch: Batch, *, generator: torch.Generator) -> Outputs:
        """What ``model`` makes of ``batch``; whatever is random comes from ``generator``."""
        ...

    def loss_terms(self, outputs: Outputs, batch: Batch, *, config: ConfigT) -> Mapping[str, Tensor]:
        """Each term of ``terms``, unweighted: a scalar, the mean over the items of ``batch``.

        A mean over other things, or over pairs of items, says so by :class:`Counting` or :class:`Comparing`: else two
        workers would not train what one does.
        """
        ...

    def evaluate(self, model: ModelT, data: EvalSet) -> Evaluation:
        """Metrics of ``model``. The caller has set evaluation mode and switched gradients off."""
        ...

    def baselines(self, config: ConfigT, bundle: DataBundle, data: EvalSet) -> Mapping[str, Baseline]:
        """Rows to see the model's metrics on ``data``, a set of ``bundle``, beside; by name."""
        ...

    def figures(self, model: ModelT, data: EvalSet, evaluation: Evaluation) -> Mapping[str, Figure]:
        """What a person would look at, by title; ``evaluation`` is that of ``model`` on ``data``."""
        ...

    def predict(self, model: ModelT, request: Any) -> Prediction:
        """Answer ``request`` by the code path that ``evaluate`` uses."""
        ...


AnyDomain = Domain[Any, Any]
"""A domain as the core knows it."""


@runtime_checkable
class Sampling(Protocol):
    """What a domain has besides, whose results are better heard or opened than plotted."""

    def samples(self, model: Any, data: EvalSet, evaluation: Evaluation) -> Mapping[str, bytes]:
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


@dataclass(frozen=True, eq=False)
class Program:
    """A model as a function of tensors alone, which can be written down for whoever has no distsys.

    Args:
        module: takes the ``inputs`` in their order and gives a tensor for each of ``outputs``.
        inputs: examples by name, with which it is traced.
        check: other inputs of other sizes, on which what was written must give what ``module`` gives.
        free: names of the axes of inputs and outputs that may have another length, by tensor and axis.
        about: what a user of the program must know: plain values, written along with it.
        tolerance: of the peak of an output, by which what was written may differ.
        no_onnx: why there is no ONNX form; empty where there is one.
    """

    module: nn.Module
    inputs: Mapping[str, Tensor]
    check: Mapping[str, Tensor]
    outputs: Sequence[str]
    free: Mapping[str, Mapping[int, str]]
    about: Mapping[str, Any] = field(default_factory=dict)
    tolerance: float = 1e-5
    no_onnx: str = ""


@runtime_checkable
class Exporting(Protocol):
    """What a domain has besides, whose models can run without distsys."""

    def program(self, model: Any) -> Program:
        """What of ``model``, a copy on the CPU without gradients, runs on its own."""
        ...


@runtime_checkable
class Renoising(Protocol):
    """What a domain has besides, whose inputs are made with noise that targets must not depend on."""

    def renoised(self, source: Any) -> TrainSource:
        """The items of a training source with other noise and all else the same."""
        ...


@runtime_checkable
class Coded(Protocol):
    """What a domain has besides, which encodes data and decodes answers: each must undo the other."""

    def round_trip(self, config: Any, statistics: Statistics, batch: Batch) -> Mapping[str, RoundTrip]:
        """What stands in a training ``batch`` encoded and decoded again, by what it is."""
        ...


@runtime_checkable
class Generative(Protocol):
    """What a domain has besides, whose models are sampled otherwise than they are trained."""

    def generation(self, model: Any, batch: Batch, *, generator: torch.Generator) -> Generation:
        """What ``model`` does with a training ``batch``, trained on it and sampled for it; gradients are off."""
        ...


@runtime_checkable
class Counting(Protocol):
    """What a domain has besides, some of whose terms are means over something else than items.

    A step's items may be spread over workers and parts; each then counts by its number of these things.
    """

    def counts(self, batch: Batch, *, config: Any) -> Mapping[str, Tensor]:
        """Over how many things each such term is a mean in ``batch``, a scalar; where it is 0 the term is finite."""
        ...


@runtime_checkable
class Comparing(Protocol):
    """What a domain has besides, some of whose terms compare items of a step with each other.

    A step's items may be spread over workers and parts; these terms are found over all of them.
    """

    def compared(self, outputs: Outputs, batch: Batch) -> Mapping[str, Tensor]:
        """What such terms look at, by name; the first axis counts items."""
        ...

    def comparing_terms(self, compared: Mapping[str, Tensor], *, config: Any) -> Mapping[str, Tensor]:
        """These terms, as ``loss_terms`` has them, of items of whatever order."""
        ...


def to_device(batch: Batch, device: torch.device) -> dict[str, Tensor]:
    """``batch`` with every tensor on ``device``."""
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}


def effective_constraints(domain: AnyDomain, overrides: Mapping[str, Any]) -> tuple[Constraint, ...]:
    """The domain's constraints with the bands of a config in place of its own."""
    bands = {item.metric: item for item in domain.constraints}
    for metric, band in overrides.items():
        low = -math.inf if band.min is None else band.min
        high = math.inf if band.max is None else band.max
        fix = bands[metric].fix if metric in bands else ""
        bands[metric] = Constraint(metric, low, high, fix)
    return tuple(bands.values())
