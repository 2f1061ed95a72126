"""The page of each of our experiments has the columns that choose a model."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from distsys.tracking.mlflow_view import pages
from tests.tracking.support import client_of, spool_of, synced


def test_a_page_shows_what_chooses_and_only_ours_have_one(root: Path) -> None:
    synced(root, spool_of(root, "run").folder)
    client = client_of(root)
    client.create_experiment("of somebody else")
    found = pages(root, {"exp": "mae"}.get)
    known = client.get_experiment_by_name("exp")
    assert set(found) == {"exp", "unused"}
    place = urlsplit(urlsplit(found["exp"]).fragment)
    assert place.path == f"/experiments/{known.experiment_id}/runs"
    query = parse_qs(place.query)
    assert query["workflowType"] == ["machine_learning"]
    view = json.loads(known.tags[f"mlflow.sharedViewState.{query['viewStateShareKey'][0]}"])
    assert view["selectedColumns"][0] == "metrics.`mae`"
    assert {"tags.`health`", "tags.`cause`", "tags.`distsys.kind`"} <= set(view["selectedColumns"])


def test_an_experiment_of_a_domain_that_is_not_installed_has_a_page_too(root: Path) -> None:
    synced(root, spool_of(root, "run").folder)
    assert "exp" in pages(root, lambda _: None)
    (tag,) = [text for name, text in client_of(root).get_experiment_by_name("exp").tags.items() if "View" in name]
    assert not any(column.startswith("metrics") for column in json.loads(tag)["selectedColumns"])
