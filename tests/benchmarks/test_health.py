"""The benchmark of health checks: complete, unknown to the checks, and honest about what it counts."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

import distsys
from benchmarks.health import results
from benchmarks.health.case import DOMAINS, Row, examined
from benchmarks.health.healthy import odd, shipped
from benchmarks.health.injections import injections
from distsys.health.causes import DEFECTS

CASES = list(injections())


def test_every_defect_is_injected_and_every_case_told_from_others() -> None:
    assert {case.label.split()[0] for case in CASES} == set(DEFECTS)
    assert {case.domain for case in CASES} == set(DOMAINS)
    assert max(Counter((case.domain, case.label) for case in CASES).values()) == 1
    assert all(DEFECTS[case.label.split()[0]].name in case.names for case in CASES)


def test_no_check_knows_what_is_injected() -> None:
    source = Path(distsys.__file__).parent
    assert [path for path in source.rglob("*.py") if re.search(r"^\s*(from|import) benchmarks", path.read_text())] == []


def test_healthy_cases_have_no_cause_to_be_named() -> None:
    cases = [*odd(), *shipped(range(2))]
    assert not any(case.names or case.apply for case in cases)
    assert sum(case.label == "demo" for case in cases) == 2 * 2 * len(DOMAINS)


@pytest.mark.parametrize("label", ["D19 an assertion on the mode", "D20 unscaled twice, by 16"])
def test_an_injected_defect_is_examined(label: str) -> None:
    (case,) = [item for item in CASES if item.domain == "semantic_eq" and item.label == label]
    row = examined(case)
    assert row.error == ""
    assert row.is_named_first
    assert row.is_stopped
    assert not row.is_crowned


def row_of(*causes: str, names: tuple[str, ...] = (), status: str = "warn", error: str = "") -> Row:
    verdicts: list[dict[str, object]] = [
        {"status": status, "cause": cause, "evidence": "", "step": 3 * number} for number, cause in enumerate(causes)
    ]
    return Row("semantic_eq", "D5 flat", 0, "final", list(names), verdicts, is_crowned=True, error=error)


def test_sums_by_hand() -> None:
    rows = [
        row_of("constant outputs", names=("constant outputs",)),
        row_of("nothing is learned", "constant outputs", names=("constant outputs",)),
        row_of("nothing is learned", names=("constant outputs",)),
        row_of(names=("constant outputs",)),
        row_of(),
        row_of("nothing is learned"),
        row_of("constant outputs", status="stop"),
        row_of("rms_ratio outside its band", status="stop"),
        row_of(error="data.ta_share = 0.9"),
    ]
    found = results.sums(rows)
    assert (found["injected"], found["recall"], found["cause_first"], found["crowned"]) == (4, 0.5, 0.25, 4)
    assert (found["healthy"], found["false_stop"], found["false_warn_per_1000"]) == (4, 1, 250.0)
    assert [row.step for row in rows[:4]] == [0, 3, None, None]
    assert found["domains"]["semantic_eq"]["recall"] == 0.5
