"""The packages load a file when one of its names is first used."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import minifw

ROOT = Path(__file__).parents[1]
PACKAGES = ["minifw", "minifw.layers", "minifw.losses", "minifw.optimizers", "minifw.plots"]


def loaded(code: str) -> set[str]:
    """Return which modules of minifw a fresh interpreter has after running the code."""
    show = "import sys; print(*(name for name in sys.modules if name.startswith('minifw.')))"
    result = subprocess.run(
        [sys.executable, "-c", f"{code}\n{show}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(result.stdout.split())


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_is_there_and_listed(package: str) -> None:
    module = importlib.import_module(package)
    for name in module.__all__:
        assert getattr(module, name) is not None
    assert set(module.__all__) <= set(dir(module))
    assert len(module.__all__) == len(set(module.__all__))


@pytest.mark.parametrize("package", PACKAGES)
def test_the_table_says_what_the_types_say(package: str) -> None:
    """The names in the table are those that the star imports beside it give to mypy."""
    module = importlib.import_module(package)
    typed: set[str] = set()
    for node in ast.walk(ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("minifw"):
            names = {alias.asname for alias in node.names if alias.asname}
            if node.names[0].name == "*":
                names = set(importlib.import_module(str(node.module)).__all__)
            typed |= names
    assert typed == set(module.__all__) - {"__version__"}


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'minifw' has no attribute 'Dens'"):
        _ = minifw.Dens  # type: ignore[attr-defined]


def test_import_loads_no_file_before_it_is_used() -> None:
    packages = {"minifw._core", "minifw.layers", "minifw.losses", "minifw.optimizers"}
    assert loaded("import minifw") == {*packages, "minifw._core.lazy"}


def test_the_notes_network_loads_no_convolution() -> None:
    code = "from minifw import BCELoss, Dense, Objective, SGD, Sequential, Sigmoid, Tanh"
    assert {"minifw.layers._dense", "minifw.objective"} <= loaded(code)
    assert "minifw.layers._convolution" not in loaded(code)


def test_files_are_attributes() -> None:
    assert "minifw.datasets" in loaded("import minifw; minifw.datasets.planar_flower")
    assert "minifw.testing" in loaded("import minifw; minifw.testing.check_layer")
