"""The picture of the house against the real imports, and the imports against its order."""

import re
import subprocess
import sys

from house import (
    NOT_DRAWN,
    PAGE,
    ROOT,
    drawn_arrows,
    floors,
    imports,
    real_arrows,
    room_of,
    sources,
)

# A private file or name of another room that is imported all the same, and why. `_tools` and
# `_engine` are there for all rooms.
PRIVATE = {
    # The team, and the check of callbacks, will be public files of training.
    ("interop", "training._hooks"),
    ("interop", "training._team"),
    # Doors that write files: they will ask storage by public names.
    ("interop", "storage._archive"),
    ("interop", "storage._arguments"),
    ("interop", "storage._atomic"),
    ("interop", "storage._classes"),
    ("interop", "storage._safetensors"),
    ("interop", "storage._text"),
    # The exported operator has to place the windows, and the constants, as the layer does.
    ("interop", "layers._special"),
    ("interop", "layers._windows"),
}


def test_the_picture_shows_the_imports() -> None:
    """Neither more nor less: an arrow for each import that no others imply."""
    assert drawn_arrows() == real_arrows(), "run python tests/support/house.py"


def test_every_room_is_on_a_floor_and_in_the_table() -> None:
    rooms = [room for floor in floors() for room in floor]
    real = {room_of(module) for module in sources()} - NOT_DRAWN
    assert sorted(rooms) == sorted(real)
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(room for room, _ in rows) == sorted(real)
    files = {module.rpartition(".")[2] for module in sources()} | {"sklearn", "onnx", "torch"}
    for room, text in rows:
        named = set(re.findall(r"`(_?[a-z]\w*)`", text))
        assert named <= files, f"{room}: there is no file {named - files}"


def test_imports_point_downwards() -> None:
    height = {room: -floor for floor, rooms in enumerate(floors()) for room in rooms}
    for module, found in imports().items():
        upper = room_of(module)
        for target in {target for target, _ in found}:
            lower = room_of(target)
            if lower != upper and not {upper, lower} & NOT_DRAWN:
                assert height[lower] < height[upper], f"{module} imports {target}, no lower floor"


def test_no_cycles_between_files() -> None:
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, f"a cycle: {' -> '.join((*path, module))}"
        if module not in done:
            for target in {target for target, _ in imports()[module]}:
                visit(target, (*path, module))
        done.add(module)

    for module in sources():
        visit(module, ())


def test_the_core_is_read_in_order() -> None:
    """A file of the core imports only those before it in the list of docs/architecture.md."""
    page = PAGE.read_text(encoding="utf-8")
    read = page.split("To read the core in one sitting", 1)[1].split("\n\n", 2)[1]
    order = [path.replace("/", ".") for path in re.findall(r"`([\w/]+)\.py`", read)]
    assert set(order) <= set(sources())
    core = [module for module in order if room_of(module) == "core"]
    assert {*core, "core.__init__"} == {m for m in sources() if room_of(m) == "core"}
    for place, module in enumerate(core):
        found = {target for target, _ in imports()[module] if room_of(target) == "core"}
        assert found <= set(core[:place]), module


def test_a_room_leaves_the_privates_of_another_alone() -> None:
    found = set()
    for module, targets in imports().items():
        for target, name in targets:
            upper, lower = room_of(module), room_of(target)
            if upper == lower or {upper, lower} & NOT_DRAWN:
                continue
            if name.startswith("_"):
                found.add((upper, f"{target}.{name}"))
            elif re.search(r"\._(?!_)", target) and lower not in {"_engine", "_tools"}:
                found.add((upper, target))
    assert found - PRIVATE == set(), "import a public name"
    assert PRIVATE - found == set(), "no longer so: take it off the list"


def test_import_brings_in_numpy_and_nothing_else() -> None:
    code = (
        "import sys, numpy, numpy.random\n"
        "before = set(sys.modules)\n"
        "from minifw import *\n"  # for minifw alone loads nothing
        "from minifw import testing\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(new - set(sys.stdlib_module_names) - {'minifw', 'numpy'}))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == ""


def test_the_grader_of_exercises_is_used_by_learners_alone() -> None:
    for module, targets in imports().items():
        if room_of(module) != "lessons":
            assert "lessons" not in {room_of(target) for target, _ in targets}, module
