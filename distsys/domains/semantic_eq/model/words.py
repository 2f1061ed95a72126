"""Words as distributions over the latent: where their settings are, and what is drawn from them."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from distsys.domains.semantic_eq.model.network import SettingAutoencoder
from distsys.errors import UsageError, did_you_mean
from distsys.shapes import Float, Int

_ANY_SHARE = 0.2
"""Of draws that are settings of any word: people agree that far, and no further."""


class Words:
    """Where the settings of words stand in a model's latent, as the encoder gives them.

    Args:
        model: with ``terms``, ``term_u`` [rows, 13], ``term_label`` and ``term_weight`` [rows] in its statistics.
    """

    def __init__(self, model: SettingAutoencoder) -> None:
        statistics = model.statistics
        terms, u = statistics["terms"], statistics["term_u"]
        label, weight = statistics["term_label"], statistics["term_weight"]
        assert isinstance(terms, list)
        assert isinstance(u, Tensor) and isinstance(label, Tensor) and isinstance(weight, Tensor)
        device = next(model.parameters()).device
        self.terms, self.u = terms, u.to(device)
        self._label, self._weight = label.to(device), weight.to(device)
        self.latent = model.encode_setting(self.u)

    def rows(self, term: str) -> Tensor:
        """Which rows are of ``term``, [rows] bool.

        Raises:
            UsageError: the model does not know the word.
        """
        if term not in self.terms:
            raise UsageError(
                f"the model has no place for '{term}'",
                expected=f"one of {', '.join(self.terms)}",
                fix=did_you_mean(term, self.terms),
            )
        return self._label == self.terms.index(term)

    def centre(self, term: str) -> Float[Tensor, " latent"]:
        """The weighted mean of the codes of ``term``."""
        weight = self._weight * self.rows(term)
        return weight @ self.latent / weight.sum()

    def mean_setting(self, term: str) -> Float[Tensor, " 13"]:
        """The weighted mean of the settings of ``term`` in u: where one moves without a model."""
        weight = self._weight * self.rows(term)
        return weight @ self.u / weight.sum()

    def shares(self, term: str) -> Float[Tensor, " rows"]:
        """How often each row is what somebody makes for ``term``; they add up to 1."""
        own = self._weight * self.rows(term)
        return (1.0 - _ANY_SHARE) * own / own.sum() + _ANY_SHARE * self._weight / self._weight.sum()

    def drawn(self, term: str, count: int, *, generator: torch.Generator) -> Int[Tensor, " count"]:
        """Rows of ``count`` such settings, with replacement."""
        return torch.multinomial(self.shares(term).cpu(), count, replacement=True, generator=generator)


_KNOWN: WeakKeyDictionary[SettingAutoencoder, tuple[int, Words]] = WeakKeyDictionary()


def words_of(model: SettingAutoencoder) -> Words:
    """The words of ``model``, found once for the weights that it has."""
    version = sum(parameter._version for parameter in model.parameters())
    known = _KNOWN.get(model)
    if known is None or known[0] != version:
        known = version, Words(model)
        _KNOWN[model] = known
    return known[1]
