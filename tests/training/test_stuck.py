"""A step that does not end is noticed and named with its stack; slow ones and first ones are not."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from distsys.training import stuck
from distsys.training.stuck import stuck_ends, take_stuck, watched


def waits_for_a_disk(found: threading.Event) -> None:
    assert found.wait(20)


def test_a_step_that_does_not_end_is_named_with_its_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stuck, "LONGEST_S", 0.2)
    said: list[str] = []
    found = threading.Event()

    def end(text: str) -> None:
        said.append(text)
        found.set()

    with stuck_ends(end), watched(tmp_path, name="worker 1") as watch:
        for _ in range(2):
            with watch.piece("step"):
                pass
        with watch.piece("step"):
            waits_for_a_disk(found)
    assert said == [take_stuck(tmp_path)]
    assert said[0].startswith("worker 1: no step for ")
    assert "waits_for_a_disk" in (tmp_path / "artifacts" / "stuck.txt").read_text()
    assert take_stuck(tmp_path) == ""


def test_first_and_slow_pieces_have_longer(tmp_path: Path) -> None:
    with watched(tmp_path) as watch:
        assert watch.limit_s("step") == stuck.FIRST_S
        watch._took["step"] = [0.01, 0.01]
        assert watch.limit_s("step") == stuck.LONGEST_S
        watch._took["step"] = [10.0] * 20
        assert watch.limit_s("step") == 20 * 10.0
        assert watch.limit_s("validation") == stuck.FIRST_S
