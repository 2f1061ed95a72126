"""The run folder: nothing twice, nothing half, and readable after any interruption."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from distsys.errors import DiskFull, RunFailed
from distsys.tracking.spool import (
    RunRecord,
    Spool,
    read_metrics,
    read_metrics_from,
    read_record,
    read_start_ms,
    read_status,
)

RECORD = RunRecord("trial", "trial-0", "/runs/parent", {"optim.lr": 1e-3, "model.bias": None}, {"domain": "toy"})


def test_round_trip_keeps_every_bit(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path / "run", RECORD)
    values = {"a": 0.1 + 0.2, "nan": math.nan, "up": math.inf, "down": -math.inf, "tiny": 5e-324}
    spool.log(values, step=7)
    (line,) = read_metrics(spool.folder)
    assert line.step == 7
    assert math.isnan(line.metrics["nan"])
    assert {k: v for k, v in line.metrics.items() if k != "nan"} == {k: v for k, v in values.items() if k != "nan"}
    assert read_record(spool.folder) == RECORD
    assert 0 <= line.time_ms - read_start_ms(spool.folder) < 60_000


def test_resume_keeps_the_record_and_drops_steps_already_stored(tmp_path: Path) -> None:
    first = Spool.open(tmp_path, RECORD)
    for step in (0, 10, 20):
        first.log({"loss": float(step)}, step=step)
    second = Spool.open(tmp_path, RunRecord("final", "other", None, {}, {}))
    for step in (10, 20, 30):
        second.log({"loss": -1.0}, step=step)
    assert [(line.step, line.metrics["loss"]) for line in read_metrics(tmp_path)] == [
        (0, 0.0),
        (10, 10.0),
        (20, 20.0),
        (30, -1.0),
    ]
    assert read_record(tmp_path) == RECORD


def test_a_later_attempt_takes_the_place_of_the_steps_that_it_repeats(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path, RECORD)
    for attempt, step in ((0, 10), (0, 20), (0, 30), (1, 20)):
        spool.log({"loss": attempt + step, "rollbacks": attempt}, step=step)
    again = Spool.open(tmp_path, RECORD)
    for attempt, step in ((0, 30), (1, 20), (1, 30)):
        again.log({"loss": -1.0, "rollbacks": attempt}, step=step)
    assert [(line.step, line.metrics["loss"]) for line in read_metrics(tmp_path)] == [
        (10, 10.0),
        (20, 21.0),
        (30, -1.0),
    ]
    assert [line.step for line, _ in read_metrics_from(tmp_path, 0)] == [10, 20, 30, 20, 30]


@pytest.mark.parametrize("num_bytes_lost", [1, 2, 20])
def test_a_torn_last_line_is_cut_and_written_again(tmp_path: Path, num_bytes_lost: int) -> None:
    spool = Spool.open(tmp_path, RECORD)
    for step in range(3):
        spool.log({"loss": step / 7}, step=step)
    metrics = tmp_path / "metrics.jsonl"
    os.truncate(metrics, metrics.stat().st_size - num_bytes_lost)
    assert [line.step for line in read_metrics(tmp_path)] == [0, 1]
    resumed = Spool.open(tmp_path, RECORD)
    resumed.log({"loss": 2 / 7}, step=2)
    assert [(line.step, line.metrics["loss"]) for line in read_metrics(tmp_path)] == [(s, s / 7) for s in range(3)]


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    Spool.open(tmp_path, RECORD).log({"loss": 1.0}, step=0)
    (tmp_path / "metrics.jsonl").write_text("garbage\n")
    with pytest.raises(RunFailed, match=r"metrics\.jsonl.*line 1 is damaged: b'garbage"):
        read_metrics(tmp_path)


def test_disk_full_leaves_whole_lines_and_goes_on_after_space_is_freed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool.open(tmp_path, RECORD)
    spool.log({"loss": 1.0}, step=0)
    real_write = os.write
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda descriptor, data: real_write(descriptor, data[:9]))
        with pytest.raises(DiskFull, match=r"metrics\.jsonl: no space left on the disk") as caught:
            spool.log({"loss": 2.0}, step=1)
    assert "free space" in str(caught.value)
    spool.log({"loss": 2.0}, step=1)
    assert [line.metrics["loss"] for line in read_metrics(tmp_path)] == [1.0, 2.0]


def test_status_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool.open(tmp_path, RECORD)
    assert read_status(tmp_path).status == "running"

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(DiskFull, match=r"status\.json: no space left on the disk"):
            spool.finish("finished")
    assert read_status(tmp_path).status == "running"
    assert not list(tmp_path.glob(".*"))
    spool.finish("stopped", "collapsed at step 40")
    assert (read_status(tmp_path).status, read_status(tmp_path).message) == ("stopped", "collapsed at step 40")


def test_opening_again_says_running(tmp_path: Path) -> None:
    Spool.open(tmp_path, RECORD).finish("interrupted", "signal 15")
    Spool.open(tmp_path, RECORD)
    assert read_status(tmp_path).status == "running"


def test_artifacts_have_their_folders_and_stay_inside(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path, RECORD)
    spool.artifact("figures/spectrum.png").write_bytes(b"png")
    assert (tmp_path / "artifacts" / "figures" / "spectrum.png").read_bytes() == b"png"
    for outside in ("../run.json", "/etc/passwd"):
        with pytest.raises(AssertionError):
            spool.artifact(outside)


def test_a_file_where_the_folder_should_be_is_the_users_error(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(RunFailed, match="cannot be written"):
        Spool.open(tmp_path / "run", RECORD)


@pytest.mark.parametrize("content", ["", "[1]", '{"kind": '])
def test_a_damaged_record_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(RunFailed, match=r"run\.json"):
        read_record(tmp_path)
