"""What a model is asked, from what a person typed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from distsys.config.validate import plain_message
from distsys.config.yaml_file import parse_value
from distsys.domains.protocol import AnyDomain
from distsys.errors import UsageError


def read_request(domain: AnyDomain, values: Mapping[str, Any]) -> Any:
    """The request of ``values``, texts as they were typed by field; other names are left out.

    Raises:
        UsageError: a value does not fit its field, or is missing.
    """
    fields = domain.request.model_fields
    given = {
        name: value if fields[name].annotation in (str, Path) else parse_value(value)
        for name, value in values.items()
        if name in fields
    }
    try:
        return domain.request.model_validate(given, strict=False)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "missing":
            raise UsageError(f"no {first['loc'][0]}", expected="it is what is asked about") from None
        flag = "--" + str(first["loc"][0]).replace("_", "-") if first["loc"] else "request"
        raise UsageError(f"{flag} = {first['input']!r}", expected=plain_message(first)) from None
