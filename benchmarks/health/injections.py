"""The registry of injected defects. No check knows of it; each stands in every domain in which it can occur."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from benchmarks.health.case import BUDGETS, DOMAINS, Apply, Case
from distsys.domains.protocol import AnyDomain
from distsys.health.causes import DEFECTS

GROUND, RIS, WORDS, SPEECH = DOMAINS
Put = Callable[[AnyDomain], AnyDomain]


@dataclass(frozen=True)
class Injection:
    """One defect at one strength.

    Args:
        defect: its number in the list of defects, which names the right cause.
        what: what is done, with its strength.
        also: further causes that name it as rightly.
    """

    defect: str
    what: str
    domains: tuple[str, ...]
    apply: Apply | None
    settings: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    earlier: int = 0

    def cases(self) -> Iterator[Case]:
        """One in each domain."""
        names = frozenset((DEFECTS[self.defect].name, *self.also))
        for domain in self.domains:
            label = f"{self.defect} {self.what}"
            yield Case(domain, 0, label, names, self.apply, (*BUDGETS[domain], *self.settings), earlier=self.earlier)


_REGISTRY: list[Injection] = []


def patched(put: Callable[[ExitStack], None]) -> Apply:
    """A defect outside the domain."""

    def apply(stack: ExitStack, domain: AnyDomain) -> AnyDomain:
        put(stack)
        return domain

    return apply


def add(
    defect: str,
    what: str,
    apply: Put | Callable[[ExitStack], None] | None,
    *,
    domains: Sequence[str] = DOMAINS,
    settings: tuple[str, ...] = (),
    also: tuple[str, ...] = (),
    earlier: int = 0,
    is_patch: bool = False,
) -> None:
    """Register one; ``apply`` changes a domain, or patches something else on a stack."""
    found: Apply | None
    if apply is None:
        found = None
    elif is_patch:
        found = patched(apply)  # type: ignore[arg-type]
    else:
        found = lambda stack, domain: apply(domain)  # type: ignore[assignment, arg-type, return-value] # noqa: E731
    _REGISTRY.append(Injection(defect, what, tuple(domains), found, settings, also, earlier))


def injections() -> Iterator[Case]:
    """Every injection in every domain in which it can occur, by defect."""
    from benchmarks.health import in_data, in_loop, in_losses, in_models  # noqa: F401 - they register theirs

    for item in sorted(_REGISTRY, key=lambda item: int(item.defect[1:])):
        yield from item.cases()
