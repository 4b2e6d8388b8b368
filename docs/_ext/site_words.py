"""Words that gettext does not see, on the site in another language, and pages that stay English.

A page without a catalogue says so in a line, and the sidebar has its title in the language of the
site. The comments of the learner's code are translated; the code stays the same.
"""

import re
from html import escape
from pathlib import Path
from typing import Any

import chinese
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.locale import init
from sphinx.transforms import SphinxTransform

__all__ = ["setup"]

LANGUAGES = {"zh_CN": chinese}
_CARD = re.compile('(?<="sphx-glr-thumbnail-title">)[^<]+')  # of the gallery
_COMMENT = re.compile(r"(?<= # ).+$", re.MULTILINE)
# As MyST makes it; it is no part of the sentence, and is lost when that is translated.
_CHECKBOX = '<input class="task-list-item-checkbox" type="checkbox">'


class TranslateFormulas(SphinxTransform):  # type: ignore[misc]
    """Translate formulas that have words: of Markdown, Sphinx would leave '::'."""

    default_priority = 19  # before Sphinx translates

    def apply(self, **kwargs: Any) -> None:
        """Change them, and have Sphinx leave them alone."""
        del kwargs
        folders = [self.app.srcdir / folder for folder in self.config.locale_dirs]
        catalog, _ = init(folders, self.config.language, self.env.docname)
        for node in self.document.findall(nodes.math_block):
            node.children = [nodes.Text(catalog.gettext(node.astext()))]
            node["translatable"] = False


def is_translated(app: Sphinx, page: str) -> bool:
    """Return whether there is a catalogue for a page."""
    messages = Path(app.config.language, "LC_MESSAGES", f"{page}.po")
    return any((app.srcdir / folder / messages).exists() for folder in app.config.locale_dirs)


def entitle(app: Sphinx, env: Any) -> None:
    """Change the titles by which other pages know a page."""
    for page, title in LANGUAGES[app.config.language].TITLES.items():
        if page in env.titles and not is_translated(app, page):
            env.titles[page] = nodes.title("", title)
            for link in list(env.tocs[page].findall(nodes.reference))[:1]:
                link.children = [nodes.Text(title)]  # for the sidebar


def translate_html(node: nodes.raw, words: Any) -> None:
    """Put the words into a summary, or a card of the gallery."""
    text = node.astext()
    for english, word in words.SUMMARIES.items():
        text = text.replace(f"<summary>{english}</summary>", f"<summary>{word}</summary>")
    for english, word in words.CARDS.items():
        text = text.replace(f'tooltip="{escape(english)}"', f'tooltip="{word}"')
    if _CARD.search(text):  # after the link that it names
        text = _CARD.sub(node.parent[node.parent.index(node) - 1].astext(), text)
    node.children = [nodes.Text(text)]


def translate(app: Sphinx, doctree: Any, page: str) -> None:
    """Put the words of the language in the place of the English ones."""
    words = LANGUAGES[app.config.language]
    headings = list(doctree.findall(nodes.title))
    if headings and not is_translated(app, page):
        line = nodes.paragraph("", words.ENGLISH_ONLY, classes=["english-only"])
        headings[0].parent.insert(1, line)
    for node in doctree.findall(nodes.raw):
        translate_html(node, words)
    for kind in (nodes.rubric, nodes.field_name):
        for node in doctree.findall(kind):
            if node.astext() in words.HEADINGS:
                node.children = [nodes.Text(words.HEADINGS[node.astext()])]
    for node in doctree.findall(nodes.literal_block):
        text = _COMMENT.sub(lambda found: words.COMMENTS.get(found[0], found[0]), node.astext())
        if node.rawsource == node.astext() != text:
            node.rawsource = text
            node.children = [nodes.Text(text)]


def put_checkboxes(app: Sphinx, doctree: Any, page: str) -> None:
    """Put a box before each item of a list to tick."""
    del app, page
    for item in doctree.findall(nodes.list_item):
        if "task-list-item" in item["classes"] and not any(item.findall(nodes.raw)):
            item[0].insert(0, nodes.raw("", _CHECKBOX, format="html"))


def translate_theme(app: Sphinx) -> None:
    """Change what its templates make of a page."""
    templates: Any = app.builder.templates
    render = templates.render

    def translated(*arguments: Any) -> str:
        page: str = render(*arguments)
        for english, word in LANGUAGES[app.config.language].THEME.items():
            page = page.replace(english, word)
        return page

    templates.render = translated


def connect(app: Sphinx) -> None:
    """Do all this in a language that has words here, where pages are made."""
    if app.config.language in LANGUAGES and app.builder.format == "html":
        app.add_transform(TranslateFormulas)
        app.connect("env-updated", entitle)
        app.connect("doctree-resolved", translate)
        app.connect("doctree-resolved", put_checkboxes)
        translate_theme(app)


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx."""
    app.connect("builder-inited", connect)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
