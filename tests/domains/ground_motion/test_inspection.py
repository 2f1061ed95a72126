"""`data check`: every planted fault is found and nothing else; what is known; which names are one earthquake."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from distsys.domains.ground_motion.config import Config
from distsys.domains.ground_motion.data.inspection import inspect
from distsys.domains.ground_motion.data.synthetic import synthetic_records
from distsys.domains.protocol import Inspection
from tests.domains.ground_motion import files
from tests.domains.ground_motion.support import write_npz

NUM_EVENTS = 12


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of twelve earthquakes."""
    folder = tmp_path_factory.mktemp("healthy")
    for number, record in enumerate(synthetic_records(NUM_EVENTS, 1, seed=0)[::2]):
        write_npz(folder / f"r{number:02d}.npz", record.samples, event=f"Quake {'ABCDEFGHIJKL'[number]}", station="S")
    return folder


def checked(*places: Path) -> Inspection:
    return inspect(Config.model_validate({"data": {"records": [str(place) for place in places]}}), seed=0)


def motion(number: int = 0) -> np.ndarray:
    """A record in g of an earthquake that is none of the healthy ones."""
    samples = synthetic_records(NUM_EVENTS + 2, 1, seed=0)[2 * NUM_EVENTS + 2 * number].samples
    scaled: np.ndarray = 0.05 * samples / np.abs(samples).max()
    return scaled


def test_healthy_records_have_no_fault(healthy: Path) -> None:
    found = checked(healthy)
    assert list(found.faults) == []
    assert not [title for title in found.tables if "one earthquake" in title]
    (title,) = (title for title in found.tables if title.startswith("share of records"))
    headers, ((_, *known),) = found.tables[title]
    said = dict(zip(headers[1:], known, strict=True))
    assert said == dict.fromkeys(headers[1:], "-") | {"event": "all"}


def cut(path: Path, lines: int) -> None:
    path.write_text("\n".join(path.read_text().split("\n")[:-lines]))


def swapped(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


PLANTED: dict[str, tuple[Callable[[Path], object], str]] = {
    "gal for g": (lambda folder: write_npz(folder / "x.npz", 980.0 * motion()), "x.npz: peaks at"),
    "scaled twice": (lambda folder: write_npz(folder / "x.npz", 1e-5 * motion()), "below what instruments resolve"),
    "short": (lambda folder: write_npz(folder / "x.npz", motion()[:1000]), "x.npz: lasts 10.00 s"),
    "slow": (lambda folder: write_npz(folder / "x.npz", motion(), rate_hz=50.0), "x.npz: sampled at 50 Hz"),
    "a hole": (
        lambda folder: write_npz(folder / "x.npz", np.where(np.arange(4000) == 7, np.nan, motion())),
        "1 of 4000 values",
    ),
    "dead": (lambda folder: write_npz(folder / "x.npz", np.zeros(4000)), "x.npz: constant at 0 g"),
    "K-NET magnitude": (
        lambda folder: files.knet(folder / "x.NS", motion(), **{"Mag.": "59"}),
        "x.NS, line 5 (Mag.): magnitude is 59",
    ),
    "K-NET scale": (
        lambda folder: files.knet(folder / "x.NS", motion(), **{"Scale Factor": "2000(V)/8388608"}),
        "x.NS, line 14: Scale Factor '2000(V)/8388608'",
    ),
    "ESM velocity": (
        lambda folder: files.esm(folder / "x.ASC", motion(), UNITS="cm/s"),
        "x.ASC, line 18: ACCELERATION in cm/s",
    ),
    "ESM Vs30": (lambda folder: files.esm(folder / "x.ASC", motion(), VS30="0.41"), "x.ASC, line 12: vs30_m_s is 0.41"),
    "ESM cut": (lambda folder: cut(files.esm(folder / "x.ASC", motion()), 500), "as NDATA says"),
    "COSMOS cut": (lambda folder: cut(files.cosmos(folder / "x.V2c", motion()), 900), "x.V2c, from line 46 on"),
    "COSMOS Vs30": (
        lambda folder: files.cosmos(folder / "x.V2c", motion(), vs30=4.0),
        "x.V2c, real header 4: vs30_m_s is 4",
    ),
    "CSMIP stars": (
        lambda folder: swapped(files.csmip(folder / "x.V2", motion()), " (8f10.6)\n", " (8f10.6)\n**********"),
        "x.V2, line 47: '**********'",
    ),
    "SMC velocity": (lambda folder: files.smc(folder / "x.smc", motion(), kind="3 VELOCITY"), "x.smc, line 1"),
    "uneven times": (
        lambda folder: files.write(folder / "x.txt", [f"{0.01 * n + (n > 9)} {g}" for n, g in enumerate(motion())]),
        "x.txt, line 11: time 1.1",
    ),
    "no step": (lambda folder: files.write(folder / "x.txt", [f"{g}" for g in motion()]), "no word of its step"),
    "foreign": (lambda folder: (folder / "x.sac").write_bytes(b"\0" * 700), "obspy.read('x.sac')"),
    "table": (
        lambda folder: files.write(folder / "metadata.csv", ["file,magnitude", "x.npz,70"]),
        "metadata.csv, line 2: magnitude is 70",
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found_and_nothing_else_is(healthy: Path, tmp_path: Path, name: str) -> None:
    plant, expected = PLANTED[name]
    write_npz(tmp_path / "sound.npz", motion(1), event="Quake N")
    plant(tmp_path)
    (fault,) = checked(healthy, tmp_path).faults
    assert expected in fault


def test_groups_are_listed_sure_and_doubtful_apart(healthy: Path, tmp_path: Path) -> None:
    write_npz(tmp_path / "a.npz", motion(), event="QUAKE A (1999)")
    write_npz(tmp_path / "b.npz", motion(1), event="Quake B-02")
    found = checked(healthy, tmp_path)
    assert list(found.faults) == []
    rows = {title: rows for title, (_, rows) in found.tables.items() if "one earthquake" in title}
    events = {
        title.rpartition(": ")[2]: {str(row[0])[2:].rpartition(", ")[0] for row in part if str(row[0])[0] == "1"}
        for title, part in rows.items()
    }
    assert events["doubtful"] == {"Quake B", "Quake B-02"}
    assert events["names of one earthquake, which stay in one fold"] == {"Quake A", "QUAKE A (1999)"}


def test_too_few_earthquakes_is_one_fault(tmp_path: Path) -> None:
    write_npz(tmp_path / "a.npz", motion())
    (fault,) = checked(tmp_path).faults
    assert "1 event" in fault
