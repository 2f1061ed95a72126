"""Folders as runs leave them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

FILES = ("model.pt", "training.pt", "meta.json", "manifest.json")


def make_checkpoint(run: Path, step: int, *, content: str = "made once") -> Path:
    """Files under the names of a checkpoint's."""
    folder = run / "checkpoints" / f"step-{step:08d}"
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (folder / name).write_text(f"{name} of {step}, {content}")
    return folder


def text_of(folder: Path) -> dict[str, str]:
    """Every file below ``folder`` by its relative name."""
    return {
        path.relative_to(folder).as_posix(): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()
    }


class _Denying(BaseHTTPRequestHandler):
    """Answers as S3 does to a request without a signature."""

    def _deny(self) -> None:
        body = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        self.send_response(403)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_PUT = do_GET = do_HEAD = do_POST = _deny  # noqa: N815 - names of the standard library

    def log_message(self, format: str, *values: object) -> None:
        """Nothing."""


@contextmanager
def denying() -> Iterator[str]:
    """The address of a store that lets nobody in."""
    server = HTTPServer(("127.0.0.1", 0), _Denying)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
