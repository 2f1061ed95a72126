"""Maximum likelihood on an imperfect array: with the nominal elements, with learned ones, and with the true ones.

Gains vary by 1.5 dB, phases by 30 deg, positions by 5 % of the spacing (standard deviations); two sources, 16
snapshots; with --perfect by nothing.
The array is learned from scenes of independent sources at 15 dB, without anchors and with five.
Run: python -m benchmarks.imperfect_array --sites 3 --scenes 500
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from distsys.domains.protocol import Batch
from distsys.domains.ris_localization.config import DataConfig
from distsys.domains.ris_localization.data.conditions import COHERENT, INDEPENDENT, Condition
from distsys.domains.ris_localization.data.recording import Recording
from distsys.domains.ris_localization.data.scenes import SceneSource
from distsys.domains.ris_localization.data.site import true_site
from distsys.domains.ris_localization.data.steering import Steering
from distsys.domains.ris_localization.model.calibration import Calibration, Calibrator
from distsys.domains.ris_localization.model.greedy import greedy_ml
from distsys.domains.ris_localization.model.localizer import Localizer, localizer_of
from distsys.domains.ris_localization.score.bound import deviations_of
from distsys.domains.ris_localization.score.errors import errors_of
from distsys.domains.ris_localization.score.imperfect_bound import misspecified_of, uncertain_of
from distsys.domains.ris_localization.score.learned import array_errors, scenes_of
from distsys.domains.ris_localization.score.metrics import bound_summary, summary
from distsys.report.table import text_table

IMPERFECT = {"gain_db": 1.5, "phase_deg": 30.0, "position_share": 0.05}
CONDITIONS = {
    "10 dB": Condition(10.0, COHERENT, 16),
    "20 dB": Condition(20.0, COHERENT, 16),
    "10 dB i": Condition(10.0, INDEPENDENT, 16),
}
LEARNED_AT = Condition(15.0, INDEPENDENT, 16)
Table = list[list[object]]
TEST_SEED, LEARN_SEED, ANCHOR_SEED = 1, 2, 3


def scenes(data: DataConfig, condition: Condition, count: int, *, seed: int) -> Batch:
    """Scenes of the true array."""
    source = SceneSource(data, wave=data.world, seed=seed, condition=condition, site=true_site(data))
    return source.batch(range(count), progress=0.0)


def learned(data: DataConfig, localizer: Localizer, *, count: int, anchors: int) -> tuple[Calibration, float]:
    """The array from ``count`` unlabelled scenes and ``anchors`` of known sources, and the CPU seconds it took."""
    unlabelled, known = (
        scenes(data, LEARNED_AT, number, seed=seed) for number, seed in ((count, LEARN_SEED), (anchors, ANCHOR_SEED))
    )
    began = time.process_time()
    found = Calibrator(localizer).run(
        scenes_of(_recording(unlabelled), localizer, None),
        scenes_of(_recording(known), localizer, known["uvq"].double()) if anchors else (),
    )
    return found, time.process_time() - began


def _recording(batch: Batch) -> Recording:
    return Recording(batch["snapshots"], batch["num_sources"], batch["num_snapshots"], None)


def rows_of(data: DataConfig, arrays: Mapping[str, Localizer], covariances: Mapping[str, Tensor], count: int) -> Table:
    """For every condition and array: found, azimuth bias and median, and ratio to the bound of the true array."""
    rows: Table = []
    for name, condition in CONDITIONS.items():
        batch = scenes(data, condition, count, seed=TEST_SEED)
        bound = deviations_of(data, batch)
        for array, localizer in arrays.items():
            errors = errors_of(greedy_ml(localizer, batch), batch)
            row = summary(errors, bound)
            hit = errors.found & errors.present
            bias = float(errors.phi_deg[hit].median())
            rows.append([name, array, row["success"], bias, row["phi_median_deg"], row["crb_ratio"]])
        rows += _bound_rows(name, data, batch, covariances)
        allowed = bound_summary(bound, torch.ones(bound.shape[:2], dtype=torch.bool))
        rows.append([name, "CRB", float("nan"), 0.0, allowed["phi_median_deg"], 1.0])
    return rows


def _bound_rows(name: str, data: DataConfig, batch: Batch, covariances: Mapping[str, Tensor]) -> Table:
    """What an estimator at the bound would show: of the nominal array (MCRB), and of each that was learned."""
    trusting, nothing = misspecified_of(data, batch), float("nan")
    drawn = torch.randn(trusting.bias.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    errors = (trusting.bias + trusting.deviations.clamp(max=1.0) * drawn)[..., 0].rad2deg()
    rows: Table = [[name, "MCRB", nothing, float(errors.median()), float(errors.abs().median()), nothing]]
    for array, covariance in covariances.items():
        allowed = bound_summary(uncertain_of(data, batch, covariance), torch.ones(drawn.shape[:2], dtype=torch.bool))
        rows.append([name, f"CRB {array}", nothing, 0.0, allowed["phi_median_deg"], nothing])
    return rows


def site_rows(data: DataConfig, *, count: int, unlabelled: int, anchors: int) -> tuple[Table, Table]:
    """Tables of one site: estimates, and errors of the learned arrays."""
    nominal, truth = localizer_of(data), true_site(data).steering
    arrays, covariances, errors = {"nominal": nominal}, {}, []
    for name, known in (("unlabelled", 0), ("and anchors", anchors)):
        found, seconds = learned(data, nominal, count=unlabelled, anchors=known)
        arrays[name], covariances[name] = nominal.with_steering(found.steering), found.covariance()
        errors.append([data.site, name, seconds, *_array_row(found.steering, truth, nominal)])
    arrays["true"] = nominal.with_steering(truth)
    return rows_of(data, arrays, covariances, count), errors


def _array_row(steering: Steering, truth: Steering, nominal: Localizer) -> list[float]:
    found = array_errors(steering, truth, nominal.steering)
    share = 100.0 * found["position_m"] / nominal.surface.spacing_m
    return [found["gain_db"], found["phase_deg"], share, found["tilt along x, deg"], found["tilt along y, deg"]]


def mean_rows(tables: Sequence[Sequence[Sequence[object]]]) -> Table:
    """Means over the sites; of the bias the mean of its size."""
    rows = []
    for alike in zip(*tables, strict=True):
        numbers = torch.tensor([row[2:] for row in alike], dtype=torch.float64)
        numbers[:, 1] = numbers[:, 1].abs()
        rows.append([*alike[0][:2], *numbers.mean(dim=0).tolist()])
    return rows


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sites", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="site")
    parser.add_argument("--scenes", type=int, default=500, help="of a condition and site")
    parser.add_argument("--unlabelled", type=int, default=200)
    parser.add_argument("--anchors", type=int, default=5)
    parser.add_argument("--perfect", action="store_true", help="an array without errors")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    tables, errors = [], []
    with torch.no_grad():
        for number in range(asked.first, asked.first + asked.sites):
            data = DataConfig.model_validate({"site": number, "imperfections": {} if asked.perfect else IMPERFECT})
            found, learned_errors = site_rows(
                data, count=asked.scenes, unlabelled=asked.unlabelled, anchors=asked.anchors
            )
            tables.append(found)
            errors += learned_errors
            print(f"site {number} done", flush=True)
    print(
        text_table(["site", "array", "CPU s", "gain dB", "phase deg", "position %", "tilt x deg", "tilt y deg"], errors)
    )
    head = ["scenes", "array", "found", "azimuth bias deg", "azimuth median deg", "bound ratio"]
    print(text_table(head, mean_rows(tables)))


if __name__ == "__main__":
    main()
