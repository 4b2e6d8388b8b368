"""The house as docs/architecture.md draws it, and as the imports of its files make it.

    .venv/bin/python tests/support/house.py

This writes the arrows of the flowchart on that page. An import that others imply is left out.
"""

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "minifw"
PAGE = ROOT / "docs" / "architecture.md"

# Not drawn: the public names, which import everything; and a room that is about to go, for the
# recording of a step takes its place.
NOT_DRAWN = frozenset({"__init__"})

Arrows = frozenset[tuple[str, str]]


@cache
def sources() -> dict[str, Path]:
    """Return the files of the package by module name; the names of a folder are in `__init__`."""
    paths = sorted(PACKAGE.rglob("*.py"))
    return {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in paths}


@cache
def tree(module: str) -> ast.Module:
    """Return the source of a file, parsed."""
    return ast.parse(sources()[module].read_text(encoding="utf-8"))


@cache
def imports() -> dict[str, frozenset[tuple[str, str]]]:
    """Return what every file imports of the package: modules, each with the name taken from it."""
    return {module: frozenset(_imported(tree(module))) for module in sources()}


def _imported(file: ast.Module) -> set[tuple[str, str]]:
    found = set()
    for node in ast.walk(file):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.startswith("minifw")]
            found |= {(_file(name.removeprefix("minifw").removeprefix(".")), "") for name in names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("minifw"):
            base = (node.module or "").removeprefix("minifw").removeprefix(".")
            for alias in node.names:
                deeper = f"{base}.{alias.name}".removeprefix(".")
                if {deeper, f"{deeper}.__init__"} & set(sources()):
                    found.add((_file(deeper), ""))
                else:
                    found.add((_file(base), alias.name))
    return found


def _file(module: str) -> str:
    return module if module in sources() else f"{module}.__init__".removeprefix(".")


def room_of(module: str) -> str:
    """Return the room in which a file lies: a file or a folder of minifw/."""
    return module.partition(".")[0]


@cache
def floors() -> tuple[tuple[str, ...], ...]:
    """Return the floors of the picture, the top one first, each with its rooms."""
    found = re.findall(r"^ *subgraph .*?\n(.*?)^ *end$", drawing(), re.MULTILINE | re.DOTALL)
    return tuple(tuple(floor.split()) for floor in found)


@cache
def drawn_arrows() -> Arrows:
    """Return the arrows of the picture, from the upper room to the lower."""
    lines = re.findall(r"^ *(\w+) --> (.+)$", drawing(), re.MULTILINE)
    return frozenset((upper, lower) for upper, text in lines for lower in text.split(" & "))


def drawing() -> str:
    """Return the text of the flowchart."""
    return PAGE.read_text(encoding="utf-8").split("```mermaid\n", 1)[1].split("```", 1)[0]


@cache
def real_arrows() -> Arrows:
    """Return the imports between rooms, without those that others imply."""
    rooms = {room_of(module) for module in sources()} - NOT_DRAWN
    below: dict[str, set[str]] = {room: set() for room in rooms}
    for module, found in imports().items():
        if room_of(module) in rooms:
            below[room_of(module)] |= {room_of(target) for target, _ in found} & rooms
    for room in rooms:
        below[room].discard(room)

    def reached(room: str) -> set[str]:
        return below[room].union(*(reached(other) for other in below[room]))

    return frozenset(
        (room, other)
        for room in rooms
        for other in below[room]
        if not any(other in reached(between) for between in below[room] - {other})
    )


def write_arrows() -> None:
    """Write the arrows of the flowchart."""
    old = drawing()
    below: dict[str, list[str]] = {}
    for room, other in sorted(real_arrows()):
        below.setdefault(room, []).append(other)
    lines = [
        f"    {room} --> {' & '.join(below[room])}"
        for floor in floors()
        for room in floor
        if room in below
    ]
    boxes = old[: old.rindex("    end\n")] + "    end\n"
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(page.replace(old, boxes + "\n".join(lines) + "\n"), encoding="utf-8")


if __name__ == "__main__":
    write_arrows()
