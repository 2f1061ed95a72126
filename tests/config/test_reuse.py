"""A result is used again exactly where the config agrees on what was read for it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import Field

from distsys.config import DataPath, Section
from distsys.config.memory import num_bytes
from distsys.config.reads import record_reads, watched
from distsys.config.reuse import LIMIT_BYTES, adopt, forget, forgetting, kept, reads_of, reused, settle
from distsys.errors import DistsysError


class Inner(Section):
    a: int = 1
    b: int = 2
    weights: dict[str, float] = Field(default={"x": 1.0, "y": 2.0})


class Pair(Section):
    a: int = 1
    b: int = 2


class Outer(Section):
    inner: Inner = Inner()
    seed: int = 0
    name: str = "n"

    @property
    def double(self) -> int:
        return 2 * self.seed


def changed(**values: Any) -> Outer:
    return Outer(inner=Inner(**{key: value for key, value in values.items() if key in Inner.model_fields}),
                 **{key: value for key, value in values.items() if key in Outer.model_fields})  # fmt: skip


def test_reads_are_leaves_that_were_looked_at_through_properties_too() -> None:
    config, reads = record_reads(Outer())
    assert reads == set()
    assert config.inner.a + config.double == 1
    assert reads == {"inner.a", "seed"}
    assert config.inner.weights["x"] == 1.0
    assert reads == {"inner.a", "seed", "inner.weights.x"}


@pytest.mark.parametrize(
    "look",
    [
        lambda section: section == Inner(),
        lambda section: section.model_dump(),
        lambda section: section.model_dump_json(),
        repr,
        str,
        dict,
    ],
    ids=["equal", "dump", "json", "repr", "str", "dict"],
)
def test_looking_at_a_whole_section_reads_all_of_it(look: Any) -> None:
    config, reads = record_reads(Outer())
    look(config.inner)
    assert {"inner.a", "inner.b"} <= reads
    assert "seed" not in reads


def test_a_section_as_a_key_is_read_wholly_and_finds_its_plain_twin() -> None:
    config, reads = record_reads(Pair())
    assert {Pair(): 1}[config] == 1
    assert reads == {"a", "b"}


def test_a_watched_section_is_equal_to_its_plain_one_() -> None:
    config, _ = record_reads(Outer())
    assert config.inner == Inner()
    assert config.inner != Inner(a=5)


def test_from_a_pickle_comes_a_plain_section_that_holds_what_was_read() -> None:
    config, reads = record_reads(changed(a=7))
    assert (config.inner.a, config.inner.weights["x"]) == (7, 1.0)
    again = pickle.loads(pickle.dumps(config))
    assert (type(again), type(again.inner)) == (Outer, Inner)
    assert (again.inner.a, again.inner.weights) == (7, {"x": 1.0})
    assert reads == {"inner.a", "inner.weights.x"}
    with pytest.raises(AttributeError, match="seed"):
        _ = again.seed


def test_a_result_is_used_again_where_nothing_differs_that_was_read() -> None:
    calls = []

    @reused
    def make(config: Outer, *, part: str) -> list[int]:
        calls.append(part)
        return [config.inner.a]

    first = make(changed(), part="train")
    assert make(changed(b=7, seed=3, name="other"), part="train") is first
    assert make(changed(a=5), part="train") == [5]
    assert make(changed(), part="test") is not first
    assert make(changed(), part="train") is first
    assert calls == ["train", "train", "test"]
    assert list(reads_of(first)) == ["inner.a"]


def test_what_a_reused_function_reads_is_read_by_its_caller_also_when_it_is_not_called() -> None:
    @reused
    def inside(section: Inner) -> int:
        return section.b

    @reused
    def outside(config: Outer) -> tuple[int, int]:
        return inside(config.inner), config.seed

    assert inside(Inner()) == 2
    assert outside(Outer()) == (2, 0)
    assert outside(changed(b=9)) == (9, 0)
    assert outside(changed(a=9)) == (2, 0)
    config, reads = record_reads(changed(a=3))
    assert outside(config) == (2, 0)
    assert reads == {"inner.b", "seed"}


def test_a_copy_of_a_watched_section_still_tells() -> None:
    seen: list[str] = []
    section = watched(Outer(), seen.append).inner.model_copy(update={"a": 9})
    assert (section.a, section.b) == (9, 2)
    assert seen == ["inner.a", "inner.b"]


def test_a_settled_result_may_not_read_what_nobody_knew_of() -> None:
    class Late:
        def __init__(self, config: Outer) -> None:
            self.config = config

    @reused
    def make(config: Outer) -> Late:
        return Late(config)

    late = make(Outer())
    assert late.config.seed == 0
    settle(late)
    assert make(changed(b=1)) is late
    assert make(changed(seed=1)) is not late
    assert late.config.seed == 0
    with pytest.raises(DistsysError, match=r"'name' is read for the first time after"):
        _ = late.config.name


def test_results_can_be_handed_to_another_process() -> None:
    @reused
    def make(config: Outer) -> np.ndarray:
        return np.full(3, config.seed)

    make(changed(seed=4))
    parcel = pickle.dumps(kept())
    forget()
    adopt(pickle.loads(parcel))
    (entry,) = kept()
    assert make(changed(seed=4, name="x")) is entry.result


def test_memory_is_counted_once_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    block = np.zeros(1000, dtype=np.float64)
    tensor = torch.zeros(500)
    assert num_bytes({"a": [block, block[10:]], "b": (tensor, tensor.view(5, 100))}) == 8000 + 2000
    assert LIMIT_BYTES > 1 << 30
    monkeypatch.setattr("distsys.config.reuse.LIMIT_BYTES", 20_000)

    @reused
    def make(config: Outer) -> np.ndarray:
        return np.full(1000, float(config.seed))

    results = [make(changed(seed=seed)) for seed in range(4)]
    assert [entry.result[0] for entry in kept()] == [2.0, 3.0]
    assert make(changed(seed=3)) is results[3]
    assert make(changed(seed=0)) is not results[0]


class Choice(Section):
    option: Inner | None = None
    kind: Inner | Pair = Inner()
    weights: dict[str, float] = Field(default={"x": 1.0, "y": 2.0})
    files: list[DataPath] = Field(default=[])
    file: DataPath | None = None


@pytest.mark.parametrize(
    ("look", "one", "other"),
    [
        (lambda config: config.option is None, {"option": Inner()}, {"option": None}),
        (lambda config: isinstance(config.kind, Pair), {"kind": Inner()}, {"kind": Pair()}),
        (lambda config: len(config.weights), {"weights": {"x": 1.0}}, {"weights": {"x": 1.0, "y": 2.0}}),
        (lambda config: "y" in config.weights, {"weights": {"x": 1.0}}, {"weights": {"x": 1.0, "y": 2.0}}),
        (lambda config: config.weights.get("y"), {"weights": {"x": 1.0}}, {"weights": {"x": 1.0, "y": 2.0}}),
        (lambda config: sorted(config.weights), {"weights": {"x": 1.0}}, {"weights": {"x": 1.0, "y": 2.0}}),
        (lambda config: dict(config.weights), {"weights": {"x": 1.0}}, {"weights": {"x": 1.0, "y": 2.0}}),
        (lambda config: {**config.weights}, {"weights": {"x": 1.0}}, {"weights": {"x": 3.0}}),
        (lambda config: config.weights == {"x": 1.0}, {"weights": {"x": 1.0}}, {"weights": {"x": 3.0}}),
        (lambda config: sum(config.weights.values()), {"weights": {"x": 1.0}}, {"weights": {"x": 3.0}}),
    ],
)
def test_nothing_that_can_be_asked_of_a_section_goes_unnoticed(
    look: Any, one: dict[str, Any], other: dict[str, Any]
) -> None:
    for first, second in ((one, other), (other, one)):
        forget()
        make = reused(look)
        assert make(Choice(**first)) == look(Choice(**first))
        assert make(Choice(**second)) == look(Choice(**second))


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    table, folder = tmp_path / "table.csv", tmp_path / "folder"
    folder.mkdir()
    table.write_text("1")

    @reused
    def read(config: Choice) -> str:
        assert config.file is not None
        return config.file.read_text() + str(len(list(config.files[0].iterdir())))

    config = Choice(file=table, files=[folder])
    assert read(config) == read(config) == "10"
    table.write_text("22")
    assert read(config) == "220"
    (folder / "a").write_text("x")
    assert read(config) == "221"


def test_parts_are_not_dropped_while_the_whole_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distsys.config.reuse.LIMIT_BYTES", 10_000)
    calls = []

    @reused
    def part(config: Outer, *, number: int) -> np.ndarray:
        calls.append(number)
        return np.full(1000, float(number))

    @reused
    def whole(config: Outer) -> float:
        return float(sum(part(config, number=number)[0] for number in (0, 1, 2, 0, 1)))

    assert whole(Outer()) == 4.0
    assert calls == [0, 1, 2]


def test_what_is_only_tried_is_not_kept() -> None:
    make = reused(lambda config: [config.seed])
    make(changed(seed=1))
    with forgetting():
        make(changed(seed=2))
        assert len(kept()) == 2
    assert [entry.result for entry in kept()] == [[1]]
