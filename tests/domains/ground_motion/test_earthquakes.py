"""Which names mean one earthquake, and that its records stay in one fold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from distsys.domains.ground_motion.config import DataConfig
from distsys.domains.ground_motion.data.earthquakes import Named, are_perhaps_one, merged, name_of
from distsys.domains.ground_motion.data.folds import event_numbers, split
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


def test_groups_hang_together() -> None:
    names = [Named(PEER, "Northridge-01"), Named(PEER, "Kobe"), Named(PEER, "Northridge-02"), Named(FEMA, "Northridge")]
    assert merged(names) == [[names[0], names[2], names[3]], [names[1]]]


def test_an_earthquake_under_two_names_and_times_is_in_one_fold() -> None:
    """The records of one are called by two catalogues, at stations and in noise of their own."""
    records = synthetic_records(16, 2, seed=0)
    first = records[0].event
    own = [record for record in records if record.event == first]
    planted = [
        replace(record, event="Imperial Valley-06" if index % 2 else "Imperial Valley 1979",
                source=PEER if index % 2 else FEMA, station=f"S{index}")
        for index, record in enumerate(own)
    ]  # fmt: skip
    others = [record for record in records if record.event != first]
    motions = [prepare(record, DataConfig()) for record in (*planted, *others)]
    events = event_numbers(motions)
    assert len(set(events[: len(planted)].tolist())) == 1
    assert len(np.unique(events)) == 16
    for fold in split(events, validation_share=0.15, seed=0):
        assert not set(events[fold.test]) & set(events[fold.train])
        assert not set(events[fold.test]) & set(events[fold.validation])
