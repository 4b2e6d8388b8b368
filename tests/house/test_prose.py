"""The words of the pages and of the public docstrings: proselint's checks, and our own list."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from house import PAGE, ROOT, room_of, sources, tree
from proselint.checks import __register__
from proselint.config import DEFAULT
from proselint.registry import CheckRegistry
from proselint.tools import LintFile

# Checks of proselint that do not suit these pages.
UNFIT = {
    "dates_times",  # A-B is a difference here
    "lexical_illusions",  # k k is a product, 1 1 1 a row of numbers
    "needless_variants",  # "saliency" is the word of the field
    "typography",  # straight quotes, 8 x 8, three dots, and "resume" is a verb
}

# What we write in another way, and how. CONTRIBUTING.md has the rules behind it.
WORDS = {
    r"\b(that|those) of\b": "name the thing again, or use 's",
    r"\bthose (that|who|which)\b": "name the thing",
    r"\bof one's own\b": "your own",
    r"\banew\b": "again",
    r"\btold apart\b": "distinguished, separated",
    r"\bwhat it is\b": "name it",
    r"[,;] so that\b": "so (a consequence), or 'so that' without the comma (a purpose)",
    r"[,;] for (he|it|nobody|nothing|that|there|these|they|this|those|what|who)\b": "because",
    r"\bby itself\b": "automatically, on its own, alone",
    r"\b(?!there)\w+ is no (?!longer|more)\w+": "is not a",
    r"\b(shall|whoever|whose turn|had better|be it)\b": "plain words",
}
METAPHORS = {r"\b(doors?|the house|rooms?)\b": "of docs/architecture.md; interop, the package"}

NOT_READ = {"README.zh.md"}  # Chinese


def pages() -> Iterator[Path]:
    """Return the pages that are held: all but what a build of the site makes."""
    made = {"_build", "_static", "gallery", "generated"}
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    for path in sorted(found):
        name = path.relative_to(ROOT).as_posix()
        if not made & set(path.parts) and name not in NOT_READ:
            yield path


def prose(text: str) -> str:
    """Return a text without code, formulas, comments and addresses, line by line."""
    code = r"^ *```.*?^ *```$|^ *>>>.*?(?=\n\s*\n|\Z)|``.*?``|`[^`]*`"
    other = r"\$\$.*?\$\$|\$[^$\n]*\$|<!--.*?-->|https?://\S+"
    pattern = re.compile(f"{code}|{other}", re.DOTALL | re.MULTILINE)
    return pattern.sub(lambda found: "X" + "\n" * found[0].count("\n"), text)


def docstrings(module: str) -> str:
    """Return the docstrings of a file and its public classes and functions, each at its line."""

    def walk(node: ast.AST) -> Iterator[tuple[int, str]]:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            text = ast.get_docstring(node, clean=False)
            if text:
                yield node.body[0].lineno, text
            for child in node.body:
                if not getattr(child, "name", "").startswith("_"):
                    yield from walk(child)

    page = ""
    for line, text in walk(tree(module)):
        page += "\n" * (line - 1 - page.count("\n")) + text
    return page


def faults(name: str, text: str, words: dict[str, str]) -> Iterator[str]:
    """Return what is found in a text."""
    for pattern, better in words.items():
        for found in re.finditer(pattern.replace(" ", r"\s+"), text, re.IGNORECASE):
            line, said = 1 + text.count("\n", 0, found.start()), " ".join(found[0].split())
            yield f"{name}:{line}: {said!r}: {better}"
    registry = CheckRegistry()
    if not registry.checks:
        registry.register_many(__register__)
    checks = {key: value and key not in UNFIT for key, value in DEFAULT["checks"].items()}
    for result in LintFile(name, text).lint({**DEFAULT, "checks": checks}):
        yield f"{name}:{result.pos[0]}: {result.check_result.message}"


@pytest.mark.parametrize("path", [*pages()], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_page_is_in_plain_words(path: Path) -> None:
    words = WORDS if path == PAGE else WORDS | METAPHORS
    text = prose(path.read_text("utf-8"))
    assert "\n".join(faults(path.relative_to(ROOT).as_posix(), text, words)) == ""


@pytest.mark.parametrize("room", sorted({room_of(module) for module in sources()}))
def test_docstrings_are_in_plain_words(room: str) -> None:
    found = [
        fault
        for module, path in sources().items()
        if room_of(module) == room
        for fault in faults(
            path.relative_to(ROOT).as_posix(), prose(docstrings(module)), WORDS | METAPHORS
        )
    ]
    assert "\n".join(found) == ""


def test_what_is_wrong_is_found() -> None:
    text = "It is right, so that\nthe name of `one's own` is no riddle.\n\nThis is very good."
    found = list(faults("page", prose(text), WORDS))
    assert [line.split(":")[1] for line in found] == ["1", "2", "4"], found
