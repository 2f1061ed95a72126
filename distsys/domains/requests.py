"""What a model is asked, from what a person typed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from distsys.config.validate import plain_message
from distsys.config.yaml_file import parse_value
from distsys.domains.protocol import AnyDomain
from distsys.errors import UsageError


def read_request(domain: AnyDomain, values: Mapping[str, Any]) -> Any:
    """The request of ``values``, texts as they were typed by field; other names are left out.

    Raises:
        UsageError: a value does not fit its field, or is missing.
    """
    return request_of(domain.request, values)


def request_of(kind: type[BaseModel], values: Mapping[str, Any]) -> Any:
    """The same of another form of request."""
    fields = kind.model_fields
    given = {name: _parsed(value, fields[name].annotation) for name, value in values.items() if name in fields}
    try:
        return kind.model_validate(given, strict=False)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "missing":
            raise UsageError(f"no {first['loc'][0]}", expected="it is what is asked about") from None
        if not first["loc"]:
            raise UsageError(plain_message(first)) from None
        flag = "--" + str(first["loc"][0]).rstrip("_").replace("_", "-")
        raise UsageError(f"{flag} = {first['input']!r}", expected=plain_message(first)) from None


def _parsed(value: Any, annotation: object) -> Any:
    """A word or a path as it was typed, all else as YAML has it."""
    is_text = isinstance(value, str) and not any(kind in (str, Path) for kind in kinds_of(annotation))
    return parse_value(value) if is_text else value


def kinds_of(annotation: object) -> list[object]:
    """A field's type and, of a union, a tuple or an annotation, what it is made of."""
    return [annotation, *(kind for part in get_args(annotation) for kind in kinds_of(part))]
