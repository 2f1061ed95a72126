"""Where the time of training steps goes, by the parts of a step, from one validation to the next."""

from __future__ import annotations

import time

import torch

PREFIX = "time/"
"""Of the metrics: seconds a step, by part."""
SPEED = "steps_per_s"
PARTS = ("data", "forward", "backward", "optimizer", "wait")
"""``wait`` is for a device's or another worker's gradient: the step's one place where the host waits for either."""
_ON_DEVICE = ("forward", "backward", "optimizer")
_TIMED_STEPS = 50
"""Steps after a validation whose parts a CUDA device times itself."""


def is_timing(metric: str) -> bool:
    """Whether a metric says how fast a run is, and not what it learns: no two runs share it."""
    return metric == SPEED or metric.startswith(PREFIX)


class Clock:
    """Told of the end of each part of a step; costs a few microseconds a step and waits for nothing.

    On a CUDA device the host runs ahead: what it computes is timed by events in its stream, which are read at a
    validation, when all are past. ``data`` and ``wait`` are the host's.
    """

    def __init__(self, device: torch.device) -> None:
        self._uses_events = device.type == "cuda"
        self.begin()

    def begin(self) -> None:
        """Forget what was; the first step comes next."""
        self._began = self._last = time.perf_counter()
        self._steps = 0
        self._seconds = dict.fromkeys(PARTS, 0.0)
        self._events: list[tuple[str, torch.cuda.Event]] = []

    def start(self) -> None:
        """A step begins."""
        self._last = time.perf_counter()
        self._steps += 1

    def ended(self, part: str) -> None:
        """A part of the step ends here, and began where the one before ended."""
        now = time.perf_counter()
        self._seconds[part] += now - self._last
        self._last = now
        if self._uses_events and self._steps <= _TIMED_STEPS:
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self._events.append((part, event))

    def readings(self) -> dict[str, float]:
        """Seconds a step of each part, and steps a second with all that stands between steps."""
        steps = max(1, self._steps)
        found = {f"{PREFIX}{part}": seconds / steps for part, seconds in self._seconds.items()}
        for part, seconds in self._device_seconds().items():
            found[f"{PREFIX}{part}"] = seconds / min(steps, _TIMED_STEPS)
        return {**found, SPEED: self._steps / (time.perf_counter() - self._began)}

    def _device_seconds(self) -> dict[str, float]:
        if not self._events:
            return {}
        self._events[-1][1].synchronize()
        found = dict.fromkeys(_ON_DEVICE, 0.0)
        for (_, before), (part, after) in zip(self._events, self._events[1:], strict=False):
            if part in found:
                found[part] += before.elapsed_time(after) / 1e3
        return found
