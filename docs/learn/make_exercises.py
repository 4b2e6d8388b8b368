"""Makes the exercise files from the chapters: a script of cells, and the same as a notebook.

    .venv/bin/python docs/learn/make_exercises.py

Each chapter in the table of index.md becomes exercises/NN_name.py, with its text as comments and
its code in cells ("# %%") and what it prints after "#>"; folded answers are left out. A test
compares the files with the pages. The build of the site makes the notebooks (docs/_ext).
"""

import doctest
import re
from itertools import pairwise
from pathlib import Path

HERE = Path(__file__).parent
FILES = HERE / "exercises"
BEGIN = """# %% [markdown]
# Made from {page} by docs/learn/make_exercises.py. The page has the pictures, and the answers.
# Run it cell by cell in an editor, or as a script. Replace each NotImplementedError. "#>" is what
# a right answer prints.
"""
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FOLDED = r"^<details>\n<summary>{}.*?^</details>\n"
HIDDEN = re.compile(FOLDED.format("(?:Answer|Hint|A wrong try)"), re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^\| (\d+)\. (.*?) \|", re.MULTILINE)  # of the table of chapters
ASKED = re.compile(r'\bask\("(\w+)"')
# What only the page can show: pictures, and links to files beside it.
PICTURE = re.compile(r"^!\[.*?\]\(.*?\)$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[([^\]]+)\]\((?!https?:)[^)]*\)")
FLAGS = re.compile(r" *# doctest: .*$", re.MULTILINE)


def files() -> dict[Path, Path]:
    """Return the exercise file of each page in the table of chapters that lies in this folder."""
    index = (HERE / "index.md").read_text(encoding="utf-8")
    return {
        HERE / f"{name}.md": FILES / f"{int(number):02}_{name.replace('-', '_')}.py"
        for number, cell in ROW.findall(index)
        for name in re.findall(r"\]\(([\w-]+)\.md\)", cell)
        if (HERE / f"{name}.md").is_file()
    }


def script(page: Path, *, answers: bool = False) -> str:
    """Return the cells of a chapter as a script; with its answers, for the tests."""
    text = page.read_text(encoding="utf-8")
    if not answers:
        text = HIDDEN.sub("", text)
    cells, end = [BEGIN.format(page=f"docs/learn/{page.name}")], 0
    for fence in FENCE.finditer(text):
        cells += [_prose(text[end : fence.start()]), _code(*fence.groups())]
        end = fence.end()
    return "\n".join(filter(None, [*cells, _prose(text[end:])]))


def notebook(text: str) -> str:
    """Return a script of cells as a Jupyter notebook."""
    import jupytext  # noqa: PLC0415 - the scripts alone do not need it

    return str(jupytext.writes(jupytext.reads(text, fmt="py:percent"), fmt="ipynb"))


def _prose(text: str) -> str:
    text = re.sub(r"^</?(details|summary).*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"\n{3,}", "\n\n", LINK.sub(r"\1", PICTURE.sub("", text))).strip()
    lines = [f"# {line}".rstrip() for line in text.splitlines()]
    return "\n".join(["# %% [markdown]", *lines]) + "\n" if lines else ""


def _code(language: str, text: str) -> str:
    examples = doctest.DocTestParser().get_examples(text) if language == "python" else []
    shown = [_with_output(example) for example in examples if not example.exc_msg]
    if not shown:
        return _prose(f"```\n{text}```") if language == "text" else ""
    cell = shown[0]
    for before, source in pairwise(shown):  # a blank line around what has several lines
        cell += "\n" * ("\n" in before[:-1] or "\n" in source[:-1]) + source
    return f"# %%\n{cell}"


def _with_output(example: doctest.Example) -> str:
    """Return a statement with what it must print, but what `ask` says."""
    said = [] if ASKED.search(example.source) else example.want.splitlines()
    return FLAGS.sub("", example.source) + "".join(f"#> {line}".rstrip() + "\n" for line in said)


if __name__ == "__main__":
    FILES.mkdir(exist_ok=True)
    for page, file in files().items():
        file.write_text(script(page), encoding="utf-8", newline="\n")
