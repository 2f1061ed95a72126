"""The autoencoder as a program that plug-ins can run: a setting, moved towards words."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from distsys.domains.protocol import Program
from distsys.domains.semantic_eq.data.settings import Ranges
from distsys.domains.semantic_eq.model.network import SettingAutoencoder
from distsys.domains.semantic_eq.model.words import words_of


class Steering(nn.Module):
    """Codes moved towards a mixture of words; the encoder's codes, not refined.

    Args:
        centres: [words, latent].
    """

    centres: Tensor

    def __init__(self, model: SettingAutoencoder, centres: Tensor) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("centres", centres)

    def forward(self, setting: Tensor, word: Tensor, amount: Tensor) -> tuple[Tensor, Tensor]:
        """Settings [items, 13] in dB, Hz and 1; weights of words [items, words]; how far [items], 0 to 1."""
        latent = self.model.encode_setting(self.model.ranges.encode(setting))
        moved = latent + amount[:, None] * (word @ self.centres - latent)
        return self.model.ranges.decode(self.model.decode(moved)), latent


def program(model: SettingAutoencoder) -> Program:
    """``(setting, word, amount) -> (moved, latent)``; amount 0 is what the model makes of the setting itself."""
    terms = model.statistics["terms"]
    assert isinstance(terms, list)
    words = words_of(model)
    centres = torch.stack([words.centre(term) for term in terms])
    return Program(
        module=Steering(model, centres),
        inputs=_inputs(3, len(terms), model.ranges),
        check=_inputs(7, len(terms), model.ranges),
        outputs=("moved", "latent"),
        free={name: {0: "items"} for name in ("setting", "word", "amount", "moved", "latent")},
        about={
            "words": terms,
            "parameters": [item._asdict() for item in model.ranges.parameters],
        },
    )


def _inputs(items: int, num_words: int, ranges: Ranges) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    word = torch.nn.functional.one_hot(torch.arange(items) % num_words, num_words).float()
    setting = ranges.decode(torch.rand(items, len(ranges.parameters), generator=generator))
    return {"setting": setting, "word": word, "amount": torch.linspace(0.0, 1.0, items)}
