"""The contract, for both variants and both kinds of heads."""

from __future__ import annotations

from distsys.testing.contract import DomainContract
from distsys.testing.subject import Overfit

SMALL = ("model.width=64", "data.num_synthetic=600", "data.held_out_rows=60")


class TestAutoencoder(DomainContract):
    domain_name = "semantic_eq"
    overrides = SMALL
    overfit = Overfit("response", share=0.05)


class TestVariational(DomainContract):
    domain_name = "semantic_eq"
    overrides = (*SMALL, "model.variant=vae")
    overfit = Overfit("params", rate=5e-3, share=0.05)


class TestSeedHeads(DomainContract):
    domain_name = "semantic_eq"
    overrides = (*SMALL, "model.heads=seed", "model.width=128")  # narrow ones lose items to heads that died
    overfit = Overfit("response", share=0.05)
