"""Preconditioning, noise levels, samplers: beside problems whose answer is known."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from distsys.domains.ground_motion.config import Sampler
from distsys.domains.ground_motion.data.operators import NUM_BANDS, NUM_FRAMES, WINDOW, lowpass
from distsys.domains.ground_motion.model.dit import SignalDiT
from distsys.domains.ground_motion.model.frame_network import FrameNetwork
from distsys.domains.ground_motion.model.losses import denoising_loss
from distsys.domains.ground_motion.model.preconditioning import Preconditioned, training_levels
from distsys.domains.ground_motion.model.samplers import SAMPLERS, euler, guided, heun, num_evaluations, sampling_grid
from distsys.domains.ground_motion.model.unet import UNet
from tests.domains.ground_motion.support import some_motions

SIGMA = torch.tensor(0.002)


class Silent(nn.Module):
    def forward(self, noisy: Tensor, noise: Tensor, given: Tensor) -> Tensor:
        return torch.zeros_like(noisy)


def ideal(noisy: Tensor, sigma: Tensor) -> Tensor:
    """Posterior mean of Gaussian data of standard deviation SIGMA."""
    return SIGMA**2 / (SIGMA**2 + sigma**2) * noisy


@pytest.mark.parametrize("sigma_data", [0.002, 0.5, 40.0])
def test_the_grid_falls_to_zero_within_the_trained_levels(sigma_data: float) -> None:
    own = torch.tensor(sigma_data)
    grid = sampling_grid(12, own)
    trained = training_levels(20_000, own, generator=torch.Generator().manual_seed(0))
    assert len(grid) == 13
    assert float(grid[-1]) == 0.0
    assert bool((grid.diff() < 0).all())
    assert float(trained.min()) <= float(grid[-2]) * 1.05
    assert float(trained.max()) >= float(grid[0]) / 1.05
    every_step = [
        int(((trained >= low) & (trained < high)).sum()) for high, low in itertools.pairwise(grid[:-1].tolist())
    ]
    assert min(every_step) > 20


def test_levels_follow_the_scale_of_the_data() -> None:
    small, large = (
        training_levels(100, torch.tensor(scale), generator=torch.Generator().manual_seed(0)) for scale in (1e-3, 1e3)
    )
    assert torch.allclose(1e6 * small, large)
    assert torch.allclose(1e6 * sampling_grid(9, torch.tensor(1e-3)), sampling_grid(9, torch.tensor(1e3)))


def test_preconditioning_has_unit_scale_and_the_table_s_coefficients() -> None:
    """Karras et al. 2022, table 1, written out."""
    noisy = torch.randn(2, 1, 8)
    sigma = torch.tensor([0.1, 3.0])

    class Spy(nn.Module):
        def forward(self, inner: Tensor, noise: Tensor, given: Tensor) -> Tensor:
            self.seen = inner, noise
            return torch.ones_like(inner)

    spy, own = Spy(), 0.5
    found = Preconditioned(spy, torch.tensor(own))(noisy, sigma, noisy)
    for item, level in enumerate(sigma.tolist()):
        total = math.hypot(level, own)
        assert torch.allclose(spy.seen[0][item], noisy[item] / total)
        assert float(spy.seen[1][item]) == pytest.approx(math.log(level) / 4.0, rel=1e-5)
        expected = own**2 / total**2 * noisy[item] + level * own / total
        assert torch.allclose(found[item], expected)


def test_a_network_that_says_nothing_has_a_loss_of_about_one() -> None:
    clean = 0.002 * torch.randn(4000, 1, 16, generator=torch.Generator().manual_seed(1))
    found = Preconditioned(Silent(), SIGMA).denoised(clean, clean, generator=torch.Generator().manual_seed(0))
    assert float(denoising_loss(**found).mean()) == pytest.approx(1.0, rel=0.05)
    assert found["denoised"].shape == clean.shape


def test_raw_records_under_a_large_sigma_data_are_drowned() -> None:
    """99.7 % of noise levels more than ten times the signal: the loss falls nicely, and nothing is learned."""
    levels = training_levels(20_000, torch.tensor(0.5), generator=torch.Generator().manual_seed(0))
    assert float((levels > 10.0 * 0.002).float().mean()) > 0.9
    own = training_levels(20_000, SIGMA, generator=torch.Generator().manual_seed(0))
    assert float((own > 10.0 * 0.002).float().mean()) < 0.1


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_samplers_reach_the_right_spread(sampler: Sampler) -> None:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(20_000, 1, 1, generator=generator)
    steps = {"euler": 400, "heun": 40, "dpmpp_2m": 40}[sampler]
    grid = sampling_grid(steps, SIGMA)
    found = SAMPLERS[sampler](ideal, noise, grid, churn=0.0, generator=generator)
    assert float(found.std()) == pytest.approx(float(SIGMA), rel=0.02)


def test_higher_order_needs_fewer_steps() -> None:
    grid = sampling_grid(40, SIGMA)
    exact = float(grid[0] * SIGMA / (SIGMA**2 + grid[0] ** 2).sqrt())
    error = {}
    for sampler, sample in SAMPLERS.items():
        found = sample(ideal, torch.ones(1, 1, 1), grid, churn=0.0, generator=torch.Generator())
        error[sampler] = abs(float(found) - exact)
    assert error["dpmpp_2m"] < 0.5 * error["euler"]
    assert error["heun"] < 0.5 * error["euler"]


def test_churn_adds_noise_and_keeps_the_spread() -> None:
    noise = torch.randn(20_000, 1, 1, generator=torch.Generator().manual_seed(0))
    one, other = (
        heun(ideal, noise, sampling_grid(60, SIGMA), churn=10.0, generator=torch.Generator().manual_seed(seed))
        for seed in (1, 2)
    )
    assert not torch.equal(one, other)
    largest = []

    def watched(noisy: Tensor, sigma: Tensor) -> Tensor:
        largest.append(float(sigma))
        return ideal(noisy, sigma)

    grid = sampling_grid(9, SIGMA)
    euler(watched, noise[:1], grid, churn=10.0, generator=torch.Generator())
    assert max(largest) <= float(grid[0])
    assert float(one.std()) == pytest.approx(float(SIGMA), rel=0.05)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_evaluations_are_counted(sampler: Sampler) -> None:
    calls = 0

    def counted(noisy: Tensor, sigma: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return ideal(noisy, sigma)

    grid = sampling_grid(7, SIGMA)
    SAMPLERS[sampler](counted, torch.ones(1, 1, 1), grid, churn=0.0, generator=torch.Generator())
    assert calls == num_evaluations(sampler, 7)


def test_guidance_reaches_what_is_wanted_and_leaves_the_rest() -> None:
    """Training with a constraint and sampling without it was the first failure of the original."""
    wanted = lowpass(some_motions(2))[:, None]
    noise = torch.randn(2, 1, WINDOW, generator=torch.Generator().manual_seed(0))
    grid = sampling_grid(20, SIGMA)
    free = euler(ideal, noise, grid, churn=0.0, generator=torch.Generator())
    pulled = euler(guided(ideal, lowpass, wanted, largest=grid[0]), noise, grid, churn=0.0, generator=torch.Generator())
    midway = guided(ideal, lowpass, wanted, largest=grid[0])(noise, SIGMA)
    assert float((lowpass(midway) - wanted).norm() / lowpass(noise).norm()) < 0.01
    strayed = [float((lowpass(item) - wanted).norm() / wanted.norm()) for item in (free, pulled)]
    assert strayed[1] < 0.01 < strayed[0]
    assert torch.allclose(pulled - lowpass(pulled), free - lowpass(free), atol=1e-5 * float(free.abs().max()))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, int], tuple[int, int]]] = {
    "frames": (
        lambda: FrameNetwork(NUM_BANDS, 3, width=8, blocks=2, dropout=0.0),
        (NUM_BANDS, NUM_FRAMES),
        (3, NUM_FRAMES),
    ),
    "unet": (lambda: UNet(2, width=8, dropout=0.0), (1, WINDOW), (2, WINDOW)),
    "dit": (lambda: SignalDiT(2, width=8, blocks=1, dropout=0.0, fixed_blend=False), (1, WINDOW), (2, WINDOW)),
    "dit, fixed blend": (
        lambda: SignalDiT(2, width=8, blocks=1, dropout=0.0, fixed_blend=True),
        (1, WINDOW),
        (2, WINDOW),
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_what_comes_out_depends_on_everything_that_goes_in(name: str) -> None:
    make, shape, given_shape = NETWORKS[name]
    torch.manual_seed(0)
    network = make()
    for parameter in network.parameters():
        if not bool(parameter.detach().any()):
            nn.init.normal_(parameter, std=0.1)
    noisy = torch.randn(2, *shape, requires_grad=True)
    given = torch.randn(2, *given_shape, requires_grad=True)
    noise = torch.tensor([-1.0, 1.0], requires_grad=True)
    network(noisy, noise, given).square().sum().backward()
    for value in (noisy, given, noise):
        assert value.grad is not None
        assert float(value.grad.abs().max()) > 0.0


@pytest.mark.parametrize("name", ["unet", "dit"])
def test_networks_begin_silent_and_can_begin_to_learn(name: str) -> None:
    make, shape, given_shape = NETWORKS[name]
    network = make()
    found = network(torch.randn(2, *shape), torch.zeros(2), torch.randn(2, *given_shape))
    assert not bool(found.any())
    (found - 1.0).square().sum().backward()
    assert any(parameter.grad is not None and bool(parameter.grad.any()) for parameter in network.parameters())
