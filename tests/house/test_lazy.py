"""`import minifw` loads a file when one of its names is first used."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import minifw

ROOT = Path(__file__).parents[2]


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


def test_every_name_is_there_and_listed() -> None:
    module: Any = minifw
    for name in module.__all__:
        assert getattr(module, name) is not None
    assert set(module.__all__) <= set(dir(module))
    assert len(module.__all__) == len(set(module.__all__))


def test_the_table_says_what_the_types_say() -> None:
    """The names in the table are those that the star imports beside it give to mypy."""
    module: Any = minifw
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
    packages = {"minifw._tools"}
    assert loaded("import minifw") == {*packages, "minifw._tools.lazy"}


def test_the_notes_network_loads_no_trainer() -> None:
    code = "from minifw import BCELoss, Dense, Objective, SGD, Sequential, Sigmoid, Tanh"
    assert {"minifw.layers.dense", "minifw.core.objective"} <= loaded(code)
    assert not {"minifw.training", "minifw.storage", "minifw.testing"} & loaded(code)


def test_the_grader_of_exercises_is_loaded_by_those_who_ask() -> None:
    code = "from minifw import *; from minifw import testing"
    assert not {name for name in loaded(code) if name.startswith("minifw.lessons")}


def test_files_are_attributes() -> None:
    assert "minifw.datasets" in loaded("import minifw; minifw.datasets.planar_flower")
    assert "minifw.testing" in loaded("import minifw; minifw.testing.check_layer")
