"""Trained models in MLflow's registry, from where they are loaded and served without a path."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distsys.errors import RunFailed
from distsys.tracking.database import error_code
from distsys.tracking.ledger import Ledger
from distsys.tracking.location import redacted
from distsys.tracking.mlflow_runs import MlflowStore

_LOADER = "distsys.served"
_FOLDER = "model"
_TYPES = {"integer": "long", "number": "double", "boolean": "boolean"}
"""MLflow's names of what JSON Schema calls so; all else is a string."""


@dataclass(frozen=True)
class Registered:
    """A version of a registered model.

    Args:
        files: where the store keeps them; a copied store still names the place of the original.
    """

    name: str
    version: str
    store: str
    files: str

    @property
    def uri(self) -> str:
        """What ``mlflow.pyfunc.load_model`` takes."""
        return f"models:/{self.name}/{self.version}"


@dataclass(frozen=True)
class Model:
    """What is registered.

    Args:
        name: of the registered model.
        request: JSON Schema of what it is asked.
        tags: of the version.
        requirements: what ``pip`` must install where it is loaded.
    """

    name: str
    checkpoint: Path
    request: Mapping[str, Any]
    tags: Mapping[str, str]
    requirements: Sequence[str]


def register(root: Path, folder: Path, model: Model, *, experiment: str) -> Registered:
    """A new version of ``model``: its checkpoint as MLflow's Python function, with its run.

    Args:
        root: folder of the default store.
        folder: of the run that made the checkpoint; it is told first where the store lacks it.

    Raises:
        RunFailed: the store is away or takes no models.
    """
    try:
        store = MlflowStore(root, experiment)
        store.push(folder)
        run_id = Ledger.load(folder, uri=store.uri).run_id
        files = f"{store.client.get_run(run_id).info.artifact_uri}/{_FOLDER}"
        version = _new_version(store, run_id, model)
    except Exception as error:
        raise RunFailed(
            f"the model cannot be registered: {redacted(str(error))[:300]}",
            expected="an MLflow store that can be reached and has a registry",
            fix="look at MLFLOW_TRACKING_URI, or leave it out for the store of --out",
        ) from error
    return Registered(model.name, version, redacted(store.uri), redacted(files))


def _new_version(store: MlflowStore, run_id: str, model: Model) -> str:
    import mlflow.pyfunc

    client = store.client
    with tempfile.TemporaryDirectory(prefix="distsys-register-") as scratch:
        place = Path(scratch) / _FOLDER
        mlflow.pyfunc.save_model(
            place,
            loader_module=_LOADER,
            data_path=str(model.checkpoint),
            signature=_signature(model.request),
            pip_requirements=list(model.requirements),
        )
        client.log_artifacts(run_id, str(place), _FOLDER)
    try:
        client.create_registered_model(model.name)
    except Exception as error:
        if error_code(error) != "RESOURCE_ALREADY_EXISTS":
            raise
    source = f"{client.get_run(run_id).info.artifact_uri}/{_FOLDER}"
    return str(client.create_model_version(model.name, source, run_id, tags=dict(model.tags)).version)


def _signature(request: Mapping[str, Any]) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    required = request.get("required", ())
    columns = [
        ColSpec(_TYPES.get(_type_of(field), "string"), name, required=name in required)
        for name, field in request["properties"].items()
    ]
    return ModelSignature(inputs=Schema(columns))


def _type_of(field: Mapping[str, Any]) -> str:
    kinds = [field, *field.get("anyOf", ())]
    return next((kind["type"] for kind in kinds if kind.get("type", "null") != "null"), "string")
