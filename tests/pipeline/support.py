"""An experiment of the outside domain, and runs that ended as a test wants them, without any training."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import numpy as np

from distsys.cluster.rows import TrialRow
from distsys.console import Console
from distsys.health.verdict import Verdict
from distsys.pipeline.experiment import Experiment, load_experiment
from distsys.pipeline.means import Means
from distsys.training.outcome import Outcome
from distsys.training.selection import Choice, Selection

SICK = Verdict("stop", "spread outside its band", "spread = 0.01, band >= 0.05", 20, "train longer")


def experiment(outside: Path, root: Path, *overrides: str) -> Experiment:
    """The outside domain's, with its search space and its folder."""
    space = outside / "space.yaml"
    found = load_experiment(str(outside / "sine.yaml"), root=root, overrides=overrides, space=space)
    found.folder.mkdir(parents=True)
    return found


def local_means() -> tuple[Means, StringIO]:
    """Everything in this process, and what is said."""
    said = StringIO()
    return Means(Console(stream=said), is_local=True), said


def row(number: int, value: float, *verdicts: Verdict) -> TrialRow:
    """A trial that ran to its end."""
    params = {"optimizer.learning_rate": 1e-3 * (number + 1), "model.width": 8, "search.weights.lambda_size": 1e-4}
    return TrialRow(number, params, value, "complete", verdicts)


def leave_outcome(folder: Path, experiment: Experiment, items: Sequence[float], *verdicts: Verdict) -> None:
    """What a run leaves whose only validation had these errors."""
    metric = experiment.domain.selection
    value = float(np.mean(items))
    choice = Choice(20, value, value, {metric.name: value}, list(items), verdicts, distance=float(bool(verdicts)))
    selection = Selection(metric, by_loss=choice, last=choice, nearest=choice, history=[(20, value)])
    if not verdicts:
        selection.best, selection.last_healthy_step = choice, 20
    Outcome(folder, {}, selection).write()
