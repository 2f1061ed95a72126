"""Recordings of users: what predict answers, and what it says to a file that does not fit."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distsys.domains.ris_localization import RisLocalization, answer
from distsys.domains.ris_localization.answer import predict
from distsys.domains.ris_localization.config import Config, DataConfig, ModelConfig, Request
from distsys.domains.ris_localization.data.conditions import Condition
from distsys.domains.ris_localization.data.geometry import to_physical
from distsys.domains.ris_localization.data.recording import read_recording
from distsys.domains.ris_localization.data.scenes import SceneSource
from distsys.domains.ris_localization.data.truth import true_columns
from distsys.domains.ris_localization.model.network import CovarianceNet, build_model
from distsys.errors import DataError
from tests.domains.ris_localization.support import columns, complex_normal

CONFIG = Config.model_validate({"model": {"width": 16, "depth": 1}})
SOURCE = SceneSource(CONFIG.data, wave=CONFIG.data.world, seed=8, condition=Condition(20.0, 0.0, 16))
BATCH = SOURCE.batch(range(30), progress=0.0)
SNAPSHOTS = BATCH["snapshots"].numpy()
TRUTH = to_physical(BATCH["uvq"].double()).numpy()


def write(tmp_path: Path, **arrays: Any) -> Path:
    path = tmp_path / "recording.npz"
    np.savez(path, **arrays)
    return path


@pytest.fixture
def model() -> CovarianceNet:
    """A network that passes the sample covariance through, which is right for independent sources."""
    network = CovarianceNet(CONFIG).eval()
    last = network.gates[-1]
    assert isinstance(last, torch.nn.Linear)
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor([-20.0, -20.0, 1.0, 1.0]))
    return network


def test_predict_names_sources_with_their_standard_deviations(tmp_path: Path, model: CovarianceNet) -> None:
    path = write(tmp_path, snapshots=1e-3 * SNAPSHOTS, sources=TRUTH)
    given = RisLocalization().predict(model, Request(snapshots=path))
    rows = list(csv.DictReader(io.StringIO(str(given.files[".csv"]))))
    assert len(rows) == 60
    assert [int(row["scene"]) for row in rows[:4]] == [0, 0, 1, 1]
    assert all(
        float(first["range_m"]) <= float(second["range_m"]) for first, second in zip(rows[::2], rows[1::2], strict=True)
    )
    assert all(0.0 < float(row["phi_sd_deg"]) < 5.0 for row in rows)
    assert given.summary["errors"]["success"] > 0.9
    assert given.summary["errors"]["phi_median_deg"] < 0.1


def test_the_stated_deviations_are_those_of_the_errors(tmp_path: Path, model: CovarianceNet) -> None:
    source = SceneSource(CONFIG.data, wave=CONFIG.data.world, seed=9, condition=Condition(20.0, 0.0, 16))
    batch = source.batch(range(300), progress=0.0)
    given = RisLocalization().predict(model, Request(snapshots=write(tmp_path, snapshots=batch["snapshots"].numpy())))
    truth = to_physical(batch["uvq"].double()).numpy()
    phi = np.array([[row["phi_deg"], row["phi_sd_deg"], row["range_m"]] for row in given.summary["sources"]]).reshape(
        300, 2, 3
    )
    nearest = np.take_along_axis(np.degrees(truth[..., 0]), truth[..., 2].argsort(axis=1), axis=1)
    ratio = np.median(np.abs(phi[..., 0] - nearest) / phi[..., 1]) / 0.6745
    assert ratio == pytest.approx(1.0, abs=0.2)


def test_a_covariance_says_what_its_snapshots_say(tmp_path: Path, model: CovarianceNet) -> None:
    covariance = SNAPSHOTS @ SNAPSHOTS.conj().swapaxes(1, 2) / 16
    domain = RisLocalization()
    by_snapshots = domain.predict(model, Request(snapshots=write(tmp_path, snapshots=SNAPSHOTS))).summary["sources"]
    path = write(tmp_path, covariance=covariance.astype(np.complex128), num_snapshots=16)
    by_covariance = domain.predict(model, Request(snapshots=path)).summary["sources"]
    same = [abs(a["phi_deg"] - b["phi_deg"]) < 1e-2 for a, b in zip(by_snapshots, by_covariance, strict=True)]
    assert sum(same) >= 0.95 * len(same)


def test_many_snapshots_and_their_covariance_have_the_same_deviations(tmp_path: Path, model: CovarianceNet) -> None:
    data = CONFIG.data.model_copy(update={"num_snapshots": 400})
    source = SceneSource(data, wave=data.world, seed=8, condition=Condition(10.0, 0.0, 400))
    snapshots = source.batch(range(6), progress=0.0)["snapshots"].numpy().astype(np.complex128)
    covariance = snapshots @ snapshots.conj().swapaxes(1, 2) / 400
    domain = RisLocalization()
    long = domain.predict(model, Request(snapshots=write(tmp_path, snapshots=snapshots))).summary["sources"]
    path = write(tmp_path, covariance=covariance, num_snapshots=400)
    short = domain.predict(model, Request(snapshots=path)).summary["sources"]
    for first, second in zip(long, short, strict=True):
        assert second["phi_sd_deg"] == pytest.approx(first["phi_sd_deg"], rel=0.01, abs=1e-5)


@pytest.mark.parametrize("gain", [1e-25, 1e25])
def test_no_unit_of_the_receiver_is_too_small_or_too_large(tmp_path: Path, gain: float) -> None:
    found = read_recording(
        write(tmp_path, snapshots=(gain * SNAPSHOTS).astype(np.complex64)), CONFIG.data, num_sources=2
    )
    reference = read_recording(write(tmp_path, snapshots=SNAPSHOTS), CONFIG.data, num_sources=2)
    assert torch.allclose(found.snapshots, reference.snapshots, atol=1e-4)


def test_a_source_that_is_not_there_has_no_deviation(tmp_path: Path, model: CovarianceNet) -> None:
    """Two sources are asked of snapshots without noise that hold one: nothing says where the second stands."""
    batch = SceneSource(CONFIG.data, wave=CONFIG.data.world, seed=8, condition=Condition(200.0, 0.0, 16)).batch(
        range(4), progress=0.0
    )
    alone = true_columns(CONFIG.data, batch)[..., :1] @ batch["amplitudes"][:, :1]
    given = RisLocalization().predict(model, Request(snapshots=write(tmp_path, snapshots=alone.numpy())))
    values = [row["phi_sd_deg"] for row in given.summary["sources"]]
    assert all(value is None or value >= 0.0 for value in values)
    assert len(given.summary["sources"]) == 8


def with_value(array: np.ndarray, index: Any, value: Any) -> np.ndarray:
    changed = array.copy()
    changed[index] = value
    return changed


HERMITIAN = SNAPSHOTS @ SNAPSHOTS.conj().swapaxes(1, 2) / 16

BAD: list[tuple[dict[str, Any], str]] = [
    ({"snapshots": SNAPSHOTS[:, :60]}, r"60 channels\n  expected: 64 elements"),
    ({"snapshots": SNAPSHOTS.real}, "of type float32|type float32"),
    ({"snapshots": with_value(SNAPSHOTS, (3, 5, 1), np.nan)}, "not finite in 1 of 30 scenes, first in scene 3"),
    ({"snapshots": with_value(SNAPSHOTS, 4, 0.0)}, "all zero in scene 4"),
    ({"covariance": with_value(HERMITIAN, (2, 0, 1), 9.0), "num_snapshots": 16}, "scene 2 differs from its conjugate"),
    ({"covariance": HERMITIAN}, "without 'num_snapshots'"),
    ({"covariance": HERMITIAN, "num_snapshots": 4}, "has rank 16, 'num_snapshots' says 4"),
    ({"covariance": HERMITIAN, "num_snapshots": [16, 2]}, r"'num_snapshots' of shape \(2,\)"),
    ({"snapshots": SNAPSHOTS, "num_sources": [2.0, 1.7]}, r"'num_sources' of shape \(2,\) and type float64"),
    ({"snapshots": SNAPSHOTS, "num_sources": np.full(30, "two")}, "'num_sources' of shape"),
    ({"snapshots": SNAPSHOTS, "sources": np.full((30, 2, 3), "x")}, "'sources' of shape"),
    ({"covariance": HERMITIAN - 2.0 * np.eye(64), "num_snapshots": 16}, "has the eigenvalue -"),
    ({"snapshots": SNAPSHOTS, "num_sources": 3}, "3 sources\n  expected: 2 to 2"),
    ({"snapshots": SNAPSHOTS, "sources": np.degrees(TRUTH)}, "numpy.radians"),
    (
        {"snapshots": SNAPSHOTS, "sources": with_value(TRUTH, (0, 0, 2), 40.0)},
        r"range of 40 m\n  expected: 0.5 to 10 m",
    ),
    ({"snapshots": SNAPSHOTS, "sources": TRUTH[:, :1]}, r"'sources' of shape \(30, 1, 3\)"),
    ({"snapshot": SNAPSHOTS}, "did you mean 'snapshots'"),
    ({"num_sources": 2}, "either 'snapshots' or 'covariance'"),
]


@pytest.mark.parametrize(("arrays", "message"), BAD, ids=[message[:30] for _, message in BAD])
def test_a_bad_recording_gets_one_clear_message(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_recording(write(tmp_path, **arrays), CONFIG.data, num_sources=None)
    assert re.search(message, str(caught.value)), str(caught.value)


def test_files_of_other_programs_hold_the_same_scenes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import h5py
    import scipy.io

    channels = CONFIG.data.num_channels
    random = np.random.default_rng(0)
    snapshots = (random.normal(size=(3, channels, 4)) + 1j * random.normal(size=(3, channels, 4))).astype(np.complex64)
    monkeypatch.chdir(tmp_path)
    np.savez("zero.npz", snapshots=snapshots)
    np.save("one.npy", snapshots)
    scipy.io.savemat("two.mat", {"X": snapshots})
    scipy.io.savemat("three.mat", {"snapshots": snapshots, "num_sources": np.array([[2.0, 2.0, 2.0]])})
    with h5py.File("four.h5", "w") as file:
        file["snapshots"], file["num_sources"] = snapshots, 2
    with h5py.File("five.mat", "w", userblock_size=512) as file:  # as MATLAB 7.3 writes: axes in reverse, pairs
        pairs = np.empty(snapshots.T.shape, dtype=[("real", "<f4"), ("imag", "<f4")])
        pairs["real"], pairs["imag"] = snapshots.T.real, snapshots.T.imag
        file["data"] = pairs
    with Path("five.mat").open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file".ljust(512, b" "))
    wanted = read_recording(Path("zero.npz"), CONFIG.data, num_sources=2)
    for name in ("one.npy", "two.mat", "three.mat", "four.h5", "five.mat"):
        found = read_recording(Path(name), CONFIG.data, num_sources=2)
        np.testing.assert_array_equal(found.snapshots.numpy(), wanted.snapshots.numpy(), err_msg=name)
        np.testing.assert_array_equal(found.num_sources.numpy(), [2, 2, 2], err_msg=name)


def test_a_file_that_is_no_npz_and_pickles_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "recording.npz"
    text.write_text("no archive")
    with pytest.raises(DataError, match="cannot be read"):
        read_recording(text, CONFIG.data, num_sources=None)
    with pytest.raises(DataError, match="cannot be read"):
        read_recording(write(tmp_path, snapshots=np.array([{"a": 1}], dtype=object)), CONFIG.data, num_sources=None)
    with pytest.raises(DataError, match="cannot be read"):
        read_recording(tmp_path / "missing.npz", CONFIG.data, num_sources=None)
    text.write_bytes(b"")
    with pytest.raises(DataError, match="cannot be read"):
        read_recording(text, CONFIG.data, num_sources=None)


def test_the_number_of_sources_must_come_from_somewhere(tmp_path: Path) -> None:
    data = DataConfig(min_sources=1, max_sources=3)
    path = write(tmp_path, snapshots=SNAPSHOTS)
    with pytest.raises(DataError, match="does not say how many sources"):
        read_recording(path, data, num_sources=None)
    assert read_recording(path, data, num_sources=3).num_sources.tolist() == [3] * 30
    with pytest.raises(DataError, match="--num-sources: 4 sources"):
        read_recording(path, data, num_sources=4)


def test_snapshots_of_the_other_convention_are_told(tmp_path: Path) -> None:
    """Two coherent sources near the surface; the network is fresh, likelihood finds them all the same."""
    config = Config(data=DataConfig(), model=ModelConfig(width=16, depth=1))
    torch.manual_seed(0)
    model = build_model(config, {}).eval()
    _, steering = columns(3, 2)
    signal = complex_normal(3, 2, 16, seed=1)
    field = steering @ signal + 0.005 * complex_normal(3, 64, 16, seed=2)
    warned = []
    for name, values in (("ours.npz", field), ("theirs.npz", field.conj())):
        np.savez(tmp_path / name, snapshots=values.resolve_conj().numpy())
        with torch.no_grad():
            warned.append(predict(model, Request(snapshots=tmp_path / name, num_sources=2)).warnings)
    assert not warned[0]
    assert "times better conjugated" in warned[1][0]


def test_the_number_of_sources_can_be_left_open(tmp_path: Path, model: CovarianceNet) -> None:
    """Scenes of two sources, of one, and of noise alone, asked of a network that was trained for two."""
    alone = (true_columns(CONFIG.data, BATCH)[..., :1] @ BATCH["amplitudes"][:, :1]).numpy()[:5]
    noise = complex_normal(5, 64, 16).numpy()
    mixed = np.concatenate([SNAPSHOTS[:10], alone + 0.1 * noise, noise]).astype(np.complex64)
    path = write(tmp_path, snapshots=mixed)
    rows = RisLocalization().predict(model, Request(snapshots=path, num_sources="auto")).summary["sources"]
    counts = np.bincount([row["scene"] for row in rows], minlength=20)
    assert (counts[:10] == 2).mean() >= 0.9
    assert counts[10:].tolist() == [1] * 5 + [0] * 5
    truth = np.concatenate([TRUTH[:10], TRUTH[:10]])
    known = write(tmp_path, snapshots=mixed, sources=truth, num_sources=[2] * 10 + [1] * 5 + [2] * 5)
    errors = RisLocalization().predict(model, Request(snapshots=known, num_sources="auto")).summary["errors"]
    assert errors["order_accuracy"] == pytest.approx(0.75, abs=0.05)
    assert errors["success"] > 0.9
    assert errors["gospa_m"] < 0.6


def test_more_sources_than_rank_are_told_and_answers_say_what_angles_mean(tmp_path: Path, model: CovarianceNet) -> None:
    one = write(tmp_path, snapshots=SNAPSHOTS[:4, :, :1])
    given = RisLocalization().predict(model, Request(snapshots=one))
    assert "4 of 4 scenes have more sources than rank (first 0: 2 sources of snapshots of rank 1)" in given.warnings[0]
    assert "z = r cos(phi) cos(theta)" in given.summary["convention"]
    full = RisLocalization().predict(model, Request(snapshots=write(tmp_path, snapshots=SNAPSHOTS[:4])))
    assert not full.warnings


@pytest.mark.parametrize("threads", [1, 2])
def test_predict_takes_one_thread_and_gives_the_others_back(
    tmp_path: Path, model: CovarianceNet, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    seen = []
    monkeypatch.setattr(answer, "_answered", lambda *asked: seen.append(torch.get_num_threads()))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        predict(model, Request(snapshots=tmp_path / "scenes.npz"))
        assert (seen, torch.get_num_threads()) == ([1], threads)
    finally:
        torch.set_num_threads(before)


def test_a_covariance_in_single_precision_is_read(tmp_path: Path) -> None:
    covariance = (SNAPSHOTS @ SNAPSHOTS.conj().swapaxes(1, 2) / 16).astype(np.complex64)
    found = read_recording(write(tmp_path, covariance=covariance, num_snapshots=16), CONFIG.data, num_sources=2)
    values = found.snapshots.numpy().astype(np.complex128)
    again = values @ values.conj().swapaxes(1, 2)
    scale = np.abs(again).max(axis=(1, 2)) / np.abs(covariance).max(axis=(1, 2))
    assert np.abs(again / scale[:, None, None] - covariance).max() < 1e-4 * np.abs(covariance).max()
