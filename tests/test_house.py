"""The walls: inside a domain data know no model and no score, what domains share knows none of them, nothing grows."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "distsys"
DOMAINS = PACKAGE / "domains"
ROOMS = ("config", "data", "model", "score", "answer", "program")
"""Of a domain, in the order in which they build on each other; its ``__init__`` declares and may name all."""
LONGEST_FILE, LONGEST_FUNCTION = 400, 60


def domain_names() -> list[str]:
    return sorted(path.name for path in DOMAINS.iterdir() if (path / "__init__.py").is_file())


def imported(source: str) -> Iterator[str]:
    """Every module that ``source`` imports, inside functions too; of ``from a import b`` also a.b."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (item.name for item in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{item.name}" for item in node.names)


def trespasses(place: str, source: str) -> list[str]:
    """What the file ``place`` (relative to the package) imports although its wall forbids it."""
    parts = place.removesuffix(".py").split("/")
    names = domain_names()
    inside = parts[1] if parts[0] == "domains" and parts[1] in names else ""
    found = []
    for module in imported(source):
        steps = module.split(".")
        if steps[:2] != ["distsys", "domains"] or len(steps) < 3 or steps[2] not in names:
            continue
        if steps[2] != inside or (len(steps) > 3 and not _may(parts[2], steps[3])):
            found.append(module)
    return found


def _may(room: str, other: str) -> bool:
    return room == "__init__" or other not in ROOMS or ROOMS.index(other) <= ROOMS.index(room)


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_wall_is_broken(path: Path) -> None:
    assert trespasses(path.relative_to(PACKAGE).as_posix(), path.read_text()) == []


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("domains/semantic_eq/data/bundle.py", "from distsys.domains.semantic_eq.model.network import build_model"),
        ("domains/semantic_eq/data/bundle.py", "from distsys.domains.semantic_eq import score"),
        ("domains/semantic_eq/model/terms.py", "def f():\n    import distsys.domains.semantic_eq.score.metrics"),
        ("domains/semantic_eq/config.py", "from distsys.domains.semantic_eq.data.settings import PARAMETERS"),
        ("domains/semantic_eq/score/metrics.py", "from distsys.domains.ground_motion.config import Config"),
        ("domains/kit.py", "from distsys.domains.semantic_eq.config import Config"),
        ("signals/audio.py", "from distsys.domains.speaker_extraction.config import Config"),
        ("training/loop.py", "from distsys.domains.semantic_eq import SemanticEq"),
    ],
)
def test_a_broken_wall_is_seen(place: str, source: str) -> None:
    assert trespasses(place, source)


def test_every_domain_has_the_same_rooms() -> None:
    for name in domain_names():
        there = {path.name for path in (DOMAINS / name).iterdir() if path.name != "__pycache__"}
        assert there == {"__init__.py", "config.py", "answer.py", "program.py", "data", "model", "score"}, name
        for file in ("data/bundle", "model/network", "model/terms", "score/evaluation", "score/baselines"):
            assert (DOMAINS / name / f"{file}.py").is_file(), f"{name}/{file}"


def test_files_and_functions_fit_on_a_screen_or_few() -> None:
    for path in sources():
        text = path.read_text()
        assert text.count("\n") <= LONGEST_FILE, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                assert node.end_lineno - node.lineno < LONGEST_FUNCTION, f"{path}: {node.name}"
