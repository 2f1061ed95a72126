"""A registered model answers, where it is loaded by its name alone, as it does here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from distsys.errors import StoppedByHealth
from distsys.health.verdict import Verdict
from distsys.pipeline import registering
from tests.outside import install

LOAD = """
import sys, json, mlflow
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(sys.argv[2])
import pandas
print(json.dumps(model.predict(pandas.DataFrame({"x": [0.25, 0.5]}))))
"""


@pytest.mark.slow
def test_registered_loaded_and_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    install(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(__file__).parents[2]}")
    out = tmp_path / "runs"
    command = [sys.executable, "-m", "distsys.cli", "train", str(tmp_path / "sine.yaml"), "--local", "--json"]
    subprocess.run([*command, "--quiet", "--out", str(out)], check=True, capture_output=True)
    (experiment,) = [path for path in out.iterdir() if path.is_dir() and path.name.startswith("sine")]
    done = subprocess.run(
        [sys.executable, "-m", "distsys.cli", "register", str(experiment), "--name", "waves", "--json"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    told = json.loads(done.stdout)
    assert told["uri"] == "models:/waves/1"
    loaded = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOAD, told["store"], told["uri"]],
        check=True, capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    command = [sys.executable, "-m", "distsys.cli", "predict", "sine", "--checkpoint", str(experiment), "--json", "--x"]
    asked = [subprocess.run([*command, x], check=True, capture_output=True, text=True).stdout for x in ("0.25", "0.5")]
    assert json.loads(loaded.stdout.splitlines()[-1]) == [json.loads(text) for text in asked]


def test_a_sick_model_is_not_registered(tmp_path: Path) -> None:
    sick = Verdict("stop", "dead_term", "it is 0", 10)
    with pytest.raises(StoppedByHealth, match="a sick model is not registered"):
        registering._require_healthy(tmp_path, [sick])
