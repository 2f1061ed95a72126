"""The command that a job runs: the options that were given, at places that it finds."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import pytest

from distsys.cli import _parser
from distsys.cluster.packing import Package, collected
from distsys.errors import ConfigError, UsageError
from distsys.pipeline.submission import command_of


@pytest.fixture
def package(outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """A project with a config, its search space and data, which are left out; the working directory."""
    for name in ("sine.yaml", "space.yaml"):
        shutil.copy(outside / name, tmp_path / name)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "settings.csv").write_text("a")
    (tmp_path / "small.csv").write_text("a")
    monkeypatch.chdir(tmp_path)
    return collected(tmp_path, limit_mb=1.0)


def options(*words: str) -> argparse.Namespace:
    return _parser().parse_args(["submit", *words])


def test_every_option_of_run_arrives(package: Package) -> None:
    given = [
        "sine.yaml",
        "--preset",
        "tiny",
        "--set",
        "batch_size=64",
        "--space",
        "space.yaml",
        "--out",
        "/shared/runs",
    ]
    more = ["--seed", "3", "--workers", "2", "--no-doctor", "--verbose"]
    words = command_of(options(*given, *more), package, is_here=False)
    assert words[:2] == ["distsys", "run"]
    there, here = _parser().parse_args(words[1:]), options(*given, *more)
    assert there.overrides == ["batch_size=64", "seed=3"]
    for name in ("config", "preset", "space", "out", "workers", "no_doctor", "verbose", "local"):
        assert getattr(there, name) == getattr(here, name), name


def test_places_of_this_machine_are_taken_by_a_cluster_of_this_machine_alone(
    package: Package, outside: Path, tmp_path: Path
) -> None:
    given = [str(outside / "sine.yaml"), "--space", str(tmp_path / "space.yaml"), "--out", "/shared"]
    assert command_of(options(*given), package, is_here=True)[2:5] == [
        str(outside / "sine.yaml"),
        "--space",
        "space.yaml",
    ]
    with pytest.raises(UsageError, match=r"sine.yaml is not taken along"):
        command_of(options(*given), package, is_here=False)


def test_out_is_absolute_or_made_so_where_that_says_something(package: Package, tmp_path: Path) -> None:
    words = command_of(options("sine.yaml", "--space", "space.yaml"), package, is_here=True)
    assert words[-2:] == ["--out", str(tmp_path / "runs")]
    with pytest.raises(UsageError, match="--out runs for a cluster elsewhere"):
        command_of(options("sine.yaml", "--space", "space.yaml"), package, is_here=False)


def test_out_may_be_a_store(package: Package) -> None:
    given = ["sine.yaml", "--space", "space.yaml", "--out", "s3://bucket/prefix"]
    assert command_of(options(*given), package, is_here=False)[-2:] == ["--out", "s3://bucket/prefix"]


def test_data_are_named_by_their_absolute_path_which_is_the_same_in_every_job(package: Package, tmp_path: Path) -> None:
    given = ["semantic_eq", "--preset", "demo", "--out", "/shared", "--set"]
    near = options(*given, "data.path=data/settings.csv")
    words = command_of(near, package, is_here=True)
    assert _parser().parse_args(words[1:]).overrides[-1] == f'data.path="{tmp_path}/data/settings.csv"'
    with pytest.raises(ConfigError) as caught:
        command_of(near, package, is_here=False)
    assert "data.path = data/settings.csv" in caught.value.found
    assert "every node sees" in caught.value.expected
    words = command_of(options(*given, "data.path=/shared/settings.csv"), package, is_here=False)
    assert [word for word in words if "data.path" in word] == ["data.path=/shared/settings.csv"]


def test_so_are_several(package: Package, tmp_path: Path) -> None:
    given = ["ground_motion", "--preset", "demo", "--out", "/shared", "--set", "data.records=[a.h5, /shared/b.h5]"]
    words = command_of(options(*given), package, is_here=True)
    assert f'data.records=["{tmp_path}/a.h5", "/shared/b.h5"]' in words


def test_a_wrong_config_is_refused_here(package: Package) -> None:
    with pytest.raises(ConfigError, match="serach"):
        command_of(options("sine.yaml", "--set", "serach.trials=3"), package, is_here=True)
