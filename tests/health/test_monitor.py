"""The monitor changes nothing, forgets nothing, and sees what any worker sees."""

from __future__ import annotations

import multiprocessing
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from distsys.config.layers import read_layers
from distsys.config.validate import config_type, validate_layers
from distsys.domains.registry import get_domain
from distsys.health.causes import DEAD_PARAMETERS, OUTPUT_ON_BOUND
from distsys.health.monitor import DENSE
from distsys.training.context import FitContext
from distsys.training.loop import Run, fit
from distsys.training.spec import RunSpec
from distsys.training.workers import Workers, pick_device
from tests.health.flight.test_gradients import cut_encoder
from tests.health.support import found, judged, make_run, verdicts_of, with_output
from tests.outside import importable
from tests.training.support import make_context, make_spec
from tests.training.test_golden import ROOT, SETTINGS
from tests.training.test_loop import assert_same_weights, numbers

EVERY_STEP = "health.every=1"


def trained(name: str, folder: Path, *overrides: str) -> dict[str, torch.Tensor]:
    domain = get_domain(name)
    base = ("batch_size=32", "final.steps=20", "final.eval_every_steps=10", *SETTINGS[name])
    layers = read_layers(ROOT / "configs" / f"{name}.yaml", preset="demo", overrides=(*base, *overrides))
    spec = RunSpec(validate_layers(layers, config_type(domain.config)), "final")
    run = Run(FitContext(spec, domain, folder, Workers(pick_device("cpu")), None))
    while not run.is_over:
        run._train_one()
    assert run._monitor.verdicts == []
    random_state = torch.get_rng_state()
    return {**run._stepper.model.state_dict(), "random state": random_state}


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_looking_at_every_step_leaves_training_bit_equal(name: str, tmp_path: Path) -> None:
    watched = trained(name, tmp_path / "a", EVERY_STEP)
    alone = trained(name, tmp_path / "b", "health.on=false")
    assert watched.keys() == alone.keys()
    for key, tensor in watched.items():
        assert torch.equal(tensor, alone[key]), key


def test_logged_numbers_are_the_same_with_and_without_health(outside: Path, tmp_path: Path) -> None:
    for name, setting in (("a", EVERY_STEP), ("b", "health.on=false")):
        fit(make_context(outside, tmp_path / name, setting, "model.dropout=0.2", "precision=bfloat16"))
    assert numbers(tmp_path / "a") == numbers(tmp_path / "b")
    assert_same_weights(tmp_path / "a", tmp_path / "b", 120)


def test_off_looks_at_nothing_and_registers_nothing(outside: Path, tmp_path: Path) -> None:
    run = make_run(outside, tmp_path, "health.on=false")
    assert run._monitor.begin(1) is None
    assert not run._stepper._optimizer._optimizer_step_pre_hooks
    assert verdicts_of(outside, tmp_path / "b", "health.on=false", domain=with_output(cut_encoder)) == []


def test_looks_are_dense_then_sparse_and_at_validations(outside: Path, tmp_path: Path) -> None:
    run = make_run(outside, tmp_path, "final.steps=500", "final.eval_every_steps=130")
    looked = [step for step in range(1, 501) if run._monitor.begin(step)]
    assert looked == sorted({*DENSE, *range(50, 501, 50), 130, 260, 390})


def test_a_run_that_is_cut_and_resumed_says_the_same_from_the_same_onset(outside: Path, tmp_path: Path) -> None:
    domain = with_output(lambda model, x: (10 * model(x)).clamp(-0.01, 0.01) + 0 * model(x))
    whole = make_run(outside, tmp_path / "whole", domain=domain)
    expected = judged(whole)
    assert OUTPUT_ON_BOUND.name in [item.cause for item in expected]
    cut = make_run(outside, tmp_path / "cut", domain=domain)
    next(cut.validations())
    resumed = make_run(outside, tmp_path / "cut", domain=domain)
    assert resumed.step == 30
    assert resumed._monitor.state() == cut._monitor.state()
    assert judged(resumed) == expected
    assert resumed._monitor.state() == whole._monitor.state()


def test_a_verdict_travels_with_the_validation_and_its_checkpoint_is_not_chosen(outside: Path, tmp_path: Path) -> None:
    outcome = fit(make_context(outside, tmp_path, domain=with_output(cut_encoder)))
    assert outcome.checkpoint is None
    assert outcome.selection.best is None
    assert outcome.selection.last_healthy_step is None
    assert ("stop", DEAD_PARAMETERS.name) in found(list(outcome.verdicts))


def test_what_was_chosen_before_the_onset_stays_chosen(outside: Path, tmp_path: Path) -> None:
    def late(model: Any, x: torch.Tensor) -> torch.Tensor:
        calls[0] += model.training
        return model(x) if calls[0] < 70 else model(x).clamp(-1e-3, 1e-3) + 0 * model(x)

    calls = [0]
    setting = "health.every=5"
    outcome = fit(make_context(outside, tmp_path, setting, "final.steps=200", domain=with_output(late)))
    assert outcome.selection.best is not None
    assert outcome.selection.last_healthy_step == 60
    assert outcome.selection.best.step <= 60


def worker(rank: int, port: int, outside: str, folder: str, results: Any) -> None:
    """Trains with a second worker; the second one's outputs lie on a bound."""
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    torch.set_num_threads(1)
    with importable(Path(outside)):
        spec, _ = make_spec(Path(outside), "final.steps=70", "final.eval_every_steps=70")
        domain = with_output(lambda model, x: model(x).clamp(-1e-2, 1e-2) + 0.1 * model(x) * (rank == 0))
        run = Run(FitContext(spec, domain, Path(folder), Workers(torch.device("cpu"), rank, 2), None))
        (validation,) = run.validations()
        own = [item.cause for item in run._monitor._own()]
        results.put((rank, own, [item.content() for item in run._monitor.verdicts], found(list(validation.verdicts))))
    dist.destroy_process_group()


def test_one_bad_worker_of_two_is_seen_by_both(outside: Path, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [context.Process(target=worker, args=(r, port, str(outside), str(tmp_path), results)) for r in (0, 1)]
    for process in processes:
        process.start()
    (_, own0, all0, seen0), (_, own1, all1, seen1) = sorted(results.get(timeout=120) for _ in processes)
    for process in processes:
        process.join(timeout=60)
    assert OUTPUT_ON_BOUND.name not in own0
    assert OUTPUT_ON_BOUND.name in own1
    assert all0 == all1
    assert seen0 == seen1
    assert OUTPUT_ON_BOUND.name in [cause for _, cause in seen0]


def test_the_gravest_comes_first_with_its_first_onset(outside: Path, tmp_path: Path) -> None:
    run = make_run(outside, tmp_path, domain=with_output(cut_encoder))
    verdicts = judged(run)
    assert verdicts[0].cause == DEAD_PARAMETERS.name
    assert verdicts[0].onset_step == 1
