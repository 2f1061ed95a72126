"""Defects of losses: unbounded, dead, unanchored, drowned or aimless terms, another loss in validation (D11, ...)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.health.altered import altered, parts, with_terms
from benchmarks.health.injections import GROUND, RIS, SPEECH, WORDS, add
from distsys.domains.protocol import AnyDomain, Batch, Outputs
from distsys.domains.speaker_extraction.data.queries import present_in
from distsys.signals.levels import energy_db

Terms = dict[str, Tensor]
_MAIN = {GROUND: "fit", RIS: "covariance", WORDS: "response", SPEECH: "sisdr"}
_SIDE = {GROUND: "envelope", RIS: "subspace_align", WORDS: "params", SPEECH: "amp"}
_LONGER = ("final.steps=600", "final.eval_every_steps=100")
"""Chance takes looks to be told from a start that is slow."""
_AUXILIARY = {GROUND: "envelope", RIS: "subspace_align", WORDS: "isometry", SPEECH: "sisdr"}


def _replacing(name: str, change: Callable[[Tensor, Outputs, Batch], Tensor]) -> Callable[[AnyDomain], AnyDomain]:
    return lambda it: with_terms(it, lambda terms, out, batch: {**terms, name: change(terms[name], out, batch)})


def _size(outputs: Outputs) -> Tensor:
    values = [parts(value) for value in outputs.values() if value.is_floating_point() or value.is_complex()]
    return torch.stack([value.square().mean() for value in values]).sum()


def _logarithm(term: Tensor, outputs: Outputs, batch: Batch) -> Tensor:
    """Perfection is rewarded without end."""
    return (term.abs() + 1e-12).log()


def _rewarding_size(share: float) -> Callable[[Tensor, Outputs, Batch], Tensor]:
    return lambda term, outputs, batch: term - share * (_size(outputs) + 1e-12).log()


def _rewarding_silence(term: Tensor, outputs: Outputs, batch: Batch) -> Tensor:
    return term + 4.34 * (_size(outputs) + 1e-12).log()


def _energy_of_absent(term: Tensor, outputs: Outputs, batch: Batch) -> Tensor:
    """Silence is rewarded without end."""
    return torch.where(present_in(batch), 0.0, energy_db(outputs["estimate"])).mean()


def _clamped(factor: float) -> Callable[[Tensor, Outputs, Batch], Tensor]:
    """Flat below ``factor`` times its first value."""
    first: list[float] = []

    def change(term: Tensor, outputs: Outputs, batch: Batch) -> Tensor:
        if not first:
            first.append(abs(float(term.detach())) * factor)
        return term.clamp(min=first[0])

    return change


def _saturating(name: str, factor: float) -> Callable[[AnyDomain], AnyDomain]:
    """The term looks at outputs through a tanh that is far beyond its knee."""

    def put(domain: AnyDomain) -> AnyDomain:
        def terms(original: Callable[..., Terms], outputs: Outputs, batch: Batch, *, config: object) -> Terms:
            squeezed = {key: _squeezed(value, factor) for key, value in outputs.items()}
            found = dict(original(outputs, batch, config=config))
            return {**found, name: dict(original(squeezed, batch, config=config))[name]}

        return altered(domain, loss_terms=terms)

    return put


def _squeezed(value: Tensor, factor: float) -> Tensor:
    if not value.is_floating_point():
        return value
    return torch.tanh(value * factor) * value.detach().abs().amax()


def _scaled(factor: float) -> Callable[[Tensor, Outputs, Batch], Tensor]:
    return lambda term, outputs, batch: term * factor


def _in_training_alone(name: str, factor: float) -> Callable[[AnyDomain], AnyDomain]:
    """Validation has another weight on a term, inside of the term."""
    return _replacing(name, lambda term, outputs, batch: term if torch.is_grad_enabled() else term * factor)


def _of_other_items(domain_name: str) -> Callable[[AnyDomain], AnyDomain]:
    """An auxiliary term compares each item with another one's target, every time a new one."""
    name = _AUXILIARY[domain_name]

    def put(domain: AnyDomain) -> AnyDomain:
        def terms(original: Callable[..., Terms], outputs: Outputs, batch: Batch, *, config: object) -> Terms:
            found = dict(original(outputs, batch, config=config))
            return {**found, name: dict(original(outputs, _dealt(batch, domain_name), config=config))[name]}

        return altered(domain, loss_terms=terms)

    return put


def _dealt(batch: Batch, domain_name: str) -> Batch:
    if domain_name == GROUND:
        motion = batch["motion"].clone()
        for member in batch["member"].unique():
            mine = (batch["member"] == member).nonzero()[:, 0]
            motion[mine] = motion[mine.roll(1)]
        return {**batch, "motion": motion}
    if domain_name == WORDS:
        return {**batch, "label": batch["label"][torch.randperm(len(batch["label"]))]}
    names = ("uvq", "amplitudes", "num_sources") if domain_name == RIS else ("sources",)
    return {**batch, **{name: batch[name].roll(1, 0) for name in names}}


for domain, main in _MAIN.items():
    side = _SIDE[domain]
    one = (domain,)
    if domain not in (GROUND, SPEECH):  # a likelihood may fall to -20, an SI-SDR to -60 dB
        add("D11", f"the logarithm of {main}", _replacing(main, _logarithm), domains=one)
    add("D11", f"the logarithm of {side}", _replacing(side, _logarithm), domains=one)
    add("D11", f"{side} falls with silence", _replacing(side, _rewarding_silence), domains=one)
    for share in (1.0, 0.05) if domain != SPEECH else ():  # where a square of the logarithm outgrows it
        add("D11", f"{side} falls with size, by {share:g}", _replacing(side, _rewarding_size(share)), domains=one)
    for factor in (1.5, 1.02):
        add("D12", f"{side} flat below {factor:g} of its first value", _replacing(side, _clamped(factor)), domains=one)
    if domain != RIS:  # complex factors
        add("D12", f"{side} through a tanh beyond its knee", _saturating(side, 1e12), domains=one)
    loud = main if domain in (RIS, WORDS) else side  # one with a floor of 0, which it keeps when it is multiplied
    for factor in (1e6, 1e4) if loud == main else (1e8, 1e6):  # a side term has less of the gradient to begin with
        add("D24", f"{loud} times {factor:g}", _replacing(loud, _scaled(factor)), domains=one)
    for factor in (0.0, 0.5, 1.05):
        add("D15", f"{main} times {factor:g} in validation", _in_training_alone(main, factor), domains=one)
    add("D25", f"{_AUXILIARY[domain]} of other items", _of_other_items(domain), domains=one, settings=_LONGER)
add("D11", "ta_energy is an energy in dB", _replacing("ta_energy", _energy_of_absent), domains=(SPEECH,))
for weight in (0.0, 1e-6):
    names = ("lambda_amp", "lambda_ta_energy")
    unheld = tuple(f"search.weights.{name}={weight:g}" for name in names)
    add(
        "D13",
        f"{weight:g} for all but SI-SDR",
        None,
        domains=(SPEECH,),
        settings=(*unheld, "final.weights.lambda_phase=0"),
    )
