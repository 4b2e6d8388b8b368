"""`ask` refuses what is wrong with the reason, and blames nothing that is right."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from homeworks import RIGHT, WRONG, answer

import minifw
from minifw.lessons import _ask, ask, mine
from minifw.lessons._exercises import SLIPS
from minifw.lessons._sentences import FOLDER, Sentences

NAMED = 0.9  # of the wrong homeworks, at least
HOMEWORKS = [(name, *wrong) for name, table in WRONG.items() for wrong in table]
WORDS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in FOLDER.glob("*.json")}


def said(exercise: str, given: object, language: str = "en") -> str:
    """Return the sentence on an answer; "" if it is right."""
    fault = _ask.grade(exercise, given)
    return Sentences.of(language).of_fault(fault) if fault else ""


def names_it(sentence: str, words: str) -> bool:
    """Return whether a sentence holds one of the alternatives between bars."""
    return any(part in sentence for part in words.split(" | "))


@pytest.mark.parametrize("exercise", RIGHT)
def test_a_right_answer_is_right(exercise: str) -> None:
    assert said(exercise, answer(exercise)) == ""


@pytest.mark.slow
@pytest.mark.parametrize("exercise", WRONG)
def test_wrong_homeworks_are_refused(exercise: str) -> None:
    for old, new, _ in WRONG[exercise]:
        assert said(exercise, answer(exercise, old, new)), f"passed: {new}"


@pytest.mark.slow
def test_nine_of_ten_wrong_homeworks_are_named() -> None:
    assert len(HOMEWORKS) >= 120
    named = [names_it(said(name, answer(name, old, new)), w) for name, old, new, w in HOMEWORKS]
    assert np.mean(named) >= NAMED


def test_each_language_says_the_same() -> None:
    english, chinese = WORDS["en"], WORDS["zh"]
    assert english["sentences"].keys() == chinese["sentences"].keys()
    assert english["hints"].keys() == chinese["hints"].keys()
    for hints in (*english["hints"].values(), *chinese["hints"].values()):
        assert len(hints) == 3
    for name, sentence in english["sentences"].items():
        assert re.findall(r"{\w*}", sentence) == re.findall(r"{\w*}", chinese["sentences"][name])
    assert {slip for slips in SLIPS.values() for slip in slips} <= english["sentences"].keys()


def test_the_language_is_that_of_the_environment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    for language, right in (("zh_CN.UTF-8", "正确"), ("de_DE.UTF-8", "right")):
        monkeypatch.setenv("LANG", language)
        ask("tanh", minifw.Tanh())
        assert right in capsys.readouterr().out


def test_what_is_no_answer_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"exercise to be one of .*'softmax'.*got 'softmacks'"):
        ask("softmacks", minifw.Softmax())
    with pytest.raises(TypeError, match=r"a layer, such as Dense\(3, 2\).*write Dense\(...\)"):
        ask("dense", minifw.Dense)
    with pytest.raises(ValueError, match="language to be 'en' or 'zh'"):
        ask("tanh", minifw.Tanh(), language="fr")


def test_an_answer_is_left_as_it_is() -> None:
    layer = minifw.Dense(3, 2, rng=0)
    before = layer.weight.value.copy()
    ask("dense", layer)
    assert np.array_equal(layer.weight.value, before)


def test_mine_takes_the_readers_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text("class Tanh:\n    pass\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    own, dense = mine("Tanh", "Dense")
    assert own.__module__ == "mine"
    assert dense is minifw.Dense
    sys.modules.pop("mine", None)
