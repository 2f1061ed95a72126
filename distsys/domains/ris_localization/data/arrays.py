"""Named arrays of a file: NumPy's .npz and .npy, MATLAB's .mat of any version, HDF5."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from distsys.errors import DataError

_NUMPY, _ZIP, _MATLAB, _MATLAB_7_3, _HDF = b"\x93NUMPY", b"PK", b"MATLAB 5.0", b"MATLAB 7.3", b"\x89HDF"
_ALONE, _COVARIANCE = "snapshots", "covariance"
"""What the only array of complex numbers is, whatever MATLAB or HDF5 calls it, unless it says the other."""


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays in ``path`` by name; of MATLAB and HDF5 a single one of complex numbers is called ``snapshots``.

    Raises:
        DataError: it is of no such kind, or damaged.
    """
    try:
        with path.open("rb") as stream:
            begin = stream.read(16)
        found = _read(path, begin)
    except (
        OSError,
        EOFError,
        ValueError,
        zipfile.BadZipFile,
        zlib.error,
        AttributeError,
        TypeError,
        KeyError,
    ) as error:
        raise DataError(
            f"{path}: cannot be read ({error})",
            expected="an .npz, .npy, .mat or .h5 file with 'snapshots' [scenes, channels, snapshots]",
            fix="write it with numpy.savez",
        ) from error
    name, value = next(iter(found.items()), ("", np.zeros(0)))
    is_alone = len(found) == 1 and np.iscomplexobj(value) and not begin.startswith(_ZIP)
    return {_ALONE: value} if is_alone and name != _COVARIANCE else found


def _read(path: Path, begin: bytes) -> dict[str, np.ndarray]:
    if begin.startswith(_NUMPY):
        return {_ALONE: np.load(path, allow_pickle=False)}
    if begin.startswith(_ZIP):
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    if begin.startswith(_MATLAB):
        import scipy.io

        content = scipy.io.loadmat(path)
        return {name: _plain(name, value) for name, value in content.items() if not name.startswith("__")}
    if begin.startswith((_MATLAB_7_3, _HDF)):
        return _hdf(path, is_matlab=begin.startswith(_MATLAB_7_3))
    raise ValueError("it begins as none of them does")


def _hdf(path: Path, *, is_matlab: bool) -> dict[str, np.ndarray]:
    """MATLAB's arrays stand there with their axes in reverse, and complex numbers as pairs with names."""
    import h5py

    with h5py.File(path) as file:
        arrays = {name: item[()] for name, item in file.items() if isinstance(item, h5py.Dataset)}
    found: dict[str, np.ndarray] = {}
    for name, value in arrays.items():
        array: Any = np.asarray(value)
        if array.dtype.names == ("real", "imag"):
            array = array["real"] + 1j * array["imag"]
        found[name] = _plain(name, array.T if is_matlab else array)
    return found


def _plain(name: str, value: np.ndarray) -> np.ndarray:
    """Counts as whole numbers on one axis: MATLAB has matrices of doubles alone."""
    if not name.startswith("num_") or np.issubdtype(value.dtype, np.complexfloating):
        return value
    flat = np.ravel(value)
    is_whole = np.issubdtype(flat.dtype, np.floating) and bool((flat == np.round(flat)).all())
    return flat.astype(np.int64) if is_whole else flat
