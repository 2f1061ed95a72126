"""Neither workers nor parts of a step change what is learned: every domain, every term, against one worker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from distsys.config.layers import read_layers
from distsys.config.schema import OptimizerConfig
from distsys.config.validate import config_type, validate_layers
from distsys.domains.ground_motion.model import preconditioning
from distsys.domains.registry import get_domain
from distsys.domains.semantic_eq.model.network import Latent
from distsys.errors import ConfigError
from distsys.training import step
from distsys.training.context import FitContext
from distsys.training.loop import Run
from distsys.training.spec import RunSpec
from distsys.training.workers import Workers
from tests.training.test_golden import ROOT, SETTINGS

STEPS, FEW_STEPS = 50, 5
TOLERANCE = 1e-5
ON_THE_WAY = 3e-5
"""Of each loss before the last: rounding is another one on another processor, and one step in 400 was off by 1.1e-5."""
"""Relative, of losses and of each tensor's largest weight."""
EPS = 1e-3
"""Of AdamW here: with its own 1e-8 it makes whole steps of gradients that are nothing but rounding."""
SLOWLY = "optimizer.learning_rate=1e-3"
"""For the contrastive term, whose temperature of 0.1 lets fifty faster steps enlarge rounding to 2e-5."""
CASES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "ground_motion": ("ground_motion", ("model.dropout=0.0",)),
    "ground_motion envelope": ("ground_motion", ("model.dropout=0.0", "model.route=envelope")),
    "ground_motion complement": ("ground_motion", ("model.dropout=0.0", "model.route=complement")),
    "ground_motion broadband": ("ground_motion", ("model.dropout=0.0", "model.route=broadband")),
    "ris_localization": ("ris_localization", ("data.min_sources=1", "data.max_sources=3")),
    "semantic_eq": ("semantic_eq", (SLOWLY,)),
    "semantic_eq vae": ("semantic_eq", (SLOWLY, "model.variant=vae")),
    "speaker_extraction": ("speaker_extraction", ("data.ta_from=0.0",)),
}


JOINED = ("ris_localization", "semantic_eq")
"""Domains with terms that are means over counted things or compare items."""
ALONE = Workers(torch.device("cpu"))


class Trained(NamedTuple):
    """By one weighting."""

    term: str
    losses: list[float]
    weights: dict[str, Tensor]


def spec_of(case: str, accumulate: int, weights: Mapping[str, float], *more: str) -> RunSpec:
    name, overrides = CASES[case]
    given = [f"final.weights.{key}={value}" for key, value in weights.items()]
    common = ("batch_size=16", "final.steps=50", "final.eval_every_steps=50", "health.on=false")
    domain = get_domain(name)
    layers = read_layers(
        ROOT / "configs" / f"{name}.yaml",
        preset="demo",
        overrides=(*common, f"accumulate={accumulate}", *SETTINGS[name], *overrides, *given, *more),
    )
    return RunSpec(validate_layers(layers, config_type(domain.config)), "final")


def weightings(case: str) -> dict[str, dict[str, float]]:
    """Each term alone, by its name."""
    names = [term.weight_name for term in get_domain(CASES[case][0]).terms]
    return {one: {name: float(name == one) for name in names} for one in names}


def alike(*shape: int, generator: Any = None, device: Any = None) -> Tensor:
    """Draws that are the same for every item, so that it does not matter who draws them."""
    return torch.randn(shape[1:], generator=torch.Generator().manual_seed(5)).expand(shape)


def train(case: str, folder: Path, workers: Workers, parts: int, *, steps: int = STEPS) -> list[Trained]:
    """Some steps of each weighting; of few only with all terms together."""
    found = []
    each = weightings(case)
    for term, weights in (each if steps > FEW_STEPS else {"all": dict.fromkeys(each, 1.0)}).items():
        spec = spec_of(case, parts, weights)
        run = Run(FitContext(spec, get_domain(spec.config.domain), folder / term, workers, None))
        losses = []
        for _ in range(steps):
            run._train_one()
            losses.append(run._stepper.readings()["train_loss"])
        learned = {name: item.clone() for name, item in run._stepper.model.state_dict().items()}
        found.append(Trained(term, losses, learned))
    return found


@contextmanager
def comparable() -> Iterator[None]:
    """What a forward pass draws is every item's, and the optimiser does not enlarge rounding."""

    def sample(self: Latent, generator: Any) -> Tensor:
        spread = 0.0 if self.log_variance is None else (0.5 * self.log_variance).exp()
        return self.mean + alike(*self.mean.shape) * spread

    def levels(count: int, sigma_data: Tensor, *, generator: Any) -> Tensor:
        return (0.7 * sigma_data).expand(count)

    def steady(parameters: Any, settings: OptimizerConfig) -> torch.optim.AdamW:
        return torch.optim.AdamW(parameters, lr=settings.learning_rate, eps=EPS)

    with (
        patch.object(preconditioning, "normal", alike),
        patch.object(preconditioning, "training_levels", levels),
        patch.object(Latent, "sample", sample),
        patch.object(step, "adamw", steady),
    ):
        yield


def one_of_two(rank: int, cases: Sequence[str], folder: str, steps: int) -> None:
    torch.set_num_threads(1)
    meeting, patience = f"file://{folder}/meeting", timedelta(minutes=10)
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2, timeout=patience)
    workers, root = Workers(torch.device("cpu"), rank, 2), Path(folder)
    with comparable():
        found = {
            (case, parts): train(case, root / case / str(parts), workers, parts, steps=steps)
            for case in cases
            for parts in (1, 2)
        }
    plain = {key: [item._asdict() for item in items] for key, items in found.items()}
    torch.save(plain, root / f"{rank}.pt")
    dist.destroy_process_group()


def by_two(cases: Sequence[str], folder: Path, *, steps: int = STEPS) -> dict[tuple[str, int], list[Trained]]:
    """What two processes find in each case, taking their items in one part and in two."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for one in [pool.submit(one_of_two, rank, cases, str(folder), steps) for rank in (0, 1)]:
            one.result()
    first, second = (torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    for key in first:
        assert [item["losses"] for item in first[key]] == [item["losses"] for item in second[key]]
    return {key: [Trained(**item) for item in items] for key, items in first.items()}


def assert_alike(found: Sequence[Trained], expected: Sequence[Trained], label: str) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.losses == pytest.approx(other.losses, rel=ON_THE_WAY, abs=1e-6), f"{label}, {other.term}"
        assert one.losses[-1] == pytest.approx(other.losses[-1], rel=TOLERANCE, abs=1e-6), f"{label}, {other.term}"
        for name, tensor in other.weights.items():
            size = float(tensor.abs().max()) if tensor.is_floating_point() else 0.0
            apart = float((one.weights[name].double() - tensor.double()).abs().max())
            assert apart <= TOLERANCE * max(size, 0.1), (
                f"{label}, {other.term}: {name} is {apart:.2g} of {size:.2g} off"
            )


@pytest.mark.parametrize(
    "case",
    [pytest.param(name, marks=[pytest.mark.promise] if name in JOINED else []) for name in CASES],
)
@pytest.mark.slow
def test_two_workers_and_any_parts_learn_each_term_as_one_does(case: str, tmp_path: Path) -> None:
    with comparable():
        whole = train(case, tmp_path / "whole", ALONE, 1)
        assert_alike(train(case, tmp_path / "parts", ALONE, 2), whole, "one worker, two parts")
    for (_, parts), found in by_two([case], tmp_path).items():
        assert_alike(found, whole, f"two workers, {parts} parts")


def test_two_workers_begin_to_learn_as_one_does(tmp_path: Path) -> None:
    """The beginning of the slow proof, with all terms of a domain together."""
    with comparable():
        whole = {case: train(case, tmp_path / "whole" / case, ALONE, 1, steps=FEW_STEPS) for case in SETTINGS}
    for (case, parts), found in by_two(sorted(SETTINGS), tmp_path, steps=FEW_STEPS).items():
        assert_alike(found, whole[case], f"{case}, two workers, {parts} parts")


@pytest.mark.parametrize("case", JOINED)
def test_parts_of_a_step_give_the_gradient_of_the_whole(case: str, tmp_path: Path) -> None:
    """Each term of sixteen items in parts of four: sources and anchors with positives are counted over all."""
    with comparable():
        whole, parts = (train(case, tmp_path / str(number), ALONE, number, steps=2) for number in (1, 4))
    assert_alike(parts, whole, "four parts")


def test_a_batch_that_cannot_be_divided_is_refused_with_one_that_can() -> None:
    with pytest.raises(ConfigError, match=r"yaml: accumulate 3 does not divide batch_size 16"):
        spec_of("semantic_eq", 3, {})
    with pytest.raises(ConfigError, match=r"batch_size = 16 in 4 parts on each of 8 workers(.|\n)*batch_size: 32"):
        Workers(torch.device("cpu"), 0, 8).parts_of(0, 16, parts=4)


def test_parts_are_all_of_a_workers_items() -> None:
    parts = [item for rank in (0, 1) for item in Workers(torch.device("cpu"), rank, 2).parts_of(16, 16, parts=4)]
    assert sorted(index for part in parts for index in part) == list(range(16, 32))
    assert {len(part) for part in parts} == {2}


def test_health_sees_one_step_however_many_parts_it_has(tmp_path: Path) -> None:
    spec = spec_of("semantic_eq", 4, {}, "health.on=true")
    run = Run(FitContext(spec, get_domain("semantic_eq"), tmp_path, ALONE, None))
    with patch.object(run._monitor, "end", wraps=run._monitor.end) as end:
        for _ in range(4):
            run._train_one()
    assert [call.args[1] for call in end.call_args_list] == [1, 2, 3, 4]
    assert not run._monitor.is_sick
    assert run._monitor._taken == 4


def test_a_term_that_breaks_in_the_first_part_is_named(tmp_path: Path) -> None:
    run = Run(
        FitContext(spec_of("semantic_eq", 2, {}, "health.on=true"), get_domain("semantic_eq"), tmp_path, ALONE, None)
    )
    parts = [dict(run.data.train.batch(range(first, first + 8), progress=0.0)) for first in (0, 8)]
    parts[0]["curve_db"] = parts[0]["curve_db"] * float("nan")
    run._stepper.step(*parts, progress=0.0, seed=0)
    assert run._stepper.readings()["skipped_steps"] == 1
    assert "response" in run._monitor.trouble.text
