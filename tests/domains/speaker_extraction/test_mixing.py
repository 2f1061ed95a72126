"""What mixtures are made of: who, where, how loud, and that nothing leaks from one set into another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distsys.domains.speaker_extraction.config import DataConfig
from distsys.domains.speaker_extraction.data.bundle import build_data
from distsys.domains.speaker_extraction.data.corpus import Corpus, crop_grid, two_parts, with_speeds
from distsys.domains.speaker_extraction.data.material import gather_material
from distsys.domains.speaker_extraction.data.mixing import Mixer, MixtureSource, reverberant
from distsys.domains.speaker_extraction.data.picker import Picker
from distsys.domains.speaker_extraction.data.picks import Picks
from distsys.domains.speaker_extraction.data.queries import ABSENT, target_of
from distsys.domains.speaker_extraction.data.stock import NoiseBank, Stock
from distsys.domains.speaker_extraction.data.synthetic import synthetic_voices
from distsys.signals.levels import rms
from distsys.training.workers import Workers
from tests.domains.speaker_extraction.support import RATE_HZ, small_config, write_noise

LENGTHS = 4000, 3000


def source(
    *, rooms: np.ndarray | None = None, bank: NoiseBank | None = None, frozen: bool = False, **data: object
) -> MixtureSource:
    config = DataConfig.model_validate(data)
    voices = synthetic_voices(6, seconds=4.0, sample_rate_hz=RATE_HZ, seed=1)
    spread = with_speeds(voices, config.speeds)
    stock = Stock.of(spread, num_persons=6, lengths=LENGTHS, sample_rate_hz=RATE_HZ, noise=bank, rooms=rooms)
    return MixtureSource(Picker(config, stock, seed=3, frozen=frozen), Mixer(stock))


def people(picks: Picks, corpus: Corpus) -> tuple[np.ndarray, np.ndarray]:
    """Persons who speak [items, speakers] and who are asked for [items, queries]."""
    owner = np.repeat(np.arange(corpus.num_speakers), corpus.count) % 6
    return owner[picks.utterance], owner[picks.enrol_utterance]


def test_speakers_of_a_mixture_differ_and_the_absent_one_is_not_among_them() -> None:
    made = source(ta_share=0.5, ta_from=0.0, max_interferers=2)
    picks = made.picker.draw(range(3000), progress=1.0)
    speaking, wanted = people(picks, made.mixer.stock.corpus)
    assert all(len(set(row)) == 3 for row in speaking.tolist())
    absent = picks.asked[:, 1] == ABSENT
    assert 0.95 < absent.mean() <= 1.0
    assert not any(person in row for person, row in zip(wanted[absent, 1], speaking[absent], strict=True))
    assert (wanted[:, 0] == speaking[:, 0]).all()
    assert set(np.unique(speaking)) == set(range(6))


def test_enrolment_is_another_utterance_than_the_target() -> None:
    made = source(ta_share=0.0)
    picks = made.picker.draw(range(2000), progress=1.0)
    assert (picks.enrol_utterance[:, 0] != picks.utterance[:, 0]).all()
    assert (picks.enrol_utterance[:, 1] != picks.utterance[:, 1]).all()


def test_levels_are_what_was_drawn() -> None:
    made = source(ta_share=0.0, min_sir_db=-3.0, max_sir_db=3.0)
    sources = made.batch(range(400), progress=0.0)["sources"].numpy()
    sir_db = 20.0 * np.log10(rms(sources[:, 0]) / rms(sources[:, 1]))
    assert sir_db.min() >= -3.0 - 1e-3
    assert sir_db.max() <= 3.0 + 1e-3
    assert abs(sir_db.mean()) < 0.3
    assert sir_db.std() == pytest.approx(6.0 / np.sqrt(12.0), rel=0.1)


def test_mixture_is_the_sum_of_what_is_asked_for_and_the_rest_also_in_a_room() -> None:
    """The target is the reverberant speech: a dry one could not be told from the room's doing."""
    response = np.zeros((2, 400), dtype=np.float32)
    response[:, 0], response[0, 150], response[1, 399] = 1.0, 0.5, -0.4
    for rooms in (None, response):
        batch = source(rooms=rooms, ta_share=0.0).batch(range(6), progress=0.0)
        assert torch.allclose(batch["sources"].sum(dim=1), batch["mixture"], atol=1e-6)
        assert torch.equal(target_of(batch)[:, 1], batch["sources"][:, 1])


def test_room_is_convolved_before_the_crop_so_that_the_past_rings_into_it() -> None:
    response = np.zeros((1, 500), dtype=np.float32)
    response[0, 0], response[0, 499] = 1.0, 0.8
    dry, wet = source(), source(rooms=response)
    picks = wet.picker.draw(range(1), progress=0.0)
    corpus = wet.mixer.stock.corpus
    begin = int(corpus.starts[picks.utterance[0, 0]] + picks.offset[0, 0])
    assert picks.offset[0, 0] > 0
    whole = corpus.samples[begin - 499 : begin + 4000].astype(np.float64)
    wanted = whole[499:] + 0.8 * whole[:4000]
    found = wet.mixer.render(picks)["sources"][0, 0].double().numpy()
    assert np.corrcoef(found, wanted)[0, 1] > 1.0 - 1e-6
    assert dry.picker.draw(range(1), progress=0.0).offset[0, 0] == picks.offset[0, 0]


def test_reverberation_agrees_with_direct_convolution() -> None:
    random = np.random.default_rng(0)
    dry, response = random.standard_normal((3, 200)), random.standard_normal((3, 40))
    wanted = np.stack([np.convolve(one, two)[:200] for one, two in zip(dry, response, strict=True)])
    assert np.abs(reverberant(dry, response) - wanted).max() < 1e-5


def noise_bank() -> NoiseBank:
    noises = {f"n{number}": [np.random.default_rng(number).standard_normal(9000)] for number in range(3)}
    return NoiseBank.of(noises, lengths=LENGTHS, sample_rate_hz=RATE_HZ)


def test_noise_stands_at_the_drawn_ratio_to_the_speech_sum() -> None:
    made = source(bank=noise_bank(), noise="here", noise_share=0.5, ta_share=0.0, min_snr_db=5.0, max_snr_db=15.0)
    picks = made.picker.draw(range(200), progress=0.0)
    batch = made.mixer.render(picks)
    speech = batch["sources"].sum(dim=1).numpy()
    noise = batch["mixture"].numpy() - speech
    noisy = np.isfinite(picks.snr_db)
    assert noisy.mean() == pytest.approx(0.5, abs=0.12)
    found_db = 20.0 * np.log10(rms(speech[noisy]) / rms(noise[noisy]))
    assert np.abs(found_db - picks.snr_db[noisy]).max() < 0.01
    assert np.abs(noise[~noisy]).max() < 1e-6


def test_noise_in_enrolments_comes_up_over_the_run() -> None:
    made = source(bank=noise_bank(), noise="here", enrolment_noise_share=0.5)
    shares = [
        np.isfinite(made.picker.draw(range(2000), progress=progress).enrol_snr_db).mean()
        for progress in (0.0, 0.5, 1.0)
    ]
    assert shares == pytest.approx([0.0, 0.25, 0.5], abs=0.03)


def test_a_loud_mixture_is_scaled_with_its_sources() -> None:
    voices = synthetic_voices(6, seconds=4.0, sample_rate_hz=RATE_HZ, seed=1)
    clicks = {name: [item * 0.01 for item in items] for name, items in voices.items()}
    for items in clicks.values():
        for item in items:
            item[::500] = 1.0
    stock = Stock.of(clicks, num_persons=6, lengths=LENGTHS, sample_rate_hz=RATE_HZ)
    picker = Picker(DataConfig(ta_share=0.0), stock, seed=3)
    batch = Mixer(stock).render(picker.draw(range(50), progress=0.0))
    peaks = batch["mixture"].abs().amax(dim=1)
    assert float(peaks.max()) == pytest.approx(0.95, abs=1e-6)
    assert torch.allclose(batch["sources"].sum(dim=1), batch["mixture"], atol=1e-6)


def test_no_crop_is_a_pause() -> None:
    random = np.random.default_rng(0)
    speech = np.concatenate([0.1 * random.standard_normal(6000), np.zeros(30000), 0.1 * random.standard_normal(6000)])
    corpus = Corpus.of({"a": [speech, speech[::-1].copy()]}, longest_crop=3000)
    crops = corpus.crops(3000, grid=crop_grid(RATE_HZ))
    offsets = crops.pick(np.zeros(500, dtype=np.int64), random.uniform(size=500))
    energy = [np.mean(speech[start : start + 3000] ** 2) for start in offsets]
    assert min(energy) >= 0.16 * np.mean(speech**2)
    assert len(set(offsets.tolist())) > 20


def test_a_short_utterance_is_followed_by_zeros_and_not_by_a_neighbour() -> None:
    corpus = Corpus.of({"a": [np.full(100, 0.5), np.full(900, 0.7)]}, longest_crop=400, lead=50)
    crops = corpus.crops(400, grid=160)
    assert crops.pick(np.array([0]), np.array([0.99])) == 0
    start = corpus.starts[0]
    assert corpus.samples[start : start + 400].sum() == pytest.approx(50.0)
    assert not corpus.samples[start - 50 : start].any()


def test_a_single_recording_is_cut_so_that_enrolment_and_target_do_not_overlap() -> None:
    whole = np.arange(1001)
    first, second = two_parts([whole])
    assert not set(first.tolist()) & set(second.tolist())
    assert len(first) + len(second) == 1001
    assert [len(item) for item in two_parts([whole, whole[:5]])] == [1001, 5]


def test_speeds_are_further_speakers_with_another_pitch() -> None:
    tone = np.sin(2.0 * np.pi * 200.0 * np.arange(8000) / RATE_HZ).astype(np.float32)
    changed = with_speeds({"a": [tone, tone]}, [0.9, 1.0, 1.1])
    assert list(changed) == ["a", "a at 0.9", "a at 1.1"]
    assert len(with_speeds({"a": [tone]}, [1.0, 1.02])["a at 1.02"][0]) == pytest.approx(8000 / 1.02, abs=1)
    for name, speed in (("a at 0.9", 0.9), ("a at 1.1", 1.1)):
        item = changed[name][0]
        assert len(item) == pytest.approx(8000 / speed, abs=1)
        peak_hz = np.abs(np.fft.rfft(item)).argmax() * RATE_HZ / len(item)
        assert peak_hz == pytest.approx(200.0 * speed, abs=1.5)


def test_material_of_one_part_is_in_no_other(tmp_path: Path) -> None:
    noise, rooms = (write_noise(tmp_path / name, count=20) for name in ("noise", "rooms"))
    material = gather_material(small_config(noise=str(noise), rooms=str(rooms)).data, seed=0)
    assert material.rooms is not None
    for parts in (
        tuple(material.voices.values()),
        tuple(material.noise.values()),
        tuple({room.tobytes(): 1 for room in rooms} for rooms in material.rooms.values()),
    ):
        names = [name for part in parts for name in part]
        assert len(set(names)) == len(names)
        assert all(parts)


def test_frozen_sets_ask_for_an_absent_speaker_in_one_query_of_five() -> None:
    bundle = build_data(small_config(), seed=0)
    for frozen in (bundle.validation, bundle.test):
        asked = torch.cat([batch["asked"] for batch in frozen.batches])
        assert asked.numel() == 40
        assert int((asked == ABSENT).sum()) == 8


def test_a_set_has_a_manifest_of_plain_values() -> None:
    made = source(frozen=True)
    rows: list[dict[str, Any]] = list(made.picker.draw(range(5), progress=1.0).rows(made.mixer.stock.corpus))
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    assert rows[0]["speakers"] != rows[1]["speakers"]
    assert rows[1]["asked"] == [0, ABSENT]
    assert rows[1]["wanted"][1] not in rows[1]["speakers"]
    assert all({*row["spoken_in"], *row["enrolled_in"]} <= {0, 1} for row in rows)
    assert all(row["spoken_in"][0] != row["enrolled_in"][0] for row in rows)
    assert all(-3.0 <= row["sir_db"] <= 3.0 for row in rows)
    bundle = build_data(small_config(), seed=0)
    assert [len(item.manifest) for item in (bundle.validation, bundle.test)] == [20, 20]


def test_workers_draw_different_items() -> None:
    made = source()
    shares = [Workers(torch.device("cpu"), rank, world_size=2).share_of(0, 8) for rank in (0, 1)]
    one, other = (made.batch(share, progress=0.0)["mixture"] for share in shares)
    assert not any(torch.equal(left, right) for left in one for right in other)


def test_noise_gives_a_group_of_its_own(tmp_path: Path) -> None:
    noise = write_noise(tmp_path / "noise")
    bundle = build_data(small_config(noise=str(noise)), seed=0)
    groups = [int(batch["group"][0]) for batch in bundle.test.batches]
    assert groups == [0, 2]
    noisy = bundle.test.batches[1]
    rest = noisy["mixture"] - noisy["sources"].sum(dim=1)
    assert float(rest.abs().amax(dim=1).min()) > 1e-4
    assert bundle.provenance["noise_recordings"] == 5
