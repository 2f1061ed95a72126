"""What `predict` answers: any duration, an onset of one's own, what files know, and formats that others read."""

from __future__ import annotations

import importlib.util
import io
import warnings
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from distsys.domains.ground_motion import GroundMotion
from distsys.domains.ground_motion import answer as answering
from distsys.domains.ground_motion.config import Request
from distsys.domains.ground_motion.data.formats.miniseed import obspy_module
from distsys.domains.ground_motion.data.mseed import Channel, mseed_bytes
from distsys.domains.ground_motion.data.reading import read_one
from distsys.domains.ground_motion.data.records import Declared
from distsys.domains.ground_motion.data.tiles import below
from distsys.domains.protocol import AnyDomain, Prediction
from distsys.errors import DataError
from distsys.pipeline.batch import questions_of
from tests.domains.ground_motion import files
from tests.domains.ground_motion.support import ROUTES, small_model, some_record, write_at2

DOMAIN: AnyDomain = GroundMotion()


@pytest.fixture(autouse=True)
def no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty picture: drawing takes longer than the motions."""
    monkeypatch.setattr(answering, "motion_figure", lambda given, motions: Figure())


@pytest.fixture
def low(tmp_path: Path) -> Path:
    return write_at2(tmp_path / "low.AT2", some_record().samples, dt_s=0.01)


def asked(path: Path, *, route: str = "gaussian", **more: Any) -> tuple[Prediction, np.ndarray, np.ndarray]:
    """The answer, its motions [samples, time] and what was given."""
    request = Request.model_validate({"lowfreq": path, "samples": 5, **more})
    answer: Prediction = DOMAIN.predict(small_model(route), request)
    content = answer.files[".npz"]
    assert isinstance(content, bytes)
    arrays = np.load(io.BytesIO(content))
    return answer, arrays["motions_g"], arrays["given_g"]


@pytest.mark.parametrize("route", ROUTES)
def test_a_whole_record_is_tiled(low: Path, route: str) -> None:
    answer, motions, given = asked(low, route=route, duration_s="whole")
    assert motions.shape == (5, 4000) and given.shape == (4000,)
    assert np.isfinite(motions).all() and not np.allclose(motions[0], motions[1])
    kept = below(torch.from_numpy(motions)).numpy()
    assert np.abs(kept - given).max() < 1e-4 * np.abs(given).max()
    assert answer.summary["seconds"] == 40.0 and answer.summary["starts_s"] == 0.0
    assert answer.summary["measured_from_s"] > 0.0


@pytest.mark.parametrize(("duration_s", "samples"), [(None, 2048), (30.0, 3000), (900.0, 4000)])
def test_a_duration_is_that_of_the_record_at_most(low: Path, duration_s: float | None, samples: int) -> None:
    assert asked(low, duration_s=duration_s)[1].shape == (5, samples)


def test_an_onset_of_one_s_own(low: Path) -> None:
    found, own = asked(low)[0].summary["starts_s"], asked(low, onset_s=15.0)[0].summary["starts_s"]
    assert own == pytest.approx(15.0 - (0.5 + 0.3 * 5.5), abs=0.01) != found
    with pytest.raises(DataError, match="an onset at 50 s"):
        asked(low, onset_s=50.0)


def test_what_a_file_knows_is_used_and_what_is_asked_with_counts_before_it(tmp_path: Path, low: Path) -> None:
    alone = asked(low)[1]
    (tmp_path / "metadata.csv").write_text("file,magnitude,distance_km\nlow.AT2,7.4,5\n")
    known = asked(low)[1]
    assert not np.allclose(alone, known)
    (tmp_path / "metadata.csv").write_text("file,magnitude,distance_km\nlow.AT2,4,5\n")
    assert np.array_equal(asked(low, magnitude=7.4)[1], known)


def test_files_beside_are_not_asked_about(tmp_path: Path, low: Path) -> None:
    (tmp_path / "metadata.csv").write_text("file\nlow.AT2\n")
    (tmp_path / "stations.xml").write_text("<FDSNStationXML/>")
    questions = questions_of(DOMAIN, {"lowfreq": tmp_path}, None)
    assert [question.name for question in questions or ()] == ["low"]


def test_a_list_of_stations_is_a_table(tmp_path: Path, low: Path) -> None:
    table = tmp_path / "stations.csv"
    table.write_text("name,lowfreq,magnitude,vs30-m-s,onset-s,duration-s\nA01,low.AT2,6.5,360,12,whole\n")
    questions = questions_of(DOMAIN, {}, table)
    assert questions is not None
    (question,) = questions
    assert question.name == "A01"
    assert question.values["lowfreq"] == low and question.values["duration_s"] == "whole"


def test_every_format_holds_the_same_motions(low: Path) -> None:
    answer, motions, _ = asked(low, duration_s=25.0)
    assert list(answer.files) == [".npz", ".zip", ".mseed", ".png"]
    archive = answer.files[".zip"]
    assert isinstance(archive, bytes)
    text = zipfile.ZipFile(io.BytesIO(archive)).read("motion_002.AT2").decode()
    again = read_one(files.write(low.parent / "again.AT2", text.splitlines()), Declared())
    assert np.allclose(again.samples, motions[1], rtol=1e-6, atol=1e-12)
    picture = answer.files[".png"]
    assert isinstance(picture, bytes) and picture.startswith(b"\x89PNG")
    assert next(iter(asked(low, samples=1)[0].files)) == ".at2"


def test_miniseed_by_its_description() -> None:
    """Fields at the places that SEED 2.4 gives them, chapter 8."""
    motions = np.arange(2 * 1500, dtype=np.float32).reshape(2, 1500)
    content = mseed_bytes(
        motions, Channel("bo", "AKT-013x", "HNZ", datetime(2020, 2, 3, 4, 5, 6, 250000, tzinfo=UTC)), rate_hz=100
    )
    assert len(content) == 4 * 4096
    first, second = content[:4096], content[4096:8192]
    assert first[:8] == b"000001D " and first[8:20] == b"AKT0100HNZBO"
    assert first[20:24] == bytes([2020 >> 8, 2020 & 255, 0, 34]) and tuple(first[24:27]) == (4, 5, 6)
    assert int.from_bytes(first[28:30], "big") == 2500
    assert int.from_bytes(first[30:32], "big") == 1008 and int.from_bytes(first[32:34], "big") == 100
    assert np.array_equal(np.frombuffer(first[64:], ">f4"), motions[0, :1008])
    assert int.from_bytes(second[30:32], "big") == 492
    assert content[8192:8212][13:15] == b"01"


@pytest.mark.skipif(importlib.util.find_spec("obspy") is None, reason="ObsPy is not installed")
def test_obspy_reads_the_miniseed(tmp_path: Path) -> None:
    path = files.knet(tmp_path / "a.NS", 0.05 * some_record().samples / np.abs(some_record().samples).max())
    answer, motions, _ = asked(path, duration_s="whole")
    content = answer.files[".mseed"]
    assert isinstance(content, bytes)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "made.mseed").write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stream = obspy_module().read(str(tmp_path / "out" / "made.mseed"))
    assert [trace.id for trace in stream] == [f"KN.AKT01.{number:02d}.HNS" for number in range(5)]
    assert all(np.array_equal(trace.data, motion) for trace, motion in zip(stream, motions, strict=True))
    begins = datetime.fromtimestamp(stream[0].stats.starttime.timestamp, UTC)
    assert begins - datetime(1996, 8, 10, 18, 12, 24, tzinfo=UTC) == timedelta(0)


def test_no_two_cures_of_the_domain_contradict_each_other() -> None:
    cures = [constraint.fix for constraint in DOMAIN.constraints]
    assert not [fix for fix in cures if "shorter" in fix or "lower model" in fix]
    assert sum("train longer" in fix for fix in cures) == 1
