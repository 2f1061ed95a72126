"""What every domain must keep, its own or a third party's: one class, run against each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from distsys.config.layers import read_layers
from distsys.config.schema import CoreConfig
from distsys.config.validate import config_type, validate_layers
from distsys.domains.protocol import DataBundle, Domain, to_device
from distsys.domains.registry import get_domain
from distsys.training.evaluate import evaluate


class DomainContract:
    """Subclasses say which domain, which config file and what makes it small."""

    domain_name: str
    overrides: tuple[str, ...] = ()
    preset: str | None = None
    overfit_term: str
    overfit_rate = 3e-3
    overfit_steps = 300
    overfit_share = 0.05
    """Of its first value, what remains of the term."""

    def config_path(self) -> Path:
        return Path(__file__).parents[2] / "configs" / f"{self.domain_name}.yaml"

    @pytest.fixture
    def domain(self, outside: Path) -> Domain:
        return get_domain(self.domain_name)

    @pytest.fixture
    def config(self, domain: Domain) -> CoreConfig:
        layers = read_layers(self.config_path(), preset=self.preset, overrides=self.overrides)
        return validate_layers(layers, config_type(domain.config))

    @pytest.fixture
    def bundle(self, domain: Domain, config: CoreConfig) -> DataBundle:
        return domain.build_data(config, seed=0)

    def build(self, domain: Domain, config: CoreConfig, bundle: DataBundle) -> nn.Module:
        torch.manual_seed(0)
        return domain.build_model(config, bundle.statistics)

    def terms(self, domain: Domain, model: nn.Module, bundle: DataBundle, count: int = 8) -> Mapping[str, Tensor]:
        batch = bundle.train.batch(range(count), progress=0.0)
        return domain.loss_terms(model, batch, generator=torch.Generator().manual_seed(0))

    def test_terms_match_their_declaration(self, domain: Domain, config: CoreConfig, bundle: DataBundle) -> None:
        found = self.terms(domain, self.build(domain, config, bundle), bundle)
        assert list(found) == [item.name for item in domain.terms]
        for item in domain.terms:
            assert found[item.name].shape == ()
            value = float(found[item.name].detach())
            assert math.isfinite(value)
            assert value >= item.lower_bound

    def test_finite_gradients_reach_every_parameter(
        self, domain: Domain, config: CoreConfig, bundle: DataBundle
    ) -> None:
        model = self.build(domain, config, bundle)
        torch.stack(list(self.terms(domain, model, bundle, 64).values())).sum().backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert bool(torch.isfinite(parameter.grad).all()), name
            assert bool(parameter.grad.abs().max() > 0), name

    def test_items_are_a_function_of_their_index(self, domain: Domain, config: CoreConfig, bundle: DataBundle) -> None:
        whole = bundle.train.batch(range(100, 116), progress=0.5)
        parts = [bundle.train.batch([index], progress=0.5) for index in range(100, 116)]
        again = domain.build_data(config, seed=0).train.batch(range(100, 116), progress=0.5)
        other = domain.build_data(config, seed=1).train.batch(range(100, 116), progress=0.5)
        for name, tensor in whole.items():
            assert torch.equal(tensor, again[name]), name
            assert torch.equal(tensor, torch.cat([part[name] for part in parts])), name
        assert any(not torch.equal(whole[name], other[name]) for name in whole)

    def test_sets_are_frozen_and_differ(self, domain: Domain, config: CoreConfig, bundle: DataBundle) -> None:
        again = domain.build_data(config, seed=0)
        assert bundle.validation.digest == again.validation.digest
        assert bundle.test.digest == again.test.digest != bundle.validation.digest

    def test_evaluates_twice_alike_and_leaves_random_states_alone(
        self, domain: Domain, config: CoreConfig, bundle: DataBundle
    ) -> None:
        model = self.build(domain, config, bundle)
        before = torch.get_rng_state()
        first, second = (evaluate(domain, model, bundle.validation, constraints=domain.constraints) for _ in range(2))
        assert str(dict(first.metrics)) == str(dict(second.metrics))
        assert (first.items == second.items).all()
        assert first.metrics[domain.selection.name] == pytest.approx(first.items.mean(), rel=1e-5)
        assert torch.equal(before, torch.get_rng_state())

    def test_overfits_eight_items(self, domain: Domain, config: CoreConfig, bundle: DataBundle) -> None:
        model = self.build(domain, config, bundle)
        optimizer = torch.optim.Adam(model.parameters(), lr=self.overfit_rate)
        batch = bundle.train.batch(range(8), progress=0.0)
        generator = torch.Generator().manual_seed(0)
        losses = []
        for _ in range(self.overfit_steps):
            loss = domain.loss_terms(model, to_device(batch, torch.device("cpu")), generator=generator)[
                self.overfit_term
            ]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        assert losses[-1] < self.overfit_share * losses[0]

    def test_figures_have_titles_and_labelled_axes(
        self, domain: Domain, config: CoreConfig, bundle: DataBundle
    ) -> None:
        with torch.no_grad():
            figures = domain.figures(self.build(domain, config, bundle).eval(), bundle.test)
        assert figures
        for title, figure in figures.items():
            assert title
            assert figure.axes
