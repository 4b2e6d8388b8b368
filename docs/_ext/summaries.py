"""The words of <summary>, which are raw HTML that gettext does not see, in other languages."""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

__all__ = ["setup"]

SUMMARIES = {
    "zh_CN": {
        "Answer": "答案",
        "Answers": "答案",
        "Answers to the questions": "各题的答案",
        "Hint": "提示",
    }
}


class Summaries(SphinxPostTransform):
    """Translates what a reader clicks on to see an answer."""

    default_priority = 400  # after the pages are read, before they are written

    def run(self, **_: Any) -> None:
        """Put the words of the language in the place of the English ones."""
        for english, word in SUMMARIES.get(self.config.language, {}).items():
            for node in self.document.findall(nodes.raw):
                before = node.astext()
                after = before.replace(
                    f"<summary>{english}</summary>", f"<summary>{word}</summary>"
                )
                if after != before:
                    node.children = [nodes.Text(after)]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register it."""
    app.add_post_transform(Summaries)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
