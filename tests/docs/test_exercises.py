"""The exercise files of the learner's path: made from its pages, and right with the answers."""

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

import minifw.lessons
from minifw.lessons._ask import grade
from minifw.lessons._exercises import EXERCISES
from minifw.lessons._sentences import Sentences

LEARN = Path(__file__).parents[2] / "docs" / "learn"
MAKE = runpy.run_path(str(LEARN / "make_exercises.py"))
FILES: dict[Path, Path] = MAKE["files"]()
WORDS = 700  # of a chapter, without its answers

of_chapters = pytest.mark.parametrize("page", FILES, ids=lambda page: page.stem)


def asked(page: Path) -> set[str]:
    return set(MAKE["ASKED"].findall(page.read_text(encoding="utf-8")))


def run(code: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Run cells as a learner does, and return the exercises whose last answer is right."""
    last: dict[str, Any] = {}

    def ask(exercise: str, answer: Any, **_: Any) -> None:
        last[exercise] = grade(exercise, answer)

    monkeypatch.setattr(minifw.lessons, "ask", ask)
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {"__name__": "__main__"}
    for cell in code:
        exec(cell, names)  # noqa: S102 - our own
    return {exercise for exercise, fault in last.items() if fault is None}


@of_chapters
def test_a_file_is_made_from_its_page(page: Path) -> None:
    text = FILES[page].read_text(encoding="utf-8")
    assert text == MAKE["script"](page), "run python docs/learn/make_exercises.py"
    compile(text, page.stem, "exec")
    assert "<details" not in text


def test_no_file_is_left_over() -> None:
    assert {*MAKE["FILES"].glob("*.py")} == set(FILES.values())


@pytest.mark.slow
@of_chapters
def test_with_the_answers_a_file_runs_as_a_script(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to its last question: the session of the page has run the rest, which may be long."""
    text = MAKE["script"](page, answers=True)
    end = max((found.end() for found in re.finditer(r"^ask\(.*\n", text, re.MULTILINE)), default=0)
    assert run([text[:end]], tmp_path, monkeypatch) == asked(page)


@pytest.mark.slow
@of_chapters
def test_as_it_is_given_a_file_runs_up_to_what_is_left_to_write(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        run([MAKE["script"](page)], tmp_path, monkeypatch)
    except (NotImplementedError, ValueError) as error:
        assert "your turn" in str(error)  # noqa: PT017 - or nothing is raised


def cells(text: str) -> list[dict[str, Any]]:
    notebook = json.loads(MAKE["notebook"](text))
    assert notebook["nbformat"] == 4
    return [{**cell, "source": "".join(cell["source"])} for cell in notebook["cells"]]


@of_chapters
def test_a_notebook_has_the_page_in_cells(page: Path) -> None:
    found = cells(MAKE["script"](page))
    words = [cell["source"] for cell in found if cell["cell_type"] == "markdown"]
    assert words[1].startswith("# ")  # the heading of the page, after where it comes from
    code = [cell["source"] for cell in found if cell["cell_type"] == "code"]
    assert any("import" in cell for cell in code)


@pytest.mark.slow
def test_with_the_answers_a_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cells, in order: what a kernel does, without a kernel."""
    page = LEARN / "backpropagation.md"
    found = cells(MAKE["script"](page, answers=True))
    code = [cell["source"] for cell in found if cell["cell_type"] == "code"]
    assert run(code, tmp_path, monkeypatch) == asked(page)


@of_chapters
def test_each_exercise_has_three_hints_in_each_language(page: Path) -> None:
    for exercise in sorted(asked(page)):
        assert exercise in EXERCISES
        for language in ("en", "zh"):
            hints = Sentences.of(language).hints(exercise)
            assert len(hints) == 3, (exercise, language)
            assert f"docs/learn/{page.name}" in hints[2], (exercise, language)


@of_chapters
def test_the_last_hint_names_the_answer_that_is_right(page: Path) -> None:
    text, place = page.read_text(encoding="utf-8"), f"docs/learn/{page.name}"
    right: dict[str, tuple[str, int]] = {}
    folds = re.findall(
        r"^<summary>(Answers?)</summary>$(.*?)^</details>$", text, re.MULTILINE | re.DOTALL
    )
    for i, (summary, answer) in enumerate(folds):
        for exercise in re.findall(r'ask\("(\w+)".*\nright$', answer, re.MULTILINE):
            right.setdefault(exercise, (summary, i))
    for exercise, (summary, i) in right.items():
        english = f"{place}, below {('', 'the second ', 'the third ')[i]}{summary}"
        chinese = f"{place} 中的{('', '第二个', '第三个')[i]}“答案”"
        assert Sentences.of("en").hints(exercise)[2] == english
        assert Sentences.of("zh").hints(exercise)[2] == chinese


@of_chapters
def test_a_chapter_is_one_page_of_few_words(page: Path) -> None:
    folded = re.compile(MAKE["FOLDED"].format(""), re.MULTILINE | re.DOTALL)
    text = folded.sub("", page.read_text(encoding="utf-8"))
    assert len([word for word in text.split() if re.search(r"\w", word)]) <= WORDS
    assert re.search(r"^Next: ", text, re.MULTILINE)


@of_chapters
def test_nothing_is_loaded_from_a_network(page: Path) -> None:
    assert not re.search(r"urllib|requests|fetch_|urlopen", page.read_text(encoding="utf-8"))


def test_every_exercise_is_asked_in_a_chapter_and_ticked_in_the_index() -> None:
    ticked = re.findall(r"^- \[ \] (.*)", (LEARN / "index.md").read_text("utf-8"), re.MULTILINE)
    assert set().union(*map(asked, FILES)) == set(EXERCISES)
    named = {exercise for exercise in EXERCISES if not exercise.startswith("patient_")}
    assert set(re.findall(r"`(\w+)`", " ".join(ticked))) == named  # the ten patients are one line
