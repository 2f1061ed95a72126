"""More of an experiment that is there: trials, or steps of its final training."""

from __future__ import annotations

from dataclasses import replace

from distsys.errors import UsageError
from distsys.pipeline import run
from distsys.pipeline.experiment import Experiment
from distsys.pipeline.means import Means
from distsys.pipeline.run import RunResult
from distsys.pipeline.start import started_from


def extended(experiment: Experiment, means: Means, *, trials: int | None, steps: int | None) -> RunResult:
    """The experiment with so many more trials, or with its final training gone on for so many more steps.

    Steps have a schedule of their own and stand in ``from-<id>/``, as those of ``final --from`` do.

    Raises:
        UsageError: neither is given, or both; or it has no checkpoint to go on from.
    """
    if (trials is None) == (steps is None):
        raise UsageError("more of what?", expected="either more trials or more steps")
    if trials is not None:
        longer = experiment.with_more(trials)
        means.console.say(f"extend: {experiment.name} to {longer.config.search.trials} trials")
        return run.run(longer, means)
    means.console.say(f"extend: the final training of {experiment.name} by {steps} steps")
    begun = started_from(experiment, experiment.folder, reset_optimizer=False, console=means.console)
    return run.final(replace(begun, final_steps=steps), means)
