"""Where the store is, without telling its secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from distsys.errors import UsageError
from distsys.tracking.location import redacted, store_uri, ui_command, ui_environment


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://ann:s3cret@db:5432/x", "postgresql://***@db:5432/x"),
        ("cannot reach http://ann:p@ss/w@host/a now", "cannot reach http://***@host/a now"),
        ("https://token@host", "https://***@host"),
        ("postgresql://db/x?user=ann&password=s3cret&ssl=1", "postgresql://db/x?user=ann&password=***&ssl=1"),
        ("sqlite:////runs/mlflow.db", "sqlite:////runs/mlflow.db"),
        ("http://127.0.0.1:9", "http://127.0.0.1:9"),
    ],
)
def test_redacted(text: str, expected: str) -> None:
    assert redacted(text) == expected


def test_the_default_store_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    assert store_uri(Path("runs")) == f"sqlite:///{tmp_path.resolve()}/runs/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert store_uri(Path("runs")) == "http://127.0.0.1:9"


def test_the_pages_are_served_on_loopback_and_arguments_hold_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = "postgresql://ann:s3cret@db/x"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    command = ui_command(tmp_path, port=5001)
    assert "s3cret" not in " ".join(command)
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--port") + 1] == "5001"
    environment = ui_environment(tmp_path)
    assert environment["MLFLOW_BACKEND_STORE_URI"] == uri
    assert environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"


def test_a_server_shows_its_own_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://ann:s3cret@tracking.example")
    with pytest.raises(UsageError, match="browser") as caught:
        ui_command(tmp_path, port=5001)
    assert "s3cret" not in str(caught.value)
