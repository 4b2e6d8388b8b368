"""Makes the exercise files from the chapters: a script of cells, and the same as a notebook.

    .venv/bin/python docs/learn/make_exercises.py

Each chapter that asks for something becomes exercises/NN_name.py, with its text as comments and
its code in cells ("# %%"); answers (<details>) and outputs are left out. A test compares the files
with the pages. docs/build.py makes the notebooks from the files.
"""

import doctest
import re
from pathlib import Path

HERE = Path(__file__).parent
FILES = HERE / "exercises"
BEGIN = """# %% [markdown]
# Made from {page} by docs/learn/make_exercises.py. The page has the formulas, and the answers.
# Run it cell by cell in an editor, or as a script. Replace each NotImplementedError.
"""
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HIDDEN = re.compile(r"^<details>.*?^</details>\n", re.MULTILINE | re.DOTALL)


def chapters() -> list[Path]:
    """Return the pages in the order of the path."""
    index = (HERE / "index.md").read_text(encoding="utf-8")
    tree = index.split("```{toctree}", 1)[1].split("```", 1)[0]
    names = [line for line in tree.splitlines() if line and not line.startswith(":")]
    return [(HERE / f"{name}.md").resolve() for name in names]


def file_of(page: Path, number: int) -> Path:
    """Return the exercise file of a chapter."""
    return FILES / f"{number:02}_{page.stem.replace('-', '_')}.py"


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


def _prose(text: str) -> str:
    text = re.sub(r"^</?(details|summary).*\n", "", text, flags=re.MULTILINE).strip()
    lines = [f"# {line}".rstrip() for line in text.splitlines()]
    return "\n".join(["# %% [markdown]", *lines]) + "\n" if lines else ""


def _code(language: str, text: str) -> str:
    if language != "python" or not (examples := doctest.DocTestParser().get_examples(text)):
        return _prose(text) if language == "text" else ""
    return "# %%\n" + "".join(example.source for example in examples)


if __name__ == "__main__":
    FILES.mkdir(exist_ok=True)
    for number, page in enumerate(chapters()):
        if "ask(" in page.read_text(encoding="utf-8"):
            file_of(page, number).write_text(script(page), encoding="utf-8")
