"""What determines the numbers of one run: a config, a phase, and the share of its budget."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from distsys.config.schema import Band, CoreConfig, PhaseConfig, Schedule
from distsys.config.validate import config_type, dump, fingerprint, numbers_of
from distsys.domains.protocol import AnyDomain
from distsys.domains.registry import get_domain

Phase = Literal["search", "final"]


@dataclass(frozen=True)
class Origin:
    """Another run's checkpoint to start from.

    Args:
        path: its directory, absolute.
        sha256: of its manifest.
        reset_optimizer: whether its moments are left.
    """

    path: str
    step: int
    sha256: str
    reset_optimizer: bool = False

    @property
    def identity(self) -> str:
        """Hash of what decides numbers: wherever the same checkpoint lies, it is the same one."""
        return fingerprint({"sha256": self.sha256, "reset_optimizer": self.reset_optimizer})

    def tags(self) -> dict[str, str]:
        """For trackers."""
        return {f"distsys.origin.{name}": str(value) for name, value in asdict(self).items()}

    def params(self) -> dict[str, str | int | bool]:
        """For trackers, beside the config's."""
        return {f"from.{name}": value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class RunSpec:
    """One run: a trial of the search, a candidate of the handoff, or the final training.

    Args:
        config: the experiment's config with this run's searched values in it.
        phase: which phase's weights and budget apply.
        share: part of that phase's budget, 0 to 1.
        origin: whose weights it starts from; None begins anew.
    """

    config: CoreConfig
    phase: Phase
    share: float = 1.0
    origin: Origin | None = None

    @property
    def steps(self) -> int:
        """Optimiser steps of this run."""
        return max(1, round(self._phase_config.steps * self.share))

    @property
    def eval_every_steps(self) -> int:
        """Steps between validations; a shortened run is still validated three times."""
        whole = self._phase_config.eval_every_steps
        return whole if self.share == 1.0 else min(whole, math.ceil(self.steps / 3))

    @property
    def _phase_config(self) -> PhaseConfig:
        return self.config.search if self.phase == "search" else self.config.final

    def weights(self) -> dict[str, Schedule]:
        """``lambda_<term>`` to the schedule of this phase, relative ones resolved."""
        search = self.config.search.weights
        if self.phase == "search":
            return {name: search[name] for name in search}
        final = self.config.final.weights
        return {name: final[name].resolved(search[name]) for name in final}

    @property
    def is_short(self) -> bool:
        """Whether this is a trial or a candidate, not the final training."""
        return self.phase == "search" or self.share < 1.0

    @property
    def rollbacks(self) -> int:
        """Times that the run may go back to its last healthy checkpoint; a short one ends instead."""
        return 0 if self.is_short else self.config.final.rollbacks

    def bands(self) -> dict[str, Band]:
        """Healthy bands in place of the domain's own; those of the search are for every run that is cut short."""
        return {**self.config.constraints, **(self.config.search.constraints if self.is_short else {})}

    def content(self) -> dict[str, Any]:
        """Plain values that :meth:`from_content` reads back."""
        content = {"config": dump(self.config), "phase": self.phase, "share": self.share}
        return content if self.origin is None else {**content, "origin": asdict(self.origin)}

    @classmethod
    def from_content(cls, content: Mapping[str, Any], domain: AnyDomain | None = None) -> Self:
        """The spec that ``content`` describes, validated again."""
        domain = domain or get_domain(content["config"]["domain"])
        config = config_type(domain.config).model_validate(content["config"])
        origin = Origin(**content["origin"]) if "origin" in content else None
        return cls(config, content["phase"], content["share"], origin)

    @property
    def identity(self) -> str:
        """Hash of everything that decides this run's numbers."""
        origin = {} if self.origin is None else {"origin": self.origin.identity}
        return fingerprint({**self.content(), "config": numbers_of(self.config), **origin})
