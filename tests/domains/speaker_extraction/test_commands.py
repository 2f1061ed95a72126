"""The domain as a user meets it: train, evaluate, predict, export, and the first mistakes at the command line."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from distsys.config.reuse import forget
from distsys.domains.speaker_extraction.data.split import split_speakers
from distsys.domains.speaker_extraction.data.synthetic import synthetic_voices
from distsys.domains.speaker_extraction.model.losses import equilibrium_rms_ratio
from distsys.signals.resampling import resampled
from tests.domains.speaker_extraction.support import SMALL, write_speakers

Call = Callable[..., tuple[int, str, str]]

TINY = (
    *SMALL,
    "final.steps=4",
    "final.eval_every_steps=2",
    "batch_size=2",
    "constraints={rms_ratio: {min: 0.0, max: 9.0}, ta_attenuation_db: {min: -90.0}}",
)
ROOT = Path(__file__).parents[3]


@pytest.fixture
def trained(distsys: Call, tmp_path: Path) -> str:
    settings = [part for setting in TINY for part in ("--set", setting)]
    code, out, err = distsys("train", "speaker_extraction", "--local", "--json", "--out", str(tmp_path), *settings)
    assert code == 0, err
    assert {"mixture", "oracle mask"} == set(json.loads(out)["baselines"])
    return str(Path(json.loads(out)["checkpoint"]).parents[1])


def test_a_speaker_added_after_training_is_noticed(distsys: Call, tmp_path: Path) -> None:
    """Where it joins the test set; nobody who was trained on does."""
    folder = write_speakers(tmp_path / "speakers")
    settings = [part for setting in (*TINY, f"data.speakers={folder}") for part in ("--set", setting)]
    code, out, err = distsys("train", "speaker_extraction", "--local", "--json", "--out", str(tmp_path), *settings)
    assert code == 0, err
    run = str(Path(json.loads(out)["checkpoint"]).parents[1])
    forget()  # as in a new process
    code, out, err = distsys("evaluate", run)
    assert code == 0, err
    assert "WARNING" not in out
    names, least = [path.name for path in folder.iterdir()], 4
    added = next(
        name
        for name in (f"a_voice_{number}" for number in range(99))
        if name in split_speakers([*names, name], least=least, seed=0)["test"]
    )
    shutil.copytree(folder / "voice_0001", folder / added)
    for path in (folder / added).iterdir():
        samples, rate_hz = soundfile.read(path)
        soundfile.write(path, 0.5 * samples, rate_hz)
    forget()
    code, out, err = distsys("evaluate", run)
    assert code == 0, err
    assert re.search("WARNING: other data than in training: the .*test set changed", out)


@pytest.fixture
def recordings(tmp_path: Path) -> tuple[Path, Path]:
    """A mixture at 16 kHz and an enrolment at 11,025 Hz."""
    voices = synthetic_voices(2, seconds=4.0, sample_rate_hz=16000, seed=9)
    one, other = voices.values()
    mixture, enrolment = tmp_path / "mix.wav", tmp_path / "enrol.flac"
    soundfile.write(mixture, one[0][:20001] + other[0][:20001], 16000, subtype="FLOAT")
    soundfile.write(enrolment, resampled(one[1], up=11025, down=16000), 11025)
    return mixture, enrolment


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_trained_model_is_evaluated_asked_and_exported(
    distsys: Call, trained: str, recordings: tuple[Path, Path], tmp_path: Path
) -> None:
    mixture, enrolment = recordings
    code, out, err = distsys("evaluate", trained, "--json")
    assert code == 0, err
    assert json.loads(out)["selection"] == "si_sdr_db"
    answer = tmp_path / "out.wav"
    ask = ("predict", "speaker_extraction", "--checkpoint", trained, str(mixture), "--enrol")
    code, out, err = distsys(*ask, str(enrolment), "-o", str(answer))
    assert code == 0, err
    assert out == f"wrote {answer}\n"
    samples, rate_hz = soundfile.read(answer, dtype="float32")
    given, _ = soundfile.read(mixture, dtype="float32")
    assert (rate_hz, len(samples)) == (16000, 20001)
    level = np.sqrt(np.mean(samples**2) / np.mean(given**2))
    assert 0.1 < level < 1.2
    code, out, err = distsys(*ask, str(enrolment), "--json")
    assert json.loads(out) == {
        "seconds": 1.25,
        "sample_rate_hz": 16000,
        "band_hz": 4000,
        "level_drop_db": pytest.approx(-20.0 * np.log10(level), abs=0.02),
        "enrolment_used_s": 2.0,
        "channels": 1,
    }
    both = np.stack((given, 0.5 * given + 0.1), axis=1)
    soundfile.write(tmp_path / "both.ogg", both, 16000)
    soundfile.write(tmp_path / "both.wav", both, 16000, subtype="FLOAT")
    asked = ("predict", "speaker_extraction", "--checkpoint", trained, str(tmp_path / "both.wav"), "--enrol")
    code, _, err = distsys(*asked, str(tmp_path / "both.ogg"), "-o", str(tmp_path / "stereo.wav"))
    assert code == 0, err
    kept, _ = soundfile.read(tmp_path / "stereo.wav")
    assert kept.shape == (20001, 2)
    assert np.abs(kept[:, 0] - 2.0 * kept[:, 1]).max() < 1e-3 * np.abs(kept).max()  # offset and level aside
    code, _, err = distsys(*ask, str(enrolment), "-o", str(mixture))
    assert code == 2
    assert "mix.wav: is a file that is asked about" in err
    code, _, err = distsys(*ask, str(enrolment))
    assert code == 2
    assert "-o FILE.wav" in err
    code, out, err = distsys("export", trained, "-o", str(tmp_path / "model.pt"))
    assert code == 0, err
    program = torch.jit.load(tmp_path / "model.pt")
    assert program(torch.randn(1, 5000), torch.randn(1, 2, 4000)).shape == (1, 2, 5000)
    code, _, err = distsys("export", trained, "-o", str(tmp_path / "model.onnx"))
    assert code == 2
    assert "no ONNX form" in err


def test_bad_recordings_are_named(distsys: Call, trained: str, recordings: tuple[Path, Path], tmp_path: Path) -> None:
    mixture, enrolment = recordings
    short, stereo, silent, late = (tmp_path / f"{name}.wav" for name in ("short", "stereo", "silent", "late"))
    soundfile.write(short, 0.1 * np.random.default_rng(0).standard_normal(100), 8000)
    soundfile.write(stereo, 0.1 * np.ones((8000, 2)), 8000)
    soundfile.write(silent, np.zeros(8000), 8000)
    soundfile.write(late, np.concatenate((np.zeros(61 * 8000), 0.1 * np.sin(np.arange(8000)))), 8000)
    for mix, enrol, message in (
        (mixture, short, "short.wav: lasts 12 ms"),
        (mixture, stereo, "stereo.wav: is silent"),
        (mixture, late, "late.wav: silent in its first 60 s below 4000 Hz"),
        (silent, enrolment, "silent.wav: is silent"),
        (tmp_path / "none.wav", enrolment, "none.wav: no such file"),
        (mixture, tmp_path / "none.wav", "none.wav: no such file"),
        (shutil.copy(mixture, tmp_path / "mix.m4a"), enrolment, "ffmpeg -i mix.m4a mix.wav"),
    ):
        code, _, err = distsys(
            "predict", "speaker_extraction", "--checkpoint", trained, str(mix), "--enrol", str(enrol), "--json"
        )
        assert code == 2
        assert message in err


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("data.speeds=[0.9, 1.1]", "must hold 1"),
        ("data.min_sir_db=9", "min_sir_db 9.0 is above max_sir_db 3.0"),
        ("data.noise_share=0.5", "set data.noise"),
        ("data.include=[]", "data.include"),
        ("model.depth=0", "model.depth"),
        ("data.mixture_s=1e-5", "data.mixture_s 1e-05 is below one frame, 0.064 s"),
        ("data.synthetic_s=5", "synthetic_s 5 makes two utterances, each below 3 s"),
        ("data.test_items=25", "data.test_items"),
        ("model.window=101", "odd"),
        ("model.width=30", "model.width"),
        ("model.ta_reference=mix", "did you mean 'mixture'"),
        ("final.weights.lambda_ampl=1", "lambda_amp"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(distsys: Call, setting: str, message: str) -> None:
    code, _, err = distsys("config", "speaker_extraction", "--check", "--set", setting)
    assert code == 2
    assert message in err


@pytest.mark.parametrize(
    ("preset", "level"),
    [((), 0.95), (("--preset", "laptop"), 0.95), (("--preset", "laptop_16k"), 0.95), (("--preset", "demo"), 0.91)],
)
def test_priors_of_the_search_follow_from_the_closed_form(distsys: Call, preset: tuple[str, ...], level: float) -> None:
    """In the search the weights allow a level that the final band would refuse; the final weights do not."""
    code, out, err = distsys("config", "speaker_extraction", "--json", *preset)
    assert code == 0, err
    value = {path: row["value"] for path, row in json.loads(out).items()}
    w_ta, amp = value["search.weights.lambda_ta_energy"], value["search.weights.lambda_amp"]
    assert (w_ta, amp) == (0.1, 1.0)
    share = value["data.ta_share"]
    assert equilibrium_rms_ratio(w_ta=w_ta, lambda_amp=amp, ta_share=share) < 0.9
    times = [value[f"final.weights.lambda_{name}"]["times"] for name in ("ta_energy", "amp")]
    final = equilibrium_rms_ratio(w_ta=times[0] * w_ta, lambda_amp=times[1] * amp, ta_share=share)
    assert final >= level
