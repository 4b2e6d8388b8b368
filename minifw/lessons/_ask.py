"""`ask`: grade the answer to an exercise, and say in one sentence what is wrong."""

from typing import Any

from minifw._tools.numbers import check_size
from minifw.lessons._exercises import EXERCISES, SLIPS
from minifw.lessons._sentences import Fault, Sentences, check_language


def ask(exercise: str, answer: Any, *, hints: int = 0, language: str | None = None) -> None:
    """Print whether an answer is right, or in one sentence what is wrong with it.

    Parameters
    ----------
    exercise : str
        The name of the exercise, as its chapter gives it, such as "softmax".
    answer : object
        What the chapter asks for: a layer, a loss, a function that makes an optimizer, a
        function, a number or a trained model.
    hints : int, default 0
        How much help to print with a wrong answer: 1 a hint, 2 the shapes as well, 3 where the
        answer is as well.
    language : "en", "zh" or None, default None
        The language of the sentences. None takes the language of the environment (LANG), and
        English where it is another.

    Raises
    ------
    ValueError
        If there is no such exercise or language.
    TypeError
        If the answer is of another kind than the exercise asks for.

    Notes
    -----
    The values of the answer are held against minifw's own, and its derivatives against
    differences, with the author's kit (`minifw.testing`). The most specific finding is printed.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Layer
    >>> from minifw.lessons import ask
    >>> class Sigmoid(Layer):
    ...     def forward(self, x):
    ...         y = 1 / (1 + np.exp(-x))
    ...         self.save(y)
    ...         return y
    ...     def backward(self, dy):
    ...         (y,) = self.saved()
    ...         return y * (1 - y)
    >>> ask("sigmoid", Sigmoid())
    not yet: dx: dy is ignored: it is the gradient for a dy of ones
    """
    sentences = Sentences.of(check_language(language))
    check_size("ask", "hints", hints, least=0)
    if (fault := grade(exercise, answer)) is None:
        print(sentences.say("right"))
        return
    print(sentences.say("not yet", sentence=sentences.of_fault(fault)))
    for line in sentences.hints(exercise)[:hints]:
        print(line)


def grade(exercise: str, answer: Any) -> Fault | None:
    """Return what is wrong with an answer, or None if it is right."""
    if exercise not in EXERCISES:
        names = ", ".join(map(repr, EXERCISES))
        raise ValueError(f"ask expects exercise to be one of {names}; got {exercise!r}")
    return EXERCISES[exercise].fault(answer, SLIPS.get(exercise, {}))
