"""The transform there and back, also for what was masked between."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from distsys.signals.stft import Stft


def sound(*shape: int) -> Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_spectrum_goes_back_to_the_samples() -> None:
    stft = Stft(128)
    for length in (128, 1000, 4001):
        samples = sound(2, length)
        assert torch.allclose(stft.inverse(stft(samples), length), samples, atol=1e-6)


@pytest.mark.parametrize("length", [1000, 1023, 1025])
def test_a_mask_leaves_the_last_samples_at_their_level(length: int) -> None:
    """Under one frame alone they would be divided by the window's end, up to a hundred times too loud."""
    stft, samples = Stft(128), sound(400, length)
    found = stft(samples)
    mask = torch.rand(found.shape, generator=torch.Generator().manual_seed(0))
    level = stft.inverse(mask * found, length).square().mean(dim=0).sqrt()
    assert float(level[-4:].max()) < 2.0 * float(level[200:-200].mean())
