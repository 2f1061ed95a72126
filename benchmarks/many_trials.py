"""A thousand trials of one second, two at a time: what is lost over the ideal, and whether it grows.

Run: ``python -m benchmarks.many_trials``; it takes ten minutes and hardly a core, as a trial's second is
spent asleep over its batches.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

from distsys.report.table import text_table

TOGETHER, STEPS, TRIAL_S = 2, 10, 1.0
_SLOW = f"""

_plain = Train.batch

def _slow(self, indices, *, progress):
    import time
    time.sleep({TRIAL_S / STEPS})
    return _plain(self, indices, progress=progress)

Train.batch = _slow
"""


def main() -> None:
    """Run them, and print what is lost by hundreds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        marks = searched(Path(scratch), options.trials)
    ideal_s = TRIAL_S / TOGETHER
    every = max(1, options.trials // 10)
    rows = []
    for end in range(every, options.trials + 1, every):
        begin, last = marks[end - every], marks[end - 1]
        a_trial = (last.ended_s - begin.ended_s) / (every - 1)
        ask_ms = statistics.median(mark.ask_ms for mark in marks[end - every : end])
        rows.append([end, a_trial, a_trial / ideal_s, ask_ms, last.memory_mb, last.descriptors])
    print(text_table(["trials", "s a trial", "over the ideal", "ask, ms", "driver, MiB", "descriptors"], rows))
    whole = (marks[-1].ended_s - marks[0].began_s) / (ideal_s * options.trials)
    print(f"\nall {options.trials}, from the first question to the last answer: {whole:.3f} times the ideal")


class Mark:
    """What an end of a trial found."""

    def __init__(self, began_s: float, ask_ms: float) -> None:
        self.began_s, self.ended_s, self.ask_ms = began_s, time.perf_counter(), ask_ms
        self.memory_mb = _resident_mb()
        self.descriptors = len(os.listdir("/proc/self/fd"))


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def searched(root: Path, trials: int) -> list[Mark]:
    """The marks of a search with its mirror to a tracking store, Ray's start left out."""
    from distsys.cluster.session import ray_session
    from distsys.cluster.trials import run_trials
    from distsys.console import Console
    from distsys.pipeline.experiment import load_experiment
    from distsys.pipeline.means import Means
    from distsys.pipeline.search import StudySource, open_study
    from distsys.training.trials import Assignment
    from tests.outside import CODE, install

    install(root)
    (root / "sine_domain" / "__init__.py").write_text(CODE + _SLOW)
    sys.path.insert(0, str(root))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(root), str(Path(__file__).parents[1])])
    settings = [f"search.trials={trials}", f"search.steps={STEPS}", f"search.eval_every_steps={STEPS}"]
    experiment = load_experiment(
        str(root / "sine.yaml"), root=root / "out", overrides=[*settings, "search.reduction_factor=null"],
        space=root / "space.yaml",
    )  # fmt: skip
    experiment.folder.mkdir(parents=True)
    marks: list[Mark] = []

    class Timed(StudySource):
        began_s = asked_ms = 0.0

        def next(self) -> Assignment | None:
            begin = time.perf_counter()
            self.began_s = self.began_s or begin
            found = super().next()
            self.asked_ms = 1000 * (time.perf_counter() - begin)
            return found

        def complete(self, key: int) -> None:
            super().complete(key)
            marks.append(Mark(self.began_s, self.asked_ms))

    console = Console(quiet=True)
    with ray_session(), Means(console).tracked(experiment.root, "sine") as means, console.bar("", trials) as bar:
        source = Timed(experiment, open_study(experiment, console), bar, means)
        run_trials(source, limit=trials, wanted=TOGETHER, cpus=1, device="cpu", gpus=1.0, say=console.say)
    return marks


if __name__ == "__main__":
    main()
