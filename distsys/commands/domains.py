"""Commands about domains: those that are there, a new one, and whether one keeps its promises."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING

from distsys.commands.output import show
from distsys.console import wrapped
from distsys.errors import ConfigError

if TYPE_CHECKING:
    from distsys.testing.check import Finding


def domains(options: argparse.Namespace) -> int:
    """``distsys domains``."""
    from distsys.domains.registry import domain_names, get_domain

    plain: list[dict[str, str]] = []
    lines: list[str] = []
    for name in domain_names():
        try:
            item = get_domain(name)
        except ConfigError as error:  # of one package: the others are there all the same
            plain.append({"name": name, "error": error.found, "fix": error.fix})
            lines += wrapped(f"{name:<20}  BROKEN: {error.found}; fix: {error.fix}", indent=" " * 22)
            continue
        plain.append({"name": name, "selection": item.selection.name, "title": item.title})
        chosen = f"chosen by {item.selection.name} ({item.selection.direction})"
        lines.append(f"{name:<20}  {item.title}\n{'':<20}  {chosen}")
    show(options, plain, "\n".join(lines))
    return 1 if any("error" in item for item in plain) else 0


def new_domain(options: argparse.Namespace) -> int:
    """``distsys new-domain``."""
    from distsys.scaffold import write_domain

    name, parent = options.name, options.to
    files = write_domain(name, parent)
    folder = parent / name
    plain = {"domain": name, "folder": str(folder), "files": [str(parent / path) for path in files]}
    lines = [f"wrote {len(files)} files to {folder}", *(f"  {path}" for path in files)]
    place = str(folder) if folder.is_absolute() else f"./{folder}"  # pip takes a bare name for that of a package
    steps = [
        f"pip install -e {shlex.quote(place)}",
        f"distsys check-domain {name}",
        f"distsys run {name} --preset demo",
    ]
    show(options, plain, "\n".join([*lines, "then:", *(f"  {step}" for step in steps)]))
    return 0


def check_domain(options: argparse.Namespace) -> int:
    """``distsys check-domain``: 1 where a promise is broken."""
    from distsys.testing.check import check
    from distsys.testing.subject import Subject

    findings = []
    for finding in check(Subject(options.name, options.config, options.preset, tuple(options.overrides))):
        findings.append(finding)
        if not options.json:
            print(_line(finding), flush=True)
    kept = [item.kept for item in findings]
    rows = [{"promise": item.promise, "kept": item.kept, "why": item.why} for item in findings]
    plain = {"domain": options.name, "kept": all(kept), "promises": rows}
    show(options, plain, f"{sum(kept)} of {len(kept)} promises kept")
    return 0 if all(kept) else 1


def _line(finding: Finding) -> str:
    title = finding.promise.replace("_", " ")
    if finding.kept:
        return f"kept    {title}"
    first, *rest = finding.why.splitlines()
    lines = [f"BROKEN  {title}: {first}", *(f"        {line}" for line in rest)]
    return "\n".join(wrapped("\n".join(lines), indent=" " * 8))
