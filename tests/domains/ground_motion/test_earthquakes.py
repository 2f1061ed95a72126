"""Which names mean one earthquake, and that its records stay in one fold."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from distsys.domains.ground_motion.config import DataConfig
from distsys.domains.ground_motion.data.earthquakes import Named, are_perhaps_one, likeness, merged, name_of
from distsys.domains.ground_motion.data.folds import split
from distsys.domains.ground_motion.data.grouping import grouped, named
from distsys.domains.ground_motion.data.origins import DATE_S, YEAR_S, Origin
from distsys.domains.ground_motion.data.records import Record
from distsys.domains.ground_motion.data.synthetic import synthetic_records
from distsys.domains.ground_motion.data.windows import prepare

FEMA, PEER = "FEMA P-695", "at2"


@pytest.mark.parametrize(
    ("event", "base", "number"),
    [
        ("Imperial Valley-06", "imperial valley", 6),
        ("Imperial Valley (1979)", "imperial valley", None),
        ("Chi-Chi, Taiwan-04", "chi chi taiwan", 4),
        ("Loma Prieta 1989", "loma prieta", None),
        ("nc216859", "loma prieta", None),
        ("ci3144585", "northridge", None),
        ("Northridge-01", "northridge", 1),
        ("1999", "1999", None),
        ("Loma Prieta, CA", "loma prieta", None),
        ("CHI-CHI 09/20/99", "chi chi", None),
        ("IMPERIAL VALLEY 10/15/79 2319", "imperial valley", None),
        ("geonet", "geonet", None),
    ],
)
def test_a_name_without_what_catalogues_add(event: str, base: str, number: int | None) -> None:
    assert name_of(event) == (base, number)


@pytest.mark.parametrize(
    ("one", "other", "perhaps"),
    [
        (Named(FEMA, "Northridge"), Named(PEER, "Northridge-01"), True),
        (Named(FEMA, "Northridge"), Named("net", "ci3144585"), True),
        (Named(PEER, "Northridge-01"), Named(PEER, "Northridge-02"), False),
        (Named(PEER, "Chi-Chi, Taiwan"), Named(PEER, "Chi-Chi, Taiwan-03"), False),
        (Named("a", "Northridge-01"), Named("b", "Northridge-02"), False),
        (Named("a", "Northridge-01"), Named("b", "NORTHRIDGE_01 1994"), True),
        (Named("a", "Kobe"), Named("b", "Kocaeli"), False),
        (Named(PEER, "Kobe"), Named(PEER, "Kobe"), True),
    ],
)
def test_names_that_may_mean_one_earthquake(one: Named, other: Named, perhaps: bool) -> None:
    assert are_perhaps_one(one, other) is perhaps
    assert are_perhaps_one(other, one) is perhaps


ROME, TURIN = (41.9, 12.5), (45.07, 7.69)


def at(time: str, place: tuple[float, float] | None = None, *, within_s: float = 1.0) -> Origin:
    latitude, longitude = place or (None, None)
    return Origin(datetime.fromisoformat(time).replace(tzinfo=UTC), within_s, latitude, longitude)


@pytest.mark.parametrize(
    ("one", "other", "sure"),
    [
        (at("2016-08-24T01:36:32", ROME), at("2016-08-24T01:36:50", (41.8, 12.9)), True),
        (at("2016-08-24T01:36:32", ROME), at("2016-08-24T01:36:50"), False),
        (at("2016-08-24T01:36:32", ROME), at("2016-08-24T01:36:50", TURIN), None),
        (at("2016-08-24T01:36:32", ROME), at("2016-08-24T01:56:32", ROME), None),
        (at("2016-08-24T01:36:32", ROME), at("2016-08-24T03:36:40", ROME), False),
        (at("2016-08-24T01:36:32", ROME), at("2016-08-24T12:00:00", ROME, within_s=DATE_S), False),
        (at("2016-08-24T01:36:32", ROME), at("2016-08-24T12:00:00", within_s=DATE_S), False),
        (at("2016-08-24T01:36:32", ROME), at("2016-08-24T12:00:00", TURIN, within_s=DATE_S), None),
        (at("2016-08-24T01:36:32", ROME), at("2016-08-28T12:00:00", within_s=DATE_S), None),
        (at("2016-08-24T01:36:32", ROME), Origin(), None),
    ],
)
def test_origins_come_before_names(one: Origin, other: Origin, sure: bool | None) -> None:
    found = likeness(Named("a", "this", one, 6.2), Named("b", "that", other, 6.0))
    assert (found.sure if found else None) is sure


@pytest.mark.parametrize(
    ("one", "other", "perhaps"),
    [
        (at("1994-01-17T12:30:55"), at("1994-03-20T21:20:12"), False),
        (at("1994-01-17T12:30:55"), at("1994-07-02T12:00:00", within_s=YEAR_S), True),
        (at("1995-01-17T12:30:55"), at("1993-07-02T12:00:00", within_s=YEAR_S), False),
        (at("1994-01-17T12:30:55"), at("1994-01-17T12:00:00", within_s=DATE_S), True),
    ],
)
def test_origins_part_like_names(one: Origin, other: Origin, perhaps: bool) -> None:
    assert are_perhaps_one(Named("a", "Northridge", one), Named("b", "Northridge", other)) is perhaps


def test_records_that_tell_no_event_are_one_where_they_begin_together() -> None:
    start = datetime(2016, 8, 24, 1, 36, 40, tzinfo=UTC)
    one, later, next_day = (
        Named("a", f"{number}.mseed", begins=start + timedelta(seconds=seconds))
        for number, seconds in enumerate((0, 90, 86400))
    )
    assert likeness(one, later) == ("starts of records", False)
    assert likeness(one, next_day) is None
    assert likeness(one, Named("b", "Amatrice", at("2016-08-24T01:36:32", ROME))) == ("starts of records", False)
    assert likeness(later, Named("b", "Norcia", at("2016-10-30T06:40:18", ROME))) is None
    record = replace(synthetic_records(1, 1, seed=0)[0], event="0.mseed", name="0.mseed/XX.A..HNZ", begins=start)
    assert named(record).begins == start and named(replace(record, event="told")).begins is None


def test_one_record_s_magnitude_does_not_join_another_day_s() -> None:
    same = [
        Named("a", "this", at("2016-08-24T01:36:32", ROME), 6.2),
        Named("a", "next", at("2016-10-30T06:40:18", ROME), 6.5),
    ]
    assert len(merged(same)) == 2


def test_groups_hang_together() -> None:
    names = [Named(PEER, "Northridge-01"), Named(PEER, "Kobe"), Named(PEER, "Northridge-02"), Named(FEMA, "Northridge")]
    assert merged(names) == [[names[0], names[2], names[3]], [names[1]]]


def planted() -> tuple[list[Record], int]:
    """Sixteen earthquakes, one of them under three names, times and networks: local time, a date, and UTC."""
    records = synthetic_records(16, 2, seed=0)
    first = records[0].event
    own = [record for record in records if record.event == first]
    place: dict[str, Any] = {"latitude_deg": 32.82, "longitude_deg": -115.65}
    tellings = (
        ("Imperial Valley-06", "PEER", "", at("1979-10-15T12:00:00", within_s=DATE_S)),
        ("us1979a", "CE", "CSMIP", replace(at("1979-10-15T23:16:54"), **place)),
        ("1979/10/15 16:16:57", "NP", "SMC", replace(at("1979-10-15T16:16:57"), **place)),
        ("Imperial Valley 1979", "FEMA", "FEMA", at("1979-07-02T00:00:00", within_s=YEAR_S)),
    )
    told = [
        replace(record, event=event, source=source, network=network, station=f"S{index}", origin=origin)
        for index, (record, (event, network, source, origin)) in enumerate(zip(own, tellings, strict=True))
    ]
    return [*told, *(record for record in records if record.event != first)], len(told)


def test_an_earthquake_under_several_names_times_and_networks_is_in_one_fold() -> None:
    records, count = planted()
    found = grouped([prepare(record, DataConfig()) for record in records])
    events = found.numbers
    assert len(set(events[:count].tolist())) == 1
    assert len(np.unique(events)) == 16
    (group,) = found.groups
    assert len(group.names) == 4 and not group.likeness.sure
    for why in ("whole hours apart", "names", "dates"):
        assert why in group.likeness.why
    for fold in split(events, validation_share=0.15, seed=0):
        assert not set(events[fold.test]) & set(events[fold.train])
        assert not set(events[fold.test]) & set(events[fold.validation])


def test_a_near_copy_joins_and_says_which_records_it_was() -> None:
    records = synthetic_records(2, 1, seed=0)
    copy = replace(records[0], event="another", name="copy", samples=0.5 * records[0].samples)
    (group,) = grouped([prepare(record, DataConfig()) for record in (*records, copy)]).groups
    assert "and copy correlate by 1.00" in group.likeness.why and not group.likeness.sure
