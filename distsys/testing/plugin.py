"""A pytest plug-in: ``pytest_plugins = ["distsys.testing.plugin"]`` in a ``conftest.py``.

The fixture ``watched`` watches every loop that a test runs, and fails the test where one ends with a ``stop``::

    def test_training(watched):
        train(epochs=1)

Nothing heavy is loaded before a test asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from distsys.health.watch import Report


@pytest.fixture
def watched() -> Iterator[Report]:
    """The report of a watch over the test; complete only after it, and then the test fails on a ``stop``."""
    from distsys.health import watch

    watching = watch(quiet=True)
    yield watching.report
    report = watching.close()
    if report.status == "stop":
        pytest.fail(str(report), pytrace=False)
