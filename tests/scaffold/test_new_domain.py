"""A package that ``new-domain`` wrote works as it stands; a name that will not do is refused with help."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from distsys.scaffold import write_domain
from distsys.testing.contract import DomainContract
from tests.outside import importable, install_package

Call = Callable[..., tuple[int, str, str]]
NAME = "tone_gauge"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a package that was just written."""
    parent = tmp_path_factory.mktemp("written")
    write_domain(NAME, parent)
    return parent / NAME


@pytest.fixture(scope="module")
def installed(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The same package, installed."""
    site = tmp_path_factory.mktemp("site")
    install_package(written, site)
    with importable(site):
        yield


@pytest.mark.usefixtures("installed")
class TestContract(DomainContract):
    domain_name = NAME
    overrides = ("data.num_simulated=1000", "model.width=32")


def test_it_names_every_file_and_what_to_do_next(distsys: Call, tmp_path: Path) -> None:
    code, out, _ = distsys("new-domain", "new_one", "--to", "{tmp}")
    assert code == 0
    files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert files == [
        "new_one/README.md",
        "new_one/new_one/__init__.py",
        "new_one/new_one/configs/new_one.yaml",
        "new_one/new_one/search_spaces/new_one.yaml",
        "new_one/pyproject.toml",
        "new_one/tests/test_new_one.py",
    ]
    for text in [*files, f"pip install -e {tmp_path}/new_one", "distsys check-domain new_one", "distsys run new_one"]:
        assert text in out
    for path in files:
        assert "NAME" not in (tmp_path / path).read_text()
        assert "$" not in (tmp_path / path).read_text()


def test_the_domain_is_short_and_clean(written: Path) -> None:
    code = (written / NAME / "__init__.py").read_text()
    assert len([line for line in code.splitlines() if line.strip()]) <= 120
    rules = ["--isolated", "--line-length", "120", "--target-version", "py311"]
    for task in (["check", "--select", "E,F,I,B,UP,N,SIM,PT,RUF", "--ignore", "F722"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *task, *rules, "."], cwd=written, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("extra", [[], ["--preset", "demo"], ["--preset", "laptop"]])
def test_its_config_and_search_space_are_found_by_its_bare_name(distsys: Call, extra: list[str]) -> None:
    code, out, err = distsys("config", NAME, *extra, "--set", "data.num_simulated=1000", "--check")
    assert code == 0, err
    assert "search space fit" in out


@pytest.mark.usefixtures("installed")
def test_the_preset_for_gpus_is_valid(distsys: Call) -> None:
    assert distsys("config", NAME, "--preset", "gpu")[0] == 0


@pytest.mark.usefixtures("installed")
def test_a_name_that_is_nearly_its_own_is_put_right(distsys: Call) -> None:
    code, _, err = distsys("config", "tone_gage")
    assert code == 2
    assert f"did you mean '{NAME}'?" in err


def test_looking_for_configs_imports_no_domain(written: Path, tmp_path: Path) -> None:
    install_package(written, tmp_path)
    code = (
        "import sys; from distsys.domains.registry import domain_homes; homes = domain_homes(); "
        f"print(any(home.name == '{NAME}' for home in homes), '{NAME}' in sys.modules, 'torch' in sys.modules)"
    )
    with importable(tmp_path):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False", "False"]


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("columns", "bad", "expected"),
    [
        (130, None, "2 recordings"),
        (129, None, "129 columns"),
        (130, "nan", "finite numbers"),
        (130, "loud", "could not convert string"),
    ],
)
def test_own_recordings_are_read_or_refused_by_name(
    distsys: Call, tmp_path: Path, columns: int, bad: str | None, expected: str
) -> None:
    table = np.random.default_rng(0).uniform(5.0, 8.0, (300, columns)).round(3).astype(str)
    if bad:
        table[7, 40] = bad
    (tmp_path / "own.csv").write_text("\n".join(",".join(row) for row in table))
    code, _, err = distsys("config", NAME, "--check", "--set", "data.path={tmp}/own.csv")
    assert code == (0 if expected == "2 recordings" else 2), err
    assert expected in err or code == 0
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Tone-Gauge", ["'Tone-Gauge' cannot name a domain", "small letters", "new-domain tone_gauge"]),
        ("2tone", ["'2tone' cannot name a domain", "new-domain my_2tone"]),
        ("class", ["'class' cannot name a domain", "new-domain my_class"]),
        ("../tone", ["'../tone' cannot name a domain", "new-domain tone"]),
        ("", ["'' cannot name a domain", "new-domain my_domain"]),
        ("sine", ["the domain 'sine' exists already", "'distsys domains' does not list", "another name"]),
        ("json", ["'json' is a module that is installed already", "new-domain my_json"]),
        ("taken", ["taken: exists already", "another name, or another parent"]),
    ],
)
def test_a_name_that_will_not_do_is_refused(distsys: Call, tmp_path: Path, name: str, expected: list[str]) -> None:
    (tmp_path / "taken").mkdir()
    code, out, err = distsys("new-domain", name, "--to", "{tmp}")
    assert (code, out) == (2, "")
    for text in expected:
        assert text in err
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_parent_that_is_not_there_is_refused(distsys: Call, tmp_path: Path) -> None:
    code, _, err = distsys("new-domain", "new_one", "--to", "{tmp}/none")
    assert code == 2
    assert "none: no such folder" in err
    assert not list(tmp_path.iterdir())
