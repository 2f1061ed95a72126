"""The contract, synthetic records, and the domain as a user meets it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from distsys.domains.ground_motion import GroundMotion
from distsys.domains.ground_motion.config import DataConfig
from distsys.domains.ground_motion.data.levels import levels_of
from distsys.domains.ground_motion.data.operators import lowpass
from distsys.domains.ground_motion.data.reading import read_one
from distsys.domains.ground_motion.data.records import Declared
from distsys.domains.ground_motion.data.synthetic import LEVEL_SCATTER, synthetic_records
from distsys.domains.ground_motion.data.windows import prepare
from distsys.domains.protocol import Inspecting
from distsys.health.verdict import Verdict
from distsys.testing.contract import DomainContract
from distsys.testing.subject import Overfit
from tests.domains.ground_motion.support import SMALL, small_bundle, some_record, write_at2, write_npz

Call = Callable[..., tuple[int, str, str]]
TINY = (
    *SMALL,
    "final.steps=4",
    "final.eval_every_steps=2",
    "batch_size=8",
    "constraints={coverage_lowest: {min: 0.0}, coverage_highest: {max: 1.0}, shuffle_loss: {min: -2.0}}",
)


class TestGroundMotion(DomainContract):
    domain_name = "ground_motion"
    overrides = (*SMALL, "model.dropout=0.0")
    overfit = Overfit("fit", rate=1e-2, share=0.5)


def test_the_domain_can_look_at_its_data() -> None:
    assert isinstance(GroundMotion(), Inspecting)


def test_synthetic_records_depend_on_the_seed_and_look_like_ground_motion() -> None:
    one, same, other = (synthetic_records(3, 2, seed=seed) for seed in (0, 0, 1))
    assert all(np.array_equal(a.samples, b.samples) for a, b in zip(one, same, strict=True))
    assert not np.array_equal(one[0].samples, other[0].samples)
    peaks = [float(np.abs(record.samples).max()) for record in synthetic_records(20, 2, seed=0)]
    assert 1e-4 < np.median(peaks) < 1.0


def test_levels_cannot_be_foretold_better_than_they_scatter() -> None:
    """The answer is known: what lies above 1 Hz is scaled by a draw that nothing below it tells."""
    bundle = small_bundle()
    motion = torch.cat([batch["motion"] for batch in bundle.test.batches])
    assert float(levels_of(motion).std(dim=0).min()) > LEVEL_SCATTER
    spread = bundle.statistics["level_factor"]
    assert isinstance(spread, torch.Tensor)
    assert 0.8 * LEVEL_SCATTER < float(spread[:, 0, 0].mean()) < 4.0 * LEVEL_SCATTER


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from distsys.cli import main

    folder = tmp_path_factory.mktemp("trained")
    arguments = ["train", "ground_motion", "--local", "--quiet", "--out", str(folder)]
    assert main([*arguments, *(f"--set={item}" for item in TINY)]) == 0
    return next(folder.glob("ground_motion-*"))


def test_predict_writes_what_it_can_read(trained: Path, tmp_path: Path, distsys: Call) -> None:
    record = write_at2(tmp_path / "low.AT2", some_record().samples, dt_s=0.01)
    asked = ("predict", "ground_motion", str(record), "--checkpoint", str(trained), "--samples", "5")
    code, out, err = distsys(*asked, "-o", str(tmp_path / "made"))
    assert (code, err) == (0, ""), err
    names = sorted(path.name for path in (tmp_path / "made").iterdir())
    assert names == [*(f"motion_{number:03d}.AT2" for number in range(1, 6)), "motions.png"]
    motions = [read_one(tmp_path / "made" / name, Declared()) for name in names[:5]]
    whole = prepare(read_one(record, Declared()), DataConfig())
    given = lowpass(torch.from_numpy(whole.window(0.3).copy()))
    for motion in motions:
        kept = lowpass(torch.from_numpy(motion.samples).float())
        assert torch.allclose(kept, given, atol=1e-3 * float(given.abs().max()))
    assert not np.allclose(motions[0].samples, motions[4].samples)
    code, out, _ = distsys(*asked, "-o", str(tmp_path / "made.npz"), "--json")
    summary = json.loads(out)
    assert summary["samples"] == 5 and summary["unit"] == "g"
    assert summary["pga_g"] == sorted(summary["pga_g"])
    assert np.load(tmp_path / "made.npz")["motions_g"].shape == (5, 2048)


def test_predict_takes_a_record_that_ends_near_1_hz(trained: Path, tmp_path: Path, distsys: Call) -> None:
    samples = some_record().samples
    spectrum = np.fft.rfft(samples)[: len(samples) // 20 + 1]
    slow = np.fft.irfft(spectrum, len(samples) // 10) / 10.0
    record = write_npz(tmp_path / "slow.npz", slow, rate_hz=10.0)
    code, _, err = distsys(
        "predict",
        "ground_motion",
        str(record),
        "--checkpoint",
        str(trained),
        "--samples",
        "1",
        "-o",
        str(tmp_path / "a.at2"),
    )
    assert (code, err) == (0, "")
    assert len(read_one(tmp_path / "a.at2", Declared()).samples) == 2048


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: write_npz(path / "a.npz", some_record().samples[1000:1300]), "lasts 3.00 s"),
        (lambda path: write_npz(path / "a.npz", some_record().samples, rate_hz=1.0), "sampled at 1 Hz"),
        (lambda path: path / "missing.AT2", "no such file"),
    ],
)
def test_predict_refuses_what_it_cannot_use(
    make: Callable[[Path], Path], reason: str, trained: Path, tmp_path: Path, distsys: Call
) -> None:
    code, _, err = distsys(
        "predict", "ground_motion", str(make(tmp_path)), "--checkpoint", str(trained), "-o", str(tmp_path / "x.zip")
    )
    assert code == 2
    assert reason in err


def test_resume_goes_on_where_it_was(trained: Path, tmp_path: Path, distsys: Call) -> None:
    """A last layer was once multiplied by 10 at every restart."""
    half = tmp_path / trained.name
    shutil.copytree(trained, half)
    shutil.rmtree(half / "checkpoints" / "step-00000004")
    for name in ("outcome.json", "evaluation.json"):
        (half / name).unlink(missing_ok=True)
    arguments = ["train", "ground_motion", "--local", "--quiet", "--out", str(tmp_path)]
    code, _, err = distsys(*arguments, *(f"--set={item}" for item in TINY))
    assert code == 0, err
    resumed, whole = (
        torch.load(folder / "checkpoints" / "step-00000004" / "model.pt", weights_only=True)
        for folder in (half, trained)
    )
    flat = [dict(_tensors(item)) for item in (resumed, whole)]
    assert flat[0].keys() == flat[1].keys() and len(flat[0]) > 10
    assert all(torch.equal(flat[0][name], flat[1][name]) for name in flat[0])


def _tensors(item: object, name: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(item, torch.Tensor):
        yield name, item
    elif isinstance(item, Mapping):
        for key, value in item.items():
            yield from _tensors(value, f"{name}/{key}")


def test_data_check_shows_sources_and_names_faults(tmp_path: Path, distsys: Call) -> None:
    for number in range(3):
        write_npz(tmp_path / f"{number}.npz", some_record().samples * (1.0 + number))
    code, out, _ = distsys("data", "check", "ground_motion", "--set", f"data.records=[{tmp_path}]")
    assert code == 2
    assert "1 fault\n" in out and "1 event (3 are named" in out and "sigma_data" in out
    assert max(len(line) for line in out.splitlines()) <= 80
    tiny = tmp_path / "tiny"
    tiny.mkdir()
    write_npz(tiny / "small.npz", 1e-3 * some_record().samples)
    (tiny / "bad.AT2").write_text("nothing")
    code, out, _ = distsys("data", "check", "ground_motion", "--set", f"data.records=[{tiny}]", "--json")
    assert code == 2
    faults = json.loads(out)["faults"]
    assert any("bad.AT2" in text for text in faults)
    assert any("median peak" in text or "below what instruments resolve" in text for text in faults)


def test_data_check_of_another_domain(distsys: Call) -> None:
    code, out, _ = distsys("data", "check", "ris_localization")
    assert code == 0
    assert "tensors of a batch" in out


def test_data_check_of_synthetic_records_finds_nothing(distsys: Call) -> None:
    code, out, _ = distsys("data", "check", "ground_motion")
    assert code == 0
    assert "no faults" in out


def test_predict_warns_of_a_sick_model_and_refuses_that_of_another_domain(
    trained: Path, tmp_path: Path, distsys: Call
) -> None:
    record = write_npz(tmp_path / "a.npz", some_record().samples)
    sick = tmp_path / "sick"
    shutil.copytree(trained, sick)
    content = json.loads((sick / "evaluation.json").read_text())
    step = sick / "checkpoints" / Path(content["checkpoint"]).name
    verdict = Verdict("stop", "shuffle_loss outside its band", "shuffle_loss = 0, band >= 0.1", 3, "train longer")
    known = {**content, "checkpoint": str(step), "verdicts": [verdict.content()]}
    (sick / "evaluation.json").write_text(json.dumps(known))
    asked = (str(record), "--checkpoint", str(step), "--samples", "1", "--json")
    code, _, err = distsys("predict", "ground_motion", *asked)
    assert code == 0
    assert err == f"warning: this model is sick: {verdict}\n"
    code, _, err = distsys("predict", "semantic_eq", "--checkpoint", str(step), "--term", "warm")
    assert code == 2
    assert "a model of 'ground_motion'" in err
