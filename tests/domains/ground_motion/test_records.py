"""Files as users have them, right and wrong: every fault is named with its file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from distsys.domains.faults import Faults
from distsys.domains.ground_motion.config import Config, DataConfig
from distsys.domains.ground_motion.data.at2 import at2_text, read_at2
from distsys.domains.ground_motion.data.gathering import gather_motions
from distsys.domains.ground_motion.data.operators import RATE_HZ, WINDOW
from distsys.domains.ground_motion.data.reading import read_one, read_records
from distsys.domains.ground_motion.data.records import Declared, Record
from distsys.domains.ground_motion.data.windows import prepare
from distsys.errors import DataError
from tests.domains.ground_motion.support import some_record, write_at2, write_npz


def read(*places: Path, **settings: object) -> tuple[list[Record], str]:
    data = DataConfig.model_validate({"records": [str(place) for place in places], **settings})
    faults = Faults(places[0])
    found = read_records(data, faults)
    return found, "\n".join(faults.lines)


@pytest.mark.parametrize("old", [False, True])
def test_both_headers_of_at2(tmp_path: Path, old: bool) -> None:
    samples = some_record().samples
    found, faults = read(write_at2(tmp_path / "one.AT2", samples, dt_s=0.0024, old=old))
    assert faults == ""
    assert found[0].dt_s == pytest.approx(0.0024)
    assert np.allclose(found[0].samples, samples, atol=1e-9)
    assert (found[0].event, found[0].station) == ("Somewhere", "Station 1")
    assert found[0].metadata.vertical == 0.0


def test_an_at2_that_is_written_can_be_read(tmp_path: Path) -> None:
    samples = some_record().samples[:1001]
    path = tmp_path / "back.AT2"
    path.write_text(at2_text(samples, dt_s=0.01, title="made", place="Here, 1/1/2000, There, UP"))
    assert np.allclose(read_one(path, Declared()).samples, samples, rtol=1e-6)


@pytest.mark.parametrize(("unit", "factor"), [("g", 1.0), ("m/s2", 9.80665), ("cm/s2", 980.665)])
def test_units_become_g(tmp_path: Path, unit: str, factor: float) -> None:
    samples = some_record().samples
    found, _ = read(write_npz(tmp_path / "a.npz", factor * samples), unit=unit)
    assert np.allclose(found[0].samples, samples)


@pytest.mark.parametrize(("unit", "factor"), [("m/s2", 9.80665), ("cm/s2", 980.665)])
def test_other_units_declared_as_g_are_told_by_their_range(tmp_path: Path, unit: str, factor: float) -> None:
    samples = 0.8 * some_record().samples / np.abs(some_record().samples).max()
    found, faults = read(write_npz(tmp_path / "a.npz", factor * samples))
    assert found == []
    assert "a.npz" in faults and "more than any record" in faults
    assert "say so in data.unit" in faults and f"its values are in {unit}" in faults


def test_npz_may_be_normalised_or_physical_and_not_something_between(tmp_path: Path) -> None:
    samples = some_record().samples
    pga = float(np.abs(samples).max())
    normalised, _ = read(write_npz(tmp_path / "n.npz", samples / pga, pga_broadband=pga))
    physical, _ = read(write_npz(tmp_path / "p.npz", samples, pga_broadband=pga))
    assert np.allclose(normalised[0].samples, samples)
    assert np.allclose(physical[0].samples, samples)
    found, faults = read(write_npz(tmp_path / "twice.npz", samples * pga, pga_broadband=pga))
    assert found == []
    assert "twice.npz" in faults and "multiplied by its PGA twice" in faults


def test_hdf5_with_attributes(tmp_path: Path) -> None:
    samples = some_record().samples
    with h5py.File(tmp_path / "all.h5", "w") as file:
        for name, factor, unit, component in (("one", 1.0, "g", "HNE"), ("two", 980.665, "cm/s2", "HNZ")):
            item = file.create_dataset(f"rec/{name}", data=factor * samples)
            item.attrs.update(
                dt=0.01, event="E", station=name, unit=unit, magnitude=6.5, vs30_m_s=400.0, component=component
            )
        file.create_dataset("rec/broken", data=samples)
        file.create_dataset("rec/loud", data=samples).attrs.update(dt=0.01, magnitude="M6")
    found, faults = read(tmp_path / "all.h5")
    assert [record.station for record in found] == ["one", "two"]
    assert all(np.allclose(record.samples, samples) for record in found)
    assert found[0].metadata.magnitude == 6.5 and np.isnan(found[0].metadata.distance_km)
    assert [record.metadata.vertical for record in found] == [0.0, 1.0]
    assert "broken: no attribute 'dt'" in faults
    assert "loud: could not convert" in faults


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"sampling_rate": 0.0}, "sampling_rate 0"),
        ({"sampling_rate": [100.0, 100.0]}, "2 values"),
        ({"signal_broadband": ["a", "b"]}, "expected: numbers"),
        ({"signal_broadband": np.ones((2, 3))}, "(2, 3) values"),
        ({"signal_broadband": 1j * np.ones(3)}, "complex128"),
    ],
)
def test_faults_of_npz_are_named(tmp_path: Path, more: dict[str, object], reason: str) -> None:
    content = {"signal_broadband": some_record().samples, "sampling_rate": 100.0, **more}
    np.savez(tmp_path / "bad.npz", **content)  # type: ignore[arg-type]
    found, faults = read(tmp_path / "bad.npz")
    assert found == []
    assert "bad.npz" in faults and reason in faults


@pytest.mark.parametrize(
    ("line", "place", "vertical"),
    [
        ("Loma Prieta, 10/18/1989, Gilroy - Gavilan Coll., 67", ("Loma Prieta", "Gilroy - Gavilan Coll."), 0.0),
        ("CHI-CHI 09/20/99, ALS, E", ("CHI-CHI 09/20/99", "ALS"), 0.0),
        ("Kobe, 1/16/1995, Port Island, 0 m, UP", ("Kobe", "Port Island, 0 m"), 1.0),
    ],
)
def test_the_place_of_an_at2(tmp_path: Path, line: str, place: tuple[str, str], vertical: float) -> None:
    path = write_at2(tmp_path / "a.AT2", some_record().samples, dt_s=0.01)
    header, _, rest = path.read_text().split("\n", 2)
    path.write_text(
        "\n".join([header, line, rest.replace("NPTS= 4000, DT= 0.01000 SEC", "NPTS=   4000, DT=   .0100 SEC,")])
    )
    found = read_one(path, Declared())
    assert (found.event, found.station) == place
    assert found.metadata.vertical == vertical
    assert found.dt_s == 0.01


@pytest.mark.parametrize(("stated", "factor"), [("G", 1.0), ("CM/SEC**2", 980.665), ("M/S/S", 9.80665)])
def test_the_unit_that_an_at2_states_counts(tmp_path: Path, stated: str, factor: float) -> None:
    path = write_at2(tmp_path / "a.AT2", factor * some_record().samples, dt_s=0.01)
    path.write_text(path.read_text().replace("UNITS OF G", f"UNITS OF {stated}"))
    assert np.allclose(read_one(path, Declared("m/s2")).samples, some_record().samples, atol=1e-8)


def test_an_unknown_unit_of_an_at2_is_refused(tmp_path: Path) -> None:
    path = write_at2(tmp_path / "a.AT2", some_record().samples, dt_s=0.01)
    path.write_text(path.read_text().replace("UNITS OF G", "UNITS OF FURLONGS"))
    with pytest.raises(DataError, match="FURLONGS"):
        read_one(path, Declared())


def test_windows_depend_on_what_lies_below_1_hz_alone() -> None:
    record = some_record()
    spectrum = np.fft.rfft(record.samples)
    spectrum[np.fft.rfftfreq(len(record.samples), 0.01) > 1.0] = 0.0
    low = replace(record, samples=np.fft.irfft(spectrum, len(record.samples)))
    one, other = prepare(record, DataConfig()), prepare(low, DataConfig(), highest_hz=1.0)
    assert abs(one.start(0.3) - other.start(0.3)) <= 2


@pytest.mark.parametrize(("name", "value"), [("magnitude", -999.0), ("vs30_m_s", np.inf), ("distance_km", -1.0)])
def test_metadata_that_cannot_be_meant_are_refused(tmp_path: Path, name: str, value: float) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("one", data=some_record().samples).attrs.update({"dt": 0.01, name: value})
    found, faults = read(tmp_path / "a.h5")
    assert found == []
    assert f"{name} is {value:g}" in faults


BAD = {
    "empty.AT2": (b"", "0 lines"),
    "noheader.AT2": (b"a\nb\nc\nno numbers here\n1 2 3\n", "no numbers here"),
    "nodt.AT2": (b"a\nb\nc\nNPTS= 3,\n1 2 3\n", "NPTS= 3"),
    "count.AT2": (b"a\nb\nc\nNPTS= 4, DT= .01 SEC\n.1 .2 .3\n", "3 values"),
    "words.AT2": (b"a\nb\nc\nNPTS= 2, DT= .01 SEC\n.1 x\n", "could not convert"),
    "zero.AT2": (b"a\nb\nc\nNPTS= 3, DT= 0 SEC\n.1 .2 .3\n", "time step of 0.0 s"),
    "nan.AT2": (b"a\nb\nc\nNPTS= 3, DT= .01 SEC\n.1 nan .3\n", "1 of 3 values are not finite"),
    "constant.AT2": (b"a\nb\nc\nNPTS= 3, DT= .01 SEC\n.1 .1 .1\n", "constant at 0.1 g"),
    "step.AT2": (b"a\nb\nc\nNPTS= 3, DT= 1.2.3 SEC\n.1 .2 .3\n", "could not convert"),
    "noise.npz": (b"not a zip", "cannot be read"),
    "noise.h5": (b"not hdf5", "cannot be read"),
}


@pytest.mark.parametrize("name", BAD)
def test_faults_are_named_with_their_file(tmp_path: Path, name: str) -> None:
    content, reason = BAD[name]
    (tmp_path / name).write_bytes(content)
    found, faults = read(tmp_path / name)
    assert found == []
    assert name in faults and reason in faults


def test_all_faults_come_at_once_and_can_be_left_out(tmp_path: Path) -> None:
    for name, (content, _) in BAD.items():
        (tmp_path / name).write_bytes(content)
    write_npz(tmp_path / "short.npz", some_record().samples[1000:1500])
    write_npz(tmp_path / "slow.npz", some_record().samples, rate_hz=40.0)
    write_npz(tmp_path / "good.npz", some_record().samples)
    with pytest.raises(DataError) as caught:
        gather_motions(DataConfig(records=[tmp_path]), seed=0)
    for name in (*BAD, "short.npz", "slow.npz"):
        assert name in str(caught.value)
    assert "good.npz" not in str(caught.value)
    assert "lasts 5.00 s" in str(caught.value) and "sampled at 40 Hz" in str(caught.value)
    motions, left_out = gather_motions(DataConfig(records=[tmp_path], on_fault="leave_out"), seed=0)
    assert [Path(motion.record.name).name for motion in motions] == ["good.npz"]
    assert len(left_out) == len(BAD) + 2


def test_a_folder_without_records_and_a_file_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no records"):
        read(tmp_path)
    with pytest.raises(DataError, match="no such file or folder"):
        read(tmp_path / "nowhere")
    (tmp_path / "a.csv").write_text("1,2")
    assert "unknown kind of file" in read(tmp_path / "a.csv")[1]


def test_the_rate_is_that_of_the_file(tmp_path: Path) -> None:
    """100 Hz taken for granted on 200 Hz data gave a low-pass at 2 Hz."""
    slow = some_record().samples
    spectrum = np.fft.rfft(slow)
    fast = np.fft.irfft(np.concatenate([spectrum, np.zeros(len(slow) // 2)]), 2 * len(slow)) * 2.0
    paths = [
        write_npz(tmp_path / "slow.npz", slow, rate_hz=RATE_HZ),
        write_npz(tmp_path / "fast.npz", fast, rate_hz=2 * RATE_HZ),
    ]
    one, other = (prepare(read_one(path, Declared()), DataConfig()) for path in paths)
    assert abs(one.onset - other.onset) <= 1
    size = min(len(one.samples), len(other.samples))
    error = np.linalg.norm(one.samples[:size] - other.samples[:size]) / np.linalg.norm(one.samples)
    assert error < 0.02


def test_windows_have_one_length_and_begin_before_the_onset(tmp_path: Path) -> None:
    motion = prepare(some_record(), DataConfig())
    starts = [motion.start(place) for place in (0.01, 0.5, 0.99)]
    assert starts == sorted(starts, reverse=True) and len(set(starts)) == 3
    assert all(0 < motion.onset - start < 7 * RATE_HZ for start in starts)
    assert len(motion.window(0.5)) == WINDOW


def test_the_band_is_what_the_config_says() -> None:
    motion = prepare(some_record(), Config().data)
    power = np.abs(np.fft.rfft(motion.samples.astype(np.float64))) ** 2
    frequency = np.fft.rfftfreq(len(motion.samples), 1.0 / RATE_HZ)
    outside = (frequency < 0.08) | (frequency > 34.0)
    assert power[outside].sum() < 1e-4 * power.sum()
    assert power[(frequency > 0.5) & (frequency < 20.0)].sum() > 0.5 * power.sum()


def at2_file(
    path: Path, *, place: str = "Testville, 1/2/2003, Alpha, 90", unit: str = "ACCELERATION TIME SERIES IN UNITS OF G",
    size: str = "NPTS= 3000, DT= 0.0100 SEC", values: str = "1.0E-02", end: str = "\n",
) -> Path:  # fmt: skip
    """A record of 3,000 times the same value."""
    lines = ["MADE UP RECORD", place, unit, size, *[values] * 3000]
    path.write_bytes(end.join([*lines, ""]).encode())
    return path


@pytest.mark.parametrize(
    "size", ["NPTS= 3000, DT= 0.1000D-01 SEC", "NPTS= 3000, DT= 0.10d-01 SEC", "3000 1.0D-02 NPTS, DT"]
)
def test_fortrans_exponent_in_the_step(tmp_path: Path, size: str) -> None:
    (record,) = read_at2(at2_file(tmp_path / "a.at2", size=size), "g")
    assert record.dt_s == 0.01


def test_a_step_that_is_no_number_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 4: DT"):
        list(read_at2(at2_file(tmp_path / "a.at2", size="NPTS= 3000, DT= 0.1x10-1 SEC"), "g"))


def test_fortrans_exponent_in_values(tmp_path: Path) -> None:
    (record,) = read_at2(at2_file(tmp_path / "a.at2", values="0.2500D-01"), "g")
    assert record.samples[0] == 0.025


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r\r\n", "\r"])
def test_line_ends_of_every_system(tmp_path: Path, end: str) -> None:
    path = at2_file(tmp_path / "a.at2", end=end, place="Testville, 1/2/2003, Ålesund, 90")
    (record,) = read_at2(path, "g")
    assert len(record.samples) == 3000
    assert record.station == "Ålesund"


@pytest.mark.parametrize(
    ("unit", "value"),
    [
        ("ACCELERATION IN GAL", 0.01 / 980.665),
        ("ACCELERATION TIME HISTORY (CM/S**2)", 0.01 / 980.665),
        ("UNITS: CM/SEC/SEC", 0.01 / 980.665),
        ("ACCELERATION, UNIT=GAL", 0.01 / 980.665),
        ("ACCELERATION TIME SERIES IN UNITS OF M/S2", 0.01 / 9.80665),
        ("ACCELERATION TIME SERIES", 0.01),
        ("ACCELERATION IN UNITS OF G", 0.01),
    ],
)
def test_the_unit_stands_in_many_ways(tmp_path: Path, unit: str, value: float) -> None:
    (record,) = read_at2(at2_file(tmp_path / "a.at2", unit=unit), "g")
    assert record.samples[0] == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize(
    ("place", "event", "station"),
    [
        ("Chi-Chi, Taiwan-04, 9/20/1999, TCU065, E", "Chi-Chi, Taiwan-04", "TCU065"),
        ("Chi-Chi, Taiwan, 9/20/99, TCU 065, old hut, E", "Chi-Chi, Taiwan", "TCU 065, old hut"),
        ("Friuli, Italy-02, 1976-09-15, Buia, 0", "Friuli, Italy-02", "Buia"),
        ("Northridge-01, Beverly Hills, 9", "Northridge-01", "Beverly Hills"),
    ],
)
def test_an_event_may_have_a_comma(tmp_path: Path, place: str, event: str, station: str) -> None:
    (record,) = read_at2(at2_file(tmp_path / "a.at2", place=place), "g")
    assert (record.event, record.station) == (event, station)
