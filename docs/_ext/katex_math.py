"""Formulas by the KaTeX that is shipped in _static/katex: nothing is loaded from a network."""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

__all__ = ["setup"]


def visit_math(self: Any, node: nodes.math) -> None:
    """Write an inline formula; katex/render.js draws it."""
    self.body.append(
        f'<span class="math" data-display="false">{self.encode(node.astext())}</span>'
    )
    raise nodes.SkipNode


def visit_math_block(self: Any, node: nodes.math_block) -> None:
    """Write a formula of its own line, with its number if it has one."""
    latex = node.astext()
    if "\\\\" in latex and "\\begin" not in latex:  # several lines, as Sphinx allows them
        latex = f"\\begin{{aligned}}{latex}\\end{{aligned}}"
    identity = f' id="{node["ids"][0]}"' if node.get("ids") else ""
    if node.get("number"):
        latex += f"\\tag{{{node['number']}}}"
    self.body.append(
        f'<div class="math" data-display="true"{identity}>{self.encode(latex)}</div>\n'
    )
    raise nodes.SkipNode


def add_scripts(app: Sphinx, page: str, template: str, context: object, doctree: Any) -> None:
    """Load KaTeX on the pages that have a formula, and on no others."""
    del page, template, context
    kinds = nodes.math, nodes.math_block
    if doctree and any(isinstance(node, kinds) for node in doctree.findall()):
        app.add_css_file("katex/katex.min.css")
        app.add_js_file("katex/katex.min.js")
        app.add_js_file("katex/render.js")


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx."""
    app.add_html_math_renderer("katex", (visit_math, None), (visit_math_block, None))
    app.connect("html-page-context", add_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
