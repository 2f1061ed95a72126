"""miniSEED with a StationXML, a gain or neither, and QuakeML beside it."""

from __future__ import annotations

import importlib.util
import math
import warnings
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from distsys.domains.faults import Faults
from distsys.domains.ground_motion.config import DataConfig
from distsys.domains.ground_motion.data.formats import miniseed
from distsys.domains.ground_motion.data.reading import read_one, read_records
from distsys.domains.ground_motion.data.records import Declared
from distsys.errors import DataError
from tests.domains.ground_motion.support import some_record

SAMPLES = some_record().samples
MADE = 0.05 * SAMPLES / np.abs(SAMPLES).max()
COUNTS_PER_M_S2 = 400_000.0
needs_obspy = pytest.mark.skipif(importlib.util.find_spec("obspy") is None, reason="ObsPy is not installed")


def write(path: Path, samples: np.ndarray) -> Path:
    obspy = miniseed.obspy_module()
    header = {"network": "XX", "station": "ABC", "channel": "HNZ", "sampling_rate": 100.0,
              "starttime": obspy.UTCDateTime("2019-07-06T03:19:50.25Z")}  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        obspy.Trace(samples, header).write(str(path), format="MSEED")
    return path


def counts() -> np.ndarray:
    found: np.ndarray = np.rint(MADE * 9.80665 * COUNTS_PER_M_S2).astype(np.int32)
    return found


def station_xml(path: Path) -> Path:
    path.write_text(
        f"""<?xml version="1.0" encoding="UTF-8"?>
<FDSNStationXML xmlns="http://www.fdsn.org/xml/station/1" schemaVersion="1.1">
 <Source>made up</Source><Created>2020-01-01T00:00:00</Created>
 <Network code="XX"><Station code="ABC"><Latitude>35.5</Latitude><Longitude>-117.6</Longitude><Elevation>0</Elevation>
  <Site><Name>made up</Name></Site>
  <Channel code="HNZ" locationCode=""><Latitude>35.5</Latitude><Longitude>-117.6</Longitude><Elevation>0</Elevation>
   <Depth>0</Depth><SampleRate>100</SampleRate>
   <Response><InstrumentSensitivity><Value>{COUNTS_PER_M_S2}</Value><Frequency>1</Frequency>
    <InputUnits><Name>M/S**2</Name></InputUnits><OutputUnits><Name>COUNTS</Name></OutputUnits>
   </InstrumentSensitivity></Response>
  </Channel></Station></Network></FDSNStationXML>"""
    )
    return path


def quake_ml(path: Path, *times: str) -> Path:
    events = "".join(
        f"""<event publicID="quakeml:made.up/{number}">
<description><text>Made Up</text><type>earthquake name</type></description>
<origin publicID="quakeml:made.up/o{number}"><time><value>{time}</value></time><latitude><value>35.77</value></latitude>
<longitude><value>-117.6</value></longitude><depth><value>8000</value></depth></origin>
<magnitude publicID="quakeml:made.up/m{number}"><mag><value>5.1</value></mag></magnitude></event>"""
        for number, time in enumerate(times)
    )
    path.write_text(
        f"""<?xml version="1.0"?><q:quakeml xmlns:q="http://quakeml.org/xmlns/quakeml/1.2"
xmlns="http://quakeml.org/xmlns/bed/1.2"><eventParameters publicID="quakeml:made.up/all">{events}</eventParameters>
</q:quakeml>"""
    )
    return path


@needs_obspy
def test_counts_with_a_stationxml_and_a_quakeml(tmp_path: Path) -> None:
    station_xml(tmp_path / "stations.xml")
    quake_ml(tmp_path / "events.xml", "2019-07-06T03:19:53Z", "2019-07-05T01:00:00Z")
    found = read_one(write(tmp_path / "a.mseed", counts()), Declared())
    assert np.allclose(found.samples, MADE, atol=1.0 / COUNTS_PER_M_S2 / 9.80665)
    assert (found.dt_s, found.network, found.station, found.component) == (0.01, "XX", "ABC", "HNZ")
    assert (found.event, found.metadata.magnitude, found.metadata.vertical) == ("Made Up", 5.1, 1.0)
    assert found.begins == datetime(2019, 7, 6, 3, 19, 50, 250000, tzinfo=UTC)
    assert found.origin.time == datetime(2019, 7, 6, 3, 19, 53, tzinfo=UTC)
    assert found.metadata.distance_km == pytest.approx(math.hypot(30.0, 8.0), abs=0.1)


@needs_obspy
def test_counts_without_a_response_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="counts without a response"):
        read_one(write(tmp_path / "a.mseed", counts()), Declared())


@needs_obspy
def test_counts_with_a_gain(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text(f"file,counts_per_m_s2\na.mseed,{COUNTS_PER_M_S2}\n")
    found = read_one(write(tmp_path / "a.mseed", counts()), Declared())
    assert np.allclose(found.samples, MADE, atol=1.0 / COUNTS_PER_M_S2 / 9.80665)


@needs_obspy
def test_real_numbers_are_accelerations_in_the_declared_unit(tmp_path: Path) -> None:
    found = read_one(write(tmp_path / "a.mseed", MADE * 980.665), Declared("cm/s2"))
    assert np.allclose(found.samples, MADE, atol=1e-12)


@needs_obspy
def test_of_two_events_at_once_none_is_taken(tmp_path: Path) -> None:
    quake_ml(tmp_path / "events.xml", "2019-07-06T03:19:53Z", "2019-07-06T03:20:05Z")
    path = write(tmp_path / "a.mseed", MADE)
    assert read_one(path, Declared()).event == str(path)


@needs_obspy
def test_gaps_and_damage_are_told(tmp_path: Path) -> None:
    obspy = miniseed.obspy_module()
    one = obspy.Trace(MADE.copy(), {"sampling_rate": 100.0, "station": "ABC"})
    other = obspy.Trace(MADE.copy(), {"sampling_rate": 100.0, "station": "ABC", "starttime": one.stats.endtime + 5.0})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        obspy.Stream([one, other]).write(str(tmp_path / "gap.mseed"), format="MSEED")
    (tmp_path / "broken.mseed").write_bytes(b"000001D nothing more")
    faults = Faults(tmp_path)
    assert read_records(DataConfig(records=[tmp_path]), faults) == []
    assert len(faults.lines) == 2
    assert any("gap.mseed/.ABC..: has gaps" in line for line in faults.lines)
    assert any("broken.mseed: cannot be read as miniSEED" in line for line in faults.lines)


def test_without_obspy_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.mseed").write_bytes(b"000001D nothing more")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"pip install 'distsys\[obspy\]'"):
        read_one(tmp_path / "a.mseed", Declared())
