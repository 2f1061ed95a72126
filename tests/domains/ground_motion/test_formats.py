"""Every format of records: values, step, unit, component, time of the first sample, and what is told of the event."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from distsys.domains.faults import Faults
from distsys.domains.ground_motion.config import DataConfig
from distsys.domains.ground_motion.data.formats.table import FORMATS, format_of
from distsys.domains.ground_motion.data.reading import read_one, read_records
from distsys.domains.ground_motion.data.records import Declared, Record
from tests.domains.ground_motion import files
from tests.domains.ground_motion.support import some_record, write_at2, write_npz

SAMPLES = some_record().samples
MADE = 0.05 * SAMPLES / np.abs(SAMPLES).max()
"""4,000 accelerations in g at 100 Hz that peak at 0.05 g."""


def told(path: Path) -> str:
    """What is wrong with a file, which must be all of it."""
    faults = Faults(path)
    assert read_records(DataConfig(records=[path]), faults) == []
    (line,) = faults.lines
    return line


def every(path: Path) -> list[Record]:
    faults = Faults(path)
    found = read_records(DataConfig(records=[path]), faults)
    assert faults.lines == []
    return found


def test_knet(tmp_path: Path) -> None:
    found = read_one(files.knet(tmp_path / "a.NS", MADE), Declared())
    assert np.allclose(found.samples, MADE, atol=2000 / 8388608 / 980.665)
    assert (found.dt_s, found.station, found.network, found.component) == (0.01, "AKT013", "K-NET", "NS")
    assert found.begins == datetime(1996, 8, 10, 18, 12, 24, tzinfo=UTC)
    assert found.origin.time == datetime(1996, 8, 10, 18, 12, tzinfo=UTC)
    assert found.origin.place == (38.92, 140.63) and found.metadata.magnitude == 5.9
    assert found.metadata.distance_km == pytest.approx(math.hypot(80.9, 7.0), abs=1.0)
    assert found.metadata.vertical == 0.0


@pytest.mark.parametrize(
    ("direction", "component", "vertical"), [("U-D", "UD", 1.0), ("6", "UD2", 1.0), ("4", "NS2", 0.0)]
)
def test_components_of_knet_and_kiknet(tmp_path: Path, direction: str, component: str, vertical: float) -> None:
    found = read_one(files.knet(tmp_path / "a.UD", MADE, direction=direction), Declared())
    assert (found.component, found.metadata.vertical) == (component, vertical)


@pytest.mark.parametrize(
    ("unit", "factor"), [("cm/sec2(04)", 980.665), ("g(02)", 1.0), ("mg(11)", 1000.0), ("in/sec2(07)", 980.665 / 2.54)]
)
def test_cosmos(tmp_path: Path, unit: str, factor: float) -> None:
    path = files.cosmos(tmp_path / "a.V2c", MADE, unit=unit, factor=factor, orientations=(340, 400))
    one, other = every(path)
    assert np.allclose(one.samples, MADE, atol=1e-5) and np.array_equal(one.samples, other.samples)
    assert (one.dt_s, one.station, one.network, one.event) == (0.01, "J2236", "CE", "Yucaipa")
    assert [(item.component, item.metadata.vertical) for item in (one, other)] == [("340", 0.0), ("Up", 1.0)]
    assert one.begins == datetime(2005, 6, 16, 20, 53, 4, 400000, tzinfo=UTC)
    assert one.origin.time == datetime(2005, 6, 16, 20, 53, 26, 100000, tzinfo=UTC)
    assert one.origin.place == (34.058, -117.011)
    assert (one.metadata.magnitude, one.metadata.vs30_m_s) == (4.8, 360.0)
    assert one.metadata.distance_km == pytest.approx(math.hypot(45.03, 12.0))


def test_cosmos_in_counts_is_refused_with_its_line(tmp_path: Path) -> None:
    assert "line 45: unit 'counts' (50)" in told(files.cosmos(tmp_path / "a.V1c", MADE, unit="counts(50)"))


@pytest.mark.parametrize("volume", [1, 2])
def test_csmip(tmp_path: Path, volume: int) -> None:
    one, other = every(files.csmip(tmp_path / f"a.V{volume}", MADE, volume=volume, channels=("360 Deg", "Up")))
    assert np.allclose(one.samples, MADE, atol=1e-6) and np.array_equal(one.samples, other.samples)
    assert (one.dt_s, one.station, one.event) == (0.01, "24389", "Northridge")
    assert [(item.component, item.metadata.vertical) for item in (one, other)] == [("360", 0.0), ("Up", 1.0)]
    assert one.begins == datetime(1994, 1, 17, 12, 31, 10, 500000, tzinfo=UTC)
    assert one.origin.time == datetime(1994, 1, 17, 12, 30, 55, 400000, tzinfo=UTC)
    assert one.origin.place == (34.213, -118.537)
    assert one.metadata.magnitude == 5.7
    assert one.metadata.distance_km == pytest.approx(math.hypot(20.1, 18.0), abs=0.3)


def test_a_volume_2_of_another_unit_is_refused(tmp_path: Path) -> None:
    assert "line 46: unit 'furlongs'" in told(files.csmip(tmp_path / "a.V2", MADE, unit="furlongs"))


def test_esm(tmp_path: Path) -> None:
    found = read_one(files.esm(tmp_path / "a.ASC", MADE), Declared("m/s2"))
    assert np.allclose(found.samples, MADE, atol=1e-8)
    assert (found.dt_s, found.station, found.network, found.component) == (0.01, "DLFA", "HL", "HNE")
    assert found.event == "EMSC-20190728_0000106"
    assert found.begins == datetime(2019, 7, 28, 16, 9, 5, 700000, tzinfo=UTC)
    assert found.origin.time == datetime(2019, 7, 28, 16, 9, 8, tzinfo=UTC)
    assert (found.metadata.magnitude, found.metadata.vs30_m_s) == (4.6, 410.0)
    assert found.metadata.distance_km == pytest.approx(41.0, abs=0.01)


def test_smc_whose_values_touch(tmp_path: Path) -> None:
    path = files.smc(tmp_path / "a.smc", MADE)
    assert len(path.read_text().splitlines()[28]) == 80
    found = read_one(path, Declared())
    assert np.allclose(found.samples, MADE, rtol=1e-4, atol=1e-12)
    assert (found.dt_s, found.station, found.component) == (0.01, "San Francisco, 1295 Shafter", "360")
    assert (found.event, found.network, found.metadata.magnitude) == ("Loma Prieta, CA", "USGS", 5.9)
    assert found.begins == datetime(1989, 10, 18, 0, 4, 2, 500000, tzinfo=UTC)
    assert found.origin.time == datetime(1989, 10, 18, 0, 4, tzinfo=UTC)
    assert found.metadata.distance_km == pytest.approx(30.0)


def test_smc_vertical_and_velocity(tmp_path: Path) -> None:
    assert read_one(files.smc(tmp_path / "a.smc", MADE, vertical=0), Declared()).metadata.vertical == 1.0
    assert "line 1: '3 VELOCITY'" in told(files.smc(tmp_path / "b.smc", MADE, kind="3 VELOCITY"))


@pytest.mark.parametrize(
    ("header", "row", "declared"),
    [
        (["# time, acceleration in cm/s2"], "{time:.2f}, {cm:.6f}", Declared()),
        (["time acc"], "{time:.2f}\t{g:.9f}", Declared()),
        ([], "{time:.2f};{m:.8f};", Declared("m/s2")),
        (["dt = 0.01 s", "unit: m/s2"], "{m:.8f}", Declared()),
        ([], "{g:.9f}", Declared(dt_s=0.01)),
    ],
)
def test_columns_of_text(tmp_path: Path, header: list[str], row: str, declared: Declared) -> None:
    lines = [row.format(time=0.01 * n, g=g, cm=g * 980.665, m=g * 9.80665) for n, g in enumerate(MADE)]
    found = read_one(files.write(tmp_path / "a.txt", [*header, *lines]), declared)
    assert np.allclose(found.samples, MADE, atol=2e-9)
    assert found.dt_s == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (["1", "2", "3", "4"], "one column, and no word of its step"),
        (["0.0 1", "0.01 2", "0.02 3", "0.04 4"], "line 4: time 0.04"),
        (["0.0 1", "0.01 2", "0.02 3", "4"], "line 4: 1 numbers"),
        (["0 1", "5 2", "10 3", "15 4"], "dt_s is 5"),
    ],
)
def test_faults_of_columns_are_named(tmp_path: Path, rows: list[str], reason: str) -> None:
    assert reason in told(files.write(tmp_path / "a.txt", rows))


@pytest.mark.parametrize("name", files.WRITERS)
def test_a_format_is_recognised_by_content(tmp_path: Path, name: str) -> None:
    path = files.WRITERS[name](tmp_path / name, MADE)
    own = format_of(path)
    assert own is not None and Path(name).suffix.lower() in (*own.suffixes, ".v2c")
    other = path.rename(tmp_path / "renamed.dat")
    assert format_of(other) == own
    assert len(every(tmp_path)) == 1


def test_all_formats_lie_in_one_folder(tmp_path: Path) -> None:
    for name, writer in files.WRITERS.items():
        writer(tmp_path / name, MADE)
    write_at2(tmp_path / "a.AT2", MADE, dt_s=0.01)
    write_npz(tmp_path / "a.npz", MADE)
    (tmp_path / "README.md").write_text("what this is\n")
    assert len(every(tmp_path)) == 7
    assert {item.name for item in FORMATS} > {"AT2", "COSMOS", "SMC"}


def test_damage_is_told_by_the_reader_of_its_suffix(tmp_path: Path) -> None:
    assert "line 1: 'not this'" in told(files.write(tmp_path / "a.NS", ["not this"]))
    lines = files.cosmos(tmp_path / "b.V2c", MADE).read_text().splitlines()
    lines[50] = lines[50][:15] + "oops " + lines[50][20:]
    assert "line 51: " in told(files.write(tmp_path / "b.V2c", lines))
    lines = files.esm(tmp_path / "c.ASC", MADE).read_text().splitlines()
    assert "3999 values" in told(files.write(tmp_path / "c.ASC", lines[:-1]))


@pytest.mark.parametrize(
    ("name", "content", "way"),
    [
        ("a.sac", b"\0\1\2\3", "obspy.read('a.sac')"),
        ("a.zip", b"PK\3\4", "unpack it"),
        ("a.pdf", b"%PDF-1.7\n", "begins with '%PDF-1.7'"),
    ],
)
def test_an_unknown_format_is_told_with_how_to_convert(tmp_path: Path, name: str, content: bytes, way: str) -> None:
    (tmp_path / name).write_bytes(content)
    text = told(tmp_path / name)
    assert "unknown kind of file" in text and way in text and "K-NET" in text


def test_seven_lines_of_header_of_an_at2(tmp_path: Path) -> None:
    lines = write_at2(tmp_path / "a.AT2", MADE * 980.665, dt_s=0.01).read_text().splitlines()
    lines[2:3] = ["made up", "ACCELERATION IN UNITS OF CM/S**2", "more", "and more"]
    found = read_one(files.write(tmp_path / "a.AT2", lines), Declared())
    assert np.allclose(found.samples, MADE, atol=1e-8)
    assert found.origin.time is not None and found.origin.time.year == 2000
