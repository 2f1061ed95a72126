"""Envelopes drawn in one pass, and the score that they are trained by."""

from __future__ import annotations

import pytest
import torch

from distsys.domains.ground_motion.config import ModelConfig
from distsys.domains.ground_motion.data.envelopes import inputs_of, shapes_of
from distsys.domains.ground_motion.data.operators import lowpass
from distsys.domains.ground_motion.model.losses import ensemble_score
from distsys.domains.ground_motion.model.noisy_network import NoisyNetwork
from tests.domains.ground_motion.support import some_motions


def network(*, dropout: float) -> NoisyNetwork:
    """A small one, fresh."""
    torch.manual_seed(0)
    config = ModelConfig.model_validate({"route": "ensemble", "channels": 8, "blocks": 2, "dropout": dropout})
    return NoisyNetwork(config)


def drawn(model: NoisyNetwork, *, seed: int, count: int = 6) -> torch.Tensor:
    with torch.no_grad():
        return model(inputs_of(lowpass(some_motions(3))), count, generator=torch.Generator().manual_seed(seed))


def test_draws_depend_on_the_generator_alone() -> None:
    model = network(dropout=0.35)
    before = torch.random.get_rng_state()
    assert torch.equal(drawn(model, seed=0), drawn(model, seed=0))
    assert not torch.allclose(drawn(model, seed=0), drawn(model, seed=1))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_draws_are_as_wide_in_use_as_in_training() -> None:
    """Dropout that ends with training takes its part of the spread along."""
    model = network(dropout=0.5)
    one, other = drawn(model.train(), seed=0), drawn(model.eval(), seed=0)
    assert torch.equal(one, other)
    assert float(one.std(dim=1).mean()) > 1.1 * float(drawn(network(dropout=0.0), seed=0).std(dim=1).mean())


def test_draws_are_as_loud_as_the_motion_that_they_become() -> None:
    """They once differed by an offset of all frames, which the level of a motion takes away again."""
    power = (2.0 * drawn(network(dropout=0.35), seed=0)).exp().mean(dim=-1)
    assert torch.allclose(power, torch.ones_like(power), rtol=1e-4)


@pytest.mark.parametrize("dropout", [0.0, 0.35])
def test_channels_are_left_out_at_the_rate_that_is_set(dropout: float) -> None:
    noise = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
    kept = network(dropout=dropout)._kept(noise)
    assert float((kept == 0.0).float().mean()) == pytest.approx(dropout, abs=0.01)
    assert float(kept.mean()) == pytest.approx(1.0, abs=0.02)


def test_the_score_is_nothing_for_the_truth_and_grows_with_what_is_missed() -> None:
    motion = some_motions(4)
    true = shapes_of(motion)[:, None].expand(-1, 3, -1, -1)
    assert torch.allclose(ensemble_score(true, motion), torch.zeros(4), atol=1e-5)
    assert bool((ensemble_score(torch.roll(true, 8, dims=-1), motion) > 0.1).all())
    assert torch.allclose(ensemble_score(true + 0.5, motion), torch.full((4,), 1.5), atol=1e-4)


def test_the_score_sees_whether_bands_rise_together() -> None:
    """The same bands one by one, dealt anew between draws: sums and coarse frames tell the difference."""
    generator = torch.Generator().manual_seed(0)
    motion = some_motions(6).repeat(40, 1)
    shared = torch.randn(len(motion), 8, 1, 1, generator=generator)
    alone = torch.randn(len(motion), 8, 6, 64, generator=generator)
    true = shapes_of(motion)
    one, other = (
        ensemble_score(true[:, None] + error - error[:, :1], motion) for error in (shared + 0.0 * alone, alone)
    )
    assert float(one.mean()) != pytest.approx(float(other.mean()), rel=0.1)


def test_the_score_does_not_depend_on_the_unit_or_the_order() -> None:
    motion = some_motions(4)
    draws = shapes_of(motion)[:, None] + torch.randn(4, 5, 6, 64, generator=torch.Generator().manual_seed(0))
    one = ensemble_score(draws, motion)
    assert torch.allclose(one, ensemble_score(draws.flip(1), 1e3 * motion), rtol=1e-3)
    assert torch.allclose(one[:1], ensemble_score(draws[:1], motion[:1]), rtol=1e-4)


def test_the_score_has_the_gradient_of_finite_differences() -> None:
    motion = some_motions(1)
    shape = shapes_of(motion).double()
    noise = torch.randn(1, 3, 6, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    along = torch.randn(1, 3, 6, 64, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    step = torch.zeros((), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda item: ensemble_score(shape[:, None] + noise + item * along, motion), step)
