"""``distsys doctor``: an experiment examined before it is run, and the verdicts kept beside it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from distsys import __version__
from distsys.config.schema import CoreConfig
from distsys.console import Console, wrapped
from distsys.domains.protocol import AnyDomain
from distsys.errors import StoppedByHealth
from distsys.files import read_json, read_or_set_aside, write_json
from distsys.health.judging import as_accepted
from distsys.health.probes.examine import Finding, examine
from distsys.health.verdict import Status, Verdict
from distsys.pipeline.experiment import Experiment
from distsys.pipeline.means import Means
from distsys.pipeline.patient import patient_of
from distsys.training.data import built_data, set_digests
from distsys.training.stamp import code_stamp

FILE = "doctor.json"


@dataclass(frozen=True)
class Examination:
    """Every probe's verdicts, and how long the probes took."""

    findings: tuple[Finding, ...]

    @property
    def verdicts(self) -> list[Verdict]:
        return [verdict for finding in self.findings for verdict in finding.verdicts]

    def of(self, status: Status) -> list[Verdict]:
        """Verdicts of one status."""
        return [verdict for verdict in self.verdicts if verdict.status == status]

    @property
    def seconds(self) -> float:
        return sum(finding.seconds for finding in self.findings)

    def content(self) -> dict[str, Any]:
        """Plain values, for a file and ``--json``."""
        rows = [
            {
                "probe": item.probe,
                "status": item.status,
                "seconds": round(item.seconds, 2),
                "failure": item.failure,
                "verdicts": [verdict.content() for verdict in item.verdicts],
            }
            for item in self.findings
        ]
        return {"version": __version__, "seconds": round(self.seconds, 1), "probes": rows}

    @classmethod
    def read(cls, content: Any) -> Examination:
        """What :meth:`content` gave."""
        return cls(
            tuple(
                Finding(row["probe"], Verdict.read_all(row["verdicts"]), row["seconds"], row["failure"])
                for row in content["probes"]
            )
        )

    def line(self) -> str:
        """One line of what was found."""
        counts = [f"{len(self.of(status))} {status}" for status in ("stop", "warn") if self.of(status)]
        unasked = [item for item in self.findings if item.failure]
        counts += [f"{len(unasked)} could not be asked"] if unasked else []
        return f"doctor: {len(self.findings)} probes, {', '.join(counts) or 'nothing found'}, {self.seconds:.0f} s"


def diagnosed(domain: AnyDomain, config: CoreConfig) -> Examination:
    """Every probe on an experiment; random states and threads are put back."""
    from distsys.cluster.session import joins_cluster
    from distsys.training.workers import pick_device

    device = pick_device("auto" if joins_cluster() else config.device)
    with _as_before(config.cpu_threads):
        found = examine(patient_of(domain, config, device))
        accepted = config.health.accept
        return Examination(tuple(replace(item, verdicts=tuple(as_accepted(item.verdicts, accepted))) for item in found))


def examined(experiment: Experiment, means: Means) -> None:
    """Examine an experiment before its search, once: the result stands in its folder.

    Raises:
        StoppedByHealth: going on would be pointless.
    """
    if not means.examines:
        return
    found = _known(experiment, means.console)
    if found is None:
        found = diagnosed(experiment.domain, experiment.config)
        write_json(experiment.folder / FILE, {**found.content(), "of": _subject(experiment)})
    means.console.say(table(found) if means.is_verbose else found.line())
    for verdict in found.of("warn"):
        means.console.say(f"doctor: warning: {verdict}")
    require_well(found)


def require_well(found: Examination) -> None:
    """Raise StoppedByHealth where a verdict is ``stop``."""
    stops = found.of("stop")
    if not stops:
        return
    lines = [f"the doctor found {len(stops)} cause{'' if len(stops) == 1 else 's'} to stop before the search"]
    lines += [f"  {verdict.cause}: {verdict.evidence}" for verdict in stops]
    fixes = dict.fromkeys(verdict.fix for verdict in stops if verdict.fix)
    causes = ", ".join(dict.fromkeys(verdict.cause for verdict in stops))
    raise StoppedByHealth(
        "\n".join(lines),
        fix=f"{'; '.join(fixes)}; where it is meant: --set 'health.accept=[{causes}]'",
        verdicts=found.verdicts,
    )


def table(found: Examination) -> str:
    """A line a probe, verdicts below it, at 80 columns."""
    lines: list[str] = []
    for item in found.findings:
        lines.append(f"{item.probe:<24} {'-' if item.failure else item.status:<5} {item.seconds:>5.1f} s")
        lines += wrapped(f"  could not be asked: {item.failure}") if item.failure else []
        lines += [part for verdict in item.verdicts for part in wrapped(f"  {verdict}")]
    return "\n".join([*lines, found.line()])


def _known(experiment: Experiment, console: Console) -> Examination | None:
    path = experiment.folder / FILE
    if not path.is_file():
        return None

    def still_holding(content: dict[str, Any]) -> Examination | None:
        if content["version"] != __version__ or content.get("of") != _subject(experiment):
            return None
        found = Examination.read(content)
        return None if found.of("stop") else found  # mended data or code may stand in the same folder

    fix = "delete it: the doctor looks again"
    return read_or_set_aside(
        path, lambda: read_json(path, still_holding, fix=fix), say=console.say, then="the doctor looks again"
    )


def _subject(experiment: Experiment) -> dict[str, Any]:
    """What the doctor's word holds for."""
    bundle = built_data(experiment.domain, experiment.config)
    return {"code": code_stamp(experiment.domain), "accepted": experiment.config.health.accept, **set_digests(bundle)}


@contextmanager
def _as_before(threads: int) -> Iterator[None]:
    """Random states and the number of threads are those of before."""
    before: Sequence[Any] = (random.getstate(), np.random.get_state(), torch.get_num_threads())
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])
            torch.set_num_threads(before[2])
