"""What a domain of somebody else's gets wrong is told by ``config --check`` in that domain's words."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.outside import install

ROOT = Path(__file__).parents[2]
MISTAKES = [
    ("    def figures(", "    def figures_not(", "it has no figures"),
    ('"size": out.square().mean()}', "}", "'sine'.loss_terms gave no term size"),
    (".mean()}\n", '.mean(), "more": out.mean()}\n', "'sine'.loss_terms gave an undeclared term more"),
    ("out.square().mean()}", "out.square()}", "'sine'.loss_terms gave size of shape [32, 1]"),
    ("out.square().mean()}", "0.5}", "'sine'.loss_terms gave size, a float"),
    ("out.square().mean()}", 'out.square().mean() * float("nan")}', "'sine'.loss_terms gave size not finite"),
    ("error.cpu().numpy())", "error)", "'sine'.evaluate gave items of shape [60] on a device"),
    ("error.cpu().numpy())", "error.cpu().numpy()[:, None])", "'sine'.evaluate gave items of shape [60, 1]"),
    ("float(error.mean())", "error.mean()", "'sine'.evaluate gave mae, a tensor []"),
    ('{"mae": float(error.mean()), ', "{", "'mae' is not a metric of 'sine'"),
    ('Baseline("trivial", {"mae"', '("trivial", {"mae"', "'sine'.baselines gave zero, a tuple"),
]


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [pytest.param(*item, marks=[pytest.mark.slow] if number % 2 else []) for number, item in enumerate(MISTAKES)],
    ids=[told[-24:] for _, _, told in MISTAKES],
)
def test_a_mistake_is_told(tmp_path: Path, right: str, wrong: str, told: str) -> None:
    install(tmp_path)
    module = tmp_path / "sine_domain" / "__init__.py"
    code = module.read_text().replace(right, wrong)
    assert code != module.read_text()
    module.write_text(code)
    command = ["config", str(tmp_path / "sine.yaml"), "--space", str(tmp_path / "space.yaml"), "--check"]
    done = subprocess.run(
        [sys.executable, "-m", "distsys.cli", *command, "--out", str(tmp_path / "out")],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert told in done.stderr
