"""``evaluation.json``: which checkpoint an experiment or a run took, and what its test set said of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from distsys.files import read_json
from distsys.health.verdict import Verdict

FILE = "evaluation.json"


@dataclass(frozen=True)
class Evaluated:
    """What of an evaluation others ask for.

    Args:
        checkpoint: the directory that was evaluated, where it lay then.
        verdicts: what is wrong with it.
    """

    checkpoint: Path
    verdicts: tuple[Verdict, ...]

    @property
    def run(self) -> Path:
        """The folder of the run that the checkpoint is of."""
        return self.checkpoint.parents[1]

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """That in ``folder``, or None where nothing was evaluated.

        Raises:
            DamagedFile: it is torn.
        """
        path = folder / FILE
        if not path.is_file():
            return None
        return read_json(path, cls._parsed, fix="repeat the command that made it ('run', 'final' or 'train')")

    @classmethod
    def _parsed(cls, content: Mapping[str, Any]) -> Self:
        return cls(Path(content["checkpoint"]), Verdict.read_all(content["verdicts"]))
