"""The verdicts on a loss."""

import contextlib
import copy
import inspect
import math
from functools import partial
from typing import Any

import numpy as np

from minifw.core.objective import Objective
from minifw.errors import NonFiniteError
from minifw.losses import Loss
from minifw.testing import _questions as ask
from minifw.testing._arguments import LARGER, Arguments, bound
from minifw.testing._equal import ROUNDING, Results, copies, same
from minifw.testing._extremes import SCALES, Outcome
from minifw.testing._questions import run
from minifw.testing._report import (
    Failure,
    NotApplicable,
    Question,
    Report,
    judge,
    leave_declared,
    told,
)
from minifw.testing.layers._check import LAYER_CHECKS
from minifw.testing.layers._compare import compare
from minifw.testing.losses._adapter import LossAsLayer, LossSubject, flat, loss_subject
from minifw.testing.losses._extremes import FAR, extremes
from minifw.testing.losses._objective import in_turn, objective_subject
from minifw.typing import Array

SHARED = "sample_weight"
WEIGHT_NAMES = (SHARED, "weight", "weights")


def check_loss(loss: Loss, prediction: Any, target: Any = None, *, seed: int = 0) -> Report:
    """Check everything that the contract of a loss asks, and say what is wrong.

    Parameters
    ----------
    loss : Loss
        It is copied, and left as it is.
    prediction : array of float64 or float32
        A batch of predictions that it accepts, one row per example. The checks
        draw others like it: of the same signs, and within the same range. Of a loss that takes
        several outputs it is a tuple, and all is asked of each output in turn.
    target : array, or tuple of arrays
        Their targets. Numbers of floating point in the shape of the prediction
        are cast with it; others, such as integer labels, are left as they are. None where a
        loss takes none.
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
    >>> from minifw import Loss
    >>> from minifw.testing import CheckError, check_loss
    >>> class SquaredError(Loss):
    ...     def forward(self, prediction, target):
    ...         self.check(prediction, target)
    ...         error = prediction - target
    ...         self.save(error)
    ...         return float(np.mean(error**2))
    ...     def backward(self):
    ...         (error,) = self.saved()
    ...         return 2 * error
    >>> p, t = np.random.default_rng(0).standard_normal((2, 7, 1))
    >>> try:
    ...     check_loss(SquaredError(), p, t)
    ... except CheckError as error:
    ...     print(error.report.failures[0].message)  # doctest: +ELLIPSIS
    gradient: it is 5 times too large: 5 is the number of elements, ... (gradient[..., 0] is ...)
    """
    __tracebackhide__ = True
    subject = loss_subject(loss, prediction, target, seed)
    return judge(repr(loss), LOSS_CHECKS, subject)


# -- results and gradients -------------------------------------------------------------


def _answers(s: LossSubject) -> None:
    loss, given = copy.deepcopy(s.layer.inner), s.given()
    (prediction, target), _ = s.layer.arguments(map(given.get, s.names))
    value = loss.forward(prediction, target)
    if type(value) is not float:
        raise Failure(f"forward must return a Python float, it returned {value!r}: use float(...)")
    if not math.isfinite(value):
        raise Failure(f"forward returned {value} for the prediction that was given")
    made = loss.backward()
    shapes, found = ([getattr(a, "shape", None) for a in flat(v)] for v in (prediction, made))
    if found != shapes or type(made) is list:
        a = f"a tuple of {len(shapes)} gradients, each" if loss.takes_several else "a gradient"
        raise Failure(
            f"backward must return {a} in the shape of the prediction, {_shown(shapes)}, it "
            f"returned {_shown(found)}"
        )


def _shown(shapes: Any) -> str:
    return " and ".join(map(str, shapes))


def _gradient(s: LossSubject) -> None:
    given, alone = s.answered(s.given(np.float64)), (s.inputs(1, draw=i) for i in range(3))
    for inputs in (s.inputs(), given, s.inputs(ask.OTHER_ROWS), *alone):
        compare(s.situation(inputs), of_x=True)


def _mean(s: LossSubject) -> None:
    """Find a sum: of the same rows twice it is twice as large, and a mean the same."""
    rows = s.input(draw=1)
    doubled = {name: np.concatenate([array] * 2) for name, array in rows.items()}
    once, twice = s.value(rows), s.value(doubled)
    found = f"of the same rows twice the loss is {twice:.6g}, of once {once:.6g}"
    if math.isclose(twice, 2 * once) and once:
        raise Failure(
            "it is a sum over the batch, and must be the mean: np.mean in place of np.sum, in "
            f"backward, too ({found})"
        )
    if not math.isclose(twice, once):
        leave_declared(s.layer, "rows")
        raise NotApplicable(f"{found}: no mean over the rows, so it depends on batch_size")


def _finite(s: LossSubject) -> None:
    for name, _, outcome in extremes(s, (*SCALES, FAR)):
        if outcome.fault:
            raise Failure(f"with {name}, {outcome.fault}", telling=0)


def _exact_at_extremes(s: LossSubject) -> None:
    if s.domain == "clipped":
        raise NotApplicable(
            "outside of [0, 1] the prediction is clipped, and the gradient need not be 0 where it "
            "is: refuse what is outside with a ValueError, and the edges are checked, too"
        )
    for name, inputs, outcome in extremes(s):
        if outcome.results and not (outcome.fault or outcome.saturated):
            with told(f"with {name}, where a clamp in forward or backward alone would show, "):
                compare(s.situation(inputs), of_x=True)


def _joint_forms(s: LossSubject) -> None:
    """Hold each joint form against differences, and against activation and loss in turn."""
    loss, asked = s.layer.inner, False
    for kind in vars(type(loss)).get("joins", ()):
        joint = None
        with contextlib.suppress(TypeError):  # an activation that needs arguments
            joint = loss.joined_with(kind())
        if joint is not None:
            asked, target = True, s.given(np.float64)["target"]
            logits = s.rng(17).standard_normal(s.xs[0].shape)  # type: ignore[union-attr]
            with told(f"joined with {kind.__name__}, "):
                _gradient(s.at(joint, xs=(logits, target)))
                objective = Objective(kind(), copy.deepcopy(loss))
                in_turn(objective_subject(objective, logits, target, s.seed))
    if not asked:
        raise NotApplicable("it declares none that can be tried")


# -- arguments -------------------------------------------------------------------------


def _refuses_shapes(s: LossSubject) -> None:
    if s.names != ("prediction", "target") or s.xs[1] is None or not s.layer.inner.takes_target:
        raise NotApplicable("it takes no target, or several")
    p, t = s.input(draw=9).values()
    pairs = {"fewer rows of the target": (p, t[:-1]), "one row of the target": (p, t[:1])}
    hint = ""
    if t.dtype.kind == "f" and t.shape == p.shape:
        hint = ": call self.check(prediction, target)"
        pairs = {"a target with one axis more": (p, t[..., np.newaxis]), **pairs}
        if p.ndim > 1:
            pairs["a target with one axis less"] = p, t[..., 0]
            pairs["a prediction with one axis less"] = p[..., 0], t
            pairs["a target of one column"] = p, t[..., :1]
    for name, (prediction, target) in pairs.items():
        batch = {"prediction": prediction, "target": target}
        outcome = Outcome.of(lambda: s.forward(s.twin(), copies(batch)))  # noqa: B023
        loss = outcome.results.get("loss", [outcome.error])[0]
        refused = isinstance(loss, ValueError) and not isinstance(loss, NonFiniteError)
        if not refused and (prediction.shape, target.shape) != (p.shape, t.shape):
            raised = isinstance(loss, Exception)
            how = f"raised {type(loss).__name__}:" if raised else "was broadcast to a loss of"
            raise Failure(
                f"{name}, {prediction.shape} against {target.shape}, must raise ValueError, it "
                f"{how} {loss}{hint}"
            )


def _weights(s: LossSubject) -> None:
    (name,) = [*inspect.signature(s.layer.inner.forward).parameters][2:3] or ("",)
    if name not in WEIGHT_NAMES:
        raise NotApplicable("forward takes no weights")
    weighted = s.at(s.layer.inner, name, xs=(*s.xs, _accepted_weights(s, name)))
    inputs = weighted.inputs(draw=10)
    compare(weighted.situation(inputs), of_x=True)
    w = inputs[name]

    def by(other: Array) -> Results:
        return run(weighted, weighted.twin(), {**inputs, name: other})

    plain = run(s, s.twin(), inputs)
    same(f"without weights and with {name} of ones", plain, by(np.ones_like(w)), ROUNDING)
    if name == SHARED:  # minifw's own name, for which its contract asks for shares
        once, half = by(w)["loss"][0], by(w / 2)["loss"][0]
        if math.isclose(half, once / 2) and not math.isclose(half, once):
            raise Failure(
                f"with {name} halved the loss is halved: the weights must be divided by their "
                "sum, as self.shares(prediction, sample_weight) does"
            )
    left_out = by(np.where(np.arange(len(w)) == 0, 0.0, w.T).T)
    if any(left_out[dx][0].any() for dx in s.real):
        raise Failure(f"a row whose {name} is 0 has a gradient all the same")


def _accepted_weights(s: LossSubject, name: str) -> Array:
    """Return random weights in the shape that the loss takes: per element, or per row."""
    given = s.given(np.float64)
    rows = len(given[s.names[0]])
    first = [(rows,)] if name == SHARED else []  # what all take
    for shape in (*first, *(array.shape for array in given.values()), (rows,), (rows, 1)):
        w: Array = s.rng(11).uniform(0.5, 1.5, shape)
        with contextlib.suppress(ValueError, TypeError, IndexError):
            s.at(s.layer.inner, name).twin().forward(*map(given.get, s.names), w)
            return w
    raise Failure(f"forward accepts {name} neither per element nor per row")


def _not_silent(s: LossSubject) -> None:
    given = s.inputs(draw=12)
    gradients = run(s, s.twin(), given)
    for dx in s.real:
        rows = np.flatnonzero(gradients[dx].reshape(len(gradients[dx]), -1).any(axis=1))
        values = []
        for row in {0, *rows[:1].tolist()}:  # the first may be one that the loss leaves out
            inputs = copies(given)
            inputs[s.dxs[dx]][row] = np.nan
            values.append(s.value(inputs))
        if rows.size and np.isfinite(values).all():
            raise Failure(f"a NaN in {s.dxs[dx]} passes silently: the loss is {values[-1]}")


def _uses_arguments(s: LossSubject) -> None:
    def behaviour(loss: Loss, scale: float) -> Results:
        return run(s, LossAsLayer(loss, s.layer.forms), s.scaled(scale, s.inputs(draw=15)))

    # A bound is felt far out only.
    scales = [LARGER**n for n in ((0,) if s.domain else (0, 1, -1, 2, -2))]
    behaviours = [partial(behaviour, scale=scale) for scale in scales]
    loss = s.layer.inner
    Arguments(type(loss), bound(loss), behaviours).judge()


def _right_with_others(s: LossSubject) -> None:
    def hold(loss: Loss) -> None:
        other = s.at(loss)
        compare(other.situation(other.inputs()), of_x=True)

    ask.right_with_others(s.layer.inner, partial(hold, s.layer.inner), hold)


_LAYERS = {question.name: question.put for question in LAYER_CHECKS}
DETERMINISTIC, STATE, FLOAT64 = "deterministic", "keeps its state in itself", "float64 throughout"
GRADIENT = "the gradient is the derivative of the loss"
WRITES = "writes into nothing"

LOSS_CHECKS: tuple[Question, ...] = (
    Question("a finite float, and a gradient of the right shape", _answers, needed=True),
    Question("a generator of its own", ask.global_generator, needed=True),
    Question(WRITES, ask.writes_nothing),
    Question(DETERMINISTIC, ask.deterministic, after=(WRITES,)),
    Question(STATE, ask.keeps_its_state, after=(WRITES, DETERMINISTIC)),
    Question(FLOAT64, _LAYERS[FLOAT64]),
    Question(GRADIENT, _gradient, after=(STATE, FLOAT64)),
    Question("the gradient at extremes", _exact_at_extremes, after=(GRADIENT,)),
    Question("finite at extremes", _finite),
    Question("weights", _weights, after=(GRADIENT,)),
    Question("gradients with other arguments", _right_with_others, after=(GRADIENT,)),
    Question("joint forms", _joint_forms, after=(GRADIENT,)),
    Question("the mean over the rows", _mean),
    Question("forward twice, then backward", ask.latest_forward, after=(WRITES, GRADIENT)),
    Question("backward twice", ask.backward_twice, after=(WRITES,)),
    Question("backward before forward", ask.backward_first),
    Question("memory layouts, read-only", ask.layouts, after=(WRITES, FLOAT64)),
    Question("float32 in, float32 out", _LAYERS["float32 in, float32 out"]),
    Question("a NaN is not silent", _not_silent),
    Question("refuses other shapes", _refuses_shapes),
    Question("deepcopy", ask.copied("deepcopy", copy.deepcopy), after=(DETERMINISTIC,)),
    Question(
        "pickle",
        ask.copied("pickle", lambda layer: ask.pickled(layer, layer.inner)),
        after=(DETERMINISTIC,),
    ),
    Question("uses every argument", _uses_arguments),
)
