"""Commands about a config and the data it names."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from distsys.commands.experiments import load
from distsys.commands.output import show


def config(options: argparse.Namespace) -> int:
    """``distsys config``."""
    from distsys.config.validate import provenance
    from distsys.pipeline.experiment import preflight

    if options.schema:
        print(json.dumps(schema(options.config, options.schema), indent=1))
        return 0
    experiment = load(options)
    if options.check:
        validation = preflight(experiment)
        from distsys.training.answers import require_finite_terms

        require_finite_terms(experiment.domain, validation.terms, where="after one step")
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


def schema(name: str, kind: str) -> dict[str, Any]:
    """The JSON Schema of a config or, by ``space``, of its search space; the config may be wrong yet."""
    from distsys.config.editor import config_schema, space_schema
    from distsys.config.layers import find_config, read_layers
    from distsys.config.validate import config_type
    from distsys.domains.registry import domain_homes
    from distsys.pipeline.experiment import named_domain

    domain = named_domain(read_layers(find_config(name, homes=domain_homes()), preset=None, overrides=()))
    weights = [term.weight_name for term in domain.terms]
    if kind == "space":
        return space_schema(config_type(domain.config), weights=weights, title=f"search space of {domain.name}")
    return config_schema(config_type(domain.config), weights=weights, title=domain.title)


def data(options: argparse.Namespace) -> int:
    """``distsys data``."""
    from distsys.pipeline.inspection import inspect_data, inspection_text

    found = inspect_data(load(options, searches=False))
    show(options, asdict(found), inspection_text(found))
    return 2 if found.faults else 0
