"""Warnings with which a training ends: its model is not chosen until a person has accepted their cause."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from distsys.errors import ConfigError
from distsys.health.causes import AT_CHANCE, DEAD_PARAMETERS, OTHER_VALIDATION_LOSS
from distsys.health.verdict import Verdict
from distsys.pipeline.experiment import load_experiment
from distsys.training.assess import known_verdicts
from distsys.training.loop import fit
from distsys.training.outcome import Outcome
from tests.health.support import Altered
from tests.training.support import make_context, make_spec


def ended(outside: Path, folder: Path, *overrides: str, warned: Verdict | None) -> Outcome:
    """A whole training of which a check says ``warned`` to the end."""
    context = make_context(outside, folder, *overrides)
    outcome = fit(context)
    standing = (warned,) if warned else ()
    return Outcome(folder, outcome.spec, outcome.selection, standing=standing)


@pytest.mark.parametrize("cause", [AT_CHANCE, DEAD_PARAMETERS])
def test_a_training_that_ends_with_such_a_warning_has_no_checkpoint_to_choose(
    outside: Path, tmp_path: Path, cause: Any
) -> None:
    found = ended(outside, tmp_path, warned=cause.verdict("warn", "seen", step=1))
    assert found.selection.best is not None
    assert (found.checkpoint, found.ended_well) == (None, False)
    assert found.nearest_checkpoint is not None
    first = found.verdicts[0]
    assert (first.status, first.cause, first.evidence) == ("stop", cause.name, "seen")
    assert first.fix.endswith(f"where it is meant: --set 'health.accept=[{cause.name}]'")
    found.write()
    again = Outcome.read(tmp_path, found.selection.spec)
    assert again is not None
    assert again.refused_for == found.refused_for
    assert cause.name in [item.cause for item in known_verdicts(found.nearest_checkpoint) if item.status == "stop"]


def test_what_was_chosen_before_its_onset_stands(outside: Path, tmp_path: Path) -> None:
    found = ended(outside, tmp_path, warned=AT_CHANCE.verdict("warn", "seen", step=10**6))
    assert found.ended_well
    assert found.checkpoint is not None


def test_other_warnings_refuse_nothing(outside: Path, tmp_path: Path) -> None:
    found = ended(outside, tmp_path, warned=OTHER_VALIDATION_LOSS.verdict("warn", "seen", step=1))
    assert found.ended_well


def test_an_accepted_cause_refuses_nothing_and_is_the_same_run(outside: Path, tmp_path: Path) -> None:
    accepts = f"health.accept=[{AT_CHANCE.name}]"
    found = ended(outside, tmp_path, accepts, warned=AT_CHANCE.verdict("warn", "seen", step=1))
    assert found.ended_well
    assert make_spec(outside, accepts)[0].identity == make_spec(outside)[0].identity
    assert make_spec(outside, "health.every=7")[0].identity != make_spec(outside)[0].identity


def test_what_a_check_stops_for_is_a_warning_where_it_is_accepted(outside: Path, tmp_path: Path) -> None:
    def detached(forward: Any, *given: Any, **more: Any) -> Any:
        model, batch = given
        return {"out": model(batch["x"]).detach() + 0.0 * sum(item.sum() for item in list(model.parameters())[-1:])}

    cut = Altered(forward=detached)
    refused = fit(make_context(outside, tmp_path / "refused", domain=cut))
    accepts = f"health.accept=[{DEAD_PARAMETERS.name}]"
    meant = fit(make_context(outside, tmp_path / "meant", accepts, domain=cut))
    last = [outcome.selection.last for outcome in (refused, meant)]
    said = [{item.status for item in it.verdicts if item.cause == DEAD_PARAMETERS.name} for it in last if it]
    assert said == [{"stop"}, {"warn"}]


def test_a_cause_that_nobody_finds_cannot_be_accepted(outside: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown cause 'a term stays at chanse' in health\.accept") as caught:
        load_experiment(
            str(outside / "sine.yaml"),
            root=tmp_path,
            overrides=["health.accept=[a term stays at chanse]"],
            space=outside / "space.yaml",
        )
    assert "a term stays at chance" in str(caught.value)
