"""The search of the Chinese site: by characters and pairs of them, as no space parts the words.

Sphinx would ask jieba for the words, and asks the browser for a stemmer that does not exist.
"""

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

__all__ = ["SPLITTER", "indexed", "setup"]

_RUN = re.compile("[\u4e00-\u9fff]+|[a-zA-Z0-9_]+")
# What the browser makes of a query: pairs, and a character that stands alone.
SPLITTER = r"""
function splitQuery(query) {
  const pairs = (run) => [...run].slice(1).map((second, place) => run[place] + second);
  return (query.match(/[\u4e00-\u9fff]+|[a-zA-Z0-9_]+/g) ?? []).flatMap((run) =>
    run.length > 1 && run >= "\u4e00" ? pairs(run) : [run]);
}
"""


def indexed(text: str) -> list[str]:
    """Return what a text can be found by: its words, Chinese characters, and pairs of these.

    Examples
    --------
    >>> indexed("MSELoss 是损失")
    ['MSELoss', '是', '损', '失', '是损', '损失']
    """
    found: list[str] = []
    for run in _RUN.findall(text):
        if run < "\u4e00":
            found.append(run)
        else:
            found += [*run, *(run[i : i + 2] for i in range(len(run) - 1))]
    return found


def setup(app: "Sphinx") -> dict[str, bool]:
    """Take the place of Sphinx's own."""
    from sphinx.search import zh  # noqa: PLC0415 - of the docs extra

    class SearchChinese(zh.SearchChinese):  # type: ignore[misc]
        language_name = "English"  # of the stemmer, which is for the English words
        js_splitter_code = SPLITTER

        def split(self, input: str) -> list[str]:  # noqa: A002 - Sphinx's name
            found = indexed(input)
            self.latin_terms.update(found)
            return found

        def word_filter(self, stemmed_word: str) -> Any:
            return stemmed_word >= "\u4e00" or super().word_filter(stemmed_word)

    app.add_search_language(SearchChinese)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
