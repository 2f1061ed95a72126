"""Tables that fit a terminal, pages that hold what they are given, figures that can be read."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from distsys.report.figures import learning_curves, rank_change, searched_values
from distsys.report.page import Page, png_of
from distsys.report.table import number, text_table


@pytest.mark.parametrize(
    ("value", "shown"), [(math.nan, "-"), (None, "-"), (0.123456, "0.1235"), (3, "3"), ("a", "a"), (math.inf, "inf")]
)
def test_numbers(value: object, shown: str) -> None:
    assert number(value) == shown


def test_a_table_fits_80_columns_and_lines_up() -> None:
    rows: list[list[object]] = [["a name that is much too long " * 4, 1.5, 2.25], ["short", math.nan, 1e-9]]
    lines = text_table(["what", "response_mae_db", "x"], rows).splitlines()
    assert max(len(line) for line in lines) <= 80
    assert lines[2].split()[-2:] == ["1.5", "2.25"]
    assert "..." in lines[2]
    assert lines[3].rstrip().endswith("1e-09")


def test_a_page_escapes_what_it_shows_and_marks_its_row(tmp_path: Path) -> None:
    page = Page("<title>", "lead & more")
    page.table(["a", "b"], [["<script>", 1.0], ["chosen", 2.0]], mark=1)
    page.table(["a"], [["a sentence " * 10]], folded="more & more")
    page.text("bad <news>", mood="bad")
    page.figure("Figure", Figure(figsize=(1, 1)))
    text = page.write(tmp_path / "report.html").read_text()
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "<details><summary>more &amp; more</summary>" in text
    assert "<td class=long>a sentence" in text
    assert '<tr class="mark"><td>chosen' in text
    assert '<p class="bad">bad &lt;news&gt;' in text
    assert "data:image/png;base64," in text
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_figures_of_every_experiment_are_drawn_with_their_labels() -> None:
    curves = learning_curves([1, 2, 3], {"loss": [3, 2, 1], "mae": [1, 1, 0]}, best_step=3)
    assert [axes.get_title() for axes in curves.axes] == ["loss", "mae"]
    search = searched_values({"rate": [1e-4, 1e-1], "kind": ["x", "y"]}, [1.0, 2.0], label="mae", sick=[False, True])
    assert search.axes[0].get_xscale() == "log"
    assert search.axes[1].get_xscale() == "linear"
    ranks = rank_change(["trial 0", "trial 1"], [1.0, 2.0], [2.0, 1.0], label="mae, V", winner=1)
    assert ranks.axes[0].get_ylabel() == "mae, V"
    for figure in (curves, search, ranks):
        assert png_of(figure).startswith(b"\x89PNG")
