"""The contract, for both variants and both kinds of heads."""

from __future__ import annotations

from tests.domains.contract import DomainContract

SMALL = ("model.width=64", "data.num_synthetic=600", "data.held_out_rows=60")


class TestAutoencoder(DomainContract):
    domain_name = "semantic_eq"
    overrides = SMALL
    overfit_term = "response"


class TestVariational(DomainContract):
    domain_name = "semantic_eq"
    overrides = (*SMALL, "model.variant=vae")
    overfit_term = "params"
    overfit_rate = 5e-3


class TestSeedHeads(DomainContract):
    domain_name = "semantic_eq"
    overrides = (*SMALL, "model.heads=seed")
    overfit_term = "response"
