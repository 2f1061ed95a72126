"""What a user sees: exit codes, messages for bad input, and nothing written when a command is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

Call = Callable[..., tuple[int, str, str]]
RUN = ("run", "{outside}/sine.yaml", "--space", "{outside}/space.yaml", "--out", "{tmp}/runs")


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        (["--set", "serach.trials=3"], ["unknown key 'serach'", "did you mean 'search'?"]),
        (["--set", "search.trails=3"], ["search.trails", "did you mean 'trials'?"]),
        (["--set", "search.trials=many"], ["search.trials", "'many'", "whole number", "--set search.trials"]),
        (["--set", "search.trials=0"], ["search.trials = 0", "greater than 0"]),
        (["--set", "search.trials=2.5"], ["search.trials = 2.5"]),
        (["--set", "model.widht=3"], ["model.widht", "did you mean 'width'?"]),
        (["--set", "domain=sin"], ["unknown domain 'sin'", "did you mean 'sine'?"]),
        (["--set", "precision=bfloat"], ["precision", "did you mean 'bfloat16'?"]),
        (["--set", "search.weights.lambda_msee=1"], ["lambda_msee", "did you mean 'lambda_mse'?"]),
        (["--set", "search.weights.lambda_mse=-1"], ["lambda_mse", "greater than or equal to 0"]),
        (["--set", "constraints.spreat={min: 0.1}"], ["'spreat' is not a metric", "did you mean 'spread'?"]),
        (["--set", "data.broken=true"], ["row 3 holds NaN", "mend row 3"]),
        (["--set", "final.optimizer.learning_rate=1"], ["unknown key 'final.optimizer'"]),
        (["--preset", "tinny"], ["no preset 'tinny'", "did you mean 'tiny'?"]),
        (["--set", "search.trials"], ["--set key=value"]),
        (["--workers", "0"], ["'0' is not a whole number above 0"]),
        (["--seed", "-1"], ["seed = -1"]),
        (["--set", "search.eval_every_steps=900"], ["eval_every_steps 900 is above steps 60"]),
    ],
)
def test_bad_input_is_refused_with_help_and_nothing_is_written(
    distsys: Call, tmp_path: Path, extra: list[str], expected: list[str]
) -> None:
    code, out, err = distsys(*RUN, *extra)
    assert code == 2
    assert out == ""
    assert "Traceback" not in err
    for text in expected:
        assert text in err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        (
            "optimizer.learning_rat: {low: 1e-3, high: 1e-1}",
            ["optimizer.learning_rat", "did you mean 'optimizer.learning_rate'?"],
        ),
        ("model.unread: {low: 1, high: 9}", ["'model.unread' is searched, but nothing reads it"]),
        ("optimizer.learning_rate: {low: -1.0, high: 1.0}", ["learning_rate = -1.0 does not fit"]),
        ("optimizer.learning_rate: {low: 1e-1, high: 1e-3}", ["low 0.1 is not below high 0.001"]),
        ("optimizer.learning_rate: {low: 0, high: 1, log: true}", ["log scale"]),
        ("optimizer.learning_rate: {low: 1e-3, high: 1e-1, prior: 1.0}", ["prior 1.0 lies outside"]),
        ("optimizer.learning_rate: {lo: 1e-3, high: 1e-1}", ["unknown key 'lo'", "did you mean 'low'?"]),
        ("final.steps: {low: 10, high: 20}", ["cannot be searched"]),
        ("model.width: {choices: [4, wide]}", ["model.width = 'wide' does not fit"]),
        (
            "search.weights.lambda_mse: {low: 0.1, high: 1.0}",
            ["'search.weights.lambda_mse' is searched", "final.weights.lambda_mse: {times: 2}"],
        ),
        ("a: {low: 1, high: 2}\nb: {low: 1, high: 2}", ["2 problems", "'a' is not", "'b' is not"]),
    ],
)
def test_a_wrong_search_space_is_refused(distsys: Call, tmp_path: Path, space: str, expected: list[str]) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(space)
    code, _, err = distsys("run", "{outside}/sine.yaml", "--space", str(path), "--out", "{tmp}/runs")
    assert code == 2
    for text in expected:
        assert text in err
    assert not (tmp_path / "runs").exists()


def test_all_problems_of_a_file_come_at_once(distsys: Call) -> None:
    wrong = [
        "--set",
        "search.trials=x",
        "--set",
        "modle={}",
        "--set",
        "batch_size=0",
        "--set",
        "final.weights.lambda_sise=1",
    ]
    code, _, err = distsys(*RUN, *wrong)
    assert code == 2
    assert "4 problems" in err
    for text in ("search.trials", "modle", "batch_size", "did you mean 'lambda_size'?"):
        assert text in err


def test_a_missing_file_and_a_duplicate_key(distsys: Call, tmp_path: Path) -> None:
    assert distsys("run", "{tmp}/no.yaml")[0] == 2
    double = tmp_path / "double.yaml"
    double.write_text("domain: sine\nseed: 1\nseed: 2\n")
    code, _, err = distsys("run", str(double))
    assert code == 2
    assert "'seed' stands twice (first on line 2)" in err


def test_an_unknown_shipped_config_is_named(distsys: Call) -> None:
    code, _, err = distsys("config", "semantic_eqq")
    assert code == 2
    assert "did you mean 'semantic_eq'?" in err


def test_config_tells_where_each_value_comes_from(distsys: Call) -> None:
    code, out, _ = distsys(
        "config",
        "{outside}/sine.yaml",
        "--space",
        "{outside}/space.yaml",
        "--preset",
        "tiny",
        "--set",
        "seed=7",
        "--json",
    )
    assert code == 0
    shown = json.loads(out)
    assert shown["seed"] == {"value": 7, "source": "--set seed"}
    assert shown["search.trials"]["value"] == 2
    assert shown["search.trials"]["source"].startswith("preset tiny (sine.yaml:")
    assert shown["batch_size"]["source"] == "sine.yaml:3"
    assert shown["optimizer.weight_decay"]["source"] == "default"


def test_check_accepts_a_good_config_and_writes_nothing(distsys: Call, tmp_path: Path) -> None:
    code, out, _ = distsys("config", *RUN[1:], "--check")
    assert code == 0
    assert "fit" in out
    assert not (tmp_path / "runs").exists()


def test_a_gpu_that_is_not_there_is_told_before_anything_is_written(distsys: Call, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    code, _, err = distsys(*RUN, "--set", "device=cuda")
    assert code == 2
    assert "no CUDA device is visible" in err
    assert not (tmp_path / "runs").exists()


def test_a_relative_out_inside_a_ray_job_is_refused(distsys: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    code, _, err = distsys("run", "{outside}/sine.yaml", "--out", "runs")
    assert code == 2
    assert "absolute path" in err


def test_evaluate_and_ui_without_anything_say_what_to_run(distsys: Call) -> None:
    code, _, err = distsys("evaluate", "{tmp}")
    assert code == 2
    assert "run 'distsys run'" in err
    code, _, err = distsys("ui", "--out", "{tmp}")
    assert code == 2
    assert "no tracking store yet" in err


def test_domains_lists_those_outside_the_project_too(distsys: Call) -> None:
    code, out, _ = distsys("domains", "--json")
    assert code == 0
    assert {"sine", "semantic_eq"} <= {item["name"] for item in json.loads(out)}


@pytest.mark.parametrize("command", ["run", "search", "final", "train"])
@pytest.mark.parametrize("out", ["{tmp}/file", "{tmp}/file/below", "/proc/distsys/out"])
def test_an_out_that_cannot_be_written_is_refused_before_any_work(
    distsys: Call, tmp_path: Path, command: str, out: str
) -> None:
    (tmp_path / "file").write_text("mine")
    code, _, err = distsys(command, "{tmp}/no-such-config.yaml", "--out", out)
    assert code == 2
    assert err.startswith(f"error: --out {out.replace('{tmp}', str(tmp_path))}: ")
    assert (tmp_path / "file").read_text() == "mine"
