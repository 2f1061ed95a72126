"""``distsys data check``: what the data of a config are like, and what is wrong with them, before any training."""

from __future__ import annotations

from distsys.domains.protocol import Inspecting, Inspection
from distsys.pipeline.experiment import Experiment
from distsys.report.table import text_table
from distsys.training.data import built_data


def inspect_data(experiment: Experiment) -> Inspection:
    """The domain's own inspection, or what every domain's data say of themselves.

    Raises:
        DataError: a file is missing, damaged or mislabelled, in a domain without an inspection of its own.
    """
    domain, config = experiment.domain, experiment.config
    if isinstance(domain, Inspecting):
        return domain.inspect(config, seed=config.seed)
    bundle = built_data(domain, config)
    provenance = [[name, value] for name, value in bundle.provenance.items()]
    fields = [[item.name, item.role, item.low, item.high, item.unit] for item in domain.fields]
    return Inspection(
        {
            "where the data come from": (["data", "value"], provenance),
            "tensors of a batch": (["tensor", "role", "lowest", "highest", "unit"], fields),
        }
    )


def inspection_text(found: Inspection) -> str:
    """Tables, then faults."""
    parts = [f"{title}\n{text_table(headers, rows)}" for title, (headers, rows) in found.tables.items()]
    count = len(found.faults)
    faults = "".join(f"\n- {text}" for text in found.faults)
    parts.append(f"{count} fault{'' if count == 1 else 's'}{faults}" if count else "no faults")
    return "\n\n".join(parts)
