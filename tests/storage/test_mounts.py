"""Network file systems on which the drivers' lock holds, and those on which it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from distsys.errors import UsageError
from distsys.storage import mounts
from distsys.storage.mounts import require_locks

TABLE = """\
/dev/sda1 / ext4 rw,relatime 0 0
server:/home {point} {kind} {options} 0 0
"""


def on(folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str, options: str) -> None:
    point = folder / "a mount"
    table = folder / "mounts"
    table.write_text(TABLE.format(point=str(point).replace(" ", "\\040"), kind=kind, options=options))
    monkeypatch.setattr(mounts, "_MOUNTS", table)
    require_locks(point / "runs", option="--out runs")


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("nfs4", "rw,vers=4.2,local_lock=none"),
        ("nfs", "rw,vers=3,local_lock=none"),
        ("cifs", "rw,vers=3.1.1"),
        ("lustre", "rw,flock"),
        ("ext4", "rw"),
        ("fuse.ceph-fuse", "rw"),
    ],
)
def test_locks_that_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, options: str) -> None:
    on(tmp_path, monkeypatch, kind, options)


@pytest.mark.parametrize(
    ("kind", "options", "why"),
    [
        ("nfs", "rw,vers=3,nolock,local_lock=all", "local_lock=all"),
        ("nfs", "rw,vers=3,local_lock=flock", "local_lock=flock"),
        ("cifs", "rw,nobrl", "nobrl"),
        ("lustre", "rw,localflock", "with localflock"),
        ("lustre", "rw", "without flock"),
        ("fuse.s3fs", "rw", "without locks"),
    ],
)
def test_locks_that_end_at_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, options: str, why: str
) -> None:
    with pytest.raises(UsageError) as caught:
        on(tmp_path, monkeypatch, kind, options)
    assert caught.value.exit_code == 2
    assert why in caught.value.found
    assert "a mount" in caught.value.found
    assert "s3://" in caught.value.fix


def test_a_system_without_a_list_of_mounts_is_let_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounts, "_MOUNTS", tmp_path / "none")
    require_locks(tmp_path, option="--out runs")
