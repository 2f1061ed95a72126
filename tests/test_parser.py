"""Mistyped options: what was meant is named, before what is missing for want of it."""

from __future__ import annotations

import pytest

from distsys.cli import main

MEANT = {
    "run semantic_eq --presett demo": ("distsys run: no option --presett", "did you mean '--preset'?"),
    "predict semantic_eq --trem warm --checkpoint x": ("no option --trem", "did you mean '--term'?"),
    "predict speaker_extraction a.wav --enrollment b.wav --checkpoint x": (
        "no option --enrollment",
        "did you mean '--enrol'?",
    ),
    "predict ris_localization --snapshot a.npz --checkpoint x": ("--snapshot", "give FILE without an option before it"),
    "plan semantic_eq --xyz": ("distsys plan: no option --xyz", "see 'distsys plan --help'"),
}


@pytest.mark.parametrize("command", MEANT)
def test_a_mistyped_option_is_told_with_what_was_meant(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(command.split())
    told = capsys.readouterr().err
    assert code == 2
    for part in MEANT[command]:
        assert part in told


def test_the_beginning_of_an_option_will_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "semantic_eq", "--pre", "demo", "--js"]) == 0
    assert "preset demo (" in capsys.readouterr().out
