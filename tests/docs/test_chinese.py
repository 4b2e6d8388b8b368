"""The Chinese pages: complete, and with the code of the English ones."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CATALOGS = sorted((ROOT / "docs" / "locale").rglob("*.po"))


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


def blocks(name: str) -> list[str]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.findall(r"^```.*?^```$", text, re.MULTILINE | re.DOTALL)


def test_the_readme_has_the_code_of_the_english_one() -> None:
    assert blocks("README.zh.md") == blocks("README.md")


def test_the_readme_leads_where_the_english_one_does() -> None:
    def links(name: str) -> set[str]:
        text = (ROOT / name).read_text(encoding="utf-8")
        return set(re.findall(r"\]\(([^)]+)\)", text)) - {"README.md", "README.zh.md"}

    assert links("README.zh.md") == links("README.md")
