"""Why a trial's process died, as far as Ray or the process itself has said, and what that makes of the trial."""

from __future__ import annotations

import re
from pathlib import Path

from distsys.health.verdict import FAILED, Verdict
from distsys.training.stuck import take_stuck

PROCESS_DEATHS = 2
"""Times that a trial's process may die before the trial counts as failed."""
HANGS = 1
"""Times of them that it may have been stuck, each of which costs a minute and more."""
_MEMORY = re.compile(r"NODE_OUT_OF_MEMORY|OutOfMemoryError|low on memory")
_EXIT = re.compile(r"Worker exit (?:type|detail): ([^\n]+?)(?:\. There are some potential root causes|\n|$)")


class Death:
    """One death of the process that carried out the run in ``folder``; ``said`` is Ray's own text."""

    def __init__(self, folder: Path, said: str) -> None:
        self.stuck = take_stuck(folder)
        latest = said.rpartition("Failure # ")[2]
        self.is_for_memory = bool(_MEMORY.search(latest))
        details = [" ".join(text.split()) for text in _EXIT.findall(latest)]
        self._said = "; ".join(details or latest.split("\n")[-2:])[:300].strip()

    def __str__(self) -> str:
        if self.stuck:
            return f"its process was stuck: {self.stuck}"
        if self.is_for_memory:
            return "its process was killed for memory"
        return f"its process died ({self._said})"

    def verdict(self, times: int) -> Verdict:
        """What the trial failed with after as many deaths."""
        if self.stuck:
            cause, fix = "it was stuck", "mend what it waited for; artifacts/stuck.txt in its folder holds the stack"
        elif self.is_for_memory:
            cause, fix = "killed for memory", "lower batch_size or search.concurrent_trials, or give more memory"
        else:
            cause, fix = "its process died", "lower batch_size or search.concurrent_trials if memory ran out"
        return Verdict("stop", f"{FAILED}: {cause}", f"{times} time{'s' if times > 1 else ''}, at last: {self}", 0, fix)
