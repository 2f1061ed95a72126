"""How a run ended, as a file in its folder: what was chosen, and what the loss would have chosen."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from distsys.domains.protocol import MetricSpec
from distsys.files import full_disk_named, read_json, read_or_set_aside, write_json
from distsys.health.judging import unanswered
from distsys.health.verdict import Verdict
from distsys.training.checkpoint import directory_of
from distsys.training.selection import Choice, Selection

FILE = "outcome.json"
_FIX = "repeat the command that made it: the run goes on from its newest checkpoint and writes it anew"


@dataclass(frozen=True)
class Outcome:
    """The end of one run.

    Args:
        folder: the run's folder.
        spec: plain content of its RunSpec.
        selection: the chosen validation, the loss's choice, the history.
        notes: what a person should know about a resume.
        ended_early: whether a trial or candidate met its end before the budget was spent.
        ended_by: what ended a final training before that; what it had chosen before may stand all the same.
        standing: warnings with which a final training reached its end.
    """

    folder: Path
    spec: Mapping[str, Any]
    selection: Selection
    notes: tuple[str, ...] = ()
    ended_early: bool = False
    ended_by: tuple[Verdict, ...] = ()
    standing: tuple[Verdict, ...] = ()

    @property
    def refused_for(self) -> tuple[Verdict, ...]:
        """What keeps the best checkpoint from being chosen, since nobody has accepted it."""
        best, accepted = self.selection.best, self.spec.get("config", {}).get("health", {}).get("accept", ())
        return tuple(item for item in unanswered(self.standing, accepted) if best and item.onset_step <= best.step)

    @property
    def best(self) -> Choice | None:
        """The best validation, where it is healthy and nothing else speaks against it."""
        return None if self.refused_for else self.selection.best

    @property
    def checkpoint(self) -> Path | None:
        """The best healthy checkpoint, or None when there is none."""
        return directory_of(self.folder, self.best.step) if self.best else None

    @property
    def ended_well(self) -> bool:
        """Whether it has a healthy checkpoint, and nothing ended it."""
        return self.best is not None and not self.ended_by

    @property
    def distance(self) -> float:
        """How far its nearest validation is from its bands in all."""
        return self.selection.nearest.distance if self.selection.nearest else math.inf

    @property
    def nearest_checkpoint(self) -> Path | None:
        """That of the validation that came nearest to its bands, or of the best that is refused for something else."""
        return directory_of(self.folder, self.choice.step) if self.choice else None

    @property
    def choice(self) -> Choice | None:
        """What stands for the run: its best healthy validation, else the one nearest to its bands."""
        return self.selection.best or self.selection.nearest

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """What is wrong with what stands for the run; no more than warnings when it is healthy.

        A trial or candidate that did not end for its budget ended for what its last validation found.
        """
        last = self.selection.last
        if self.ended_early and last is not None:
            return tuple(last.verdicts)
        against = self.selection.disagreement()
        own = (*([against] if against else []), *(self.choice.verdicts if self.choice else ()))
        if self.best:
            return own
        refused = {item.cause: item for item in self.refused_for}
        own = tuple(item for item in own if item.cause not in refused)
        return tuple(dict.fromkeys((*self.ended_by, *refused.values(), *own)))

    def write(self) -> None:
        """Put it into the folder, whole or not at all."""
        content = {
            "spec": self.spec,
            "selection": self.selection.state(),
            "notes": self.notes,
            "ended_early": self.ended_early,
            "ended_by": [verdict.content() for verdict in self.ended_by],
            "standing": [verdict.content() for verdict in self.standing],
        }
        with full_disk_named(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / FILE, content)

    @classmethod
    def read(cls, folder: Path, metric: MetricSpec) -> Self | None:
        """The outcome in ``folder``, or None while the run has not ended.

        Raises:
            DamagedFile: it is torn.
        """
        path = folder / FILE
        if not path.is_file():
            return None
        return read_json(path, lambda content: cls._parsed(content, folder, metric), fix=_FIX)

    @classmethod
    def read_or_rebuild(cls, folder: Path, metric: MetricSpec, *, say: Callable[[str], None]) -> Self | None:
        """The same for whoever lets the run go on where this is None: a torn one is set aside, and that is said."""
        then = "the run goes on from its newest checkpoint and writes it anew"
        return read_or_set_aside(folder / FILE, lambda: cls.read(folder, metric), say=say, then=then)

    @classmethod
    def _parsed(cls, content: Mapping[str, Any], folder: Path, metric: MetricSpec) -> Self:
        selection = Selection(metric)
        selection.load(content["selection"])
        return cls(
            folder,
            dict(content["spec"]),
            selection,
            notes=tuple(content["notes"]),
            ended_early=content.get("ended_early", False),
            ended_by=Verdict.read_all(content.get("ended_by", ())),
            standing=Verdict.read_all(content.get("standing", ())),
        )
