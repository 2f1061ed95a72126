"""The scan against a plain loop, and what the extractor promises: level, length, causality."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from distsys.config.layers import read_layers
from distsys.config.validate import config_type, validate_layers
from distsys.domains.speaker_extraction import answer as answer_module
from distsys.domains.speaker_extraction.answer import extract
from distsys.domains.speaker_extraction.config import Config, ModelConfig
from distsys.domains.speaker_extraction.model.bands import Bands, band_widths
from distsys.domains.speaker_extraction.model.network import Extractor, rms_of
from distsys.domains.speaker_extraction.model.scan import GatedScan, _Mix, scan
from tests.domains.speaker_extraction.support import SMALL_MODEL, small_config


def model(**settings: Any) -> Extractor:
    """A model with an opinion: its masks differ from place to place."""
    torch.manual_seed(0)
    config = small_config()
    made = Extractor(Config(data=config.data, model=ModelConfig.model_validate({**SMALL_MODEL, **settings})))
    with torch.no_grad():
        made.mask.weight.normal_(0.0, 0.5)
    return made.eval()


def sound(*shape: int, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("reverse", [False, True])
def test_scan_is_the_recurrence(axis: int, reverse: bool) -> None:
    values, keep = sound(4, 5, 3), torch.sigmoid(sound(4, 5, 3, seed=1))
    found = scan(values, keep, axis, reverse).movedim(axis, 0)
    state = torch.zeros(found.shape[1:])
    places = range(values.shape[axis])
    for place in reversed(places) if reverse else places:
        kept, value = keep.select(axis, place), values.select(axis, place)
        state = kept * state + (1.0 - kept) * value
        assert torch.allclose(found[place], state, atol=1e-6)


def mixed(axis: int) -> Callable[..., Tensor]:
    """The layer with its gradients by hand, as a function of its tensors."""
    return lambda *items: _Mix.apply(*items, axis)  # type: ignore[no-untyped-call]  # torch leaves apply untyped


@pytest.mark.parametrize("axis", [0, 2])
@pytest.mark.parametrize("directions", [1, 2])
def test_gradients_by_hand_are_those_of_finite_differences(axis: int, directions: int) -> None:
    layer = GatedScan(4, 3, axis=axis, num_directions=directions).double()
    x = sound(3, 2, 5, 4).double().requires_grad_()
    parts = x, layer.inputs, layer.bias, layer.out
    assert torch.autograd.gradcheck(mixed(axis), parts)


def test_scan_gives_the_same_with_and_without_gradients() -> None:
    layer, x = GatedScan(4, 3, axis=0), sound(6, 2, 5, 4)
    with torch.no_grad():
        plain = layer(x)
    assert torch.equal(layer(x), plain)


def test_a_scan_over_one_place_has_gradients() -> None:
    layer, x = GatedScan(4, 3, axis=0).double(), sound(1, 2, 2, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(mixed(0), (x, layer.inputs, layer.bias, layer.out))


@pytest.mark.parametrize("rate_hz", [4000, 8000, 16000, 48000])
@pytest.mark.parametrize("window", [64, 512, 2048])
def test_bands_cover_every_bin_once(window: int, rate_hz: int) -> None:
    widths = band_widths(window, sample_rate_hz=rate_hz)
    assert sum(widths) == window // 2 + 1
    assert min(widths) >= 1
    bands = Bands(widths)
    values = torch.arange(1.0, sum(widths) + 1.0)
    spectrum = torch.complex(values, -values)[None, :, None]
    features = bands.features(spectrum)  # [bands, 1, 1, 3 * size]
    real, imaginary, magnitude = features.unflatten(-1, (-1, 3)).unbind(-1)
    assert [int((band > 0.0).sum()) for band in magnitude] == widths
    pairs = torch.stack((real, imaginary), dim=-1).flatten(-2)
    found = bands.to_bins(pairs)
    assert torch.allclose(found.abs() ** (1.0 / 0.3) / found.abs()[:, :1] ** (1.0 / 0.3), values[None, :, None])


def test_the_base_model_is_built_and_has_gradients() -> None:
    layers = read_layers(
        Path(__file__).parents[3] / "configs" / "speaker_extraction.yaml", preset="gpu", overrides=("device=cpu",)
    )
    config = validate_layers(layers, config_type(Config))
    assert isinstance(config, Config)
    made = Extractor(config)
    assert sum(item.numel() for item in made.parameters()) > 1e6
    made(sound(1, 2000), sound(1, 2, 2000)).square().sum().backward()
    assert all(item.grad is not None and bool(item.grad.isfinite().all()) for item in made.parameters())


def test_the_model_for_16_khz_hears_up_to_8_khz_in_frames_as_long() -> None:
    path = Path(__file__).parents[3] / "configs" / "speaker_extraction.yaml"
    usual, wide = (
        validate_layers(read_layers(path, preset=preset, overrides=()), config_type(Config))
        for preset in ("laptop", "laptop_16k")
    )
    assert isinstance(usual, Config) and isinstance(wide, Config)
    assert wide.model.window / wide.data.sample_rate_hz == usual.model.window / usual.data.sample_rate_hz
    assert (usual.data.speeds, usual.data.ta_from) == (wide.data.speeds, wide.data.ta_from)
    narrow, made = Extractor(usual), Extractor(wide)
    assert made.bands.num_bands == narrow.bands.num_bands + 5
    with torch.no_grad():
        hiss = torch.sin(torch.arange(8000) * (2.0 * torch.pi * 6000.0 / 16000.0))[None]
        assert float(made(hiss, sound(1, 1, 8000)).square().mean()) > 0.1  # a sound above 4 kHz is handed on


def test_a_new_model_hands_on_the_mixture_a_little_softer() -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        fresh = Extractor(small_config()).eval()(sound(1, 3000), sound(1, 2, 2000))
    gain = float((fresh[0, 0] * sound(1, 3000)[0]).sum() / sound(1, 3000).square().sum())
    assert gain == pytest.approx(0.6, abs=0.05)


@pytest.mark.parametrize("scale", [1e-2, 1e2])
def test_estimate_scales_with_the_mixture_and_not_with_the_enrolment(scale: float) -> None:
    made, mixture, enrolment = model(), sound(2, 3000), sound(2, 2, 2000, seed=1)
    with torch.no_grad():
        before = made(mixture, enrolment)
        louder, other = made(scale * mixture, enrolment), made(mixture, scale * enrolment)
    assert torch.allclose(louder, scale * before, rtol=1e-3, atol=1e-5 * scale)
    assert torch.allclose(other, before, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("causal", [True, False])
def test_queries_of_one_mixture_do_not_mix(causal: bool) -> None:
    made, mixture, enrolment = model(causal=causal), sound(2, 3000), sound(2, 2, 2000, seed=1)
    with torch.no_grad():
        both, alone = made(mixture, enrolment), made(mixture[1:], enrolment[1:, 1:])
    assert torch.allclose(both[1, 1], alone[0, 0], atol=1e-6)
    assert not torch.allclose(both[1, 0], both[1, 1], atol=1e-3)


def test_equal_lengths_take_the_same_way_as_different_ones() -> None:
    """One pass over mixture and enrolments together is what two passes are."""
    made, mixture, enrolment = model(), sound(2, 2048), sound(2, 2, 2048, seed=1)
    passes: list[int] = []
    made.shared.register_forward_hook(lambda module, inputs, output: passes.append(inputs[0].shape[1]))
    with torch.no_grad():
        together = made(mixture, enrolment)
        spectra = made.stft(mixture), made.stft(enrolment.flatten(0, 1))
        heard, known = (
            made.shared(made.encode(made.bands.features(item / rms_of(item, causal=False)))) for item in spectra
        )
        x = made.alone(heard).repeat_interleave(2, dim=1)
        for fusion, block in zip(made.fusions, made.blocks, strict=True):
            x = block(fusion(x, known))
        masks = made.bands.to_bins(made.mask(torch.tanh(made.mask_hidden(made.norm(x)))))
        apart = made.stft.inverse(masks * spectra[0].repeat_interleave(2, dim=0), 2048).view(2, 2, -1)
    assert passes == [6, 2, 4]
    assert torch.allclose(together, apart, atol=1e-5)


def test_half_precision_trains_and_stays_near() -> None:
    mixture, enrolment = sound(2, 3000), sound(2, 2, 2000, seed=1)
    made = model()
    whole = made(mixture, enrolment)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = made(mixture, enrolment)
    half.float().square().mean().backward()
    assert float((half - whole).detach().norm() / whole.detach().norm()) < 0.05
    assert all(item.grad is not None and bool(torch.isfinite(item.grad).all()) for item in made.parameters())


def test_a_causal_model_does_not_look_ahead() -> None:
    enrolment = sound(1, 1, 2000, seed=1)
    for causal in (True, False):
        made, mixture = model(causal=causal), sound(1, 4000)
        changed = mixture.clone()
        changed[:, 2500:] = sound(1, 1500, seed=9)
        with torch.no_grad():
            same = made(mixture, enrolment)[..., :2300] - made(changed, enrolment)[..., :2300]
        assert (float(same.abs().max()) < 1e-6) is causal


@pytest.mark.parametrize("causal", [True, False])
def test_a_long_recording_is_worked_on_in_pieces_that_fit_together(
    causal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, mixture, enrolment = model(causal=causal), sound(30000), sound(3000, seed=1)
    mixture[:9000] *= 0.05  # a quiet beginning: pieces on their own would be normalised to another level
    with torch.no_grad():
        whole = extract(made, mixture, enrolment)
        monkeypatch.setattr(answer_module, "_CHUNK_S", 1.0)
        monkeypatch.setattr(answer_module, "_OVERLAP_S", 0.5)
        pieces = extract(made, mixture, enrolment)
    assert pieces.shape == whole.shape
    assert float((pieces - whole).square().mean().sqrt()) < 0.05 * float(whole.square().mean().sqrt())
