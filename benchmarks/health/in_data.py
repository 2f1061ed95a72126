"""Defects of data: scales, statistics, noise, columns, targets made of noise (D1, D2, D3, D7, D22, D26)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from benchmarks.health.altered import Change, with_batches, with_statistics
from benchmarks.health.injections import GROUND, RIS, SPEECH, WORDS, add
from distsys.domains.protocol import Batch
from distsys.domains.semantic_eq.data.settings import SAFE, columns
from distsys.health.causes import NOISE_RATIO, OUT_OF_RANGE, STALE_STATISTICS

_SIGNALS = {GROUND: ("motion",), RIS: ("snapshots",), WORDS: ("curve_db",), SPEECH: ("mixture", "sources")}

_ALL_SIGNALS = tuple(name for names in _SIGNALS.values() for name in names)


def scaled(names: tuple[str, ...], factor: float, *, every: int = 1) -> Change:
    """Fields times ``factor``, in every n-th item."""

    def change(batch: dict[str, Tensor]) -> Batch:
        for name in names:
            if name in batch:
                values = batch[name].clone()
                values[::every] *= factor
                batch[name] = values
        return batch

    return change


def _raise_noise(factor: float) -> Change:
    """More noise of the kind that ``snapshots`` have, of ``factor`` times their own size."""

    def change(batch: dict[str, Tensor]) -> Batch:
        given = batch["snapshots"]
        generator = torch.Generator().manual_seed(int(given.abs().sum()))  # other noise where there was other noise
        size = factor * given.abs().square().mean().sqrt()
        noise = torch.randn(given.shape, generator=generator, dtype=given.dtype)
        return {**batch, "snapshots": given + size * noise}

    return change


def _one_scale(hz: float) -> Change:
    """dB, frequencies in units of ``hz``, and Q brought to 0 to 1 by one range for all of them."""

    def change(batch: dict[str, Tensor]) -> Batch:
        physical = SAFE.decode(batch["u"].double())
        physical[:, columns("freq")] /= hz
        low, high = physical.min(), physical.max()
        return {**batch, "u": ((physical - low) / (high - low)).float()}

    return change


def _scaled_column(factor: float) -> Change:
    def change(batch: dict[str, Tensor]) -> Batch:
        uvq = batch["uvq"].clone()
        uvq[..., 2] *= factor
        return {**batch, "uvq": uvq}

    return change


def _from_noise(share: float) -> Change:
    """Part of the target is read off the noisy input."""

    def change(batch: dict[str, Tensor]) -> Batch:
        estimate = batch["snapshots"].real.mean(dim=(1, 2))
        uvq = batch["uvq"].clone()
        uvq[..., 0] = ((1.0 - share) * uvq[..., 0] + share * torch.tanh(estimate)[:, None]).clamp(-1.0, 1.0)
        return {**batch, "uvq": uvq}

    return change


def _multiplied(names: tuple[str, ...], factor: float) -> Callable[[dict[str, Any]], Mapping[str, Any]]:
    return lambda found: {**found, **{name: found[name] * factor for name in names}}


for domain, names in _SIGNALS.items():
    for factor in (1 / 80, 1 / 1000, 300.0):
        add(
            "D1",
            f"signals times {factor:.3g}",
            lambda it, names=names, factor=factor: with_batches(it, scaled(names, factor)),
            domains=(domain,),
            also=(OUT_OF_RANGE.name,),
        )
    add(
        "D1",
        "every other item divided by 1000",
        lambda it, names=names: with_batches(it, scaled(names, 1e-3, every=2)),
        domains=(domain,),
        also=(OUT_OF_RANGE.name,),
    )
add(
    "D1",
    "targets alone divided by 80",
    lambda it: with_batches(it, scaled(("sources",), 1 / 80)),
    domains=(SPEECH,),
)
add(
    "D1",
    "training items alone divided by 80",
    lambda it: with_batches(
        it, scaled(("motion", "mixture", "sources", "curve_db", "snapshots"), 1 / 80), frozen=False
    ),
)
for factor in (1 / 300, 80.0):
    add(
        "D2",
        f"enrolments times {factor:.3g}",
        lambda it, factor=factor: with_batches(it, scaled(("enrolment",), factor)),
        domains=(SPEECH,),
    )
    add(
        "D2",
        f"features of what is given over {factor:.3g} times their spread",
        lambda it, factor=factor: with_statistics(it, _multiplied(("level_scale",), factor)),
        domains=(GROUND,),
        also=(STALE_STATISTICS.name,),
    )
for factor in (1 / 80, 30.0):
    add(
        "D3",
        f"statistics of data {factor:.3g} times as large",
        lambda it, factor=factor: with_statistics(it, _multiplied(("global_rms", "sigma_data"), factor)),
        domains=(GROUND,),
        settings=("model.route=envelope",),
        also=(NOISE_RATIO.name,),
    )
    add(
        "D7",
        f"sigma_data {factor:.3g} times the spread of what is diffused",
        lambda it, factor=factor: with_statistics(it, _multiplied(("sigma_data",), factor)),
        domains=(GROUND,),
        settings=("model.route=envelope",),
    )
for factor in (10.0, 100.0):
    add(
        "D7",
        f"noise of {factor:g} times the snapshots",
        lambda it, factor=factor: with_batches(it, _raise_noise(factor)),
        domains=(RIS,),
    )
for hz in (1.0, 10.0):
    add(
        "D22", f"dB, {hz:g} Hz and Q on one scale", lambda it, hz=hz: with_batches(it, _one_scale(hz)), domains=(WORDS,)
    )
for factor in (1e3, 1e5):
    add(
        "D22",
        f"curvature times {factor:g} beside direction cosines",
        lambda it, factor=factor: with_batches(it, _scaled_column(factor)),
        domains=(RIS,),
    )
for share in (1e-3, 0.1, 0.5):
    add(
        "D26",
        f"target {share:g} from the noisy input",
        lambda it, s=share: with_batches(it, _from_noise(s)),
        domains=(RIS,),
    )
