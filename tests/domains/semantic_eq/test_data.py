"""Settings of people: what is refused by name, who is held out, and what training items are made of."""

from __future__ import annotations

import csv
import hashlib
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from distsys.config.layers import read_layers
from distsys.config.validate import config_type, validate_layers
from distsys.domains.semantic_eq import SemanticEq
from distsys.domains.semantic_eq.config import Config, DataConfig, Request
from distsys.domains.semantic_eq.data.response import response_db
from distsys.domains.semantic_eq.data.safe_file import Table, read_safe
from distsys.domains.semantic_eq.data.settings import NAMES, SAFE, SAFE_PARAMETERS, columns, ranges_of
from distsys.domains.semantic_eq.data.split import split_by_submitter
from distsys.domains.semantic_eq.data.synthetic import make_table
from distsys.domains.semantic_eq.score.metrics import (
    active_units,
    extreme_latents,
    in_bounds_fraction,
    knn_accuracy,
    shuffled_silhouette,
    silhouette,
)
from distsys.errors import DataError, UsageError

COLUMNS = ["setting_id", "submitter", "term", *(item.name for item in SAFE_PARAMETERS)]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes synthetic settings as a CSV, with cells or columns replaced."""

    def make(cells: dict[tuple[int, str], str] | None = None, drop: str = "") -> Path:
        table = make_table(400, SAFE, seed=0)
        path = tmp_path / "settings.csv"
        with path.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, [name for name in COLUMNS if name != drop], extrasaction="ignore")
            writer.writeheader()
            for row in range(400):
                values = dict(zip(COLUMNS[3:], map(str, table.physical[row]), strict=True))
                record = {"setting_id": str(row), "submitter": table.submitter[row], "term": table.term[row], **values}
                record.update({name: text for (line, name), text in (cells or {}).items() if line == row + 2})
                writer.writerow(record)
        return path

    return make


def test_a_good_file_is_read_with_its_provenance(write: Callable[..., Path]) -> None:
    path = write()
    table = read_safe(path, DataConfig(sha256=hashlib.sha256(path.read_bytes()).hexdigest()))
    assert table.physical.shape == (400, 13)
    assert table.provenance["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert table.provenance["rows"] == 400


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({(7, "bell2_gain_db"): "nan"}, "bell2_gain_db (line 7: nan), bounds -12 to 12 dB"),
        ({(7, "bell2_gain_db"): ""}, "bell2_gain_db (line 7: nan)"),
        ({(3, "low_shelf_freq_hz"): "0.2"}, "low_shelf_freq_hz (line 3: 0.2), bounds 22 to 1000 Hz"),
        ({(9, "high_shelf_freq_hz"): "1625091"}, "high_shelf_freq_hz (line 9: 1.62509e+06)"),
        ({(4, "bell1_q"): "inf"}, "bell1_q (line 4: inf)"),
        ({(4, "bell1_q"): "narrow"}, "line 4, bell1_q: 'narrow'"),
    ],
)
def test_a_bad_value_is_named_with_line_column_and_bounds(
    write: Callable[..., Path], cells: dict[tuple[int, str], str], expected: str
) -> None:
    with pytest.raises(DataError) as caught:
        read_safe(write(cells), DataConfig())
    assert expected in str(caught.value)


def test_a_file_that_can_be_read_in_two_ways_is_refused(write: Callable[..., Path]) -> None:
    path = write()
    head, *rows = path.read_text().splitlines()
    path.write_text("\n".join([head + ",term", *(f"{row},dark" for row in rows)]))
    with pytest.raises(DataError, match="the column term stands twice"):
        read_safe(path, DataConfig())
    path.write_text("\n".join([head, *rows[:10], rows[10].replace(",", ',"', 1), *rows[11:]]))
    with pytest.raises(DataError, match="the last quote stands on line 12"):
        read_safe(path, DataConfig())


@pytest.mark.parametrize("name", ["term", "submitter"])
def test_a_row_without_word_or_person_is_refused(write: Callable[..., Path], name: str) -> None:
    cells = {(line, name): " " * (line % 2) for line in (3, 4, 8, 9)}
    with pytest.raises(DataError, match=rf"no {name} in rows 3, 4, 8 and 1 more"):
        read_safe(write(cells), DataConfig())


def test_a_wrong_checksum_a_missing_column_and_a_missing_file_are_named(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="sha256 is"):
        read_safe(write(), DataConfig(sha256="0" * 64))
    with pytest.raises(DataError, match="no column bell3_q"):
        read_safe(write(drop="bell3_q"), DataConfig())
    with pytest.raises(DataError, match="cannot be read"):
        read_safe(tmp_path / "none.csv", DataConfig())
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    with pytest.raises(DataError, match="holds no rows"):
        read_safe(empty, DataConfig())


def test_a_latent_larger_than_a_setting_is_refused() -> None:
    with pytest.raises(ValidationError, match="latent_size 14 is above the 13 parameters"):
        Config.model_validate({"model": {"latent_size": 14}})


def test_no_person_and_no_duplicate_stands_on_two_sides() -> None:
    table = make_table(800, SAFE, seed=1)
    doubled = Table(
        table.physical.repeat(2, axis=0),
        [name for pair in zip(table.submitter, table.submitter[::-1], strict=True) for name in pair],
        [name for name in table.term for _ in range(2)],
        {},
    )
    data = Config().data.model_copy(update={"held_out_rows": 100, "held_out_max_rows": 80})
    parts = split_by_submitter(doubled, data, seed=0)
    people = [{doubled.submitter[row] for row in part} for part in parts]
    rows = [{doubled.physical[row].tobytes() for row in part} for part in parts]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert not people[first] & people[second]
        assert not rows[first] & rows[second]
    assert min(len(part) for part in parts) > 20


def test_too_few_people_are_refused() -> None:
    table = make_table(300, SAFE, seed=0)
    one = Table(table.physical, ["alone"] * 300, table.term, {})
    with pytest.raises(DataError, match="by 1 people leave too few"):
        split_by_submitter(one, Config().data, seed=0)


@pytest.mark.parametrize("seed", range(3))
def test_both_held_out_sides_hear_every_word(seed: int) -> None:
    table = make_table(1600, SAFE, seed=seed)
    _, *held_out = split_by_submitter(table, Config().data, seed=seed)
    counts = [Counter(table.term[row] for row in part) for part in held_out]
    for word in ("warm", "bright", "airy", "boomy", "thin"):
        assert min(count[word] for count in counts) >= 0.5 * max(count[word] for count in counts) > 0, word
    assert abs(len(held_out[0]) - len(held_out[1])) <= Config().data.held_out_max_rows


def test_a_file_in_another_encoding_is_refused_with_its_line(write: Callable[..., Path]) -> None:
    path = write({(3, "term"): "chaleureux"})
    path.write_bytes(path.read_bytes().replace(b"chaleureux", b"chaleureu\xe9"))
    with pytest.raises(DataError, match=r"line 3 holds the byte 0xe9, which is not UTF-8"):
        read_safe(path, DataConfig())


def test_half_of_the_items_are_recombined_have_no_word_and_sum_their_bands() -> None:

    bundle = SemanticEq().build_data(Config(), seed=0)
    batch = bundle.train.batch(range(2000), progress=0.0)
    known = float((batch["label"] >= 0).float().mean())
    assert 0.4 < known < 0.55
    assert (response_db(batch["u"], SAFE) - batch["curve_db"]).abs().max() < 5e-3
    centres = SAFE.decode(batch["u"])[:, [3, 6, 9]]
    assert bool((centres.diff(dim=1) >= -1e-2).all())


def test_the_synthetic_words_are_where_they_were_put() -> None:
    table = make_table(1600, SAFE, seed=0)
    gain = {term: table.physical[[name == term for name in table.term], 0].mean() for term in ("boomy", "thin")}
    assert gain["boomy"] > 4.0
    assert gain["thin"] < -4.0


def clusters(gap: float) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    label = torch.arange(80) % 2
    return torch.randn(80, 3, generator=generator) + gap * label[:, None], label


def test_silhouette_against_its_textbook_sum() -> None:
    points, label = clusters(1.5)
    label[:5] = -1
    known = label >= 0
    kept, own = points[known], label[known]
    scores = []
    for index in range(len(kept)):
        distance = (kept - kept[index]).norm(dim=1)
        inner = distance[own == own[index]].sum() / ((own == own[index]).sum() - 1)
        outer = distance[own != own[index]].mean()
        scores.append((outer - inner) / max(outer, inner))
    assert silhouette(points, label) == pytest.approx(float(torch.stack(scores).mean()), abs=1e-5)


def test_shuffled_words_have_no_silhouette_and_knn_finds_clusters() -> None:
    points, label = clusters(6.0)
    assert silhouette(points, label) > 0.6
    assert abs(shuffled_silhouette(points, label)) < 0.05
    five = torch.arange(len(label)) % 5
    assert abs(shuffled_silhouette(points, five)) < 0.05
    even = torch.ones(len(points))
    assert knn_accuracy(points, label, reference=points, label=label, weight=even) == 1.0
    assert knn_accuracy(points, label, reference=points, label=1 - label, weight=even) == 0.0


def test_who_wrote_much_has_little_more_to_say_of_a_word() -> None:
    """Fourteen settings of one person around the query say 0, one of somebody else says 1."""
    reference, label = torch.arange(15.0).unsqueeze(1), torch.tensor([0] * 14 + [1])
    query, asked = torch.zeros(1, 1), torch.tensor([1])
    even, each = torch.ones(15), torch.tensor([14**-1.1] * 14 + [1.0])
    assert knn_accuracy(query, asked, reference=reference, label=label, weight=even) == 0.0
    assert knn_accuracy(query, asked, reference=reference, label=label, weight=each) == 1.0


def test_bounds_and_active_units_see_what_is_wrong() -> None:
    u = torch.rand(10, 13)
    assert in_bounds_fraction(u, SAFE) == 1.0
    u[0, 0], u[1, 1] = 1.5, float("nan")
    assert in_bounds_fraction(u, SAFE) == pytest.approx(128 / 130)
    assert active_units(torch.cat([torch.randn(50, 2), torch.zeros(50, 3)], dim=1)) == 2
    assert extreme_latents(4, like=torch.zeros(1)).abs().max() == 1e6


@pytest.mark.parametrize(("amount", "sign"), [(1.0, 1), (0.0, 0)])
def test_predict_moves_along_a_word_and_writes_what_equalisers_read(amount: float, sign: int) -> None:
    domain = SemanticEq()
    bundle = domain.build_data(Config(), seed=0)
    torch.manual_seed(0)
    model = domain.build_model(Config(), bundle.statistics)
    answer = domain.predict(model, Request(term="boomy", amount=amount))
    lines = str(answer.files[".txt"]).splitlines()
    assert lines[0].startswith("Preamp: -") or lines[0] == "Preamp: 0.0 dB"
    assert [line.split()[3] for line in lines[1:]] == ["LSC", "PK", "PK", "PK", "HSC"]
    assert answer.summary["setting"].keys() == {item.name for item in SAFE_PARAMETERS}
    assert answer.summary["preamp_db"] <= -max(0.0, answer.summary["setting"]["low_shelf_gain_db"]) + 0.05
    with pytest.raises(UsageError, match="did you mean 'boomy'"):
        domain.predict(model, Request(term="boomyy"))


def test_real_settings_are_read_and_split(real_equaliser_data: Path) -> None:
    config = Config.model_validate({"data": {"path": real_equaliser_data}})
    bundle = SemanticEq().build_data(config, seed=0)
    assert bundle.provenance["rows"] == 1581
    assert bundle.statistics["terms"] == ["bright", "warm"]
    rows = SemanticEq().baselines(config, bundle, bundle.test)
    assert 0.8 < rows["PCA-8 on u"].metrics["response_mae_db"] < 2.0


def other_file(folder: Path, rows: Table) -> Path:
    """The same settings as another equaliser writes them: other names, kHz, bandwidths, and half as much gain again."""
    path = folder / "other.csv"
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["user", "word", *(item.name.upper() for item in SAFE_PARAMETERS)])
        for values, user, word in zip(rows.physical, rows.submitter, rows.term, strict=True):
            told = [
                1.5 * value if item.kind == "gain" else value / 1000.0 if item.kind == "freq" else octaves_of(value)
                for item, value in zip(SAFE_PARAMETERS, values, strict=True)
            ]
            writer.writerow([user, word, *told])
    return path


def octaves_of(q: float) -> float:
    return 2.0 / math.log(2.0) * math.asinh(0.5 / q)


OTHER = {
    "columns": {"submitter": "user", "term": "word", **{item.name: item.name.upper() for item in SAFE_PARAMETERS}},
    "frequencies_in": "kHz",
    "q_in": "octaves",
    "bounds": {"gain_db": (-18.0, 18.0)},
}


def test_another_equalisers_file_by_its_names_units_and_bounds(tmp_path: Path) -> None:
    rows = make_table(600, SAFE, seed=0)
    data = DataConfig.model_validate({"path": other_file(tmp_path, rows), "held_out_rows": 60, **OTHER})
    found = read_safe(tmp_path / "other.csv", data)
    wanted = rows.physical * [1.5 if item.kind == "gain" else 1.0 for item in SAFE_PARAMETERS]
    assert found.physical == pytest.approx(wanted, rel=1e-9)
    config = Config(data=data)
    bundle = SemanticEq().build_data(config, seed=0)
    batch = bundle.train.batch(range(64), progress=0.0)
    own = ranges_of(data)
    assert float(own.decode(batch["u"])[:, columns("gain")].abs().max()) > 12.5
    assert (response_db(batch["u"], own) - batch["curve_db"]).abs().max() < 1e-2
    torch.manual_seed(0)
    model = SemanticEq().build_model(config, bundle.statistics).eval()
    with torch.no_grad():
        metrics = SemanticEq().evaluate(model, bundle.test).metrics
        trip = SemanticEq().round_trip(config, bundle.statistics, batch)
        answer = SemanticEq().predict(model, Request(term="warm", amount=2.0))
    assert metrics["in_bounds_fraction"] == 1.0
    assert all((item.decoded - item.original).abs().max() < 1e-9 * item.high for item in trip.values())
    loud = [abs(value) for name, value in answer.summary["setting"].items() if name.endswith("gain_db")]
    assert max(loud) <= 18.0


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"bounds": {}}, r"data.bounds: {gain_db: \[-\d+(\.\d+)?, \d+(\.\d+)?\]}"),
        ({"columns": {}}, r"data.columns says what a file calls them"),
        ({"columns": {"bell1": "x"}}, r"data.columns names 'bell1'"),
    ],
)
def test_another_equalisers_file_and_what_must_be_said_of_it(
    tmp_path: Path, changed: dict[str, object], told: str
) -> None:
    rows = make_table(600, SAFE, seed=0)
    data = DataConfig.model_validate({"path": other_file(tmp_path, rows), **OTHER, **changed})
    with pytest.raises(DataError, match=told):
        read_safe(tmp_path / "other.csv", data)


@pytest.mark.parametrize(
    ("bounds", "told"),
    [
        ({"gain": (-1.0, 1.0)}, "no bounds of 'gain'"),
        ({"q": (0.0, 10.0)}, "expected a range within 0.001"),
        ({"gain_db": (3.0, -3.0)}, "gain_db from 3 to -3"),
        ({"high_shelf_freq_hz": (1000.0, 24000.0)}, "within 0.001 to 22000"),
        ({"bell2_freq_hz": (50.0, 4700.0)}, "bells are sorted by frequency"),
    ],
)
def test_bounds_that_no_equaliser_has(bounds: dict[str, tuple[float, float]], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        DataConfig.model_validate({"bounds": bounds})


def test_what_settings_are_like_is_shown_and_names_of_few_people_are_not(write: Callable[..., Path]) -> None:
    config = Config(data=DataConfig(path=write(), held_out_rows=60))
    found = SemanticEq().inspect(config, seed=0)
    assert not found.faults
    rows = {row[0]: row for row in found.tables["parameters"][1]}
    assert set(rows) == set(NAMES)
    low, high = (float(str(rows["low_shelf_gain_db"][index])) for index in (2, 4))
    assert (low, high) == (-12.0, 12.0)
    words = next(table for title, table in found.tables.items() if title.startswith("words"))[1]
    assert all(str(row[0]).endswith("others") or int(str(row[2])) >= 3 for row in words)
    few = Config(data=DataConfig(path=config.data.path, held_out_rows=4000))
    assert "leave too few" in SemanticEq().inspect(few, seed=0).faults[0]


def test_a_cell_with_its_unit_is_shown_as_it_stands(write: Callable[..., Path]) -> None:
    path = write({(5, "bell1_gain_db"): "+3 dB"})
    with pytest.raises(DataError, match=r"line 5, bell1_gain_db: '\+3 dB'"):
        read_safe(path, DataConfig())


def test_bounds_and_columns_come_from_yaml() -> None:
    overrides = ["data.bounds={gain_db: [-18, 18], q: [0.2, 8]}", "data.columns={bell1_q: Q 1}"]
    config = Path(__file__).parents[3] / "configs" / "semantic_eq.yaml"
    read = validate_layers(read_layers(config, preset=None, overrides=overrides), config_type(Config))
    data = vars(read)["data"]
    assert data.bounds == {"gain_db": (-18.0, 18.0), "q": (0.2, 8.0)}
    assert data.columns == {"bell1_q": "Q 1"}
    assert ranges_of(data).parameters[4][2:4] == (0.2, 8.0)


@pytest.fixture
def original(tmp_path: Path) -> Callable[..., Path]:
    """Writes settings as SAFE's server gives them, with cells of a row replaced."""

    def make(cells: dict[int, str] | None = None) -> Path:
        table = make_table(400, SAFE, seed=0)
        with (path := tmp_path / "SAFEEqualiserUserData.csv").open("w", newline="") as stream:
            writer = csv.writer(stream)
            for row, values in enumerate(table.physical):
                line = [row + 1, table.term[row], f"10.0.0.{table.submitter[row]}", 2, 2, *values]
                line += ["rock", "guitar, clean", "", "5", "30", "nowhere", "d41d8cd98f"]
                if row == 6:
                    for column, text in (cells or {}).items():
                        line[column] = text
                writer.writerow(line)
        return path

    return make


def test_safe_s_own_layout_is_read_without_a_header(original: Callable[..., Path]) -> None:
    table, known = read_safe(original(), DataConfig()), make_table(400, SAFE, seed=0)
    np.testing.assert_allclose(table.physical, known.physical, rtol=1e-12)
    assert table.term == known.term
    people = dict(zip(known.submitter, table.submitter, strict=True))
    assert [people[name] for name in known.submitter] == table.submitter, "one name for each person"
    assert len(set(people.values())) == len(people)
    assert not any("10.0.0" in name for name in table.submitter), "addresses stay in the file"


def test_faults_of_that_layout_are_told_by_their_line(original: Callable[..., Path]) -> None:
    for cells, told in (
        ({5: "99"}, r"low_shelf_gain_db \(line 7: 99"),
        ({9: "loud"}, r"line 7, bell1_q: 'loud'"),
        ({2: ""}, "no submitter in rows 7"),
    ):
        with pytest.raises(DataError, match=told):
            read_safe(original(cells), DataConfig())
