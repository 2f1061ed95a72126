"""Tables of an assessment: the selection metric is always there, and each baseline stands beside the model."""

from __future__ import annotations

import math

from distsys.domains.protocol import Baseline
from distsys.pipeline.report import assessment_text, metric_table
from distsys.training.assess import Assessment


def assessment(baselines: dict[str, dict[str, float]]) -> Assessment:
    metrics = {"error_m": 0.5, "success": 0.9, "success/near": 0.95, "own": 7.25}
    rows = {name: Baseline("peer", row) for name, row in baselines.items()}
    return Assessment("place", 10, "error_m", "m", "min", 0.01, metrics, {}, rows, [], {}, [])


def test_the_selection_metric_is_shown_when_no_baseline_has_it() -> None:
    found = assessment({"constant": {"success": 0.1}})
    headers, rows = metric_table(found, ["constant"])
    assert headers == ["test set", "model", "constant"]
    assert rows[0][:2] == ["error_m", 0.5]
    assert math.isnan(float(str(rows[0][2])))
    assert rows[1] == ["success", 0.9, 0.1]
    text = assessment_text(found)
    assert all(name in text for name in ("error_m", "success/near", "own", "7.25"))


def test_many_baselines_are_spread_over_tables_that_fit_a_terminal() -> None:
    found = assessment({f"baseline number {index}": {"success": index / 10} for index in range(9)})
    lines = assessment_text(found).splitlines()
    assert max(len(line) for line in lines if not line.startswith("healthy")) <= 80
    assert all(any(f"baseline number {index}" in line for line in lines) for index in range(9))
