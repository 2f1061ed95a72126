"""Commands about a config and the data it names."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from distsys.commands.experiments import load
from distsys.commands.output import show

if TYPE_CHECKING:
    from distsys.pipeline.experiment import Experiment


def config(options: argparse.Namespace) -> int:
    """``distsys config``."""
    from distsys.config.validate import provenance
    from distsys.pipeline.experiment import preflight

    experiment = load(options)
    if options.schema:
        print(json.dumps(schema(experiment, options.schema), indent=1))
        return 0
    if options.check:
        preflight(experiment)
        show(
            options,
            {"valid": True, "experiment": experiment.name},
            f"{experiment.name}: config, data, model and search space fit",
        )
        return 0
    rows = provenance(experiment.config, experiment.layers)
    plain = {path: {"value": value, "source": source} for path, value, source in rows}
    lines = [f"{path}: {json.dumps(value)}  # {source}" for path, value, source in rows]
    show(options, plain, "\n".join(lines))
    return 0


def schema(experiment: Experiment, kind: str) -> dict[str, Any]:
    """The JSON Schema of an experiment's config or, by ``space``, of its search space."""
    from distsys.config.editor import config_schema, space_schema

    domain = experiment.domain
    if kind == "space":
        return space_schema(experiment.config, title=f"search space of {domain.name}")
    weights = [term.weight_name for term in domain.terms]
    return config_schema(type(experiment.config), weights=weights, title=domain.title)


def data(options: argparse.Namespace) -> int:
    """``distsys data``."""
    from distsys.pipeline.inspection import inspect_data, inspection_text

    found = inspect_data(load(options, searches=False))
    show(options, asdict(found), inspection_text(found))
    return 2 if found.faults else 0
