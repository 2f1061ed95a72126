"""The commands that start from another run's weights: where it shows, what is said, and what is refused in one line."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from distsys.config import reuse
from distsys.tracking.spool import read_record
from distsys.training.checkpoint import directory_of, load

Call = Callable[..., tuple[int, str, str]]
SHORT = ("--set", "final.steps=60", "--set", "final.eval_every_steps=20")
SEARCH = ("search.trials=3", "search.startup_trials=3", "search.reduction_factor=null", "handoff.top_k=2")


def trained(distsys: Call, outside: Path, root: Path, *more: str) -> tuple[int, str, str]:
    return distsys("train", str(outside / "sine.yaml"), "--local", "--out", str(root), *SHORT, *more)


@pytest.fixture
def source(distsys: Call, outside: Path, tmp_path: Path) -> Path:
    """The folder of a healthy training."""
    assert trained(distsys, outside, tmp_path / "source")[0] == 0
    (folder,) = (tmp_path / "source").glob("sine-train-*")
    return folder


def test_train_from_a_run_says_what_is_other_and_leaves_its_origin(
    outside: Path, tmp_path: Path, distsys: Call, source: Path
) -> None:
    given = ("--from", str(source), "--set", "optimizer.learning_rate=0.003", "--set", "batch_size=16")
    code, out, err = trained(distsys, outside, tmp_path / "source", *given)
    assert code == 0
    (folder,) = set((tmp_path / "source").glob("sine-train-*")) - {source}
    origin = load(directory_of(source, 60))
    assert err.splitlines()[0] == (
        f"train: starts from step 60 of {origin.path}; other than there: batch_size 32 -> 16, "
        "optimizer.learning_rate 0.01 -> 0.003"
    )
    started = f"started from step 60 of {origin.path}: weights, moments taken over; not schedule"
    assert f"train: {started}" in err
    assert "WARNING" not in err
    record = read_record(folder)
    assert record.params["from.sha256"] == record.tags["distsys.origin.sha256"] == origin.digest
    assert record.params["from.step"] == 60
    assert record.tags["distsys.origin.path"] == str(origin.path)
    outcome = json.loads((folder / "outcome.json").read_text())
    expected = {"path": str(origin.path), "step": 60, "sha256": origin.digest, "reset_optimizer": False}
    assert outcome["spec"]["origin"] == expected
    assert outcome["notes"][0].startswith(started)
    assert trained(distsys, outside, tmp_path / "source", *given)[:2] == (0, out)
    code, _, err = trained(distsys, outside, tmp_path / "source", *given, "--reset-optimizer")
    assert code == 0
    assert "weights taken over; not moments and schedule" in err
    assert len(list((tmp_path / "source").glob("sine-train-*"))) == 3


def test_a_run_is_named_below_out_too_and_a_sick_checkpoint_is_taken_with_a_warning(
    outside: Path, tmp_path: Path, distsys: Call
) -> None:
    sick = ("--set", "constraints={spread: {min: 50}}")
    assert trained(distsys, outside, tmp_path, *sick)[0] == 3
    (folder,) = tmp_path.glob("sine-train-*")
    code, _, err = trained(distsys, outside, tmp_path, "--from", folder.name)
    assert code == 3
    assert f"--from {folder}: no checkpoint is healthy\nspread outside its band: spread = " in err
    named = err.rsplit("or --from ", 1)[1].strip()
    code, _, err = trained(distsys, outside, tmp_path, "--from", named)
    assert code == 0
    assert "train: WARNING: the checkpoint is sick: spread outside its band: spread = " in err
    assert "constraints.spread" in err.splitlines()[0]


def test_final_from_keeps_its_finals_and_report_apart(outside: Path, tmp_path: Path, distsys: Call) -> None:
    config = [str(outside / "sine.yaml"), "--space", str(tmp_path / "space.yaml"), "--local", "--out", str(tmp_path)]
    config += [word for item in SEARCH for word in ("--set", item)]
    (tmp_path / "space.yaml").write_text("optimizer.learning_rate: {low: 1e-3, high: 1e-1, log: true, prior: 1e-2}\n")
    code, out, _ = distsys("run", *config, "--json")
    assert code == 0
    (folder,) = tmp_path.glob("sine-*")
    before = {name: (folder / name).read_bytes() for name in ("report.html", "evaluation.json")}
    code, _, err = distsys("final", *config, "--from", folder.name)
    assert code == 0
    checkpoint = Path(json.loads(out)["checkpoint"])
    assert f"starts from step {load(checkpoint.parent / 'step-00000120').step} of {folder / 'final'}" in err
    (home,) = folder.glob("from-*")
    (run,) = (home / "final").iterdir()
    assert read_record(run).parent == str(folder)
    assert {name: (folder / name).read_bytes() for name in before} == before
    assert "started from step 120 of" in (home / "report.html").read_text().lower()
    assert (folder / "artifacts" / home.name / "report.html").is_file()
    assert distsys("evaluate", str(folder), "--json")[1] == distsys("evaluate", str(checkpoint), "--json")[1]
    taken = json.loads(distsys("evaluate", str(home), "--json")[1])["checkpoint"]
    assert taken.startswith(str(run))
    again = distsys("final", *config, "--from", folder.name, "--json")
    assert json.loads(again[1])["checkpoint"] == taken


def test_final_from_weights_that_do_not_fit_the_winner_is_refused(
    outside: Path, tmp_path: Path, distsys: Call, source: Path
) -> None:
    config = [str(outside / "sine.yaml"), "--space", str(tmp_path / "space.yaml"), "--local", "--out", str(tmp_path)]
    config += [word for item in SEARCH for word in ("--set", item)]
    space = "optimizer.learning_rate: {low: 1e-3, high: 1e-1, log: true, prior: 1e-2}\nmodel.width: {low: 4, high: 8}\n"
    (tmp_path / "space.yaml").write_text(space)
    assert distsys("search", *config)[0] == 0
    code, _, err = distsys("final", *config, "--from", str(source))
    assert code == 1
    assert "its weights do not fit this model: 0.weight [16, 1], here [" in err
    fix = "fix: take model.width out of the search space, then --set model.width=16, as there, or train without --from"
    assert fix in err
    assert not list(tmp_path.glob("sine-*/from-*/final"))


def with_scale(outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The outside domain's data are scaled by a statistic of theirs."""
    sine: Any = sys.modules.get("sine_domain") or __import__("sine_domain")
    build = sine.Sine.build_data

    def build_data(self: Any, config: Any, *, seed: int) -> Any:
        scale = torch.tensor(config.data.cycles)
        return dataclasses.replace(build(self, config, seed=seed), statistics={"scale": scale})

    monkeypatch.setattr(sine.Sine, "build_data", build_data)


@pytest.mark.parametrize(
    ("place", "code", "text"),
    [
        ("nowhere", 2, "error: --from {tmp}/nowhere: there is no such folder\n  expected: a checkpoint, or the folder"),
        ("source/a/outcome.json", 2, "error: --from {tmp}/source/a/outcome.json: is a file\n  expected: a checkpoint"),
        ("empty", 2, "error: --from {tmp}/empty: 0 final trainings with a checkpoint in it\n"),
        ("damaged/checkpoints/step-00000060", 1, "model.pt: does not match its hash\n  expected: sha256 "),
        ("damaged/checkpoints/step-00000040", 1, "step-00000040: no readable manifest.json: "),
        ("foreign/checkpoints/step-00000060", 2, "step-00000060: weights of 'cosine'\n  expected: weights of 'sine'"),
    ],
)
def test_what_cannot_be_started_from_is_refused(
    outside: Path, tmp_path: Path, distsys: Call, source: Path, place: str, code: int, text: str
) -> None:
    for name in ("a", "damaged", "foreign"):
        shutil.copytree(source, tmp_path / ("source/a" if name == "a" else name))
    (tmp_path / "empty").mkdir()
    (directory_of(tmp_path / "damaged", 60) / "model.pt").write_bytes(b"damaged")
    (directory_of(tmp_path / "damaged", 40) / "manifest.json").unlink()
    foreign(directory_of(tmp_path / "foreign", 60))
    found, out, err = trained(distsys, outside, tmp_path / "new", "--from", str(tmp_path / place))
    assert (found, out) == (code, "")
    assert text.replace("{tmp}", str(tmp_path)) in err
    assert not list((tmp_path / "new").glob("*"))


def foreign(path: Path) -> None:
    """Make the checkpoint one of another domain, with a manifest that says so."""
    from distsys.training.checkpoint import _sha256

    meta, manifest = (json.loads((path / name).read_text()) for name in ("meta.json", "manifest.json"))
    meta["config"]["domain"] = "cosine"
    (path / "meta.json").write_text(json.dumps(meta))
    (path / "manifest.json").write_text(json.dumps({**manifest, "meta.json": _sha256(path / "meta.json")}))


def test_another_width_or_other_statistics_are_refused(
    outside: Path, tmp_path: Path, distsys: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_scale(outside, monkeypatch)
    assert trained(distsys, outside, tmp_path)[0] == 0
    (folder,) = tmp_path.glob("sine-train-*")
    code, _, err = trained(distsys, outside, tmp_path, "--from", str(folder), "--set", "model.width=8")
    assert code == 1
    assert "its weights do not fit this model: 0.weight [16, 1], here [8, 1]" in err
    assert "fix: --set model.width=16, as there, or train without --from" in err
    reuse.forget()
    code, _, err = trained(distsys, outside, tmp_path, "--from", str(folder), "--set", "data.cycles=0.7")
    assert code == 1
    assert "its weights expect data scaled by other statistics: scale 0.5 -> 0.7\n" in err
    assert "fix: --set data.cycles=0.5, as there, or train without --from" in err
    assert len(list(tmp_path.glob("sine-train-*"))) == 1


def test_options_that_say_nothing_are_refused(outside: Path, tmp_path: Path, distsys: Call) -> None:
    code, _, err = trained(distsys, outside, tmp_path, "--reset-optimizer")
    assert code == 2
    assert "--reset-optimizer without --from\n  fix: name the weights to start from by --from" in err
