"""Editors check YAML by the same rules as distsys: the schemas are those of the code, and accept what ships."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from distsys.config.yaml_file import read_yaml

ROOT = Path(__file__).parents[2]
FOLDERS = {"configs": "config", "search_spaces": "space"}
FILES = [(folder, path.stem) for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.yaml"))]
Call = Callable[..., tuple[int, str, str]]


def content_of(folder: str, name: str) -> Any:
    return read_yaml(ROOT / folder / f"{name}.yaml")[0]  # by YAML 1.2, as editors do: 1e-3 is a number


def schema_of(folder: str, name: str) -> Any:
    return json.loads((ROOT / folder / "schema" / f"{name}.json").read_text())


@pytest.mark.parametrize(("folder", "name"), FILES)
def test_the_schema_that_ships_is_that_of_the_code(folder: str, name: str, distsys: Call) -> None:
    code, out, _ = distsys("config", name, "--schema", FOLDERS[folder])
    assert code == 0
    assert json.loads(out) == schema_of(folder, name)


@pytest.mark.parametrize(("folder", "name"), FILES)
def test_what_ships_names_its_schema_and_fits_it(folder: str, name: str) -> None:
    first = (ROOT / folder / f"{name}.yaml").read_text().splitlines()[0]
    assert first == f"# yaml-language-server: $schema=schema/{name}.json"
    jsonschema.Draft202012Validator.check_schema(schema_of(folder, name))
    jsonschema.validate(content_of(folder, name), schema_of(folder, name))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["batch_sise"], 3),
        (["batch_size"], 0),
        (["search", "trials"], "many"),
        (["final", "weights", "lambda_nothing"], 1.0),
        (["final", "weights", "lambda_kl"], {"tims": 2}),
        (["data", "recombined_share"], 1.5),
        (["presets", "demo", "search", "trails"], 3),
        (["presets", "demo", "model", "variant"], "gan"),
    ],
)
def test_what_distsys_refuses_an_editor_marks(path: list[str], value: Any) -> None:
    content = copy.deepcopy(content_of("configs", "semantic_eq"))
    section = content
    for key in path[:-1]:
        section = section.setdefault(key, {})
    section[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, schema_of("configs", "semantic_eq"))


def test_a_path_that_cannot_be_searched_is_marked() -> None:
    for space in ({"data.pth": {"low": 0, "high": 1}}, {"final.steps": {"low": 1, "high": 9}}, {"batch_size": [1, 2]}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(space, schema_of("search_spaces", "semantic_eq"))
