"""What commands can be asked: their options, and those of each domain's questions."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any, get_origin

from distsys.parser import Parser
from distsys.storage.connect import is_uri

_STATES = ("finished", "stopped", "failed", "interrupted", "damaged")
_CONFIG_HELP = "path of a YAML file, or the name of a shipped one"


def experiment_options(parser: Any) -> None:
    parser.add_argument("config", metavar="CONFIG", help=_CONFIG_HELP)
    _experiment_values(parser)


def _experiment_values(parser: Any) -> None:
    _config_values(parser)
    parser.add_argument("--space", type=Path, metavar="FILE", help="search space (default: the domain's own)")
    parser.add_argument("--seed", type=int, metavar="N", help="the same as --set seed=N")
    out_option(parser)
    parser.add_argument("--quiet", action="store_true", help="print results only")


def _config_values(parser: Any) -> None:
    parser.add_argument("--preset", metavar="NAME", help="one of the config's presets: demo, laptop, gpu")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="replace one value; may be repeated",
    )


def out_option(parser: Any) -> None:
    parser.add_argument(
        "--out",
        type=_place,
        default=Path("runs"),
        metavar="DIR",
        help="folder of all experiments (default: runs), or one of an object store: s3://bucket/prefix",
    )


def _place(text: str) -> Path | str:
    """A folder, or the URI of one in a store."""
    return text if is_uri(text) else Path(text)


def data_options(parser: Any) -> None:
    parser.add_argument("action", choices=["check"], help="what to do with the data")
    experiment_options(parser)


def training_options(parser: Any) -> None:
    experiment_options(parser)
    parser.add_argument(
        "--workers",
        type=_team,
        default=(1, 1),
        metavar="N",
        help="workers of the final training (default: 1); 2-4 lets them become fewer and more with the cluster",
    )
    parser.add_argument(
        "--label",
        action="append",
        type=_label,
        default=[],
        metavar="NAME=VALUE",
        dest="labels",
        help="give these workers to nodes with this Ray label alone; may be repeated",
    )


def origin_options(parser: Any) -> None:
    parser.add_argument(
        "--from",
        type=_place,
        metavar="CHECKPOINT",
        dest="origin",
        help="start from these weights: a checkpoint, or the folder of a run or an experiment, whose last healthy one "
        "is taken",
    )
    parser.add_argument("--reset-optimizer", action="store_true", help="start with fresh moments")


def earlier_option(parser: Any) -> None:
    parser.add_argument(
        "--from",
        type=_place,
        metavar="EXPERIMENT",
        dest="earlier",
        help="begin the search with what the trials of another experiment of the same space found",
    )


def local_option(parser: Any) -> None:
    parser.add_argument(
        "--local",
        action="store_true",
        help="in this process, without Ray and MLflow: needs torch, numpy, scipy, pydantic and pyyaml, a search optuna "
        "and a report matplotlib",
    )


def rate_options(parser: Any) -> None:
    parser.add_argument("--cost-per-hour", type=_rate, metavar="X", help="of the machines together: also say the cost")
    parser.add_argument("--watts", type=_rate, metavar="W", help="of the machines together: also say the energy")


def patient_options(parser: Any) -> None:
    parser.add_argument("config", nargs="?", metavar="CONFIG", help=f"{_CONFIG_HELP}; to be examined before it is run")
    _experiment_values(parser)
    parser.add_argument(
        "--run",
        dest="ended",
        metavar="RUN",
        help="examine the curves of a run that ended: a folder of distsys, a CSV or TSV file, a run's folder below "
        "mlruns, or the id of an MLflow run",
    )
    parser.add_argument("--tracking", metavar="STORE", help="MLflow store of that run: URI, database file or mlruns")
    parser.add_argument("--metric", metavar="NAME[:max|min]", help="what chooses the checkpoint of a foreign run")


def doctor_options(parser: Any) -> None:
    parser.add_argument("--no-doctor", action="store_true", help="search without an examination before it")
    parser.add_argument("--verbose", action="store_true", help="say what the doctor looked at, probe by probe")


def changed_data_option(parser: Any) -> None:
    parser.add_argument(
        "--allow-changed-data",
        action="store_true",
        help="go on although the data are not those that the search's trials were judged on",
    )


def address_option(parser: Any) -> None:
    parser.add_argument(
        "--address",
        metavar="URL",
        help="of the cluster's dashboard (default: RAY_API_SERVER_ADDRESS, else the cluster of 'distsys cluster up')",
    )


def submit_options(parser: Any) -> None:
    address_option(parser)
    parser.add_argument(
        "--working-dir", type=Path, default=Path(), metavar="DIR", help="project that is taken along (default: here)"
    )
    parser.add_argument(
        "--limit-mb", type=_rate, default=50.0, metavar="MB", help="largest project that is taken along (default: 50)"
    )
    parser.add_argument(
        "--grace", type=_positive, default=60, metavar="S", help="seconds to save in when stopped (default: 60)"
    )
    _follow_option(parser)


def _follow_option(parser: Any) -> None:
    parser.add_argument("--follow", action="store_true", help="show what the job prints until it ends")


def job_options(parser: Any) -> None:
    parser.add_argument("job", metavar="JOB", help="as 'distsys jobs' names it")
    address_option(parser)


def logs_options(parser: Any) -> None:
    job_options(parser)
    _follow_option(parser)


def cluster_options(parser: Any) -> None:
    parser.add_argument("action", choices=["up", "status", "down"], help="start it, look at it, or end it")
    parser.add_argument("--cpus", type=_positive, metavar="N", help="CPUs that it may use (default: all)")


def config_options(parser: Any) -> None:
    parser.add_argument("--check", action="store_true", help="try config, data, model and search space; write nothing")
    parser.add_argument(
        "--schema",
        nargs="?",
        const="config",
        choices=["config", "space"],
        help="print the JSON Schema of the config, or of its search space, for editors",
    )


def place_argument(parser: Any) -> None:
    parser.add_argument(
        "place", type=_place, metavar="EXPERIMENT", help="folder of an experiment, a run or a checkpoint"
    )
    out_option(parser)


def watch_option(parser: Any) -> None:
    parser.add_argument("--watch", action="store_true", help="go on until it ends")


def compare_options(parser: Any) -> None:
    parser.add_argument(
        "places",
        type=_place,
        nargs="+",
        metavar="EXPERIMENT",
        help="experiments, trainings or trials; A first",
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE.html", help="also write a page with their curves")
    out_option(parser)


def import_options(parser: Any) -> None:
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a CSV or TSV file, a run's folder below mlruns, the id of an MLflow run, or an Optuna storage",
    )
    parser.add_argument("--domain", required=True, metavar="NAME", help="whose models it is to be compared with")
    parser.add_argument("--name", metavar="NAME", help="of its folder below imported (default: the source's)")
    parser.add_argument("--metric", metavar="NAME", help="what it calls the domain's selection metric")
    parser.add_argument("--tracking", metavar="STORE", help="MLflow store of a run: URI, database file or mlruns")
    parser.add_argument("--study", metavar="NAME", help="of an Optuna storage with several")
    out_option(parser)


def curves_options(parser: Any) -> None:
    place_argument(parser)
    parser.add_argument("--to", required=True, choices=("tensorboard", "wandb"), help="whose files are written")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FOLDER", help="where to; a new or an empty one"
    )


def extend_options(parser: Any) -> None:
    place_argument(parser)
    more = parser.add_mutually_exclusive_group(required=True)
    more.add_argument("--trials", type=_positive, metavar="N", help="so many more trials")
    more.add_argument(
        "--steps", type=_positive, metavar="N", help="so many more steps of the final training, from its checkpoint"
    )
    parser.add_argument("--quiet", action="store_true", help="print results only")


def clean_options(parser: Any) -> None:
    out_option(parser)
    parser.add_argument(
        "--older-than", type=_seconds, default=0.0, metavar="AGE", help="unchanged for so long: 12h, 30d, 4w"
    )
    parser.add_argument(
        "--state", dest="states", action="append", default=[], choices=_STATES, help="in this state; may be repeated"
    )
    parser.add_argument("--larger-than", type=_size, default=0, metavar="SIZE", help="than so much: 500MB, 2GB")
    parser.add_argument("--yes", action="store_true", help="remove without asking")


def completion_options(parser: Any) -> None:
    parser.add_argument("shell", choices=["bash", "zsh", "tcsh"], help='bash: eval "$(distsys completion bash)"')


def new_domain_options(parser: Any) -> None:
    parser.add_argument("name", metavar="NAME", help="of the domain and of its package: small letters, digits and _")
    parser.add_argument(
        "--to", type=Path, default=Path(), metavar="DIR", help="where its folder is made (default: here)"
    )


def check_domain_options(parser: Any) -> None:
    parser.add_argument("name", metavar="NAME", help="a domain that 'distsys domains' lists")
    parser.add_argument("--config", default="", metavar="FILE", help="path of a YAML file (default: the domain's own)")
    _config_values(parser)


def export_options(parser: Any) -> None:
    place_argument(parser)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="where to write")


def register_options(parser: Any) -> None:
    place_argument(parser)
    parser.add_argument("--name", metavar="NAME", help="of the registered model (default: its domain's)")


def ui_options(parser: Any) -> None:
    out_option(parser)
    parser.add_argument("--port", type=_positive, default=5000, metavar="N", help="port on 127.0.0.1 (default: 5000)")


def predict_options(parser: Any) -> None:
    parser.add_argument("-h", "--help", action="store_true", help="show this")
    parser.add_argument("domain", nargs="?", metavar="DOMAIN")
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number above 0")
    return value


def _team(text: str) -> tuple[int, int]:
    """Fewest and most workers, of ``3`` or ``2-4``."""
    low, dash, high = text.partition("-")
    fewest, most = _positive(low), _positive(high if dash else low)
    if fewest > most:
        raise argparse.ArgumentTypeError(f"'{text}' begins with more workers than it ends with")
    return fewest, most


def _label(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not (name and sign and value):
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=VALUE")
    return name, value


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 0 on")
    return value


def _seconds(text: str) -> float:
    return _scaled(text, {"h": 3600.0, "d": 86400.0, "w": 604800.0}, "an age such as 12h, 30d or 4w")


def _size(text: str) -> int:
    return int(_scaled(text, {"kB": 1e3, "MB": 1e6, "GB": 1e9}, "a size such as 500MB or 2GB"))


def _scaled(text: str, units: dict[str, float], expected: str) -> float:
    for unit, size in units.items():
        number = text.removesuffix(unit)
        if number != text and number.replace(".", "", 1).isdigit():
            return float(number) * size
    raise argparse.ArgumentTypeError(f"'{text}' is not {expected}")


def request_parser(domain: Any, *, is_table: bool = False) -> argparse.ArgumentParser:
    """Of ``distsys predict``.

    Args:
        is_table: what is asked stands in a table, so that nothing else must be said.
    """
    parser = Parser(prog=f"distsys predict {domain.name}")
    parser.add_argument("--checkpoint", type=_place, required=True, help="checkpoint, run or experiment folder")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="where to write; the suffix picks the format, no suffix makes a folder of an answer of several files",
    )
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    parser.add_argument(
        "--requests",
        type=Path,
        metavar="FILE.csv",
        help="ask many at once, a row each: columns are these options, and 'name' of the answer; -o names a folder, "
        "and what it answers already is not asked again. A folder in place of a file asks about every file in it",
    )
    parser.add_argument("--format", metavar="SUFFIX", help="of many answers: .json and so on, or 'folder'")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    fields = domain.request.model_fields
    files = [name for name, field in fields.items() if field.annotation is Path and field.is_required()]
    for name, field in fields.items():
        if name in files[:1]:
            parser.add_argument(
                name,
                metavar="FILE",
                nargs="?" if is_table else None,
                default=argparse.SUPPRESS,
                help=field.description,
            )
            continue
        parser.add_argument(
            f"--{name.rstrip('_').replace('_', '-')}",
            dest=name,
            action="append" if get_origin(field.annotation) is tuple else "store",
            required=field.is_required() and not is_table,
            default=argparse.SUPPRESS,
            help=field.description,
        )
    return parser
