"""The command that learns an instrument from recordings of it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from distsys.commands.output import show, write_answer
from distsys.errors import UsageError
from distsys.parser import Parser

if TYPE_CHECKING:
    from pydantic import BaseModel


def calibrate_options(parser: argparse.ArgumentParser) -> None:
    """Of ``distsys calibrate``; the domain has options of its own."""
    parser.add_argument("config", metavar="CONFIG", help="path of a YAML file, or the name of a shipped one")
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def calibrate(options: argparse.Namespace) -> int:
    """``distsys calibrate``."""
    from distsys.config.layers import find_config, read_layers
    from distsys.domains.calibrating import Calibrating
    from distsys.domains.registry import domain_homes
    from distsys.domains.requests import request_of
    from distsys.pipeline.experiment import load_experiment, named_domain

    path = find_config(options.config, homes=domain_homes())
    domain = named_domain(read_layers(path, preset=None, overrides=()))
    if not isinstance(domain, Calibrating):
        raise UsageError(
            f"{domain.name} has nothing to calibrate", expected="a domain whose recordings tell of their instrument"
        )
    asked = _parser(domain.calibration, options.config).parse_args(options.rest)
    if not asked.output.absolute().parent.is_dir():
        raise UsageError(f"-o {asked.output}: no folder {asked.output.absolute().parent}")
    request = request_of(domain.calibration, vars(asked))
    experiment = load_experiment(
        options.config, root=Path("runs"), preset=asked.preset, overrides=asked.overrides, searches=False
    )
    answer = domain.calibrate(experiment.config, request)
    for text in answer.warnings:
        print(f"warning: {text}", file=sys.stderr)
    write_answer(asked.output, answer.files)
    lines = [f"{name}: {value}" for name, value in answer.summary.items()]
    show(asked, answer.summary, "\n".join([*lines, f"wrote {asked.output}"]))
    return 0


def _parser(kind: type[BaseModel], config: str) -> argparse.ArgumentParser:
    """Options of the command, those that the domain asks by ``kind`` first."""
    parser = Parser(prog=f"distsys calibrate {config}")
    for name, field in kind.model_fields.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            dest=name,
            required=field.is_required(),
            default=argparse.SUPPRESS,
            help=field.description,
        )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="where to write")
    parser.add_argument("--preset", metavar="NAME", help="one of the config's presets")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides", help="replace one value"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser
