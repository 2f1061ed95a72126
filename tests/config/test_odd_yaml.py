"""YAML that no config means: told with its line, or read as it is written; never a traceback, never another number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from distsys.config.yaml_file import parse_value, read_yaml
from distsys.errors import ConfigError

Call = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(
    ("text", "line", "found"),
    [
        ("a: !ref x\n", 1, "the tag !ref"),
        ("a:\n  b: [1, !uniform [1, 2]]\n", 2, "the tag !uniform"),
        ("? [a, b]\n: 1\n", 1, "a list or mapping as a key"),
        ("a: 1\n7: 2\n", 2, "the key 7"),
        ("a: 1\ntrue: 2\n", 2, "the key true"),
        ("null: 2\n", 1, "the key null"),
        ("a:\n  <<: defaults\n", 2, "'<<' merges no mapping"),
        ("a: &m\n  b: 1\n  again: *m\n", 1, "an anchor that holds itself"),
        ("a: &m [1, *m]\n", 1, "an anchor that holds itself"),
        ("a: 1\nb: 2024-02-30\n", 2, "the date 2024-02-30"),
        ("a: 1\nb:\n  c: 1\n  c: 2\n", 4, "'b.c' stands twice (first on line 3)"),
    ],
)
def test_what_no_config_has_is_told_with_its_line(tmp_path: Path, text: str, line: int, found: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_yaml(path)
    assert caught.value.found.startswith(f"{path}:{line}: {found}")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0400", "0400"), ("10:00", "10:00"), ("0012", "0012"), ("on", "on"), ("no", "no"),
        ("'2024-02-03'", "2024-02-03"),
        ("0", 0), ("-12", -12), ("1_000", 1000), ("0x1f", 31), ("1e-3", 1e-3), ("1.", 1.0), (".5", 0.5), ("+2", 2),
        ("true", True), ("FALSE", False), ("null", None), (".inf", float("inf")),
    ],
)  # fmt: skip
def test_scalars_are_read_as_they_are_written(text: str, value: object) -> None:
    found = parse_value(text)
    assert (found, type(found)) == (value, type(value))


def test_merged_keys_know_their_line_and_own_keys_win(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("base: &b\n  x: 1\n  y: 2\nother:\n  <<: *b\n  y: 3\n")
    values, lines = read_yaml(path)
    assert values["other"] == {"x": 1, "y": 3}
    assert (lines["other.x"], lines["other.y"]) == (2, 6)


SPACES = [
    ("optimizer.learning_rate: {low: 1.0e-4, high: 1.0, prior: true}", "prior True is no number"),
    ("batch_size: {low: 8, high: 64, prior: 16.5}", "prior 16.5"),
    ("batch_size: {choices: [1, 2], prior: true}", "prior True is not among the choices"),
    ("batch_size: {low: 32, high: 256, step: 32}", "name the values: choices: [32, 64, 128]"),
    ("optimizer:\n  learning_rate: {low: 1.0e-4, high: 1.0e-2}", "optimizer.learning_rate: {low: ..., high: ...}"),
    ("data.cycles: {choices: [[1], [1, 2]]}", "a choice is a list or a mapping"),
    ("base: &b\n  batch_size: {low: 8, high: 64}\n<<: *b", "'base' is not in the config"),
    ("optimizer.learning_rate: !uniform [1e-4, 1e-2]", "the tag !uniform"),
]


@pytest.mark.parametrize(("text", "found"), SPACES)
def test_a_search_space_that_cannot_be_is_told(
    outside: Path, tmp_path: Path, distsys: Call, text: str, found: str
) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(text + "\n")
    code, _, err = distsys("config", str(outside / "sine.yaml"), "--space", str(space), "--check")
    assert code == 2
    assert found in err
    assert "line" in err or f"{space}:1" in err


def test_an_empty_preset_and_an_empty_value_are_told(outside: Path, tmp_path: Path, distsys: Call) -> None:
    config = tmp_path / "own.yaml"
    config.write_text((outside / "sine.yaml").read_text().partition("presets:")[0] + "presets:\n  demo:\n")
    code, _, err = distsys("config", str(config), "--preset", "demo")
    assert (code, "the preset 'demo' holds no keys" in err) == (2, True)
    code, _, err = distsys("config", str(outside / "sine.yaml"), "--set", "data.builds=")
    assert code == 2
    assert "no value after '='" in err
    assert "--set data.builds=null" in err
