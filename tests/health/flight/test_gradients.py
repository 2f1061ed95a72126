"""Dead parameters and gradients that nobody cleared (D6)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from distsys.health.causes import DEAD_PARAMETERS, STALE_GRADIENTS
from tests.health.support import Altered, found, judged, make_run, verdicts_of, with_output


def cut_encoder(model: Any, x: Tensor) -> Tensor:
    return model[3](model[1](model[0](x)).detach())


def times_zero(model: Any, x: Tensor) -> Tensor:
    return model(x) * 0.0 + 0.3 * x


def constant(model: Any, x: Tensor) -> Tensor:
    return (model(x) * 0.0).detach() + x.clone().requires_grad_()


@pytest.mark.parametrize("change", [cut_encoder, times_zero, constant])
def test_a_dead_part_of_the_model_stops(outside: Path, tmp_path: Path, change: Callable[[Any, Tensor], Tensor]) -> None:
    verdicts = verdicts_of(outside, tmp_path, domain=with_output(change))
    assert ("stop", DEAD_PARAMETERS.name) in found(verdicts)
    dead = next(item for item in verdicts if item.cause == DEAD_PARAMETERS.name)
    assert dead.onset_step == 1
    assert "no gradient at" in dead.evidence


def test_the_part_that_is_dead_is_named(outside: Path, tmp_path: Path) -> None:
    (verdict,) = verdicts_of(outside, tmp_path, domain=with_output(cut_encoder))
    assert "2 of 4 parameters (65% of all values)" in verdict.evidence
    assert "all of 0" in verdict.evidence


def test_a_dead_part_ends_a_trial_long_before_its_budget(outside: Path, tmp_path: Path) -> None:
    run = make_run(outside, tmp_path, "search.steps=1000", "search.eval_every_steps=500",
                   domain=with_output(cut_encoder), phase="search")  # fmt: skip
    validations = list(run.validations())
    assert [item.step for item in validations] == [50]
    assert not validations[0].healthy
    assert validations[0].verdicts[0].cause == DEAD_PARAMETERS.name


@pytest.mark.parametrize(("width", "status"), [(64, "stop"), (8, "warn")])
def test_a_first_layer_without_gradient_stops_where_it_holds_much(
    outside: Path, tmp_path: Path, width: int, status: str
) -> None:
    def build(original: Any, config: Any, statistics: Any) -> nn.Module:
        first = nn.Linear(1, width)
        first.register_forward_hook(lambda module, given, output: output.detach())
        return nn.Sequential(nn.Sequential(first, nn.Tanh(), nn.Linear(width, 16), nn.Tanh(), nn.Linear(16, 1)))

    (verdict,) = verdicts_of(outside, tmp_path, domain=Altered(build_model=build))
    assert (verdict.status, verdict.cause) == (status, DEAD_PARAMETERS.name)
    assert "2 of 6 parameters" in verdict.evidence


def with_spare(original: Any, config: Any, statistics: Any) -> nn.Module:
    model = original(config, statistics)
    model[3].spare = nn.Parameter(torch.ones(2))
    return model


def test_an_unused_parameter_is_a_warning(outside: Path, tmp_path: Path) -> None:
    (verdict,) = verdicts_of(outside, tmp_path, domain=Altered(build_model=with_spare))
    assert (verdict.status, verdict.cause) == ("warn", DEAD_PARAMETERS.name)
    assert "3.spare" in verdict.evidence


def frozen(original: Any, config: Any, statistics: Any) -> nn.Module:
    model = original(config, statistics)
    model[0].requires_grad_(False)
    return model


def zero_head(original: Any, config: Any, statistics: Any) -> nn.Module:
    model = original(config, statistics)
    nn.init.zeros_(model[3].weight)
    nn.init.zeros_(model[3].bias)
    return model


@pytest.mark.parametrize("build", [frozen, zero_head])
def test_frozen_layers_and_heads_that_begin_at_zero_are_healthy(outside: Path, tmp_path: Path, build: Any) -> None:
    assert verdicts_of(outside, tmp_path, domain=Altered(build_model=build)) == []


def without_gradients(model: Any, x: Tensor) -> Tensor:
    with torch.no_grad():
        inner = model[1](model[0](x))
    return model[3](inner)


def test_a_part_used_without_gradients_on_purpose_is_healthy(outside: Path, tmp_path: Path) -> None:
    assert verdicts_of(outside, tmp_path, domain=with_output(without_gradients)) == []


def test_a_head_that_only_a_term_of_weight_zero_reaches_is_healthy(outside: Path, tmp_path: Path) -> None:
    def build(original: Any, config: Any, statistics: Any) -> nn.Module:
        model = original(config, statistics)
        model[3].second = nn.Linear(16, 1)
        return model

    def forward(original: Any, model: Any, batch: Any, *, generator: Any) -> dict[str, Tensor]:
        inner = model[1](model[0](batch["x"]))
        return {"out": model[3](inner), "second": model[3].second(inner)}

    def loss_terms(original: Any, outputs: Any, batch: Any, *, config: Any) -> Any:
        terms = dict(original(outputs, batch, config=config))
        return {**terms, "size": outputs["second"].square().mean()}

    domain = Altered(build_model=build, forward=forward, loss_terms=loss_terms)
    assert verdicts_of(outside, tmp_path, "final.weights.lambda_size=0.0", domain=domain) == []


def test_gradients_that_are_never_cleared_stop(outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(outside, tmp_path)
    monkeypatch.setattr(run._stepper._optimizer, "zero_grad", lambda set_to_none: None)
    verdicts = judged(run)
    assert found(verdicts)[0] == ("stop", STALE_GRADIENTS.name)
    assert verdicts[0].onset_step == 2
