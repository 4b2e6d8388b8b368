"""What stands on the page of a name in the reference beside its docstring.

The public classes that a class comes from, and the examples and pages that use the name: their
code is read, not their words.
"""

import ast
import doctest
import importlib
import re
import sys
from abc import ABC
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

__all__ = ["code_of", "names_in", "public_bases", "reference_context", "setup", "used_in"]

PACKAGE = "minifw"
AT_MOST = 8  # pages, and as many examples: those that use the name most often
# Pages that list everything, or that tell of old code.
LISTS = ("benchmarks", "catalogue", "changelog", "changes-0.2", "comparison", "errors")
_LISTED = re.compile(r"^   ~?(minifw(?:\.\w+)+)$", re.MULTILINE)  # by autosummary
_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def code_of(page: str) -> str:
    r"""Return the Python of a Markdown page.

    Examples
    --------
    >>> print(code_of("A\n```python\n>>> f(1)\n1\n```\n```sh\nls\n```\n```python\ng(2)\n```\n"))
    f(1)
    <BLANKLINE>
    g(2)
    <BLANKLINE>
    """
    pieces = []
    for language, block in _FENCE.findall(page):
        text = block
        if ">>>" in block:
            text = "".join(e.source for e in doctest.DocTestParser().get_examples(block))
        elif language != "python":
            continue
        try:
            ast.parse(text)
        except SyntaxError:  # a fragment
            continue
        pieces.append(text)
    return "\n".join(pieces)


def names_in(code: str) -> Iterator[str]:
    """Yield the full name of whatever the code takes from the package, as often as it does.

    Examples
    --------
    >>> code = "import minifw as fw; from minifw import Dense, plots; Dense(2, plots.network)"
    >>> sorted(names_in(code + "; fw.Tanh()"))
    ['minifw', 'minifw.Dense', 'minifw.Tanh', 'minifw.plots', 'minifw.plots.network']
    """
    tree = ast.parse(code)
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for one in node.names:
                known[one.asname or PACKAGE] = one.name if one.asname else PACKAGE
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE):
            known |= {
                name.asname or name.name: f"{node.module}.{name.name}" for name in node.names
            }

    def full(node: ast.AST) -> str | None:
        if isinstance(node, ast.Name):
            return known.get(node.id)
        if isinstance(node, ast.Attribute):
            owner = full(node.value)
            return f"{owner}.{node.attr}" if owner else None
        return None

    for node in ast.walk(tree):
        name = full(node)
        if name and name.startswith(PACKAGE):
            yield name


def value_of(name: str) -> Any:
    """Return what a full name stands for, or None."""
    owner, _, last = name.rpartition(".")
    if not owner:
        return importlib.import_module(name)
    try:
        return getattr(importlib.import_module(owner), last, None)
    except ImportError:  # an attribute of a class, or of an extra that is not installed
        return None


def used_in(docs: Path) -> dict[int, dict[str, Counter[str]]]:
    """Return, by the identity of what is used, how often each example and page uses it."""
    sources = {
        "examples": {
            f"/gallery/{path.stem}": path.read_text(encoding="utf-8")
            for path in sorted((docs.parent / "examples").glob("*.py"))
        },
        "pages": {
            f"/{path.relative_to(docs).with_suffix('').as_posix()}": code_of(
                path.read_text(encoding="utf-8")
            )
            for path in sorted([*docs.glob("*.md"), *docs.glob("[!_]*/*.md")])
            if path.stem not in LISTS and path.parent.name != "gallery"
        },
    }
    uses: dict[int, dict[str, Counter[str]]] = {}
    for kind, texts in sources.items():
        for page, code in texts.items():
            for name in names_in(code):
                value = value_of(name)
                if callable(value):
                    kinds = uses.setdefault(id(value), {})
                    kinds.setdefault(kind, Counter())[page] += 1
    return uses


def is_public(found: type) -> bool:
    """Return whether a user can import a class: a package at or above its file has it in __all__.

    Examples
    --------
    >>> import minifw
    >>> is_public(minifw.Layer), is_public(minifw.LSTM.__bases__[0]), is_public(ValueError)
    (True, False, True)
    """
    if not found.__module__.startswith(PACKAGE):
        return found not in {object, ABC}
    parts = found.__module__.split(".")
    above = (sys.modules[".".join(parts[: end + 1])] for end in range(len(parts)))
    public = [module for module in above if hasattr(module, "__path__")]
    return any(found.__name__ in getattr(module, "__all__", ()) for module in public)


def public_bases(found: type) -> list[type]:
    """Return what a class comes from: for a private base, what that one comes from.

    Examples
    --------
    >>> import minifw
    >>> public_bases(minifw.LSTM), public_bases(minifw.Layer)
    ([<class 'minifw.core.layer.Layer'>], [])
    """
    bases: list[type] = []
    for base in found.__bases__:
        shown = [base] if is_public(base) else public_bases(base)
        bases += [one for one in shown if one not in bases]
    # One that another comes from, too, is said by that one.
    return [one for one in bases if not any(b is not one and issubclass(b, one) for b in bases)]


def reference_context(docs: Path) -> dict[str, Any]:
    """Return what the templates of autosummary look up by the full name of a page."""
    pages = (path.read_text(encoding="utf-8") for path in (docs / "reference").glob("*.md"))
    names = [name for page in pages for name in _LISTED.findall(page)]
    uses = used_in(docs)
    return {
        "derived": [name for name in names if has_bases(value_of(name))],
        "used": {
            name: {
                kind: sorted(page for page, _ in counts.most_common(AT_MOST))
                for kind, counts in uses[id(value_of(name))].items()
            }
            for name in names
            if id(value_of(name)) in uses
        },
    }


def has_bases(value: Any) -> bool:
    """Return whether it is a class that comes from a public one."""
    return isinstance(value, type) and bool(public_bases(value))


def hide_private(*event: Any) -> None:
    """Put public classes in the place of private ones, for "Bases"."""
    _, _, found, _, bases = event
    bases[:] = public_bases(found)


def setup(app: "Sphinx") -> dict[str, bool]:
    """Tell Sphinx."""
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-bases", hide_private)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
