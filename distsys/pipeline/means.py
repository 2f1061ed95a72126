"""What a command works with: who is told, who tracks, and who carries runs out."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from distsys.config.schema import CoreConfig
from distsys.console import Console
from distsys.storage.place import SHARED, Place
from distsys.training.interrupt import note_signal, pending_signal, saving
from distsys.training.team import Team
from distsys.training.trials import TrialSource, run_alone

if TYPE_CHECKING:
    from distsys.tracking.mlflow_store import MlflowMirror, SyncResult

_SHOWN_ERROR = 160
_LOOK_S = 5.0
"""How often a run that another process carries out is looked at in a store."""
_SYNC_S = 20.0
"""How long the end of a command waits for a slow tracking store."""
_SYNC_INTERRUPTED_S = 0.5
"""The same after a signal: what is missing stands in the spool."""


@dataclass(frozen=True)
class Means:
    """Handed through the phases of an experiment.

    Args:
        team: workers of the final training.
        is_local: everything in this process, without Ray and MLflow.
        examines: whether the doctor looks at an experiment before its search.
        is_verbose: whether all that it looked at is said.
        allows_changed_data: whether an experiment goes on where the data are not those of its trials.
        place: where experiments are kept.
        mirror: what keeps MLflow equal to the run folders, or None.
        untold: what was too damaged to be tracked or refused, once the block of ``tracked`` has ended.
    """

    console: Console
    team: Team = field(default_factory=Team)
    is_local: bool = False
    examines: bool = True
    is_verbose: bool = False
    allows_changed_data: bool = False
    place: Place = SHARED
    mirror: MlflowMirror | None = None
    untold: list[str] = field(default_factory=list)

    def watch(self, folder: Path) -> None:
        """Have a run's folder mirrored from now on, as far as what its process has kept is here."""
        self.place.look(folder, every_s=_LOOK_S)
        if self.mirror is not None:
            self.mirror.watch(folder)

    def arrived(self, folder: Path) -> None:
        """A run has ended: what its process has kept of it is wanted here, but for checkpoints."""
        self.place.fetch(folder, checkpoints=False)
        self.watch(folder)

    @contextmanager
    def held(self, folder: Path) -> Iterator[None]:
        """The only driver of the experiment in ``folder``, wherever that is kept.

        Raises:
            UsageError: another driver holds it.
        """

        def lost(found: str) -> None:
            self.console.say(f"{found}; this one stops")
            note_signal(signal.SIGTERM)

        with self.place.held(folder, lost=lost, say=self.console.say, sending=saving):
            yield

    @contextmanager
    def cluster(self) -> Iterator[None]:
        """Ray for the block, unless everything is local."""
        from distsys.cluster.session import ray_session

        if not self.is_local:
            self.console.stage("starting Ray")
        with nullcontext() if self.is_local else ray_session():
            self.console.clear()
            yield

    def run_trials(self, source: TrialSource, *, limit: int, config: CoreConfig) -> None:
        """Carry out up to ``limit`` runs of ``source``: on Ray as many at a time as fit, locally one after another."""
        if self.is_local:
            run_alone(source, limit=limit, place=self.place)
            return
        from distsys.cluster.trials import run_trials

        with self.cluster():
            run_trials(
                source,
                limit=limit,
                wanted=config.search.concurrent_trials,
                cpus=config.cpu_threads,
                device=config.device,
                say=self.console.say,
                place=self.place,
                gpus=config.search.gpus_per_trial,
                workers=config.search.workers_per_trial,
            )

    @contextmanager
    def tracked(self, root: Path, name: str) -> Iterator[Means]:
        """The same with a mirror to the MLflow experiment ``name``; what it could not send is said at the end."""
        if self.is_local:
            yield self
            return
        from distsys.tracking.mlflow_store import MlflowMirror

        with MlflowMirror(root, name) as mirror:
            try:
                yield replace(self, mirror=mirror)
            finally:
                synced = mirror.close(timeout_s=_SYNC_S if pending_signal() is None else _SYNC_INTERRUPTED_S)
                self.untold.extend([*synced.damaged, *synced.refused])
                _say(synced, self.console)


def _say(synced: SyncResult, console: Console) -> None:
    for note in synced.notes:
        console.say(f"tracking: {note}")
    for found in synced.damaged:
        console.say(f"tracking: {found}; this run is told no further until that is mended")
    if synced.refused:
        (name, text), *others = synced.refused.items()
        more = f" and {len(others)} more" if others else ""
        console.say(f"tracking: the store refuses {name}{more}: {text[:_SHOWN_ERROR]}")
    if synced.error or (synced.pending and not (synced.damaged or synced.refused)):
        console.say(f"tracking: {synced.pending} lines wait in the spool; the same command sends them")
        console.say(f"tracking: {synced.error[:_SHOWN_ERROR]}")
