"""All probes in their order: what is cheap and what explains most first."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from distsys.errors import DistsysError
from distsys.health.probes.anchor import scale_anchor
from distsys.health.probes.bounds import outputs_in_range, outputs_on_bound
from distsys.health.probes.codec import decoding_undoes_encoding
from distsys.health.probes.contract import data_in_range, data_scale
from distsys.health.probes.eigen import eigenvalue_gaps
from distsys.health.probes.evaluation import evaluation_works, losses_agree
from distsys.health.probes.inputs import inputs_matter, items_are_independent
from distsys.health.probes.noise import noise_level, target_against_noise
from distsys.health.probes.order import parameters_learn, step_order
from distsys.health.probes.overfit import eight_items
from distsys.health.probes.patient import Patient, Probe
from distsys.health.probes.sampling import sampling_matches_training
from distsys.health.probes.statistics import column_ranges, stored_statistics
from distsys.health.probes.terms import gradient_shares, term_bounds, term_gradients
from distsys.health.verdict import Status, Verdict, is_sick

PROBES: Mapping[str, Probe] = {
    "data in their range": data_in_range,
    "level of noise": noise_level,
    "scale of data": data_scale,
    "decode and encode": decoding_undoes_encoding,
    "stored statistics": stored_statistics,
    "range of columns": column_ranges,
    "gaps of eigenvalues": eigenvalue_gaps,
    "bounds of terms": term_bounds,
    "order of steps": step_order,
    "parameters learn": parameters_learn,
    "targets without noise": target_against_noise,
    "outputs off their bounds": outputs_on_bound,
    "outputs in their range": outputs_in_range,
    "gradient of each term": term_gradients,
    "shares of gradient": gradient_shares,
    "inputs matter": inputs_matter,
    "items are independent": items_are_independent,
    "evaluation": evaluation_works,
    "training and validation": losses_agree,
    "anchor of scale": scale_anchor,
    "sampling": sampling_matches_training,
    "eight items": eight_items,
}


@dataclass(frozen=True)
class Finding:
    """What one probe found, how long it took, and what it failed with if it could not be asked."""

    probe: str
    verdicts: tuple[Verdict, ...]
    seconds: float
    failure: str = ""

    @property
    def status(self) -> Status:
        """The worst of its verdicts."""
        if is_sick(self.verdicts):
            return "stop"
        return "warn" if self.verdicts else "ok"


def examine(patient: Patient) -> Iterator[Finding]:
    """One probe after another; evaluation that fails ends it, since what follows needs one."""
    failed = False
    for name, probe in PROBES.items():
        if failed and probe is scale_anchor:
            continue
        started = time.perf_counter()
        verdicts, failure = _asked(probe, patient)
        yield Finding(name, verdicts, time.perf_counter() - started, failure)
        failed = failed or (probe is evaluation_works and is_sick(verdicts))


def _asked(probe: Probe, patient: Patient) -> tuple[tuple[Verdict, ...], str]:
    """Verdicts, or why there are none: a domain that a probe does not fit must not be refused for it."""
    try:
        return tuple(probe(patient)), ""
    except DistsysError:
        raise
    except Exception as error:
        return (), f"{type(error).__name__}: {error}".splitlines()[0]
