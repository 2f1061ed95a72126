"""Which searched parameters told good trials from others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from distsys.cluster.rows import TrialRow
from distsys.cluster.study import distributions_of
from distsys.config.space import SearchSpace
from distsys.domains.protocol import MetricSpec

_FEWEST = 4
"""Trials without which none can be told."""


def importance(rows: Sequence[TrialRow], space: SearchSpace, metric: MetricSpec) -> Mapping[str, float]:
    """Shares by parameter, the largest first (PED-ANOVA, Watanabe et al. 2023); empty where trials are too few."""
    complete = [row for row in rows if row.state == "complete" and math.isfinite(row.value)]
    varying = [name for name in space.dimensions if len({str(row.params.get(name)) for row in complete}) > 1]
    if len(complete) < _FEWEST or len(varying) < 2:
        return {}
    kinds = distributions_of(space)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize" if metric.direction == "max" else "minimize")
    for row in complete:
        params = {name: row.params[name] for name in varying}
        own = {name: kinds[name] for name in varying}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=own, value=row.value))
    found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    return found if all(map(math.isfinite, found.values())) else {}
