"""What is right on GitHub and in a doctest, made right in the site.

Links to scripts lead to their gallery pages; the empty line that ends a doctest is left out; no
line ends between a number and its per cent sign.
"""

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

__all__ = ["setup", "translated"]

# Pages of the source that are elsewhere in the site.
MOVED = {"README.md": "/index.md", "CHANGELOG.md": "/changelog.md"}
_SCRIPT = re.compile(r"\]\((?:\.\./)+examples/(\w+)\.py(?:#[^)]*)?\)")
_WIDE = re.compile(r"^-{100,}$", re.MULTILINE)  # a rule of a printed table
_PER_CENT = re.compile(r"(?<=\d) (?=%)")
_NO_PROSE = {"doctest_block", "literal", "literal_block", "math", "math_block", "raw"}
_MOVED = re.compile(r"\]\((?:\.\./)+(README\.md|CHANGELOG\.md)(?:#[^)]*)?\)")


def translated(text: str) -> str:
    """Return a page of Markdown with its links into the site.

    Examples
    --------
    >>> translated("[moons](../examples/moons.py), the [README](../../README.md#training)")
    '[moons](/gallery/moons.rst), the [README](/index.md)'
    """
    text = _SCRIPT.sub(r"](/gallery/\1.rst)", text)
    return _MOVED.sub(lambda found: f"]({MOVED[found[1]]})", text)


def translate_source(app: "Sphinx", name: str, content: list[str]) -> None:
    """Change what Sphinx has read, and not the file."""
    if app.env.doc2path(name).suffix == ".md":
        content[0] = translated(content[0])


def trim_sessions(app: "Sphinx", doctree: Any) -> None:
    """Take away the empty line before the closing fence of a session, and mark wide tables."""
    del app
    for block in doctree.findall(lambda node: node.tagname == "literal_block"):
        if _WIDE.search(block.astext()):
            block["classes"].append("wide")
        text = block.rawsource.rstrip()
        if block.astext() == block.rawsource and text.startswith(">>>"):
            block.rawsource = text
            block[:] = [type(block[0])(text)]


def unbroken(text: str) -> str:
    r"""Return prose with spaces before its per cent signs that do not break.

    Examples
    --------
    >>> unbroken("98 % of the digits")
    '98\xa0% of the digits'
    """
    return _PER_CENT.sub("\u00a0", text)


def keep_per_cents(app: "Sphinx", doctree: Any, page: str) -> None:
    """Put spaces that do not break into the prose."""
    del app, page
    for text in list(doctree.findall(lambda node: node.tagname == "#text")):
        if _PER_CENT.search(text) and text.parent.tagname not in _NO_PROSE:
            text.parent.replace(text, type(text)(unbroken(text)))


def setup(app: "Sphinx") -> dict[str, bool]:
    """Tell Sphinx."""
    app.connect("source-read", translate_source)
    app.connect("doctree-read", trim_sessions)
    app.connect("doctree-resolved", keep_per_cents)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
