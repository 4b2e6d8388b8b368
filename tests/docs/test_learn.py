"""The learner's path: what its pages say of the source, and its pictures."""

import re
import runpy
from pathlib import Path

import pytest

import minifw

DOCS = Path(__file__).parents[2] / "docs"
PACKAGE = DOCS.parent / "minifw"


def rows_of_lines() -> list[tuple[list[str], list[str], list[str]]]:
    """Return classes, methods and files of the table of docs/notes.md."""
    page = (DOCS / "notes.md").read_text(encoding="utf-8")
    table = page.split("### Every line, beside its class", 1)[1].split("\n## ", 1)[0]
    rows = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("| ")][1:]
    quoted = [[re.findall(r"`(\w[\w/.]*)", cell) for cell in row[1:]] for row in rows]
    return [(classes, methods, files) for classes, methods, files in quoted]


@pytest.mark.parametrize(("classes", "methods", "files"), rows_of_lines())
def test_every_line_of_the_notes_stands_where_the_table_says(
    classes: list[str], methods: list[str], files: list[str]
) -> None:
    assert classes
    for name in classes:
        for method in methods:
            assert hasattr(getattr(minifw, name), method)
    text = "".join((PACKAGE / file).read_text(encoding="utf-8") for file in files)
    for method in methods:
        assert f"def {method}(" in text


@pytest.mark.parametrize("path", sorted((DOCS / "learn").glob("*.md")), ids=lambda p: p.stem)
def test_a_cell_that_is_run_twice_does_not_stack_classes(path: Path) -> None:
    assert not re.search(r"class (\w+)\(\1\)", path.read_text(encoding="utf-8"))


def test_a_table_was_found() -> None:
    assert len(rows_of_lines()) > 10


def test_pictures_of_the_path() -> None:
    pytest.importorskip("matplotlib")
    draw = runpy.run_path(str(DOCS / "images" / "make.py"))["PICTURES"]
    paths = [DOCS / "notes.md", *(DOCS / "learn").glob("*.md")]
    pages = "".join(page.read_text(encoding="utf-8") for page in paths)
    shown = set(re.findall(r"\]\((?:\.\./)?images/(\w+)\.png\)", pages))
    assert shown == set(draw) | {"optimizers"}  # that one is drawn by examples/optimizers.py
    for name in shown:
        assert (DOCS / "images" / f"{name}.png").is_file()
    for function in draw.values():
        figure = function()
        figure.canvas.draw()  # so that its formulas are read
        assert figure.axes
