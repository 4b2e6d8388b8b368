"""The verdicts on an objective: a model and a loss together."""

import contextlib
import copy
import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from minifw._tools.checks import check_is, describe
from minifw.core.layer import Layer
from minifw.core.objective import Objective
from minifw.core.parameter import Parameter
from minifw.errors import NonFiniteError, SaturationWarning
from minifw.testing import _questions as ask
from minifw.testing._equal import ROUNDING, Results, same
from minifw.testing._layer_gradients import compare
from minifw.testing._layer_subject import LayerSubject, Situation, jittered
from minifw.testing._report import Failure, NotApplicable, Question, Report, judge
from minifw.typing import Array

ROWS = 5  # of a random batch: a prime, so that a factor of 5 comes from nothing else

TWO_FORMS = 1e-6  # the same of a joint form and the two apart, which lose digits beside 1
FLOAT32_TWO_FORMS = 1e-2  # the same in float32


def check_objective(objective: Objective, x: Any, target: Any, *, seed: int = 0) -> Report:
    """Check that an objective gives the loss, and the gradient of every parameter.

    Parameters
    ----------
    objective : Objective
        It is ask.copied, and left as it is.
    x, target : array
        A batch that it accepts; the checks draw others like it.
    seed : int, default 0
        Of everything random in the checks.

    Returns
    -------
    Report
        Prints as a table of named verdicts.

    Raises
    ------
    CheckError
        If a verdict failed. It is an AssertionError, and its `report` holds all
        verdicts: all failures at once.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import BCELoss, Dense, Objective, Sequential, Sigmoid
    >>> from minifw.testing import check_objective
    >>> objective = Objective(Sequential(Dense(2, 1), Sigmoid()), BCELoss())
    >>> x = np.random.default_rng(0).standard_normal((4, 2))
    >>> check_objective(objective, x, np.array([[0.0], [1.0], [1.0], [0.0]])).passed
    True
    """
    subject = objective_subject(objective, x, target, seed)
    judge(repr(objective), OBJECTIVE_CHECKS[:1], subject)  # or else all would repeat its fault
    return judge(repr(objective), OBJECTIVE_CHECKS, subject)


def objective_subject(
    objective: Objective, x: Any, target: Any, seed: int = 0
) -> "ObjectiveSubject":
    """Return what the checks take, or raise if it is no objective or no batch."""
    check_is("check_objective", "an objective", objective, Objective)
    for name, array in (("x", x), ("target", target)):
        if not isinstance(array, np.ndarray) or array.ndim < 1 or not array.size:
            raise TypeError(
                f"check_objective expects {name} to be a batch, an array, got {describe(array)}"
            )
    if len(x) != len(target):
        raise ValueError(
            f"check_objective expects x and target of one length, got {len(x)} and {len(target)}"
        )
    return ObjectiveSubject(objective, x, target, seed)


# -- what is checked -------------------------------------------------------------------


@dataclass(frozen=True)
class ObjectiveSubject:
    """An objective, a batch that it accepts, and a seed; nothing here changes them."""

    objective: Objective
    x: Any
    target: Any
    seed: int = 0

    def twin(self) -> Objective:
        """Return a copy with random parameters, the same each time."""
        twin = copy.deepcopy(self.objective)
        rng = np.random.default_rng([self.seed, 0])
        for _, parameter in twin.model.named_parameters():
            parameter.value = jittered(parameter.value, rng)
        return twin

    def inputs(self, rows: int | None = None, *, draw: int = 0) -> Results:
        """Return random rows of those given, with x moved within its range."""
        rng, rows = np.random.default_rng([self.seed, draw, 1]), rows or ROWS
        chosen = rng.permutation(np.arange(max(rows, len(self.x))) % len(self.x))[:rows]
        x, target = self.x[chosen], self.target[chosen]
        if x.dtype.kind == "f":
            moved = jittered(x, rng).clip(self.x.min(), self.x.max())
            x = moved.astype(x.dtype)
        return {"x": x, "target": target}

    def forward(self, objective: Objective, inputs: Results) -> Results:
        """Return the loss."""
        return {"loss": np.array(objective.forward(inputs["x"], inputs["target"]))}

    def backward(self, objective: Objective, _: Results) -> Results:
        """Return the gradients of the parameters."""
        objective.backward()
        return _gradients(objective)

    def model(self, objective: Objective) -> Layer:
        """Return the model: see `Subject`."""
        return objective.model


def _gradients(objective: Objective) -> Results:
    return {f"d{name}": p.grad.copy() for name, p in objective.model.named_parameters()}


class _OfX(Layer):
    """An objective on one target as a layer: it has the parameters of the model."""

    def __init__(self, objective: Objective, target: Array) -> None:
        self.objective, self.target = objective, target

    def forward(self, x: Array) -> Array:
        return np.array([self.objective.forward(x, self.target)])  # (1,)

    def backward(self, dy: Array) -> Array:
        with contextlib.suppress(NonFiniteError):  # the gradients tell more
            self.objective.backward()
        return dy

    def _walk(self) -> list[tuple[str, Parameter | Layer]]:
        return self.objective.model._walk()


# -- the verdicts ----------------------------------------------------------------------


def _answers(s: ObjectiveSubject) -> None:
    objective = s.twin()
    value = objective.forward(s.x.copy(), s.target.copy())
    if not isinstance(value, float) or not math.isfinite(value):
        raise Failure(f"forward must return a finite float, it returned {value!r}")
    objective.backward()


def _gradient(s: ObjectiveSubject) -> None:
    if not s.objective.model.parameters():
        raise NotApplicable("the model has no parameters")
    if any(p.dtype != np.float64 for p in s.objective.model.parameters()):
        raise NotApplicable("its parameters are float32, of too few digits for differences")
    inputs = s.inputs(draw=1)
    subject = LayerSubject(_OfX(s.twin(), inputs["target"]), inputs["x"], s.seed)
    compare(Situation(subject, True, inputs["x"], np.ones(1)), of_x=False)


def _prediction(s: ObjectiveSubject) -> None:
    objective, inputs = s.twin(), s.inputs(draw=2)
    s.forward(objective, inputs)
    expected = {"prediction": s.twin().model.forward(inputs["x"])}
    same("against model.forward(x)", expected, {"prediction": objective.prediction}, ROUNDING)


def _apart(s: ObjectiveSubject) -> None:
    """Hold the objective, which may join activation and loss, against the two in turn."""
    inputs, joined, apart = s.inputs(draw=3), s.twin(), s.twin()
    found = {**s.forward(joined, inputs), **s.backward(joined, inputs)}
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        value = apart.loss.forward(apart.model.forward(inputs["x"]), inputs["target"])
        apart.model.backward(apart.loss.backward())
    if any(issubclass(w.category, SaturationWarning) for w in warned):
        raise NotApplicable("the loss of the prediction saturates")
    low = any(p.dtype == np.float32 for p in apart.model.parameters())
    expected = {"loss": np.array(value), **_gradients(apart)}
    same(
        "against loss.forward(prediction, target), and loss.backward and model.backward in turn",
        expected,
        found,
        FLOAT32_TWO_FORMS if low else TWO_FORMS,
    )


def _writes_nothing(s: ObjectiveSubject) -> None:
    ask.writes_nothing(s)
    ask.leaves_parameters(s)


OBJECTIVE_CHECKS: tuple[Question, ...] = (
    ("a finite float, and a backward", _answers),
    ("the gradients are the derivatives of the loss", _gradient),
    ("prediction is model.forward(x)", _prediction),
    ("as model and loss in turn", _apart),
    ("backward before forward", ask.backward_first),
    ("gradients overwritten", ask.overwrites),
    ("writes into nothing", _writes_nothing),
    ("deterministic", ask.deterministic),
    ("a second batch", ask.latest_forward),
    ("deepcopy", ask.copied("deepcopy", copy.deepcopy)),
)
