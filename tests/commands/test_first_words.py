"""What a person types first, and wrongly."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from distsys.files import lock
from tests.outside import importable

Call = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("arguments", [("predict", "--help"), ("predict", "-h"), ("predict",)])
def test_predict_explains_itself(distsys: Call, arguments: tuple[str, ...]) -> None:
    code, out, _ = distsys(*arguments)
    assert code == 0
    assert "distsys predict DOMAIN --help" in out


def test_options_before_the_command_are_themselves_to_blame(distsys: Call) -> None:
    code, _, err = distsys("--set", "seed=1", "run", "semantic_eq")
    assert code == 2
    assert err.startswith("error: --set before the command")
    assert "fix: distsys run CONFIG --set seed=1" in err


def test_a_shell_completes_commands_and_options(distsys: Call, tmp_path: Path) -> None:
    code, out, _ = distsys("completion", "bash")
    assert code == 0
    (tmp_path / "completion.sh").write_text(out)
    asked = "COMP_WORDS=(distsys com); COMP_CWORD=1; _shtab_distsys 2>/dev/null; echo ${COMPREPLY[@]}"
    shell = ["bash", "-c", f"source {tmp_path}/completion.sh; {asked}"]
    done = subprocess.run(shell, capture_output=True, text=True, check=False)
    assert set(done.stdout.split()) == {"compare", "completion"}, done.stderr


def test_a_broken_package_hides_no_other_domain(tmp_path: Path, distsys: Call) -> None:
    info = tmp_path / "broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[distsys.domains]\nbroken = nowhere_to_be_found:Domain\n")
    with importable(tmp_path):
        code, out, _ = distsys("domains")
        assert code == 1
        assert "BROKEN" in out
        assert "nowhere_to_be_found" in out
        assert "semantic_eq" in out
        assert distsys("config", "semantic_eq")[0] == 0


def test_a_lock_is_told_before_anything_is_read(
    outside: Path, tmp_path: Path, distsys: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ["search", str(outside / "sine.yaml"), "--space", str(outside / "space.yaml"), "--local"]
    monkeypatch.setattr("distsys.pipeline.run.preflight", lambda experiment: pytest.fail("data were read"))
    from distsys.pipeline.experiment import load_experiment

    folder = load_experiment(str(outside / "sine.yaml"), root=tmp_path, space=outside / "space.yaml").folder
    folder.mkdir()
    with lock(folder / ".lock") as is_held:
        assert is_held
        monkeypatch.setattr("distsys.files.lock", _held)
        monkeypatch.setattr("distsys.pipeline.experiment.lock", _held)
        code, _, err = distsys(*given, "--out", str(tmp_path))
    assert code == 2
    assert f"another distsys works on {folder}" in err


class _held:  # noqa: N801 - stands for a function
    """A lock that another process holds."""

    def __init__(self, path: Path, **given: object) -> None:
        pass

    def __enter__(self) -> bool:
        return False

    def __exit__(self, *given: object) -> None:
        pass
