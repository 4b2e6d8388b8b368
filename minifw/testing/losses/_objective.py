"""The verdicts on an objective: a model and a loss together."""

import copy
import warnings
from functools import partial
from typing import Any

import numpy as np

from minifw.core.loss import Penalty
from minifw.core.objective import Objective
from minifw.core.parameter import Parameter
from minifw.errors import SaturationWarning
from minifw.testing import _questions as ask
from minifw.testing._doors import check_subject
from minifw.testing._equal import same
from minifw.testing._explain import worst
from minifw.testing._numeric import differences, mismatches
from minifw.testing._questions import run
from minifw.testing._report import Failure, NotApplicable, Question, Report, judge, told
from minifw.testing.layers._compare import compare
from minifw.testing.layers._situation import Situation
from minifw.testing.layers._subject import gradients
from minifw.testing.losses._adapter import ObjectiveAsLayer, OfALoss, flat, loss_subject

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
        Prints the likeliest cause first; `table()` has all verdicts.

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
    return judge(repr(objective), OBJECTIVE_CHECKS, subject)


def objective_subject(objective: Objective, x: Any, target: Any, seed: int = 0) -> OfALoss:
    """Return what the checks take, or raise if it is not an objective or no batch."""
    check_subject("check_objective", "an objective", objective, Objective, seed)
    return OfALoss.of("check_objective", ObjectiveAsLayer, objective, seed, x=x, target=target)


# -- the verdicts ----------------------------------------------------------------------


def _answers(s: OfALoss) -> None:
    loss = run(s, s.twin(), {**s.given(np.float64), "dy": np.ones(1)})["loss"]
    if not np.isfinite(loss).all():
        raise Failure(f"forward must return a finite float, it returned {loss[0]}")


def _gradient(s: OfALoss, *, of_x: bool) -> None:
    try:
        compare(Situation.of(s, training=True), of_x=of_x)
    except Failure:
        _hold_the_loss(s)  # to which the model is no more than the prediction
        raise


def _hold_the_loss(s: OfALoss) -> None:
    layer: Any = s.twin()
    inputs = s.inputs()
    s.forward(layer, inputs)
    (_, target), _ = layer.arguments(map(inputs.get, layer.input_names))
    with told(f"its loss, {layer.inner.loss!r}, is wrong: "):
        loss = loss_subject(layer.inner.loss, layer.inner.prediction, target, s.seed)
        compare(loss.situation(loss.answered(loss.given(np.float64))), of_x=True)


def _penalties(s: OfALoss) -> None:
    """Hold what each adds to gradients that are not 0, called twice, against differences."""
    layer: Any = s.twin()
    for penalty in layer.inner._penalties:
        for parameter in [p for _, p in layer.named_parameters()]:
            parameter.grad = np.full(parameter.shape, 7.0)
        penalty.backward()
        penalty.backward()
        for name, parameter in layer.named_parameters():
            if not parameter.frozen:
                _hold(penalty, name, parameter)
            elif (parameter.grad != 7.0).any():
                raise Failure(
                    f"{penalty!r}.backward changes the gradient of {name}, which is frozen"
                )


def _hold(penalty: Penalty, name: str, parameter: Parameter) -> None:
    true = differences(lambda: np.array(penalty.forward()), parameter.value, np.ones(()))
    added = (parameter.grad - 7.0) / 2
    wrong = mismatches(added, true)
    if wrong.any():
        raise Failure(
            f"{penalty!r}.backward must add its derivative, once at each call: to "
            f"{worst(f'd{name}', added, true, wrong)}"
        )


def in_turn(s: OfALoss) -> None:
    """Hold the objective, which may join activation and loss, against the two in turn."""
    layer: Any = s.twin()
    inputs, apart = s.inputs(draw=3), copy.deepcopy(layer.inner)
    found = run(s, layer, inputs)
    (x, target), _ = layer.arguments(map(inputs.get, layer.input_names))
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        prediction = apart.model(*flat(x))
        value = apart.loss.forward(prediction, target)
        dxs = flat(apart.model.backward(*flat(apart.loss.backward())))
        for penalty in apart._penalties:
            value += penalty.forward()
            penalty.backward()
    if any(issubclass(w.category, SaturationWarning) for w in warned):
        raise NotApplicable("the loss of the prediction saturates")
    expected = {"loss": np.array([value]), **dict(zip(s.dxs, dxs, strict=False))}
    for results, made in ((expected, prediction), (found, layer.inner.prediction)):
        results |= {f"prediction {i}": y for i, y in enumerate(flat(made))}
    joint = "the joint form against activation and loss in turn"
    what = joint if any(apart._activations) else "against model and loss in turn"
    same(what, expected | gradients(apart.model), found, TWO_FORMS)


IN_TURN = "as model and loss in turn"
GRADIENTS = "the gradients are the derivatives of the loss"

OBJECTIVE_CHECKS: tuple[Question, ...] = (
    Question("a finite float, and a backward", _answers, needed=True),
    Question("a generator of its own", ask.global_generator, needed=True),
    Question(IN_TURN, in_turn),
    Question(GRADIENTS, partial(_gradient, of_x=False), after=(IN_TURN,)),
    Question(
        "the input gradient is the derivative of the loss",
        partial(_gradient, of_x=True),
        after=(IN_TURN, GRADIENTS),
    ),
    Question("each penalty adds its derivative", _penalties),
    Question("backward before forward", ask.backward_first),
    Question("gradients overwritten", ask.overwrites),
    Question("writes into nothing", ask.writes_nothing),
    Question("leaves parameters alone", ask.leaves_parameters),
    Question("deterministic", ask.deterministic),
    Question("a second batch", ask.latest_forward),
    Question("deepcopy", ask.copied("deepcopy", copy.deepcopy)),
)
