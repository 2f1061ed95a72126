"""Every shipped config, search space and README command is a test input."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from distsys.cli import _parser
from distsys.pipeline.experiment import load_experiment, preflight

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))


def presets(path: Path) -> list[str]:
    return list(yaml.safe_load(path.read_text())["presets"])


@pytest.mark.parametrize(
    ("path", "preset"),
    [(path, preset) for path in CONFIGS for preset in presets(path)],
    ids=lambda item: str(item)[-24:],
)
def test_every_preset_of_every_config_fits_its_schema_and_search_space(path: Path, preset: str, tmp_path: Path) -> None:
    experiment = load_experiment(str(path), root=tmp_path, preset=preset)
    assert experiment.space.dimensions
    assert experiment.space.priors()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_has_the_three_presets_and_passes_its_preflight(path: Path, tmp_path: Path) -> None:
    assert {"demo", "laptop", "gpu"} <= set(presets(path))
    preflight(load_experiment(str(path), root=tmp_path, preset="demo"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_final_phase_is_stronger_than_the_search(path: Path, tmp_path: Path) -> None:
    config = load_experiment(str(path), root=tmp_path).config
    search = config.search.weights
    final = {name: item.resolved(search[name]) for name, item in config.final.weights.items()}
    assert any(final[name].at(1.0) > search[name].at(1.0) for name in search)


def readme_commands() -> list[str]:
    blocks = re.findall(r"```\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    text = "\n".join(blocks).replace("\\\n", " ")
    found = re.findall(r"(?:^|-- +)(distsys .*?)(?:#.*)?$", text, flags=re.MULTILINE)
    return [line.strip() for line in found]


def test_the_readme_has_commands() -> None:
    assert len(readme_commands()) >= 4


@pytest.mark.parametrize("line", readme_commands())
def test_every_readme_command_is_one_that_the_parser_takes(line: str) -> None:
    options = _parser().parse_args(shlex.split(line)[1:])
    assert callable(options.run)


def test_nothing_of_the_project_is_too_long_to_read() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in ROOT.glob("distsys/**/*.py")}
    assert {path: length for path, length in lengths.items() if length > 400} == {}
