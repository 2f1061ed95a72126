"""Which format a file is of, by its content before its name, and who reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from distsys.domains.ground_motion.data.at2 import read_at2, sizes_of
from distsys.domains.ground_motion.data.formats.columns import is_columns, read_columns
from distsys.domains.ground_motion.data.formats.cosmos import is_cosmos, read_cosmos
from distsys.domains.ground_motion.data.formats.csmip import is_csmip, read_csmip
from distsys.domains.ground_motion.data.formats.esm import is_esm, read_esm
from distsys.domains.ground_motion.data.formats.knet import is_knet, read_knet
from distsys.domains.ground_motion.data.formats.miniseed import is_miniseed, read_miniseed
from distsys.domains.ground_motion.data.formats.smc import is_smc, read_smc
from distsys.domains.ground_motion.data.hdf5 import read_hdf5
from distsys.domains.ground_motion.data.npz import read_npz
from distsys.domains.ground_motion.data.records import Declared, Record
from distsys.domains.ground_motion.data.text import bytes_of, decoded
from distsys.errors import DataError

_HEAD = 8192
_AT2_LINES = 12


class Format(NamedTuple):
    """A kind of file.

    Args:
        suffixes: which names it where its content does not, so that damage is told by its reader.
        recognises: the first bytes, and the same as text.
    """

    name: str
    suffixes: tuple[str, ...]
    recognises: Callable[[bytes, str], bool]
    read: Callable[[Path, Declared], Iterator[Record | DataError]]


FORMATS = (
    Format(
        "HDF5", (".h5", ".hdf5"), lambda head, _: head[:4] == b"\x89HDF", lambda path, told: read_hdf5(path, told.unit)
    ),
    Format("NPZ", (".npz",), lambda head, _: False, lambda path, told: read_npz(path, told.unit)),
    Format("miniSEED", (".mseed", ".miniseed", ".ms"), lambda head, _: is_miniseed(head), read_miniseed),
    Format("COSMOS", (".v1c", ".v2c"), lambda _, text: is_cosmos(text), lambda path, _: read_cosmos(path)),
    Format("SMC", (".smc",), lambda _, text: is_smc(text), lambda path, _: read_smc(path)),
    Format("CSMIP", (".v1", ".v2"), lambda _, text: is_csmip(text), lambda path, _: read_csmip(path)),
    Format("K-NET, KiK-net", (".ns", ".ew", ".ud"), lambda _, text: is_knet(text), lambda path, _: read_knet(path)),
    Format("ESM", (".asc",), lambda _, text: is_esm(text), lambda path, _: read_esm(path)),
    Format(
        "AT2",
        (".at2",),
        lambda _, text: any(sizes_of(line) for line in text.split("\n")[:_AT2_LINES]),
        lambda path, told: read_at2(path, told.unit),
    ),
    Format("columns of text", (), lambda _, text: is_columns(text), read_columns),
)
_FOREIGN: Mapping[str, str] = {
    **dict.fromkeys((".sac", ".gse", ".gse2", ".evt", ".sgy", ".segy", ".rsn"), "obspy"),
    **dict.fromkeys((".zip", ".gz", ".tgz", ".tar", ".bz2", ".7z"), "unpack it"),
    **dict.fromkeys((".mat", ".xls", ".xlsx"), "save times in s and accelerations as two columns of text"),
}
_BY_OBSPY = "with ObsPy: obspy.read('{}').write('{}.mseed', format='MSEED'), a StationXML beside it"


def format_of(path: Path) -> Format | None:
    """By content, else by name; None where neither is known.

    Raises:
        DataError: it cannot be read at all.
    """
    head = bytes_of(path, _HEAD)
    text = "" if b"\0" in head[:_HEAD] else decoded(head)
    suffix = path.suffix.lower()
    by_content = next((item for item in FORMATS if item.recognises(head, text)), None)
    return by_content or next((item for item in FORMATS if suffix in item.suffixes), None)


def is_foreign(path: Path) -> bool:
    """Whether it may hold records, of a kind that is not read."""
    return path.suffix.lower() in _FOREIGN


def unknown(path: Path) -> DataError:
    """What was found, what is read, and how to convert."""
    head = bytes_of(path, 40)
    begins = f"begins with {head!r}" if b"\0" in head else f"begins with '{decoded(head).partition(chr(10))[0][:40]}'"
    way = _FOREIGN.get(path.suffix.lower(), "write times in s and accelerations as two columns of text")
    return DataError(
        f"{path}: unknown kind of file, {begins}",
        expected=", ".join(item.name for item in FORMATS),
        fix=_BY_OBSPY.format(path.name, path.stem) if way == "obspy" else way,
    )
