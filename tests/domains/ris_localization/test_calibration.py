"""Arrays learned from recordings: what comes out beside the truth, what cannot, and the command around it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from distsys.domains.calibrating import Calibrating
from distsys.domains.registry import get_domain
from distsys.domains.ris_localization import RisLocalization
from distsys.domains.ris_localization.answer import predict
from distsys.domains.ris_localization.config import CalibrationRequest, Config, DataConfig, Request
from distsys.domains.ris_localization.data.array_file import array_content, read_array
from distsys.domains.ris_localization.data.conditions import Condition
from distsys.domains.ris_localization.data.geometry import surface_of, to_physical
from distsys.domains.ris_localization.data.recording import Recording
from distsys.domains.ris_localization.data.scenes import SceneSource
from distsys.domains.ris_localization.data.site import true_site
from distsys.domains.ris_localization.data.steering import Steering, steering_of
from distsys.domains.ris_localization.model.array_fit import PER_ELEMENT, Scenes, expanded, moved, parameters
from distsys.domains.ris_localization.model.calibration import Calibration, Calibrator
from distsys.domains.ris_localization.model.localizer import Localizer, localizer_of
from distsys.domains.ris_localization.model.network import CovarianceNet
from distsys.domains.ris_localization.score.learned import array_errors, directions, scenes_of, uncertainty, without
from distsys.errors import DataError

Call = Callable[..., tuple[int, str, str]]
FLAWS = {"gain_db": 1.5, "phase_deg": 20.0, "position_share": 0.03}
SMALL: dict[str, Any] = {"num_x": 5, "num_y": 5, "min_sources": 1, "max_sources": 1}


def settings(**more: Any) -> DataConfig:
    return DataConfig.model_validate({**SMALL, "imperfections": FLAWS, **more})


def recorded(data: DataConfig, count: int, *, seed: int = 1, snr_db: float = 20.0) -> dict[str, Tensor]:
    condition = Condition(snr_db, 0.0, 16)
    source = SceneSource(data, wave=data.world, seed=seed, condition=condition, site=true_site(data))
    return dict(source.batch(range(count), progress=0.0))


def parts(batch: dict[str, Tensor], localizer: Localizer, *, are_known: bool = False) -> list[Scenes]:
    recording = Recording(batch["snapshots"], batch["num_sources"], batch["num_snapshots"], None)
    return scenes_of(recording, localizer, batch["uvq"].double() if are_known else None)


@cache
def learned(anchors: int, measurement: str = "array") -> tuple[Calibration, Steering, Steering]:
    """What is learned of a small array from 60 scenes, the truth, and what is assumed."""
    data = settings(measurement=measurement, num_antennas=12)
    localizer = localizer_of(data)
    known = parts(recorded(data, anchors, seed=9), localizer, are_known=True) if anchors else []
    with torch.no_grad():
        found = Calibrator(localizer).run(parts(recorded(data, 60), localizer), known)
    return found, true_site(data).steering, localizer.steering


@pytest.mark.parametrize("measurement", ["array", pytest.param("coded", marks=pytest.mark.slow)])
def test_elements_are_learned_from_scenes_that_nobody_labelled(measurement: str) -> None:
    found, truth, nominal = learned(0, measurement)
    errors, before = array_errors(found.steering, truth, nominal), array_errors(moved_none(nominal), truth, nominal)
    assert before["phase_deg"] > 10.0
    assert errors["phase_deg"] < 1.0
    assert errors["gain_db"] < 0.1
    assert errors["position_m"] < 0.01 * 0.15
    assert found.num_used >= 55


def test_dead_elements_are_found_and_the_others_learned_all_the_same(tmp_path: Path) -> None:
    data = settings(imperfections={**FLAWS, "dead_share": 0.08})
    truth, path = true_site(data).steering, tmp_path / "scenes.npz"
    assert truth.response is not None
    np.savez(path, snapshots=recorded(data, 60)["snapshots"].numpy())
    answer = RisLocalization().calibrate(Config(data=data), CalibrationRequest(scenes=path))
    assert answer.summary["dead_elements"] == (truth.response.gains == 0).nonzero()[:, 0].tolist()
    (tmp_path / "array.json").write_text(str(answer.files[".json"]))
    learned_now = steering_of(data.model_copy(update={"array": tmp_path / "array.json"}), "exact")
    errors = array_errors(learned_now, truth, Steering.of(surface_of(data)))
    assert errors["phase_deg"] < 1.5
    assert errors["position_m"] < 0.015 * 0.15


def moved_none(nominal: Steering) -> Steering:
    return moved(nominal, torch.zeros(PER_ELEMENT * len(nominal.positions_m), dtype=torch.float64))


def test_the_stated_deviations_are_those_of_the_errors() -> None:
    found, truth, nominal = learned(0)
    gap = parameters(found.steering, nominal) - parameters(truth, nominal)
    gap = without(gap[:, None], nominal)[:, 0]
    deviations, _ = uncertainty(found, nominal)
    left = without(without(found.covariance(), nominal).T.contiguous(), nominal)
    assert torch.allclose(deviations.flatten().square(), left.diagonal(), rtol=1e-6)
    inverse = torch.linalg.pinv(left, hermitian=True, rtol=1e-9)
    assert float(gap @ inverse @ gap) / (len(gap) - len(directions(nominal))) == pytest.approx(1.0, abs=0.3)


def test_what_cannot_be_told_is_said_and_anchors_tell_it() -> None:
    (alone, _, nominal), (helped, _, _) = learned(0), learned(6)
    rows, with_anchors = ({row["direction"]: row for row in uncertainty(item, nominal)[1]} for item in (alone, helped))
    blind = {name for name, row in rows.items() if not row["identifiable"]}
    assert blind >= {"common gain", "common phase", "shift along x", "shift along y", "rotation"}
    told = {name for name, row in with_anchors.items() if row["identifiable"]}
    assert told >= {"tilt along x", "tilt along y", "rotation"}
    assert not told & {"common gain", "common phase"}
    assert with_anchors["tilt along x"]["deviation"] < rows["tilt along x"]["deviation"]


def test_the_slope_is_that_of_the_likelihood_and_the_sources_are_eliminated() -> None:
    data = settings()
    localizer, batch = localizer_of(data), recorded(data, 5)
    steering = moved_none(localizer.steering)
    known = [replace(part, uvq=batch["uvq"].double()) for part in parts(batch, localizer, are_known=True)]
    kept = [torch.ones(5, dtype=torch.bool)]
    step = expanded(steering, localizer.sensing, known, kept)
    for place in (1, 5, 6, 19, 40):
        move = torch.zeros(100, dtype=torch.float64)
        move[place] = 1e-6
        up, down = (
            expanded(shifted(steering, sign * move), localizer.sensing, known, kept).cost for sign in (1.0, -1.0)
        )
        assert float(step.slope[place]) == pytest.approx(-(up - down) / 2e-6, rel=1e-3, abs=1e-2)
    free = [replace(part, are_known=False) for part in known]
    less = expanded(steering, localizer.sensing, free, kept).information
    lost = torch.linalg.eigvalsh(step.information - less)
    assert float(lost.min()) > -1e-6 * float(lost.max())
    for item in directions(localizer.steering):
        seen = float(item.vector @ less @ item.vector) / float(
            item.vector @ step.information.diagonal().diag() @ item.vector
        )
        assert (seen < 1e-4) == (item.name not in ("tilt along x", "tilt along y", "stretch")) or seen < 0.1


def shifted(steering: Steering, move: Tensor) -> Steering:
    """``moved``, gains as they come: their mean power is what the slope is asked about."""
    log, turn, x, y = move.reshape(-1, PER_ELEMENT).unbind(1)
    assert steering.response is not None
    gains = steering.response.gains * torch.polar(log.exp(), turn)
    return replace(
        steering,
        positions_m=steering.positions_m + torch.stack([x, y], dim=1),
        response=replace(steering.response, gains=gains),
    )


@pytest.mark.parametrize("model", ["exact", "fresnel", "paraxial"])
def test_slopes_by_the_place_of_an_element_are_those_of_the_path(model: Any) -> None:
    surface = surface_of(settings())
    steering = Steering.of(surface, model)
    uvq = torch.tensor([[0.3, -0.2, 0.7]], dtype=torch.float64)
    for column in range(2):
        step = torch.zeros(25, 2, dtype=torch.float64)
        step[:, column] = 1e-6
        up, down = (
            replace(steering, positions_m=steering.positions_m + sign * step)._path(uvq)[0] for sign in (1.0, -1.0)
        )
        assert torch.allclose(steering.position_slopes(uvq)[0, column], (up - down)[0] / 2e-6, atol=1e-6)


def test_an_array_survives_its_file(tmp_path: Path) -> None:
    found, _, _ = learned(0)
    surface, path = surface_of(settings()), tmp_path / "array.json"
    path.write_text(json.dumps(array_content(surface, found.array, {})))
    again = read_array(path, surface)
    assert torch.allclose(again.gains, found.array.gains, atol=1e-12)
    assert torch.allclose(again.positions_m, found.array.positions_m, atol=1e-12)
    assumed = steering_of(settings(array=path), "exact")
    assert torch.allclose(assumed.positions_m, found.array.positions_m)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("no json", "cannot be read"),
        ('{"kind": "other"}', "is no learned array"),
        ('{"kind": "ris_localization array", "num_x": 8}', "'num_x' is 8\n  expected: 5"),
        (
            '{"kind": "ris_localization array", "num_x": 5, "num_y": 5, "wavelength_m": 0.3, "spacing_m": 0.15, '
            '"elements": [{"x_m": 0}]}',
            "'elements' of another form",
        ),
    ],
)
def test_a_file_that_is_no_array_of_this_surface_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "array.json"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        read_array(path, surface_of(settings()))


def test_a_learned_array_makes_predict_right_again(tmp_path: Path) -> None:
    """The network was trained for the nominal array, likelihood with it finds less."""
    data = settings(min_sources=2, max_sources=2, num_x=6, num_y=6, imperfections={**FLAWS, "phase_deg": 60.0})
    batch, truth = recorded(data, 30), true_site(data).steering
    assert truth.response is not None
    path = tmp_path / "array.json"
    array = learned(0)[0].array
    array = replace(array, positions_m=truth.positions_m, gains=truth.response.gains)
    path.write_text(json.dumps(array_content(surface_of(data), array, {})))
    places = to_physical(batch["uvq"].double()).numpy()
    np.savez(tmp_path / "scenes.npz", snapshots=batch["snapshots"].numpy(), sources=places)
    torch.manual_seed(0)
    model = CovarianceNet(Config.model_validate({"data": data, "model": {"width": 16, "depth": 1}})).eval()
    with torch.no_grad():
        nominal, told = (
            predict(model, Request(snapshots=tmp_path / "scenes.npz", array=item)).summary["errors"]["success"]
            for item in (None, path)
        )
    assert told > 0.9
    assert nominal < told - 0.1


def test_the_command_writes_what_predict_takes(distsys: Call, tmp_path: Path) -> None:
    data = settings()
    for name, count, seed in (("scenes", 40, 1), ("anchors", 5, 9)):
        batch = recorded(data, count, seed=seed)
        places: dict[str, Any] = {"sources": to_physical(batch["uvq"].double()).numpy()} if name == "anchors" else {}
        np.savez(tmp_path / f"{name}.npz", snapshots=batch["snapshots"].numpy(), **places)
    small = [part for key, value in SMALL.items() for part in ("--set", f"data.{key}={value}")]
    files = [part for name in ("scenes", "anchors") for part in (f"--{name}", str(tmp_path / f"{name}.npz"))]
    out = tmp_path / "array.json"
    code, printed, err = distsys("calibrate", "ris_localization", *files, *small, "--json", "-o", str(out))
    assert code == 0, err
    summary = json.loads(printed)
    assert summary["not identifiable"].startswith("common gain, common phase")
    assert "tilt" not in summary["not identifiable"]
    assert 0.0 < summary["phase_sd_deg"] < 1.0
    content = json.loads(out.read_text())
    assert {row["direction"] for row in content["directions"]} >= {"tilt along x", "rotation"}
    assert len(content["deviations"]["phase_sd_deg"]) == 25
    nominal = Steering.of(surface_of(data))
    found = steering_of(data.model_copy(update={"array": out}), "exact")
    assert array_errors(found, true_site(data).steering, nominal)["phase_deg"] < 1.0
    code, _, err = distsys("calibrate", "ris_localization", *small, "--anchors", "a.npz", "-o", str(out))
    assert code == 2
    assert "--scenes" in err
    code, _, err = distsys("calibrate", "semantic_eq", "--scenes", "a.npz", "-o", str(out))
    assert code == 2
    assert "semantic_eq has nothing to calibrate" in err


def test_anchors_must_say_where_their_sources_are(tmp_path: Path) -> None:
    data = settings()
    path = tmp_path / "scenes.npz"
    np.savez(path, snapshots=recorded(data, 25)["snapshots"].numpy())
    config = Config(data=data)
    with pytest.raises(DataError, match="anchors without 'sources'"):
        RisLocalization().calibrate(config, CalibrationRequest(scenes=path, anchors=path))
    np.savez(path, snapshots=recorded(data, 3)["snapshots"].numpy())
    with pytest.raises(DataError, match="3 scenes\n  expected: 20 or more"):
        RisLocalization().calibrate(config, CalibrationRequest(scenes=path))


def test_only_domains_with_an_instrument_can_be_calibrated() -> None:
    assert isinstance(RisLocalization(), Calibrating)
    assert not isinstance(get_domain("semantic_eq"), Calibrating)
