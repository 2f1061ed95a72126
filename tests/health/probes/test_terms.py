"""Loss terms: every defect at several strengths, and its healthy twin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from distsys.domains.protocol import TermSpec
from distsys.health.causes import ONE_COLUMN
from distsys.health.probes.anchor import scale_anchor
from distsys.health.probes.eigen import eigenvalue_gaps
from distsys.health.probes.terms import gradient_shares, term_bounds, term_gradients
from tests.health.probes.support import Batch, Term, data, found, model_of, terms

USUAL = (TermSpec("mse", "V^2", 0.0), TermSpec("size", "V^2", 0.0))


def energy_db(out: Tensor, floor: float = 1e-16) -> Tensor:
    return 10.0 * torch.log10(out.square().mean() + floor)


@pytest.mark.parametrize("bound", [0.0, -20.0, -60.0])
def test_an_energy_in_decibels_falls_below_its_bound(outside: Path, bound: float) -> None:
    specs = (USUAL[0], TermSpec("size", "dB", bound))
    (verdict,) = found(term_bounds, outside, loss_terms=terms(size=lambda out, batch: energy_db(out)), terms=specs)
    assert (verdict.status, verdict.cause) == ("stop", "a term falls below its bound")
    assert verdict.evidence.startswith("size = -")


def test_a_term_without_a_bound_that_rewards_silence_is_a_warning(outside: Path) -> None:
    specs = (USUAL[0], TermSpec("size", "dB", -float("inf")))
    made = terms(size=lambda out, batch: energy_db(out, floor=0.0))
    (verdict,) = found(term_bounds, outside, loss_terms=made, terms=specs)
    assert (verdict.status, verdict.cause) == ("warn", "a term falls below its bound")


def test_an_energy_with_a_floor_is_healthy(outside: Path) -> None:
    floored = terms(size=lambda out, batch: torch.relu(energy_db(out) + 30.0))
    assert found(term_bounds, outside, loss_terms=floored) == []


def test_outputs_that_no_model_can_have_say_nothing(outside: Path) -> None:
    """A variance negated, a share of a hundred: the term is below its bound there and nowhere else."""

    def forward(model: nn.Module, batch: Batch, *, generator: torch.Generator) -> dict[str, Tensor]:
        out = model(batch["x"])
        return {"out": out, "variance": out.exp(), "share": torch.sigmoid(out), "weight": torch.ones(len(out))}

    def made(outputs: Batch, batch: Batch, *, config: Any) -> dict[str, Tensor]:
        error = (outputs["out"] - batch["y"]).square()
        return {
            "mse": (error / outputs["variance"] * outputs["weight"][:, None]).mean(),
            "size": -outputs["share"].log().mean(),
        }

    assert found(term_bounds, outside, forward=forward, loss_terms=made) == []


@pytest.mark.parametrize("limit", [1e-6, 1e-3])
def test_a_saturated_term_has_no_gradient(outside: Path, limit: float) -> None:
    saturated = terms(size=lambda out, batch: 5.0 + out.abs().clamp(max=limit).sub(limit).mean() * 0.0)
    (verdict,) = found(term_gradients, outside, loss_terms=saturated)
    assert (verdict.status, verdict.cause) == ("warn", "a term has no gradient")
    assert verdict.evidence.startswith("size = 5 V^2, above its floor of 0, has no gradient for 100 % of items")


def test_when_no_term_has_a_gradient_it_stops(outside: Path) -> None:
    clamped = terms(mse=lambda out, batch: 1.0 + 0.0 * out.mean(), size=lambda out, batch: 1.0 + 0.0 * out.mean())
    assert {item.status for item in found(term_gradients, outside, loss_terms=clamped)} == {"stop"}


@pytest.mark.parametrize(
    "harmless",
    [
        lambda out, batch: torch.relu(out.square() - 100.0).mean(),
        lambda out, batch: (out.square() * (torch.arange(len(out))[:, None] % 4 == 0)).mean(),
        lambda out, batch: 0.0 * out.sum(),
    ],
    ids=["a hinge at its floor", "masked for 75 % of items", "switched off"],
)
def test_terms_that_rest_are_healthy(outside: Path, harmless: Term) -> None:
    for probe in (term_bounds, term_gradients, gradient_shares):
        assert found(probe, outside, loss_terms=terms(size=harmless)) == []


def test_a_gradient_that_is_not_finite_stops(outside: Path) -> None:
    broken = terms(size=lambda out, batch: (out - out.detach()).abs().sqrt().mean())
    (verdict,) = found(term_gradients, outside, loss_terms=broken)
    assert (verdict.status, verdict.cause) == ("stop", "not finite")


@pytest.mark.parametrize("unit", [1e4, 1e6])
def test_a_term_in_other_units_takes_all_of_the_gradient(outside: Path, unit: float) -> None:
    mixed = terms(size=lambda out, batch: ((out - 1.0) * unit).square().mean())
    both = ("search.weights.lambda_size=1.0", "final.weights.lambda_size=1.0")
    (verdict,) = found(gradient_shares, outside, *both, loss_terms=mixed)
    assert (verdict.status, verdict.cause) == ("warn", "one term takes all of the gradient")
    assert verdict.evidence.startswith("size has 100")


def test_a_weight_that_is_small_on_purpose_is_healthy(outside: Path) -> None:
    assert found(gradient_shares, outside, "search.weights.lambda_size=1e-9") == []


@pytest.mark.parametrize(("size", "healthy"), [(3000.0, False), (3.0, True)])
def test_a_column_that_takes_all_of_the_gradient(outside: Path, size: float, healthy: bool) -> None:
    columns = data(lambda batch, indices: {**batch, "y": batch["y"] * torch.tensor([[1.0, size, 0.5]])})
    wide = model_of(lambda width: nn.Sequential(nn.Linear(1, width), nn.Tanh(), nn.Linear(width, 3)))
    verdicts = found(gradient_shares, outside, build_data=columns, build_model=wide)
    texts = [item.evidence for item in verdicts if item.cause == ONE_COLUMN.name]
    assert len(texts) == (0 if healthy else 1)
    assert all("column '1' of output 'out' has 100.0000%" in text for text in texts)


def cosine(out: Tensor, batch: Batch) -> Tensor:
    out, wanted = out[:, 0], batch["y"][:, 0]
    return 1.0 - (out @ wanted) / (out.norm() * wanted.norm() + 1e-12)


LOOSE = terms(mse=cosine, size=lambda out, batch: 2.0 * cosine(out, batch))


def test_an_objective_without_an_anchor_of_scale_stops(outside: Path) -> None:
    (verdict,) = found(scale_anchor, outside, loss_terms=LOOSE)
    assert (verdict.status, verdict.cause) == ("stop", "nothing holds the scale of outputs")
    assert "spread goes from" in verdict.evidence


def test_an_anchor_in_one_phase_alone_is_a_warning(outside: Path) -> None:
    anchored = terms(mse=cosine)
    weights = ("search.weights.lambda_size=0.0", "final.weights.lambda_size={to: 0.1}")
    verdicts = found(scale_anchor, outside, *weights, loss_terms=anchored)
    assert [item.status for item in verdicts] == ["warn"]
    assert "search phase" in verdicts[0].evidence


def test_an_anchor_of_any_strength_is_healthy(outside: Path) -> None:
    for probe_terms in (terms(mse=cosine), terms()):
        assert found(scale_anchor, outside, "search.weights.lambda_size=0.01", loss_terms=probe_terms) == []


def test_scale_that_no_constraint_looks_at_is_healthy(outside: Path) -> None:
    assert found(scale_anchor, outside, loss_terms=LOOSE, constraints=()) == []


def spectral(out: Tensor, gap: float) -> Tensor:
    matrix = torch.diag_embed(torch.tensor([1.0, 1.0 + gap, 3.0])) + 1e-12 * out[:, :, None]
    vectors = torch.linalg.eigh(matrix).eigenvectors
    return vectors[..., 0].square().mul(torch.tensor([1.0, 2.0, 3.0])).sum(dim=-1).mean()


@pytest.mark.parametrize("gap", [0.0, 1e-6, 2e-6])
def test_eigenvalues_that_nearly_coincide(outside: Path, gap: float) -> None:
    verdicts = found(eigenvalue_gaps, outside, loss_terms=terms(size=lambda out, batch: spectral(out, gap)))
    assert [item.cause for item in verdicts] == ["nearly equal eigenvalues"]
    assert verdicts[0].status == ("stop" if gap == 0.0 else "warn")


@pytest.mark.parametrize("gap", [1e-3, 1.0])
def test_eigenvalues_apart_are_healthy(outside: Path, gap: float) -> None:
    assert found(eigenvalue_gaps, outside, loss_terms=terms(size=lambda out, batch: spectral(out, gap))) == []


def test_equal_eigenvalues_whose_vectors_nothing_uses_are_healthy(outside: Path) -> None:
    def values(out: Tensor, batch: Batch) -> Tensor:
        return torch.linalg.eigh(torch.eye(3) * (1.0 + out[:, :, None])).eigenvalues.square().mean()

    assert found(eigenvalue_gaps, outside, loss_terms=terms(size=values)) == []
