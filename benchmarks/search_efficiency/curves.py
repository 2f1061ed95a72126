"""Learning curves of a pool of configurations, as lines of a file: one configuration a line."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from distsys.files import number_or_nan

RECORDED = Path(__file__).parent / "recorded"
DOMAINS = ("ground_motion", "ris_localization", "semantic_eq", "speaker_extraction")
KINDS = ("search", "strong", "slice", "warm", "final")
"""What each configuration is trained as.

A trial under the search's weights, one of the same steps under the final ones, the handoff's slice from fresh weights
and from the trial's, and the whole final training.
"""


class Point(NamedTuple):
    """One validation: the selection metric, its standard error, and whether all was well."""

    step: int
    value: float
    noise_floor: float
    is_healthy: bool


@dataclass(frozen=True)
class Curve:
    """The validations of one training, and what it crowns.

    Args:
        steps: that it was given; a sick one may end before.
        chosen: the metric of its best healthy checkpoint, NaN where it has none.
    """

    steps: int
    points: tuple[Point, ...]
    chosen: float

    @property
    def last(self) -> float:
        """The metric at the end of the budget, NaN where it did not get there."""
        point = self.points[-1] if self.points else None
        return point.value if point and point.step == self.steps else math.nan

    @property
    def is_healthy(self) -> bool:
        """Whether it got there in health."""
        return bool(self.points) and self.points[-1].step == self.steps and self.points[-1].is_healthy

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Self:
        """The curve that ``asdict`` gave."""
        points = [
            Point(step, number_or_nan(value), number_or_nan(floor), ok) for step, value, floor, ok in content["points"]
        ]
        return cls(content["steps"], tuple(points), number_or_nan(content["chosen"]))


@dataclass(frozen=True)
class Entry:
    """One configuration of a pool.

    Args:
        params: searched paths to their values.
        direction: ``min`` or ``max``, of the selection metric.
        curves: by kind.
        cpu_s: by kind, CPU seconds of the training.
    """

    number: int
    params: Mapping[str, float]
    metric: str
    direction: str
    curves: Mapping[str, Curve]
    cpu_s: Mapping[str, float]

    @classmethod
    def read(cls, line: str) -> Self:
        """The entry in a line that :meth:`line` gave."""
        content = json.loads(line)
        curves = {kind: Curve.read(item) for kind, item in content["curves"].items()}
        return cls(**{**content, "curves": curves})

    def line(self) -> str:
        """This entry as one line; numbers keep six digits, what is not finite becomes null."""
        return json.dumps(_rounded(asdict(self)), separators=(",", ":"), allow_nan=False)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value


def read_pool(domain: str, folder: Path = RECORDED) -> list[Entry]:
    """Every configuration that was recorded of ``domain``, in the order of its number."""
    path = folder / f"{domain}.jsonl"
    lines: Sequence[str] = path.read_text(encoding="utf-8").splitlines() if path.is_file() else ()
    return sorted((Entry.read(line) for line in lines), key=lambda entry: entry.number)
