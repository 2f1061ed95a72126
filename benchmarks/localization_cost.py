"""What localising costs on one core: MUSIC, maximum likelihood and training, each in batch over scenes.

Run: python benchmarks/localization_cost.py
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from distsys.domains.protocol import Batch
from distsys.domains.registry import get_domain
from distsys.domains.ris_localization.config import Config
from distsys.domains.ris_localization.data.conditions import Condition
from distsys.domains.ris_localization.data.scenes import SceneSource
from distsys.domains.ris_localization.model.greedy import greedy_ml
from distsys.domains.ris_localization.model.localizer import Estimate, Localizer, localizer_of
from distsys.domains.ris_localization.model.music import Music
from distsys.domains.ris_localization.model.network import CovarianceNet, predict_factors
from distsys.domains.ris_localization.model.subspace import raw_factors, signal_subspace
from distsys.report.table import text_table

ROUNDS, SCENES, BATCH, STEPS = 5, 512, 256, 20


def cpu_seconds(work: Callable[[], object]) -> float:
    """Median CPU time of ``ROUNDS`` calls, after one that warms up."""
    work()
    times = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return statistics.median(times)


def naive_music(music: Music, factors: torch.Tensor) -> torch.Tensor:
    """The textbook form, one scene: eigenvectors of the full covariance, noise subspace, whole grid."""
    covariance = factors @ factors.mH
    noise = torch.linalg.eigh(covariance).eigenvectors[:, :-2]
    return (
        (music._dictionary.conj() @ noise.to(torch.complex64)).abs().square().sum(dim=1).topk(4, largest=False).indices
    )


def predicted(localizer: Localizer, model: CovarianceNet, batch: Batch) -> Estimate:
    """What ``distsys predict`` does between reading and writing."""
    return localizer.estimate(predict_factors(model, batch), batch, others=localizer.raw_peaks(batch))


def inference_rows(config: Config) -> list[list[object]]:
    """Milliseconds a scene of every stage."""
    data = config.data
    localizer = localizer_of(data)
    source = SceneSource(data, wave=data.world, seed=1, condition=Condition(10.0, 1.0, 16))
    batch = source.batch(range(SCENES), progress=0.0)
    factors = raw_factors(batch["snapshots"], localizer.sensing, rank=2)
    subspace = signal_subspace(factors, num_sources=2)
    few = {name: value[:64] for name, value in batch.items()}
    model = CovarianceNet(config).eval()
    music = cpu_seconds(lambda: localizer.music.candidates(subspace, count=4)) / SCENES
    textbook = cpu_seconds(lambda: [naive_music(localizer.music, item) for item in factors[:16]]) / 16
    greedy = cpu_seconds(lambda: greedy_ml(localizer, few)) / 64
    with torch.no_grad():
        network = cpu_seconds(lambda: predict_factors(model, batch)) / SCENES
        whole = cpu_seconds(lambda: predicted(localizer, model, batch)) / SCENES
    points = len(localizer.music.grid.points)
    rows: list[tuple[str, float]] = [
        (f"MUSIC, {points} points, refined, deflated", music),
        ("textbook MUSIC, one scene at a time, not refined", textbook),
        ("network", network),
        ("all of predict: network, MUSIC twice, likelihood", whole),
        ("greedy maximum likelihood", greedy),
    ]
    return [[name, 1e3 * seconds, seconds / music] for name, seconds in rows]


def training_row(config: Config) -> list[object]:
    """Scenes a second of a step: data, forward, backward, update."""
    domain = get_domain("ris_localization")
    model = domain.build_model(config, {})
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    source = SceneSource(config.data, wave=config.data.steering, seed=0)
    spent = {"data": 0.0}

    def train() -> None:
        for step in range(STEPS):
            began = time.process_time()
            batch = source.batch(range(step * BATCH, (step + 1) * BATCH), progress=0.0)
            spent["data"] += time.process_time() - began
            outputs = domain.forward(model, batch, generator=torch.Generator())
            terms = domain.loss_terms(outputs, batch, config=config)
            optimizer.zero_grad()
            torch.stack(list(terms.values())).sum().backward()
            optimizer.step()

    seconds = cpu_seconds(train) / STEPS
    share = spent["data"] / (ROUNDS + 1) / STEPS / seconds
    return [f"training, batch {BATCH}, width {config.model.width}, depth {config.model.depth}", BATCH / seconds, share]


def main() -> None:
    """Print both tables."""
    torch.set_num_threads(1)
    config = Config.model_validate({"data": {"coherent_share": 0.7}, "model": {"width": 192, "depth": 4}})
    print(text_table(["8x8, two sources, one core", "CPU ms a scene", "ratio"], inference_rows(config)))
    print()
    print(text_table(["", "scenes a CPU second", "share of data"], [training_row(config)]))


if __name__ == "__main__":
    main()
