"""The errors a user can cause, each saying what was found, what was expected and what to change."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any, Self


class DistsysError(Exception):
    """Base of every error caused by input rather than by a mistake in this program.

    Args:
        found: what was met, with value, unit, shape, file or key.
        expected: what would have been accepted.
        fix: what the reader can change.
    """

    exit_code = 1

    def __init__(self, found: str, *, expected: str = "", fix: str = "") -> None:
        self.found, self.expected, self.fix = found, expected, fix
        super().__init__(found, expected, fix)

    def content(self) -> dict[str, Any]:
        """Plain values, for whoever asked for JSON."""
        return {"error": type(self).__name__, "found": self.found, "expected": self.expected, "fix": self.fix}

    def __str__(self) -> str:
        lines = [self.found]
        if self.expected:
            lines.append(f"  expected: {self.expected}")
        if self.fix:
            lines.append(f"  fix: {self.fix}")
        return "\n".join(lines)


class UsageError(DistsysError):
    """The command line asks for something that does not exist."""

    exit_code = 2


class ConfigError(DistsysError):
    """A config or search-space file is wrong; carries every problem at once."""

    exit_code = 2

    @classmethod
    def collect(cls, source: str, problems: Sequence[DistsysError]) -> ConfigError:
        """One error out of all the problems of ``source``."""
        if len(problems) == 1:
            only = problems[0]
            return cls(f"{source}: {only.found}", expected=only.expected, fix=only.fix)
        body = "\n".join(f"- {problem}" for problem in problems)
        return cls(f"{source}: {len(problems)} problems\n{body}")


class DataError(DistsysError):
    """A data file is missing, damaged or not what the config declares."""

    exit_code = 2


class CheckpointError(DistsysError):
    """A checkpoint is damaged, foreign, or made under another meaning of the weights."""


class RunFailed(DistsysError):
    """A search or training could not be carried out."""


class DamagedFile(RunFailed):
    """A file that distsys wrote is not as it was written: torn by a crash, or changed by hand or by the disk."""


class DiskFull(RunFailed):
    """There was no space left to write; what was written before is whole, and the same command goes on."""

    @classmethod
    def at(cls, path: object) -> Self:
        """The error of whoever could not write to ``path``."""
        return cls.told(f"{path}: no space left on the disk")

    @classmethod
    def told(cls, found: str) -> Self:
        """The same of another process, which said no more than ``found``."""
        return cls(
            found,
            expected="room for checkpoints, metrics and the search's study",
            fix="free space (or raise the quota), then repeat the command: it goes on where it was",
        )


class StoppedByHealth(DistsysError):
    """A health check found that going on is pointless.

    Args:
        verdicts: what was found, with causes and fixes, for trackers.
    """

    exit_code = 3

    def __init__(self, found: str, *, expected: str = "", fix: str = "", verdicts: Sequence[Any] = ()) -> None:
        super().__init__(found, expected=expected, fix=fix)
        self.verdicts = tuple(verdicts)

    def content(self) -> dict[str, Any]:
        """The same, with what was found by its causes."""
        return {**super().content(), "verdicts": [verdict.content() for verdict in self.verdicts]}


class Interrupted(DistsysError):
    """A signal ended the run after its state was saved; the exit code is 128 plus the signal."""

    def __init__(self, signal_number: int, *, saved: str) -> None:
        self.exit_code = 128 + signal_number
        super().__init__(f"interrupted by signal {signal_number}; {saved}", fix="the same command resumes")

    def __str__(self) -> str:
        return f"{self.found}; {self.fix}"


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """``did you mean 'x'?`` for the nearest choice, or the list of choices when none is near."""
    options = sorted(choices)
    close = difflib.get_close_matches(word, options, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"choose one of: {', '.join(options)}" if options else "nothing can be chosen here"
