"""The contract holds for a domain that lives outside the project."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.domains.contract import DomainContract


class TestSine(DomainContract):
    domain_name = "sine"
    overfit_term = "mse"
    overfit_rate = 2e-2

    @pytest.fixture(autouse=True)
    def _place(self, outside: Path) -> None:
        self._folder = outside

    def config_path(self) -> Path:
        return self._folder / "sine.yaml"
