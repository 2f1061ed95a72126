"""Stopgap."""

from __future__ import annotations
import json, time, os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class RunRecord:
    kind: str
    name: str
    parent: str | None
    params: Mapping[str, Any]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class MetricsLine:
    step: int
    time_ms: int
    metrics: Mapping[str, float]


class Tracker(Protocol):
    def log(self, metrics: Mapping[str, float], *, step: int) -> None: ...
    def artifact(self, name: str) -> Path: ...
    def finish(self, status: str, message: str = "") -> None: ...


class Spool:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        lines = read_metrics(folder)
        self._last = lines[-1].step if lines else -1

    @classmethod
    def open(cls, folder: Path, record: RunRecord) -> "Spool":
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "run.json").exists():
            (folder / "run.json").write_text(json.dumps(vars(record)))
        return cls(folder)

    def log(self, metrics: Mapping[str, float], *, step: int) -> None:
        if step <= self._last:
            return
        with (self.folder / "metrics.jsonl").open("a") as f:
            f.write(json.dumps({"step": step, "time_ms": int(time.time() * 1000), "metrics": dict(metrics)}) + "\n")
        self._last = step

    def artifact(self, name: str) -> Path:
        p = self.folder / "artifacts" / name
        p.parent.mkdir(parents=True, exist_ok=True)
        return p

    def finish(self, status: str, message: str = "") -> None:
        (self.folder / "status.json").write_text(json.dumps({"status": status, "message": message}))


def read_metrics(folder: Path) -> list[MetricsLine]:
    p = folder / "metrics.jsonl"
    return [MetricsLine(**json.loads(x)) for x in p.read_text().splitlines()] if p.exists() else []


def read_record(folder: Path) -> RunRecord:
    return RunRecord(**json.loads((folder / "run.json").read_text()))
