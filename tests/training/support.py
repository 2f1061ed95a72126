"""Runs of the outside domain, in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from distsys.config.layers import read_layers
from distsys.config.validate import config_type, validate_layers
from distsys.domains.protocol import AnyDomain
from distsys.domains.registry import get_domain
from distsys.tracking.spool import RunRecord, Spool
from distsys.training.context import FitContext, keep_quiet
from distsys.training.evaluate import Validation
from distsys.training.spec import Phase, RunSpec
from distsys.training.workers import Workers, pick_device


def make_spec(outside: Path, *overrides: str, phase: Phase = "final", share: float = 1.0) -> tuple[RunSpec, AnyDomain]:
    """A run of ``sine`` with some config values replaced."""
    layers = read_layers(outside / "sine.yaml", preset=None, overrides=overrides)
    domain = get_domain("sine")
    return RunSpec(validate_layers(layers, config_type(domain.config)), phase, share), domain


def make_context(
    outside: Path,
    folder: Path,
    *overrides: str,
    phase: Phase = "final",
    report: Callable[[Validation], None] = keep_quiet,
    domain: AnyDomain | None = None,
) -> FitContext:
    """What ``fit`` needs for such a run."""
    spec, found = make_spec(outside, *overrides, phase=phase)
    spool = Spool.open(folder, RunRecord("train", "test", None, {}, {}))
    return FitContext(spec, domain or found, folder, Workers(pick_device("cpu")), spool, report)
