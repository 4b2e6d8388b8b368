"""Formulas by the KaTeX that is shipped in _static/katex: nothing is loaded from a network."""

from typing import Any

from docstring_formulas import RELATIONS, cells, in_sentence, latex
from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.ext.autosummary import autosummary_table

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


class FormulaBlock(nodes.General, nodes.Element):  # type: ignore[misc]
    """The lines of a formula; `rows` has the cells of each."""


class Formulas(Directive):  # type: ignore[misc]
    """What docstring_formulas puts above a formula of a docstring."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the block."""
        lines = [line for line in self.content if line.strip()]
        return [FormulaBlock(rows=cells(lines))]


def visit_formulas(self: Any, node: FormulaBlock) -> None:
    """Write a grid: a cell spans the columns up to the next cell of its line."""
    self.body.append('<div class="formulas">\n')
    for number, row in enumerate(node["rows"], 1):
        ends = [column + 1 for column, _ in row[1:]] + [-1]
        for (column, text), end in zip(row, ends, strict=True):
            place = f"grid-area: {number} / {column + 1} / auto / {end}"
            relation = ' data-relation="true"' if text.startswith(RELATIONS) else ""
            self.body.append(
                f'<span style="{place}"{relation}><span class="math" data-display="false">'
                f"{self.encode(latex(text))}</span></span>\n"
            )
    self.body.append("</div>\n")
    raise nodes.SkipNode


def typeset_sentences(app: Sphinx, doctree: Any) -> None:
    """Set the equations within sentences of docstrings, also where a table shows the first."""
    del app
    for kind in (addnodes.desc_content, autosummary_table):
        for docstring in doctree.findall(kind):
            for sentence in docstring.findall(nodes.paragraph):
                for text in [part for part in sentence if isinstance(part, nodes.Text)]:
                    pieces: list[nodes.Node] = [
                        nodes.Text(p) for p in in_sentence(nodes.unescape(str(text)))
                    ]
                    for at in range(1, len(pieces), 2):
                        formula = latex(" ".join(pieces[at].astext().split()))
                        pieces[at] = nodes.math(formula, formula)
                    sentence.replace(text, pieces)


def add_scripts(app: Sphinx, page: str, template: str, context: object, doctree: Any) -> None:
    """Load KaTeX on the pages that have a formula, and on no others."""
    del template, context
    if page == "search":
        app.add_js_file("search.js")
    kinds = nodes.math, nodes.math_block, FormulaBlock
    if doctree and any(isinstance(node, kinds) for node in doctree.findall()):
        app.add_css_file("katex/katex.min.css")
        app.add_js_file("katex/katex.min.js")
        app.add_js_file("katex/render.js")


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx."""
    app.add_html_math_renderer("katex", (visit_math, None), (visit_math_block, None))
    app.add_node(FormulaBlock, html=(visit_formulas, None))
    app.add_directive("formulas", Formulas)
    app.connect("doctree-read", typeset_sentences)
    app.connect("html-page-context", add_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
