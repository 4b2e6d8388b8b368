"""Those of the house's rules that can be checked by reading the source."""

import ast
import io
import tokenize
from functools import cache

from house import NOT_DRAWN, imports, room_of, sources, tree

LINES = 300  # of code: docstrings, comments and blank lines are not counted

# What does not keep a rule yet. An entry goes when its room is rebuilt.
LONG = {
    "interop.mpi",
    "training._trainer",
}
WARNING: set[str] = set()
# This reads the name of a class's module, but not to tell one class from another.
MODULE_NAMES = {
    "storage._classes",  # a file says which class it holds
    "interop.torch._source",  # the source imports an author's module
}
CLASSES: set[str] = set()


def files() -> list[str]:
    return [module for module in sources() if room_of(module) not in NOT_DRAWN]


def held(found: set[str], allowed: set[str]) -> None:
    """Raise unless the files that break a rule are those that may."""
    assert found - allowed == set(), "these do not keep the rule"
    assert allowed - found == set(), "these do: take them off the list"


@cache
def nodes(module: str) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(tree(module)))


def asks_type(node: ast.AST) -> bool:
    """Return whether ``type(x)`` is compared with something."""
    return isinstance(node, ast.Compare) and any(
        isinstance(part, ast.Call) and isinstance(part.func, ast.Name) and part.func.id == "type"
        for part in (node.left, *node.comparators)
    )


def code_lines(module: str) -> int:
    """Return how many lines hold code."""
    words: set[int] = set()  # lines of docstrings
    for node in nodes(module):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            words |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    silent = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    lines: set[int] = set()
    text = sources()[module].read_text(encoding="utf-8")
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in silent | {tokenize.ENDMARKER}:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return len(lines - words)


def names_in(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def test_a_file_is_one_story() -> None:
    held({module for module in files() if code_lines(module) > LINES}, LONG)


def test_a_folder_only_lists_names() -> None:
    """Its `__init__` has imports and `__all__`; a door asks first for what it needs."""
    for module in files():
        if module.endswith(".__init__"):
            for node in tree(module).body:
                lists = isinstance(node, ast.Import | ast.ImportFrom | ast.Try | ast.With)
                named = ast.unparse(node).startswith("__all__")
                assert lists or named or isinstance(node, ast.Expr), module


def test_nobody_asks_for_a_class_by_type() -> None:
    """`type(x) is Dense`: what others must know of a class, the class declares."""
    families = {"core", "layers", "losses", "metrics", "optimizers", "schedules"}
    found = set()
    for module in files():
        known = {name for target, name in imports()[module] if room_of(target) in families}
        for node in nodes(module):
            if asks_type(node) and known & {
                n.id for n in ast.walk(node) if isinstance(n, ast.Name)
            }:
                found.add(module)
    held(found, CLASSES)


def test_nobody_tests_the_name_of_a_module() -> None:
    found = {
        module
        for module in files()
        for node in nodes(module)
        if isinstance(node, ast.Attribute | ast.Constant)
        and "__module__" in (getattr(node, "attr", ""), getattr(node, "value", ""))
    }
    held(found, MODULE_NAMES)


def test_warnings_name_the_line_of_the_user() -> None:
    """By `_tools.warn`, and no second way."""
    found = {
        module
        for module in files()
        for node in nodes(module)
        if isinstance(node, ast.Attribute) and node.attr == "warn"
    }
    held(found - {"_tools.warn"}, WARNING)


def test_no_assert_on_user_input() -> None:
    held({m for m in files() for node in nodes(m) if isinstance(node, ast.Assert)}, set())


def test_global_random_state_is_not_used() -> None:
    """But by the kit, which finds a layer that draws from it, and leaves it as it was."""
    for module in {*files()} - {"testing._report", "testing._state"}:
        for node in nodes(module):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "np.random":
                assert node.attr in {"Generator", "RandomState", "default_rng"}, module
