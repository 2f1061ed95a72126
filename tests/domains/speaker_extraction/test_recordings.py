"""Folders as people have them: every fault is named with its file, and no part is trained and tested on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from distsys.domains.faults import Faults
from distsys.domains.speaker_extraction.data.bundle import build_data
from distsys.domains.speaker_extraction.data.mixing import MixtureSource
from distsys.domains.speaker_extraction.data.speakers import read_speakers
from distsys.errors import DataError
from distsys.signals.audio import clipped_share, read_audio
from tests.domains.speaker_extraction.support import RATE_HZ, small_config, write_noise, write_speakers


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_speakers(tmp_path_factory.mktemp("corpus") / "speakers")


@pytest.fixture
def folder(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "speakers"))


def refused(folder: Path, **data: object) -> str:
    with pytest.raises(DataError) as caught:
        build_data(small_config(speakers=str(folder), **data), seed=0)
    return str(caught.value)


def noise(count: int, *, seed: int = 0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(count)


def write(path: Path, samples: np.ndarray, rate_hz: int = RATE_HZ) -> Path:
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, samples, rate_hz, subtype="FLOAT")
    return path


def test_a_folder_of_speakers_is_used_whole(folder: Path) -> None:
    bundle = build_data(small_config(speakers=str(folder)), seed=0)
    counts = [bundle.provenance[f"{part}_speakers"] for part in ("train", "validation", "test")]
    assert counts == [6, 4, 4]
    assert bundle.provenance["left_out"] == "nothing"


def test_files_in_chapters_count_for_their_speaker(folder: Path) -> None:
    """LibriSpeech's own layout: speaker/chapter/file."""
    for place in sorted(folder.iterdir()):
        (place / "chapter").mkdir()
        for path in sorted(place.glob("*.wav")):
            path.rename(place / "chapter" / path.name)
    assert build_data(small_config(speakers=str(folder)), seed=0).provenance["train_speakers"] == 6


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: write(path, np.zeros(0)), "holds no samples"),
    "corrupt": (lambda path: path.write_bytes(b"RIFF....WAVE, but no"), "cannot be read as audio"),
    "stereo": (lambda path: write(path, noise(16000).reshape(8000, 2)), "2 channels"),
    "silent": (lambda path: write(path, np.zeros(8000)), "is silent"),
    "offset": (lambda path: write(path, 0.2 + 1e-4 * noise(8000)), "is silent"),
    "empty band": (lambda path: write(path, np.sin(np.arange(64000) * 2.5), 32000), "holds nothing from 50 to 4000 Hz"),
    "nan": (lambda path: write(path, np.full(8000, np.nan)), "NaN or infinity"),
    "clipped": (lambda path: write(path, np.clip(20.0 * noise(8000), -1.0, 1.0)), "clipped"),
    "short": (lambda path: write(path, noise(1000)), "lasts 0.12 s"),
    "m4a": (lambda path: path.with_suffix(".m4a").write_bytes(b"ftyp"), "a .m4a file"),
    "low rate": (lambda path: write(path, noise(4000), 4000), "4000 Hz beside data.sample_rate_hz 8000"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_faulty_file_is_named(name: str, folder: Path) -> None:
    make, message = FAULTS[name]
    path = folder / "voice_0003" / "9.wav"
    make(path)
    text = refused(folder)
    assert str(path.with_suffix("")) in text
    assert "1 fault\n" in text
    assert message in text
    assert "leave_out" in text


def test_all_faults_are_named_at_once_and_can_be_left_out(folder: Path) -> None:
    paths = [folder / f"voice_000{number}" / "9.wav" for number in range(3)]
    for path in paths:
        write(path, np.zeros(8000))
    text = refused(folder)
    assert "3 faults" in text
    assert all(str(path) in text for path in paths)
    bundle = build_data(small_config(speakers=str(folder), on_fault="leave_out"), seed=0)
    assert all(str(path) in str(bundle.provenance["left_out"]) for path in paths)
    assert bundle.provenance["train_speakers"] == 6


def test_a_higher_rate_is_resampled(folder: Path) -> None:
    path = write(folder / "voice_0003" / "9.wav", noise(32000), 32000)
    data = small_config(speakers=str(folder)).data
    faults = Faults(folder)
    utterances = read_speakers(data, faults).voices["voice_0003"]
    assert not faults.lines
    assert len(utterances[-1]) == 8000
    assert read_audio(path)[1] == 32000


def test_a_speaker_with_one_short_recording_is_named(folder: Path) -> None:
    write(folder / "lonely" / "only.wav", noise(12000))
    text = refused(folder)
    assert "only.wav: the only recording of 'lonely' lasts 1.50 s" in text


def test_an_only_recording_with_a_silent_half_is_named(folder: Path) -> None:
    """Cut in two, it would make a target of silence, amplified to the level of speech."""
    write(folder / "lonely" / "only.wav", np.concatenate((noise(30000), 1e-4 * noise(30000))))
    assert "only.wav: one half of the only recording of 'lonely' is next to silent" in refused(folder)


def test_a_speaker_without_recordings_is_named(folder: Path) -> None:
    (folder / "nobody").mkdir()
    assert "nobody: no recordings" in refused(folder)


def test_two_folders_of_one_person_are_found_by_a_shared_recording_and_joined_by_an_alias(folder: Path) -> None:
    shutil.copytree(folder / "voice_0001", folder / "voice_0001_again")
    text = refused(folder)
    assert "voice_0001_again/0.wav: the same recording as" in text
    assert "data.aliases: 'voice_0001_again: voice_0001'" in text
    aliases = folder.parent / "aliases.yaml"
    aliases.write_text("voice_0002: voice_0001\n")
    shutil.rmtree(folder / "voice_0001_again")
    bundle = build_data(small_config(speakers=str(folder), aliases=str(aliases)), seed=0)
    assert bundle.provenance["train_speakers"] == 5


def test_a_recording_that_stands_there_twice_is_named(folder: Path) -> None:
    shutil.copy(folder / "voice_0001" / "0.wav", folder / "voice_0001" / "copy.wav")
    assert "copy.wav: the same recording as" in refused(folder)


def test_who_shares_a_recording_is_left_out_whole(folder: Path) -> None:
    """Half of a person would train and half would test otherwise."""
    shutil.copytree(folder / "voice_0001", folder / "voice_0001_again")
    for number in range(2):
        write(folder / "voice_0001_again" / f"more_{number}.wav", noise(12000, seed=number))
    faults = Faults(folder)
    voices = read_speakers(small_config(speakers=str(folder)).data, faults).voices
    assert "voice_0001" in voices
    assert "voice_0001_again" not in voices
    assert "'voice_0001_again' is left out" in faults.lines[0]


def test_a_person_with_a_folder_in_the_holdout_is_held_whole(folder: Path) -> None:
    aliases = folder.parent / "aliases.yaml"
    aliases.write_text("voice_0001: anna\nvoice_0010: anna\n")
    data = small_config(speakers=str(folder), holdout="voice_001?", aliases=str(aliases)).data
    assert read_speakers(data, Faults(folder)).held == {"anna", "voice_0011", "voice_0012", "voice_0013"}


def test_aliases_may_be_numbers_and_name_folders_that_are_not_included(folder: Path) -> None:
    """LibriSpeech's folders are numbers, and one file of aliases serves every choice of folders."""
    for name, number in (("voice_0001", "0103"), ("voice_0002", "1034")):
        (folder / name).rename(folder / number)
    aliases = folder.parent / "aliases.yaml"
    aliases.write_text("1034: 0103\nvoice_0003: voice_0004\n")
    data = small_config(speakers=str(folder), include=["[01]*"], aliases=str(aliases)).data
    assert {name: len(items) for name, items in read_speakers(data, Faults(folder)).voices.items()} == {"0103": 4}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"max_interferers": 3}, "14 speakers besides data.holdout"),
        ({"holdout": "voice_0001"}, "1 speakers in data.holdout 'voice_0001'"),
    ],
)
def test_sets_too_small_for_their_mixtures_are_refused(data: dict[str, object], message: str, folder: Path) -> None:
    assert message in refused(folder, **data)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("voice_0001: voice_0002\nvoice_0002: bob\n", "one name for a person"),
        ("voice_1: voice_0001\n", "did you mean 'voice_"),
        ("- a\n- b\n", "not a mapping"),
        ("a: [\n", "cannot be read"),
    ],
)
def test_bad_aliases_are_named(content: str, message: str, folder: Path) -> None:
    path = folder.parent / "aliases.yaml"
    path.write_text(content)
    text = refused(folder, aliases=str(path))
    assert str(path) in text
    assert message in text


def test_holdout_speakers_are_a_group_of_their_own(folder: Path) -> None:
    for number in range(12, 16):
        for item in range(2):
            write(folder / f"other_{number}" / f"{item}.wav", noise(12000, seed=100 * number + item))
    bundle = build_data(small_config(speakers=str(folder), holdout="other_*"), seed=0)
    assert bundle.provenance["holdout_speakers"] == 4
    assert [int(batch["group"][0]) for batch in bundle.test.batches] == [0, 1]
    assert [int(batch["group"][0]) for batch in bundle.validation.batches] == [0]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"include": ["speaker_*"]}, "no speaker folder matches 'speaker_*'"),
        ({"holdout": "x*"}, "no speaker folder matches 'x*'"),
        ({"holdout": "voice_000?"}, "4 speakers besides data.holdout"),
    ],
)
def test_patterns_that_match_nothing_or_leave_too_little_are_named(
    data: dict[str, object], message: str, folder: Path
) -> None:
    assert message in refused(folder, **data)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    assert "nowhere: no such folder" in refused(tmp_path / "nowhere")


def test_too_few_noises_are_named(folder: Path) -> None:
    place = write_noise(folder.parent / "noise", count=1)
    assert "1 noise recordings; 0 faults" in refused(folder, noise=str(place))
    write(place / "wide.wav", noise(16000).reshape(8000, 2))
    assert "wide.wav: 2 channels" in refused(folder, noise=str(place), on_fault="leave_out")


def test_rooms_begin_with_the_direct_sound(folder: Path) -> None:
    response = np.zeros(400)
    response[100], response[300] = 0.9, 0.3
    for name in ("a", "b", "c"):
        write(folder.parent / "rooms" / f"{name}.wav", response)
    bundle = build_data(small_config(speakers=str(folder), rooms=str(folder.parent / "rooms")), seed=0)
    assert isinstance(bundle.train, MixtureSource)
    rooms = bundle.train.mixer.stock.rooms
    assert rooms is not None
    assert rooms.shape == (1, 300)
    assert rooms[0, 0] == pytest.approx(0.9)
    assert rooms[0, 200] == pytest.approx(0.3)


def test_clipping_is_told_from_a_loud_peak() -> None:
    wave = np.sin(np.arange(8000) * 0.05)
    assert clipped_share(wave.astype(np.float32)) < 0.01
    assert clipped_share(np.clip(2.0 * wave, -1.0, 1.0).astype(np.float32)) > 0.5
