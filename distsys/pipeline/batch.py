"""Many questions to one model, an answer each in a folder: what is answered already is not asked again."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, get_origin

from distsys.domains.kit import csv_text
from distsys.domains.protocol import AnyDomain, Prediction
from distsys.domains.requests import kinds_of, read_request
from distsys.errors import DataError, DistsysError, UsageError, did_you_mean
from distsys.files import append, cut_torn_tail, write_bytes, write_text

LEDGER, TABLE = "answers.jsonl", "answers.csv"
"""What was answered, a line each as it comes; the same as a table, at the end."""
FOLDER = "folder"
"""The format of which every answer is a folder of files."""


@dataclass(frozen=True)
class Question:
    """One of many.

    Args:
        name: of its answer, without suffix; with / where questions came from folders in a folder.
        values: by field of the domain's request.
    """

    name: str
    values: Mapping[str, Any]


@dataclass
class Tally:
    """What came of many questions: those answered, now and earlier, and those refused or warned of, with why."""

    answered: list[str] = field(default_factory=list)
    earlier: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    warned: dict[str, str] = field(default_factory=dict)


def questions_of(domain: AnyDomain, values: Mapping[str, Any], table: Path | None) -> list[Question] | None:
    """The questions that are asked with ``values``; None where it is a single one.

    Args:
        values: by field of the domain's request; of a file that names a folder, every file in it is asked about.
        table: CSV whose columns are fields of the request, and ``name`` if wanted; files in it are relative to its
            folder.

    Raises:
        UsageError: a folder is empty, there are two folders, or the table has no rows or other columns.
    """
    given = {name: value for name, value in values.items() if name in domain.request.model_fields}
    if table is not None:
        return list(_of_table(domain, given, table))
    folders = [
        name for name, value in given.items() if isinstance(value, str | Path) and _is_folder(domain, name, value)
    ]
    if not folders:
        return None
    if len(folders) > 1:
        raise UsageError(
            f"{' and '.join(folders)} are both folders",
            expected="one folder at most",
            fix="write pairs into a table, and ask with --requests FILE.csv",
        )
    return _of_folder(folders[0], given, beside=getattr(domain.request, "beside", ()))


def _is_folder(domain: AnyDomain, name: str, value: str | Path) -> bool:
    return _is_file(domain, name) and Path(value).is_dir()


def _is_file(domain: AnyDomain, name: str) -> bool:
    """Whether a field of the request names a file, if it is given."""
    return Path in kinds_of(domain.request.model_fields[name].annotation)


def _of_folder(name: str, given: Mapping[str, Any], *, beside: Sequence[str]) -> list[Question]:
    """A question a file, but for those whose names match ``beside``: they say more of the others."""
    folder = Path(given[name])
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    files = [path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    files = [path for path in files if not any(fnmatch(path.name, pattern) for pattern in beside)]
    if not files:
        raise UsageError(f"{folder}: no file in it", expected="files to ask about")
    stems = [path.relative_to(folder).with_suffix("").as_posix() for path in files]
    names = [
        stem if stems.count(stem) == 1 else path.relative_to(folder).as_posix()
        for stem, path in zip(stems, files, strict=True)
    ]
    return [Question(own, {**given, name: path}) for own, path in zip(names, files, strict=True)]


def _of_table(domain: AnyDomain, given: Mapping[str, Any], table: Path) -> Iterator[Question]:
    rows = _rows(table)
    known = {name.rstrip("_"): name for name in (*domain.request.model_fields, "name")}
    columns = {column: column.strip().replace("-", "_").rstrip("_") for column in rows[0]}
    for column, meant in columns.items():
        if meant not in known:
            raise UsageError(
                f"{table}: no request of {domain.name} has '{column}'",
                expected=f"columns of {', '.join(known)}",
                fix=did_you_mean(meant, known),
            )
    used: set[str] = set()
    for number, row in enumerate(rows, start=1):
        values = {known[columns[column]]: cell.strip() for column, cell in row.items() if cell and cell.strip()}
        name = values.pop("name", f"{number:0{max(4, len(str(len(rows))))}d}")
        if name in used or Path(name).is_absolute() or ".." in Path(name).parts:
            raise UsageError(
                f"{table}: row {number} is called '{name}'", expected="a name of its own, of a file in a folder"
            )
        used.add(name)
        files = {
            key: _below(table.parent, value, domain, key) for key, value in values.items() if _is_file(domain, key)
        }
        yield Question(name, {**given, **values, **files})


def _below(folder: Path, text: str, domain: AnyDomain, name: str) -> Path | list[Path]:
    """A file of a table, or several apart by semicolons where the request takes several."""
    if get_origin(domain.request.model_fields[name].annotation) is tuple:
        return [folder / part.strip() for part in text.split(";")]
    return folder / text


def _rows(table: Path) -> list[dict[str, str]]:
    try:
        reader = csv.DictReader(io.StringIO(table.read_text(encoding="utf-8-sig"), newline=""), strict=True)
        rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"--requests {table}: {error}", expected="a CSV in UTF-8 with a row a question") from None
    if not rows:
        raise UsageError(f"--requests {table}: no rows", expected="a header and a row a question")
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            width = len(reader.fieldnames or [])
            raise UsageError(f"--requests {table}: row {number} has another number of cells", expected=f"{width}")
    return rows


def answer_all(
    ask: Callable[[Any], Prediction],
    domain: AnyDomain,
    questions: Sequence[Question],
    folder: Path,
    *,
    model: str,
    form: str | None,
    progress: Callable[[int, str], None],
) -> Tally:
    """Ask what ``folder`` does not answer yet, one after the other; a killed one loses the answer it was at.

    A question is answered by the same values, the same content of its files and the same ``model``.

    Args:
        model: what tells the model from others.
        form: suffix of the answers, ``folder``, or None for the domain's own first.
        progress: told how many are done, and the name of the next or why the last was refused.
    """
    ledger = folder / LEDGER
    known, tally = _known(ledger), Tally()
    for done, question in enumerate(questions):
        progress(done, question.name)
        try:
            request = read_request(domain, dict(question.values))
            asked = {"model": model, "form": form, **_plain(request)}
            line = known.get(question.name)
            if line and line["asked"] == asked and (folder / line["file"]).exists():
                tally.earlier.append(question.name)
                continue
            answer = ask(request)
            written = _write(folder, question.name, answer, form)
        except DistsysError as error:
            tally.refused[question.name] = str(error)
            continue
        known[question.name] = {"name": question.name, "asked": asked, "file": written, "summary": answer.summary}
        append(ledger, (json.dumps(known[question.name], default=str) + "\n").encode())
        tally.answered.append(question.name)
        if answer.warnings:
            tally.warned[question.name] = "; ".join(answer.warnings)
    progress(len(questions), "")
    write_text(folder / TABLE, _table(questions, known, tally))
    return tally


def _known(ledger: Path) -> dict[str, dict[str, Any]]:
    """What was answered, by name; a line that cannot be read is asked again."""
    cut_torn_tail(ledger)
    known: dict[str, dict[str, Any]] = {}
    for text in ledger.read_text(encoding="utf-8", errors="replace").splitlines() if ledger.is_file() else ():
        with suppress(ValueError, KeyError, TypeError):
            line = json.loads(text)
            known[line["name"]] = {key: line[key] for key in ("name", "asked", "file", "summary")}
    return known


def _plain(request: Any) -> dict[str, Any]:
    """The values of ``request``, of files the content."""
    values = {name: getattr(request, name) for name in type(request).model_fields}
    return {name: _told(value) for name, value in values.items()}


def _told(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_told(part) for part in value]
    return _content(value) if isinstance(value, Path) else json.loads(json.dumps(value, default=str))


def _content(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})", expected="a file that is there") from None


def _write(folder: Path, name: str, answer: Prediction, form: str | None) -> str:
    """Put the answer into ``folder``; gives its name there."""
    forms = [*answer.files, *([FOLDER] if answer.folder else [])]
    form = form or forms[0]
    if form not in forms:
        raise UsageError(f"--format {form}: no format of this answer", expected=f"one of {', '.join(forms)}")
    if form != FOLDER:
        _put(folder / f"{name}{form}", answer.files[form])
        return f"{name}{form}"
    for below, content in answer.folder.items():
        _put(folder / name / below, content)
    return name


def _put(path: Path, content: str | bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise UsageError(f"-o {path}: {error.strerror}", expected="a folder that can be written") from None


def _table(questions: Sequence[Question], known: Mapping[str, Mapping[str, Any]], tally: Tally) -> str:
    """A row a question: its answer's file and what was said of it, or why there is none."""
    rows: list[dict[str, object]] = []
    for question in questions:
        refused = tally.refused.get(question.name)
        if refused is not None:
            rows.append({"name": question.name, "file": "", "refused": " ".join(refused.split())})
        else:
            line = known[question.name]
            rows.append({"name": question.name, "file": line["file"], **dict(_leaves(line["summary"]))})
    columns = dict.fromkeys(column for row in rows for column in row)
    return csv_text(list(columns), rows)


def _leaves(content: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, object]]:
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", json.dumps(value, default=str) if isinstance(value, list | tuple) else value
