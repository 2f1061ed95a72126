"""Every failure that the domain has met, rebuilt in miniature beside its cure."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from distsys.config.reuse import forget
from distsys.config.schema import CoreConfig, Schedule
from distsys.domains.protocol import EvalSet
from distsys.domains.speaker_extraction import SpeakerExtraction
from distsys.domains.speaker_extraction.answer import extract
from distsys.domains.speaker_extraction.config import Config
from distsys.domains.speaker_extraction.data.bundle import build_data
from distsys.domains.speaker_extraction.data.mixing import MixtureSource
from distsys.domains.speaker_extraction.data.picker import Picker
from distsys.domains.speaker_extraction.data.queries import ABSENT
from distsys.domains.speaker_extraction.model.losses import (
    amplitude_loss,
    equilibrium_rms_ratio,
    si_sdr_db,
    si_sdr_loss,
    ta_energy_loss,
)
from distsys.domains.speaker_extraction.model.network import Extractor
from distsys.domains.speaker_extraction.score.metrics import Scores
from distsys.signals.levels import energy_db
from distsys.training.evaluate import Validation, validate
from distsys.training.judge import Judge
from distsys.training.objective import Objective
from distsys.training.selection import Selection
from distsys.training.step import Stepper
from distsys.training.workers import Workers, pick_device
from tests.domains.speaker_extraction.support import Known, core_config, small_config

DOMAIN = SpeakerExtraction()
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def settled_gain(loss: Loss, *, steps: int = 1200, rate: float = 1e-2, num_absent: int = 2) -> float:
    """The one gain, shared by present and absent queries, that Adam finds for ``loss``; it begins at 1."""
    generator = torch.Generator().manual_seed(0)
    target = 0.1 * torch.randn(1, 4, 64, generator=generator)
    present = torch.arange(4)[None] >= num_absent
    log_gain = torch.zeros((), requires_grad=True)
    optimizer = torch.optim.Adam([log_gain], lr=rate)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * (1.0 - step / steps)
        value = loss(log_gain.exp() * target, target, present)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    return float(log_gain.detach().exp())


def taken_slope(gain: Tensor) -> float:
    """The gradient at ``gain``, which is left without one."""
    slope, gain.grad = gain.grad, None
    assert slope is not None
    return float(slope)


def pull(estimate: Tensor, present: Tensor) -> Tensor:
    """``ta_energy`` with a target that is never reached."""
    zero_db = torch.zeros(present.shape)
    return ta_energy_loss(estimate, reference_db=zero_db, target_db=-90.0, present=present)


@pytest.mark.parametrize(("lambda_amp", "known"), [(1.0, 0.65), (4.0, 0.90), (8.5, 0.95)])
def test_level_settles_where_the_closed_form_says(lambda_amp: float, known: float) -> None:
    def loss(estimate: Tensor, target: Tensor, present: Tensor) -> Tensor:
        return 0.1 * pull(estimate, present) + lambda_amp * amplitude_loss(estimate, target=target, present=present)

    predicted = equilibrium_rms_ratio(w_ta=0.1, lambda_amp=lambda_amp)
    assert predicted == pytest.approx(math.exp(-0.1 * 8.686 / (2.0 * lambda_amp)), abs=1e-4)
    assert predicted == pytest.approx(known, abs=0.005)
    assert settled_gain(loss) == pytest.approx(predicted, abs=0.01)


def test_closed_form_knows_the_share_of_absent_targets() -> None:
    def loss(estimate: Tensor, target: Tensor, present: Tensor) -> Tensor:
        return 0.3 * pull(estimate, present) + amplitude_loss(estimate, target=target, present=present)

    predicted = equilibrium_rms_ratio(w_ta=0.3, lambda_amp=1.0, ta_share=0.25)
    assert settled_gain(loss, num_absent=1) == pytest.approx(predicted, abs=0.01)


def test_d11_energy_in_raw_db_rewards_silence_without_end() -> None:
    def raw(estimate: Tensor, target: Tensor, present: Tensor) -> Tensor:
        energy = torch.where(present, torch.zeros(()), energy_db(estimate)).mean()
        return 0.1 * energy + si_sdr_loss(estimate, target=target + 0.01, present=present)

    assert settled_gain(raw, rate=3e-2) < 1e-3
    assert float(pull(torch.zeros(1, 1, 8), torch.zeros(1, 1, dtype=torch.bool))) == 0.0


def test_d12_a_saturated_term_leaves_the_level_where_it_fell() -> None:
    """Without an amplitude term the gain falls until silence is reached and stays there."""

    def saturating(estimate: Tensor, target: Tensor, present: Tensor) -> Tensor:
        zero_db = torch.zeros(present.shape)
        return ta_energy_loss(estimate, reference_db=zero_db, target_db=-30.0, present=present)

    def anchored(estimate: Tensor, target: Tensor, present: Tensor) -> Tensor:
        amp = amplitude_loss(estimate, target=target, present=present)
        return 0.1 * saturating(estimate, target, present) + 8.5 * amp

    assert settled_gain(saturating) < 0.35  # -20 dB targets pushed to -30
    assert settled_gain(anchored) == pytest.approx(0.95, abs=0.01)


def test_d13_si_sdr_puts_no_force_on_the_level() -> None:
    gain = torch.tensor(0.7, requires_grad=True)
    target = torch.randn(1, 1, 64, generator=torch.Generator().manual_seed(0))
    present = torch.ones(1, 1, dtype=torch.bool)
    estimate = gain * (target + 0.1)
    si_sdr_loss(estimate, target=target, present=present).backward(retain_graph=True)
    assert abs(taken_slope(gain)) < 1e-3
    amplitude_loss(estimate, target=target, present=present).backward()
    assert taken_slope(gain) < -0.5


def looked_at(model: nn.Module, data: EvalSet, step: int, *, w_ta: float = 1.0) -> Validation:
    weights = {"lambda_sisdr": 0.1, "lambda_ta_energy": w_ta, "lambda_amp": 0.1, "lambda_phase": 0.0}
    schedules = {name: Schedule(to=value) for name, value in weights.items()}
    objective = Objective(DOMAIN.terms, schedules)
    return validate(
        DOMAIN,
        model,
        data,
        config=core_config(),
        objective=objective,
        judge=Judge(DOMAIN.selection, DOMAIN.constraints),
        step=step,
        progress=1.0,
    )


def test_d14_the_loss_would_choose_the_suppressed_model_and_the_selection_refuses_it() -> None:
    config = small_config()
    data = build_data(config, seed=0).validation
    healthy = looked_at(Known(data, clean=1.0, leak=0.2, absent=0.2), data, 10)
    quiet = looked_at(Known(data, clean=0.3, leak=0.2, absent=0.03), data, 20)
    assert quiet.loss < healthy.loss
    assert quiet.metrics["si_sdr_db"] < healthy.metrics["si_sdr_db"]
    assert healthy.healthy
    assert [verdict.cause for verdict in quiet.verdicts] == ["rms_ratio outside its band"]
    selection = Selection(DOMAIN.selection)
    selection.update(healthy)
    selection.update(quiet)
    assert selection.best is not None
    assert selection.by_loss is not None
    assert (selection.best.step, selection.by_loss.step) == (10, 20)


def test_d14_even_a_better_si_sdr_does_not_crown_a_suppressed_model() -> None:
    config = small_config()
    data = build_data(config, seed=0).validation
    healthy = looked_at(Known(data, clean=1.0, leak=0.2, absent=0.2), data, 10)
    quiet = looked_at(Known(data, clean=0.3, leak=0.01, absent=0.03), data, 20)
    assert quiet.metrics["si_sdr_db"] > healthy.metrics["si_sdr_db"]
    selection = Selection(DOMAIN.selection)
    selection.update(healthy)
    selection.update(quiet)
    assert selection.best is not None
    assert selection.best.step == 10


def test_a_model_that_is_not_silent_for_absent_speakers_is_sick() -> None:
    config = small_config()
    data = build_data(config, seed=0).validation
    found = looked_at(Known(data, clean=1.0, leak=0.2, absent=0.5), data, 1)
    assert [verdict.cause for verdict in found.verdicts] == ["ta_attenuation_db outside its band"]
    assert found.metrics["ta_attenuation_db"] == pytest.approx(6.02, abs=0.01)


def test_d15_validation_weighs_as_training_does() -> None:
    config = small_config()
    data = build_data(config, seed=0).validation
    found = looked_at(Known(data, clean=1.0, leak=0.2, absent=0.2), data, 1, w_ta=0.1)
    weighted = sum(found.weights[f"lambda_{name}"] * value for name, value in found.terms.items())
    assert found.weights["lambda_ta_energy"] == 0.1
    assert found.loss == pytest.approx(weighted, rel=1e-5)


def test_d16_the_validation_set_is_large_and_never_drawn_again() -> None:
    assert Config().data.validation_items >= 400
    config = small_config()
    first = build_data(config, seed=0).validation
    forget()
    second = build_data(config, seed=0).validation
    assert second is not first
    for one, other in zip(first.batches, second.batches, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_d17_moments_are_forgotten_once_where_the_task_changes() -> None:
    kept, forgot = (moments_after(core_config(reset_moments_at=share)) for share in (None, 0.5))
    assert kept == [1.0, 2.0, 3.0, 4.0]
    assert forgot == [1.0, 2.0, 1.0, 2.0]


def moments_after(core: CoreConfig) -> list[float]:
    """How many steps the optimiser's moments have seen after each of four steps."""
    small = small_config()
    data = build_data(small, seed=0)
    schedules = {f"lambda_{term.name}": Schedule(to=1.0) for term in DOMAIN.terms}
    workers = Workers(pick_device("cpu"))
    objective = Objective(DOMAIN.terms, schedules)
    stepper = Stepper(DOMAIN, Extractor(small), objective, config=core, steps=4, workers=workers)
    seen = []
    for step in range(4):
        stepper.step(data.train.batch(range(2), progress=step / 4), progress=step / 4, seed=step)
        seen.append(float(next(iter(stepper.state()["optimizer"]["state"].values()))["step"]))
    return seen


def test_weight_decay_leaves_the_mask_head_alone() -> None:
    """SI-SDR does not resist a shrinking mask, so decay there is a drift of the level."""
    small = small_config()
    model = Extractor(small)
    core = core_config(learning_rate=1e-2, weight_decay=10.0, schedule="constant", warmup_share=0.0)
    schedules = {f"lambda_{term.name}": Schedule(to=0.0) for term in DOMAIN.terms}
    objective = Objective(DOMAIN.terms, schedules)
    stepper = Stepper(DOMAIN, model, objective, config=core, steps=5, workers=Workers(pick_device("cpu")))
    mask, other = model.mask.bias.detach().clone(), model.encode.weight.detach().clone()
    stepper.step(build_data(small, seed=0).train.batch(range(2), progress=0.0), progress=0.0, seed=0)
    assert torch.equal(model.mask.bias.detach(), mask)
    assert torch.allclose(model.encode.weight.detach(), 0.9 * other, atol=1e-6)


def test_masks_multiply_as_complex_numbers() -> None:
    """A mask of i turns every component by 90 degrees; multiplied part by part it would cancel the real one."""
    model = Extractor(small_config()).eval()
    with torch.no_grad():
        model.mask.weight.zero_()
        model.mask.bias[..., 0::2], model.mask.bias[..., 1::2] = 0.0, 1.0
        mixture = torch.sin(torch.arange(4000) * 0.3)[None]
        turned = model(mixture, torch.randn(1, 1, 3000, generator=torch.Generator().manual_seed(0)))[0, 0]
    middle = slice(500, 3500)
    assert torch.allclose(turned[middle], torch.cos(torch.arange(4000) * 0.3)[middle], atol=0.02)


def test_plain_si_sdr_leaves_a_lone_other_speaker_as_it_is() -> None:
    """Against a target of zeros SI-SDR has no slope in the level; ``ta_energy`` has."""
    gain = torch.ones((), requires_grad=True)
    other = 0.1 * torch.randn(1, 1, 64, generator=torch.Generator().manual_seed(0))
    si_sdr_db(gain * other, target=torch.zeros_like(other)).sum().backward()
    assert abs(taken_slope(gain)) < 1e-3
    absent = torch.zeros(1, 1, dtype=torch.bool)
    ta_energy_loss(gain * other, reference_db=energy_db(other), target_db=-30.0, present=absent).backward()
    assert taken_slope(gain) == pytest.approx(8.686, abs=0.01)


def test_enrolment_is_prepared_alike_in_training_and_in_use() -> None:
    config = small_config()
    data = build_data(config, seed=0).validation
    torch.manual_seed(0)
    model, batch = Extractor(config).eval(), data.batches[0]
    with torch.no_grad():
        trained = model(batch["mixture"], batch["enrolment"])
        for query in range(2):
            used = extract(model, batch["mixture"][3], 7.0 * batch["enrolment"][3, query])
            assert torch.allclose(used, trained[3, query], atol=1e-6)


def test_an_estimate_of_the_other_voice_is_called_the_wrong_speaker() -> None:
    config = small_config()
    data = build_data(config, seed=0).validation
    batch = {**data.batches[0]}
    both = batch["asked"].min(dim=1).values >= 0
    chosen = {name: values[both] for name, values in batch.items()}
    assert Scores.of(chosen["sources"], chosen).summary()["wrong_speaker_rate"] == 0.0
    assert Scores.of(chosen["sources"].flip(1), chosen).summary()["wrong_speaker_rate"] == 1.0


def test_absent_speakers_wait_for_their_phase() -> None:
    config = small_config(ta_from=0.6, ta_share=0.2)
    source = build_data(config, seed=0).train
    assert isinstance(source, MixtureSource)
    assert isinstance(source.picker, Picker)
    before, after = (source.picker.draw(range(4000), progress=progress).asked for progress in (0.59, 0.6))
    assert not (before == ABSENT).any()
    assert (after == ABSENT).mean() == pytest.approx(0.2, abs=0.01)


def test_a_constraint_carries_what_to_do() -> None:
    assert all(item.fix for item in DOMAIN.constraints)
    assert replace(DOMAIN.constraints[0], high=2.0).judge(1.5, step=0).status == "ok"
