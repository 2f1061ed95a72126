"""Round trips of codecs: broken ones are named with field and size, sound ones are silent (D1)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from distsys.domains.ground_motion.data import npz, rereading
from distsys.domains.registry import get_domain
from distsys.domains.ris_localization.data import geometry
from distsys.domains.semantic_eq.data import settings
from distsys.health.causes import ROUND_TRIP, SCALED_TWICE
from distsys.health.probes.codec import decoding_undoes_encoding
from distsys.health.verdict import Verdict
from distsys.signals.stft import Stft
from distsys.specs import RoundTrip
from tests.health.probes.support import found, noise_of

Decode = Callable[[Tensor], Tensor]


def trips(decode: Decode, low: float = -1.0, high: float = 1.0) -> Callable[..., Mapping[str, RoundTrip]]:
    """The sine's input, decoded in this way."""
    return lambda config, statistics, batch: {"x": RoundTrip(batch["x"], decode(batch["x"]), "V", low, high)}


@pytest.mark.parametrize("factor", [1 / 1000, 1 / 80, 0.99, 1.01, 80.0, -1.0])
def test_what_is_scaled_on_its_way_back_is_scaled_twice(outside: Path, factor: float) -> None:
    (verdict,) = found(decoding_undoes_encoding, outside, round_trip=trips(lambda x: factor * x))
    assert (verdict.status, verdict.cause) == ("stop", SCALED_TWICE.name)
    assert verdict.evidence == f"'x' comes back {factor:.4g} times as large as it was"


def test_a_peak_of_each_item_is_a_scale_too(outside: Path) -> None:
    def once_more(x: Tensor) -> Tensor:
        return x * torch.linspace(0.01, 0.02, len(x))[:, None]

    wide = noise_of(range(4), 50)
    (verdict,) = found(
        decoding_undoes_encoding, outside, round_trip=lambda *_: {"x": RoundTrip(wide, once_more(wide), "V")}
    )
    assert (verdict.status, verdict.cause) == ("stop", SCALED_TWICE.name)


@pytest.mark.parametrize(
    ("decode", "status"),
    [
        (lambda x: x + 0.5, "stop"),
        (lambda x: x.clamp(-0.5, 0.5), "stop"),
        (lambda x: x.abs(), "stop"),
        (lambda x: x + 2e-4 * (x > 0), "warn"),
        (lambda x: x.sqrt(), "stop"),
        (lambda x: x[:, :0], "stop"),
    ],
    ids=["shifted", "clamped", "without its sign", "rounded", "lost", "another shape"],
)
def test_what_does_not_come_back_is_named(outside: Path, decode: Decode, status: str) -> None:
    (verdict,) = found(decoding_undoes_encoding, outside, round_trip=trips(decode))
    assert (verdict.status, verdict.cause) == (status, ROUND_TRIP.name)
    assert verdict.evidence.startswith("'x' comes back up to ")


@pytest.mark.parametrize("decode", [lambda x: x, lambda x: x * (1 + 1e-6), lambda x: x.double().float()])
def test_what_comes_back_is_healthy(outside: Path, decode: Decode) -> None:
    assert found(decoding_undoes_encoding, outside, round_trip=trips(decode)) == []
    assert found(decoding_undoes_encoding, outside, round_trip=trips(decode, -math.inf, math.inf)) == []


def test_gaps_silence_and_nothing_at_all_are_healthy(outside: Path) -> None:
    gaps = torch.tensor([[0.0, math.nan], [1.0, 2.0]])
    for values in (gaps, torch.zeros(3, 2), torch.zeros(0, 2)):
        trip = RoundTrip(values, values.nan_to_num(7.0), "V")
        assert found(decoding_undoes_encoding, outside, round_trip=lambda *_, trip=trip: {"x": trip}) == []


def test_a_domain_without_a_codec_is_not_asked(outside: Path) -> None:
    assert found(decoding_undoes_encoding, outside) == []


def test_a_codec_that_refuses_its_own_code_is_broken(outside: Path) -> None:
    def refuse(config: Any, statistics: Any, batch: Any) -> Any:
        raise ValueError("u = 3 is not in [0, 1]")

    (verdict,) = found(decoding_undoes_encoding, outside, round_trip=refuse)
    assert (verdict.status, verdict.cause) == ("stop", ROUND_TRIP.name)
    assert "ValueError: u = 3 is not in [0, 1]" in verdict.evidence


BATCHES = {
    "ground_motion": {"motion": 0.1 * noise_of(range(4), 2048)},
    "ris_localization": {
        "uvq": torch.tensor([[[0.1, -0.2, 0.5], [0.0, 0.0, 0.0]], [[0.4, 0.3, 2.0], [-0.5, 0.6, 1.0]]]),
        "num_sources": torch.tensor([1, 2]),
    },
    "semantic_eq": {"u": torch.rand(8, 13, generator=torch.Generator().manual_seed(0))},
    "speaker_extraction": {"mixture": 0.1 * noise_of(range(3), 8000)},
}


def asked(name: str) -> list[Verdict]:
    """What the probe finds on a batch of a shipped domain."""
    domain: Any = get_domain(name)
    config = SimpleNamespace(model=SimpleNamespace(window=256), data=SimpleNamespace(bounds={}))
    patient: Any = SimpleNamespace(late=BATCHES[name], round_trip=lambda batch: domain.round_trip(config, {}, batch))
    return decoding_undoes_encoding(patient)


@pytest.mark.parametrize("name", sorted(BATCHES))
def test_shipped_codecs_are_sound(name: str) -> None:
    assert asked(name) == []


def broken_level(original: Any) -> Any:
    """PGA once more: what the original project did."""
    return lambda path, samples, pga: samples * pga * pga


def in_wrong_units(original: Any) -> Any:
    return lambda samples, **more: original(np.asarray(samples) / 9.80665, **more)


def range_and_not_curvature(original: Any) -> Any:
    return lambda physical: torch.cat([original(physical)[:, :2], physical[:, 2:]], dim=1)


def hertz_linearly(original: Any) -> Any:
    def decode(self: settings.Ranges, u: Tensor) -> Tensor:
        low, high = (u.new_tensor([getattr(item, end) for item in settings.SAFE_PARAMETERS]) for end in ("low", "high"))
        linear: Tensor = low + u * (high - low)
        return linear

    return decode


def unwindowed(original: Any) -> Any:
    return lambda self, spectrum, length: torch.istft(
        spectrum, self.size, self.hop, window=torch.ones(self.size), length=length
    )


@pytest.mark.parametrize(
    ("name", "where", "part", "broken", "cause", "what"),
    [
        ("ground_motion", npz, "_denormalised", broken_level, SCALED_TWICE, "'motion as NPZ' comes back 0."),
        (
            "ground_motion",
            rereading,
            "at2_text",
            in_wrong_units,
            SCALED_TWICE,
            "'motion as AT2' comes back 0.102 times",
        ),
        ("ris_localization", geometry, "from_physical", range_and_not_curvature, ROUND_TRIP, "'q' comes back up to"),
        ("semantic_eq", settings.Ranges, "decode", hertz_linearly, ROUND_TRIP, "'low_shelf_freq_hz' comes back up to"),
        ("speaker_extraction", Stft, "inverse", unwindowed, ROUND_TRIP, "'mixture' comes back up to"),
    ],
)
def test_a_broken_codec_of_a_shipped_domain_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, where: Any, part: str, broken: Any, cause: Any, what: str
) -> None:
    monkeypatch.setattr(where, part, broken(getattr(where, part)))
    verdicts = asked(name)
    assert (verdicts[0].status, verdicts[0].cause) == ("stop", cause.name)
    assert verdicts[0].evidence.startswith(what)
