"""A result is used again exactly where the config agrees on what was read for it."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import Field

from distsys.config import Section
from distsys.config.reads import record_reads, watched
from distsys.config.reuse import LIMIT_BYTES, adopt, forget, kept, num_bytes, reads_of, reused, settle


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
    [lambda section: section == Inner(), lambda section: section.model_dump()],
    ids=["equal", "dump"],
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
    with pytest.raises(AssertionError, match=r"name is read too late"):
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
