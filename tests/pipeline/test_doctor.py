"""The doctor as a step of an experiment: run once, kept, said in a line, refused with cause, evidence and fix."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from distsys.config import reuse
from distsys.domains.registry import get_domain
from distsys.errors import StoppedByHealth
from distsys.health.causes import IGNORED_INPUT, NOISY_EVALUATION
from distsys.health.probes import examine as examining
from distsys.health.verdict import Verdict
from distsys.pipeline import doctor as doctoring
from distsys.pipeline.doctor import FILE, Examination, diagnosed, examined, table
from distsys.pipeline.means import Means
from distsys.tracking.spool import read_metrics
from distsys.training.loop import fit
from tests.pipeline.support import experiment, local_means
from tests.training.support import make_context, make_spec

Call = Callable[..., tuple[int, str, str]]
WARN = NOISY_EVALUATION.verdict("warn", "3 items", step=0)
SEARCH = ("{outside}/sine.yaml", "--space", "{outside}/space.yaml", "--local", "--preset", "tiny", "--out")
STOP = IGNORED_INPUT.verdict("stop", "another item's 'x' changes nothing", step=4)


def finding(monkeypatch: pytest.MonkeyPatch, *verdicts: Verdict) -> list[int]:
    """One probe in place of all, that finds these; counts its calls."""
    calls: list[int] = []

    def probe(patient: object) -> list[Verdict]:
        calls.append(1)
        return list(verdicts)

    monkeypatch.setattr(examining, "PROBES", {"one": probe})
    return calls


def test_all_is_well_in_one_line(outside: Path, tmp_path: Path) -> None:
    means, said = local_means()
    found = experiment(outside, tmp_path)
    examined(found, means)
    assert said.getvalue().startswith("doctor: 22 probes, nothing found, ")
    assert said.getvalue().count("\n") == 1
    stored = json.loads((found.folder / FILE).read_text())
    assert {row["status"] for row in stored["probes"]} == {"ok"}


def test_what_stands_is_not_repeated(outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = finding(monkeypatch, WARN)
    means, said = local_means()
    found = experiment(outside, tmp_path)
    examined(found, means)
    examined(found, means)
    assert len(calls) == 1
    assert said.getvalue().count("doctor: warning: evaluation noise exceeds") == 2
    stored = json.loads((found.folder / FILE).read_text())
    (found.folder / FILE).write_text(json.dumps({**stored, "version": "0"}))
    examined(found, means)
    assert len(calls) == 2


def test_a_stop_refuses_with_cause_evidence_and_fix_and_again(
    outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finding(monkeypatch, WARN, STOP)
    found = experiment(outside, tmp_path)
    for _ in range(2):
        with pytest.raises(StoppedByHealth) as caught:
            examined(found, local_means()[0])
        text = str(caught.value)
        assert all(part in text for part in (STOP.cause, STOP.evidence, STOP.fix, f"health.accept=[{STOP.cause}]"))
        assert caught.value.verdicts == (WARN, STOP)


def test_without_a_doctor_nothing_is_looked_at(outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = finding(monkeypatch, STOP)
    found = experiment(outside, tmp_path)
    examined(found, Means(local_means()[0].console, is_local=True, examines=False))
    assert calls == []
    assert not (found.folder / FILE).exists()


def test_the_search_is_refused_with_exit_code_three(
    distsys: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = finding(monkeypatch, STOP)
    order = (*SEARCH, "{tmp}/o")
    code, _, error = distsys("search", *order)
    assert code == 3
    assert "an input does nothing: another item's 'x' changes nothing" in error
    (status,) = (tmp_path / "o").glob("*/status.json")
    stored = json.loads(status.read_text())
    assert (stored["status"], stored["verdicts"][0]["cause"]) == ("stopped", STOP.cause)
    assert not list((tmp_path / "o").glob("*/trials/*"))
    code, _, error = distsys("search", *order, "--no-doctor", "--quiet")
    assert code == 0, error
    assert len(calls) == 1


def test_a_verbose_search_says_what_was_looked_at(distsys: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    finding(monkeypatch)
    order = (*SEARCH, "{tmp}/v")
    _, _, error = distsys("search", *order, "--verbose")
    assert "one                      ok" in error


def test_the_command_prints_a_table_of_eighty_columns_or_json(distsys: Call) -> None:
    code, out, _ = distsys("doctor", "{outside}/sine.yaml")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert out.count(" ok ") == len(examining.PROBES)
    code, out, _ = distsys("doctor", "{outside}/sine.yaml", "--json", "--set", "model.dropout=0.5")
    assert code == 0
    assert [row["probe"] for row in json.loads(out)["probes"]] == list(examining.PROBES)


def test_the_command_exits_with_three_where_a_search_would_be_refused(
    distsys: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    finding(monkeypatch, STOP)
    code, out, _ = distsys("doctor", "{outside}/sine.yaml")
    assert code == 3
    assert "  an input does nothing: another item's 'x' changes nothing; fix: look for a\n" in out
    assert max(map(len, out.splitlines())) <= 80


def test_an_examination_is_read_back_as_it_was_written() -> None:
    found = Examination((examining.Finding("one", (WARN, STOP), 1.25),))
    assert Examination.read(json.loads(json.dumps(found.content()))) == found
    assert table(found).splitlines()[-1] == "doctor: 1 probes, 1 stop, 1 warn, 1 s"


def drawn_by_numpy() -> list[int]:
    state: list[int] = np.random.get_state(legacy=False)["state"]["key"].tolist()
    return state


def test_random_states_and_threads_are_left_alone(outside: Path) -> None:
    spec, _ = make_spec(outside)
    torch.set_num_threads(1)
    before = torch.get_rng_state(), drawn_by_numpy(), random.getstate(), torch.get_num_threads()
    diagnosed(get_domain("sine"), spec.config)
    after = torch.get_rng_state(), drawn_by_numpy(), random.getstate(), torch.get_num_threads()
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


def test_a_run_after_an_examination_is_equal_to_one_without(outside: Path, tmp_path: Path) -> None:
    losses = []
    for name in ("with", "without"):
        reuse.forget()
        context = make_context(outside, tmp_path / name, "final.steps=40")
        if name == "with":
            diagnosed(context.domain, context.spec.config)
        fit(context)
        losses.append([line.metrics["loss"] for line in read_metrics(context.folder)])
    assert losses[0] == losses[1]


def test_examinations_agree(outside: Path) -> None:
    spec, domain = make_spec(outside)
    first, second = (diagnosed(domain, spec.config) for _ in range(2))
    assert first.verdicts == second.verdicts
    doctoring.require_well(first)
