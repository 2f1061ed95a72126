"""What a package that registers a domain gets wrong first is told by name, without a traceback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.outside import CODE, CONFIG, importable, register

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def faulty(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A config of the domain ``faulty``, which is the sine with one text replaced by another."""
    before, after = request.param
    name = f"faulty_{abs(hash(request.param))}"
    (tmp_path / name).mkdir()
    code = CODE.replace('name = "sine"', 'name = "faulty"')
    assert before in code
    (tmp_path / name / "__init__.py").write_text(code.replace(before, after))
    register(tmp_path, name, {"faulty": f"{name}:Sine"})
    path = tmp_path / "faulty.yaml"
    path.write_text(CONFIG.replace("domain: sine", "domain: faulty"))
    with importable(tmp_path):
        yield path


@pytest.mark.parametrize(
    ("faulty", "expected"),
    [
        (("def figures(", "def figure("), "it has no figures"),
        (("    fields = (", "    fiels = ("), "it has no fields"),
        (('name = "faulty"', 'name = "other"'), "it calls itself 'other'"),
        (('TermSpec("size"', 'TermSpec("mse"'), "its terms are empty or share a name"),
        (("    model: Model = Model()", "    net: Model = Model()"), "not exactly 'data' and 'model'"),
        (("import json\n", "import jsonn\n"), "cannot be loaded: ModuleNotFoundError: No module named 'jsonn'"),
        (("class Sine:", "class Cosine:"), "cannot be loaded: AttributeError"),
    ],
    indirect=["faulty"],
)
def test_a_faulty_registration_is_told(distsys: Call, faulty: Path, expected: str) -> None:
    code, _, err = distsys("config", str(faulty), "--space", "{outside}/space.yaml")
    assert code == 2
    assert "domain 'faulty' (" in err
    assert expected in err
