"""Who is dealt to which set depends on names alone: a newcomer deals nobody anew, and no source stands in two sets."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from distsys.domains.speaker_extraction.config import DataConfig
from distsys.domains.speaker_extraction.data.bundle import build_data
from distsys.domains.speaker_extraction.data.cleaning import cleaned
from distsys.domains.speaker_extraction.data.material import gather_material
from distsys.domains.speaker_extraction.data.split import Part, split_sources, split_speakers
from distsys.domains.speaker_extraction.data.surroundings import source_of
from distsys.errors import DataError
from tests.domains.speaker_extraction.support import RATE_HZ, small_config, write_noise, write_speakers

NAMES = [f"s{number}" for number in range(300)]


def side_of(parts: dict[Part, list[str]]) -> dict[str, Part]:
    return {name: part for part, names in parts.items() for name in names}


def test_sets_share_no_speaker() -> None:
    parts = split_speakers(NAMES, least=4, seed=0)
    assert len({*parts["train"], *parts["validation"], *parts["test"]}) == 300 == sum(map(len, parts.values()))
    assert len(parts["validation"]) / 300 == pytest.approx(0.06, abs=0.03)
    assert len(parts["test"]) / 300 == pytest.approx(0.1, abs=0.04)
    assert split_speakers(NAMES, least=4, seed=1)["test"] != parts["test"]
    assert [len(part) for part in split_speakers(NAMES[:15], least=5, seed=0).values()] == [5, 5, 5]


def test_a_newcomer_deals_nobody_anew() -> None:
    before = side_of(split_speakers(NAMES, least=4, seed=0))
    seen = set()
    for number in range(60):
        after = side_of(split_speakers([f"a{number}", *NAMES], least=4, seed=0))
        seen.add(after.pop(f"a{number}"))
        assert after == before
    assert seen == {"train", "validation", "test"}


def test_among_few_a_newcomer_never_makes_a_test_of_who_was_trained_on() -> None:
    for seed in range(40):
        names = NAMES[:13]
        before = side_of(split_speakers(names, least=4, seed=seed))
        after = side_of(split_speakers([*names, "newcomer"], least=4, seed=seed))
        for name in names:
            assert before[name] != "train" or after[name] == "train"
            assert before[name] == "test" or after[name] != "test"


def test_a_newcomer_in_training_leaves_the_frozen_sets_as_they_are(tmp_path: Path) -> None:
    folder = write_speakers(tmp_path / "speakers", count=14)
    names = [f"voice_{number:04d}" for number in range(14)]
    newcomer = next(
        name
        for name in (f"a{number}" for number in range(99))
        if side_of(split_speakers([name, *names], least=4, seed=0))[name] == "train"
    )
    before = build_data(small_config(speakers=str(folder)), seed=0)
    shutil.copytree(folder / "voice_0001", tmp_path / "more" / newcomer)
    for path in sorted((tmp_path / "more" / newcomer).iterdir()):
        samples, rate_hz = soundfile.read(path)
        soundfile.write(path, samples[::-1], rate_hz)
    shutil.copytree(folder, tmp_path / "more", dirs_exist_ok=True)
    after = build_data(small_config(speakers=str(tmp_path / "more")), seed=0)
    for old, new in ((before.validation, after.validation), (before.test, after.test)):
        assert all(
            torch.equal(one["mixture"], two["mixture"]) for one, two in zip(old.batches, new.batches, strict=True)
        )
    assert after.provenance["train_speakers"] == 7


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("esc10_helicopter_1-172649-A.flac", "1-172649"),
        ("3-172649-C-40.wav", "3-172649"),
        ("DKITCHEN/ch07.wav", "DKITCHEN"),
        ("rain/window.wav", "rain/window.wav"),
    ],
)
def test_a_name_tells_the_source(name: str, source: str) -> None:
    assert source_of(name, DataConfig()) == source


def test_noise_of_one_source_is_in_one_set(tmp_path: Path) -> None:
    folder = write_noise(tmp_path / "noise", count=24)
    for number, path in enumerate(sorted(folder.iterdir())):
        path.rename(folder / f"1-{number // 4}-{'ABCD'[number % 4]}.wav")
    for seed in range(5):
        noise = gather_material(small_config(noise=str(folder)).data, seed=seed).noise
        sources = [{source_of(name, DataConfig()) for name in noise[part]} for part in noise]
        assert sum(map(len, sources)) == 6 == len(set.union(*sources))
        assert all(sources)
        assert sum(map(len, noise.values())) == 24
    with pytest.raises(DataError, match="24 noise recordings of 1 sources"):
        gather_material(small_config(noise=str(folder), noise_source="wav").data, seed=0)


def test_a_recording_without_a_source_is_its_own() -> None:
    parts = split_sources({name: name for name in NAMES}, seed=0)
    assert sorted(name for names in parts.values() for name in names) == sorted(NAMES)


def test_a_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="no regular expression"):
        DataConfig(noise_source="(")


def test_offset_and_rumble_are_no_sound() -> None:
    time_s = np.arange(4 * RATE_HZ) / RATE_HZ
    voice = 0.1 * np.sin(2.0 * np.pi * 200.0 * time_s)
    rumble = 0.4 + 0.3 * np.sin(2.0 * np.pi * 12.0 * time_s)
    clean, heard = (
        cleaned(item.astype(np.float32), file_hz=RATE_HZ, rate_hz=RATE_HZ)[RATE_HZ:] for item in (voice, voice + rumble)
    )
    assert np.sqrt(np.mean((heard - clean) ** 2)) < 0.01 * 0.3
    assert np.abs(clean - voice[RATE_HZ:])[:-RATE_HZ].max() < 0.1 * 0.01  # neither softer nor later
