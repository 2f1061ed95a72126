"""The command line: the only place that prints results and decides exit codes."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distsys import __version__
from distsys.commands.domains import check_domain, domains, new_domain
from distsys.commands.output import show as _show
from distsys.errors import DistsysError, UsageError
from distsys.options import (
    Parser,
    check_domain_options,
    check_option,
    data_options,
    experiment_options,
    export_options,
    local_option,
    new_domain_options,
    place_argument,
    predict_options,
    read_request,
    request_parser,
    training_options,
    ui_options,
)

if TYPE_CHECKING:
    from distsys.pipeline.experiment import Experiment
    from distsys.pipeline.means import Means
    from distsys.pipeline.run import RunResult
    from distsys.training.assess import Assessment

_EXIT_CODES = (
    "exit codes: 0 done, 1 failed run, 2 bad usage or config, 3 stopped by a health check, 130/143 interrupted"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    try:
        options = _parser().parse_args(given)
        run: Callable[[argparse.Namespace], int] = options.run
        return run(options)
    except DistsysError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="distsys",
        description="Search hyper-parameters and train signal models; refuse sick ones.",
        epilog=_EXIT_CODES,
    )
    parser.add_argument("--version", action="version", version=f"distsys {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=Parser)
    _add(commands, "run", _run, "search, handoff, final training, evaluation, report", training_options, local_option)
    _add(commands, "search", _search, "the search phase alone", experiment_options, local_option)
    _add(commands, "final", _final, "handoff and final training after a search", training_options, local_option)
    _add(commands, "train", _train, "train one configuration, without a search", training_options, local_option)
    _add(commands, "evaluate", _evaluate, "a finished training on its test set", place_argument)
    predict = _add(commands, "predict", _predict, "ask a trained model", predict_options)
    predict.epilog = "each domain has options of its own: distsys predict DOMAIN --help"
    _add(commands, "export", _export, "a trained model as a program that needs no distsys", export_options)
    _add(commands, "ui", _ui, "open the MLflow UI on the right store, on loopback", ui_options)
    _add(commands, "domains", domains, "the domains that are installed")
    _add(commands, "new-domain", new_domain, "a package with a domain of one's own to start from", new_domain_options)
    _add(commands, "check-domain", check_domain, "try every promise that a domain makes", check_domain_options)
    _add(
        commands,
        "config",
        _config,
        "the resolved config and where each value comes from",
        experiment_options,
        check_option,
    )
    _add(commands, "data", _data, "what data a config names: ranges, levels, spectra, faults", data_options)
    return parser


def _add(commands: Any, name: str, run: Callable[..., int], text: str, *groups: Callable[[Any], None]) -> Any:
    parser = commands.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + ".", add_help=name != "predict"
    )
    for group in groups:
        group(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    parser.set_defaults(run=run)
    return parser


def _load(options: argparse.Namespace, *, searches: bool = True) -> Experiment:
    from distsys.pipeline.experiment import load_experiment

    _require_lasting(options.out)
    overrides = [*options.overrides, *([f"seed={options.seed}"] if options.seed is not None else [])]
    return load_experiment(
        options.config,
        root=options.out,
        preset=options.preset,
        overrides=overrides,
        space=options.space,
        searches=searches,
    )


def _require_lasting(out: Path) -> None:
    """Ray unpacks a job's working directory into a cache that it may delete."""
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ and not out.is_absolute():
        raise UsageError(
            f"--out {out} inside a Ray job",
            expected="an absolute path on storage that every node sees",
            fix="distsys run ... --out /absolute/folder",
        )


def _run(options: argparse.Namespace) -> int:
    from distsys.pipeline import run

    return _ended(options, run.run(_load(options), _means(options)))


def _final(options: argparse.Namespace) -> int:
    from distsys.pipeline import run

    return _ended(options, run.final(_load(options), _means(options)))


def _ended(options: argparse.Namespace, result: RunResult) -> int:
    from distsys.pipeline.report import final_lines

    out = None if options.local else options.out
    _show(options, _plain(result.assessment), "\n".join(final_lines(result.assessment, result.report, out)))
    return 3 if result.assessment.is_sick else 0


def _search(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    from distsys.pipeline import run
    from distsys.report.table import text_table
    from distsys.report.verdicts import health_word, verdict_text

    result = run.search(_load(options), _means(options))
    rows = [[f"trial {row.number}", row.value, health_word(row.verdicts)] for row in result.ranked()]
    table = text_table(["trial", result.metric.name, "health"], rows)
    text = "\n\n".join(part for part in (table, verdict_text(result.verdicts)) if part)
    _show(options, [asdict(row) for row in result.rows], text)
    return 0


def _train(options: argparse.Namespace) -> int:
    from distsys.pipeline.report import assessment_text
    from distsys.pipeline.run import train_one

    found = train_one(_load(options, searches=False), _means(options))
    _show(options, _plain(found), f"{assessment_text(found)}\ncheckpoint: {found.checkpoint}")
    return 3 if found.is_sick else 0


def _evaluate(options: argparse.Namespace) -> int:
    from distsys.pipeline.report import assessment_text
    from distsys.training.assess import assess, find_checkpoint

    found = assess(find_checkpoint(_named_place(options)))
    _show(options, _plain(found), assessment_text(found))
    return 3 if found.is_sick else 0


def _predict(options: argparse.Namespace) -> int:
    from distsys.domains.registry import get_domain
    from distsys.training.assess import find_checkpoint, known_verdicts, load_model

    if options.domain in (None, "-h", "--help"):
        print("usage: distsys predict DOMAIN --checkpoint PATH [options of the domain] [-o FILE]")
        print("\n'distsys predict DOMAIN --help' lists the options")
        return 0
    domain = get_domain(options.domain)
    asked = request_parser(domain).parse_args(options.rest)
    request = read_request(domain, vars(asked))
    if asked.output and any(isinstance(item, Path) and item.resolve() == asked.output.resolve() for _, item in request):
        raise UsageError(f"-o {asked.output}: is a file that is asked about", fix="name another one")
    if asked.output and not asked.output.absolute().parent.is_dir():
        raise UsageError(f"-o {asked.output}: no folder {asked.output.absolute().parent}")
    checkpoint = find_checkpoint(asked.checkpoint.absolute())
    answer = domain.predict(load_model(checkpoint, domain=domain).model, request)
    for verdict in known_verdicts(checkpoint):
        print(f"warning: this model is sick: {verdict}", file=sys.stderr)
    suffix, content = next(iter(answer.files.items()))
    if asked.output and answer.folder and not asked.output.suffix:
        _write_folder(asked.output, answer.folder)
    elif asked.output:
        _write(asked.output, answer.files)
    elif isinstance(content, bytes) and not asked.json:
        or_folder = ", or a folder with -o FOLDER" if answer.folder else ""
        raise UsageError(
            f"the answer is a {suffix} file", fix=f"name it with -o FILE{suffix}{or_folder}, or ask for --json"
        )
    _show(asked, answer.summary, f"wrote {asked.output}" if asked.output else str(content).rstrip())
    return 0


def _export(options: argparse.Namespace) -> int:
    from distsys.domains.protocol import Exporting
    from distsys.training.assess import find_checkpoint, load_model

    loaded = load_model(find_checkpoint(_named_place(options)))
    if not isinstance(loaded.domain, Exporting):
        raise UsageError(f"models of '{loaded.domain.name}' cannot be exported", fix="ask them with 'distsys predict'")
    files = loaded.domain.export(loaded.model)
    size = _write(options.output, files)
    _show(options, {"file": str(options.output), "bytes": size}, f"wrote {options.output}")
    return 0


def _named_place(options: argparse.Namespace) -> Path:
    """The experiment, run or checkpoint that was named by its path or by its name below ``--out``."""
    place: Path = options.place if options.place.exists() else options.out / options.place
    return place.absolute()


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


def _write(path: Path, files: Mapping[str, str | bytes]) -> int:
    """Write what ``files`` hold for the suffix of ``path``; gives its size in bytes."""
    suffix = path.suffix.lower()
    if suffix not in files:
        raise UsageError(f"-o {path}: no format '{path.suffix}'", expected=f"one of {', '.join(files)}")
    content = files[suffix]
    try:
        return path.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise UsageError(f"-o {path}: {error.strerror}", expected="a file in a folder that can be written") from None


def _ui(options: argparse.Namespace) -> int:
    from distsys.tracking.mlflow_store import ui_command, ui_environment

    root = options.out.absolute()
    if not (root / "mlflow.db").is_file() and "MLFLOW_TRACKING_URI" not in os.environ:
        raise UsageError(f"{root}: no tracking store yet", fix="run 'distsys run' first, or name its folder with --out")
    print(f"MLflow UI: http://127.0.0.1:{options.port} (Ctrl-C ends it)")
    return subprocess.call(ui_command(root, port=options.port), env={**os.environ, **ui_environment(root)})


def _config(options: argparse.Namespace) -> int:
    from distsys.config.validate import provenance
    from distsys.pipeline.experiment import preflight

    experiment = _load(options)
    if options.check:
        preflight(experiment)
        _show(
            options,
            {"valid": True, "experiment": experiment.name},
            f"{experiment.name}: config, data, model and search space fit",
        )
        return 0
    rows = provenance(experiment.config, experiment.layers)
    plain = {path: {"value": value, "source": source} for path, value, source in rows}
    lines = [f"{path}: {json.dumps(value)}  # {source}" for path, value, source in rows]
    _show(options, plain, "\n".join(lines))
    return 0


def _data(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    from distsys.pipeline.inspection import inspect_data, inspection_text

    found = inspect_data(_load(options, searches=False))
    _show(options, asdict(found), inspection_text(found))
    return 2 if found.faults else 0


def _means(options: argparse.Namespace) -> Means:
    from distsys.console import Console
    from distsys.pipeline.means import Means

    workers = getattr(options, "workers", 1)
    if options.local and workers > 1:
        raise UsageError(f"--local with --workers {workers}", expected="one worker", fix="leave out one of the two")
    console = Console(quiet=options.quiet or options.json)
    return Means(console, num_workers=workers, is_local=options.local)


def _plain(found: Assessment) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(found)


if __name__ == "__main__":
    sys.exit(main())
