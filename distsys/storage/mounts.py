"""Network file systems on which the lock of an experiment's driver does not reach other machines."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from distsys.errors import UsageError

_MOUNTS = Path("/proc") / "mounts"
"""Where the system lists them; only Linux does."""


class Mount(NamedTuple):
    """One mounted file system."""

    point: Path
    kind: str
    options: frozenset[str]


def require_locks(folder: Path, *, option: str) -> None:
    """Raise UsageError where two drivers on two machines would both hold the lock of an experiment in ``folder``.

    The lock is flock(2). NFS carries it to the server since Linux 2.6.12, CIFS as byte ranges, Lustre under ``flock``.

    Args:
        option: what named it, for the message.
    """
    mount = mount_of(folder)
    why = _why_unsafe(mount) if mount else ""
    if mount and why:
        raise UsageError(
            f"{option}: {mount.point} is {mount.kind} {why}: two machines could write one experiment at once",
            expected="a file system whose locks hold on every machine that mounts it",
            fix=f"mount it {_BETTER[_family(mount)]}, name a local folder, or keep experiments in a store by "
            "--out s3://bucket/prefix",
        )


_BETTER = {
    "nfs": "without nolock and local_lock",
    "cifs": "without nobrl",
    "lustre": "with -o flock",
    "fuse": "by the file system's own client",
}


def _family(mount: Mount) -> str:
    kind = mount.kind
    if kind.startswith("nfs"):
        return "nfs"
    if kind in ("cifs", "smb3", "smbfs"):
        return "cifs"
    return "fuse" if kind in _FUSE else kind


_FUSE = ("fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse", "fuse.goofys", "fuse.mount-s3", "fuse.rclone", "fuse.geesefs")
"""Without locks between machines; those over object stores cannot append either."""


def _why_unsafe(mount: Mount) -> str:
    """How the locks of ``mount`` end at this machine; empty where they do not."""
    family, options = _family(mount), mount.options
    if family == "nfs":
        found = sorted(options & {"nolock", "local_lock=flock", "local_lock=all"})
    elif family == "cifs":
        found = sorted(options & {"nobrl"})
    elif family == "lustre":
        how = "with localflock" if "localflock" in options else "without flock"
        return "" if "flock" in options else f"mounted {how}"
    else:
        return "without locks between machines" if family == "fuse" else ""
    return f"mounted with {found[0]}" if found else ""


def mount_of(folder: Path) -> Mount | None:
    """What ``folder``, which need not exist, is on; None where the system does not say."""
    try:
        lines = _MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    there = Path(os.path.realpath(folder))
    found: Mount | None = None
    for line in lines:
        _, point, kind, options, *_ = line.split(" ")
        path = Path(point.encode().decode("unicode_escape"))
        if there.is_relative_to(path) and (found is None or path.is_relative_to(found.point)):
            found = Mount(path, kind, frozenset(options.split(",")))
    return found
