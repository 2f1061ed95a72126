"""Before anything is spent: a search whose trials would be judged on different items is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from distsys.errors import ConfigError
from distsys.pipeline.experiment import Experiment, load_experiment, preflight


def with_space(outside: Path, folder: Path, space: str) -> Experiment:
    path = folder / "space.yaml"
    path.write_text(space)
    return load_experiment(str(outside / "sine.yaml"), root=folder, space=path)


@pytest.mark.parametrize(
    ("space", "key", "moved"),
    [
        ("data.edge: {low: 0.01, high: 0.2}", "data.edge", "validation"),
        ("data.cycles: {low: 0.5, high: 1.0}", "data.cycles", "validation and test"),
        ("data.edge: {choices: [0.01, 0.1]}\noptimizer.learning_rate: {low: 1e-3, high: 1e-1}", "data.edge", "valid"),
    ],
)
def test_a_searched_key_on_which_a_frozen_set_depends_is_named(
    outside: Path, tmp_path: Path, space: str, key: str, moved: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        preflight(with_space(outside, tmp_path, space))
    assert f"'{key}' is searched" in str(caught.value)
    assert moved in str(caught.value)
    assert "fix: take it out of the search space" in str(caught.value)


def test_keys_that_leave_the_sets_alone_can_be_searched(outside: Path, tmp_path: Path) -> None:
    preflight(with_space(outside, tmp_path, "model.width: {low: 4, high: 8}\nbatch_size: {choices: [16, 32]}"))


def test_the_seed_cannot_be_searched_where_it_decides_the_sets(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text("seed: {choices: [0, 1]}")
    experiment = load_experiment("semantic_eq", root=tmp_path, preset="demo", space=path)
    with pytest.raises(ConfigError, match="'seed' is searched"):
        preflight(experiment)
