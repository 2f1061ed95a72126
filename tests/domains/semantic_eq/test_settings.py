"""The codec and the response: exact inverses, the cookbook's biquads, and no second decoding."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.signal import freqz

from distsys.domains.semantic_eq.config import NUM_PARAMETERS
from distsys.domains.semantic_eq.data.response import band_responses_db, frequency_grid_hz, response_db
from distsys.domains.semantic_eq.data.settings import (
    BANDS,
    SAFE,
    SAFE_PARAMETERS,
    SHELF_Q,
)


def random_u(count: int, *, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.rand(count, NUM_PARAMETERS, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_encode_and_decode_are_inverses_over_the_whole_range_edges_included(dtype: torch.dtype) -> None:
    edges = torch.stack([torch.zeros(NUM_PARAMETERS), torch.ones(NUM_PARAMETERS)]).to(dtype)
    u = torch.cat([random_u(500, dtype=dtype), edges])
    assert (SAFE.encode(SAFE.decode(u)) - u).abs().max() < 1e-6
    physical = SAFE.decode(u)
    assert ((SAFE.decode(SAFE.encode(physical)) - physical) / physical.abs().clamp(min=1)).abs().max() < 1e-5


def test_edges_decode_to_the_physical_bounds() -> None:
    low, high = (SAFE.decode(torch.full((1, NUM_PARAMETERS), end, dtype=torch.float64))[0] for end in (0.0, 1.0))
    assert low.tolist() == pytest.approx([item.low for item in SAFE_PARAMETERS], rel=1e-12)
    assert high.tolist() == pytest.approx([item.high for item in SAFE_PARAMETERS], rel=1e-12)


def test_decoding_a_second_time_is_refused_and_named() -> None:
    physical = SAFE.decode(random_u(4))
    with pytest.raises(ValueError, match="is not in u in"):
        SAFE.decode(physical)


def test_encoding_refuses_nan_and_values_out_of_range_by_name() -> None:
    physical = SAFE.decode(random_u(3))
    physical[1, 3] = math.nan
    with pytest.raises(ValueError, match="bell1_freq_hz = nan"):
        SAFE.encode(physical)
    physical[1, 3] = 1.6e6
    with pytest.raises(ValueError, match=r"bell1_freq_hz = 1.6e\+06 .*\(bounds 82 to 3900 Hz\)"):
        SAFE.encode(physical)


def test_sorting_bells_keeps_the_response() -> None:
    u = random_u(200)
    ordered = SAFE.sort_bells(u)
    centres = SAFE.decode(ordered)[:, [3, 6, 9]]
    assert bool((centres.diff(dim=1) >= 0).all())
    assert (response_db(ordered, SAFE) - response_db(u, SAFE)).abs().max() < 1e-6


def biquad(kind: str, gain_db: float, freq_hz: float, q: float, rate_hz: float) -> tuple[list[float], list[float]]:
    """Coefficients as the cookbook writes them."""
    a = 10 ** (gain_db / 40)
    w = 2 * math.pi * freq_hz / rate_hz
    cos, alpha, root = math.cos(w), math.sin(w) / (2 * q), math.sqrt(a)
    if kind == "bell":
        return [1 + alpha * a, -2 * cos, 1 - alpha * a], [1 + alpha / a, -2 * cos, 1 - alpha / a]
    s = 1 if kind == "low_shelf" else -1
    up, down = a + 1, a - 1
    b = [
        a * (up - s * down * cos + 2 * root * alpha),
        s * 2 * a * (down - s * up * cos),
        a * (up - s * down * cos - 2 * root * alpha),
    ]
    c = [up + s * down * cos + 2 * root * alpha, -s * 2 * (down + s * up * cos), up + s * down * cos - 2 * root * alpha]
    return b, c


def test_the_closed_form_is_the_cookbooks_biquads() -> None:
    u = random_u(20)
    physical, grid = SAFE.decode(u).numpy(), frequency_grid_hz().numpy()
    expected = np.zeros((20, len(BANDS), len(grid)))
    for row in range(20):
        for index, band in enumerate(BANDS):
            q = SHELF_Q if band.q is None else physical[row, band.q]
            b, a = biquad(band.kind, physical[row, band.gain], physical[row, band.freq], q, 44100.0)
            expected[row, index] = 20 * np.log10(np.abs(freqz(b, a, worN=2 * np.pi * grid / 44100.0)[1]))
    assert np.abs(band_responses_db(u, SAFE).numpy() - expected).max() < 1e-8
    assert np.abs(response_db(u, SAFE).numpy() - expected.sum(axis=1)).max() < 1e-8
    assert np.abs(response_db(u.float(), SAFE).numpy() - expected.sum(axis=1)).max() < 2e-3


def test_a_flat_setting_has_a_flat_response() -> None:
    u = random_u(5)
    u[:, [band.gain for band in BANDS]] = 0.5
    assert response_db(u, SAFE).abs().max() < 1e-9


def test_the_response_is_differentiable() -> None:
    u = (0.1 + 0.8 * random_u(2)).requires_grad_()
    assert torch.autograd.gradcheck(lambda value: response_db(value, SAFE, num_points=8), (u,))


def test_a_band_at_or_above_half_the_sample_rate_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a sample rate above 16000 Hz"):
        response_db(torch.ones(1, NUM_PARAMETERS), SAFE, sample_rate_hz=16000.0)
