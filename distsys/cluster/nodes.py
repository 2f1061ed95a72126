"""The machines that work is given to, and how much of it fits on them at a time."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from distsys.files import num_cpus

_ROUNDING = 1e-6
"""Of a share of a GPU: Ray counts in ten-thousandths."""


@dataclass(frozen=True)
class Node:
    """One machine.

    Args:
        is_driver: whether the command itself runs on it.
        labels: Ray's, such as ``ray start --labels`` sets.
    """

    name: str
    cpus: int
    gpus: int
    is_driver: bool
    labels: Mapping[str, str] = field(default_factory=dict)

    def has(self, labels: Mapping[str, str]) -> bool:
        """Whether all of ``labels`` are among its own."""
        return labels.items() <= self.labels.items()


def this_machine() -> Node:
    """The machine of this process, as a private cluster on it would see it."""
    import torch

    return Node(platform.node() or "this machine", num_cpus(), torch.cuda.device_count(), is_driver=True)


def cluster_nodes() -> list[Node]:
    """Every node of the cluster that this process is connected to, by address."""
    import ray

    own = ray.get_runtime_context().get_node_id()
    found = []
    for item in ray.nodes():
        if item["Alive"]:
            resources = item["Resources"]
            cpus, gpus = (int(resources.get(name, 0)) for name in ("CPU", "GPU"))
            is_driver = item["NodeID"] == own
            found.append(Node(item["NodeManagerAddress"], cpus, gpus, is_driver, item.get("Labels", {})))
    return sorted(found, key=lambda node: node.name)


def takes_gpu(device: str, nodes: Sequence[Node]) -> bool:
    """Whether a process of ``device`` (``auto``, ``cpu``, ``cuda``) should be given a GPU of these nodes."""
    return device == "cuda" or (device == "auto" and any(node.gpus for node in nodes))


def processes_on(node: Node, *, cpus: int, gpus: float) -> int:
    """Processes of so many CPUs, and so much of one GPU (0 to 1), that fit on ``node`` at a time."""
    fitting = node.cpus // cpus
    return min(fitting, node.gpus * int(1.0 / gpus + _ROUNDING)) if gpus else fitting


def processes_that_fit(nodes: Sequence[Node], *, cpus: int, gpus: float, wanted: int | None = None) -> int:
    """The same over all ``nodes``, at most ``wanted``; none is spread over two of them."""
    fitting = sum(processes_on(node, cpus=cpus, gpus=gpus) for node in nodes)
    return fitting if wanted is None else min(fitting, wanted)
