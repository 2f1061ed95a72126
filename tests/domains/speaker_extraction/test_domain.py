"""The contract, synthetic voices, and what figures and samples show."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
import pytest
import soundfile
import torch

from distsys.domains.protocol import Exporting, Sampling
from distsys.domains.speaker_extraction import SpeakerExtraction
from distsys.domains.speaker_extraction.data.bundle import build_data
from distsys.domains.speaker_extraction.data.synthetic import Voice, speak, synthetic_voices
from distsys.domains.speaker_extraction.model.network import Extractor
from distsys.domains.speaker_extraction.score.baselines import as_it_is, baselines, ideal_ratio_mask
from distsys.domains.speaker_extraction.score.evaluation import evaluate, scores_by_group
from distsys.domains.speaker_extraction.score.samples import samples as samples_of
from distsys.signals.stft import Stft
from distsys.testing.contract import DomainContract
from distsys.testing.subject import Overfit
from tests.domains.speaker_extraction.support import RATE_HZ, SMALL, small_config


class TestSpeakerExtraction(DomainContract):
    domain_name = "speaker_extraction"
    overrides = SMALL
    overfit = Overfit("phase", rate=1e-2, steps=100, share=0.7)


class TestCausal(DomainContract):
    domain_name = "speaker_extraction"
    overrides = (*SMALL, "model.causal=true", "data.max_interferers=2", "model.ta_reference=full_scale")
    overfit = Overfit("phase", rate=1e-2, steps=100, share=0.8)


def test_the_domain_can_be_heard_and_exported() -> None:
    assert isinstance(SpeakerExtraction(), Sampling)
    assert isinstance(SpeakerExtraction(), Exporting)


def test_voices_have_the_pitch_they_were_given() -> None:
    for pitch_hz in (100.0, 220.0):
        voice = Voice(pitch_hz, formants=(1.0,) * 4, tilt_db_per_octave=-9.0, breath=0.01, syllables_per_s=4.0)
        samples = speak(voice, seconds=4.0, sample_rate_hz=RATE_HZ, random=np.random.default_rng(0))
        frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), 800)[::400]
        found = []
        for frame in frames[np.square(frames).mean(axis=1) > np.square(samples).mean()]:
            lags = np.correlate(frame, frame, "full")[799:]
            shortest = int(RATE_HZ / 400.0)
            found.append(RATE_HZ / (shortest + lags[shortest : int(RATE_HZ / 70.0)].argmax()))
        assert np.median(found) == pytest.approx(pitch_hz, rel=0.1)


def test_voices_depend_on_the_seed_and_on_nothing_else() -> None:
    one, same, other = (synthetic_voices(2, seconds=4.0, sample_rate_hz=RATE_HZ, seed=seed) for seed in (0, 0, 1))
    assert all((one[name][1] == same[name][1]).all() for name in one)
    assert not np.array_equal(one["voice_0000"][0], other["voice_0000"][0])
    assert not np.array_equal(one["voice_0000"][0], one["voice_0001"][0])
    assert [len(item) for item in one["voice_0000"]] == [16000, 16000]
    assert np.sqrt(np.mean(one["voice_0000"][0] ** 2)) == pytest.approx(0.1, rel=1e-3)


def test_baselines_do_nothing_and_know_everything() -> None:
    bundle = build_data(small_config(), seed=0)
    found = baselines(small_config(), bundle, bundle.test)
    assert {name: row.kind for name, row in found.items()} == {"mixture": "trivial", "oracle mask": "bound"}
    rows = {name: row.metrics for name, row in found.items()}
    assert rows["mixture"]["si_sdri_db"] == 0.0
    assert rows["mixture"]["ta_attenuation_db"] == 0.0
    assert rows["oracle mask"]["si_sdri_db"] > 8.0
    assert rows["oracle mask"]["wrong_speaker_rate"] == 0.0
    assert rows["oracle mask"]["rms_ratio"] == pytest.approx(1.0, abs=0.05)
    batch = bundle.test.batches[0]
    assert ideal_ratio_mask(batch, Stft(256)).shape == as_it_is(batch).shape


def test_metrics_of_a_perfect_answer_and_of_half_of_it() -> None:
    bundle = build_data(small_config(), seed=0)
    for gain in (1.0, 0.5):
        scores = scores_by_group(bundle.test.batches, [gain * oracle(batch) for batch in bundle.test.batches])[""]
        found = scores.summary()
        assert found["si_sdr_db"] == pytest.approx(60.0, abs=0.1)
        assert found["rms_ratio"] == pytest.approx(gain, rel=1e-4)
        assert found["share_above_1db"] == 1.0
        assert found["share_below_0db"] == 0.0
        assert found["ta_attenuation_db"] == 30.0
        assert found["ta_quiet_share"] == 1.0


def test_one_perfect_silence_does_not_make_up_for_other_answers() -> None:
    bundle = build_data(small_config(), seed=0)
    turn = iter(range(1000))

    def silent_at_times(batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        absent = (batch["asked"] < 0)[..., None]
        silenced = torch.tensor([[next(turn) % 4 == 1] * 2 for _ in batch["asked"]])[..., None]
        return torch.where(absent & silenced, 0.0, as_it_is(batch)) + oracle(batch) * ~absent

    found = scores_by_group(bundle.test.batches, map(silent_at_times, bundle.test.batches))[""].summary()
    assert 0.0 < found["ta_quiet_share"] < 0.5
    assert found["ta_attenuation_db"] == pytest.approx(30.0 * found["ta_quiet_share"])


def oracle(batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    sources, asked = batch["sources"], batch["asked"]
    picked = torch.stack([source[index.clamp(min=0)] for source, index in zip(sources, asked, strict=True)])
    return picked * (asked >= 0)[..., None]


def test_samples_are_the_median_the_worst_and_an_absent_speaker() -> None:
    config = small_config()
    bundle = build_data(config, seed=0)
    torch.manual_seed(0)
    model = Extractor(config).eval()
    with torch.no_grad():
        evaluation = evaluate(model, bundle.test)
        examples = {item.label: item for item in evaluation.details.examples}
        files = samples_of(model, bundle.test, evaluation)
    assert list(examples) == ["median", "worst", "loudest absent"]
    assert not examples["loudest absent"].target.any()
    assert examples["worst"].target.any()
    samples, rate_hz = soundfile.read(io.BytesIO(files["median_estimate.wav"]), dtype="float32")
    assert rate_hz == RATE_HZ
    assert np.array_equal(samples, examples["median"].estimate)
    assert len(files) == 12
