"""What drawn motions are like below their envelopes, route by route: texture scores, and whether they can be told.

    python -m benchmarks.motion_texture [--seconds 90] [--records FOLDER ...] [--quakes] [--only ROUTE ...]

Smaller is better but for the last two columns: kurtosis of drawn motions (that of recorded ones stands in the row
``recorded``), and how often a classifier ranks a recorded motion of unseen events above a drawn one (0.5 is perfect).
It was trained on the records that the member was trained on, and on its draws for them.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.motion_routes import WAYS, train
from distsys.domains.ground_motion import GroundMotion
from distsys.domains.ground_motion.config import NUM_FOLDS, Config
from distsys.domains.ground_motion.data.bundle import WindowSource
from distsys.domains.ground_motion.data.operators import lowpass
from distsys.domains.ground_motion.data.records import Metadata
from distsys.domains.ground_motion.model.network import Committee
from distsys.domains.ground_motion.score.telling import Classifier, area_under_curve, features
from distsys.domains.ground_motion.score.texture import kurtosis, texture_scores
from distsys.domains.protocol import Batch, DataBundle
from distsys.report.table import text_table

COLUMNS = ("energy_time_frequency", "crps_zero_crossings", "crps_kurtosis", "crps_response_spectrum")
_COUNT = 20
_AT_ONCE = 8

Draw = Callable[[int, Tensor, Tensor, int], Tensor]
"""From a fold, what is given [records, time], metadata and a count to motions [records, count, time]."""


@dataclass(frozen=True)
class Judged:
    """One fold: scores of its records, and what a classifier says of recorded and drawn motions."""

    scores: dict[str, Tensor]
    kurtosis: Tensor
    recorded: Tensor
    drawn: Tensor


def judged(draw: Draw, fold: int, batch: Batch, known: Tensor) -> Judged:
    """Of the records of ``batch``, by a classifier that learned from ``known`` windows and draws for them."""
    motions = draw(fold, lowpass(batch["motion"]), batch["metadata"], _COUNT)
    unknown = known.new_full((len(known), len(Metadata().row())), math.nan)
    classifier = Classifier.fit(features(known), features(draw(fold, lowpass(known), unknown, 1)[:, 0]))
    return Judged(
        texture_scores(motions, batch["motion"]),
        kurtosis(motions).flatten(),
        classifier.score(features(batch["motion"])),
        classifier.score(features(motions[:, :4])).flatten(),
    )


def row(name: str, folds: Sequence[Judged]) -> list[object]:
    """Means over the records of all folds; the area is the mean over folds, whose classifiers differ."""
    scores = [float(torch.cat([fold.scores[column] for fold in folds]).mean()) for column in COLUMNS]
    areas = [area_under_curve(fold.recorded, fold.drawn) for fold in folds]
    return [name, *scores, float(torch.cat([fold.kurtosis for fold in folds]).median()), sum(areas) / len(areas)]


def draws_of(model: Committee) -> Draw:
    """By the member of a fold."""

    def draw(fold: int, given: Tensor, metadata: Tensor, count: int) -> Tensor:
        generator = torch.Generator().manual_seed(fold)
        pairs = zip(given.split(_AT_ONCE), metadata.split(_AT_ONCE), strict=True)
        return torch.cat([model.member(fold).sample(*pair, count, generator=generator) for pair in pairs])

    return draw


def route_row(name: str, bundle: DataBundle, config: Config, *, seconds: float) -> list[object]:
    """Trained and judged on all folds."""
    torch.manual_seed(0)
    model = Committee(config, bundle.statistics)
    train(model.train(), bundle, rate=WAYS[name].learning_rate, seconds=seconds)
    assert isinstance(bundle.train, WindowSource)
    with torch.no_grad():
        draw, cuts = draws_of(model.eval()), bundle.train.cuts
        batches = {int(batch["member"][0]): batch for batch in bundle.test.batches}
        return row(name, [judged(draw, fold, batches[fold], cuts[fold].first_round) for fold in range(NUM_FOLDS)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=90.0, help="CPU time of each training (default: 90)")
    parser.add_argument("--records", type=Path, nargs="*", default=[], help="files or folders (default: synthetic)")
    parser.add_argument("--quakes", action="store_true", help="also FEMA P-695")
    parser.add_argument("--only", nargs="*", choices=list(WAYS), default=list(WAYS), help="some of the routes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = {"records": [str(path) for path in options.records], "quakes": options.quakes, "on_fault": "leave_out"}
    rows: list[list[object]] = []
    for name in options.only:
        config = Config.model_validate({"data": data, "model": WAYS[name].model})
        bundle = GroundMotion().build_data(config, seed=0)
        rows.append(route_row(name, bundle, config, seconds=options.seconds))
        print(f"{name}: done", flush=True)
    true = torch.cat([batch["motion"] for batch in bundle.test.batches])
    rows.append(["recorded", *[0.0] * len(COLUMNS), float(kurtosis(true).median()), 0.5])
    headers = ["route", "energy", "crossings", "kurtosis", "spectrum", "kurtosis drawn", "told apart"]
    print(text_table(headers, rows, width=120))


if __name__ == "__main__":
    main()
