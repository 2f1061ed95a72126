"""How often the number of sources is found, and what not knowing it costs: likelihood beside eigenvalues, by SNR.

One to three sources before 8x8 elements, 16 snapshots, coherent or independent.
Run: python -m benchmarks.unknown_number --scenes 200
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor

from distsys.domains.ris_localization.config import DataConfig
from distsys.domains.ris_localization.data.conditions import COHERENT, INDEPENDENT, Condition
from distsys.domains.ris_localization.data.scenes import SceneSource
from distsys.domains.ris_localization.model.greedy import greedy_ml
from distsys.domains.ris_localization.model.localizer import localizer_of
from distsys.domains.ris_localization.model.order import order_by_eigenvalues, order_by_likelihood
from distsys.domains.ris_localization.score.gospa import gospa_m
from distsys.report.table import text_table

SNRS_DB = (-5.0, 0.0, 10.0, 20.0)
SEED = 3


def row(data: DataConfig, condition: Condition, count: int) -> list[float]:
    """Share of scenes whose number is found by likelihood, MDL and AIC; GOSPA where it is found so, and told."""
    source = SceneSource(data, wave=data.world, seed=SEED, condition=condition)
    batch, localizer, most = source.batch(range(count), progress=0.0), localizer_of(data), data.max_sources + 1
    number, truth = batch["num_sources"], batch["uvq"]
    found = order_by_likelihood(localizer, batch["snapshots"], most=most, num_snapshots=batch["num_snapshots"])
    by_values = [order_by_eigenvalues(batch["snapshots"], most=most, rule=rule) for rule in ("mdl", "aic")]

    def distance(uvq: Tensor, many: Tensor) -> float:
        return float(gospa_m(uvq, many, true_uvq=truth, num_sources=number).mean())

    shares = [float((item == number).double().mean()) for item in (found.num_sources, *by_values)]
    return [*shares, distance(found.uvq, found.num_sources), distance(greedy_ml(localizer, batch), number)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=200, help="of each row")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    data, rows = DataConfig(min_sources=1, max_sources=3), []
    with torch.no_grad():
        for name, correlation in (("coherent", COHERENT), ("independent", INDEPENDENT)):
            for snr_db in SNRS_DB:
                condition = Condition(snr_db, correlation, data.num_snapshots)
                rows.append([name, snr_db, *row(data, condition, asked.scenes)])
    head = ["signals", "SNR dB", "likelihood", "MDL", "AIC", "GOSPA m", "number told"]
    print(text_table(head, rows))


if __name__ == "__main__":
    main()
