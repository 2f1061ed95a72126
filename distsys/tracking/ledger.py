"""What of a run folder a store already holds, kept beside the run so that any later process can go on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from distsys.files import write_json
from distsys.tracking.location import redacted
from distsys.tracking.spool import ARTIFACTS, METRICS_FILE

LEDGER_FILE = "mlflow.json"


@dataclass
class Ledger:
    """Bookkeeping of one run in one store.

    Args:
        run_id: the run in the store; empty before it exists.
        offset: bytes of ``metrics.jsonl`` that the store holds.
        status: status and time last told, so that news is seen.
        artifacts: name -> size in bytes and modification time in ns, as last sent.
        store: identity of the store; empty where an earlier version wrote this.
    """

    run_id: str = ""
    offset: int = 0
    status: tuple[str, int] = ("", 0)
    artifacts: dict[str, tuple[int, int]] = field(default_factory=dict)
    store: str = ""

    @classmethod
    def load(cls, folder: Path, *, uri: str) -> Ledger:
        """The stored bookkeeping for ``uri``; empty where there is none or it is damaged, since it can be redone."""
        try:
            stored = _stores(folder)[redacted(uri)]
            artifacts = {name: (size, time_ns) for name, (size, time_ns) in stored["artifacts"].items()}
            status, time_ms = stored["status"]
            return cls(stored["run_id"], int(stored["offset"]), (status, time_ms), artifacts, stored.get("store", ""))
        except (KeyError, TypeError, ValueError, AttributeError):
            return cls()

    def save(self, folder: Path, *, uri: str) -> None:
        """Replace the entry of ``uri``; those of other stores stay."""
        write_json(folder / LEDGER_FILE, _stores(folder) | {redacted(uri): asdict(self)})

    def num_pending(self, folder: Path) -> int:
        """How many complete metrics lines the store does not hold yet."""
        path = folder / METRICS_FILE
        if not path.is_file():
            return 0
        with path.open("rb") as file:
            file.seek(self.offset)
            return file.read().count(b"\n")

    def new_artifacts(self, folder: Path) -> dict[str, tuple[int, int]]:
        """The files that are new or changed, with size and modification time; hidden ones are left out."""
        root = folder / ARTIFACTS
        found = {}
        for path in sorted(root.rglob("*")):
            if path.name.startswith(".") or not path.is_file():
                continue
            stat = path.stat()
            found[str(path.relative_to(root))] = (stat.st_size, stat.st_mtime_ns)
        return {name: mark for name, mark in found.items() if self.artifacts.get(name) != mark}


def _stores(folder: Path) -> dict[str, Any]:
    try:
        stored = json.loads((folder / LEDGER_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stored if isinstance(stored, dict) else {}
