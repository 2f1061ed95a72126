"""Runs of other software become runs that can be compared: from a table, MLflow's folder, an Optuna study."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from distsys.domains.registry import get_domain
from distsys.errors import UsageError
from distsys.pipeline.compare import compared, comparison_text
from distsys.pipeline.foreign import imported

DOMAIN = get_domain("semantic_eq")


def table(folder: Path, name: str, *, metric: str = "response_mae_db", shift: float = 0.0) -> Path:
    path = folder / f"{name}.csv"
    rows = [f"{10 * step},{2.0 / step + 0.1 * (step == 12) + shift},{3.0 / step}" for step in range(1, 13)]
    path.write_text("\n".join([f"step,{metric},val_loss", *rows]) + "\n")
    return path


def test_tables_side_by_side(tmp_path: Path) -> None:
    one = imported(str(table(tmp_path, "one")), DOMAIN, "one", root=tmp_path)
    other = imported(str(table(tmp_path, "two", metric="val_mae", shift=0.5)), DOMAIN, "two", root=tmp_path,
                     metric="val_mae")  # fmt: skip
    assert one.step == 110
    assert one.value == pytest.approx(2.0 / 11)
    assert other.metric == "val_mae"
    found = compared([one.folder, other.folder])
    (difference,) = found.differences()
    assert difference.value == pytest.approx(0.5)
    assert not difference.is_better
    assert found.sides[1].metrics["val_loss"] == pytest.approx(3.0 / 11)
    assert "error unknown" in comparison_text(found)
    assert found.config_rows() == []


def test_mlflows_folder_brings_its_settings(tmp_path: Path) -> None:
    run = tmp_path / "mlruns" / "0" / "a"
    for name in ("metrics", "params"):
        (run / name).mkdir(parents=True)
    (run / "meta.yaml").write_text("")
    (run / "metrics" / "response_mae_db").write_text("".join(f"1 {1.0 / n} {n}\n" for n in range(1, 10)))
    (run / "params" / "latent_size").write_text("6")
    (run / "params" / "magic").write_text("7")
    found = imported(str(run), DOMAIN, "theirs", root=tmp_path)
    side = compared([found.folder, found.folder]).sides[0]
    assert side.config["model.latent_size"] == 6.0
    assert side.config["imported.magic"] == 7.0


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_the_best_trial_of_a_study(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    study = optuna.create_study(storage=storage, study_name="theirs")
    for size in (4, 8):
        trial = study.ask()
        trial.suggest_int("latent_size", size, size)
        for step in (1, 2):
            trial.report(10.0 / size / step, step)
        study.tell(trial, 5.0 / size)
    found = imported(str(tmp_path / "study.db"), DOMAIN, "best", root=tmp_path)
    assert found.step == 2
    assert found.value == pytest.approx(10.0 / 16)
    assert compared([found.folder, found.folder]).sides[0].config["model.latent_size"] == 8
    optuna.create_study(storage=storage, study_name="second")
    with pytest.raises(UsageError, match="2 studies"):
        imported(storage, DOMAIN, "more", root=tmp_path)
    up = optuna.create_study(storage=storage, study_name="up", direction="maximize")
    up.tell(up.ask(), 1.0)
    with pytest.raises(UsageError, match="is for max"):
        imported(storage, DOMAIN, "more", root=tmp_path, study="up")


def test_what_cannot_be_imported(tmp_path: Path) -> None:
    source = str(table(tmp_path, "one", metric="respons_mae_db"))
    with pytest.raises(UsageError, match="did you mean 'respons_mae_db'"):
        imported(source, DOMAIN, "one", root=tmp_path)
    imported(source, DOMAIN, "one", root=tmp_path, metric="respons_mae_db")
    with pytest.raises(UsageError, match="is there already"):
        imported(source, DOMAIN, "one", root=tmp_path, metric="respons_mae_db")


def test_a_sick_curve_is_a_sick_run(tmp_path: Path) -> None:
    path = tmp_path / "sick.csv"
    rows = [f"{step},{1.0 if step < 6 else 'nan'}" for step in range(1, 20)]
    path.write_text("\n".join(["step,response_mae_db", *rows]) + "\n")
    found = imported(str(path), DOMAIN, "sick", root=tmp_path)
    assert found.verdicts
    assert compared([found.folder, found.folder]).sides[0].verdicts
