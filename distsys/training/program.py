"""Trained models as programs that need no distsys: written, read by a fresh process, and compared with the model."""

from __future__ import annotations

import copy
import importlib.util
import io
import json
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distsys.domains.protocol import Exporting, Program
from distsys.errors import RunFailed, UsageError
from distsys.training.assess import Loaded

ABOUT = "about.json"
"""Name of what a TorchScript file says of itself, among its extra files; in ONNX files a metadata property."""
_OPSET = 17
_PACKAGES = ("onnx", "onnxruntime")
_RUN_TORCHSCRIPT = """
import sys, numpy, torch
program = torch.jit.load(sys.argv[1])
given = numpy.load(sys.argv[2])
found = program(*(torch.from_numpy(given[name]) for name in given.files))
found = found if isinstance(found, tuple) else (found,)
numpy.savez(sys.argv[3], *(item.numpy() for item in found))
"""
_RUN_ONNX = """
import sys, numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
given = numpy.load(sys.argv[2])
numpy.savez(sys.argv[3], *session.run(None, {name: given[name] for name in given.files}))
"""


def export(loaded: Loaded, suffix: str) -> bytes:
    """The model as the content of a file of this suffix, once a process of its own gave the model's output with it.

    Raises:
        UsageError: its domain has no such form, or a package is missing.
        RunFailed: what was written gives something else.
    """
    if not isinstance(loaded.domain, Exporting):
        raise UsageError(f"models of '{loaded.domain.name}' cannot be exported", fix="ask them with 'distsys predict'")
    forms: dict[str, Callable[[Program, str], bytes]] = {".pt": _torchscript, ".onnx": _onnx}
    if suffix not in forms:
        raise UsageError(f"no format '{suffix}'", expected=f"one of {', '.join(forms)}")
    program = loaded.domain.program(copy.deepcopy(loaded.model).cpu().eval().requires_grad_(False))
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns of every shape it reads, and of its age
        content = forms[suffix](program, _about(loaded, program))
        found = _in_a_process(content, suffix, program.check)
        _require_equal(program, found)
    return content


def _about(loaded: Loaded, program: Program) -> str:
    """What the program says of itself: JSON."""
    tensors = {**program.inputs, **dict(zip(program.outputs, _outputs(program, program.inputs), strict=True))}
    told = {name: _axes(name, tensor, program) for name, tensor in tensors.items()}
    content: dict[str, Any] = {
        "domain": loaded.domain.name,
        "step": loaded.source.step,
        "inputs": {name: told[name] for name in program.inputs},
        "outputs": {name: told[name] for name in program.outputs},
        **program.about,
    }
    return json.dumps(content)


def _axes(name: str, tensor: Tensor, program: Program) -> str:
    free = program.free.get(name, {})
    axes = [free.get(axis, str(length)) for axis, length in enumerate(tensor.shape)]
    return f"{str(tensor.dtype).removeprefix('torch.')} [{', '.join(axes)}]"


def _torchscript(program: Program, about: str) -> bytes:
    buffer = io.BytesIO()
    traced = torch.jit.trace(program.module, tuple(program.inputs.values()), check_trace=False)
    torch.jit.save(traced, buffer, _extra_files={ABOUT: about})
    return buffer.getvalue()


def _onnx(program: Program, about: str) -> bytes:
    if program.no_onnx:
        raise UsageError(f"no ONNX form: {program.no_onnx}", fix="-o FILE.pt writes TorchScript")
    if missing := [name for name in _PACKAGES if importlib.util.find_spec(name) is None]:
        raise UsageError(f"ONNX without {' and '.join(missing)}", fix="pip install 'distsys[onnx]'")
    import onnx

    with tempfile.TemporaryDirectory(prefix="distsys-export-") as folder:
        file = Path(folder) / "program.onnx"
        torch.onnx.export(
            program.module,
            tuple(program.inputs.values()),
            file,
            input_names=list(program.inputs),
            output_names=list(program.outputs),
            dynamic_axes={name: dict(axes) for name, axes in program.free.items()},
            opset_version=_OPSET,
            dynamo=False,
        )
        model = onnx.load(file)
    onnx.helper.set_model_props(model, {"about": about})
    return bytes(model.SerializeToString())


def _in_a_process(content: bytes, suffix: str, inputs: Mapping[str, Tensor]) -> list[np.ndarray]:
    """What ``content`` gives in a process that never saw the model."""
    code = _RUN_TORCHSCRIPT if suffix == ".pt" else _RUN_ONNX
    with tempfile.TemporaryDirectory(prefix="distsys-export-") as folder:
        file, given, found = (Path(folder) / name for name in (f"program{suffix}", "given.npz", "found.npz"))
        file.write_bytes(content)
        np.savez(given, **{name: tensor.numpy() for name, tensor in inputs.items()})  # type: ignore[arg-type]
        command = [sys.executable, "-I", "-W", "ignore", "-c", code, str(file), str(given), str(found)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RunFailed(f"the exported program does not run: {done.stderr.strip().splitlines()[-1:]}")
        with np.load(found) as arrays:
            return [arrays[name] for name in arrays.files]


def _outputs(program: Program, inputs: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
    found = program.module(*inputs.values())
    return found if isinstance(found, tuple) else (found,)


def _require_equal(program: Program, found: list[np.ndarray]) -> None:
    for name, wanted, given in zip(program.outputs, _outputs(program, program.check), found, strict=True):
        difference = float(np.abs(wanted.numpy() - given).max() / np.abs(wanted.numpy()).max())
        if not difference <= program.tolerance:
            raise RunFailed(f"'{name}' of what was exported differs from the model's by {difference:.1e} of its peak")
