"""Asking a running cluster: whatever Ray has against it is one message."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from distsys.cluster.nodes import Node, cluster_nodes
from distsys.cluster.session import ray_session
from distsys.errors import DistsysError, RunFailed

_PATIENCE_S = 5.0
_LONGEST = 300
"""Characters of Ray's own words that are passed on."""
_PROOF = (
    "export RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH=FILE with the cluster's token; "
    "'distsys cluster status' names that of a cluster of 'distsys cluster up'"
)
_WAY = "'distsys cluster up' starts one here; RAY_ADDRESS or --address names another"


@contextmanager
def ray_answers(address: str) -> Iterator[None]:
    """Within, an error of Ray's becomes RunFailed that says what ``address`` did not do."""
    try:
        yield
    except DistsysError:
        raise
    except Exception as error:
        raise _plain(address, error) from error


def _plain(address: str, error: Exception) -> RunFailed:
    said = " ".join(str(error).split())[:_LONGEST]
    if type(error).__name__ == "AuthenticationError" or "Unauthenticated" in said or "token" in said.lower():
        return RunFailed(f"the Ray cluster at {address} refuses us", expected="its token", fix=_PROOF)
    return RunFailed(f"the Ray cluster at {address} does not answer: {said}", expected="a running cluster", fix=_WAY)


def asked_nodes() -> list[Node]:
    """The nodes of the cluster that ``RAY_ADDRESS`` names.

    Raises:
        RunFailed: it cannot be reached, or refuses us.
    """
    address = os.environ["RAY_ADDRESS"]
    with ray_answers(address):
        require_listener(address)
        with ray_session():
            return cluster_nodes()


def require_listener(address: str) -> None:
    """Raise OSError where nobody listens at ``address``: Ray would wait for a minute, and say so line by line."""
    place = urlsplit(address if "://" in address else f"//{address}")
    if place.hostname and place.port:
        socket.create_connection((place.hostname, place.port), timeout=_PATIENCE_S).close()
