"""A trained model where MLflow serves it: its loader module, for ``mlflow.pyfunc.load_model`` and ``mlflow models``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from distsys.interface import ask
from distsys.training.assess import load_model


class Served:
    """Answers requests as ``distsys predict`` does.

    Args:
        checkpoint: folder of one.
    """

    def __init__(self, checkpoint: Path) -> None:
        self._loaded = load_model(checkpoint)

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """What is said of each request, in order.

        Args:
            model_input: a table (pandas) with a row a request and a column a field of it, or mappings; cells that are
                empty are not asked.
            params: fields that all requests share.

        Raises:
            UsageError: a request does not fit.
        """
        return [dict(ask(self._loaded, {**(params or {}), **row}).summary) for row in _rows(model_input)]


def _rows(model_input: Any) -> Iterable[dict[str, Any]]:
    if isinstance(model_input, Mapping):
        model_input = [model_input]
    records = model_input.to_dict(orient="records") if hasattr(model_input, "to_dict") else model_input
    for record in records:
        # what is not equal to itself is NaN, which stands for an empty cell
        yield {name: value for name, value in record.items() if value is not None and value == value}


def _load_pyfunc(data_path: str) -> Served:
    return Served(Path(data_path))
