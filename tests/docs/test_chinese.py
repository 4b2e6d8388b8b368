"""The Chinese pages: complete, and with the code of the English ones."""

import ast
import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from mdit_py_plugins.amsmath import amsmath_plugin
from mdit_py_plugins.colon_fence import colon_fence_plugin
from mdit_py_plugins.deflist import deflist_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.tasklists import tasklists_plugin

ROOT = Path(__file__).parents[2]
LOCALE = ROOT / "docs" / "locale" / "zh_CN" / "LC_MESSAGES"
CATALOGS = sorted(LOCALE.rglob("*.po"))
WORDS = runpy.run_path(str(ROOT / "docs" / "_ext" / "chinese.py"))
MARKDOWN = MarkdownIt("commonmark").enable("table")  # as docs/conf.py tells MyST
for plugin in (
    amsmath_plugin,
    colon_fence_plugin,
    deflist_plugin,
    dollarmath_plugin,
    tasklists_plugin,
):
    MARKDOWN.use(plugin)


def texts(entry: str, keyword: str) -> list[str]:
    """Return what an entry of a .po file says after a keyword, such as msgid."""
    found = re.findall(rf'^{keyword}((?:\s*"(?:[^"\\]|\\.)*"\n?)+)', entry, re.MULTILINE)
    return ["".join(map(ast.literal_eval, text.strip().splitlines())) for text in found]


@pytest.mark.parametrize("path", CATALOGS, ids=lambda path: path.stem)
def test_catalog_is_complete(path: Path) -> None:
    entries = re.split(r"\n\s*\n", path.read_text(encoding="utf-8"))
    messages = [entry for entry in entries if any(texts(entry, "msgid"))]
    assert messages, "there is nothing in it"
    for entry in messages:
        assert not re.search(r"^#,.*\bfuzzy\b", entry, re.MULTILINE), f"fuzzy: {entry}"
        assert all(texts(entry, "msgstr")), f"not translated: {entry}"


def of_directive(info: str, content: str) -> Iterator[str]:
    """Yield what is to be translated of a directive, such as `{toctree}`."""
    name, _, title = info.removeprefix("{").partition("}")
    if name == "toctree":
        yield from re.findall(r"^:caption: (.*)", content, re.MULTILINE)
        yield from re.findall(r"^(\w.*) <.*>$", content, re.MULTILINE)
    elif name != "eval-rst":
        if name not in {"div", "grid"}:  # their argument is no title
            yield title.strip()
        yield from messages(re.sub(r"\A(:[\w-]+:.*\n)+", "", content))


def messages(page: str) -> Iterator[str]:
    """Yield what Sphinx makes of a page for its catalogue."""
    for token in MARKDOWN.parse(page):
        if token.type == "inline":
            yield token.content
            yield from (part.content for part in token.children or () if part.type == "image")
        elif token.type in {"amsmath", "math_block", "math_block_label"}:
            yield token.content
        elif token.type in {"colon_fence", "fence"} and token.info.startswith("{"):
            yield from of_directive(token.info, token.content)


def shape(texts: Iterator[str]) -> set[str]:
    """Return what texts say, however their lines are broken."""
    return {" ".join(text.split()) for text in texts} - {""}


@pytest.mark.parametrize("path", CATALOGS, ids=lambda path: path.stem)
def test_catalog_is_no_older_than_its_page(path: Path) -> None:
    page = (ROOT / "docs" / path.relative_to(LOCALE)).with_suffix(".md")
    as_in_the_site = runpy.run_path(str(ROOT / "docs" / "_ext" / "site_links.py"))["translated"]
    now = shape(messages(as_in_the_site(page.read_text(encoding="utf-8"))))
    catalog = path.read_text(encoding="utf-8")
    then = shape(iter(texts(catalog, "msgid")))
    assert now - then == set(), "translate these"
    assert then - now == set(), "take these out"
    assert "\n#~" not in catalog, "take out what is obsolete"


def fenced(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    return re.findall(r"^```.*?^```$", text, re.MULTILINE | re.DOTALL)


def test_the_sidebar_has_a_title_for_each_page() -> None:
    docs = ROOT / "docs"
    files = [*docs.glob("*.md"), *docs.glob("[!_g]*/*.md")]
    pages = {path.relative_to(docs).with_suffix("").as_posix() for path in files}
    pages |= {f"gallery/{path.stem}" for path in (ROOT / "examples").glob("*.py")}
    translated = {path.relative_to(LOCALE).with_suffix("").as_posix() for path in CATALOGS}
    titles = WORDS["TITLES"].keys()
    assert pages - translated - titles == set(), "add them to docs/_ext/chinese.py"
    assert titles - pages == set(), "there are no such pages"


def test_the_cards_of_the_gallery_are_translated() -> None:
    with_title = runpy.run_path(str(ROOT / "docs" / "_ext" / "site_gallery.py"))["with_title"]
    sources = [(path.stem, path.read_text("utf-8")) for path in (ROOT / "examples").glob("*.py")]
    sentences = {with_title(name, source).splitlines()[4] for name, source in sources}
    assert len(sources) == len(sentences)
    assert WORDS["CARDS"].keys() == sentences, "change them in docs/_ext/chinese.py"


def test_comments_of_the_code_are_translated() -> None:
    pages = [(ROOT / "docs" / path.relative_to(LOCALE)).with_suffix(".md") for path in CATALOGS]
    code = "".join(block for page in pages for block in fenced(page))
    comments = set(re.findall(r"(?<= # ).+?(?=  # |$)", code, re.MULTILINE))
    # What is no comment, a formula, the name of a value, and a shape.
    same = re.compile(r"doctest: .*|log\(.*|y = x\^2|True|[Wb]\d?|\([^)]*\)(, \([^)]*\))*")
    said = {comment for comment in comments if not same.fullmatch(comment)}
    assert said - WORDS["COMMENTS"].keys() == set(), "add them to docs/_ext/chinese.py"
    assert WORDS["COMMENTS"].keys() - comments == set(), "take these out of docs/_ext/chinese.py"
    assert len(said) > 100


def test_the_readme_has_the_code_of_the_english_one() -> None:
    assert fenced(ROOT / "README.zh.md") == fenced(ROOT / "README.md")


def test_the_readme_leads_where_the_english_one_does() -> None:
    def links(name: str) -> set[str]:
        text = (ROOT / name).read_text(encoding="utf-8")
        return set(re.findall(r"\]\(([^)]+)\)", text)) - {"README.md", "README.zh.md"}

    assert links("README.zh.md") == links("README.md")
