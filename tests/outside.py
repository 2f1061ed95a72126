"""Domains that live outside the project: put into a folder as pip would, registered by entry point, found by it."""

from __future__ import annotations

import os
import shutil
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distsys.domains import registry

CODE = '''
"""A sine, fitted by a small network: the smallest domain that uses every part of the seam."""

import json

import numpy as np
import torch
from torch import nn

from distsys.config import Section
from distsys.domains.protocol import (
    Baseline, DataBundle, EvalSet, Evaluation, FieldSpec, MetricSpec, Prediction, TermSpec
)
from distsys.errors import DataError
from distsys.health.verdict import Constraint


class Data(Section):
    cycles: float = 0.5
    broken: bool = False
    edge: float = 0.01
    builds: str = ""
    """File that gets a line a call of build_data."""


class Model(Section):
    width: int = 16
    dropout: float = 0.0
    unread: int = 1


class Config(Section):
    data: Data = Data()
    model: Model = Model()


class Request(Section):
    x: float
    """Where to look."""


class Train:
    def __init__(self, seed, cycles):
        self.seed, self.cycles = seed, cycles

    def batch(self, indices, *, progress):
        x = torch.tensor([[((i * 2654435761 + self.seed) % 10007) / 5003.5 - 1] for i in indices])
        return {"x": x, "y": torch.sin(6.2832 * self.cycles * x)}


def frozen(cycles, edge):
    x = torch.linspace(edge - 1, 1 - edge, 60)[:, None]
    batch = {"x": x, "y": torch.sin(6.2832 * cycles * x)}
    return EvalSet([batch])


class Sine:
    name = "sine"
    title = "Fits a sine"
    config = Config
    request = Request
    selection = MetricSpec("mae", "min", "V")
    constraints = (Constraint("spread", low=0.05, fix="train longer"),)
    terms = (TermSpec("mse", "V^2", 0.0), TermSpec("size", "V^2", 0.0))
    fields = (FieldSpec("x", "input", "1", -1.0, 1.0), FieldSpec("y", "target", "V", -1.0, 1.0))

    def build_data(self, config, *, seed):
        if config.data.broken:
            raise DataError("sine.csv: row 3 holds NaN", expected="finite numbers", fix="mend row 3")
        if config.data.builds:
            with open(config.data.builds, "a") as stream:
                print(seed, file=stream)
        cycles, edge = config.data.cycles, config.data.edge
        return DataBundle(Train(seed, cycles), frozen(cycles, edge), frozen(cycles, 0.03), {"source": "made"})

    def build_model(self, config, statistics):
        width = config.model.width
        layers = [nn.Linear(1, width), nn.Tanh(), nn.Dropout(config.model.dropout), nn.Linear(width, 1)]
        return nn.Sequential(*layers)

    def forward(self, model, batch, *, generator):
        return {"out": model(batch["x"])}

    def loss_terms(self, outputs, batch, *, config):
        out = outputs["out"]
        return {"mse": (out - batch["y"]).square().mean(), "size": out.square().mean()}

    def evaluate(self, model, data):
        out = torch.cat([model(batch["x"]) for batch in data.batches])
        error = (out - torch.cat([batch["y"] for batch in data.batches])).abs()[:, 0]
        return Evaluation({"mae": float(error.mean()), "spread": float(out.std())}, error.cpu().numpy())

    def baselines(self, config, bundle, data):
        return {"zero": Baseline("trivial", {"mae": float(data.batches[0]["y"].abs().mean())})}

    def figures(self, model, data, evaluation):
        from matplotlib.figure import Figure

        figure = Figure()
        batch = data.batches[0]
        figure.add_subplot().plot(batch["x"][:, 0], model(batch["x"])[:, 0])
        return {"Fit": figure}

    def predict(self, model, request):
        with torch.no_grad():
            value = float(model(torch.tensor([[request.x]])))
        return Prediction({"y": value}, {".json": json.dumps({"y": value})})
'''

CONFIG = """
domain: sine
batch_size: 32
optimizer: {learning_rate: 1e-2}
search:
  trials: 4
  startup_trials: 2
  steps: 60
  eval_every_steps: 20
  weights: {lambda_mse: 1.0, lambda_size: 1e-4}
handoff: {top_k: 2, budget_share: 0.2}
final:
  steps: 120
  eval_every_steps: 30
  weights: {lambda_mse: 1.0, lambda_size: {times: 2, over: 0.3}}
presets:
  tiny:
    search: {trials: 2}
    final: {steps: 40, eval_every_steps: 20}
"""

SPACE = """
optimizer.learning_rate: {low: 1e-3, high: 1e-1, log: true, prior: 1e-2}
model.width: {low: 4, high: 32, log: true}
search.weights.lambda_size: {low: 1e-5, high: 1e-3, log: true}
"""


def install(folder: Path) -> None:
    """Write the package and its entry point below ``folder``, as pip would."""
    (folder / "sine_domain").mkdir()
    (folder / "sine_domain" / "__init__.py").write_text(CODE)
    register(folder, "sine-domain", {"sine": "sine_domain:Sine"})
    (folder / "sine.yaml").write_text(CONFIG)
    (folder / "space.yaml").write_text(SPACE)


def install_package(source: Path, folder: Path) -> None:
    """What pip does with a package that ``new-domain`` wrote: copied as its wheel would hold it, and registered."""
    project = tomllib.loads((source / "pyproject.toml").read_text())
    for package in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        shutil.copytree(source / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    register(folder, project["project"]["name"], project["project"]["entry-points"][registry.GROUP])


def register(folder: Path, project: str, domains: dict[str, str]) -> None:
    """Write the entry points that pip would."""
    info = folder / f"{project.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project}\nVersion: 1.0\n")
    lines = [f"{name} = {place}" for name, place in domains.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{registry.GROUP}]", *lines, ""]))


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """What is installed in ``folder`` can be imported, here and in processes that are started."""
    sys.path.insert(0, str(folder))
    _set_python_path([str(folder), *_python_path()])
    registry._entries.cache_clear()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        _set_python_path([place for place in _python_path() if place != str(folder)])
        registry._entries.cache_clear()


def _python_path() -> list[str]:
    return [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]


def _set_python_path(places: list[str]) -> None:
    if places:
        os.environ["PYTHONPATH"] = os.pathsep.join(places)
    else:
        os.environ.pop("PYTHONPATH", None)


def _pip(arguments: list[str]) -> None:
    """``pip install -e FOLDER`` of the guide: into the folder that the test made for it."""
    assert arguments[:2] == ["install", "-e"], arguments
    install_package(Path(arguments[2]), Path(os.environ["DISTSYS_TEST_SITE"]))


if __name__ == "__main__":
    _pip(sys.argv[1:])
