"""Tables of numbers as people read them."""

from __future__ import annotations

import math

from distsys.report.table import filled_parts


def test_a_table_is_parted_so_that_no_part_has_empty_or_too_many_columns() -> None:
    nan = math.nan
    headers = ["", "model", "a", "b", "c"]
    rows = [
        ["mae", 1.0, 2.0, 3.0, nan],
        ["gain", 1.5, 2.5, nan, nan],
        ["score", 4.0, nan, nan, 5.0],
        ["own", 6.0, *[nan] * 3],
    ]
    whole = filled_parts(headers, rows)
    assert [columns for columns, _ in whole] == [["", "model", "a", "b"], ["", "model", "c"]]
    assert [[row[0] for row in part] for _, part in whole] == [["mae", "gain", "own"], ["score"]]
    assert whole[1][1] == [["score", 4.0, 5.0]]
    narrow = filled_parts(headers, rows[:1], most=3)
    assert narrow == [(["", "model", "a"], [["mae", 1.0, 2.0]]), (["", "model", "b"], [["mae", 1.0, 3.0]])]
