"""The verdicts on an objective: a model and a loss together."""

import contextlib
import copy
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from minifw._tools.checks import check_is, describe
from minifw.core.layer import Layer
from minifw.core.loss import Penalty
from minifw.core.objective import Objective
from minifw.core.parameter import Parameter
from minifw.errors import NonFiniteError, SaturationWarning
from minifw.testing import _questions as ask
from minifw.testing._equal import ROUNDING, Results, same
from minifw.testing._explain import worst
from minifw.testing._numeric import differences, mismatches
from minifw.testing._questions import run
from minifw.testing._report import Failure, NotApplicable, Question, Report, judge
from minifw.testing.layers._compare import compare
from minifw.testing.layers._situation import Situation
from minifw.testing.layers._subject import LayerSubject, gradients
from minifw.typing import Array

TWO_FORMS = 1e-6  # the same of a joint form and the two apart, which lose digits beside 1


def check_objective(objective: Objective, x: Any, target: Any, *, seed: int = 0) -> Report:
    """Check that an objective gives the loss, and the gradient of every parameter.

    Parameters
    ----------
    objective : Objective
        It is copied, and left as it is.
    x, target : array, or tuple of arrays
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
    layer, arrays = _AsLayer(objective, x, target), (*_flat(x), *_flat(target))
    for name, array in zip(layer.input_names, arrays, strict=True):
        if array is not None and not (isinstance(array, np.ndarray) and array.ndim and array.size):
            raise TypeError(
                f"check_objective expects {name} to be a batch, an array, got {describe(array)}"
            )
    lengths = [len(array) for array in arrays if array is not None]
    if len({*lengths}) > 1:
        raise ValueError(f"check_objective expects x and target of one length, got {lengths}")
    return ObjectiveSubject(layer, arrays, seed)


# -- what is checked -------------------------------------------------------------------


class _AsLayer(Layer):
    """An objective as a layer: of x and target it gives the loss, and has the parameters."""

    output_names = ("loss",)

    def __init__(self, objective: Objective, x: Any, target: Any) -> None:
        self.objective = objective
        self.forms = [
            [f"{what}[{i}]" for i in range(len(value))] if type(value) is tuple else what
            for what, value in (("x", x), ("target", target))
        ]

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of all arrays."""
        return tuple(name for form in self.forms for name in _flat(form))

    def arguments(self, arrays: Iterable[Any]) -> list[Any]:
        """Return x and target of all arrays: each is one, or a tuple of several."""
        rest = iter(arrays)
        return [
            next(rest) if isinstance(form, str) else tuple([next(rest) for _ in form])
            for form in self.forms
        ]

    def forward(self, *arrays: Any) -> Array:
        return np.array([self.objective.forward(*self.arguments(arrays))])  # (1,)

    def backward(self, _: Array) -> Any:
        with contextlib.suppress(NonFiniteError):  # the gradients tell more
            self.objective.backward()
        return (None,) * len(self.input_names)

    def _walk(self) -> list[tuple[str, Parameter | Layer]]:
        return [("", self.objective.model), *self.objective.model._walk()]


def _flat(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,)


class ObjectiveSubject(LayerSubject):
    """An objective, a batch that it accepts, and a seed; nothing here changes them."""

    real: Any = ()  # of x and target nothing is asked
    any_sign: Any = False

    def _moved(self, name: str, rows: Array, rng: np.random.Generator) -> Array:
        return rows if name.startswith("target") else super()._moved(name, rows, rng)

    def cotangents(self, ys: Results, *, draw: int = 0) -> Results:  # noqa: ARG002
        """Return 1: the objective is not asked for multiples."""
        return {"dy": np.ones_like(ys["loss"])}


# -- the verdicts ----------------------------------------------------------------------


def _answers(s: ObjectiveSubject) -> None:
    loss = run(s, s.twin(), {**s.given(np.float64), "dy": np.ones(1)})["loss"]
    if not np.isfinite(loss).all():
        raise Failure(f"forward must return a finite float, it returned {loss[0]}")


def _gradient(s: ObjectiveSubject) -> None:
    compare(Situation.of(s, training=True), of_x=False)


def _penalties(s: ObjectiveSubject) -> None:
    layer: Any = s.twin()
    for penalty in layer.objective._penalties:
        _adds_its_derivative(penalty, layer)


def _adds_its_derivative(penalty: Penalty, model: Layer) -> None:
    """Hold what it adds to gradients that are not 0, called twice, against differences."""
    for _, parameter in model.named_parameters():
        parameter.grad = np.full(parameter.shape, 7.0)
    penalty.backward()
    penalty.backward()
    for name, parameter in model.named_parameters():
        if parameter.frozen and (parameter.grad != 7.0).any():
            raise Failure(f"{penalty!r}.backward changes the gradient of {name}, which is frozen")
    for name, found in gradients(model).items():
        value = dict(model.named_parameters())[name.removeprefix("d")].value
        true = differences(lambda: np.array(penalty.forward()), value, np.ones(()))
        added = (found - 7.0) / 2
        wrong = mismatches(added, true)
        if wrong.any():
            raise Failure(
                f"{penalty!r}.backward must add its derivative, once at each call: to "
                f"{worst(name, added, true, wrong)}"
            )


def _prediction(s: ObjectiveSubject) -> None:
    layer: Any = s.twin()
    inputs = s.inputs(draw=2)
    s.forward(layer, inputs)
    pair = _flat(_predicted(s.twin(), inputs)), _flat(layer.objective.prediction)
    expected, found = ({f"prediction {i}": y for i, y in enumerate(ys)} for ys in pair)
    same("against model.forward(x)", expected, found, ROUNDING)


def _predicted(layer: Any, inputs: Results) -> Any:
    x, _ = layer.arguments(map(inputs.get, layer.input_names))
    return layer.objective.model(*_flat(x))


def _apart(s: ObjectiveSubject) -> None:
    """Hold the objective, which may join activation and loss, against the two in turn."""
    layer: Any = s.twin()
    inputs = s.inputs(draw=3)
    found, apart = run(s, s.twin(), inputs), layer.objective
    _, target = layer.arguments(map(inputs.get, layer.input_names))
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        value = apart.loss.forward(_predicted(layer, inputs), target)
        apart.model.backward(*_flat(apart.loss.backward()))
        for penalty in apart._penalties:
            value += penalty.forward()
            penalty.backward()
    if any(issubclass(w.category, SaturationWarning) for w in warned):
        raise NotApplicable("the loss of the prediction saturates")
    same(
        "against loss.forward(prediction, target), and loss.backward and model.backward in turn",
        {"loss": np.array([value]), **gradients(apart.model)},
        found,
        TWO_FORMS,
    )


OBJECTIVE_CHECKS: tuple[Question, ...] = (
    Question("a finite float, and a backward", _answers),
    Question("the gradients are the derivatives of the loss", _gradient),
    Question("each penalty adds its derivative", _penalties),
    Question("prediction is model.forward(x)", _prediction),
    Question("as model and loss in turn", _apart),
    Question("backward before forward", ask.backward_first),
    Question("gradients overwritten", ask.overwrites),
    Question("writes into nothing", ask.writes_nothing),
    Question("leaves parameters alone", ask.leaves_parameters),
    Question("deterministic", ask.deterministic),
    Question("a second batch", ask.latest_forward),
    Question("deepcopy", ask.copied("deepcopy", copy.deepcopy)),
)
