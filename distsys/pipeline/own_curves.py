"""The curves of one of our own runs, with all that its domain and config declare of them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from distsys.domains.protocol import AnyDomain, effective_constraints
from distsys.domains.registry import get_domain
from distsys.errors import DamagedFile, DistsysError, UsageError
from distsys.files import read_json
from distsys.health.curves.history import History, Meaning, Series
from distsys.health.curves.names import guess, is_penalty, with_guesses
from distsys.tracking.curves_spool import read_spool
from distsys.tracking.spool import METRICS_FILE
from distsys.training.clock import is_timing
from distsys.training.optimizer import learning_rate_factor
from distsys.training.outcome import Outcome
from distsys.training.selection import Choice, Selection, paired_floor
from distsys.training.spec import RunSpec

_NAMED: Mapping[str, Meaning] = {
    "loss": Meaning("loss", "validation", "min", of="loss", is_guess=False),
    "train_loss": Meaning("loss", "train", "min", of="loss", is_guess=False),
    "learning_rate": Meaning("rate", is_guess=False),
    "skipped_steps": Meaning("skipped", is_guess=False),
    **{name: Meaning(is_guess=False) for name in ("grad_norm", "healthy", "noise_floor")},
}
"""What every run logs, whatever its domain."""


def own_history(folder: Path) -> History:
    """The curves of the run in ``folder``.

    Raises:
        UsageError: it holds no metrics yet.
        RunFailed: its metrics are damaged.
    """
    content = _content(folder)
    try:
        domain = get_domain(content["spec"]["config"]["domain"])
        spec = RunSpec.from_content(content["spec"], domain)
    except (DistsysError, KeyError, ValueError) as error:
        return _undeclared(folder, str(error).splitlines()[0] if str(error) else "its config is lost")
    series = _filled(folder, read_spool(folder, lambda name: _meaning(domain, name)))
    chosen, tie, known = _choice(folder, domain, content)
    return History(
        folder.name,
        series,
        selection=domain.selection,
        bands=effective_constraints(domain, spec.bands()),
        chosen=chosen.step if chosen else None,
        tie=tie,
        expected_rate=_expected_rate(spec, series),
        facts={"batch_size": float(spec.config.batch_size)},
        known=known,
    )


def _content(folder: Path) -> dict[str, Any]:
    """``spec`` and ``selection`` of a run: as it ended, or by its newest checkpoint; empty without either."""
    metas = sorted(folder.glob("checkpoints/step-*/meta.json"), reverse=True)
    for path in (folder / "outcome.json", *metas):
        with suppress(DamagedFile):
            content = read_json(path, dict, fix="")
            spec = {name: content[name] for name in ("config", "phase", "share", "origin") if name in content}
            return {"spec": spec, **content}
    return {}


def _undeclared(folder: Path, why: str) -> History:
    series = _filled(folder, read_spool(folder, guess))
    return History(folder.name, with_guesses(series), notes=(f"nothing is declared of this run: {why}",))


def _filled(folder: Path, series: tuple[Series, ...]) -> tuple[Series, ...]:
    if not series:
        raise UsageError(
            f"{folder / METRICS_FILE}: holds no metrics", expected="a run that was validated", fix="let it go on"
        )
    return series


def _meaning(domain: AnyDomain, name: str) -> Meaning:
    """What ``domain`` and the loop say of a metric; of others nothing but that they are metrics."""
    kind, _, term = name.partition("/")
    specs = {item.name: item for item in domain.terms}
    if kind == "term" and term in specs:
        low, chance, weight = specs[term].lower_bound, specs[term].chance, specs[term].weight_name
        meaning = Meaning("term", "validation", "min", low=low, chance=chance, weight=weight, of=term)
        return replace(meaning, is_penalty=is_penalty(term), is_guess=False)
    if kind == "gradient_share" and term in specs:
        return Meaning("share", "train", weight=specs[term].weight_name, of=term, is_guess=False)
    if name in {item.weight_name for item in domain.terms}:
        return Meaning("weight", is_guess=False)
    if name == domain.selection.name:
        return Meaning("metric", "validation", domain.selection.direction, of=name, is_guess=False)
    if is_timing(name):
        return Meaning(is_guess=False)
    return _NAMED.get(name, Meaning("metric", "validation", of=name, is_guess=False))


def _choice(folder: Path, domain: AnyDomain, content: dict[str, Any]) -> tuple[Choice | None, float | None, Any]:
    """What stands for the run, the difference that noise makes between it and the loss's choice, known verdicts."""
    ended = Outcome.read(folder, domain.selection)
    selection = ended.selection if ended else Selection(domain.selection)
    if ended is None and "selection" in content:
        selection.load(content["selection"])
    chosen, by_loss = selection.best or selection.nearest, selection.by_loss
    tie = paired_floor(chosen.items, by_loss.items) if chosen and by_loss and chosen.step != by_loss.step else None
    return chosen, tie, tuple(ended.verdicts if ended else chosen.verdicts if chosen else ())


def _expected_rate(spec: RunSpec, series: tuple[Series, ...]) -> Series | None:
    """The learning rate that the schedule prescribes after the steps that were really taken."""
    found = {item.name: item for item in series}
    rate, skipped = found.get("learning_rate"), found.get("skipped_steps")
    if rate is None or skipped is None or len(rate) != len(skipped):
        return None
    settings = spec.config.optimizer
    if spec.origin is not None and not spec.origin.reset_optimizer and settings.schedule == "constant":
        return None  # it goes on after the steps of another run, which its curves do not hold
    taken = (rate.steps - skipped.values).astype(int)
    factors = [learning_rate_factor(settings, spec.steps, int(step)) for step in taken]
    return replace(rate, values=settings.learning_rate * np.array(factors))
