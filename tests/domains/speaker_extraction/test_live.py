"""Block by block a causal model gives what it gives for the whole, one frame later."""

from __future__ import annotations

import pytest
import torch

from distsys.domains.speaker_extraction.model.live import Live
from distsys.errors import UsageError
from tests.domains.speaker_extraction.test_model import model, sound


@pytest.mark.parametrize("block", [64, 37, 1000])
@pytest.mark.parametrize("depth", [1, 2])
def test_blocks_are_the_whole(block: int, depth: int) -> None:
    made, mixture, enrolment = model(causal=True, depth=depth), sound(4000), sound(3000, seed=1)
    with torch.no_grad():
        whole = made(mixture[None], enrolment[None, None])[0, 0]
    live, found, came_in = Live(made, enrolment), [], 0
    for part in mixture.split(block):
        found.append(live.push(part))
        came_in += len(part)
        out = sum(map(len, found))
        assert 0 <= came_in - out < made.stft.size + made.stft.hop
    joined = torch.cat(found)
    assert len(joined) > 3800
    assert torch.allclose(joined, whole[: len(joined)], atol=1e-6)
    assert live.latency_s == made.stft.size / 8000


def test_nothing_comes_out_before_a_frame_came_in() -> None:
    live = Live(model(causal=True), sound(3000))
    assert live.push(sound(100)).shape == (0,)
    assert live.push(sound(28)).shape == (64,)


def test_a_model_that_looks_ahead_is_refused() -> None:
    with pytest.raises(UsageError, match=r"model\.causal=true"):
        Live(model(), sound(3000))
