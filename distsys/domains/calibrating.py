"""What a domain has besides, whose instrument can be learned from recordings of it."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel

from distsys.domains.protocol import Prediction


@runtime_checkable
class Calibrating(Protocol):
    """An optional part of :class:`~distsys.domains.protocol.Domain`, behind ``distsys calibrate``."""

    calibration: type[BaseModel]
    """What is asked: its fields become options of the command."""

    def calibrate(self, config: Any, request: Any) -> Prediction:
        """What was learned of the instrument of ``config``, as a file of one form.

        Raises:
            DataError: a recording does not fit the config.
        """
        ...
