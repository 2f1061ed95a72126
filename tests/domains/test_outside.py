"""The contract holds for a domain that lives outside the project."""

from __future__ import annotations

from pathlib import Path

import pytest

from distsys.testing.contract import DomainContract
from distsys.testing.subject import Overfit, Subject


class TestSine(DomainContract):
    domain_name = "sine"
    overfit = Overfit("mse", rate=2e-2, share=0.05)

    @pytest.fixture(scope="class")
    @classmethod
    def subject(cls, outside: Path) -> Subject:
        return Subject(cls.domain_name, str(outside / "sine.yaml"), overfit=cls.overfit)
