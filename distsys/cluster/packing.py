"""The project as a job takes it along: code and configs, without data, checkpoints, runs, environments and history."""

from __future__ import annotations

import os
import subprocess
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from distsys.errors import UsageError

LEFT_OUT_AT_TOP = ("checkpoints", "data", "datasets", "mlartifacts", "runs")
"""Folders that are left out where they stand right below the project; deeper they may hold code."""
LEFT_OUT = ("__pycache__", "mlruns", "node_modules")
_ENDINGS = (".db", ".pyc")
_EXPERIMENT = ("study.log", "run.json")
"""Files that tell a folder of results."""
_ENVIRONMENT = ("pyvenv.cfg", "conda-meta")
_NAMED = 5
_MB = 1_000_000


@dataclass(frozen=True)
class Package:
    """What is taken along.

    Args:
        files: relative to ``root``.
        num_bytes: of all files, before they are compressed.
    """

    root: Path
    files: Sequence[Path]
    num_bytes: int

    def holds(self, path: Path) -> bool:
        """Whether the relative ``path`` is a file in it, or a folder with one."""
        return any(file == path or path in file.parents for file in self.files)

    def write(self, target: Path) -> None:
        """A zip whose bytes depend on the files alone, so that what was sent before is not sent again."""
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in self.files:
                entry = zipfile.ZipInfo(file.as_posix())
                entry.external_attr = ((self.root / file).stat().st_mode & 0o777) << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, (self.root / file).read_bytes())


def collected(root: Path, *, limit_mb: float, without: Path | None = None) -> Package:
    """The project in ``root``.

    Args:
        without: one more folder that is left out, that of results.

    Raises:
        UsageError: it is no folder, empty, or larger than ``limit_mb``.
    """
    if not root.is_dir():
        raise UsageError(f"{root}: no such folder", expected="the project's")
    tracked = _known_to_git(root)
    files = sorted(file for file in _found(root, without) if tracked is None or file in tracked)
    sizes = {file: (root / file).stat().st_size for file in files}
    if not files:
        raise UsageError(f"{root}: nothing to take along", expected="the project's folder", fix="--working-dir DIR")
    total = sum(sizes.values())
    if total > limit_mb * _MB:
        raise UsageError(
            f"{root}: {total / _MB:.1f} MB in {len(files)} files; large: {_large(sizes)}",
            expected=f"at most {limit_mb:g} MB of code and configs",
            fix="move data to storage that every node sees and name it by its absolute path, add what is not needed "
            "to .gitignore, or raise --limit-mb",
        )
    return Package(root, files, total)


def _found(root: Path, without: Path | None) -> Iterator[Path]:
    for place, folders, names in os.walk(root):
        here = Path(place)
        folders[:] = [name for name in folders if here / name != without and not _is_left_out(here / name, root)]
        for name in names:
            if not name.endswith(_ENDINGS) and not _is_secret(name) and (here / name).is_file():
                yield (here / name).relative_to(root)


def _is_left_out(folder: Path, root: Path) -> bool:
    if folder.name in LEFT_OUT or folder.name.startswith(".") or (folder.parent == root and _at_top(folder)):
        return True
    return any((folder / name).exists() for name in (*_EXPERIMENT, *_ENVIRONMENT))


def _at_top(folder: Path) -> bool:
    """Whether its name is one of results or data; a package of that name is code."""
    return folder.name in LEFT_OUT_AT_TOP and not (folder / "__init__.py").is_file()


def _is_secret(name: str) -> bool:
    return name == ".netrc" or name == ".env" or name.startswith(".env.")


def _known_to_git(root: Path) -> set[Path] | None:
    """Files that git does not ignore; None outside of a repository."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return {Path(name) for name in done.stdout.split("\0") if name}


def _large(sizes: dict[Path, int]) -> str:
    """What stands right below the project, largest first, each folder with its largest file."""
    sums: defaultdict[str, int] = defaultdict(int)
    largest: dict[str, Path] = {}
    for file, num_bytes in sizes.items():
        top = file.parts[0]
        sums[top] += num_bytes
        if top not in largest or num_bytes > sizes[largest[top]]:
            largest[top] = file
    first = sorted(sums, key=lambda name: -sums[name])[:_NAMED]
    return ", ".join(
        f"{name} {sums[name] / _MB:.1f} MB"
        + (f" (of that {largest[name]} {sizes[largest[name]] / _MB:.1f})" if largest[name] != Path(name) else "")
        for name in first
    )
