"""What befell a run and must survive its end: how often it went back, what ended it, what a person should know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from distsys.health.verdict import Verdict, is_sick


@dataclass
class Course:
    """Its state travels in every checkpoint.

    Args:
        rollbacks: times that the run went back to a healthy checkpoint.
        notes: what happened, a line each.
        ended_by: what was found where going on became pointless; empty while the run goes on.
    """

    rollbacks: int = 0
    notes: list[str] = field(default_factory=list)
    ended_by: tuple[Verdict, ...] = ()

    def say(self, note: str) -> None:
        """What must still be known after another resume, whose checkpoint no longer shows it."""
        if note not in self.notes:
            self.notes.append(note)

    def goes_back(self, verdicts: Sequence[Verdict], *, at: int, to: int) -> None:
        """The run was found sick at a step and begins again after an earlier one."""
        self.rollbacks += 1
        self.notes.append(
            f"sick at step {at} ({_gravest(verdicts)}): went back to step {to}, the last healthy checkpoint, with "
            "fresh moments; the same items follow, so that what they cause comes again"
        )

    def ends(self, verdicts: Sequence[Verdict], *, at: int, best: int | None) -> None:
        """Going on is pointless; ``best`` is the healthy step that stays to be chosen."""
        self.ended_by = tuple(item for item in verdicts if item.status == "stop")
        assert is_sick(self.ended_by), "a run ends for a reason"
        again = "sick again" if self.rollbacks else "sick"
        left = "no checkpoint is healthy" if best is None else f"step {best}, from before, stays its best"
        causes = ", ".join(dict.fromkeys(item.cause for item in self.ended_by))
        self.notes.append(f"{again} at step {at} ({causes}): ended there; {left}")

    def state(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        ended_by = [item.content() for item in self.ended_by]
        return {"rollbacks": self.rollbacks, "notes": list(self.notes), "ended_by": ended_by}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state` gave."""
        self.rollbacks, self.notes = state["rollbacks"], list(state["notes"])
        self.ended_by = Verdict.read_all(state["ended_by"])


def _gravest(verdicts: Sequence[Verdict]) -> str:
    first = next(item for item in verdicts if item.status == "stop")
    return f"{first.cause}: {first.evidence}"
