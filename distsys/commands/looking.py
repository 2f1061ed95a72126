"""Commands that look at experiments as wholes: list, watch, report, compare, extend, clear away."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from distsys.commands.experiments import means, named_place, opened
from distsys.commands.output import require_writable, show
from distsys.errors import UsageError
from distsys.storage.connect import is_uri
from distsys.storage.store import local_of, reading

if TYPE_CHECKING:
    from distsys.pipeline.shelf import Shelved

_WATCH_S = 2.0


def report(options: argparse.Namespace) -> int:
    from distsys.console import Console
    from distsys.pipeline.durations import Rates
    from distsys.pipeline.reopened import reopened, report_again

    rates = Rates(options.cost_per_hour, options.watts)
    path = report_again(reopened(_named(options)), Console(quiet=options.json), rates=rates)
    show(options, {"report": str(path)}, f"report: {path}")
    return 0


def list_all(options: argparse.Namespace) -> int:
    from distsys.pipeline.shelf import shelved

    root = reading(options.out).local
    found = shelved(root)
    empty = f"{root}: no experiments; 'distsys run semantic_eq --preset demo' makes one"
    show(options, [item.content() for item in found], _table(found) if found else empty)
    return 0


def status(options: argparse.Namespace) -> int:
    from distsys.pipeline.shelf import one

    folder = _named(options)
    found = one(folder)
    show(options, found.content(), _card(found))
    is_live = sys.stdout.isatty()
    while options.watch and found.state == "running":
        time.sleep(_WATCH_S)
        before, found = found, one(folder)
        if is_live:
            print("\x1b[6A\x1b[J" + _card(found), flush=True)
        elif (before.phase, before.state) != (found.phase, found.state):
            show(options, found.content(), _card(found))
    return 0


def import_run(options: argparse.Namespace) -> int:
    """``distsys import``."""
    from distsys.domains.registry import get_domain
    from distsys.pipeline.foreign import imported

    root = local_of(options.out)
    require_writable(root, option=f"--out {root}")
    domain = get_domain(options.domain)
    name = options.name or Path(options.source).stem
    found = imported(
        options.source,
        domain,
        name,
        root=root,
        metric=options.metric,
        tracking=options.tracking,
        study=options.study,
    )
    lines = [
        f"{found.folder}: '{found.metric}' is taken for {domain.selection.name}, best at step {found.step}: "
        f"{found.value:.4g}",
        *(f"{item.status}: {item}" for item in found.verdicts),
        f"compare it: distsys compare EXPERIMENT {found.folder}",
    ]
    show(
        options,
        {
            "folder": str(found.folder), "metric": found.metric, "step": found.step, "value": found.value,
            "verdicts": [item.content() for item in found.verdicts],
        },
        "\n".join(lines),
    )  # fmt: skip
    return 0


def compare(options: argparse.Namespace) -> int:
    from distsys.pipeline.compare import compared, comparison_text, write_comparison

    if options.output is not None:
        if options.output.suffix.lower() not in (".html", ".htm"):
            raise UsageError(f"-o {options.output}: no format '{options.output.suffix}'", expected="a name with .html")
        require_writable(options.output.absolute().parent, option=f"-o {options.output}")
    out = reading(options.out)
    found = compared([named_place(place, out) for place in options.places])
    text = comparison_text(found)
    if options.output is not None:
        text += f"\n\nwrote {write_comparison(found, options.output)}"
    show(options, found.content(), text)
    return 0


def curves(options: argparse.Namespace) -> int:
    """``distsys curves``."""
    from distsys.tracking.elsewhere import copied

    folder = options.output
    require_writable(folder.absolute().parent, option=f"-o {folder}")
    count = copied(_named(options), folder, to=options.to)
    look = {"tensorboard": f"tensorboard --logdir {folder}", "wandb": f"wandb sync {folder}/wandb/offline-run-*"}
    text = f"wrote {count} runs; see them: {look[options.to]}"
    show(options, {"folder": str(folder), "runs": count}, text)
    return 0


def extend(options: argparse.Namespace) -> int:
    from distsys.pipeline.extend import extended
    from distsys.pipeline.reopened import reopened
    from distsys.pipeline.report import final_lines

    place = opened(options)
    experiment, given = reopened(_named(options)), means(options, place)
    result = extended(experiment, given, trials=options.trials, steps=options.steps)
    out = None if options.local else options.out
    show(options, asdict(result.assessment), "\n".join(final_lines(result.assessment, result.report, out)))
    return 3 if result.assessment.is_sick else 0


def clean(options: argparse.Namespace) -> int:
    from distsys.pipeline.shelf import Rule, clear, shelved, to_clear

    if not (options.older_than or options.states or options.larger_than):
        raise UsageError(
            "clean without a word on what",
            expected="--older-than, --state or --larger-than",
            fix="e.g. --older-than 30d",
        )
    if is_uri(str(options.out)):
        raise UsageError(f"clean --out {options.out}", expected="a folder", fix="remove it by the store's own tools")
    rule = Rule(options.older_than, frozenset(options.states), options.larger_than)
    found = to_clear(shelved(reading(options.out).local), rule)
    size = sum(item.size for item in found)
    text = _table(found) if found else "nothing to clear: what runs and each domain's best healthy experiment stay"
    if found and not options.yes:
        if options.json or not sys.stdin.isatty():
            raise UsageError(
                f"{len(found)} experiments would go ({_bytes(size)})\n{text}", fix="say --yes to remove them"
            )
        print(text)
        if input(f"remove these {len(found)} ({_bytes(size)})? [y/N] ").strip().lower() not in ("y", "yes"):
            print("nothing was removed")
            return 0
    clear(found)
    removed = f"{text}\nremoved {len(found)} experiments, {_bytes(size)}" if found else text
    show(options, [item.content() for item in found], removed)
    return 0


def _named(options: argparse.Namespace) -> Path:
    return named_place(options.place, reading(options.out))


def _table(found: list[Shelved]) -> str:
    """Two lines an experiment, which fit 80 columns: names are long, and so are causes."""
    lines = []
    for item in found:
        value = f"{item.best:.4g} {item.metric[1]} {item.metric[0]}" if item.best == item.best else "no value yet"
        facts = [item.state, item.phase, value, item.health, _age(item.changed_s), _bytes(item.size)]
        lines += [item.name, f"    {', '.join(fact for fact in facts if fact)}"]
    return "\n".join(lines)


def _card(item: Shelved) -> str:
    """Six lines."""
    name, unit, _ = item.metric
    value = f"{item.best:.4g} {unit} {name}" if item.best == item.best else "none yet"
    rows = {
        "experiment": item.name,
        "state": item.state,
        "phase": item.phase,
        "best": f"{value}{f', {item.health}' if item.health else ''}",
        "changed": f"{_age(item.changed_s)}, begun {_age(item.started_s)}",
        "size": _bytes(item.size),
    }
    return "\n".join(f"{key:<11} {text}" for key, text in rows.items())


def _age(since_s: float) -> str:
    seconds = max(0.0, time.time() - since_s)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
