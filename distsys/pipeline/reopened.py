"""An experiment by its folder alone: what it was asked to do, and its report written again."""

from __future__ import annotations

from pathlib import Path

from distsys.config.layers import find_config, read_layers
from distsys.config.space import read_space
from distsys.config.validate import config_type, validate_layers
from distsys.console import Console
from distsys.domains.protocol import AnyDomain
from distsys.domains.registry import domain_homes
from distsys.errors import UsageError
from distsys.pipeline.durations import Rates
from distsys.pipeline.experiment import Experiment, locked, named_domain
from distsys.pipeline.handoff import known_handoff
from distsys.pipeline.report_page import write_report
from distsys.pipeline.search import read_search
from distsys.tracking.spool import ARTIFACTS, read_record
from distsys.training.assess import examine
from distsys.training.evaluated import Evaluated
from distsys.training.outcome import Outcome

CONFIG, SPACE = "config.yaml", "space.yaml"
"""What an experiment keeps of what it was asked."""


def reopened(folder: Path) -> Experiment:
    """The experiment that ``folder`` is of.

    Raises:
        UsageError: it is no experiment's, or was made by another version, in which it would be another one.
    """
    path = folder / ARTIFACTS / CONFIG
    if not path.is_file():
        raise UsageError(
            f"{folder}: no experiment",
            expected="a folder of 'distsys run' or 'search'",
            fix="'distsys list' names them",
        )
    layers = read_layers(path, preset=None, overrides=())
    domain = named_domain(layers)
    config = validate_layers(layers, config_type(domain.config))
    space = read_space(_space_of(folder, domain), config)
    preset = read_record(folder).tags.get("distsys.preset") or None
    found = Experiment(domain, config, space, layers, preset, folder.absolute().parent)
    if found.name != folder.absolute().name:
        raise UsageError(
            f"{folder}: by this version of distsys its config and space are those of {found.name}",
            expected="an experiment of this version, under its own name",
            fix="run it again by this version, or go back to the one that made it",
        )
    return found


def _space_of(folder: Path, domain: AnyDomain) -> Path:
    kept = folder / ARTIFACTS / SPACE
    return kept if kept.is_file() else find_config(domain.name, folder="search_spaces", homes=domain_homes())


def report_again(experiment: Experiment, console: Console, *, rates: Rates) -> Path:
    """Evaluate what it chose once more, and write its report, with what its time took by ``rates``.

    Raises:
        UsageError: it has not ended.
    """
    with locked(experiment.folder):
        handoff, final = known_handoff(experiment, console), _final(experiment)
        if handoff is None or final is None:
            raise UsageError(
                f"{experiment.folder}: has not ended: there is nothing to report yet",
                fix="repeat the command that made it; it goes on where it was",
            )
        path = final.checkpoint or final.nearest_checkpoint
        assert path is not None, "a run that was evaluated was validated"
        console.say(f"report: {path} on its test set")
        refused = () if final.checkpoint else [item for item in final.verdicts if item.status == "stop"]
        search = read_search(experiment, console)
        return write_report(experiment, search, handoff, final, examine(path, refused=refused), rates=rates)


def _final(experiment: Experiment) -> Outcome | None:
    """The training that was evaluated: a final one, or a candidate's where none was healthy enough to go on."""
    known = Evaluated.read(experiment.home)
    if known is None:
        return None
    folder = experiment.home / known.run.parent.name / known.run.name  # experiments are moved
    return Outcome.read(folder, experiment.domain.selection)
