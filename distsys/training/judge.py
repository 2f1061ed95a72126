"""Whether an evaluation is healthy: finite, within its bands, and better than what needs no model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from distsys.config.reuse import reused
from distsys.config.schema import CoreConfig
from distsys.domains.protocol import AnyDomain, DataBundle, EvalSet, Evaluation, effective_constraints
from distsys.health.judging import judge_beside_trivial, judge_constraints, judge_finite
from distsys.health.verdict import Constraint, Verdict
from distsys.specs import MetricSpec
from distsys.training.answers import require_baselines
from distsys.training.spec import RunSpec


@dataclass(frozen=True)
class Judge:
    """Judges evaluations on one set.

    Args:
        trivial: the selection metric of baselines that a healthy model beats, by name.
        is_short: whether the run is a trial or a candidate, which may still be on its way.
    """

    spec: MetricSpec
    constraints: tuple[Constraint, ...] = ()
    trivial: Mapping[str, float] = field(default_factory=dict)
    is_short: bool = False

    @classmethod
    def of(cls, domain: AnyDomain, spec: RunSpec, bundle: DataBundle, frozen: EvalSet) -> Judge:
        """For models that ``spec`` trains, on ``frozen``, a set of ``bundle``."""
        constraints = effective_constraints(domain, spec.bands())
        return cls(domain.selection, constraints, trivial_values(domain, spec.config, bundle, frozen), spec.is_short)

    def verdicts(self, found: Evaluation, *, step: int, loss: float = 0.0) -> list[Verdict]:
        """What is wrong; empty when all is well."""
        name, value = self.spec.name, found.metrics[self.spec.name]
        floor = found.noise_floor()
        verdicts = [
            judge_finite({name: value, "loss": loss}, step=step),
            *judge_constraints(self.constraints, found.metrics, errors=found.errors, step=step),
            judge_beside_trivial(self.spec, value, self.trivial, floor=floor, step=step, is_short=self.is_short),
        ]
        return [verdict for verdict in verdicts if verdict is not None and verdict.status != "ok"]

    def distance(self, found: Evaluation) -> float:
        """How far metrics are from their bands in all, 0 within them; infinite where nothing can be chosen."""
        if not math.isfinite(found.metrics[self.spec.name]):
            return math.inf
        return sum(item.distance(found.metrics[item.metric]) for item in self.constraints)


def trivial_values(domain: AnyDomain, config: CoreConfig, bundle: DataBundle, frozen: EvalSet) -> Mapping[str, float]:
    """The selection metric of every trivial baseline on ``frozen``; found once for a set.

    Fitted once, too: another share of a curriculum, which leaves the set alone, changes no trivial row to speak of.
    """

    @reused
    def find(config: CoreConfig, *, name: str, frozen: EvalSet) -> dict[str, float]:
        rows = domain.baselines(config, bundle, frozen)
        require_baselines(domain, rows)
        metric = domain.selection.name
        return {
            label: row.metrics[metric] for label, row in rows.items() if row.kind == "trivial" and metric in row.metrics
        }

    return find(config, name=domain.name, frozen=frozen)
