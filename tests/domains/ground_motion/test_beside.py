"""A metadata.csv beside files: what it says counts, what cannot be meant is told with its line."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import h5py
import pytest

from distsys.domains.faults import Faults
from distsys.domains.ground_motion.config import DataConfig
from distsys.domains.ground_motion.data.reading import read_records
from distsys.domains.ground_motion.data.records import Record
from tests.domains.ground_motion.support import some_record, write_at2, write_npz


def read(folder: Path, table: str) -> tuple[list[Record], list[str]]:
    """Two records with a table beside them."""
    write_at2(folder / "a.AT2", some_record().samples, dt_s=0.01)
    write_npz(folder / "b.npz", some_record().samples)
    (folder / "metadata.csv").write_text(table)
    faults = Faults(folder)
    return read_records(DataConfig(records=[folder]), faults), faults.lines


def test_what_a_table_says_counts_before_the_file(tmp_path: Path) -> None:
    (one, other), faults = read(
        tmp_path,
        "file,event,station,network,component,magnitude,distance_km,vs30_m_s,origin_time,latitude_deg,longitude_deg\n"
        "a.AT2,Kobe,JMA,JM,UP,6.9,0.96,312,1995-01-16T20:46:52Z,34.58,135.02\n"
        "b.npz,,,,,,,760,,,\n",
    )
    assert faults == []
    assert (one.event, one.station, one.network, one.component) == ("Kobe", "JMA", "JM", "UP")
    assert one.metadata.row()[:1] == (6.9,) and one.metadata.vs30_m_s == 312.0 and one.metadata.vertical == 1.0
    assert one.origin.time == datetime(1995, 1, 16, 20, 46, 52, tzinfo=UTC) and one.origin.place == (34.58, 135.02)
    assert other.event.endswith("b.npz") and other.metadata.vs30_m_s == 760.0


def test_the_unit_of_a_file_can_be_said(tmp_path: Path) -> None:
    (_, other), faults = read(tmp_path, "file,unit\nb.npz,m/s2\n")
    assert faults == []
    assert other.samples[2000] == pytest.approx(some_record().samples[2000] / 9.80665)


def test_a_record_of_many_in_a_file_is_told_by_its_key(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "all.h5", "w") as file:
        for key in ("one", "two"):
            file.create_dataset(f"rec/{key}", data=some_record().samples).attrs.update(dt=0.01, event="a folder")
    table = "file,event,vs30_m_s\nall.h5,,500\nall.h5/rec/two,Landers,\nall.h5/rec/three,Hector Mine,\n"
    (tmp_path / "metadata.csv").write_text(table)
    faults = Faults(tmp_path)
    found = read_records(DataConfig(records=[tmp_path]), faults)
    assert [record.event for record in found] == ["a folder", "Landers"]
    assert [record.metadata.vs30_m_s for record in found] == [500.0, 500.0]
    (line,) = faults.lines
    assert "metadata.csv, line 4: no record 'all.h5/rec/three'" in line


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("file,magnitude\na.AT2,69\n", "line 2: magnitude is 69\n  expected: 2 to 9.5"),
        ("file,vs30_m_s\na.AT2,0.36\n", "line 2: vs30_m_s is 0.36"),
        ("file,vs30_m_s\na.AT2,0.36\n", "360 if it is in km"),
        ("file,distance_m\na.AT2,9000\n", "line 1: column 'distance_m'"),
        ("file,distance_m\na.AT2,9000\n", "call it distance_km and multiply its values by 0.001"),
        ("file,magnitud\na.AT2,6\n", "did you mean 'magnitude'?"),
        ("file,unit\nb.npz,feet\n", "line 2: unit 'feet'"),
        ("file,magnitude\n\nc.AT2,6\n", "line 3: the file 'c.AT2' is not there"),
        ("file,magnitude\na.AT2,6\na.AT2,7\n", "line 3: the file 'a.AT2' stands twice"),
        ("file,magnitude\na.AT2,6,7\n", "line 2: 3 cells"),
        ("file,magnitude\na.AT2,big\n", "line 2: magnitude 'big'"),
        ("file,origin_time\na.AT2,once\n", "line 2: origin_time 'once'"),
        ("magnitude\n6\n", "line 1: columns magnitude"),
    ],
)
def test_faults_of_a_table_are_told_with_its_line_and_nothing_else_is(tmp_path: Path, table: str, reason: str) -> None:
    found, faults = read(tmp_path, table)
    assert len(found) == 2
    (line,) = faults
    assert "metadata.csv" in line and reason in line
