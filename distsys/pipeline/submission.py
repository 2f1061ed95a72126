"""An experiment's command line as a job of a cluster runs it, with every place that it names checked."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from distsys.cluster.packing import Package
from distsys.config.layers import get_path, leaves
from distsys.errors import ConfigError, DistsysError, UsageError
from distsys.pipeline.experiment import Experiment, load_experiment
from distsys.storage.store import local_of

_FAR = "an absolute path on storage that every node sees"


def command_of(options: argparse.Namespace, package: Package, *, is_here: bool) -> list[str]:
    """``distsys run`` with the options that were given.

    Args:
        options: those of ``distsys run``.
        is_here: whether the cluster is this machine, so that every place here is one there.

    Raises:
        ConfigError: config or search space are wrong, or name data by a relative path for a cluster elsewhere.
        UsageError: config, search space or ``--out`` are places that the job would not find.
    """
    out: Path | str = options.out
    if not is_here and isinstance(out, Path) and not out.is_absolute():
        raise UsageError(
            f"--out {out} for a cluster elsewhere",
            expected=_FAR,
            fix="distsys submit ... --out /absolute/folder, or --out s3://bucket/prefix",
        )
    overrides = [*options.overrides, *([f"seed={options.seed}"] if options.seed is not None else [])]
    experiment = load_experiment(
        options.config, root=local_of(out), preset=options.preset, overrides=overrides, space=options.space
    )
    overrides += _data_places(experiment, is_here=is_here)
    given = Path(options.config)
    is_file = given.suffix in {".yaml", ".yml"} or given.is_file()
    words = ["distsys", "run", _place(given, package, "CONFIG", is_here=is_here) if is_file else options.config]
    words += ["--preset", options.preset] if options.preset else []
    words += [word for item in overrides for word in ("--set", item)]
    words += ["--space", _place(options.space, package, "--space", is_here=is_here)] if options.space else []
    words += ["--from", _earlier(options.earlier, is_here=is_here)] if options.earlier else []
    words += ["--workers", "-".join(map(str, options.workers))] if options.workers != (1, 1) else []
    words += [word for name, value in options.labels for word in ("--label", f"{name}={value}")]
    words += [f"--{name.replace('_', '-')}" for name in ("local", "no_doctor", "verbose") if getattr(options, name)]
    return [*words, "--out", str(out.absolute() if isinstance(out, Path) else out)]


def _place(path: Path, package: Package, what: str, *, is_here: bool) -> str:
    """``path`` as the job finds it."""
    absolute = path.resolve()
    if absolute.is_relative_to(package.root):
        inside = absolute.relative_to(package.root)
        if package.holds(inside):
            return str(inside)
    if is_here:
        return str(absolute)
    raise UsageError(f"{what} {path} is not taken along", expected=f"a file of {package.root} that is not left out")


def _earlier(given: Path | str, *, is_here: bool) -> str:
    """An experiment by its place, its URI, or its name below ``--out``."""
    return str(given.absolute()) if isinstance(given, Path) and is_here and given.exists() else str(given)


def _data_places(experiment: Experiment, *, is_here: bool) -> list[str]:
    """Overrides that make relative paths of a config absolute: a job's own folder is another one each time."""
    found, problems = [], []
    for key, written in leaves(experiment.layers.values):
        value = get_path(experiment.config, key)
        paths = [item for item in (value if isinstance(value, list | tuple) else [value]) if isinstance(item, Path)]
        names = written if isinstance(written, list) else [written]
        relative = [str(name) for name in names if not Path(str(name)).expanduser().is_absolute()]
        if not paths or not relative:
            continue
        plain = [str(path) for path in paths]
        found.append(f"{key}={json.dumps(plain if isinstance(written, list) else plain[0])}")
        problems.append(
            DistsysError(f"{key} = {', '.join(relative)}", expected=_FAR, fix=f"--set {key}=/absolute/path")
        )
    if problems and not is_here:
        raise ConfigError.collect(f"{experiment.layers.file} for a cluster elsewhere", problems)
    return found
