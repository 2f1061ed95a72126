"""distsys from Python: what commands do, as plain objects, at no price for a bare import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import distsys
from distsys.errors import ConfigError, UsageError
from distsys.pipeline.experiment import Experiment
from distsys.pipeline.run import RunResult

pytestmark = pytest.mark.filterwarnings("ignore")
FEW = {"search.trials": 2, "search.startup_trials": 2, "search.reduction_factor": None}


@pytest.fixture(scope="module")
def experiment(outside: Path, tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    out = tmp_path_factory.mktemp("interface")
    return distsys.load_experiment(outside / "sine.yaml", space=outside / "space.yaml", settings=FEW, out=out)


@pytest.fixture(scope="module")
def result(experiment: Experiment) -> RunResult:
    return distsys.run(experiment, local=True, quiet=True)


def test_a_bare_import_loads_nothing_and_names_everything() -> None:
    code = "import sys, distsys, json; print(json.dumps([dir(distsys), [m for m in sys.modules if 'distsys' in m]]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    offered, loaded = json.loads(done.stdout)
    assert loaded == ["distsys"]
    assert set(distsys.__all__) <= set(offered)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = distsys.trian


def test_a_run_is_a_plain_object(result: RunResult, experiment: Experiment) -> None:
    assert not result.assessment.is_sick
    assert result.report == experiment.folder / "report.html"
    table = result.to_pandas()
    assert table.loc["model", "mae"] == result.assessment.value
    assert table.loc["zero", "kind"] == "trivial"


def test_trials_are_a_table(result: RunResult, experiment: Experiment) -> None:
    table = distsys.search(experiment, local=True, quiet=True).to_pandas()
    assert list(table.index) == [0, 1]
    assert list(table["state"]) == ["complete", "complete"]
    assert set(experiment.space.dimensions) <= set(table.columns)


def test_what_was_run_is_evaluated_asked_and_compared(result: RunResult, experiment: Experiment) -> None:
    assert distsys.evaluate(experiment.folder).metrics == result.assessment.metrics
    answer = distsys.predict(experiment.folder, x=0.25)
    assert answer.summary
    assert distsys.compare(experiment.folder, experiment.folder).differences()[0].is_tie
    with pytest.raises(UsageError, match="is not asked for y"):
        distsys.predict(experiment.folder, y=1)


def test_the_folder_alone_is_the_experiment(result: RunResult, experiment: Experiment) -> None:
    again = distsys.load_experiment(experiment.folder)
    assert again.identity == experiment.identity
    assert distsys.run(again, local=True, quiet=True).assessment.value == result.assessment.value
    longer = distsys.extend(experiment.folder, trials=1, local=True, quiet=True)
    assert len(list((experiment.folder / "trials").iterdir())) == 3
    assert longer.report == result.report


def test_mistakes_are_told_as_the_commands_tell_them(experiment: Experiment, outside: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"search\.trails"):
        distsys.load_experiment(outside / "sine.yaml", space=outside / "space.yaml", settings={"search.trails": 2})
    with pytest.raises(UsageError, match="no experiment"):
        distsys.load_experiment(tmp_path)
    with pytest.raises(UsageError, match="beside an experiment"):
        distsys.run(experiment, preset="demo")
    with pytest.raises(UsageError, match="out = s3://bucket/runs"):
        distsys.load_experiment("semantic_eq", out="s3://bucket/runs")
    with pytest.raises(UsageError, match="more of what"):
        distsys.extend(experiment, trials=1, steps=10, local=True, quiet=True)
    with pytest.raises(UsageError, match="local with 2 workers"):
        distsys.run(experiment, local=True, workers=2)
