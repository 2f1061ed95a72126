"""Clusters and neighbours beside scikit-learn, responses of biquads beside SciPy's way from analogue to digital."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import bilinear, freqz, lp2lp
from sklearn.metrics import silhouette_score
from sklearn.neighbors import KNeighborsClassifier

from distsys.domains.semantic_eq.config import NUM_PARAMETERS
from distsys.domains.semantic_eq.data.response import SAMPLE_RATE_HZ, band_responses_db, frequency_grid_hz
from distsys.domains.semantic_eq.data.settings import BANDS, SAFE, SHELF_Q
from distsys.domains.semantic_eq.score.metrics import NUM_NEIGHBOURS, knn_accuracy, silhouette


def clusters(words: int, *, spread: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """300 points in four dimensions around the place of their word."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(words, (300,), generator=generator)
    places = torch.randn(words, 4, generator=generator, dtype=torch.float64)
    return places[label] + spread * torch.randn(300, 4, generator=generator, dtype=torch.float64), label


@pytest.mark.parametrize("words", [2, 5])
@pytest.mark.parametrize("spread", [0.1, 1.0, 5.0])
def test_the_silhouette_is_scikit_learn_s(words: int, spread: float) -> None:
    """Float64 rounding, as every word has several points; scikit-learn counts a lone one as 0, we leave it out."""
    points, label = clusters(words, spread=spread)
    expected = silhouette_score(points.numpy(), label.numpy())
    assert silhouette(points, label) == pytest.approx(expected, abs=1e-6)
    unlabelled = torch.cat([label, torch.full((20,), -1)])
    more = torch.cat([points, torch.zeros(20, 4, dtype=torch.float64)])
    assert silhouette(more, unlabelled) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("spread", [0.5, 1.0, 5.0])
def test_neighbours_vote_as_scikit_learn_s(spread: float) -> None:
    """Exactly: of two words 15 votes are never even."""
    known, label = clusters(2, spread=spread)
    query, asked = clusters(2, spread=spread, seed=0)
    query = query + 0.1 * torch.randn(query.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    other = KNeighborsClassifier(NUM_NEIGHBOURS).fit(known.numpy(), label.numpy())
    found = knn_accuracy(query, asked, reference=known, label=label, weight=torch.ones(len(known)))
    assert found == pytest.approx(other.score(query.numpy(), asked.numpy()), abs=1e-6)


def prototype(kind: str, a: float, q: float) -> tuple[list[float], list[float]]:
    """The cookbook's analogue filters at 1 rad/s."""
    if kind == "bell":
        return [1.0, a / q, 1.0], [1.0, 1.0 / (a * q), 1.0]
    slope = a**0.5 / q
    low, high = [a, a * slope, a * a], [a, slope, 1.0]
    return (low, high) if kind == "low_shelf" else (low[::-1], high[::-1])


def test_responses_are_those_of_scipy_s_bilinear_transform() -> None:
    """SciPy moves the analogue filter and makes it digital; its float64 coefficients cancel near 20 Hz to 1e-10 dB."""
    u = torch.rand(20, NUM_PARAMETERS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    physical, found = SAFE.decode(u).numpy(), band_responses_db(u, SAFE).numpy()
    omega = 2.0 * np.pi * frequency_grid_hz().numpy() / SAMPLE_RATE_HZ
    for row in range(20):
        for index, band in enumerate(BANDS):
            q = SHELF_Q if band.q is None else physical[row, band.q]
            analogue = prototype(band.kind, 10.0 ** (physical[row, band.gain] / 40.0), q)
            centre = 2.0 * SAMPLE_RATE_HZ * np.tan(np.pi * physical[row, band.freq] / SAMPLE_RATE_HZ)
            digital = bilinear(*lp2lp(*analogue, centre), fs=SAMPLE_RATE_HZ)
            expected = 20.0 * np.log10(np.abs(freqz(*digital, worN=omega)[1]))
            assert np.abs(found[row, index] - expected).max() < 1e-8
