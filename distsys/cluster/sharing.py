"""Data that the driver has built, in Ray's object store: read once a node instead of once a process.

A domain whose data cannot be pickled breaks a promise (``distsys check-domain``): each of its processes builds anew.
"""

from __future__ import annotations

import ray
from ray import cloudpickle

from distsys.config.reuse import Kept, adopt, kept


class Shared:
    """What this process has kept, for those of the cluster. Arrays are not copied on a node, tensors are."""

    def __init__(self) -> None:
        self._reference = ray.put(tuple(entry for entry in kept() if _can_travel(entry)))

    def take_over(self) -> None:
        """Use it in this process from now on."""
        adopt(ray.get(self._reference))


def _can_travel(entry: Kept) -> bool:
    try:
        cloudpickle.dumps(entry)
    except Exception:
        return False
    return True
