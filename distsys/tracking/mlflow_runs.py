"""Pushing run folders to MLflow."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from distsys.errors import DamagedFile
from distsys.health.verdict import Verdict, is_sick
from distsys.tracking.database import connect, connect_file, error_code
from distsys.tracking.ledger import Ledger
from distsys.tracking.location import artifact_root, database_path, is_default, store_uri
from distsys.tracking.spool import (
    ARTIFACTS,
    RUN_FILE,
    STATUS_FILE,
    MetricsLine,
    RunRecord,
    parent_of,
    read_metrics_from,
    read_record,
    read_start_ms,
    read_status,
)

# MLflow's limits: per call, and characters of a key and of a value.
MAX_METRICS, MAX_PARAMS, MAX_KEY, MAX_VALUE, MAX_TAG = 1000, 100, 250, 6000, 5000
MLFLOW_STATUS = {"finished": "FINISHED", "failed": "FAILED", "running": "RUNNING"}
FOLDER_TAG, STATUS_TAG, MESSAGE_TAG = "distsys.folder", "distsys.status", "distsys.message"
STORE_TAG = "distsys.store"
"""Tag of an experiment, drawn when it is made, by which a store that took the place of another one is known."""

Item = TypeVar("Item")


class MlflowStore:
    """One MLflow experiment as the target of run folders. Connects on construction; any call may raise.

    Args:
        root: folder of the default store.
        experiment_name: the MLflow experiment, made if absent.

    Attributes:
        notes: what its user should know of how it was found.
        client: MLflow's, connected.
        num_told_again: runs that a store of this place held before, and this one did not.
    """

    def __init__(self, root: Path, experiment_name: str) -> None:
        self.uri = store_uri(root)
        self.notes: list[str] = []
        self.num_told_again = 0
        location = None
        if is_default(root, self.uri):
            location = artifact_root(root)
            self.client, note = connect_file(database_path(root))
            self.notes += [note] if note else []
        else:
            self.client = connect(self.uri)
        self._experiment_id, self._identity = self._experiment(experiment_name, location)

    def push(self, folder: Path) -> None:
        """Bring the store up to date with ``folder``. Repeating it after a crash at any point doubles nothing."""
        if not (folder / RUN_FILE).exists():
            return
        ledger = self._created(folder)
        try:
            self._push_news(folder, ledger)
        except Exception as error:
            if error_code(error) != "RESOURCE_DOES_NOT_EXIST":
                raise
            # It was removed, or the database replaced while we looked: what it held is in the folder.
            self._new_ledger().save(folder, uri=self.uri)
            self.num_told_again += 1
            self._push_news(folder, self._created(folder))

    def _push_news(self, folder: Path, ledger: Ledger) -> None:
        """What is whole is told, then what is damaged raised."""
        before = asdict(ledger)
        damage: list[DamagedFile] = []
        try:
            for push in (self._push_metrics, self._push_artifacts, self._push_status):
                try:
                    push(folder, ledger)
                except DamagedFile as error:
                    damage.append(error)
        finally:
            if before != asdict(ledger):
                ledger.save(folder, uri=self.uri)
        if damage:
            raise damage[0]

    def _experiment(self, name: str, location: str | None) -> tuple[str, str]:
        """Id and identity of the experiment."""
        known = self.client.get_experiment_by_name(name)
        if known is None:
            # The kind opens the pages for training runs.
            tags = {"mlflow.experimentKind": "custom_model_development", STORE_TAG: secrets.token_hex(8)}
            try:
                self.client.create_experiment(name, artifact_location=location, tags=tags)
            except Exception as error:
                if error_code(error) != "RESOURCE_ALREADY_EXISTS":
                    raise
            known = self.client.get_experiment_by_name(name)
        identity = known.tags.get(STORE_TAG)
        if identity is None:  # an earlier version made it
            identity = secrets.token_hex(8)
            self.client.set_experiment_tag(known.experiment_id, STORE_TAG, identity)
        return str(known.experiment_id), identity

    def _new_ledger(self) -> Ledger:
        return Ledger(store=self._identity)

    def _created(self, folder: Path) -> Ledger:
        """The ledger of ``folder``, whose run, and its parents' runs, now exist in the store."""
        ledger = Ledger.load(folder, uri=self.uri)
        if ledger.run_id and ledger.store != self._identity:
            if not ledger.store and self._holds(ledger.run_id):
                ledger.store = self._identity
                ledger.save(folder, uri=self.uri)
            else:
                ledger = self._new_ledger()
                self.num_told_again += 1
        if not ledger.run_id:
            ledger.store = self._identity
            record = read_record(folder)
            ledger.run_id = self._find(folder) or self._create(folder, record)
            params = [_param(key, value) for key, value in record.params.items()]
            for some in _chunks(params, MAX_PARAMS):
                self.client.log_batch(ledger.run_id, params=some)
            ledger.save(folder, uri=self.uri)
        return ledger

    def _holds(self, run_id: str) -> bool:
        try:
            self.client.get_run(run_id)
        except Exception as error:
            if error_code(error) != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False
        return True

    def _find(self, folder: Path) -> str | None:
        """The run of a process that died between creating it and writing that down."""
        text = str(folder.resolve())
        quote = '"' if "'" in text else "'"
        query = f"tags.`{FOLDER_TAG}` = {quote}{text}{quote}"
        runs = self.client.search_runs([self._experiment_id], filter_string=query, max_results=1)
        return str(runs[0].info.run_id) if runs else None

    def _create(self, folder: Path, record: RunRecord) -> str:
        tags = {_key(name): value[:MAX_TAG] for name, value in record.tags.items()}
        tags |= {"mlflow.runName": record.name, "distsys.kind": record.kind, FOLDER_TAG: str(folder.resolve())}
        if (parent := parent_of(folder, record)) is not None:
            tags["mlflow.parentRunId"] = self._created(parent).run_id
        run = self.client.create_run(
            self._experiment_id, start_time=read_start_ms(folder), tags=tags | _source(record), run_name=record.name
        )
        if inputs := _datasets(record):
            self.client.log_inputs(run.info.run_id, datasets=inputs)
        return str(run.info.run_id)

    def _push_metrics(self, folder: Path, ledger: Ledger) -> None:
        """Those before a damaged line too."""
        lines: list[tuple[MetricsLine, int]] = []
        try:
            for line in read_metrics_from(folder, ledger.offset):
                lines.append(line)  # one by one: those before a damaged one are kept
        finally:
            for some in _chunks(_metrics(line for line, _ in lines), MAX_METRICS):
                self.client.log_batch(ledger.run_id, metrics=some)
            if lines:
                ledger.offset = lines[-1][1]

    def _push_artifacts(self, folder: Path, ledger: Ledger) -> None:
        for name, mark in ledger.new_artifacts(folder).items():
            path = folder / ARTIFACTS / name
            _require_readable(path)
            parent = str(Path(name).parent)
            self.client.log_artifact(ledger.run_id, str(path), None if parent == "." else parent)
            ledger.artifacts[name] = mark

    def _push_status(self, folder: Path, ledger: Ledger) -> None:
        if not (folder / STATUS_FILE).exists():
            return
        now = read_status(folder)
        if ledger.status == (now.status, now.time_ms):
            return
        self.client.set_tag(ledger.run_id, STATUS_TAG, now.status)
        if now.message or ledger.status[0]:
            self.client.set_tag(ledger.run_id, MESSAGE_TAG, now.message[:MAX_TAG])
        if now.status == "pruned":
            self.client.set_tag(ledger.run_id, "pruned", "stopped early: others were clearly better")
        if now.verdicts or now.status in ("finished", "pruned"):
            for name, value in health_tags(now.verdicts).items():
                self.client.set_tag(ledger.run_id, name, value[:MAX_TAG])
        # MLflow has no word for the other three: the run was ended from outside.
        status = MLFLOW_STATUS.get(now.status, "KILLED")
        if status == "RUNNING":
            self.client.update_run(ledger.run_id, status=status)
        else:
            self.client.set_terminated(ledger.run_id, status=status, end_time=now.time_ms)
        ledger.status = (now.status, now.time_ms)


def health_tags(verdicts: Sequence[Verdict]) -> dict[str, str]:
    """What people filter and read runs by: whether a run is healthy, and if not why and what to change."""
    tags = {"health": "sick" if is_sick(verdicts) else "warned" if verdicts else "healthy"}
    for name in ("cause", "evidence", "fix"):
        if texts := list(dict.fromkeys(getattr(verdict, name) for verdict in verdicts)):
            tags[name] = "; ".join(text for text in texts if text)
    return tags


def is_refusal(error: Exception) -> bool:
    """Whether a store that is there refused one run, rather than being away."""
    return error_code(error) not in ("", "INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED")


def _source(record: RunRecord) -> dict[str, str]:
    """What fills the columns Source and Version."""
    tags = {"mlflow.source.name": f"distsys {record.kind}", "mlflow.source.type": "LOCAL"}
    return tags | ({"mlflow.source.git.commit": record.tags["code.commit"]} if "code.commit" in record.tags else {})


def _datasets(record: RunRecord) -> list[Any]:
    """The frozen sets of the run, by their digests, for the column Dataset."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = record.tags.get("data.source", "unknown")
    found = []
    for name in ("validation", "test"):
        if digest := record.tags.get(f"data.{name}_digest"):
            known = Dataset(
                name=f"{record.params.get('domain', '')} {name}", digest=digest, source_type="local", source=source
            )
            found.append(DatasetInput(known, [InputTag("mlflow.data.context", name)]))
    return found


def _require_readable(path: Path) -> None:
    try:
        with path.open("rb"):
            return
    except OSError as error:
        found = f"{path}: cannot be read: {error.strerror or error}"
        raise DamagedFile(found, expected="a file to send", fix="mend or remove it") from error


def _metrics(lines: Iterable[MetricsLine]) -> Iterator[Any]:
    from mlflow.entities import Metric

    for line in lines:
        for name, value in line.metrics.items():
            yield Metric(_key(name), value, line.time_ms, line.step)


def _param(key: str, value: object) -> Any:
    from mlflow.entities import Param

    text = str(value)
    return Param(_key(key), text if len(text) <= MAX_VALUE else text[: MAX_VALUE - 3] + "...")


def _key(name: str) -> str:
    """``name`` as MLflow accepts it: one refused character would refuse the whole batch."""
    clean = re.sub(r"[^\w\-. :/]", "_", name)
    if len(clean) <= MAX_KEY:
        return clean
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{clean[: MAX_KEY - 9]}-{digest}"


def _chunks(items: Iterable[Item], size: int) -> Iterator[Sequence[Item]]:
    iterator = iter(items)
    while some := list(islice(iterator, size)):
        yield some
