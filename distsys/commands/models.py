"""Commands that look at, ask or hand on what was trained."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from distsys.commands.output import require_writable, show, write_answer
from distsys.console import Console
from distsys.errors import ConfigError, UsageError
from distsys.health.verdict import Verdict
from distsys.options import request_parser
from distsys.storage.store import local_copy, local_of

if TYPE_CHECKING:
    from distsys.domains.protocol import AnyDomain
    from distsys.pipeline.batch import Question


def evaluate(options: argparse.Namespace) -> int:
    from distsys.pipeline.report import assessment_text
    from distsys.training.assess import assess, find_checkpoint

    found = assess(find_checkpoint(_named_place(options)))
    show(options, asdict(found), assessment_text(found))
    return 3 if found.is_sick else 0


def predict(options: argparse.Namespace) -> int:
    from distsys.domains.registry import get_domain
    from distsys.domains.requests import read_request
    from distsys.pipeline.batch import questions_of
    from distsys.training.assess import find_checkpoint, known_verdicts, load_model

    if options.domain in (None, "-h", "--help"):
        print("usage: distsys predict DOMAIN --checkpoint PATH [options of the domain] [-o FILE]")
        print("\n'distsys predict DOMAIN --help' lists the options")
        return 0
    domain = get_domain(options.domain)
    asked = request_parser(domain, is_table=_names_table(options.rest)).parse_args(options.rest)
    if (questions := questions_of(domain, vars(asked), asked.requests)) is not None:
        return _predict_many(domain, asked, questions)
    if asked.format:
        raise UsageError(f"--format {asked.format} for one answer", fix="the suffix of -o FILE picks the format")
    request = read_request(domain, vars(asked))
    if asked.output and any(isinstance(item, Path) and item.resolve() == asked.output.resolve() for _, item in request):
        raise UsageError(f"-o {asked.output}: is a file that is asked about", fix="name another one")
    if asked.output and not asked.output.absolute().parent.is_dir():
        raise UsageError(f"-o {asked.output}: no folder {asked.output.absolute().parent}")
    checkpoint = find_checkpoint(local_copy(asked.checkpoint))
    answer = domain.predict(load_model(checkpoint, domain=domain).model, request)
    _warn(known_verdicts(checkpoint))
    for text in answer.warnings:
        print(f"warning: {text}", file=sys.stderr)
    suffix, content = next(iter(answer.files.items()))
    if asked.output and answer.folder and not asked.output.suffix:
        _write_folder(asked.output, answer.folder)
    elif asked.output:
        write_answer(asked.output, answer.files)
    elif isinstance(content, bytes) and not asked.json:
        or_folder = ", or a folder with -o FOLDER" if answer.folder else ""
        raise UsageError(
            f"the answer is a {suffix} file", fix=f"name it with -o FILE{suffix}{or_folder}, or ask for --json"
        )
    show(asked, answer.summary, f"wrote {asked.output}" if asked.output else str(content).rstrip())
    return 0


def _names_table(words: Sequence[str]) -> bool:
    return any(word.split("=")[0] == "--requests" for word in words)


def _predict_many(domain: AnyDomain, asked: argparse.Namespace, questions: Sequence[Question]) -> int:
    """Every answer into the folder ``-o``; 2 where some could not be given."""
    from distsys.pipeline.batch import TABLE, answer_all
    from distsys.training.assess import find_checkpoint, known_verdicts, load_model

    if asked.output is None:
        raise UsageError(f"{len(questions)} answers", fix="name a folder for them with -o FOLDER")
    require_writable(asked.output, option=f"-o {asked.output}")
    checkpoint = find_checkpoint(local_copy(asked.checkpoint))
    loaded = load_model(checkpoint, domain=domain)
    _warn(known_verdicts(checkpoint))
    asked.output.mkdir(parents=True, exist_ok=True)
    with Console(quiet=asked.quiet).bar("asking", len(questions)) as bar:
        tally = answer_all(
            lambda request: domain.predict(loaded.model, request),
            domain,
            questions,
            asked.output,
            model=loaded.source.digest,
            form=asked.format,
            progress=bar.update,
        )
    for name, why in tally.warned.items():
        print(f"warning: {name}: {why}", file=sys.stderr)
    for name, why in tally.refused.items():
        print(f"error: {name}: {why}", file=sys.stderr)
    earlier = f", {len(tally.earlier)} were there already" if tally.earlier else ""
    refused = f", {len(tally.refused)} of {len(questions)} could not be given" if tally.refused else ""
    text = f"wrote {len(tally.answered)} answers{earlier}{refused}; all of them: {asked.output / TABLE}"
    show(asked, {**asdict(tally), "table": str(asked.output / TABLE)}, text)
    return 2 if tally.refused else 0


def _warn(verdicts: Sequence[Verdict]) -> None:
    """What is known to be wrong with a model that is used all the same."""
    for verdict in verdicts:
        what = "this model is sick: " if verdict.status == "stop" else ""
        print(f"warning: {what}{verdict}", file=sys.stderr)


def export(options: argparse.Namespace) -> int:
    from distsys.training.assess import find_checkpoint, known_verdicts, load_model
    from distsys.training.program import export as exported

    require_writable(options.output.absolute().parent, option=f"-o {options.output}")
    checkpoint = find_checkpoint(_named_place(options))
    suffix = options.output.suffix.lower()
    files = {suffix: exported(load_model(checkpoint), suffix)}
    _warn(known_verdicts(checkpoint))
    size = write_answer(options.output, files)
    show(options, {"file": str(options.output), "bytes": size}, f"wrote {options.output}")
    return 0


def register(options: argparse.Namespace) -> int:
    from distsys.pipeline.registering import registered
    from distsys.training.assess import find_checkpoint, load_model

    found = registered(load_model(find_checkpoint(_named_place(options))), name=options.name)
    text = (
        f"registered {found.uri} in {found.store}, its files in {found.files}\n"
        f"load it where MLFLOW_TRACKING_URI names that store: mlflow.pyfunc.load_model({found.uri!r}).predict(table)"
    )
    show(options, {**asdict(found), "uri": found.uri}, text)
    return 0


def _named_place(options: argparse.Namespace) -> Path:
    """The experiment, run or checkpoint that was named by its path or by its name below ``--out``."""
    from distsys.commands.experiments import named_place
    from distsys.storage.store import reading

    return named_place(options.place, reading(options.out))


def _write_folder(folder: Path, files: Mapping[str, str | bytes]) -> None:
    if folder.is_file():
        raise UsageError(f"-o {folder}: is a file", expected="a folder, or a file with a suffix")
    if folder.is_dir() and any(folder.iterdir()):
        raise UsageError(f"-o {folder}: is a folder that is not empty", fix="name another one, or empty it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise UsageError(f"-o {folder}: {error.strerror}", expected="a folder that can be written") from None


def ui(options: argparse.Namespace) -> int:
    from distsys.tracking.location import ui_command, ui_environment
    from distsys.tracking.mlflow_view import pages

    root = local_of(options.out)
    if not (root / "mlflow.db").is_file() and "MLFLOW_TRACKING_URI" not in os.environ:
        raise UsageError(f"{root}: no tracking store yet", fix="run 'distsys run' first, or name its folder with --out")
    server = f"http://127.0.0.1:{options.port}"
    print(f"MLflow UI: {server} (Ctrl-C ends it)")
    for name, page in pages(root, _selection_of).items():
        print(f"{name}: {server}{page}", flush=True)
    return subprocess.call(ui_command(root, port=options.port), env={**os.environ, **ui_environment(root)})


def _selection_of(experiment: str) -> str | None:
    """The metric that chooses a model; MLflow's experiments are called as domains are."""
    from distsys.domains.registry import get_domain

    with suppress(ConfigError):
        return get_domain(experiment).selection.name
    return None
