"""MLflow's page of an experiment as somebody who trains models wants it: its runs, with what chooses and what is sick.

MLflow keeps views that people share as JSON in a tag of the experiment; an address names one of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

from distsys.tracking.database import connect, connect_file
from distsys.tracking.location import database_path, is_default, store_uri
from distsys.tracking.mlflow_runs import STORE_TAG

_KEY = "distsys"
_TAG = f"mlflow.sharedViewState.{_KEY}"
_COLUMNS = ("attributes.`Duration`", "tags.`distsys.kind`", "tags.`health`", "tags.`cause`")


def pages(root: Path, metric_of: Callable[[str], str | None]) -> dict[str, str]:
    """Address of each experiment's page below that of the server, by name; the view of each is written into the store.

    Args:
        root: folder of the default store.
        metric_of: what chooses a model of the experiment so called, or None where nobody knows.
    """
    uri = store_uri(root)
    client = connect_file(database_path(root))[0] if is_default(root, uri) else connect(uri)
    found = {}
    for experiment in sorted(client.search_experiments(), key=lambda item: item.name):
        if STORE_TAG not in experiment.tags:
            continue
        metric = metric_of(experiment.name)
        view = json.dumps(_view([*([f"metrics.`{metric}`"] if metric else []), *_COLUMNS]))
        if experiment.tags.get(_TAG) != view:
            client.set_experiment_tag(experiment.experiment_id, _TAG, view)
        query = urlencode({"workflowType": "machine_learning", "viewStateShareKey": _KEY})
        found[experiment.name] = f"/#/experiments/{experiment.experiment_id}/runs?{query}"
    return found


def _view(columns: list[str]) -> dict[str, object]:
    """Every key that MLflow's page reads of a view, with its own default but for the columns."""
    return {
        "searchFilter": "",
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": columns,
    }
