"""What a watch says: a line where all is well, a block a verdict otherwise, causes before their symptoms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from distsys.console import wrapped
from distsys.health import causes
from distsys.health.verdict import Status, Verdict

SYMPTOMS = (
    causes.AT_CHANCE,
    causes.UNRELATED_TARGETS,
    causes.CANNOT_LEARN,
    causes.LEARNED_BY_HEART,
    causes.NOTHING_LEARNED,
    causes.CONSTANT_OUTPUT,
    causes.IGNORED_INPUT,
    causes.DEAD_PARAMETERS,
    causes.NOT_HELD,
    causes.RATE_TOO_LOW,
    causes.CHECK_FAILED,
)
"""What may follow from another cause: told after it."""
_RANK = {"stop": 0, "warn": 1, "ok": 2}


def ranked(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Causes first, then what may only follow from them; within each, ``stop`` before ``warn``."""
    return sorted(verdicts, key=_key)


def _key(verdict: Verdict) -> tuple[bool, int, int, int]:
    late = _symptom(verdict)
    return late > 0, _RANK[verdict.status], late, verdict.onset_step


def _symptom(verdict: Verdict) -> int:
    names = [cause.name for cause in SYMPTOMS]
    return len(names) - names.index(verdict.cause) if verdict.cause in names else 0


@dataclass
class Report:
    """Verdicts of a watched run; complete once the watch has ended.

    Attributes:
        steps: steps of the optimiser.
        done: whether the watch has ended.
    """

    verdicts: list[Verdict] = field(default_factory=list)
    steps: int = 0
    done: bool = False

    @property
    def status(self) -> Status:
        """The worst of its verdicts."""
        worst = min((_RANK[item.status] for item in self.verdicts), default=2)
        names: tuple[Status, ...] = ("stop", "warn", "ok")
        return names[worst]

    def __iter__(self) -> Iterator[Verdict]:
        return iter(self.verdicts)

    def __str__(self) -> str:
        if self.steps == 0 and not self.verdicts:
            return "distsys watch: no step of an optimiser was seen; call watch() before the training loop"
        if self.status == "ok":
            note = "".join(f"; {item.cause}: {item.evidence}" for item in self.verdicts)
            return f"distsys watch: all is well after {self.steps} steps{note}"
        lines = [f"distsys watch: {self.status} after {self.steps} steps"]
        for item in self.verdicts:
            lines += wrapped(f"  {item.status} from step {item.onset_step}: {item.cause}: {item.evidence}")
            if item.fix:
                lines += wrapped(f"    fix: {item.fix}", indent="      ")
        return "\n".join(lines)
