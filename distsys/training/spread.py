"""A step whose items are spread over workers, and over parts that a worker takes one after the other.

Terms of a part are scaled so that their sum over parts, averaged over workers, is the term of all items of the step, in
value and in gradient: a mean counts by what it is a mean over; what compares items is found over all of them, in which
those of other parts are constants: the gradients of all parts add up to that of the whole (Gao et al., Scaling deep
contrastive learning batch size, arXiv 2101.06983).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from distsys.config.schema import CoreConfig
from distsys.domains.protocol import AnyDomain, Batch, Comparing, Counting, Outputs
from distsys.training.answers import require_terms
from distsys.training.workers import Workers

Compared = Mapping[str, list[Tensor]]
"""What a domain compares of one part, by name: a tensor of each worker."""


class Terms(nn.Module):
    """A model seen as its loss terms, so that data-parallel wrapping needs nothing of the domain."""

    def __init__(self, domain: AnyDomain, model: nn.Module, config: CoreConfig) -> None:
        super().__init__()
        self.model = model
        self._domain, self._config = domain, config

    def forward(self, batch: Batch, generator: torch.Generator) -> tuple[Outputs, Mapping[str, Tensor]]:
        """What the model makes of ``batch``, and the terms of that."""
        outputs = self._domain.forward(self.model, batch, generator=generator)
        terms = self.terms_of(outputs, batch)
        if not torch.compiler.is_compiling():
            require_terms(self._domain, outputs, terms)
        return outputs, terms

    def terms_of(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Each loss term, unweighted."""
        return dict(self._domain.loss_terms(outputs, batch, config=self._config))


class Spread:
    """One step's items on this worker.

    Args:
        parts: in the order in which they are taken.
        outputs_of: a part's outputs by its number, without a graph and with the draws of its turn; asked only where
            items of several parts are compared.
    """

    def __init__(
        self,
        domain: AnyDomain,
        parts: Sequence[Batch],
        outputs_of: Callable[[int], Outputs],
        *,
        config: CoreConfig,
        workers: Workers,
    ) -> None:
        self._domain, self._parts, self._config, self._workers = domain, parts, config, workers
        self._is_whole = workers.world_size == len(parts) == 1
        self._counted: dict[str, Tensor] = {} if self._is_whole else self._shares()
        self._compared: list[Compared] = []
        if len(parts) > 1 and isinstance(domain, Comparing):
            self._compared = [
                {name: workers.joined(value) for name, value in domain.compared(outputs_of(number), part).items()}
                for number, part in enumerate(parts)
            ]

    def _shares(self) -> dict[str, Tensor]:
        """Of each term that is a mean over counted things: this worker's parts of all things, shape [parts]."""
        if not isinstance(self._domain, Counting):
            return {}
        counts = [self._domain.counts(part, config=self._config) for part in self._parts]
        own = torch.stack([torch.stack([item.double() for item in found.values()]) for found in counts])
        shares = own / self._workers.sum(own.sum(dim=0)).clamp(min=1.0)
        return dict(zip(counts[0], shares.T.float(), strict=True))

    def scaled(self, number: int, terms: Mapping[str, Tensor], outputs: Outputs) -> Mapping[str, Tensor]:
        """``terms`` of a part, as they count in the step."""
        if self._is_whole:
            return terms
        num_workers, num_parts = self._workers.world_size, len(self._parts)
        found = {name: value / num_parts for name, value in terms.items()}
        for name, shares in self._counted.items():
            found[name] = terms[name] * shares[number] * num_workers
        for name, value in self._comparing(number, outputs).items():
            found[name] = value.detach() / num_parts + num_workers * (value - value.detach())
        return found

    def _comparing(self, number: int, outputs: Outputs) -> Mapping[str, Tensor]:
        """Terms over all items of the step, through which gradients reach this part of this worker."""
        if not isinstance(self._domain, Comparing):
            return {}
        own = self._domain.compared(outputs, self._parts[number])
        if len(self._parts) == 1:
            whole = {name: self._workers.joined(value) for name, value in own.items()}
        else:
            whole = {name: self._in_place(name, number, value) for name, value in own.items()}
        joined = {name: torch.cat(values) for name, values in whole.items()}
        return self._domain.comparing_terms(joined, config=self._config)

    def _in_place(self, name: str, number: int, own: Tensor) -> list[Tensor]:
        rank = self._workers.rank
        return [
            own if (turn, place) == (number, rank) else value
            for turn, part in enumerate(self._compared)
            for place, value in enumerate(part[name])
        ]
