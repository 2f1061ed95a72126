"""Connecting to Ray: the cluster of a job when there is one, else a private one that ends with us."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from distsys.files import num_cpus

_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # ray.train.report() blocks until the controller polls: 1.9 s at the default of 2 s. Polling costs time of its own.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # The study is the truth; Tune's own snapshots are never read.
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "PYTHONWARNINGS": "ignore",
}

_ROUNDING = 1e-6
"""Of a share of a GPU: Ray counts in ten-thousandths."""


@contextmanager
def ray_session() -> Iterator[None]:
    """Ray for the duration of the block.

    Inside a Ray job (``RAY_ADDRESS`` is set) the running cluster is joined and left running; otherwise a
    cluster is started on this machine's loopback and stopped at the end.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():
        yield
        return
    joined = joins_cluster()
    place: dict[str, Any] = (
        {}
        if joined
        else {
            "address": "local",
            "num_cpus": num_cpus(),
            "include_dashboard": False,
            "_node_ip_address": "127.0.0.1",
        }
    )
    ray.init(log_to_driver=False, logging_level=logging.ERROR, configure_logging=True, **place)
    logging.getLogger("ray").setLevel(logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()


def joins_cluster() -> bool:
    """Whether a running cluster will be joined, whose machines may have what this one has not."""
    return "RAY_ADDRESS" in os.environ


def wants_gpu(device: str) -> bool:
    """Whether a process of ``device`` (``auto``, ``cpu``, ``cuda``) should be given one of the cluster's GPUs."""
    import ray

    return device == "cuda" or (device == "auto" and ray.cluster_resources().get("GPU", 0) >= 1)


def concurrent_trials(wanted: int | None, needs: Mapping[str, float]) -> int:
    """Trials that fit on the cluster at a time, at most ``wanted``; 0 when none fits.

    Args:
        needs: of one trial, by Ray's name; it lies on one GPU, however little of it it takes.
    """
    import ray

    resources = ray.cluster_resources()
    fitting = int(resources.get("CPU", 0) / needs["CPU"])
    if needs["GPU"]:
        fitting = min(fitting, int(resources.get("GPU", 0)) * int(1.0 / needs["GPU"] + _ROUNDING))
    return fitting if wanted is None else min(fitting, wanted)
