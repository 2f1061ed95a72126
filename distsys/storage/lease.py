"""The only driver of an experiment in a store: an object with its owner and a heartbeat."""

from __future__ import annotations

import json
import platform
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from distsys.errors import UsageError
from distsys.files import write_text
from distsys.storage.objects import Objects

NAME = ".driver.json"
BEAT_S = 15.0
STALE_S = 120.0
"""A driver that has not been heard for so long is taken over from."""
_LOOK_S = 1.0
_SETTLE_S = 1.0
"""Of two that begin at the same moment, the later writer wins; this long the write of the other may take."""


@contextmanager
def lease(
    objects: Objects, folder: str, *, local: Path, lost: Callable[[str], None], say: Callable[[str], None]
) -> Iterator[None]:
    """Hold the experiment in ``folder`` of the store for the block.

    Args:
        local: the local copies of this machine. A lease from there is a dead process's: the file lock there is ours.
        lost: called once where another driver has taken over, because the store did not hear of this one for long.

        say: is told for whom this waits.

    Raises:
        UsageError: another driver holds it.
        OSError: what the store refuses.
    """
    name = f"{folder}/{NAME}"
    mine = {"host": platform.node(), "copies": _identity_of(local), "token": secrets.token_hex(8)}
    _wait_until_free(objects, name, mine, say)
    _beat(objects, name, mine)
    time.sleep(_SETTLE_S)
    if (owner := _owner(objects, name)).get("token") != mine["token"]:
        raise _refusal(objects, name, owner)
    ended = threading.Event()
    thread = threading.Thread(target=_keep, args=(objects, name, mine, ended, lost), name="store-lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(BEAT_S)
        with suppress(OSError):
            if _owner(objects, name).get("token") == mine["token"]:
                objects.delete(name)


def _keep(
    objects: Objects, name: str, mine: dict[str, str], ended: threading.Event, lost: Callable[[str], None]
) -> None:
    while not ended.wait(BEAT_S):
        with suppress(OSError):  # it is away, and is asked again
            owner = _owner(objects, name)
            if owner and owner.get("token") != mine["token"]:
                lost(f"{objects.uri}: the driver on {owner.get('host')} has taken {name} over")
                return
            _beat(objects, name, mine)


def _beat(objects: Objects, name: str, mine: dict[str, str]) -> None:
    objects.write(name, json.dumps({**mine, "beat": secrets.token_hex(4)}).encode())


def _owner(objects: Objects, name: str) -> dict[str, str]:
    """Who holds it; nobody where that cannot be read."""
    with suppress(ValueError):
        found = json.loads(objects.read(name) or b"{}")
        return found if isinstance(found, dict) else {}
    return {}


def _wait_until_free(objects: Objects, name: str, mine: dict[str, str], say: Callable[[str], None]) -> None:
    """A dead driver is waited for until it may be taken over from; one that lives is heard of before."""
    owner, then = _owner(objects, name), objects.read(name)
    if not owner or owner.get("copies") == mine["copies"]:
        return
    age_s, began = _age_s(objects, name), time.monotonic()
    if age_s < STALE_S:
        heard = f"the driver on {owner.get('host')} was last heard of {age_s:.0f} s ago"
        say(f"{objects.uri}: {heard}; it is taken over from after {STALE_S:.0f} s")
    while age_s + time.monotonic() - began < STALE_S:
        time.sleep(_LOOK_S)
        if (now := objects.read(name)) != then:
            if now is None:
                return
            raise _refusal(objects, name, owner)


def _age_s(objects: Objects, name: str) -> float:
    """Since its last heartbeat, by the clock of the store: an object that is written now tells the time there."""
    probe = f"{name}.{secrets.token_hex(4)}"
    now, then = objects.write(probe, b"now"), objects.mark(name)
    objects.delete(probe)
    return (now[1] - then[1]) / 1e9 if now and then else STALE_S


def _refusal(objects: Objects, name: str, owner: dict[str, str]) -> UsageError:
    where = name.rpartition("/")[0]
    return UsageError(
        f"another distsys works on {where} of {objects.uri}: on {owner.get('host')}, which has just been heard of",
        expected="one driver an experiment",
        fix="wait for it, or use another --out or --seed; one that dies is taken over from "
        f"{STALE_S:.0f} s after it was last heard of",
    )


def _identity_of(local: Path) -> str:
    """Names the local copies of this machine, wherever their path is the same elsewhere."""
    file = local / ".identity"
    if not file.is_file():
        local.mkdir(parents=True, exist_ok=True)
        write_text(file, secrets.token_hex(8))
    return file.read_text(encoding="utf-8")
