"""Every promise of a domain tried, one by one, without pytest."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

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
    home = Path(inspect.getfile(type(subject.domain))).parent
    assert subject.config is not None, "a config that is wrong is told before anything is tried"
    for promise in PROMISES:
        try:
            promise(subject)
        except Broken as broken:
            yield Finding(promise.__name__, str(broken))
        except DistsysError as error:
            yield Finding(promise.__name__, str(error))
        except Exception as error:
            yield Finding(promise.__name__, f"{type(error).__name__}: {error}{_place(error, home)}")
        else:
            yield Finding(promise.__name__)


def _place(error: Exception, home: Path) -> str:
    """The last line of the domain's own that ``error`` went through."""
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).is_relative_to(home)]
    return f" ({Path(own[-1].filename).relative_to(home)}, line {own[-1].lineno})" if own else ""
