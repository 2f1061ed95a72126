"""A signal in every phase of an experiment: seconds to the end, exit code, status, and whether the command resumes.

``python -m tests.chaos.signals`` prints the table; ``test_signals.py`` asserts it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.outside import CODE, install

LONGEST_S = 5.0
SIGNALS = (signal.SIGTERM, signal.SIGINT)
_SLOW = """

def _slowly(name):
    plain = getattr(Sine, name)

    def slow(self, *given, **named):
        import os, time
        from pathlib import Path
        mark = Path(os.environ.get("SINE_MARK", "."))
        trained = name != "evaluate" or any(mark.parent.glob("*/outcome.json"))
        if os.environ.get("SINE_SLOW") == name and trained:
            mark.touch()
            mark.with_name(f"process-{os.getpid()}").touch()
            time.sleep(float(os.environ["SINE_SECONDS"]))
        return plain(self, *given, **named)

    return slow


for _name in ("loss_terms", "evaluate", "figures"):
    setattr(Sine, _name, _slowly(_name))
"""


@dataclass(frozen=True)
class Phase:
    """Where a signal comes.

    Args:
        slow: method of the domain that takes long once the phase is reached; empty where none has to.
        seconds: how long each of its calls takes.
        begun: whether the experiment in a folder has come there, by the folder and what was said so far.
    """

    name: str
    arguments: tuple[str, ...]
    begun: Callable[[Path, str], bool]
    slow: str = ""
    seconds: float = 0.0


def _has(pattern: str) -> Callable[[Path, str], bool]:
    return lambda out, said: any(out.glob(pattern))


def _said(text: str) -> Callable[[Path, str], bool]:
    return lambda out, said: text in said


_LONG = ("--set", "search.steps=20000", "--set", "search.eval_every_steps=50", "--set", "search.reduction_factor=null")
_FINAL = ("--set", "final.steps=200000", "--set", "final.eval_every_steps=5000")
_SLOW_PART = _has("mark")
PHASES = (
    Phase("start of Ray", ("run",), _said("search: 2 of 2")),
    Phase("doctor", ("run",), _SLOW_PART, "loss_terms", 0.05),
    Phase("search", ("run", *_LONG), _has("*/trials/*/metrics.jsonl")),
    Phase("handoff", ("run", *_FINAL), _has("*/handoff/*/metrics.jsonl")),
    Phase("final", ("train", "--local", *_FINAL), _has("*/metrics.jsonl")),
    Phase("final, 2 workers", ("train", "--workers", "2", *_FINAL), _has("*/metrics.jsonl")),
    Phase("evaluation", ("train", "--local"), _SLOW_PART, "evaluate", 30.0),
    Phase("report", ("run", "--local"), _SLOW_PART, "figures", 30.0),
)


@dataclass(frozen=True)
class Ended:
    """How a command ended after a signal.

    Args:
        seconds: from the signal to its end.
        status: of the run's status.json.
        said: the last line on standard error.
    """

    phase: str
    number: signal.Signals
    seconds: float
    code: int
    status: str
    said: str

    def row(self) -> str:
        return (
            f"{self.phase:<18} {self.number.name:<8} {self.seconds:>5.1f} {self.code:>5}  {self.status:<12} {self.said}"
        )


def site(folder: Path) -> None:
    """The domain ``sine`` in ``folder``, whose methods can be made slow from outside."""
    install(folder)
    (folder / "sine_domain" / "__init__.py").write_text(CODE + _SLOW)


def command(place: Path, out: Path, arguments: tuple[str, ...]) -> list[str]:
    first, *more = arguments
    given = [sys.executable, "-m", "distsys", first, str(place / "sine.yaml"), "--preset", "tiny", "--out", str(out)]
    return [*given, "--space", str(place / "space.yaml"), *more]


def environment(place: Path, **more: str) -> dict[str, str]:
    paths = [str(place), str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "MLFLOW_DISABLE_TELEMETRY": "true", **more}


def ended(phase: Phase, number: signal.Signals, *, place: Path, out: Path) -> Ended:
    """Start the command, wait for the phase, send the signal, and see."""
    out.mkdir(parents=True)
    said, slow = out / "said", {"SINE_SLOW": phase.slow, "SINE_SECONDS": str(phase.seconds)}
    with said.open("wb") as stream:
        process = subprocess.Popen(
            command(place, out, phase.arguments),
            stdout=subprocess.DEVNULL,
            stderr=stream,
            env=environment(place, SINE_MARK=str(out / "mark"), **slow),
            start_new_session=True,
        )
    try:
        _wait(process, lambda: phase.begun(out, said.read_text()))
        began = time.monotonic()
        process.send_signal(number)
        code = process.wait(60)
        seconds = time.monotonic() - began
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    lines = said.read_text().splitlines()
    return Ended(phase.name, number, seconds, code, _status(out), lines[-1] if lines else "")


def _wait(process: subprocess.Popen[bytes], begun: Callable[[], bool]) -> None:
    until = time.monotonic() + 180
    while not begun():
        assert process.poll() is None, "it ended before the signal"
        assert time.monotonic() < until, "the phase did not begin"
        time.sleep(0.05)
    time.sleep(0.3)


def _status(out: Path) -> str:
    """Of the experiment, or of the run where there is no experiment."""
    (path,) = out.glob("*/status.json")
    return str(json.loads(path.read_text())["status"])


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="distsys-signals-") as name:
        folder = Path(name)
        (folder / "site").mkdir()
        site(folder / "site")
        asked = sys.argv[1:]
        print(f"{'phase':<18} {'signal':<8} {'s':>5} {'exit':>5}  {'status':<12} said")
        for index, phase in enumerate(PHASES):
            if asked and phase.name not in asked:
                continue
            for number in SIGNALS:
                out = folder / f"{index}-{number.name}"
                print(ended(phase, number, place=folder / "site", out=out).row(), flush=True)


if __name__ == "__main__":
    main()
