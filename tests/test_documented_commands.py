"""Every command that README and docs show in a block is one that distsys takes: options, questions and keys."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from distsys.cli import _parser
from distsys.config.layers import read_layers
from distsys.config.validate import config_type, validate_layers
from distsys.domains.registry import get_domain
from distsys.domains.requests import read_request
from distsys.options import request_parser

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(path for path in ROOT.glob("docs/**/*.md") if path.name != "own-domain.md")])
"""The guide to a domain of one's own is run as a whole in test_docs.py."""
SHIPPED = {path.stem for path in (ROOT / "configs").glob("*.yaml")}


def commands(text: str) -> list[str]:
    """Lines of fenced blocks that call distsys, alone or behind variables and other programs."""
    blocks = text.split("```")[1::2]
    lines = [line for block in blocks if block.startswith(("sh\n", "bash\n", "\n")) for line in block.splitlines()]
    found = []
    for line in lines:
        match = re.search(r"(?:^|\s)distsys ((?:[\w-]+)(?:\s.*)?)$", line.split(" # ")[0].rstrip("\\ "))
        if match and not line.lstrip().startswith("#"):
            found.append(match[1].split(" | ")[0].split(" && ")[0].rstrip(" &"))
    return found


DOCUMENTED = [(page.relative_to(ROOT).as_posix(), line) for page in PAGES for line in commands(page.read_text())]


def test_there_are_commands() -> None:
    assert len(DOCUMENTED) > 40
    assert {page for page, _ in DOCUMENTED} >= {"README.md", "docs/using.md", "docs/going-on.md", "docs/cluster.md"}


@pytest.mark.parametrize(("page", "line"), DOCUMENTED, ids=[f"{page}: {line[:60]}" for page, line in DOCUMENTED])
def test_a_documented_command_is_understood(page: str, line: str) -> None:
    words = shlex.split(line)
    options = _parser().parse_args(words)
    if words[0] == "predict" and options.domain and "--help" not in words:
        domain = get_domain(options.domain)
        asked = request_parser(domain, is_table="--requests" in words).parse_args(options.rest)
        if asked.requests is None:
            read_request(domain, vars(asked))
    overrides = [item for item in getattr(options, "overrides", []) if not item.endswith("...")]
    if overrides and getattr(options, "config", None) in SHIPPED:
        layers = read_layers(ROOT / "configs" / f"{options.config}.yaml", preset=options.preset, overrides=overrides)
        validate_layers(layers, config_type(get_domain(options.config).config))
