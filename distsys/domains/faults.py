"""Problems of many files, gathered so that a user hears of all of them at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from distsys.errors import DataError

_MOST_SHOWN = 20


@dataclass
class Faults:
    """Problems met in a folder, one text each; whoever asked decides whether they end the run."""

    folder: Path
    lines: list[str] = field(default_factory=list)

    def note(self, error: DataError) -> None:
        """Keep ``error`` for later."""
        self.lines.append(str(error))

    def add(self, found: str, *, fix: str) -> None:
        """Keep a problem for later."""
        self.note(DataError(found, fix=fix))

    def require_none(self) -> None:
        """Raise DataError with every problem, if there is any."""
        if self.lines:
            raise DataError(
                f"{self.folder}: {self.summary()}",
                fix="mend them, or set data.on_fault to leave_out to go on without these recordings",
            )

    def summary(self) -> str:
        """How many problems there are, and each of them."""
        shown = "".join(f"\n- {line}" for line in self.lines[:_MOST_SHOWN])
        more = f"\n- and {len(self.lines) - _MOST_SHOWN} more" if len(self.lines) > _MOST_SHOWN else ""
        return f"{len(self.lines)} fault{'' if len(self.lines) == 1 else 's'}{shown}{more}"
