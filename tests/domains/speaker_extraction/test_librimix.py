"""A miniature of Libri2Mix, in the layout and with the lists that its own scripts and SpeakerBeam's write."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from distsys.domains.speaker_extraction.data.bundle import build_data
from distsys.domains.speaker_extraction.data.librimix import read_librimix
from distsys.domains.speaker_extraction.data.queries import group_of, target_of
from distsys.domains.speaker_extraction.data.synthetic import synthetic_voices
from distsys.domains.speaker_extraction.score.baselines import as_it_is
from distsys.domains.speaker_extraction.score.evaluation import scores_by_group
from distsys.errors import DataError
from distsys.signals.levels import with_rms
from tests.domains.speaker_extraction.support import RATE_HZ, small_config

MIXTURES = ("4077-13754-0001_5142-33396-0065", "4077-13754-0004_5142-36377-0020")
HEADER = "mixture_ID,mixture_path,source_1_path,source_2_path,length"


@pytest.fixture
def librimix(tmp_path: Path) -> Path:
    """The metadata file; its paths are those of another machine."""
    root, lines = tmp_path / "wav8k" / "min", [HEADER]
    for kind in ("metadata", "test/mix_clean", "test/s1", "test/s2"):
        (root / kind).mkdir(parents=True)
    voices = list(synthetic_voices(2, seconds=4.0, sample_rate_hz=RATE_HZ, seed=2).values())
    for number, name in enumerate(MIXTURES):
        sources = [
            with_rms(voice[number][: 9000 + 2000 * number], np.array(level))
            for level, voice in zip((0.1, 0.05), voices, strict=True)
        ]
        kinds = {"mix_clean": sources[0] + sources[1], "s1": sources[0], "s2": sources[1]}
        for kind, samples in kinds.items():
            soundfile.write(root / "test" / kind / f"{name}.wav", samples, RATE_HZ, subtype="FLOAT")
        paths = ",".join(f"/elsewhere/wav8k/min/test/{kind}/{name}.wav" for kind in kinds)
        lines.append(f"{name},{paths},{len(sources[0])}.0")
    (root / "metadata" / "mixture_test_mix_clean.csv").write_text("\n".join(lines) + "\n")
    (root / "map_mixture2enrollment").write_text(
        f"{MIXTURES[0]} 4077-13754-0001 s1/{MIXTURES[1]}\n{MIXTURES[0]} 5142-33396-0065 s2/{MIXTURES[1]}\n"
    )
    return root / "metadata" / "mixture_test_mix_clean.csv"


def settings(librimix: Path) -> dict[str, object]:
    return {"librimix": librimix, "librimix_enrolments": librimix.parents[1] / "map_mixture2enrollment"}


def test_each_line_of_the_list_is_a_query(librimix: Path) -> None:
    batches, lines = read_librimix(small_config(**settings(librimix)).data)
    first, second = batches
    assert first["mixture"].shape == (1, 9000)
    assert first["enrolment"].shape == (1, 1, 11000)
    assert [group_of(batch) for batch in batches] == ["librimix"] * 2
    source, _ = soundfile.read(librimix.parents[1] / "test" / "s2" / f"{MIXTURES[0]}.wav", dtype="float32")
    assert np.array_equal(target_of(second)[0, 0].numpy(), source)
    assert torch.equal(first["mixture"], second["mixture"])
    rows = [json.loads(line) for line in lines]
    assert [row["wanted"] for row in rows] == [["4077"], ["5142"]]
    assert rows[0]["sir_db"] == pytest.approx(6.02, abs=0.01)
    assert rows[1]["enrolled_by"].endswith(f"s2/{MIXTURES[1]}.wav")


def test_it_is_a_group_of_the_test_set(librimix: Path) -> None:
    bundle = build_data(small_config(**settings(librimix)), seed=0)
    scores = scores_by_group(bundle.test.batches, map(as_it_is, bundle.test.batches))
    found = scores["librimix"].summary()
    assert found["si_sdr_db"] == pytest.approx(0.0, abs=0.5)  # 6 dB above and 6 dB below the other
    assert len(bundle.test.manifest) == 22
    assert (
        scores[""].summary()
        == scores_by_group(bundle.test.batches[:-2], map(as_it_is, bundle.test.batches[:-2]))[""].summary()
    )


def test_the_table_of_enrolments_says_the_same(librimix: Path) -> None:
    table = librimix.with_name("mixture2enrollment.csv")
    table.write_text(
        "mixture_id,utterance_id,enr_path1,length1\n"
        f"{MIXTURES[0]},4077-13754-0001,/elsewhere/wav8k/min/test/s1/{MIXTURES[1]}.wav,11000.0\n"
        f"{MIXTURES[0]},5142-33396-0065,/elsewhere/wav8k/min/test/s2/{MIXTURES[1]}.wav,11000.0\n"
    )
    data = settings(librimix)
    assert (
        read_librimix(small_config(**{**data, "librimix_enrolments": table}).data)[1]
        == read_librimix(small_config(**data).data)[1]
    )
    assert len(read_librimix(small_config(**data, librimix_items=1).data)[0]) == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("unknown 4077-13754-0001 s1/a", "mixture 'unknown'"),
        (f"{MIXTURES[0]} 1-2-3 s1/{MIXTURES[1]}", "'1-2-3' of"),
        (f"{MIXTURES[0]} 4077-13754-0001", "line 1"),
        (f"{MIXTURES[0]} 4077-13754-0001 s1/{MIXTURES[0]}", "enrolled by itself"),
        (f"{MIXTURES[0]} 4077-13754-0001 test/s1/none.wav", "none.wav: no such file"),
    ],
)
def test_a_list_that_makes_no_sense_is_refused(librimix: Path, line: str, message: str) -> None:
    (librimix.parents[1] / "map_mixture2enrollment").write_text(line + "\n")
    with pytest.raises(DataError, match=message):
        read_librimix(small_config(**settings(librimix)).data)


def test_a_file_without_its_columns_and_half_a_setting_are_refused(librimix: Path) -> None:
    librimix.write_text("mixture_ID,mixture_path\n")
    with pytest.raises(DataError, match="no column source_1_path, source_2_path"):
        read_librimix(small_config(**settings(librimix)).data)
    with pytest.raises(ValueError, match="set together"):
        small_config(librimix=librimix)
