"""Eigendecompositions: near eigenvalues before they are NaN, and what a NaN is traced to (D18)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from distsys.errors import StoppedByHealth
from distsys.health.causes import NEAR_EIGENVALUES
from tests.health.support import Altered, found, judged, make_run, verdicts_of, with_output


def matrices(model: Any, x: Tensor, *, gap: float) -> Tensor:
    """Symmetric 3 x 3 of items, two of whose eigenvalues differ by ``gap``, with the output on the diagonal's side."""
    out = model(x)[:, 0]
    fixed = torch.diag(torch.tensor([1.0, 1.0 + gap, 3.0]))
    tilt = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    return fixed + 1e-9 * out[:, None, None] * tilt


def with_eigenvectors(gap: float, *, pick: int = 0) -> Altered:
    """A loss that tells the eigenvectors of near eigenvalues apart."""

    def forward(original: Any, model: Any, batch: Any, *, generator: Any) -> dict[str, Tensor]:
        return {"out": model(batch["x"]), "matrix": matrices(model, batch["x"], gap=gap)}

    def loss_terms(original: Any, outputs: Any, batch: Any, *, config: Any) -> Any:
        _, vectors = torch.linalg.eigh(outputs["matrix"])
        return {**original(outputs, batch, config=config), "size": vectors[:, 1, pick].mean()}

    return Altered(forward=forward, loss_terms=loss_terms)


@pytest.mark.parametrize("gap", [1e-6, 1e-5, 1e-4])
def test_near_eigenvalues_are_named_before_they_are_nan(outside: Path, tmp_path: Path, gap: float) -> None:
    verdicts = verdicts_of(outside, tmp_path, "final.steps=60", domain=with_eigenvectors(gap))
    assert ("warn", NEAR_EIGENVALUES.name) in found(verdicts)
    verdict = next(item for item in verdicts if item.cause == NEAR_EIGENVALUES.name)
    assert verdict.onset_step == 1
    assert "smallest relative eigengap" in verdict.evidence


@pytest.mark.parametrize(("gap", "pick"), [(0.3, 0), (1e-5, 2)])
def test_far_eigenvalues_and_vectors_apart_from_the_near_ones_are_healthy(
    outside: Path, tmp_path: Path, gap: float, pick: int
) -> None:
    verdicts = verdicts_of(outside, tmp_path, "final.steps=60", domain=with_eigenvectors(gap, pick=pick))
    assert NEAR_EIGENVALUES.name not in [item.cause for item in verdicts]


def test_a_nan_through_an_eigendecomposition_is_traced_to_it(outside: Path, tmp_path: Path) -> None:
    def loss_terms(original: Any, outputs: Any, batch: Any, *, config: Any) -> Any:
        flat = outputs["out"][:, :, None] * torch.eye(3)
        _, vectors = torch.linalg.eigh(flat)
        return {**original(outputs, batch, config=config), "size": vectors.square()[:, 0, 0].mean()}

    with pytest.raises(StoppedByHealth) as caught:
        judged(make_run(outside, tmp_path, domain=Altered(loss_terms=loss_terms)))
    assert "gradient of not finite: size" in str(caught.value)
    assert "smallest relative eigengap 0" in str(caught.value)
    assert found(list(caught.value.verdicts)) == [("stop", NEAR_EIGENVALUES.name)]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_nan_is_traced_to_the_innermost_module(outside: Path, tmp_path: Path, bad: float) -> None:
    def forward(model: Any, x: Tensor) -> Tensor:
        if model.training:
            with torch.no_grad():
                model[3].weight[0, 3] = bad
        return model(x)

    with pytest.raises(StoppedByHealth) as caught:
        judged(make_run(outside, tmp_path, domain=with_output(forward)))
    assert "innermost module with a non-finite output: 3" in str(caught.value)
    assert found(list(caught.value.verdicts)) == [("stop", "not finite")]


def test_without_health_the_message_is_as_it_was(outside: Path, tmp_path: Path) -> None:
    domain = with_output(lambda model, x: model(x) * float("nan"))
    with pytest.raises(StoppedByHealth) as caught:
        judged(make_run(outside, tmp_path, "health.on=false", domain=domain))
    assert "terms not finite: mse, size" in str(caught.value)
    assert "innermost" not in str(caught.value)
    assert caught.value.verdicts == ()
