"""The promises of a domain, one function each: it raises :class:`Broken` with what was found and what to mend."""

from __future__ import annotations

import math
import pickle
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from distsys.config.reuse import forgetting
from distsys.domains.protocol import Batch, Coded, Evaluation
from distsys.errors import DistsysError
from distsys.health.probes.codec import EXACT, misfit
from distsys.testing.changes import changed_configs, difference
from distsys.testing.subject import Subject
from distsys.training.checkpoint import directory_of, load
from distsys.training.context import FitContext
from distsys.training.data import built_data
from distsys.training.evaluate import evaluate, undisturbed
from distsys.training.loop import Run
from distsys.training.spec import RunSpec
from distsys.training.workers import Workers, pick_device

_MANY, _FEW = 64, 8
_STEPS, _HALF = 6, 3


class Broken(AssertionError):
    """A promise that a domain does not keep."""


def require(holds: bool, found: str) -> None:
    """Raise :class:`Broken` where it does not hold."""
    if not holds:
        raise Broken(found)


def fields_are_those_of_a_batch(subject: Subject) -> None:
    """Every tensor of a training batch is declared in ``fields``, and lies in its range."""
    batch, declared = subject.batch(_FEW), {item.name: item for item in subject.domain.fields}
    require(set(batch) == set(declared), f"a batch holds {sorted(batch)}, fields declare {sorted(declared)}")
    for name, values in batch.items():
        require(len(values) == _FEW, f"'{name}' of {_FEW} items has {len(values)} rows")
        columns = declared[name].columns
        require(
            not columns or values.shape[-1] == len(columns),
            f"'{name}' has {values.shape[-1]} places along its last axis, columns declare {len(columns)}",
        )
        real = torch.view_as_real(values) if values.is_complex() else values.double()
        finite = real[torch.isfinite(real)]
        low, high = (float(finite.min()), float(finite.max())) if finite.numel() else (0.0, 0.0)
        item = declared[name]
        require(
            item.low <= low and high <= item.high,
            f"'{name}' holds {low:g} to {high:g} {item.unit}, declared are {item.low:g} to {item.high:g}",
        )


def decoding_undoes_encoding(subject: Subject) -> None:
    """Where the domain offers its codec's round trip, items come back as they were, to 1e-5 of their range."""
    if isinstance(subject.domain, Coded):
        trips = subject.domain.round_trip(subject.config, subject.bundle.statistics, subject.batch(_FEW))
        for name, trip in trips.items():
            require(misfit(trip) <= EXACT, f"'{name}' comes back {misfit(trip):.2g} of its range beside what it was")


def terms_are_as_declared(subject: Subject) -> None:
    """``loss_terms`` gives each declared term as a finite scalar, not below its bound."""
    found = subject.terms(subject.build_model(), subject.batch(_FEW))
    wanted = [item.name for item in subject.domain.terms]
    require(list(found) == wanted, f"loss_terms gives {list(found)}, terms declare {wanted}")
    for item in subject.domain.terms:
        require(found[item.name].shape == (), f"term '{item.name}' has shape {tuple(found[item.name].shape)}, not ()")
        value = float(found[item.name].detach())
        require(math.isfinite(value), f"term '{item.name}' is {value} on the first {_FEW} items")
        require(value >= item.lower_bound, f"term '{item.name}' is {value:g}, below its bound {item.lower_bound:g}")


def gradients_reach_every_parameter(subject: Subject) -> None:
    """The sum of all terms has a finite gradient, not all zero, for each parameter."""
    model = subject.build_model()
    total = torch.stack([value.float() for value in subject.terms(model, subject.batch(_MANY)).values()]).sum()
    require(total.requires_grad, "no term's gradient reaches any parameter")
    total.backward()
    for name, parameter in model.named_parameters():
        require(parameter.grad is not None, f"no term's gradient reaches the parameter '{name}'")
        assert parameter.grad is not None
        require(bool(torch.isfinite(parameter.grad).all()), f"the gradient of '{name}' is not finite")
        require(bool(parameter.grad.abs().max() > 0), f"the gradient of '{name}' is zero")


def items_are_a_function_of_their_index(subject: Subject) -> None:
    """An item depends on seed, index and progress alone: not on what was asked before or beside it."""
    indices = range(100, 116)
    whole = subject.bundle.train.batch(indices, progress=0.5)
    parts = [subject.bundle.train.batch([index], progress=0.5) for index in indices]
    again = subject.build_data(seed=0).train.batch(indices, progress=0.5)
    other = subject.build_data(seed=1).train.batch(indices, progress=0.5)
    for name, values in whole.items():
        require(
            torch.equal(values, again[name]), f"'{name}' of the same items is another one when data are built again"
        )
        alone = torch.cat([part[name] for part in parts])
        require(torch.equal(values, alone), f"'{name}' of an item depends on which others are in its batch")
    require(any(not torch.equal(whole[name], other[name]) for name in whole), "another seed gives the same items")


def sets_are_frozen(subject: Subject) -> None:
    """Validation and test set are the same whenever they are built, and not the same as each other."""
    bundle, again = subject.bundle, subject.build_data(seed=0)
    require(bundle.validation == again.validation, "the validation set is another one when data are built again")
    require(bundle.test == again.test, "the test set is another one when data are built again")
    require(bundle.validation != bundle.test, "validation and test set hold the same items")


def data_can_be_handed_on(subject: Subject) -> None:
    """A bundle can be pickled, so that the trials of a node share it, and gives the same items then."""
    bundle = built_data(subject.domain, subject.config)
    try:
        copy = pickle.loads(pickle.dumps(bundle))  # noqa: S301 - made here
    except Exception as error:
        raise Broken(f"what build_data gives cannot be pickled: {type(error).__name__}: {error}") from error
    same = _equal(copy.train.batch(range(_FEW), progress=0.5), bundle.train.batch(range(_FEW), progress=0.5))
    require(same, "a pickled copy of the training source gives other items")


def data_follow_every_key(subject: Subject) -> None:
    """Data that are shared by configs that agree on what was read are those that each config would get alone."""
    with forgetting():
        built_data(subject.domain, subject.config)
        for path, config in changed_configs(subject.config):
            try:
                alone = subject.domain.build_data(config, seed=config.seed)
            except DistsysError:
                continue
            differing = difference(built_data(subject.domain, config), alone)
            require(not differing, f"with another '{path}' runs would share {differing}: was it read unnoticed?")


def randomness_comes_from_the_generator(subject: Subject) -> None:
    """``forward`` in evaluation mode draws from its generator alone."""
    model, batch = subject.build_model().eval(), subject.batch(_FEW)
    with torch.no_grad():
        first, second = (
            subject.domain.forward(model, batch, generator=torch.Generator().manual_seed(7)) for _ in range(2)
        )
    require(_equal(first, second), "forward gives other outputs for the same generator, in evaluation mode")


def evaluation_can_be_repeated(subject: Subject) -> None:
    """Evaluating twice gives the same numbers to the bit and leaves torch's random state alone."""
    model, before = subject.build_model(), torch.get_rng_state()
    first, second = (
        evaluate(subject.domain, model, subject.bundle.validation, constraints=subject.domain.constraints)
        for _ in range(2)
    )
    differing = [name for name in first.metrics if str(first.metrics[name]) != str(second.metrics[name])]
    require(not differing, f"evaluated twice, {', '.join(differing)} differ")
    require(bool((first.items == second.items).all()), "evaluated twice, items differ")
    require(torch.equal(before, torch.get_rng_state()), "evaluate leaves another state of torch's random generator")
    _require_mean(subject, first)


def _require_mean(subject: Subject, found: Evaluation) -> None:
    name = subject.domain.selection.name
    value, mean = found.metrics[name], float(found.items.mean())
    close = math.isclose(value, mean, rel_tol=1e-5, abs_tol=1e-9)
    require(close, f"{name} is {value:g}, the mean of its items {mean:g}: the noise floor would not be its own")


def baselines_stand_beside_the_model(subject: Subject) -> None:
    """There is a baseline that a healthy model must beat, measured by the selection metric."""
    rows = subject.domain.baselines(subject.config, subject.bundle, subject.bundle.validation)
    name = subject.domain.selection.name
    require(bool(rows), "baselines gives no rows")
    trivial = [label for label, row in rows.items() if row.kind == "trivial" and name in row.metrics]
    require(bool(trivial), f"no baseline of kind 'trivial' has '{name}'; there are {', '.join(rows)}")


def figures_can_be_read(subject: Subject) -> None:
    """Figures have titles and axes."""
    model, test = subject.build_model().eval(), subject.bundle.test
    with undisturbed(model, seed=0):
        figures = subject.domain.figures(model, test, subject.domain.evaluate(model, test))
    require(bool(figures), "figures gives none")
    for title, figure in figures.items():
        require(bool(title), "a figure has no title")
        require(bool(figure.axes), f"the figure '{title}' has no axes")


def eight_items_can_be_learned(subject: Subject) -> None:
    """Adam drives one loss term down on eight items: model, terms and gradients belong together."""
    model, how = subject.build_model(), subject.overfit
    term = how.term or subject.domain.terms[0].name
    optimizer = torch.optim.Adam(model.parameters(), lr=how.rate)
    batch, generator = subject.batch(_FEW), torch.Generator().manual_seed(0)
    losses = []
    for _ in range(how.steps):
        loss = subject.terms(model, batch, generator)[term]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    allowed = losses[0] - (1.0 - how.share) * abs(losses[0])
    require(
        losses[-1] < allowed,
        f"after {how.steps} steps on {_FEW} items the term '{term}' is {losses[-1]:.4g}; it began at {losses[0]:.4g} "
        f"and should be below {allowed:.4g}",
    )


def a_killed_run_resumes_to_the_bit(subject: Subject) -> None:
    """A run that goes on from a checkpoint ends with the same weights as one that was never interrupted."""
    config = subject.configured(f"final.steps={_STEPS}", f"final.eval_every_steps={_HALF}", "device=cpu")
    spec, workers = RunSpec(config, "final"), Workers(pick_device("cpu"))
    with tempfile.TemporaryDirectory() as place:
        whole, parted = Path(place) / "whole", Path(place) / "parted"
        for folder, times in ((whole, 2), (parted, 1), (parted, 1)):
            validations = Run(FitContext(spec, subject.domain, folder, workers, tracker=None)).validations()
            for _ in range(times):
                next(validations)
        first, second = (load(directory_of(folder, _STEPS)).model for folder in (whole, parted))
    require(_equal(first, second), "a run resumed from its checkpoint ends with other weights: is a state not saved?")


def _equal(first: Mapping[str, Tensor] | Batch, second: Mapping[str, Tensor] | Batch) -> bool:
    return first.keys() == second.keys() and all(
        torch.allclose(first[name], second[name], rtol=0.0, atol=0.0, equal_nan=True) for name in first
    )


PROMISES: tuple[Callable[[Subject], None], ...] = (
    fields_are_those_of_a_batch,
    terms_are_as_declared,
    decoding_undoes_encoding,
    gradients_reach_every_parameter,
    items_are_a_function_of_their_index,
    sets_are_frozen,
    data_can_be_handed_on,
    data_follow_every_key,
    randomness_comes_from_the_generator,
    evaluation_can_be_repeated,
    baselines_stand_beside_the_model,
    figures_can_be_read,
    eight_items_can_be_learned,
    a_killed_run_resumes_to_the_bit,
)
