"""Parameters that training cannot move, because no gradient reaches them, and gradients that nobody cleared (D6)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import nn

from distsys.health.causes import DEAD_PARAMETERS, STALE_GRADIENTS
from distsys.health.check import View
from distsys.health.memory import Remembering
from distsys.health.verdict import Status, Verdict

_SHOWN = 3


class GradientState(Remembering):
    """A parameter without gradient, or with one of exactly 0, at ``looks`` looks in a row.

    ``stop`` where such parameters are over ``most`` of all; or where those that the forward pass does use hold over
    ``used`` of all values, or are a whole part of the model with over ``part`` of them. Left alone are frozen
    parameters, those used where gradients are switched off on purpose, and those that only terms of weight zero reach.

    Args:
        looks: in a row, counted from the first step.
        most: share of parameters, or of their values.
        used, part: share of the model's values.
    """

    name = "gradient_state"

    def __init__(self, *, looks: float = 12, most: float = 0.5, used: float = 0.1, part: float = 0.02) -> None:
        super().__init__()
        self._looks, self._most, self._used, self._part = looks, most, used, part

    def look(self, view: View) -> Sequence[Verdict]:
        silent = {name for name, norm in view.gradients.items() if norm is None or norm == 0.0}
        self.bad.update(silent, step=view.step)
        dead = self._unexplained(view, self.bad.lasting(self._looks))
        if not dead:
            return []
        sizes = {name: item.numel() for name, item in view.model.named_parameters() if name in view.gradients}
        of_values = _size(dead, sizes) / sum(sizes.values())
        share = max(len(dead) / len(sizes), of_values)
        cut = self._cut_parts(view, dead, sizes)
        in_use = [name for name in dead if view.ran.get(id(_owners(view.model)[name]))]
        of_used = _size(in_use, sizes) / sum(sizes.values())
        status: Status = "stop" if share > self._most or of_used > self._used or cut else "warn"
        where = f"all of {', '.join(sorted(cut)[:_SHOWN])}" if cut else ", ".join(sorted(dead)[:_SHOWN])
        evidence = (
            f"{len(dead)} of {len(sizes)} parameters ({of_values:.0%} of all values) had "
            f"no gradient at {min(self.bad.length(name) for name in dead)} looks in a row: {where}"
        )
        return [DEAD_PARAMETERS.verdict(status, evidence, step=min(self.bad.onset(name) for name in dead))]

    def _unexplained(self, view: View, names: Iterable[str]) -> set[str]:
        owners = _owners(view.model)
        used_without = {name for name in names if view.ran.get(id(owners[name])) is False}
        return set(names) - used_without - view.unweighted

    def _cut_parts(self, view: View, dead: set[str], sizes: dict[str, int]) -> set[str]:
        """Parts of the model that take part in the forward pass and are dead as a whole."""
        owners = _owners(view.model)
        parts: dict[str, list[str]] = {}
        for name in sizes:
            parts.setdefault(name.split(".")[0], []).append(name)
        return {
            part
            for part, names in parts.items()
            if len(parts) > 1
            and dead.issuperset(names)
            and any(view.ran.get(id(owners[name])) for name in names)
            and _size(names, sizes) > self._part * sum(sizes.values())
        }


class StaleGradients(Remembering):
    """Parameters that still hold the gradient of an earlier step when the backward pass begins, ``looks`` in a row."""

    name = "stale_gradients"

    def __init__(self, *, looks: float = 3) -> None:
        super().__init__()
        self._looks = looks

    def look(self, view: View) -> Sequence[Verdict]:
        stale = view.update.stale
        self.bad.update(["any"] if stale else [], step=view.step)
        if self.bad.length("any") < self._looks:
            return []
        evidence = f"{len(stale)} parameters still held a gradient of an earlier step: {', '.join(stale[:_SHOWN])}"
        return [STALE_GRADIENTS.verdict("stop", evidence, step=self.bad.onset("any"))]


def _size(names: Iterable[str], sizes: dict[str, int]) -> int:
    return sum(sizes[name] for name in names)


def _owners(model: nn.Module) -> dict[str, nn.Module]:
    """The module that each parameter belongs to."""
    return {name: model.get_submodule(name.rpartition(".")[0]) for name, _ in model.named_parameters()}
