"""The domain as a user meets it: train, evaluate, predict, and the first mistakes at the command line."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from distsys.domains.ris_localization.config import DataConfig
from distsys.domains.ris_localization.data.conditions import Condition
from distsys.domains.ris_localization.data.scenes import SceneSource

Call = Callable[..., tuple[int, str, str]]

TINY = (
    "data.num_x=4",
    "data.num_y=4",
    "data.validation_scenes=20",
    "data.test_scenes=20",
    "model.width=32",
    "model.depth=1",
    "final.steps=150",
    "final.eval_every_steps=75",
    "constraints={success_over_raw_music: {min: -1.0}}",
)


def test_a_trained_network_is_evaluated_and_asked(distsys: Call, tmp_path: Path) -> None:
    settings = [part for setting in TINY for part in ("--set", setting)]
    code, out, err = distsys("train", "ris_localization", "--local", "--json", "--out", str(tmp_path), *settings)
    assert code == 0, err
    trained = json.loads(out)
    rows = trained["baselines"]
    assert {"raw MUSIC", "smoothed", "greedy ML", "oracle", "CRB"} <= set(rows)
    bound = rows["CRB"]["metrics"]
    assert bound["phi_rmse_deg/snr10"] < bound["phi_rmse_deg/snr0"]
    folder = str(Path(trained["checkpoint"]).parents[1])
    code, out, err = distsys("evaluate", folder, "--json")
    assert code == 0, err
    assert json.loads(out)["metrics"] == trained["metrics"]
    data = DataConfig(num_x=4, num_y=4)
    source = SceneSource(data, wave=data.world, seed=3, condition=Condition(20.0, 1.0, 16))
    recording, answer = tmp_path / "snapshots.npz", tmp_path / "sources.csv"
    np.savez(recording, snapshots=source.batch(range(5), progress=0.0)["snapshots"].numpy())
    code, _, err = distsys("predict", "ris_localization", "--checkpoint", folder, str(recording), "-o", str(answer))
    assert code == 0, err
    assert len(list(csv.DictReader(answer.read_text().splitlines()))) == 10
    code, _, err = distsys("predict", "ris_localization", "--checkpoint", folder, str(tmp_path / "none.npz"))
    assert code == 2
    assert "none.npz: cannot be read" in err


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("data.max_sources=4", "data.max_sources"),
        ("data.steering=spherical", "'exact', 'fresnel' or 'paraxial'"),
        ("data.max_phi_deg=1.5708rad", "data.max_phi_deg"),
        ("data.min_range_m=20.0", "min_range_m 20.0 is above max_range_m 10.0"),
        ("model.align_form=quadratic", "'linear' or 'squared'"),
    ],
)
def test_a_wrong_value_is_named(distsys: Call, tmp_path: Path, setting: str, message: str) -> None:
    code, _, err = distsys("config", "ris_localization", "--set", setting, "--out", str(tmp_path / "out"))
    assert code == 2
    assert message in err
    assert not (tmp_path / "out").exists()
