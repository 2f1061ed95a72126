"""Which experiment that is there an edited config is nearest to, and what tells the two apart."""

from __future__ import annotations

from contextlib import suppress

from distsys.errors import DamagedFile
from distsys.pipeline.experiment import Experiment, flat_params
from distsys.tracking.spool import RUN_FILE, read_record

_MOST = 5
"""Differing keys up to which another experiment is near."""


def nearest_text(experiment: Experiment) -> str:
    """The experiment of the same ``--out`` and domain from which fewest keys differ, and those; empty without one."""
    if (experiment.folder / RUN_FILE).is_file():
        return ""
    own, found = flat_params(experiment.config), []
    for path in sorted(experiment.root.glob(f"*/{RUN_FILE}")):
        with suppress(DamagedFile):
            record = read_record(path.parent)
            if record.kind == "experiment" and record.params.get("domain") == experiment.domain.name:
                names = sorted(own.keys() | record.params.keys())
                apart = [name for name in names if own.get(name) != record.params.get(name)]
                found.append((len(apart), path.parent.name, apart, record.params))
    if not found:
        return ""
    count, name, apart, params = min(found, key=lambda item: item[:2])
    if count > _MOST:
        return ""
    what = ", ".join(f"{key} {params.get(key)} -> {own.get(key)}" for key in apart) or "the search space alone"
    return f"a new experiment, {experiment.name}: it differs from {name} in {what}"
