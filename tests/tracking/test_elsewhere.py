"""Runs copied for other trackers say what our folders say."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from distsys.errors import UsageError
from distsys.tracking.elsewhere import copied
from distsys.tracking.spool import RunRecord, Spool

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    """An experiment of one trial, of two validations."""
    folder = tmp_path / "sine-0a1b"
    Spool.open(folder, RunRecord("experiment", "sine", None, {"seed": 3}, {})).finish("finished", "done")
    record = RunRecord("trial", "trial 0", str(folder), {"optimizer.rate": 0.01}, {})
    trial = Spool.open(folder / "trials" / "0000", record)
    trial.log({"loss": 2.5, "spread": 0.25}, step=10)
    trial.log({"loss": 1.5, "spread": 0.5}, step=20)
    trial.finish("finished", "")
    return folder


def test_tensorboard_reads_every_value_at_its_step(experiment: Path, tmp_path: Path) -> None:
    assert copied(experiment, tmp_path / "boards", to="tensorboard") == 2
    run = tmp_path / "boards" / "sine-0a1b" / "trials" / "0000"
    scalars, texts = {}, {}
    for event in events(next(run.glob("events.*"))):
        for value in event.summary.value:
            if value.HasField("simple_value"):
                scalars[value.tag, event.step] = value.simple_value
            else:
                texts[value.tag.split("/")[0]] = value.tensor.string_val[0].decode()
    assert scalars == {("loss", 10): 2.5, ("loss", 20): 1.5, ("spread", 10): 0.25, ("spread", 20): 0.5}
    assert "| optimizer.rate | 0.01 |" in texts["config"]
    assert texts["state"] == "finished"


def events(path: Path) -> Iterator[Any]:
    """TFRecord: length, its checksum, an Event, its checksum."""
    proto = pytest.importorskip("tensorboardX.proto.event_pb2")
    content = path.read_bytes()
    while content:
        (size,) = struct.unpack_from("<Q", content)
        yield proto.Event.FromString(content[12 : 12 + size])
        content = content[16 + size :]


def test_an_offline_run_holds_config_and_history(experiment: Path, tmp_path: Path) -> None:
    wandb = pytest.importorskip("wandb", reason="the extra 'wandb' is not installed")
    assert copied(experiment, tmp_path / "boards", to="wandb") == 2
    wandb.teardown()  # as the end of the command does: its service writes what is left
    runs = [path.read_bytes() for path in (tmp_path / "boards" / "wandb").glob("offline-run-*/run-*.wandb")]
    assert len(runs) == 2
    (trial,) = [content for content in runs if b"sine-0a1b/trials/0000" in content]
    for part in (b"optimizer.rate", b"0.01", b"spread", b"0.25", b"2.5"):
        assert part in trial


def test_what_is_there_stays(experiment: Path, tmp_path: Path) -> None:
    (tmp_path / "boards").mkdir()
    (tmp_path / "boards" / "mine.txt").write_text("kept")
    with pytest.raises(UsageError, match="is there already"):
        copied(experiment, tmp_path / "boards", to="tensorboard")
    with pytest.raises(UsageError, match="no run in it"):
        copied(tmp_path / "boards", tmp_path / "other", to="tensorboard")
