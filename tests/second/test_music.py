"""Directions of far sources by MUSIC here and in pyroomacoustics, which knows plane waves only."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from pyroomacoustics.doa import MUSIC
from torch import Tensor

from distsys.domains.ris_localization.data.geometry import Surface, from_physical
from distsys.domains.ris_localization.data.steering import Steering
from distsys.domains.ris_localization.model.music import Music
from distsys.domains.ris_localization.model.subspace import main_eigenvectors

STEP_DEG = 1.0
FAR = Surface(
    num_x=8,
    num_y=8,
    wavelength_m=0.3,
    spacing_m=0.15,
    max_phi_rad=math.radians(60.0),
    max_theta_rad=math.radians(30.0),
    min_range_m=1e3,
    max_range_m=1e5,
)
"""At 1 km the wave is bent by 0.003 of a turn over the surface."""


def snapshots(directions_deg: list[tuple[float, float]], *, snr_db: float, count: int = 200) -> Tensor:
    """[64, count] from incoherent sources of equal power at (phi, theta), 10 km away, with white noise."""
    generator = torch.Generator().manual_seed(0)
    physical = torch.tensor([(math.radians(phi), math.radians(theta), 1e4) for phi, theta in directions_deg])
    steering = Steering.of(FAR).vectors(from_physical(physical.double())).mT * math.sqrt(FAR.num_elements)
    signals, noise = (
        torch.randn(rows, count, generator=generator, dtype=torch.complex128)
        for rows in (len(directions_deg), FAR.num_elements)
    )
    return steering @ signals + 10.0 ** (-snr_db / 20.0) * noise


def ours(field: Tensor, sources: int) -> np.ndarray:
    """Direction vectors [sources, 3]."""
    subspace = main_eigenvectors(field[None], rank=sources)[0]
    uvq, _ = Music(FAR, Steering.of(FAR)).candidates(subspace, count=sources)
    u, v = uvq[0, :sources, :2].numpy().T
    return np.stack([u, v, np.sqrt(1.0 - u**2 - v**2)], axis=1)


def theirs(field: Tensor, sources: int) -> np.ndarray:
    """Direction vectors [sources, 3], at 1 Hz with a speed of one wavelength a second, in front of the surface."""
    places = np.vstack([FAR.positions_m().numpy().T, np.zeros(FAR.num_elements)])
    around = np.radians(np.arange(-180.0, 180.0, STEP_DEG))
    music = MUSIC(
        places,
        fs=4,
        nfft=4,
        c=FAR.wavelength_m,
        num_src=sources,
        azimuth=around,
        colatitude=np.radians(np.arange(0.5, 89.0, STEP_DEG)),
        dim=3,
    )
    spectra = np.zeros((FAR.num_elements, 3, field.shape[1]), dtype=complex)
    spectra[:, 1] = field.numpy()
    music.locate_sources(spectra, freq_bins=[1])
    azimuth, colatitude = music.azimuth_recon, music.colatitude_recon
    return np.stack(
        [np.sin(colatitude) * np.cos(azimuth), np.sin(colatitude) * np.sin(azimuth), np.cos(colatitude)], axis=1
    )


@pytest.mark.parametrize(
    "directions_deg", [[(-25.0, -10.0), (30.0, 12.0)], [(0.3, 20.0), (5.0, -20.0)], [(-50.0, 0.0), (-5.0, 3.0)]]
)
def test_both_find_the_same_directions(directions_deg: list[tuple[float, float]]) -> None:
    """Within the other's grid step of 1 degree: ours is refined, theirs is the nearest of its points."""
    field = snapshots(directions_deg, snr_db=20.0)
    one, other = ours(field, 2), theirs(field, 2)
    gaps_deg = np.degrees(np.arccos(np.clip(one @ other.T, -1.0, 1.0)))
    assert sorted(gaps_deg.argmin(axis=1)) == [0, 1]
    assert gaps_deg.min(axis=1).max() < STEP_DEG
