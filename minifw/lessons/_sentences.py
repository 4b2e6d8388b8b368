"""What `ask` says, in each language: the sentences are in sentences/*.json."""

import json
import os
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("sentences")


@dataclass(frozen=True)
class Fault:
    """What is wrong with an answer: the name of a sentence, and what is put into it."""

    sentence: str
    values: dict[str, Any] = field(default_factory=dict)


def check_language(language: str | None) -> str:
    """Return the language, or of None the language of the environment if there is a file."""
    known = sorted(path.stem for path in FOLDER.glob("*.json"))
    if language is None:
        named = next(filter(None, map(os.environ.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
        language = named[:2] if named[:2] in known else "en"
    if language not in known:
        names = " or ".join(map(repr, known))
        raise ValueError(f"ask expects language to be {names}, or None; got {language!r}")
    return language


class Sentences:
    """The sentences of one language."""

    def __init__(self, language: str) -> None:
        text = (FOLDER / f"{language}.json").read_text(encoding="utf-8")
        words = json.loads(text)
        self._named: dict[str, str] = words["sentences"]
        self._hints: dict[str, list[str]] = words["hints"]
        # Patterns of the kit's English, with {} for what differs, and what they are here: {0} is
        # the first of that in this language, {raw[0]} as it was. The first pattern that fits wins.
        self._kit = [(_pattern(english), here) for english, here in words["kit"].items()]

    @staticmethod
    @cache
    def of(language: str) -> "Sentences":
        """Return them; the file is read once."""
        return Sentences(language)

    def say(self, name: str, /, **values: Any) -> str:
        """Return a named sentence."""
        return self._named[name].format(**values)

    def of_fault(self, fault: Fault) -> str:
        """Return the sentence of a fault."""
        values = {name: self.translated(str(value)) for name, value in fault.values.items()}
        return self.say(fault.sentence, **values)

    def hints(self, exercise: str) -> list[str]:
        """Return a hint, the shapes, and where the answer is."""
        return self._hints.get(exercise, [])

    def translated(self, text: str) -> str:
        """Return a sentence of the kit in this language, part by part."""
        for pattern, here in self._kit:
            if found := pattern.fullmatch(text):
                return str(here.format(*map(self.translated, raw := found.groups()), raw=raw))
        return text


def _pattern(english: str) -> re.Pattern[str]:
    return re.compile("(.+?)".join(map(re.escape, english.split("{}"))), re.DOTALL)
