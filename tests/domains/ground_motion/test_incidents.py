"""Every failure that the domain has met, rebuilt in miniature beside its cure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from distsys.config import reuse
from distsys.domains.ground_motion import GroundMotion
from distsys.domains.ground_motion.config import NUM_FOLDS, DataConfig
from distsys.domains.ground_motion.data import gathering
from distsys.domains.ground_motion.data.bundle import build_data
from distsys.domains.ground_motion.data.diffused import flattened, shaped
from distsys.domains.ground_motion.data.folds import split
from distsys.domains.ground_motion.data.grouping import event_numbers
from distsys.domains.ground_motion.data.levels import LevelModel, features_of, levels_of
from distsys.domains.ground_motion.data.operators import NUM_BANDS, NUM_FRAMES, highpart, lowpass, rms
from distsys.domains.ground_motion.data.windows import Motion, prepare
from distsys.domains.ground_motion.model.envelope_network import EnvelopeNetwork
from distsys.domains.ground_motion.model.losses import log_likelihood
from distsys.domains.ground_motion.model.network import Committee
from distsys.domains.ground_motion.model.synthesis import to_levels
from distsys.domains.ground_motion.score.evaluation import ensemble
from distsys.domains.protocol import Batch, to_device
from distsys.errors import DataError
from distsys.signals.ensembles import correlation
from tests.domains.ground_motion.support import (
    ROUTES,
    small_bundle,
    small_config,
    small_model,
    some_motions,
    some_record,
)

DOMAIN = GroundMotion()


def terms_of(model: Committee, batch: Batch, generator: torch.Generator) -> Mapping[str, torch.Tensor]:
    """The loss terms of ``batch``."""
    outputs = DOMAIN.forward(model, batch, generator=generator)
    return DOMAIN.loss_terms(outputs, batch, config=model.config)


@pytest.mark.parametrize("route", ROUTES)
def test_samples_keep_what_was_given_below_1_hz(route: str) -> None:
    """The original enforced this in its loss and not when it sampled."""
    batch = small_bundle(route).test.batches[0]
    with torch.no_grad():
        motions = ensemble(small_model(route), batch)
    given = lowpass(batch["motion"])[:, None].expand_as(motions)
    assert float(correlation(lowpass(motions), given).min()) > 0.9999
    assert float((rms(lowpass(motions) - given) / rms(given)).max()) < 1e-3


@pytest.mark.parametrize("route", ROUTES)
def test_what_is_not_given_changes_nothing(route: str) -> None:
    """A conditioning made of the broadband envelope once leaked the answer."""
    batch = small_bundle(route).test.batches[0]
    other = lowpass(batch["motion"]) + 3.0 * highpart(torch.roll(batch["motion"], 300, dims=-1))
    model = small_model(route)
    with torch.no_grad():
        one, same = (ensemble(model, {**batch, "motion": motion}) for motion in (batch["motion"], other))
    assert float((one - same).norm() / one.norm()) < 1e-2


@pytest.mark.parametrize("route", ROUTES)
def test_samples_depend_on_what_is_given_and_on_the_noise(route: str) -> None:
    """At the same levels: a network whose gate has closed draws the same whatever it is given."""
    member = small_model(route).member(0)
    given = lowpass(some_motions(2))
    level = torch.zeros(2, 2, NUM_BANDS)
    with torch.no_grad():
        one, other = (
            highpart(member.draw(item, level, generator=torch.Generator().manual_seed(0)))
            for item in (given, given.flip(0) * (rms(given) / rms(given.flip(0)))[:, None])
        )
    assert float(correlation(one[:, 0], one[:, 1]).abs().max()) < 0.9
    assert float((one - other).norm() / one.norm()) > 1e-3


@pytest.mark.parametrize("route", ROUTES)
def test_the_envelope_term_has_a_gradient(route: str) -> None:
    """It once ran through numpy: a constant for autograd."""
    model = small_model(route).train()
    batch = small_bundle(route).train.batch(range(8), progress=0.0)
    terms_of(model, batch, torch.Generator().manual_seed(0))["envelope"].backward()
    reached = [float(p.grad.abs().max()) for p in model.parameters() if p.grad is not None]
    assert sum(value > 0.0 for value in reached) > 0.5 * len(reached)


@pytest.mark.parametrize("gain", [1e-3, 1e3])
@pytest.mark.parametrize("route", ROUTES)
def test_the_unit_of_the_data_changes_nothing(route: str, gain: float, monkeypatch: pytest.MonkeyPatch) -> None:
    original = gathering.gather_motions

    def scaled(data: DataConfig, *, seed: int) -> tuple[list[Motion], list[str]]:
        motions, left_out = original(data, seed=seed)
        return [replace(motion, samples=gain * motion.samples) for motion in motions], left_out

    usual = small_bundle(route)
    reuse.forget()
    monkeypatch.setattr(gathering, "gather_motions", scaled)
    other = build_data(small_config(route), seed=0)
    found = []
    for bundle in (usual, other):
        torch.manual_seed(0)
        model = DOMAIN.build_model(small_config(route), bundle.statistics).eval()
        with torch.no_grad():
            found.append(DOMAIN.evaluate(model, bundle.validation).metrics)
    for name in ("crps", "envelope_correlation", "hf_envelope_correlation", "coverage/arias"):
        assert found[0][name] == pytest.approx(found[1][name], rel=1e-2, abs=1e-2), name


def test_raw_records_are_refused_where_sigma_data_says_otherwise() -> None:
    """A standard deviation of 0.002 under a sigma_data of 0.5 trains on pure noise."""
    config = small_config("broadband", diffusion={"sigma_data": 0.5, "scale": "raw"})
    with pytest.raises(DataError) as caught:
        build_data(config, seed=0)
    assert "sigma_data is 0.5" in str(caught.value)
    assert "set model.diffusion.sigma_data to null" in str(caught.value)
    fine = build_data(small_config("broadband", diffusion={"sigma_data": 1.0, "scale": "record_rms"}), seed=0)
    assert torch.equal(fine.statistics["sigma_data"], torch.ones(NUM_FOLDS))  # type: ignore[arg-type]


@pytest.mark.parametrize("scale", ["raw", "global_std", "record_rms", "pga"])
def test_the_part_below_1_hz_is_scaled_with_the_whole(scale: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each divided by its own peak, the two lost their ratio, which lies between 1 and 45."""
    member = small_model("broadband", scale=scale).member(0)
    seen = []

    def spy(clean: torch.Tensor, given: torch.Tensor, *, generator: torch.Generator) -> dict[str, Tensor]:
        seen.append((clean, given))
        return {}

    monkeypatch.setattr(member.denoiser, "denoised", spy)
    motion = some_motions()
    member.outputs(motion, generator=torch.Generator())
    clean, given = seen[0]
    assert torch.allclose(rms(given[:, 0]) / rms(clean[:, 0]), rms(lowpass(motion)) / rms(motion), rtol=1e-3)


@pytest.mark.parametrize("scale", ["raw", "global_std", "record_rms", "pga"])
def test_every_scale_can_be_sampled(scale: str) -> None:
    batch = small_bundle("broadband").test.batches[0]
    torch.manual_seed(0)
    config = small_config("broadband", diffusion={"scale": scale})
    model = DOMAIN.build_model(config, build_data(config, seed=0).statistics).eval()
    with torch.no_grad():
        motions = ensemble(model, batch)
    assert bool(torch.isfinite(motions).all())
    if scale in ("record_rms", "pga"):
        ratio = rms(motions).mean(dim=1) / rms(batch["motion"])
        assert 0.3 < float(ratio.median()) < 5.0


def test_flattened_motions_come_back() -> None:
    motion = some_motions(3)
    shape = torch.randn(3, 6, 64, generator=torch.Generator().manual_seed(0)).cumsum(dim=-1) * 0.05
    flat = flattened(motion, shape)
    assert torch.allclose(rms(flat), torch.ones(3), rtol=0.1)
    back = to_levels(shaped(flat[:, None], shape), levels_of(motion)[:, None], lowpass(motion))[:, 0]
    assert float(correlation(back, highpart(motion)).min()) > 0.98
    assert torch.allclose(levels_of(lowpass(motion) + highpart(back)), levels_of(motion), atol=0.12)


def test_components_of_an_event_are_never_split() -> None:
    motions = [prepare(some_record(), DataConfig()) for _ in range(2)]
    other = replace(motions[1], record=replace(motions[1].record, event="another name"))
    assert len(set(event_numbers([motions[0], other]))) == 1
    events = np.repeat(np.arange(20), 3)
    for fold in split(events, validation_share=0.2, seed=0):
        parts = [set(events[index]) for index in (fold.train, fold.validation, fold.test)]
        assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
        assert len(fold.train) + len(fold.validation) + len(fold.test) == len(events)
    tested = np.concatenate([fold.test for fold in split(events, validation_share=0.2, seed=0)])
    assert sorted(tested) == list(range(len(events)))


def test_too_few_events_are_refused() -> None:
    with pytest.raises(DataError, match="16 are named"):
        gathering.require_events(np.arange(11), declared=16)


def test_levels_are_foretold_with_an_honest_spread() -> None:
    random = np.random.default_rng(0)
    events = np.repeat(np.arange(60), 4)
    motion = torch.from_numpy(random.standard_normal((240, 2048)).astype(np.float32))
    features = features_of(lowpass(motion), torch.full((240, 4), float("nan")))
    wanted = 0.8 * features[:, :1] + 0.3 * torch.from_numpy(random.standard_normal((240, 6)).astype(np.float32))
    model = LevelModel.fit(features, wanted, events, events)
    left = wanted - model.mean_of(features)
    assert float(left.std()) == pytest.approx(0.3, rel=0.15)
    assert 0.3 < float(model.factor.diagonal().mean()) < 1.25 * 0.3  # a promise from 60 events costs some width


def test_what_is_not_known_is_neither_zero_nor_one() -> None:
    """A distance of 1 km and a magnitude of 0 once stood for both being unknown."""
    random = np.random.default_rng(0)
    events = np.repeat(np.arange(80), 3)
    magnitude = random.normal(6.5, 0.5, 240)
    levels = (2.0 * (magnitude - 6.5) + 0.1 * random.standard_normal(240))[:, None]
    features = np.column_stack([random.standard_normal(240), magnitude, np.ones(240)])
    model = LevelModel.fit(torch.from_numpy(features), torch.from_numpy(levels), events, events)
    unknown, middle, strong = (
        float(model.mean_of(torch.tensor([[0.0, value, float(value == value)]]))) for value in (np.nan, 6.5, 7.5)
    )
    assert strong - middle == pytest.approx(2.0, abs=0.3)
    assert unknown == pytest.approx(middle, abs=0.3)


def test_the_likelihood_is_that_of_a_normal_distribution() -> None:
    """Beside the dense covariance of the autoregressive process."""
    torch.manual_seed(0)
    network = small_model().member(0).network
    assert isinstance(network, EnvelopeNetwork)
    with torch.no_grad():
        network.raw_memory.copy_(torch.linspace(-0.5, 1.5, NUM_BANDS))
        network.coupling.copy_(torch.randn(NUM_BANDS, NUM_BANDS))
        mean, spread = torch.randn(1, NUM_BANDS, NUM_FRAMES), 0.5 + torch.rand(1, NUM_BANDS, NUM_FRAMES)
        target = torch.randn(1, NUM_BANDS, NUM_FRAMES)
        process = {"memory": network.memory(), "correlation_factor": network.correlation_factor()}
        found = log_likelihood(target, mean=mean, spread=spread, **process)
        kept, factor = (value.double() for value in process.values())
        news = [(1.0 - kept.square()).sqrt().diag() @ factor for _ in range(NUM_FRAMES)]
        news[0] = factor
        rows = [torch.zeros(NUM_BANDS, NUM_FRAMES * NUM_BANDS, dtype=torch.float64) for _ in range(NUM_FRAMES)]
        for frame in range(NUM_FRAMES):
            if frame:
                rows[frame] = kept[:, None] * rows[frame - 1]
            rows[frame][:, frame * NUM_BANDS : (frame + 1) * NUM_BANDS] = news[frame]
        scale = spread[0].T.flatten().double().diag() @ torch.cat(rows)
        normal = torch.distributions.MultivariateNormal(mean[0].T.flatten().double(), scale @ scale.T)
        expected = normal.log_prob(target[0].T.flatten().double()) / (NUM_BANDS * NUM_FRAMES)
        drawn = network.residuals(20_000, generator=torch.Generator().manual_seed(0)).double()
    assert float(found) == pytest.approx(float(expected), rel=1e-4)
    assert torch.allclose(drawn.var(dim=0), torch.ones(NUM_BANDS, NUM_FRAMES, dtype=torch.float64), atol=0.06)
    echo = (drawn[..., 5] * drawn[..., 4]).mean(dim=0)
    assert torch.allclose(echo, kept, atol=0.03)


@pytest.mark.parametrize("workers", [1, 2, 4, 8])
def test_every_worker_sees_every_member(workers: int) -> None:
    source = small_bundle().train
    for rank in range(workers):
        batch = source.batch(range(rank, 16 * workers, workers), progress=0.0)
        assert sorted(set(batch["member"].tolist())) == list(range(NUM_FOLDS))


@pytest.mark.parametrize("route", ROUTES)
def test_members_without_windows_have_gradients_too(route: str) -> None:
    model = small_model(route).train()
    batch = small_bundle(route).train.batch([0, 1], progress=0.0)
    terms = terms_of(model, batch, torch.Generator().manual_seed(0))
    (terms["fit"] + terms["envelope"]).backward()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in model.parameters())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("route", ROUTES)
def test_routes_train_and_draw_on_a_gpu(route: str) -> None:
    device = torch.device("cuda")
    model = small_model(route).to(device).train()
    batch = to_device(small_bundle(route).train.batch(range(8), progress=0.0), device)
    terms_of(model, batch, torch.Generator(device).manual_seed(0))["fit"].backward()
    with torch.no_grad():
        found = DOMAIN.evaluate(model.eval(), small_bundle(route).test.to(device))
        assert DOMAIN.figures(model, small_bundle(route).test.to(device), found)
    assert found.metrics["envelope_correlation"] > 0.99


def test_leaving_an_event_out_by_the_smoother_is_leaving_it_out() -> None:
    from distsys.domains.ground_motion.data.levels import _left_out, _ridge

    random = np.random.default_rng(0)
    z = np.column_stack([np.ones(40), random.standard_normal((40, 5))])
    y, weight = random.standard_normal((40, 2)), random.uniform(0.5, 1.5, 40)
    events = np.repeat(np.arange(10), 4)
    quick = _left_out(z, y, weight, events, 2.0)
    for event in range(10):
        out = events == event
        balance = weight.mean() / weight[~out].mean()
        slow = y[out] - z[out] @ _ridge(z[~out], y[~out], weight[~out], 2.0 * balance)
        assert np.allclose(quick[out], slow)


class Answering(Committee):
    """A committee whose members all draw what ``answer`` makes of the given part."""

    def __init__(self, answer: Callable[[Tensor], Tensor]) -> None:
        torch.nn.Module.__init__(self)
        self._answer = answer

    def member(self, fold: int) -> Any:
        return self

    def sample(self, given: Tensor, metadata: Tensor, count: int, *, generator: torch.Generator) -> Tensor:
        return self._answer(given)[:, None].expand(-1, count, -1)


def test_copies_of_training_records_are_found() -> None:
    bundle = small_bundle()
    reference = bundle.test.reference
    assert reference is not None
    batch = bundle.test.batches[0]
    known = reference["motion"][reference["member"] == batch["member"][0]]

    def copied(given: Tensor) -> Tensor:
        return given + highpart(torch.roll(known[0], 100))

    one = replace(bundle.test, batches=[batch])
    with torch.no_grad():
        honest = DOMAIN.evaluate(small_model(), one).metrics["training_copy"]
    assert DOMAIN.evaluate(Answering(copied), one).metrics["training_copy"] > 0.9 > 0.6 > honest


def test_another_event_s_conditioning_loses_the_course() -> None:
    def truth(given: Tensor) -> Tensor:
        return all_motions[torch.cdist(given, lowpass(all_motions)).argmin(dim=-1)]

    bundle = small_bundle()
    all_motions = torch.cat([batch["motion"] for batch in bundle.test.batches])
    found = DOMAIN.evaluate(Answering(truth), bundle.test).metrics
    assert found["hf_envelope_correlation"] == pytest.approx(1.0, abs=1e-4)
    assert found["shuffle_loss"] > 0.2


def test_statistics_are_those_of_the_windows_that_training_yields() -> None:
    """They were once computed on records that had been scaled a second time."""
    bundle = small_bundle()
    batches = [bundle.train.batch(range(start, start + 256), progress=0.0) for start in (0, 256)]
    motion, member = (torch.cat([batch[name] for batch in batches]) for name in ("motion", "member"))
    stored = bundle.statistics["global_rms"]
    assert isinstance(stored, torch.Tensor)
    for fold in range(NUM_FOLDS):
        drawn = motion[member == fold].square().mean().sqrt()
        assert 1.0 / 1.5 < float(drawn / stored[fold]) < 1.5


def test_levels_are_fitted_before_the_first_step() -> None:
    """A predictor of PGA was once applied as it had been initialised."""
    bundle = small_bundle()
    torch.manual_seed(0)
    fresh = DOMAIN.build_model(small_config(), bundle.statistics)
    for fold in range(NUM_FOLDS):
        member = fresh.member(fold)
        model = LevelModel(member.level_mean, member.level_scale, member.level_weight, member.level_factor)
        motion = bundle.test.reference["motion"][bundle.test.reference["member"] == fold]  # type: ignore[index]
        unknown = torch.full((len(motion), 4), float("nan"))
        left = levels_of(motion) - model.mean_of(features_of(lowpass(motion), unknown))
        assert float(left.mean().abs()) < 0.3
        assert float(left.std()) < float(levels_of(motion).std())
