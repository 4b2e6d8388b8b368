"""Every verdict as a test of its own: lists for ``pytest.mark.parametrize``.

pytest takes the id of a parameter from its ``__name__``, so nothing here
need import it.
"""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any
from unittest import SkipTest

from minifw._tools.checks import check_is, describe
from minifw.core.layer import Layer
from minifw.losses import Loss
from minifw.testing._report import FOLLOWS, Question, judge
from minifw.testing.layers._check import LAYER_CHECKS, layer_subject
from minifw.testing.losses._adapter import loss_subject
from minifw.testing.losses._check import LOSS_CHECKS
from minifw.testing.optimizers._check import OPTIMIZER_CHECKS, optimizer_subject
from minifw.testing.optimizers._subject import MakeOptimizer


class Check:
    """One question to one subject; a call puts it, and raises a CheckError if it fails.

    And a SkipTest if it follows from another one that has failed in this process.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Tanh
    >>> from minifw.testing import layer_checks
    >>> check = layer_checks([(Tanh(), np.ones((4, 3)))])[0]
    >>> check.__name__
    'Tanh(): takes x, returns arrays'
    >>> check()
    """

    def __init__(
        self, subject_name: str, question: Question, subject: Any, wrong: dict[str, bool]
    ) -> None:
        self.__name__ = f"{subject_name}: {question.name}"
        self._judge = partial(judge, subject_name, [question], subject, wrong)

    def __call__(self) -> None:
        """Put the question."""
        __tracebackhide__ = True
        (verdict,) = self._judge().verdicts
        if verdict.message.startswith(FOLLOWS):
            raise SkipTest(verdict.message)

    def __repr__(self) -> str:
        return f"<check {self.__name__}>"


def layer_checks(
    cases: Mapping[str, tuple[Layer, Any]] | Iterable[tuple[Layer, Any]], *, seed: int = 0
) -> list[Check]:
    """Return all questions of `check_layer` to all layers, each to be a test of its own.

    Parameters
    ----------
    cases : dict of (layer, x) by name, or iterable of (layer, x)
        As for `check_layer`. Without names, a layer's repr is its name.
    seed : int, default 0

    Returns
    -------
    list of Check
        Functions without arguments, for ``pytest.mark.parametrize``; pytest
        shows their names, as in ``test_layer[Tanh(): dx, training]``. A question
        that does not apply to a layer passes.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Tanh
    >>> from minifw.testing import layer_checks
    >>> checks = layer_checks([(Tanh(), np.ones((4, 3)))])
    >>> checks[0]
    <check Tanh(): takes x, returns arrays>
    >>> checks[0]()

    In a test module:

    >>> import pytest
    >>> @pytest.mark.parametrize("check", checks)
    ... def test_layer(check):
    ...     check()
    """
    return _checks("layer_checks", "layer, x", LAYER_CHECKS, layer_subject, cases, seed=seed)


def loss_checks(
    cases: Mapping[str, tuple[Loss, Any, Any]] | Iterable[tuple[Loss, Any, Any]], *, seed: int = 0
) -> list[Check]:
    """Return all questions of `check_loss` to all losses, each to be a test of its own.

    Parameters
    ----------
    cases : dict of (loss, prediction, target) by name, or iterable of these
    seed : int, default 0

    Returns
    -------
    list of Check
        See `layer_checks`.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import BCEWithLogitsLoss
    >>> from minifw.testing import loss_checks
    >>> case = BCEWithLogitsLoss(), np.array([[0.3], [-2.0]]), np.array([[1.0], [0.0]])
    >>> for check in loss_checks([case]):
    ...     check()
    """
    what = "loss, prediction, target"
    return _checks("loss_checks", what, LOSS_CHECKS, loss_subject, cases, seed=seed)


def optimizer_checks(cases: Mapping[str, MakeOptimizer], *, seed: int = 0) -> list[Check]:
    """Return all questions of `check_optimizer`, each to be a test of its own.

    Parameters
    ----------
    cases : dict of functions by name
        Each takes parameters and returns an optimizer over them.
    seed : int, default 0

    Returns
    -------
    list of Check
        See `layer_checks`.

    Examples
    --------
    >>> from minifw import SGD
    >>> from minifw.testing import optimizer_checks
    >>> for check in optimizer_checks({"SGD": lambda parameters: SGD(parameters, lr=0.1)}):
    ...     check()
    """
    what = "a dict of functions by name, as they have no names of their own"
    check_is("optimizer_checks", what, cases, Mapping)
    makers = {name: (make,) for name, make in cases.items()}
    return _checks(
        "optimizer_checks", "make", OPTIMIZER_CHECKS, optimizer_subject, makers, seed=seed
    )


def _checks(
    owner: str, what: str, questions: Any, subject_of: Any, cases: Any, *, seed: int
) -> list[Check]:
    most = what.count(",") + 1
    many = cases if isinstance(cases, Iterable) else [cases]
    named = many.items() if isinstance(many, Mapping) else [("", one) for one in many]
    checks = list[Check]()
    for name, case in named:
        if type(case) is not tuple or not min(most, 2) <= len(case) <= most:
            wanted = f"tuples ({what}), as in [({what})], or a dict of them by name"
            raise TypeError(f"{owner} expects {wanted}, got {describe(case)}")
        subject, wrong = subject_of(*case, seed), dict[str, bool]()
        checks += [Check(name or repr(case[0]), one, subject, wrong) for one in questions]
    return checks
