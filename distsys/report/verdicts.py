"""Verdicts as a person reads them: each cause once with how often it was met, its evidence, and its fix."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from distsys.health.verdict import Verdict, by_cause

_WIDTH = 80


def verdict_text(verdicts: Iterable[Verdict], *, width: int = _WIDTH) -> str:
    """A few lines a cause, the most frequent first."""
    lines = []
    for verdict, count in by_cause(verdicts):
        times = f" ({count} x)" if count > 1 else ""
        lines += _wrapped(f"- {verdict.cause}{times}: {verdict.evidence}", width)
        lines += _wrapped(f"  fix: {verdict.fix}", width) if verdict.fix else []
    return "\n".join(lines)


def health_word(verdicts: Iterable[Verdict]) -> str:
    """``healthy``, or the causes: for a column of a table."""
    return "; ".join(verdict.cause for verdict, _ in by_cause(verdicts)) or "healthy"


def _wrapped(text: str, width: int) -> list[str]:
    kept = [textwrap.wrap(line, width, subsequent_indent="    ") or [""] for line in text.splitlines()]
    return [line for lines in kept for line in lines]
