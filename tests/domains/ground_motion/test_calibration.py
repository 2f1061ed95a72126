"""Spreads of levels hold for earthquakes and networks that no regression saw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from distsys.domains.ground_motion.data import levels
from distsys.domains.ground_motion.data.calibration import (
    EVENT_SHARE,
    LeftOut,
    calibrated,
    group_quantile,
    standard_scores,
)
from distsys.domains.ground_motion.data.cuts import network_of
from distsys.domains.ground_motion.data.levels import LevelModel
from distsys.domains.ground_motion.data.records import Record
from distsys.domains.ground_motion.score import evaluation
from distsys.domains.ground_motion.score.metrics import Scores
from tests.domains.ground_motion.support import small_bundle

BANDS = 3


def test_the_quantile_counts_groups_and_one_more() -> None:
    """By hand: four groups and one unknown have a fifth each; the large one counts no more than the others."""
    scores = np.array([1.0, 1.0, 1.0, 1.0, 2.0, 3.0, 4.0])[:, None]
    groups = np.array([0, 0, 0, 0, 1, 2, 3])
    assert [group_quantile(scores, groups, share) for share in (0.2, 0.4, 0.6, 0.8)] == [1.0, 2.0, 3.0, 4.0]
    assert group_quantile(scores, groups, 0.9) == 4.0


def test_scores_are_those_of_bands_and_of_the_whole_motion() -> None:
    """A band that is nearly all of the motion is missed as the motion is; one that is nothing of it is not."""
    expected, residual = np.array([[5.0, -5.0]]), np.array([[0.2, 0.9]])
    found = standard_scores(LeftOut(expected, residual, np.zeros(1), 0.9), np.diag([0.01, 0.09]))
    assert found[0] == pytest.approx([2.0, 3.0, 2.0], rel=1e-3)


@dataclass(frozen=True)
class World:
    """Residuals with a part of the network, of the event, of the site and of the record; tails as in Student's t."""

    network: float = 0.0
    event: float = 0.6
    within: float = 0.5

    def draw(self, random: np.random.Generator, *, networks: int, events: int) -> tuple[np.ndarray, ...]:
        """Residuals [records, bands] of 1 to 12 records an event, their events and networks."""
        count = random.integers(1, 13, networks * events)
        event = np.repeat(np.arange(networks * events), count)
        network = event // events
        parts = self.network * random.standard_normal((networks, BANDS))[network]
        parts = parts + self.event * random.standard_t(4, (networks * events, BANDS))[event]
        return parts + self.within * random.standard_normal((len(event), BANDS)), event, network


def _share(world: World, trials: int, *, scale: bool) -> tuple[float, float]:
    """Of a record of one more event, drawn at random, that lies in its bands; and the standard error of that."""
    random, hits = np.random.default_rng(0), []
    for _ in range(trials):
        residual, event, _ = world.draw(random, networks=1, events=16)
        seen, new = event < 15, np.flatnonzero(event == 15)[:1]
        weight = 1.0 / np.bincount(event[seen])[event[seen]]
        covariance = (weight[:, None] * residual[seen]).T @ residual[seen] / weight.sum()
        left = LeftOut(np.zeros_like(residual[seen]), residual[seen], event[seen], EVENT_SHARE)
        spread = calibrated(covariance, [left]) if scale else covariance
        item = LeftOut(np.zeros((1, BANDS)), residual[new], event[new], EVENT_SHARE)
        hits.append((standard_scores(item, spread) <= 1.6449).mean())
    return float(np.mean(hits)), float(np.std(hits) / np.sqrt(trials))


def test_a_new_event_is_covered_as_promised() -> None:
    """At least 90 %, and no more than a group's worth above: 15 groups cannot tell finer."""
    found, error = _share(World(), 600, scale=True)
    assert 0.9 - 2.5 * error <= found <= 0.9 + 1.0 / 16 + 2.5 * error
    plain, _ = _share(World(), 600, scale=False)
    assert plain < found - 0.02


def _fitted(world: World) -> LevelModel:
    """The regression on records of eight networks with four events each, which features tell apart."""
    random = np.random.default_rng(1)
    residual, event, network = world.draw(random, networks=8, events=4)
    features = torch.from_numpy(np.eye(8)[network] + 0.1 * random.standard_normal((len(event), 8)))
    return LevelModel.fit(features, torch.from_numpy(residual), event, network)


def test_networks_that_differ_widen_the_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    """By what leaving whole networks out shows, beyond what leaving events out does."""
    world = World(network=1.5, event=0.2, within=0.2)
    wide = _fitted(world).factor.diagonal()
    monkeypatch.setattr(levels, "_networks_left_out", lambda *args: [])
    assert bool((wide > 1.2 * _fitted(world).factor.diagonal()).all())


def test_leaving_a_network_out_is_leaving_its_events_out() -> None:
    random = np.random.default_rng(0)
    z = np.column_stack([np.ones(60), random.standard_normal((60, 3))])
    y, weight, events = random.standard_normal((60, 2)), np.ones(60), np.repeat(np.arange(15), 4)
    networks = np.repeat(list("abcde"), 12)
    networks[0] = "b"  # event 0 was recorded by two networks
    (found,) = levels._networks_left_out(z, y, weight, events, networks, 2.0)
    for network in "abcde":
        own = networks == network
        out = np.isin(events, events[own])
        fit = levels._ridge(z[~out], y[~out], weight[~out], 2.0)
        rows = found.groups == network
        assert np.allclose(found.expected[rows], z[own] @ fit)
        assert np.allclose(found.residual[rows], y[own] - z[own] @ fit)


def test_too_few_networks_promise_nothing() -> None:
    z, events = np.ones((40, 1)), np.repeat(np.arange(10), 4)
    assert levels._networks_left_out(z, np.zeros((40, 1)), np.ones(40), events, np.repeat(["a", "b"], 20), 1.0) == []


def test_a_coverage_of_all_is_known_to_one_event() -> None:
    """Nothing varies where every record is covered; its standard error was 0, and a set of 8 events sick."""
    bundle = small_bundle()
    motion = torch.cat([batch["motion"] for batch in bundle.validation.batches])
    scores = Scores.of(motion[:, None].expand(-1, 19, -1), motion)
    events = torch.arange(len(motion)) % 4
    errors = evaluation._errors(scores, torch.zeros(len(motion)), events)
    assert errors["coverage_highest"] == pytest.approx(1.0 / 5.0)
    assert errors["coverage_lowest"] == 0.0


@pytest.mark.parametrize(("station", "network"), [("CI.CCC China Lake", "CI"), ("TCU065", "nga"), ("--.x", "--")])
def test_the_network_is_the_station_s_code_or_the_catalogue(station: str, network: str) -> None:
    assert network_of(Record(np.zeros(2), 0.01, "event", station, "name", source="nga")) == network
