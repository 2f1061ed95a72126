"""From a URI to a file system of pyarrow, and from what one raises to what its user can change."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

from distsys.errors import UsageError

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

_CONNECT_S, _REQUEST_S, _ATTEMPTS = 5, 30, 4
_S3_OPTIONS = ("region", "scheme", "endpoint_override")
_EXPECTED = "s3://bucket/prefix, gs://bucket/prefix, or another URI that pyarrow.fs knows"


def is_uri(text: str) -> bool:
    """Whether ``text`` names a store rather than a folder."""
    return "://" in text


def connected(uri: str) -> tuple[FileSystem, str]:
    """The file system of ``uri``, and the path in it. Does not ask the store yet, unless for a bucket's region.

    Raises:
        UsageError: it is none that pyarrow knows, or holds a password.
    """
    parts = urlsplit(uri)
    if parts.username or parts.password:
        raise UsageError(
            f"{parts.scheme}://***@{parts.hostname}: a URI with credentials, which logs and trackers would show",
            expected=_EXPECTED,
            fix="leave them to the environment (AWS_ACCESS_KEY_ID, ...) or to the profile of this user",
        )
    if not parts.netloc and parts.scheme != "file":
        raise UsageError(f"{uri}: names no bucket", expected=_EXPECTED)
    from pyarrow import ArrowInvalid
    from pyarrow.fs import FileSystem

    try:
        if parts.scheme == "s3":
            return _s3(uri)
        if parts.scheme in ("gs", "gcs"):
            options = {"retry_limit_seconds": str(_REQUEST_S), **dict(parse_qsl(parts.query))}
            uri = parts._replace(query=urlencode(options)).geturl()
        system, path = FileSystem.from_uri(uri)
    except (ArrowInvalid, NotImplementedError, ImportError) as error:
        raise UsageError(f"{uri}: {' '.join(str(error).split())}", expected=_EXPECTED) from error
    return system, path.rstrip("/")


def _s3(uri: str) -> tuple[FileSystem, str]:
    """With bounds on time, which a plain URI cannot state, and with the endpoint of the environment."""
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

    parts = urlsplit(uri)
    options = dict(parse_qsl(parts.query))
    if unknown := sorted(set(options) - set(_S3_OPTIONS)):
        raise UsageError(f"{uri}: unknown option '{unknown[0]}'", expected=f"any of {', '.join(_S3_OPTIONS)}")
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    given = {"endpoint_override": endpoint, "region": region, **options}
    if not given["region"] and not given["endpoint_override"]:
        given["region"] = _region(parts.netloc)
    system = S3FileSystem(
        **{name: value for name, value in given.items() if value},
        connect_timeout=_CONNECT_S,
        request_timeout=_REQUEST_S,
        allow_delayed_open=True,  # a small object is one request, not three
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS),
    )
    return system, f"{parts.netloc}{parts.path}".rstrip("/")


def _region(bucket: str) -> str | None:
    """Where the bucket is; None where nobody says so, for which whoever asks it next has better words."""
    from pyarrow.fs import resolve_s3_region

    try:
        return resolve_s3_region(bucket)
    except OSError:
        return None


@dataclass(frozen=True)
class Trouble:
    """What a store refused, in words of ours.

    Args:
        is_final: whether asking again is useless.
    """

    found: str
    expected: str
    fix: str
    is_final: bool


_CREDENTIALS = (
    "credentials that may read, list, write and delete there",
    "export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE), for gs:// GOOGLE_APPLICATION_CREDENTIALS, "
    "on every node, or give the machines a role",
)
_BUCKET = ("a bucket that exists", "create it, or correct the URI")
_NETWORK = ("a store that answers", "check the network, AWS_ENDPOINT_URL and the URI; the same command goes on")
_KNOWN: tuple[tuple[tuple[str, ...], str, tuple[str, str], bool], ...] = (
    (("NO_SUCH_BUCKET", "NoSuchBucket", "The specified bucket does not exist"),
     "there is no such bucket", _BUCKET, True),
    (("INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH", "InvalidAccessKeyId", "UNRECOGNIZED_CLIENT"),
     "the credentials are refused", _CREDENTIALS, True),
    (("OAuth2 access token", "Could not find Application Default", "No credentials", "credentials provider"),
     "there are no credentials", _CREDENTIALS, True),
    (("ACCESS_DENIED", "AccessDenied", "HTTP status 403", "PERMISSION_DENIED", "UNAUTHENTICATED", "HTTP status 401"),
     "access is denied, or there are no credentials", _CREDENTIALS, True),
    (("NETWORK_CONNECTION", "Could not resolve", "curlCode", "timed out", "UNAVAILABLE", "SLOW_DOWN"),
     "no answer", _NETWORK, False),
)  # fmt: skip


def explained(error: OSError) -> Trouble:
    """What ``error`` of a store means."""
    said = " ".join(str(error).split())[:300]
    for marks, found, (expected, fix), is_final in _KNOWN:
        if any(mark in said for mark in marks):
            return Trouble(f"{found} ({said})", expected, fix, is_final)
    return Trouble(
        said, "a store that takes, lists and gives back objects", "see what it says; then repeat the command", False
    )
