"""Verdicts as a person reads them: each cause once with how often it was met, its evidence, and its fix."""

from __future__ import annotations

from collections.abc import Iterable

from distsys.health.verdict import Verdict, by_cause


def verdict_text(verdicts: Iterable[Verdict]) -> str:
    """Two lines a cause, the most frequent first; whoever prints them wraps them."""
    lines = []
    for verdict, count in by_cause(verdicts):
        times = f" ({count} x)" if count > 1 else ""
        lines.append(f"- {verdict.cause}{times}: {verdict.evidence}")
        if verdict.fix:
            lines.append(f"  fix: {verdict.fix}")
    return "\n".join(lines)


def health_word(verdicts: Iterable[Verdict]) -> str:
    """``healthy``, or the causes: for a column of a table."""
    return "; ".join(verdict.cause for verdict, _ in by_cause(verdicts)) or "healthy"
