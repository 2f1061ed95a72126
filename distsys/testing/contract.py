"""The promises of a domain as a pytest class: subclass it, name the domain, and say what makes it small."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import pytest

from distsys.testing.promises import PROMISES
from distsys.testing.subject import Overfit, Subject


class DomainContract:
    """One test a promise.

    ::

        class TestSine(DomainContract):
            domain_name = "sine"
            config_name = "sine.yaml"
            overrides = ("model.width=8",)
    """

    domain_name: ClassVar[str]
    config_name: ClassVar[str] = ""
    preset: ClassVar[str | None] = None
    overrides: ClassVar[tuple[str, ...]] = ()
    overfit: ClassVar[Overfit] = Overfit()

    @pytest.fixture(scope="class")
    @classmethod
    def subject(cls) -> Subject:
        """The domain under test, shared by the tests of the class."""
        return Subject(cls.domain_name, cls.config_name, cls.preset, cls.overrides, cls.overfit)

    @pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
    def test_promise(self, promise: Callable[[Subject], None], subject: Subject) -> None:
        promise(subject)
