"""Tables that fit a terminal, pages that hold what they are given, figures that can be read."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from distsys.report.figures import beside, learning_curve, panel, rank_change, shared_curves
from distsys.report.page import Card, Page
from distsys.report.search_figures import Tried, history, importance_bars, parallel, slices
from distsys.report.table import number, sensible, text_table
from distsys.report.vector import png_of, svg_of


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
    card = Card(False, "Sick <b>", "0.5", "dB & more", ["cause: <evidence>"])
    page = Page("<title>", "lead & more", card)
    page.heading("One & two")
    page.table(["a.b", "c"], [["<script>", 1.0], ["chosen", math.nan]], mark=1, ill={(0, 0)}, name="both")
    page.table(["a"], [["a sentence " * 10]], folded="more & more")
    page.text("bad <news>", mood="bad")
    page.sounds({"one.wav": b"RIFF", "two.txt": b"no sound"})
    page.figure("Figure", learning_curve([1, 2], [1.0, 2.0], label="x", chosen_step=1))
    text = page.write(tmp_path / "report.html").read_text()
    assert "<script>" not in text
    for expected in (
        '<section class="card bad">',
        "Sick &lt;b&gt;",
        "cause: &lt;evidence&gt;",
        '<a href="#s1">One &amp; two</a>',
        '<th class="text">a.<wbr>b</th>',
        '<td class="text ill" data-label="a.b"><span>&lt;script&gt;</span></td>',
        '<tr class="mark"><td class="text" data-label="a.b"><span>chosen',
        '<td class="none" data-label="c"><span>-</span></td>',
        "<details><summary>more &amp; more</summary>",
        '<p class="bad">bad &lt;news&gt;',
        "data:audio/wav;base64,UklGRg==",
        "<title>step 2: 2</title>",
        '<meta name="viewport"',
        "prefers-color-scheme: dark",
    ):
        assert expected in text, expected
    assert "two.txt" not in text
    assert "#000000" not in text, "black that stays black in the dark"
    assert not re.search(r"https?://(?!www\.w3\.org)", text), "something beside the file is asked for"
    assert {path.name for path in (tmp_path / "report").iterdir()} == {"both.csv", "figure.png"}
    assert (tmp_path / "report" / "both.csv").read_text().split() == ["a.b,c", "<script>,1.0", "chosen,nan"]


def test_a_figure_too_large_for_vectors_is_a_picture(tmp_path: Path) -> None:
    figure, axes = panel()
    axes.plot(range(60_000), [value % 7 for value in range(60_000)], marker=".")
    page = Page("title", "lead")
    page.figure("Many points", figure)
    text = page.write(tmp_path / "report.html").read_text()
    assert "data:image/png;base64," in text
    assert "<svg" not in text


@pytest.mark.parametrize(
    ("value", "shown"), [(1.38e-07, "\u2248 0"), (-2e-5, "\u2248 0"), (0.0, "0"), (0.0123, "0.0123")]
)
def test_what_is_next_to_nothing_has_no_digits(value: float, shown: str) -> None:
    assert sensible(value) == shown


def legend_of(figure: Figure) -> list[str]:
    legend = figure.axes[0].get_legend()
    assert legend is not None
    return [text.get_text() for text in legend.get_texts()]


def test_figures_of_every_experiment_are_drawn_with_their_labels() -> None:
    curve = learning_curve([1, 2, 3], [3, 2, 1], label="mae, V", chosen_step=3, band=(1.5, math.inf))
    assert curve.axes[0].get_ylabel() == "mae, V"
    shared = shared_curves({"one": [(1, 1.0), (2, 2.0)], "two": [(1, 2.0)]}, label="weight")
    assert legend_of(shared) == ["one", "two"]
    ranks = rank_change(["trial 0", "trial 1"], [1.0, 2.0], [2.0, math.nan], label="mae, V", winner=1)
    assert [text.get_text() for text in ranks.axes[0].texts] == [" trial 0"]
    rows = [("model", "model", 1.0), ("oracle", "bound", 0.5), ("none", "peer", math.nan)]
    scale = beside(rows, error=0.1, label="mae, V")
    assert [text.get_text() for text in scale.axes[0].get_yticklabels()] == ["model", "oracle (bound)"]
    for figure in (curve, shared, ranks, scale):
        assert png_of(figure).startswith(b"\x89PNG")


def tried(number: int, kind: str, value: float, rate: float, word: str) -> Tried:
    return Tried(number, kind, value, {"rate": rate, "word": word})


TRIALS = [tried(0, "healthy", 2.0, 1e-4, "x"), tried(1, "sick", 0.5, 1e-2, "y"), tried(2, "pruned", 3.0, 1e-1, "x")]


def test_a_search_shows_sick_and_pruned_trials_and_the_searched_scale() -> None:
    trials = [*TRIALS, tried(3, "healthy", 1.0, 1e-3, "y"), tried(4, "healthy", 1.5, 1e-3, "y")]
    figure = history(trials, label="mae, V", is_max=False)
    assert legend_of(figure) == ["healthy", "sick", "stopped early"]
    (best,) = [line for line in figure.axes[0].lines if line.get_drawstyle() == "steps-post"]
    assert np.asarray(best.get_ydata()).tolist() == [2.0, 1.0, 1.0], "a sick trial is no best one"
    found = slices(trials, label="mae", log={"rate": True, "word": False})
    assert found["rate"].axes[0].get_xscale() == "log"
    assert found["word"].axes[0].get_xscale() == "linear"
    text = svg_of(parallel(trials, label="mae", log={"rate": True, "word": False}), name="p")
    assert text is not None
    assert "<title>trial 1, sick: 0.5; rate 0.01, word y</title>" in text
    bars = importance_bars({"rate": 0.75, "word": 0.25})
    assert [text.get_text() for text in bars.axes[0].get_yticklabels()] == ["rate", "word"]


def test_a_figure_is_the_same_text_each_time() -> None:
    assert svg_of(history(TRIALS, label="mae", is_max=True), name="a") == svg_of(
        history(TRIALS, label="mae", is_max=True), name="a"
    )
