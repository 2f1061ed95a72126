"""Trials share what no setting of theirs decides: records are filtered once, sets are frozen once."""

from __future__ import annotations

import pytest
import torch

from distsys.domains.ground_motion import GroundMotion
from distsys.domains.ground_motion.config import DataConfig
from distsys.domains.ground_motion.data import gathering
from distsys.domains.ground_motion.data.records import Record
from distsys.domains.ground_motion.data.windows import Motion, prepare
from distsys.domains.protocol import AnyDomain, DataBundle
from distsys.testing.subject import Subject
from distsys.training.data import built_data
from tests.domains.ground_motion.support import SMALL

DOMAIN: AnyDomain = GroundMotion()
SUBJECT = Subject("ground_motion", overrides=SMALL)


def built(*overrides: str) -> DataBundle:
    return built_data(DOMAIN, SUBJECT.configured(*overrides))


def test_a_trial_that_differs_in_dropout_alone_shares_everything() -> None:
    assert built("model.dropout=0.1") is built("model.dropout=0.2")


def test_a_trial_of_another_route_shares_the_frozen_sets() -> None:
    one, other = built(), built("model.route=envelope")
    assert one is not other
    assert one.validation is other.validation and one.test is other.test
    assert not torch.equal(one.statistics["sigma_data"], other.statistics["sigma_data"])  # type: ignore[arg-type]


def test_records_are_filtered_once_for_all_sizes_of_the_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    filtered: list[str] = []

    def counted(record: Record, data: DataConfig) -> Motion:
        filtered.append(record.name)
        return prepare(record, data)

    monkeypatch.setattr(gathering, "prepare", counted)
    for overrides in ((), ("data.validation_share=0.2",), ("data.test_samples=30", "model.route=complement")):
        built(*overrides)
    assert len(filtered) == len(set(filtered)) == 24
    built("data.low_hz=0.2")
    assert len(filtered) == 48
