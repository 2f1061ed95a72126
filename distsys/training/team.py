"""How many workers a training may have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from distsys.errors import ConfigError


@dataclass(frozen=True)
class Team:
    """The workers of a training; where ``fewest`` is below ``most`` they become fewer and more with the cluster.

    Args:
        labels: what nodes must be labelled with to be given one.
    """

    fewest: int = 1
    most: int = 1
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_elastic(self) -> bool:
        return self.fewest < self.most

    @property
    def labels_text(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.labels.items())

    def __str__(self) -> str:
        return f"{self.fewest} to {self.most}" if self.is_elastic else str(self.most)

    def require_equal_shares(self, batch_size: int, *, parts: int = 1) -> None:
        """Raises ConfigError where ``batch_size`` items cannot be shared evenly, in as many parts a worker."""
        whole = parts * math.lcm(*range(self.fewest, self.most + 1))
        if batch_size % whole:
            in_parts = f", each in {parts} parts" if parts > 1 else ""
            raise ConfigError(
                f"batch_size = {batch_size} over {self} workers{in_parts}",
                expected="a batch size that the number of workers divides, whichever it is",
                fix=f"batch_size: {(batch_size // whole + 1) * whole}, or another --workers",
            )
