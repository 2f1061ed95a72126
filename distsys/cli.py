"""The command line: the only place that prints results and decides exit codes."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from distsys import __version__
from distsys.commands.calibration import calibrate, calibrate_options
from distsys.commands.cluster import cluster
from distsys.commands.configs import config, data
from distsys.commands.doctor import doctor
from distsys.commands.domains import check_domain, domains, new_domain
from distsys.commands.experiments import final, run, search, train
from distsys.commands.jobs import jobs, logs, stop, submit
from distsys.commands.looking import clean, compare, curves, extend, import_run, list_all, report, status
from distsys.commands.models import evaluate, export, predict, register, ui
from distsys.commands.plan import plan
from distsys.console import wrapped
from distsys.errors import DistsysError, Interrupted, UsageError
from distsys.options import (
    address_option,
    changed_data_option,
    check_domain_options,
    clean_options,
    cluster_options,
    compare_options,
    completion_options,
    config_options,
    curves_options,
    data_options,
    doctor_options,
    earlier_option,
    experiment_options,
    export_options,
    extend_options,
    import_options,
    job_options,
    local_option,
    logs_options,
    new_domain_options,
    origin_options,
    out_option,
    patient_options,
    place_argument,
    predict_options,
    rate_options,
    register_options,
    submit_options,
    training_options,
    ui_options,
    watch_option,
)
from distsys.parser import Parser
from distsys.training.interrupt import end_process, end_stuck, interrupted, signals_end_work
from distsys.training.stuck import stuck_ends

_EXIT_CODES = (
    "exit codes: 0 done, 1 failed run, 2 bad usage or config, 3 stopped by a health check, 130/143 interrupted"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; without ``arguments`` this is the program, which may end here."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    with signals_end_work(), stuck_ends(end_stuck):
        code = _carried_out(given, debug="--debug" in given, as_json="--json" in given)
        if arguments is None:
            end_process(code)
    return code


def _carried_out(given: list[str], *, debug: bool, as_json: bool) -> int:
    try:
        _require_command_first(given)
        options = _parser().parse_args(given)
        command: Callable[[argparse.Namespace], int] = options.run
        return command(options)
    except DistsysError as error:
        if debug:
            raise
        return _say(error, as_json=as_json)
    except KeyboardInterrupt:
        return _say(interrupted("what was saved before is kept"), as_json=as_json)
    except ModuleNotFoundError as error:
        if debug or error.name is None or error.name.startswith("distsys"):
            raise
        print(f"error: this needs the package '{error.name}', which is not installed", file=sys.stderr)
        print(f"  fix: pip install {error.name.split('.')[0]}; some commands do without it by --local", file=sys.stderr)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _require_command_first(given: list[str]) -> None:
    """Options belong to a command; argparse would blame what follows them."""
    if given and given[0].startswith("-") and given[0] not in ("-h", "--help", "--version"):
        raise UsageError(
            f"{given[0]} before the command",
            expected="distsys COMMAND, then its options",
            fix=f"distsys run CONFIG {' '.join(given[:2])}",
        )


def _say(error: DistsysError, *, as_json: bool) -> int:
    text = str(error) if isinstance(error, Interrupted) else f"error: {error}"
    print("\n".join(wrapped(text)) if sys.stderr.isatty() else text, file=sys.stderr)
    if as_json:
        print(json.dumps(error.content(), indent=1))
    return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="distsys",
        description="Search hyper-parameters and train signal models; refuse sick ones.",
        epilog=_EXIT_CODES,
    )
    parser.add_argument("--version", action="version", version=f"distsys {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=Parser)
    for name, command, text, groups in _COMMANDS:
        _add(commands, name, command, text, *groups)
    return parser


def completion(options: argparse.Namespace) -> int:
    """``distsys completion``."""
    import shtab

    print(shtab.complete(_parser(), shell=options.shell))
    return 0


_COMMANDS: tuple[tuple[str, Callable[..., int], str, tuple[Callable[[Any], None], ...]], ...] = (
    (
        "run",
        run,
        "search, handoff, final training, evaluation, report",
        (training_options, earlier_option, local_option, doctor_options, changed_data_option),
    ),
    (
        "search",
        search,
        "the search phase alone",
        (experiment_options, earlier_option, local_option, doctor_options, changed_data_option),
    ),
    (
        "final",
        final,
        "handoff and final training after a search",
        (training_options, origin_options, local_option, changed_data_option),
    ),
    (
        "plan",
        plan,
        "what a run will take, and where: time, cost, disk, memory",
        (training_options, local_option, rate_options),
    ),
    ("train", train, "train one configuration, without a search", (training_options, origin_options, local_option)),
    ("doctor", doctor, "what is wrong with an experiment to be run, or with a run that ended", (patient_options,)),
    ("evaluate", evaluate, "a finished training on its test set", (place_argument,)),
    ("list", list_all, "the experiments of --out: state, phase, best, health, age, size", (out_option,)),
    ("status", status, "how an experiment stands", (place_argument, watch_option)),
    ("report", report, "the report of an experiment, written again", (place_argument, rate_options)),
    ("compare", compare, "trained models side by side, and whether they differ by more than noise", (compare_options,)),
    ("import", import_run, "a run of other software, to be compared with ours", (import_options,)),
    ("curves", curves, "the curves of every run, for TensorBoard or Weights & Biases", (curves_options,)),
    (
        "extend",
        extend,
        "more trials for an experiment that is there, and what follows from them",
        (extend_options, local_option, doctor_options, changed_data_option),
    ),
    ("clean", clean, "remove experiments, never the best of a domain", (clean_options,)),
    ("predict", predict, "ask a trained model", (predict_options,)),
    ("calibrate", calibrate, "learn an instrument from recordings of it", (calibrate_options,)),
    ("export", export, "a trained model as a program that needs no distsys", (export_options,)),
    ("register", register, "a healthy model into MLflow's registry, to be loaded and served", (register_options,)),
    ("ui", ui, "open the MLflow UI on the right store, on loopback", (ui_options,)),
    (
        "submit",
        submit,
        "run an experiment as a job of a Ray cluster",
        (training_options, earlier_option, local_option, doctor_options, submit_options),
    ),
    ("jobs", jobs, "the jobs of a Ray cluster", (address_option,)),
    ("logs", logs, "what a job has printed", (logs_options,)),
    ("stop", stop, "end a job, with time to save", (job_options,)),
    ("cluster", cluster, "a Ray cluster of this machine, on loopback and behind a token", (cluster_options,)),
    ("domains", domains, "the domains that are installed", ()),
    ("new-domain", new_domain, "a package with a domain of one's own to start from", (new_domain_options,)),
    ("check-domain", check_domain, "try every promise that a domain makes", (check_domain_options,)),
    ("config", config, "the resolved config and where each value comes from", (experiment_options, config_options)),
    ("completion", completion, "what a shell needs to complete commands and options", (completion_options,)),
    ("data", data, "what data a config names: ranges, levels, spectra, faults", (data_options,)),
)
"""Name, what runs it, help, and options of each command, in the order of the help."""


def _add(commands: Any, name: str, run: Callable[..., int], text: str, *groups: Callable[[Any], None]) -> None:
    parser = commands.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + ".", add_help=name != "predict"
    )
    for group in groups:
        group(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    parser.set_defaults(run=run)
    if name == "predict":
        parser.epilog = "each domain has options of its own: distsys predict DOMAIN --help"


if __name__ == "__main__":
    sys.exit(main())
