"""Words that gettext does not see, in other languages.

They are those of <summary>, which is raw HTML, and the headings that numpydoc and the templates
put on the pages of the reference.
"""

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
HEADINGS = {
    "zh_CN": {
        "Attributes": "属性",
        "Examples": "示例",
        "Examples that use it": "用到它的例子",
        "Notes": "说明",
        "Pages that use it": "用到它的页面",
        "Parameters": "参数",
        "Raises": "异常",
        "References": "参考文献",
        "Returns": "返回",
        "See Also": "另请参阅",
        "Warns": "警告",
        "Yields": "产出",
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
    headings = HEADINGS.get(app.config.language, {})
    for kind in (nodes.rubric, nodes.field_name):
        for node in doctree.findall(kind):
            if node.astext() in headings:
                node.children = [nodes.Text(headings[node.astext()])]


def setup(app: Sphinx) -> dict[str, bool]:
    """Translate each page before it is written."""
    app.connect("doctree-resolved", translate)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
