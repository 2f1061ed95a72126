"""Every shipped config, search space and README command is a test input."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
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


PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]


def written_commands() -> list[tuple[str, str]]:
    """Page and line of every command that the README and the pages tell people to type."""
    found = []
    for page in PAGES:
        blocks = re.findall(r"```(?:sh)?\n(.*?)```", page.read_text(), flags=re.DOTALL)
        text = "\n".join(blocks).replace("\\\n", " ")
        lines = re.findall(r"(?:^|-- +)(distsys .*?)(?:#.*)?$", text, flags=re.MULTILINE)
        found += [(page.relative_to(ROOT).as_posix(), line.strip()) for line in lines]
    return found


def test_the_pages_have_commands() -> None:
    pages = [page for page, _ in written_commands()]
    assert pages.count("README.md") >= 4
    assert {"docs/tutorial.md", "docs/cluster.md", "docs/domains/semantic_eq.md"} <= set(pages)


@pytest.mark.parametrize(("page", "line"), written_commands())
def test_every_command_is_one_that_the_parser_takes(page: str, line: str) -> None:
    options = _parser().parse_args(shlex.split(line)[1:])
    assert callable(options.run)


def test_what_the_readme_does_in_python_is_there() -> None:
    import distsys

    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    used = re.findall(r"distsys\.(\w+)\(", block)
    assert set(used) <= set(distsys.__all__)
    assert len(used) >= 4
    compile(block, "README.md", "exec")


def test_links_of_the_readme_lead_somewhere() -> None:
    for name in re.findall(r"\]\((docs/[^)#]+)", (ROOT / "README.md").read_text()):
        assert (ROOT / name).is_file(), name


@pytest.mark.slow
@pytest.mark.promise
def test_the_pages_are_built_without_a_warning_and_ask_for_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    )
    assert done.returncode == 0, done.stderr
    keys = (tmp_path / "site" / "reference" / "config" / "index.html").read_text()
    assert "search.reduction_factor" in keys
    assert '<h2 id="compare">' in (tmp_path / "site" / "reference" / "commands" / "index.html").read_text()
    for page in (tmp_path / "site").rglob("*.html"):
        asked = re.findall(r"<(?:script|img|link)[^>]+(?:src|href)=\"https?://([^\"]+)", page.read_text())
        assert not [place for place in asked if not place.startswith("squidfunk")], page


def test_nothing_of_the_project_is_too_long_to_read() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in ROOT.glob("distsys/**/*.py")}
    assert {path: length for path, length in lengths.items() if length > 400} == {}
