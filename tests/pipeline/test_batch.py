"""Many questions to one model: where they come from, what is asked again, what one that fails does to the others."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, cast

import pytest

from distsys.config import DataPath, Section
from distsys.domains.protocol import AnyDomain, Prediction
from distsys.errors import DataError, UsageError
from distsys.pipeline.batch import LEDGER, TABLE, Question, Tally, answer_all, questions_of


class Request(Section):
    sound: DataPath
    """What is measured."""
    gain: float = 1.0
    second: DataPath | None = None


class Measuring:
    """As much of a domain as is asked."""

    name = "measuring"
    request = Request

    def __init__(self) -> None:
        self.asked: list[str] = []

    def ask(self, request: Request) -> Prediction:
        text = request.sound.read_text()
        self.asked.append(text)
        if text == "bad":
            raise DataError(f"{request.sound}: bad", expected="good")
        summary = {"length": len(text) * request.gain, "parts": {"first": text[:1]}}
        return Prediction(summary, {".json": json.dumps(summary), ".txt": text}, {"a.txt": text, "b.txt": text})


def asked_of(values: dict[str, Any], table: Path | None = None) -> list[Question] | None:
    return questions_of(cast("AnyDomain", Measuring()), values, table)


def answered(domain: Measuring, questions: list[Question] | None, folder: Path, form: str | None = None) -> Tally:
    folder.mkdir(exist_ok=True)
    assert questions is not None
    return answer_all(
        domain.ask, cast("AnyDomain", domain), questions, folder, model="m", form=form, progress=lambda *_: None
    )


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    folder = tmp_path / "sounds"
    (folder / "deep").mkdir(parents=True)
    for name in ("one.wav", "two.wav", "deep/one.wav", "two.flac", ".hidden"):
        (folder / name).write_text(name)
    return folder


def test_a_folder_asks_about_every_file_in_it(sounds: Path) -> None:
    found = asked_of({"sound": str(sounds), "gain": "2"})
    assert found is not None
    assert [item.name for item in found] == ["deep/one", "one", "two.flac", "two.wav"]
    assert {item.values["gain"] for item in found} == {"2"}
    assert asked_of({"sound": str(sounds / "one.wav")}) is None  # a single one


def test_a_table_names_files_relative_to_itself(sounds: Path) -> None:
    table = sounds / "table.csv"
    table.write_text("name,sound,gain\nfirst,one.wav,\n,deep/one.wav,3\n")
    found = asked_of({"gain": "2"}, table)
    assert found is not None
    assert [item.name for item in found] == ["first", "0002"]
    assert [item.values["gain"] for item in found] == ["2", "3"]
    assert found[1].values["sound"] == sounds / "deep/one.wav"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sond\nx\n", "did you mean 'sound'"),
        ("sound\n", "no rows"),
        ("sound,gain\none.wav\n", "row 2 has another number of cells"),
        ("name,sound\na,one.wav\na,two.wav\n", "row 2 is called 'a'"),
        ("name,sound\n../a,one.wav\n", "row 1 is called '../a'"),
    ],
)
def test_a_table_that_cannot_be_asked(sounds: Path, text: str, told: str) -> None:
    (sounds / "table.csv").write_text(text)
    with pytest.raises(UsageError) as caught:
        asked_of({}, sounds / "table.csv")
    assert told in str(caught.value)


def test_two_folders_and_an_empty_one(sounds: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="both folders"):
        asked_of({"sound": str(sounds), "second": str(sounds)})
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no file in it"):
        asked_of({"sound": str(tmp_path / "empty")})


def test_what_is_answered_is_not_asked_again_until_something_changed(sounds: Path, tmp_path: Path) -> None:
    domain, folder, questions = Measuring(), tmp_path / "out", asked_of({"sound": str(sounds)})
    assert len(answered(domain, questions, folder).answered) == 4
    with (folder / LEDGER).open("a") as ledger:
        ledger.write('{"name": "torn')  # a killed process
    assert len(answered(domain, questions, folder).earlier) == 4
    assert len(domain.asked) == 4
    (sounds / "one.wav").write_text("changed")
    (folder / "two.wav.json").unlink()
    assert answered(domain, questions, folder).answered == ["one", "two.wav"]
    assert len(answered(domain, asked_of({"sound": str(sounds), "gain": "2"}), folder).answered) == 4
    assert json.loads((folder / "deep/one.json").read_text())["length"] == 2.0 * len("deep/one.wav")


def test_one_that_fails_leaves_the_others(sounds: Path, tmp_path: Path) -> None:
    (sounds / "one.wav").write_text("bad")
    tally = answered(Measuring(), asked_of({"sound": str(sounds)}), tmp_path / "out")
    assert list(tally.refused) == ["one"]
    assert len(tally.answered) == 3
    with (tmp_path / "out" / TABLE).open() as stream:
        rows = {row["name"]: row for row in csv.DictReader(stream)}
    assert rows["one"]["refused"].endswith("one.wav: bad expected: good")
    assert rows["deep/one"]["parts.first"] == "d"
    assert rows["deep/one"]["file"] == "deep/one.json"


def test_the_format_of_answers(sounds: Path, tmp_path: Path) -> None:
    questions = asked_of({"sound": str(sounds)})
    answered(Measuring(), questions, tmp_path / "out", ".txt")
    assert (tmp_path / "out/deep/one.txt").read_text() == "deep/one.wav"
    answered(Measuring(), questions, tmp_path / "out", "folder")
    assert (tmp_path / "out/deep/one/b.txt").read_text() == "deep/one.wav"
    refused = answered(Measuring(), questions, tmp_path / "out", ".mat").refused
    assert "one of .json, .txt, folder" in refused["one"]
