"""Eigendecompositions whose gradient is about to be NaN (D18)."""

from __future__ import annotations

from collections.abc import Sequence

from distsys.health.causes import NEAR_EIGENVALUES
from distsys.health.check import View
from distsys.health.memory import Remembering
from distsys.health.verdict import Verdict


class NearEigenvalues(Remembering):
    """Eigenvalues so near that eigenvectors multiply the gradient.

    Near eigenvalues alone are healthy where the loss does not tell their vectors apart (a projector on both): then
    the gradient is not multiplied.

    Args:
        gain: what the decomposition multiplies the gradient by.
        gap: relative difference of eigenvalues, above which nothing is said.
        looks: in a row.
    """

    name = "near_eigenvalues"

    def __init__(self, *, gain: float = 1e3, gap: float = 1e-3, looks: float = 2) -> None:
        super().__init__()
        self._gain, self._gap, self._looks = gain, gap, looks

    def look(self, view: View) -> Sequence[Verdict]:
        eigen = view.eigen
        is_bad = eigen is not None and eigen.gap < self._gap and not eigen.gain < self._gain
        self.bad.update(["any"] if is_bad else [], step=view.step)
        if eigen is None or self.bad.length("any") < self._looks:
            return []
        evidence = (
            f"smallest relative eigengap {eigen.gap:.2g}; the decomposition multiplies gradients by {eigen.gain:.2g}"
        )
        return [NEAR_EIGENVALUES.verdict("warn", evidence, step=self.bad.onset("any"))]
