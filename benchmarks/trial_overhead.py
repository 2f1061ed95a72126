"""What one short trial costs: ours beside plain Optuna, bare Ray Tune functions, and a nested TorchTrainer.

Every trial reports three values. Warm cost is the time between two ends of trials once every process has
started; the first trials pay the start of their processes. Ours also trains: three steps of the smallest
network, three validations, metrics to the spool, values to the study. One of the bare functions trains by the
same loop, without study and spool.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distsys.pipeline.experiment import Experiment

NUM_TRIALS, NUM_NESTED, TOGETHER, REPORTS = 24, 2, 2, 3
COLD = 6
"""First trials that are left out: they wait for processes."""
ROUNDS = 3


def main() -> None:
    """Measure the four, the two that compete closely in turns, and print them side by side."""
    from distsys.cluster.session import ray_session
    from distsys.report.table import text_table

    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        _install_smallest_domain(root)
        optuna_s = _plain_optuna(root)
        with ray_session():
            turns = [
                (_bare_tune(root / f"bare{turn}"), _training_tune(root, turn), _ours(root, turn))
                for turn in range(ROUNDS)
            ]
            nested_s = _nested_trainer(root / "nested")
    bare_s, training_s, ours_s = (statistics.median(turn[side] for turn in turns) for side in range(3))
    over_bare = [statistics.median(turn[side] / turn[0] for turn in turns) for side in range(3)]
    rows: list[list[object]] = [
        ["plain Optuna, one process, journal", optuna_s, optuna_s / bare_s],
        ["bare Ray Tune function, reused processes", bare_s, 1.0],
        ["the same, which trains and validates as ours does", training_s, over_bare[1]],
        ["distsys", ours_s, over_bare[2]],
        ["Ray Tune with a nested TorchTrainer", nested_s, nested_s / bare_s],
    ]
    print(text_table(["one trial with three reports, two at a time", "s", "ratio"], rows))


def _warm_s(ends: list[float]) -> float:
    return (ends[-1] - ends[COLD - 1]) / (len(ends) - COLD)


def _install_smallest_domain(root: Path) -> None:
    """The domain that the tests keep outside the project."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.outside import install

    install(root)
    sys.path.insert(0, str(root))
    os.environ["PYTHONPATH"] = str(root)


def _plain_optuna(root: Path) -> float:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    ends: list[float] = []

    def objective(trial: optuna.Trial) -> float:
        value = trial.suggest_float("x", -1.0, 1.0)
        for step in range(REPORTS):
            trial.report(value**2, step)
        ends.append(time.perf_counter())
        return value**2

    study = optuna.create_study(storage=JournalStorage(JournalFileBackend(str(root / "plain.log"))))
    study.optimize(objective, n_trials=NUM_TRIALS)
    return _warm_s(ends)


class _Ends:
    """Times at which trials ended, collected in the driver."""

    def __init__(self) -> None:
        from ray import tune

        self.times: list[float] = []
        times = self.times

        class Callback(tune.Callback):  # type: ignore[misc]  # Any to mypy, which does not follow ray
            def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
                times.append(time.perf_counter())

        self.callback = Callback()


def _bare_tune(storage: Path) -> float:
    from ray import tune

    def objective(config: dict[str, float]) -> None:
        for _ in range(REPORTS):
            tune.report({"value": config["x"] ** 2})

    return _tuned(objective, storage)


def _training_tune(root: Path, turn: int) -> float:
    """Every trial another seed, as ours have other parameters."""
    from ray import tune

    from distsys.training.spec import RunSpec

    content = RunSpec(_experiment(root, turn).config, "search").content()

    def objective(config: dict[str, float]) -> None:
        import tempfile
        from pathlib import Path

        from distsys.domains.registry import get_domain
        from distsys.training.context import FitContext
        from distsys.training.loop import fit
        from distsys.training.spec import RunSpec
        from distsys.training.workers import Workers, pick_device

        domain = get_domain("sine")
        spec = RunSpec.from_content(content, domain)
        with tempfile.TemporaryDirectory() as folder:
            report = lambda found: tune.report({"value": found.metrics["mae"]})  # noqa: E731
            fit(FitContext(spec, domain, Path(folder), Workers(pick_device("cpu")), None, report))

    return _tuned(objective, root / f"training{turn}")


def _tuned(objective: Callable[[dict[str, float]], None], storage: Path) -> float:
    from ray import tune

    ends = _Ends()
    tuner = tune.Tuner(
        tune.with_resources(objective, {"CPU": 1}),
        param_space={"x": tune.uniform(-1.0, 1.0)},
        tune_config=tune.TuneConfig(num_samples=NUM_TRIALS, max_concurrent_trials=TOGETHER, reuse_actors=True),
        run_config=tune.RunConfig(name="bare", storage_path=str(storage), verbose=0, callbacks=[ends.callback]),
    )
    tuner.fit()
    return _warm_s(ends.times)


def _ours(root: Path, turn: int) -> float:
    from distsys.cluster.trials import run_trials
    from distsys.console import Console
    from distsys.pipeline.means import Means
    from distsys.pipeline.search import StudySource, open_study

    experiment = _experiment(root, turn)
    experiment.folder.mkdir(parents=True)
    ends: list[float] = []

    class Timed(StudySource):
        def complete(self, key: int) -> None:
            super().complete(key)
            ends.append(time.perf_counter())

    console = Console(quiet=True)
    with console.bar("ours", NUM_TRIALS) as bar:
        source = Timed(experiment, open_study(experiment, console), bar, Means(console))
        run_trials(source, limit=NUM_TRIALS, wanted=TOGETHER, cpus=1, device="cpu", gpus=1.0, say=console.say)
    return _warm_s(ends)


def _experiment(root: Path, turn: int) -> Experiment:
    from distsys.pipeline.experiment import load_experiment

    small = [f"search.trials={NUM_TRIALS}", "search.steps=3", "search.eval_every_steps=1", f"seed={turn}"]
    return load_experiment(
        str(root / "sine.yaml"),
        root=root / "ours",
        overrides=[*small, "search.reduction_factor=null"],
        space=root / "space.yaml",
    )


def _nested_trainer(storage: Path) -> float:
    """One at a time, as two drivers and two workers need more than two CPUs; the mean of all."""
    import ray.train
    from ray import tune
    from ray.train.torch import TorchTrainer

    def work(config: dict[str, float]) -> None:
        for _ in range(REPORTS):
            ray.train.report({"value": config["x"] ** 2})

    def drive(config: dict[str, float]) -> None:
        from ray.tune.integration.ray_train import TuneReportCallback

        TorchTrainer(
            work,
            train_loop_config=config,
            scaling_config=ray.train.ScalingConfig(num_workers=1),
            run_config=ray.train.RunConfig(
                name=tune.get_context().get_trial_id(), storage_path=str(storage), callbacks=[TuneReportCallback()]
            ),
        ).fit()

    started = time.perf_counter()
    tune.Tuner(
        tune.with_resources(drive, {"CPU": 0, "memory": 1e6}),
        param_space={"x": tune.uniform(-1.0, 1.0)},
        tune_config=tune.TuneConfig(num_samples=NUM_NESTED, max_concurrent_trials=1, reuse_actors=True),
        run_config=tune.RunConfig(name="nested", storage_path=str(storage), verbose=0),
    ).fit()
    return (time.perf_counter() - started) / NUM_NESTED


if __name__ == "__main__":
    main()
