"""The tools that one command runs: types, style, and the layout against its picture."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "minifw"


@pytest.mark.parametrize(
    "command",
    [["mypy", "--strict"], ["ruff", "check"], ["ruff", "format", "--check"]],
    ids=["mypy", "ruff", "format"],
)
def test_tool_is_content(command: list[str]) -> None:
    result = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def picture() -> list[set[str]]:
    """Return the floors of docs/architecture.md, the top one first."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    block = text.split("## The picture", 1)[1].split("```text\n", 1)[1].split("```", 1)[0]
    return [set(line.split()) for line in block.splitlines() if line.strip()]


def imports() -> dict[str, set[str]]:
    """Return what every file of the package imports of the package, by module name."""
    found: dict[str, set[str]] = {}
    files = {".".join(p.relative_to(PACKAGE).with_suffix("").parts): p for p in sources()}
    for name, path in files.items():
        found[name] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("minifw"):
                base = (node.module or "").removeprefix("minifw").removeprefix(".")
                for alias in node.names:
                    deeper = f"{base}.{alias.name}".removeprefix(".")
                    is_file = {deeper, f"{deeper}.__init__"} & set(files)
                    found[name].add(deeper if is_file else base)
            elif isinstance(node, ast.Import):
                found[name] |= {
                    a.name.removeprefix("minifw.") for a in node.names if "minifw" in a.name
                }
    return found


def sources() -> list[Path]:
    return sorted(
        p
        for p in PACKAGE.rglob("*.py")
        if p.parent.name not in {"_tools", "_engine", "core"} or p.stem[0] != "_"
    )


def room_of(module: str, rooms: set[str]) -> str:
    """Return the room that a module stands in: itself, or the folder that the picture names."""
    found = [room for room in rooms if module == room or module.startswith(f"{room}.")]
    assert len(found) == 1, f"{module} is not in the picture of docs/architecture.md"
    return found[0]


def test_imports_point_downwards() -> None:
    floors = picture()
    height = {room: -index for index, floor in enumerate(floors) for room in floor}
    used = set()
    for module, targets in imports().items():
        room = room_of(module, set(height))
        used.add(room)
        for target in targets:
            below = room_of(target, set(height))
            if below != room:
                assert height[below] < height[room], (
                    f"{module} imports {target}, which is no lower"
                )
    assert used == set(height), "the picture shows rooms that are not there"


def test_no_cycles_between_files() -> None:
    graph = imports()
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, f"a cycle: {' -> '.join((*path, module))}"
        if module in done:
            return
        for target in graph.get(module, graph.get(f"{module}.__init__", set())):
            if target != module:
                visit(target, (*path, module))
        done.add(module)

    for module in graph:
        visit(module, ())


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


def test_no_assert_on_user_input() -> None:
    for path in sources():
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        assert not any(isinstance(node, ast.Assert) for node in nodes), path


def test_global_random_state_is_not_used() -> None:
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "np.random":
                assert node.attr in {"Generator", "RandomState", "default_rng"}, path
