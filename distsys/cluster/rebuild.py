"""A study that agrees with its trials' folders, rebuilt from them where it does not."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from distsys.cluster.rows import TrialOnDisk
from distsys.cluster.study import Study
from distsys.errors import DamagedFile
from distsys.files import set_aside


def open_study(path: Path, *, on_disk: Sequence[TrialOnDisk], say: Callable[[str], None], **settings: Any) -> Study:
    """The study in ``path`` as :class:`Study` opens it.

    Args:
        on_disk: what the trials' folders tell; whatever a damaged study says, they are right.
        say: told where it had to be rebuilt.
        settings: of the study.
    """
    try:
        return Study(path, on_disk=on_disk, **settings)
    except DamagedFile as error:
        _rebuild(path.with_name(f".{path.name}.rebuilt"), on_disk, settings)
        aside = f"; kept as {set_aside(path).name}" if path.exists() else ""
        os.replace(path.with_name(f".{path.name}.rebuilt"), path)
        ended = sum(item.has_ended for item in on_disk)
        say(f"search: {error.found}{aside}, rebuilt from the {ended} ended trials on disk")
    return Study(path, on_disk=on_disk, **settings)


def _rebuild(path: Path, on_disk: Sequence[TrialOnDisk], settings: dict[str, Any]) -> None:
    """Write the study anew, beside the old one: a crash leaves that one to be rebuilt again."""
    path.unlink(missing_ok=True)
    study = Study(path, **settings)
    for item in on_disk:
        study.take_over(item)
