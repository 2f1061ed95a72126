"""Every promise of a domain tried, one by one, without pytest."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from distsys.domains.registry import get_domain
from distsys.errors import DistsysError
from distsys.testing.promises import PROMISES, Broken
from distsys.testing.subject import Subject


@dataclass(frozen=True)
class Finding:
    """What came of one promise.

    Args:
        promise: its name.
        why: what breaks it; empty where it is kept.
    """

    promise: str
    why: str = ""

    @property
    def kept(self) -> bool:
        return not self.why


def check(subject: Subject) -> Iterator[Finding]:
    """A finding for each promise, as it is found; one that is broken keeps no other from being tried.

    Raises:
        ConfigError: there is no such domain, or its config is wrong.
    """
    get_domain(subject.name)  # before its config is looked for: an unknown name is a domain's
    torch.set_num_threads(subject.config.cpu_threads)
    for promise in PROMISES:
        yield tried(promise, subject)


def tried(promise: Callable[[Subject], None], subject: Subject) -> Finding:
    """What comes of one promise; whatever the domain raises breaks it."""
    try:
        promise(subject)
    except (Broken, DistsysError) as error:
        return Finding(promise.__name__, str(error))
    except Exception as error:
        return Finding(promise.__name__, f"{type(error).__name__}: {error}{_place(error, subject)}")
    return Finding(promise.__name__)


def _place(error: Exception, subject: Subject) -> str:
    """The last line of the domain's own that ``error`` went through."""
    home = Path(inspect.getfile(type(subject.domain))).parent
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).is_relative_to(home)]
    return f" ({Path(frames[-1].filename).relative_to(home)}, line {frames[-1].lineno})" if frames else ""
