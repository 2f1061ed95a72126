"""Tables that people keep of their runs: layouts that are read, and what is said of those that are none."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from distsys.errors import DataError
from distsys.health.curves.history import History
from distsys.tracking.curves_csv import read_csv


def read(folder: Path, text: str, *, name: str = "log.csv", encoding: str = "utf-8") -> History:
    path = folder / name
    path.write_text(text, encoding=encoding)
    return read_csv(path)


def values(history: History) -> dict[str, list[tuple[float, float]]]:
    return {item.name: list(zip(item.steps.tolist(), item.values.tolist(), strict=True)) for item in history.series}


PLAIN = {"loss": [(1, 0.5), (2, 0.25)], "val_loss": [(1, 0.75)]}


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("epoch,loss,val_loss\n1,0.5,0.75\n2,0.25,\n", "utf-8"),
        ("\ufeffepoch,loss,val_loss\r\n1,0.5,0.75\r\n2,0.25,NA\r\n", "utf-8"),
        ("epoch\tloss\tval_loss\n1\t5e-1\t0.75\n2\t.25\tnull\n", "utf-8"),
        ("epoch;loss;val_loss\n1;0,5;0,75\n2;0,25;\n", "utf-8"),
        (' epoch , "loss", val_loss\n 1 , 0.5 ,0.75\n\n2,0.25\n', "utf-8"),
        ("epoch,loss,val_loss\n1,0.5,0.75\n2,0.25,\n", "utf-16"),
        ("Step,metric,value\n1,loss,0.5\n1,val_loss,0.75\n2,loss,0.25\n", "utf-8"),
        ("epoch,loss,val_loss,seconds,note\n1,0.5,0.75,,warm\n2,0.25,,,-\n", "utf-8"),
    ],
    ids=["comma", "mark and line ends", "tab", "semicolon", "spaces", "utf-16", "long", "text columns"],
)
def test_a_table_is_read(tmp_path: Path, text: str, encoding: str) -> None:
    assert values(read(tmp_path, text, encoding=encoding)) == PLAIN


def test_nan_is_a_number_and_an_empty_cell_is_none(tmp_path: Path) -> None:
    (series,) = read(tmp_path, "step,loss\n1,0.5\n2,nan\n3,\n4,-inf\n").series
    assert series.steps.tolist() == [1, 2, 4]
    assert math.isnan(series.values[1])
    assert series.values[2] == -math.inf


def test_a_column_that_names_the_split_parts_the_others(tmp_path: Path) -> None:
    found = read(tmp_path, "epoch,phase,loss\n1,train,0.5\n1,val,0.75\n2,train,0.25\n2,val,0.7\n")
    assert values(found) == {"train/loss": [(1, 0.5), (2, 0.25)], "val/loss": [(1, 0.75), (2, 0.7)]}
    assert [item.meaning.split for item in found.series] == ["train", "validation"]


def test_a_table_of_tensorboard_is_named_by_its_file(tmp_path: Path) -> None:
    found = read(tmp_path, "Wall time,Step,Value\n1.5e9,0,0.5\n1.5e9,10,0.4\n", name="val_loss.csv")
    assert values(found)["val_loss"] == [(0, 0.5), (10, 0.4)]


def test_the_size_of_batches_is_a_fact(tmp_path: Path) -> None:
    assert read(tmp_path, "step,loss,batch_size\n1,0.5,64\n2,0.4,64\n").facts == {"batch_size": 64.0}


def test_what_was_assumed_is_noted(tmp_path: Path) -> None:
    assert read(tmp_path, "step,loss,host\n1,0.5,a\n2,0.4,b\n").notes == ("columns without numbers left out: host",)
    rows = "".join(f"{step},{1 / step}\n" for step in [*range(1, 12), *range(9, 20)])
    resumed = read(tmp_path, "step,loss\n" + rows)
    assert resumed.notes == ("steps go back from 11 to 9: a resumed run, whose later rows stand",)
    shuffled = read(tmp_path, "step,loss\n3,0.3\n1,0.5\n2,0.4\n")
    assert shuffled.notes == ("rows are not in the order of their steps: sorted",)
    assert values(shuffled) == {"loss": [(1, 0.5), (2, 0.4), (3, 0.3)]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["is empty", "a header"]),
        ("\n \n", ["is empty"]),
        ("loss,val_loss\n0.5,0.6\n0.4,0.5\n", ["no column of steps among loss, val_loss", "one of step, global_step"]),
        ("step,loss\n1,0.5\n", ["1 row below the header", "curves need two or more"]),
        ("step,loss\n", ["0 rows below the header"]),
        ("step,loss\n1,0.5\n2,abc\n", ["line 3, column 'loss': 'abc' is not a number", "mend that cell"]),
        ("step,loss\n1,0.5\n2,1_000\n", ["line 3, column 'loss': '1_000'"]),
        ("step,loss\none,0.5\ntwo,0.4\n", ["line 2, column 'step': 'one'"]),
        ("step,loss\n1,0.5\n,0.4\n", ["line 3 has no step: ''"]),
        ("step,loss\n1,0.5\nnan,0.4\n", ["line 3 has no step: 'nan'"]),
        ("step,loss\n1,0.5,7\n2,0.4\n", ["line 2 has 3 cells", "2, as the header has"]),
        ("step,loss,loss\n1,2,3\n2,3,4\n", ["column 'loss' is there twice"]),
        ("1,0.5\n2,0.4\n", ["its first line holds numbers (1, 0.5)"]),
        ("step loss\n1 0.5\n2 0.4\n", ["one column, 'step loss'", "comma, tab or semicolon"]),
        ("step,host\n1,a\n2,b\n", ["no column of numbers besides 'step'"]),
        ('step,loss\n1,"0.5\n2,0.4\n', ["unexpected end of data", "quotes that are closed"]),
        ("step,metric,value\n1,loss,0.5\n2,loss,low\n", ["line 3, column 'value': 'low'"]),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, text: str, expected: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, text)
    for part in [str(tmp_path / "log.csv"), *expected]:
        assert part in str(caught.value)


def test_bytes_and_missing_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_bytes(b"step,loss\n1,0.5\xff\n")
    with pytest.raises(DataError, match="byte 15 is no UTF-8"):
        read_csv(tmp_path / "log.csv")
    with pytest.raises(DataError, match="No such file"):
        read_csv(tmp_path / "none.csv")
