"""How much of an experiment fits at a time on this machine, or on the cluster that it will join."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from distsys.cluster.nodes import Node, processes_on, processes_that_fit, takes_gpu, this_machine
from distsys.config.schema import CoreConfig
from distsys.errors import ConfigError
from distsys.training.team import Team


@dataclass(frozen=True)
class Capacity:
    """Where runs go.

    Args:
        together: trials at a time.
        gpus_per_trial: share of a GPU that each trial is given; 0 where none is used.
        is_cluster: whether the nodes are those of a running cluster.
        num_workers: of the final training.
    """

    nodes: Sequence[Node]
    together: int
    cpus_per_trial: int
    gpus_per_trial: float
    is_cluster: bool
    num_workers: int

    def rounds(self, runs: int) -> float:
        """By how much so many runs take longer than one."""
        return max(1.0, runs / self.together)

    def on(self, node: Node) -> int:
        """Trials at a time on ``node``, at most."""
        return min(self.together, processes_on(node, cpus=self.cpus_per_trial, gpus=self.gpus_per_trial))


def capacity_for(config: CoreConfig, *, team: Team, is_local: bool) -> Capacity:
    """What fits; Ray is asked only where a cluster is named by ``RAY_ADDRESS``.

    Raises:
        ConfigError: not one trial fits, or not the fewest workers.
        RunFailed: the cluster cannot be reached.
    """
    from distsys.cluster.asking import asked_nodes
    from distsys.cluster.session import joins_cluster

    cpus = config.cpu_threads
    if is_local:
        return Capacity([this_machine()], 1, cpus, 0.0, False, 1)
    is_cluster = joins_cluster()
    nodes = asked_nodes() if is_cluster else [this_machine()]
    use_gpu = takes_gpu(config.device, nodes)
    gpus = config.search.gpus_per_trial if use_gpu else 0.0
    together = _trials_together(config, nodes, gpus)
    labelled = [node for node in nodes if node.has(team.labels)]
    workers = processes_that_fit(labelled, cpus=1, gpus=float(use_gpu))
    if team.labels and not workers:
        raise _no_room(f"workers on nodes labelled {team.labels_text}", labelled, fix="another --label, or such nodes")
    if team.fewest > max(1, workers):
        found = f"{team.fewest} workers of {_each(1, float(use_gpu))} each"
        raise _no_room(found, labelled, fix=f"--workers {max(1, workers)}, or more nodes")
    num_workers = min(team.most, max(1, workers))
    return Capacity(nodes, min(together, config.search.trials), cpus, gpus, is_cluster, num_workers)


def _trials_together(config: CoreConfig, nodes: Sequence[Node], gpus: float) -> int:
    search, cpus = config.search, config.cpu_threads
    together = processes_that_fit(nodes, cpus=cpus, gpus=gpus) // search.workers_per_trial
    if together < 1 and search.workers_per_trial > 1:
        found = f"a trial of {search.workers_per_trial} workers of {_each(cpus, gpus)} each"
        raise _no_room(found, nodes, fix="lower search.workers_per_trial or cpu_threads, or more nodes")
    if together < 1:
        raise _no_room(f"a trial of {_each(cpus, gpus)}", nodes, fix="lower cpu_threads, or set device: cpu")
    return together if search.concurrent_trials is None else min(together, search.concurrent_trials)


def _each(cpus: int, gpus: float) -> str:
    share = "a GPU" if gpus == 1.0 else f"{gpus:g} of a GPU"
    return f"{cpus} CPU{'s' if cpus > 1 else ''}{f' and {share}' if gpus else ''}"


def _no_room(found: str, nodes: Sequence[Node], *, fix: str) -> ConfigError:
    there = "; ".join(f"{node.name}: {node.cpus} CPUs, {node.gpus} GPUs" for node in nodes) or "no node"
    return ConfigError(f"no room for {found} ({there})", expected="each to fit on one node", fix=fix)
