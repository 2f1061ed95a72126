"""Checks by name: thresholds from the config, checks of other packages, and what a user gets wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from distsys.errors import ConfigError
from distsys.health import registry
from distsys.health.registry import SHIPPED, build_checks, check_names
from tests.health.flight.test_gradients import cut_encoder
from tests.health.support import found, verdicts_of, with_output
from tests.outside import importable
from tests.training.support import make_spec

CHECK = """
from distsys.health.memory import Remembering
from distsys.health.verdict import Verdict


class AlwaysWarns(Remembering):
    name = "always_warns"

    def __init__(self, *, loudness=1.0):
        super().__init__()
        self.loudness = loudness

    def look(self, view):
        return [Verdict("warn", "always", f"loudness {self.loudness:g}", view.step)]
"""


def test_every_shipped_check_has_a_name_and_keeps_plain_state() -> None:
    checks = build_checks({})
    assert [check.name for check in checks] == check_names() == [item.name for item in SHIPPED]
    for check in checks:
        check.load(check.state())
        assert check.state() is not check.state()


def test_a_check_can_be_switched_off_and_given_other_thresholds(outside: Path, tmp_path: Path) -> None:
    cut = with_output(cut_encoder)
    assert verdicts_of(outside, tmp_path / "a", "health.checks={gradient_state: off}", domain=cut) == []
    gentle = verdicts_of(
        outside, tmp_path / "b", "health.checks={gradient_state: {part: 0.9, used: 0.9, most: 0.9}}", domain=cut
    )
    assert [status for status, _ in found(gentle)] == ["warn"]
    late = verdicts_of(outside, tmp_path / "c", "health.checks={gradient_state: {looks: 100}}", domain=cut)
    assert late == []


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"gradient_stat": "off"}, "did you mean 'gradient_state'"),
        ({"gradient_state": {"loks": 3.0}}, "did you mean 'looks'"),
    ],
)
def test_unknown_names_are_refused(settings: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        build_checks(settings)  # type: ignore[arg-type]


def test_the_section_is_strict(outside: Path) -> None:
    for wrong in ("health.every=0", "health.checks={gradient_state: loud}", "health.onn=true"):
        with pytest.raises(ConfigError):
            make_spec(outside, wrong)


@pytest.mark.parametrize("wrong", ["loud", "3", "{most: high}", "{most: true}"])
def test_neither_off_nor_thresholds_is_told_in_one_line(outside: Path, wrong: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_spec(outside, f"health.checks.gradient_state={wrong}")
    assert "off', or thresholds: {name: number}" in str(caught.value)
    assert "problems" not in str(caught.value)


def test_another_package_registers_a_check(outside: Path, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    (folder / "loud-1.0.dist-info").mkdir(parents=True)
    (folder / "loud.py").write_text(CHECK)
    (folder / "loud-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: loud\nVersion: 1.0\n")
    (folder / "loud-1.0.dist-info" / "entry_points.txt").write_text(
        f"[{registry.GROUP}]\nalways_warns = loud:AlwaysWarns\n"
    )
    try:
        with importable(folder):
            registry._entries.cache_clear()
            (verdict,) = verdicts_of(outside, tmp_path / "a", "health.checks={always_warns: {loudness: 2.5}}")
            assert (verdict.cause, verdict.evidence, verdict.onset_step) == ("always", "loudness 2.5", 1)
    finally:
        registry._entries.cache_clear()
