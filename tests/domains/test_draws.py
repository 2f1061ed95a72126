"""Draws on a device are those of numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from distsys.domains.draws import complex_normals, complex_normals_on, hashes, hashes_on, uniforms, uniforms_on

INDICES = [0, 1, 7, 2**31, 2**40 + 3]


@pytest.mark.parametrize("seed", [0, 5, 2**31, 2**33 + 1])
def test_the_bits_and_the_uniforms_are_the_same(seed: int) -> None:
    there = torch.tensor(INDICES)
    bits = hashes_on(there, seed=seed, num_lanes=9)
    np.testing.assert_array_equal(bits.numpy().view(np.uint64), hashes(INDICES, seed=seed, num_lanes=9))
    drawn = uniforms_on(there, seed=seed, num_lanes=9)
    np.testing.assert_array_equal(drawn.numpy(), uniforms(INDICES, seed=seed, num_lanes=9))


def test_complex_normals_differ_by_rounding_alone() -> None:
    drawn = complex_normals_on(torch.arange(4000), seed=3, num_lanes=5)
    assert drawn.dtype == torch.complex64
    np.testing.assert_allclose(drawn.numpy(), complex_normals(range(4000), seed=3, num_lanes=5), atol=3e-6)
