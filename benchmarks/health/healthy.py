"""Healthy cases: every domain's demo as it ships, over seeds, and settings that are harmless however odd they look."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.health.case import BUDGETS, DOMAINS, SHIPPED, Case
from distsys.training.spec import Phase

_PHASES: tuple[Phase, ...] = ("search", "final")
_ODD: dict[str, tuple[str, ...]] = {
    "no clipping": ("optimizer.grad_clip_norm=null",),
    "average of weights": ("optimizer.ema_decay=0.98",),
    "half of the run is warm-up": ("optimizer.warmup_share=0.5",),
    "constant learning rate": ("optimizer.schedule=constant",),
    "no decay of weights": ("optimizer.weight_decay=0",),
    "bfloat16": ("precision=bfloat16",),
    "batches of an eighth": (),
    "learning rate of a tenth": (),
}
_BATCH = {"ground_motion": 8, "ris_localization": 32, "semantic_eq": 16, "speaker_extraction": 1}
_RATE = {"ground_motion": 3e-4, "ris_localization": 2e-4, "semantic_eq": 2e-4, "speaker_extraction": 4e-4}
_MORE: dict[str, dict[str, tuple[str, ...]]] = {
    "semantic_eq": {
        "weight 0 for words": ("search.weights.lambda_isometry=0",),
        "variational": ("model.variant=vae", "search.weights.lambda_kl=0.001", "final.weights.lambda_kl=0.001"),
    },
    "speaker_extraction": {
        "half of the targets absent": ("data.ta_share=0.5",),
        "causal": ("model.causal=true",),
    },
    "ris_localization": {"every scene coherent": ("data.coherent_share=1.0", "data.partial_share=0.0")},
    "ground_motion": {"two thirds dropout": ("model.dropout=0.66",)},
}


def shipped(seeds: range) -> Iterator[Case]:
    """Trials drawn from each search space, and the final training, of every demo."""
    for seed in seeds:
        for domain in DOMAINS:
            for phase in _PHASES:
                yield Case(domain, seed, SHIPPED, phase=phase)


def odd() -> Iterator[Case]:
    """Oddities, a seed each, trained for a short while."""
    for domain in DOMAINS:
        for label, settings in (_ODD | _MORE[domain]).items():
            yield Case(domain, 0, label, settings=(*settings, *_special(label, domain), *BUDGETS[domain]))


def _special(label: str, domain: str) -> tuple[str, ...]:
    if label == "batches of an eighth":
        return (f"batch_size={_BATCH[domain]}",)
    return (f"optimizer.learning_rate={_RATE[domain]}",) if label == "learning rate of a tenth" else ()
