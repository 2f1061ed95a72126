"""Everything that a run is handed from outside; the loop itself knows no Ray and no MLflow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from distsys.domains.protocol import AnyDomain
from distsys.tracking.spool import Tracker
from distsys.training.evaluate import Validation
from distsys.training.spec import RunSpec
from distsys.training.workers import Workers


def keep_quiet(validation: Validation) -> None:
    """A report that nobody listens to."""


@dataclass(frozen=True)
class FitContext:
    """What ``fit`` needs.

    Args:
        spec: what decides the numbers.
        domain: the domain that ``spec.config`` names.
        folder: where checkpoints go; a run found there is resumed.
        workers: this process's place among the workers.
        tracker: where metrics go; None on workers other than the first.
        report: called on every worker after each validation.
    """

    spec: RunSpec
    domain: AnyDomain
    folder: Path
    workers: Workers
    tracker: Tracker | None
    report: Callable[[Validation], None] = keep_quiet
