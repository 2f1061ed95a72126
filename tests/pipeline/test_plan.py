"""A plan: nothing is written, what does not fit is refused, and the sums are those of the parts."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distsys.cluster.nodes import Node, processes_that_fit
from distsys.cluster.rungs import RungPruner
from distsys.errors import ConfigError
from distsys.health.monitor import DENSE
from distsys.pipeline import capacity
from distsys.pipeline.experiment import load_experiment
from distsys.pipeline.plan import _share_of_steps, planned, rungs
from distsys.pipeline.plan_text import duration, size
from distsys.specs import MetricSpec
from distsys.training.spec import RunSpec
from distsys.training.team import Team
from distsys.training.timing import Pace, Span

Call = Callable[..., tuple[int, str, str]]
PLAN = ("plan", "{outside}/sine.yaml", "--space", "{outside}/space.yaml", "--out", "{tmp}/runs")


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files would be left."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of two CPUs and no GPU."""
    monkeypatch.setattr(capacity, "this_machine", lambda: Node("here", 2, 0, is_driver=True))


def read(distsys: Call, *extra: str) -> dict[str, Any]:
    code, out, err = distsys(*PLAN, *extra, "--json")
    assert (code, err) == (0, "")
    content: dict[str, Any] = json.loads(out)
    return content


def test_a_plan_is_short_and_leaves_nothing(distsys: Call, tmp_path: Path, scratch: Path) -> None:
    code, out, err = distsys(*PLAN, "--local", "--cost-per-hour", "2.5", "--watts", "150")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert len(lines) <= 24
    assert max(len(line) for line in lines if str(tmp_path) not in line) <= 80
    for text in ("4 x 60 steps", "3 x 24 steps", "1 x 120 steps", "whole", "1 trial;", "cost", "kWh", "checkpoints of"):
        assert text in out
    assert list(scratch.glob("distsys-*")) == []
    assert not (tmp_path / "runs").exists()


@pytest.mark.usefixtures("small")
def test_what_json_says_adds_up_and_names_all_places(distsys: Call, tmp_path: Path) -> None:
    found = read(distsys, "--cost-per-hour", "3600", "--watts", "1000")
    whole = found["whole"]["mid"]
    assert whole == pytest.approx(sum(phase["seconds"]["mid"] for phase in found["phases"]))
    assert found["whole"]["low"] <= whole <= found["whole"]["high"]
    assert found["cost"] == pytest.approx(whole)
    assert found["energy"] == pytest.approx(whole / 3600)
    assert found["capacity"]["together"] == 2
    assert found["folder"].startswith(str(tmp_path / "runs" / "sine-"))
    assert found["tracking"] == f"sqlite:///{tmp_path}/runs/mlflow.db"
    assert found["disk_bytes"] == pytest.approx(found["num_checkpoints"] * found["checkpoint_bytes"], rel=0.05)
    assert found["num_checkpoints"] == 4  # of the final training's validations; trials are too short to be saved


def test_the_checkpoint_is_as_large_as_the_real_one(distsys: Call, tmp_path: Path) -> None:
    found = read(distsys, "--local", "--preset", "tiny")
    given = ("{outside}/sine.yaml", "--out", "{tmp}/real", "--local", "--preset", "tiny")
    code, _, _ = distsys("train", *given, "--quiet")
    assert code == 0
    kept = [path for path in (tmp_path / "real").glob("*/checkpoints/step-*")]
    sizes = [sum(file.stat().st_size for file in path.iterdir()) for path in kept]
    assert len(kept) <= found["num_checkpoints"]
    assert found["checkpoint_bytes"] == pytest.approx(max(sizes), rel=0.25)


def test_the_disk_is_for_the_largest_of_the_searched_sizes(outside: Path, tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    found = {}
    for widths in ("[4, 16]", "[4, 4096]"):
        space.write_text(f"model.width: {{choices: {widths}}}")
        experiment = load_experiment(str(outside / "sine.yaml"), root=tmp_path, space=space)
        found[widths] = planned(experiment, team=Team(), is_local=True).checkpoint_bytes
    assert found["[4, 4096]"] > 10 * found["[4, 16]"]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        (["--set", "cpu_threads=4"], ["no room for a trial of 4 CPUs (here: 2 CPUs, 0 GPUs)", "lower cpu_threads"]),
        (["--workers", "8"], ["no room for 8 workers of 1 CPU each", "--workers 2"]),
        (["--workers", "3"], ["batch_size = 32 over 3 workers", "batch_size: 33"]),
        (["--workers", "1-3"], ["batch_size = 32 over 1 to 3 workers", "batch_size: 36"]),
        (["--workers", "3-2"], ["'3-2' begins with more workers than it ends with"]),
        (["--label", "fast"], ["'fast' is not NAME=VALUE"]),
        (["--workers", "2", "--label", "disk=fast"], ["no room for workers on nodes labelled disk=fast"]),
        (["--set", "search.trails=3"], ["did you mean 'trials'?"]),
        (["--set", "data.broken=true"], ["row 3 holds NaN"]),
        (["--watts", "-3"], ["'-3' is not a number from 0 on"]),
        (["--cost-per-hour", "nan"], ["'nan' is not a number from 0 on"]),
    ],
)
def test_what_cannot_begin_is_refused(distsys: Call, tmp_path: Path, extra: list[str], expected: list[str]) -> None:
    code, out, err = distsys(*PLAN, *extra)
    assert (code, out) == (2, "")
    for text in expected:
        assert text in err
    assert not (tmp_path / "runs").exists()


@pytest.mark.usefixtures("small")
def test_locally_nothing_has_to_fit(distsys: Call) -> None:
    assert read(distsys, "--local", "--set", "cpu_threads=4")["capacity"]["together"] == 1


@pytest.mark.usefixtures("small")
def test_workers_share_the_final_batches_and_not_those_of_the_handoff(
    outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed: list[tuple[str, int]] = []

    def measured(spec: RunSpec, *_: Any, **__: Any) -> Pace:
        timed.append((spec.phase, spec.config.batch_size))
        step = Span.exactly(1.0 * spec.config.batch_size)
        return Pace(spec, 0.0, step, step, 0.0, 0.0, 1)

    monkeypatch.setattr("distsys.pipeline.plan.measured", measured)
    experiment = load_experiment(str(outside / "sine.yaml"), root=tmp_path, space=outside / "space.yaml")
    found = {phase.name: phase.seconds for phase in planned(experiment, team=Team(2, 2), is_local=False).phases}
    assert {("final", 32), ("final", 16)} < set(timed)
    assert found["handoff"].mid == pytest.approx(3 / 2 * 24 * 32, rel=0.02)
    assert (found["final"].mid, found["final"].high) == pytest.approx((120 * 16, 120 * 32), rel=0.02)


def test_a_trial_is_not_spread_over_two_nodes() -> None:
    nodes = [Node("a", 3, 0, is_driver=True), Node("b", 3, 1, is_driver=False)]
    assert processes_that_fit(nodes, cpus=4, gpus=0.0) == 0
    assert processes_that_fit(nodes, cpus=2, gpus=0.0) == 2
    assert processes_that_fit(nodes, cpus=1, gpus=0.0, wanted=5) == 5
    assert processes_that_fit(nodes, cpus=1, gpus=1.0) == 1
    assert processes_that_fit(nodes, cpus=1, gpus=0.5) == 2


@pytest.mark.parametrize(("steps", "every", "factor"), [(60, 20, 3), (400, 100, 3), (1000, 10, 2), (60, 60, 3)])
def test_trials_are_pruned_where_the_pruner_does(
    outside: Path, tmp_path: Path, steps: int, every: int, factor: int
) -> None:
    overrides = [f"search.steps={steps}", f"search.eval_every_steps={every}", f"search.reduction_factor={factor}"]
    config = load_experiment(
        str(outside / "sine.yaml"), root=tmp_path, overrides=overrides, space=outside / "space.yaml"
    ).config
    pruner = RungPruner(first_step=every, reduction_factor=factor, spec=MetricSpec("mae", "min", "V"))
    assert rungs(config) == [step for step in range(every, steps, every) if pruner._is_rung(step)]
    assert 0.0 < _share_of_steps(config) <= 1.0


def test_four_trials_of_which_one_of_two_goes_on(outside: Path, tmp_path: Path) -> None:
    """By hand: the first is never judged, then one of 2, one of 3, two of 4 go on: 2.33 of 4 take the other half."""
    overrides = ["search.steps=40", "search.eval_every_steps=20", "search.reduction_factor=2", "search.trials=4"]
    config = load_experiment(
        str(outside / "sine.yaml"), root=tmp_path, overrides=overrides, space=outside / "space.yaml"
    ).config
    assert _share_of_steps(config) == pytest.approx((4 * 20 + (1 + 1 / 2 + 1 / 3 + 2 / 4) * 20) / (4 * 40))


def test_a_run_costs_its_steps_looks_validations_and_checkpoints(outside: Path, tmp_path: Path) -> None:
    config = load_experiment(str(outside / "sine.yaml"), root=tmp_path, space=outside / "space.yaml").config
    spec = RunSpec(config, "final")  # 120 steps, validated at 30, 60, 90, 120; looked at there, at 50, 100, and densely
    pace = Pace(spec, 1.0, Span(0.1, 0.2, 0.3), Span(1.0, 2.0, 3.0), 10.0, 100.0, 5)
    looks = len({*DENSE, 30, 60, 90, 120, 50, 100})
    assert pace.seconds(spec, is_saved=True).mid == pytest.approx(1 + 4 * 110 + (120 - looks) * 0.2 + looks * 2.0)
    assert pace.seconds(spec, is_saved=False).low == pytest.approx(1 + 4 * 10 + (120 - looks) * 0.1 + looks * 1.0)


def test_nothing_is_asked_of_ray_where_no_cluster_is_named(outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_experiment(str(outside / "sine.yaml"), root=outside, space=outside / "space.yaml").config
    monkeypatch.setattr("distsys.cluster.asking.ray_session", lambda: pytest.fail("Ray was started"))
    monkeypatch.setattr(capacity, "this_machine", lambda: Node("here", 4, 0, is_driver=True))
    assert capacity.capacity_for(config, team=Team(2, 2), is_local=False).together == 4
    monkeypatch.setattr(capacity, "this_machine", lambda: Node("here", 0, 0, is_driver=True))
    with pytest.raises(ConfigError, match="no room for a trial of 1 CPU "):
        capacity.capacity_for(config, team=Team(), is_local=False)


def test_times_and_sizes_read_well() -> None:
    assert [duration(value) for value in (0.023, 4.26, 48.0, 600.0, 7200.0, 3e5)] == [
        "23 ms", "4.3 s", "48 s", "10 min", "2.0 h", "3.5 days",
    ]  # fmt: skip
    assert [size(value) for value in (12, 916_000, 2_500_000_000)] == ["12 B", "916 KB", "2.5 GB"]
    assert not math.isnan(Span.of([1.0, 2.0]).mid)
