"""Words as distributions, the way towards them, and what a person asks with settings of their own."""

from __future__ import annotations

import copy
import csv
import io
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from distsys.domains.semantic_eq import SemanticEq
from distsys.domains.semantic_eq.answer import predict
from distsys.domains.semantic_eq.config import Request
from distsys.domains.semantic_eq.data.response import response_db
from distsys.domains.semantic_eq.data.settings import NAMES
from distsys.domains.semantic_eq.model.codes import code_of_curve, code_of_setting, error_db
from distsys.domains.semantic_eq.model.network import Latent, SettingAutoencoder
from distsys.domains.semantic_eq.model.terms import forward, loss_terms
from distsys.domains.semantic_eq.model.words import words_of
from distsys.domains.semantic_eq.score.metrics import energy_score_db, share_of_word
from distsys.errors import DataError, UsageError
from tests.domains.semantic_eq.support import SMALL, small_bundle, small_model


@pytest.fixture(scope="module")
def model() -> SettingAutoencoder:
    """A model that learned for a few seconds."""
    bundle = small_bundle()
    made = small_model(width=64, refine_steps=20).train()
    optimizer = torch.optim.AdamW(made.parameters(), 3e-3)
    for step in range(300):
        batch = bundle.train.batch(range(64 * step, 64 * step + 64), progress=0.0)
        terms = loss_terms(forward(made, batch, generator=torch.Generator()), batch, config=SMALL)
        optimizer.zero_grad()
        (terms["response"] + 0.05 * terms["params"]).backward()
        optimizer.step()
    return made.eval().requires_grad_(False)


def test_draws_are_of_the_word_and_weighed_by_person(model: SettingAutoencoder) -> None:
    words = words_of(model)
    rows = words.drawn("warm", 4000, generator=torch.Generator().manual_seed(0))
    is_warm = words.rows("warm")
    # a fifth is of any word, among which warm has its part
    wanted = float(words.shares("warm")[is_warm].sum())
    assert 0.8 < wanted < 0.9
    assert float(is_warm[rows].float().mean()) == pytest.approx(wanted, abs=0.02)
    weight = model.statistics["term_weight"]
    assert isinstance(weight, torch.Tensor)
    assert float(weight.max()) == 1.0  # somebody wrote a word once
    assert float(weight.min()) < 0.2  # and somebody wrote it often


def test_steering_gains_the_word_step_by_step(model: SettingAutoencoder) -> None:
    words, bundle = words_of(model), small_bundle()
    held_out = bundle.test.batches[0]
    start = code_of_setting(model, held_out["u"][held_out["label"] != words.terms.index("bright")])
    known = {"reference": response_db(words.u, model.ranges), "is_word": words.rows("bright")}
    shares, changes = [], []
    for amount in (0.0, 0.25, 0.5, 0.75, 1.0):
        moved = model.decode(start + amount * (words.centre("bright") - start))
        shares.append(float(share_of_word(response_db(moved, model.ranges), **known).mean()))
        changes.append(float(error_db(model, start, response_db(moved, model.ranges)).mean()))
    assert shares == sorted(shares)
    assert changes == sorted(changes)
    assert shares[-1] > 0.75 > 0.4 > shares[0]


def test_the_energy_score_is_least_for_the_truth() -> None:
    generator = torch.Generator().manual_seed(0)
    truth, other = (torch.randn(400, 8, generator=generator) for _ in range(2))
    even = torch.full((400,), 1.0 / 400)
    right = energy_score_db(other, even, made_db=truth)
    assert right < energy_score_db(other + 0.5, even, made_db=truth)
    assert right < energy_score_db(0.5 * other, even, made_db=truth)
    assert right < energy_score_db(torch.zeros(1, 8), torch.ones(1), made_db=truth)


def test_words_follow_the_weights(model: SettingAutoencoder) -> None:
    first = words_of(model)
    assert words_of(model) is first
    with torch.no_grad():
        next(model.parameters()).mul_(1.0)
    assert words_of(model) is not first


def written(folder: Path, model: SettingAutoencoder, suffix: str) -> Path:
    path = folder / f"mine{suffix}"
    content = predict(model, Request(term="warm")).files[suffix]
    assert isinstance(content, str)
    path.write_text(content)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".json", ".txt"])
def test_ones_own_setting_is_where_the_move_starts(model: SettingAutoencoder, tmp_path: Path, suffix: str) -> None:
    mine = written(tmp_path, model, suffix)
    still = predict(model, Request(term="bright", amount=0.0, from_=mine)).summary
    assert still["from_error_db"] < 0.2
    moved = predict(model, Request(term="bright", amount=1.0, from_=mine)).summary["setting"]
    assert moved["high_shelf_gain_db"] > still["setting"]["high_shelf_gain_db"] + 1.0


def test_a_curve_of_unknown_setting_is_found_again(model: SettingAutoencoder) -> None:
    wanted = model.decode(words_of(model).latent[3:4])
    curve_db = response_db(wanted, model.ranges)[0]
    assert float(error_db(model, code_of_curve(model, curve_db)[None], curve_db)[0]) < 0.05


def test_towards_examples(model: SettingAutoencoder, tmp_path: Path) -> None:
    mine = written(tmp_path, model, ".csv")
    found = predict(model, Request(like=(mine, mine))).summary["setting"]
    wanted = predict(model, Request(term="warm")).summary["setting"]
    gap = [abs(found[name] - wanted[name]) for name in NAMES if name.endswith("gain_db")]
    assert max(gap) < 1.5


def test_draws_are_several_settings(model: SettingAutoencoder) -> None:
    answer = predict(model, Request(term="warm", draws=5, seed=1))
    table = answer.files[".csv"]
    assert isinstance(table, str)
    rows = list(csv.DictReader(io.StringIO(table)))
    assert len({row["low_shelf_gain_db"] for row in rows}) >= 3
    assert len(answer.folder) == 5
    assert predict(model, Request(term="warm", draws=5, seed=1)).files == answer.files
    assert predict(model, Request(term="warm", draws=5, seed=2)).files != answer.files


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({}, "give a word"),
        ({"term": "warm", "like": ("a.csv",)}, "one of the two"),
        ({"term": "warm", "toward": "bright", "from_": "a.csv"}, "toward goes from a word"),
        ({"term": "warm", "draws": 3, "from_": "a.csv"}, "draws are of a word"),
    ],
)
def test_questions_that_contradict_themselves(asked: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Request.model_validate(asked, strict=False)


def test_files_that_hold_no_setting(model: SettingAutoencoder, tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="no setting in it"):
        predict(model, Request(term="warm", from_=tmp_path / "other.csv"))
    with pytest.raises(UsageError, match="did you mean 'warm'"):
        predict(model, Request(term="wram"))


def test_spreadsheets_write_semicolons_and_decimal_commas(tmp_path: Path) -> None:
    from distsys.domains.semantic_eq.config import DataConfig
    from distsys.domains.semantic_eq.data.safe_file import read_safe

    header = ["submitter", "term", *NAMES]
    values = ["0", "100,5", "0", "200", "0,71", "-3,5", "500", "1", "0", "2000", "1", "2,25", "8000"]
    (tmp_path / "eq.csv").write_text(";".join(header) + "\n" + ";".join(["ada", "warm", *values]) + "\n")
    found = read_safe(tmp_path / "eq.csv", DataConfig()).physical[0]
    assert found.tolist() == [float(text.replace(",", ".")) for text in values]


class Mistaken(SettingAutoencoder):
    """Gives each item the code of the one before it: codes vary as they should, and are wrong."""

    def encode(self, u: Tensor, *, curve_db: Tensor) -> Latent:
        return Latent(super().encode(u, curve_db=curve_db).mean.roll(1, dims=0), None)


def test_refinement_does_not_hide_an_encoder_that_is_wrong(model: SettingAutoencoder) -> None:
    domain, test_set = SemanticEq(), small_bundle().test
    healthy = domain.evaluate(model, test_set).metrics
    mistaken = copy.deepcopy(model)
    mistaken.__class__ = Mistaken
    sick = domain.evaluate(mistaken, test_set).metrics
    found = {band.metric: band.violation(sick[band.metric]) for band in domain.constraints}
    assert found["encoder_skill"] > 0.2
    assert found["active_units"] == 0.0
    assert sick["response_mae_db"] < 0.5 * sick["encoder_mae_db"]  # codes are refined from anywhere
    assert all(band.violation(healthy[band.metric]) == 0.0 for band in domain.constraints)
    constant_db = (model.curve_mean - test_set.batches[0]["curve_db"]).abs().mean()
    assert healthy["encoder_skill"] == pytest.approx(1.0 - healthy["encoder_mae_db"] / float(constant_db), abs=1e-6)
