"""What a handoff found: the search's best in both rankings, and which of them goes on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from distsys.domains.protocol import MetricSpec
from distsys.files import number_or_nan, read_json, write_json
from distsys.health.verdict import Verdict, is_sick


@dataclass(frozen=True)
class Candidate:
    """One configuration in both rankings.

    Args:
        trial: its number in the search.
        role: ``best`` or, for the one poor configuration, a control that cannot win, ``poor``.
        before: selection metric under the search's weights.
        after: selection metric at the end of its slice under the final weights; NaN when it failed.
        verdicts: what is wrong with it at that end; empty when healthy.
    """

    trial: int
    role: str
    params: Mapping[str, Any]
    before: float
    after: float
    verdicts: tuple[Verdict, ...]

    @property
    def is_sick(self) -> bool:
        return is_sick(self.verdicts)

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Self:
        """The candidate that ``asdict`` gave."""
        values = {name: number_or_nan(content[name]) for name in ("before", "after")}
        return cls(**{**content, **values, "verdicts": Verdict.read_all(content["verdicts"])})


@dataclass(frozen=True)
class Handoff:
    """Both rankings and what goes on.

    Args:
        spearman: rank correlation of ``before`` and ``after``, NaN below three candidates.
        lead: by how much the winner is better than the best other healthy candidate but the control, below 0 where
            a tie went to the one that the search ranked first; NaN where there is no other.
        noise_floor: standard error of that lead; a smaller one is a tie.
        winner: number of the trial that goes on; None where no candidate ended healthy.
    """

    candidates: list[Candidate]
    spearman: float
    lead: float
    noise_floor: float
    winner: int | None

    @property
    def chosen(self) -> Candidate | None:
        return next((item for item in self.candidates if item.trial == self.winner), None)

    def ranked(self, metric: MetricSpec) -> list[Candidate]:
        """Healthy candidates but the control, the winner first, the others from best to worst."""
        sign = -1.0 if metric.direction == "max" else 1.0
        healthy = [item for item in self.candidates if item.role == "best" and not item.is_sick]
        return sorted(healthy, key=lambda item: (item.trial != self.winner, sign * item.after))

    @property
    def agreement(self) -> str:
        """The rank correlation in words."""
        if math.isnan(self.spearman):
            return "no rank correlation below three candidates"
        return f"rank correlation (Spearman) {self.spearman:.2f}"

    def control_wins(self, metric: MetricSpec) -> bool:
        """Whether the poor control is healthy and better than the winner by more than the noise floor."""
        floor, chosen = 0.0 if math.isnan(self.noise_floor) else self.noise_floor, self.chosen
        return chosen is not None and any(
            metric.better(item.after, than=chosen.after) and abs(item.after - chosen.after) > floor
            for item in self.candidates
            if item.role == "poor" and not item.is_sick
        )

    def doubt(self, metric: MetricSpec) -> str:
        """Why the search's ranking is not expected to survive the final weights, empty where nothing says so."""
        if self.control_wins(metric):
            found = "the control, a poor trial, came out ahead"
        elif self.spearman <= 0.0:
            found = f"under the final weights the candidates rank otherwise ({self.agreement})"
        else:
            return ""
        fix = "longer trials (search.steps), or search.weights nearer to final.weights"
        return f"{found}: the search's ranking is not expected to survive; try {fix}"

    def lead_text(self, unit: str) -> str:
        """How clearly the winner won, in words."""
        if self.winner is None:
            return "no candidate ended healthy"
        if math.isnan(self.lead):
            return "it is the only healthy candidate"
        tie = "a tie, in which the search's order decides" if abs(self.lead) <= self.noise_floor else "no tie"
        floor = f"noise floor {self.noise_floor:.2g} {unit}"
        verb = "trails" if self.lead < 0 else "leads"
        return f"it {verb} the next healthy candidate by {abs(self.lead):.2g} {unit}, {floor}: {tie}"

    def write(self, path: Path) -> None:
        """Put it into ``path``."""
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The handoff in ``path``, or None when there was none yet.

        Raises:
            DamagedFile: it is torn.
        """
        if not path.is_file():
            return None
        fix = "repeat 'run' or 'final': it is made again from the outcomes of its candidates"
        return read_json(path, cls._parsed, fix=fix)

    @classmethod
    def _parsed(cls, content: Mapping[str, Any]) -> Self:
        candidates = [Candidate.read(item) for item in content["candidates"]]
        values = {name: number_or_nan(content[name]) for name in ("spearman", "lead", "noise_floor")}
        if content["winner"] not in [None, *(item.trial for item in candidates)]:
            raise ValueError(f"its winner, trial {content['winner']}, is no candidate")
        return cls(**{**content, **values, "candidates": candidates})
