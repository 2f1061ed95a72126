"""What words are worth to trained equaliser models, on all settings of people that training never saw.

``python -m benchmarks.words EXPERIMENT [EXPERIMENT ...]``: neighbours, energy scores with their error over
people, and what steering gains for what it changes, beside what needs no model: the mean over experiments, and each.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from distsys.domains.semantic_eq.config import DataConfig
from distsys.domains.semantic_eq.data.response import response_db
from distsys.domains.semantic_eq.data.safe_file import read_safe
from distsys.domains.semantic_eq.data.settings import nearest, ranges_of
from distsys.domains.semantic_eq.data.split import split_by_submitter
from distsys.domains.semantic_eq.data.synthetic import make_table
from distsys.domains.semantic_eq.model.network import SettingAutoencoder
from distsys.domains.semantic_eq.model.words import words_of
from distsys.domains.semantic_eq.score.metrics import energy_score_db, knn_accuracy, share_of_word
from distsys.training.assess import find_checkpoint, load_model

AMOUNTS = (0.0, 0.25, 0.5, 0.75, 1.0)
_SHUFFLES = 50
Row = tuple[str, str, float]
"""Table, row, value."""


class Patient:
    """A model, and the settings of people that it never saw."""

    def __init__(self, place: Path) -> None:
        loaded = load_model(find_checkpoint(place))
        assert isinstance(loaded.model, SettingAutoencoder)
        bundle = loaded.data()
        assert bundle.test.reference is not None
        self.model, self.words, self.reference = loaded.model, words_of(loaded.model), bundle.test.reference
        held_out = [bundle.validation.batches[0], bundle.test.batches[0]]
        self.u, self.curve_db, self.label = (
            torch.cat([batch[name] for batch in held_out]) for name in ("u", "curve_db", "label")
        )
        self.people = people_of(vars(loaded.spec.config)["data"], seed=loaded.spec.config.seed)
        self.latent = self.model.encode(self.u, curve_db=self.curve_db).mean

    def rows(self) -> Iterator[Row]:
        yield from self._neighbours()
        yield from self._energy()
        yield from self._steering()

    def _neighbours(self) -> Iterator[Row]:
        known, label, weight = self.words.latent, self.reference["label"], self.reference["weight"]
        mean, axes = self.model.curve_mean, self.model.curve_axes
        made, kept = self.curve_db, self.reference["curve_db"]
        spaces: dict[str, tuple[Tensor, Tensor]] = {
            "latent": (self.latent, known),
            f"PCA-{len(axes)} of curves": ((made - mean) @ axes.T, (kept - mean) @ axes.T),
            "curves": (made, kept),
            "parameters": (self.u, self.reference["u"]),
        }
        table = f"kNN accuracy of {int((self.label >= 0).sum())} settings"
        for name, (asked, place) in spaces.items():
            yield table, name, knn_accuracy(asked, self.label, reference=place, label=label, weight=weight)
        yield table, "standard error of the latent's, over people", self._error_of_neighbours(known)
        generator = torch.Generator().manual_seed(0)
        shuffled = [label[torch.randperm(len(label), generator=generator)] for _ in range(_SHUFFLES)]
        scores = [
            knn_accuracy(self.latent, self.label, reference=known, label=words, weight=weight) for words in shuffled
        ]
        yield table, f"latent, words shuffled {_SHUFFLES} times", float(np.mean(scores))

    def _error_of_neighbours(self, known: Tensor) -> float:
        """People, not settings, are drawn anew."""
        label, weight = self.reference["label"], self.reference["weight"]
        right = {}
        for name in dict.fromkeys(self.people):
            own = torch.tensor([index for index, other in enumerate(self.people) if other == name])
            own = own[self.label[own] >= 0]
            if len(own):
                asked = self.latent[own], self.label[own]
                right[name] = (knn_accuracy(*asked, reference=known, label=label, weight=weight), len(own))
        parts, counts = (np.array(values) for values in zip(*right.values(), strict=True))
        draws = np.random.default_rng(0).integers(len(parts), size=(1000, len(parts)))
        return float(np.std((parts * counts)[draws].sum(axis=1) / counts[draws].sum(axis=1)))

    def _energy(self) -> Iterator[Row]:
        words, known_db = self.words, self.reference["curve_db"]
        drawn_db = response_db(nearest(self.model.decode(words.latent)), self.model.ranges)
        for index, term in enumerate(words.terms):
            made = self.curve_db[self.label == index]
            even = words.rows(term).float()
            rows = {
                "the model's draws": (drawn_db, words.shares(term)),
                "settings of the word": (known_db, even / even.sum()),
                "settings of any word": (known_db, torch.full_like(even, 1.0 / len(even))),
                "flat": (torch.zeros_like(known_db[:1]), torch.ones(1)),
                "these people among themselves": (made, torch.full((len(made),), 1.0 / len(made))),
            }
            for name, (curves, shares) in rows.items():
                yield f"energy score of {term}, dB", name, energy_score_db(curves, shares, made_db=made)
            people = [self.people[row] for row in (self.label == index).nonzero().flatten().tolist()]
            yield f"energy score of {term}, dB", "the same, nobody with himself", apart_db(made, people)
            error = error_over_people(*rows["the model's draws"], made, people)
            yield f"energy score of {term}, dB", "standard error of the draws' score", error

    def _steering(self) -> Iterator[Row]:
        for index, term in enumerate(self.words.terms):
            others = self.label != index
            for name, start, end, decode in (
                ("latent", self.latent[others], self.words.centre(term), self._decoded),
                ("parameters", self.u[others], self.words.mean_setting(term), nearest),
            ):
                for amount in AMOUNTS:
                    curves = response_db(nearest(decode(start + amount * (end - start))), self.model.ranges)
                    share = share_of_word(curves, reference=self.reference["curve_db"], is_word=self.words.rows(term))
                    change = (curves - self.curve_db[others]).abs().mean()
                    yield f"steering to {term}, by the {name}: share of neighbours", f"{amount:g}", float(share.mean())
                    yield f"steering to {term}, by the {name}: change, dB", f"{amount:g}", float(change)

    def _decoded(self, latent: Tensor) -> Tensor:
        return self.model.decode(latent)


def people_of(data: DataConfig, *, seed: int) -> list[str]:
    """Who made each held-out setting, validation first."""
    ranges = ranges_of(data)
    table = make_table(data.num_synthetic, ranges, seed=seed) if data.path is None else read_safe(data.path, data)
    _, validation, test = split_by_submitter(table, data, seed=seed)
    return [table.submitter[row] for row in (*validation, *test)]


def apart_db(made: Tensor, people: Sequence[str]) -> float:
    """Half the mean distance of settings of two people: what draws from where these people's come from would score."""
    distance = torch.cdist(made, made) / made.shape[1] ** 0.5
    others = torch.tensor([[one != other for other in people] for one in people])
    return 0.5 * float(distance[others].mean())


def error_over_people(curves: Tensor, shares: Tensor, made: Tensor, people: Sequence[str]) -> float:
    """Standard error of an energy score: people, not settings, are drawn anew."""
    rows = {name: [index for index, own in enumerate(people) if own == name] for name in dict.fromkeys(people)}
    random, scores = np.random.default_rng(0), []
    for _ in range(200):
        drawn = [index for name in random.choice(list(rows), len(rows)) for index in rows[name]]
        scores.append(energy_score_db(curves, shares, made_db=made[drawn]))
    return float(np.std(scores))


def main() -> None:
    found: dict[tuple[str, str], list[float]] = {}
    with torch.no_grad():
        for place in sys.argv[1:]:
            for table, row, value in Patient(Path(place)).rows():
                found.setdefault((table, row), []).append(value)
    for table in dict.fromkeys(table for table, _ in found):
        print(f"\n{table}")
        _print({row: values for (own, row), values in found.items() if own == table})


def _print(rows: Mapping[str, Sequence[float]]) -> None:
    for row, values in rows.items():
        each = ", ".join(f"{value:.3f}" for value in values)
        print(f"  {row:34} {np.mean(values):.3f}   ({each})")


if __name__ == "__main__":
    main()
