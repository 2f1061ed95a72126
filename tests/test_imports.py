"""The direction of imports, and what a bare import may cost."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "distsys"
ORDER = [
    "errors",
    "shapes",
    "specs",
    "console",
    "files",
    "storage",
    "config",
    "health",
    "tracking",
    "signals",
    "domains",
    "training",
    "testing",
    "scaffold",
    "cluster",
    "report",
    "pipeline",
    "parser",
    "options",
    "interface",
    "served",
    "commands",
    "cli",
    "__main__",
]
ONLY_IN = {
    "ray": {"cluster"},
    "optuna": {"cluster", "report"},
    "mlflow": {"tracking"},
    "pyarrow": {"storage"},
}


def _modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {item.name for item in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
    return found


def _part(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", _modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_those_before_it(path: Path) -> None:
    part = _part(path)
    if part == "__init__":
        return
    for module in _imports(path):
        if module.startswith("distsys."):
            other = module.split(".")[1]
            assert ORDER.index(other) <= ORDER.index(part), f"{part} imports {module}"


@pytest.mark.parametrize("path", _modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_edges_are_where_they_belong(path: Path) -> None:
    for module in _imports(path):
        allowed = ONLY_IN.get(module.split(".")[0])
        assert allowed is None or _part(path) in allowed, f"{path} imports {module}"


def test_domains_do_not_know_each_other_and_the_core_knows_none() -> None:
    names = {path.name for path in (PACKAGE / "domains").iterdir() if path.is_dir() and path.name != "__pycache__"}
    for path in _modules():
        inside = path.relative_to(PACKAGE).parts[1] if _part(path) == "domains" else ""
        for module in _imports(path):
            parts = module.split(".")
            if parts[:2] == ["distsys", "domains"] and len(parts) > 2 and parts[2] in names:
                assert parts[2] == inside, f"{path} imports {module}"


@pytest.mark.parametrize(
    "start",
    [
        "import distsys",
        "from distsys.cli import main; main(['domains'])",
        "from distsys.cli import main; main(['cluster', 'status'])",
        "from contextlib import suppress; from distsys.cli import main\nwith suppress(SystemExit): main(['--help'])\n",
    ],
)
def test_a_bare_start_loads_nothing_heavy(start: str, tmp_path: Path) -> None:
    heavy = ("torch", "ray", "mlflow", "optuna", "matplotlib", "pyarrow")
    code = f"import sys; {start}\nprint([name for name in {heavy} if name in sys.modules])"
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=own)
    assert done.stdout.splitlines()[-1] == "[]"


def test_local_training_needs_only_torch_numpy_scipy_pydantic_and_yaml(outside: Path, tmp_path: Path) -> None:
    """As on a machine where nothing else is installed: importing anything else fails."""
    absent = ["ray", "optuna", "mlflow", "pyarrow", "matplotlib", "jaxtyping", "beartype", "sklearn", "pandas", "rich"]
    absent += ["pyroomacoustics", "scoringrules", "torchmetrics"]
    arguments = ["train", str(outside / "sine.yaml"), "--local", "--preset", "tiny", "--out", str(tmp_path), "--json"]
    start = f"import sys; sys.modules.update(dict.fromkeys({absent})); from distsys.cli import main"
    code = f"{start}; sys.exit(main({arguments}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["metrics"]["mae"] < 1.0
