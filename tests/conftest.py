"""Fixtures: quiet libraries, one thread, and a domain that lives outside the project."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.update(RAY_USAGE_STATS_ENABLED="0", MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true")
os.environ.pop("RAY_ADDRESS", None)
os.environ.pop("MLFLOW_TRACKING_URI", None)

from distsys.config import reuse  # noqa: E402 - after the environment is set
from tests.outside import importable, install  # noqa: E402 - after the environment is set


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of several test processes each takes whole files, and one of them all that starts a Ray cluster."""
    with_ray = {item.path for item in items if item.get_closest_marker("ray")}
    for item in items:
        item.add_marker(pytest.mark.xdist_group("ray" if item.path in with_ray else str(item.path)))


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    """Each test builds its own data."""
    yield
    reuse.forget()


@pytest.fixture(scope="session")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the domain ``sine``, its config and its search space, importable here and in workers."""
    folder = tmp_path_factory.mktemp("outside")
    install(folder)
    with importable(folder):
        yield folder


@pytest.fixture
def distsys(outside: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a command line in this process; gives exit code, standard output and standard error."""
    from distsys.cli import main

    def call(*arguments: str) -> tuple[int, str, str]:
        places = {"{outside}": str(outside), "{tmp}": str(tmp_path)}
        given = list(arguments)
        for mark, place in places.items():
            given = [text.replace(mark, place) for text in given]
        code = main(given)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def real_equaliser_data() -> Path:
    """The real settings, where they are found."""
    root = Path(os.environ.get("DISTSYS_DATA", Path(__file__).parents[2] / "shared" / "data"))
    path = root / "eq" / "safe_equaliser.csv"
    if not path.is_file():
        pytest.skip("real equaliser settings not found: set DISTSYS_DATA to their folder")
    return path
