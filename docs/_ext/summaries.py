"""The words of <summary>, which are raw HTML that gettext does not see, in other languages."""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

__all__ = ["setup"]

SUMMARIES = {
    "zh_CN": {
        "Answer": "答案",
        "Answers": "答案",
        "Answers to the questions": "各题的答案",
        "Hint": "提示",
    }
}


def translate(app: Sphinx, doctree: Any, page: str) -> None:
    """Put the words of the language in the place of the English ones."""
    del page
    for english, word in SUMMARIES.get(app.config.language, {}).items():
        for node in doctree.findall(nodes.raw):
            before = node.astext()
            after = before.replace(f"<summary>{english}</summary>", f"<summary>{word}</summary>")
            if after != before:
                node.children = [nodes.Text(after)]


def setup(app: Sphinx) -> dict[str, bool]:
    """Translate each page before it is written."""
    app.connect("doctree-resolved", translate)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
