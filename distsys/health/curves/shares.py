"""One term that has all of the gradient, where shares were logged (D24)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from distsys.health.causes import ONE_TERM
from distsys.health.curves.history import History, Series
from distsys.health.curves.names import is_penalty
from distsys.health.verdict import Verdict

_SHARE = 0.999
"""Of the sum of gradient norms, as for the check in flight."""
_FEWEST = 2


def one_term(history: History) -> Iterator[Verdict]:
    """One share stays above ``_SHARE`` in the second half of the run, and not because of its weight, where that is
    known. Regularisers may be small."""
    shares = [item.finite for item in history.of_kind("share")]
    if len(shares) < 2:
        return
    for series in shares:
        late = series.where(series.steps >= np.median(series.steps)) if len(series) else series
        others = [item for item in shares if item.name != series.name and not is_penalty(item.name)]
        alive = [item.name for item in others if len(item) and item.values[-1] > 0.0]
        if len(late) < _FEWEST or not alive or late.values.min() <= _SHARE or not _is_raw(history, series, shares):
            continue
        evidence = f"{series.name} is {late.values.min():.4%} or more from step {late.step(0)} on, {alive[0]} the rest"
        yield ONE_TERM.verdict("warn", evidence, step=late.step(0))


def _is_raw(history: History, series: Series, shares: list[Series]) -> bool:
    """Whether it would have the whole gradient with equal weights too; so where weights are not known."""
    weights = {item.name: history.get(item.meaning.weight) for item in shares if item.values[-1:] > 0.0}
    if any(weight is None or not len(weight) or weight.values[-1] <= 0.0 for weight in weights.values()):
        return True
    raw = {item.name: item.values[-1] / weights[item.name].values[-1] for item in shares if item.name in weights}  # type: ignore[union-attr]
    return bool(raw[series.name] > _SHARE * sum(raw.values()))
