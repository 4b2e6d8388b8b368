"""The verdicts on a loss."""

import copy
import inspect
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from minifw._tools.checks import check_is, describe
from minifw.errors import NonFiniteError
from minifw.losses import Loss
from minifw.testing import _questions as ask
from minifw.testing._arguments import LARGER, Arguments, bound
from minifw.testing._equal import ROUNDING, Results, cast, copies, same
from minifw.testing._questions import run
from minifw.testing._report import Failure, NotApplicable, Question, Report, judge, told
from minifw.testing.losses._explain import loss_fault
from minifw.testing.losses._extremes import extremes
from minifw.testing.losses._subject import BATCH, LossSubject
from minifw.typing import Array

SHARED = "sample_weight"
WEIGHT_NAMES = (SHARED, "weight", "weights")

INSIDE = (1e-2, 1 - 1e-2)  # probabilities that have most of their digits in float32, too
FLOAT32_ROUNDING = 1e-3  # what float32 may differ by from float64, where 1 - p cancels a little
FLOAT32_FLOOR = 1e-6  # and what is left of a gradient where it cancels altogether


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
        Prints as a table of named verdicts.

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
    gradient[..., 0] is ..., differences give ...; 5 of 5 elements are wrong: it is 5 times ...
    """
    __tracebackhide__ = True
    subject = loss_subject(loss, prediction, target, seed)
    judge(repr(loss), LOSS_CHECKS[:1], subject)  # or else all would repeat its fault
    return judge(repr(loss), LOSS_CHECKS, subject)


def loss_subject(loss: Loss, prediction: Any, target: Any = None, seed: int = 0) -> LossSubject:
    """Return what the checks take, or raise if it is no loss or no batch."""
    check_is("check_loss", "a loss", loss, Loss, call="()")
    if loss.takes_several:
        check_is("check_loss", "a tuple of predictions, one for each output", prediction, tuple)
        target = (*(target or ()), *(None,) * (len(prediction) - len(target or ())))
    pairs = zip(prediction, target, strict=True) if loss.takes_several else [(prediction, target)]
    for p, t in pairs:
        array = isinstance(p, np.ndarray) and p.dtype.kind == "f"
        if not array or p.ndim < 1 or not p.size:
            raise TypeError(
                "check_loss expects prediction to be a batch of floating-point numbers, got "
                f"{describe(p)}"
            )
        left_out = t is None and (loss.takes_several or not loss.takes_target)
        if not left_out and not (isinstance(t, np.ndarray) and t.shape[:1] == p.shape[:1]):
            raise TypeError(
                f"check_loss expects target to be an array of {len(p)} rows, as prediction, got "
                f"{describe(t)}"
            )
    return LossSubject(loss, prediction, target, seed)


def _of_each(question: Callable[[LossSubject], Any]) -> Callable[[LossSubject], None]:
    """Put a question to each output in turn; it is left open if it is for all of them."""

    def check(s: LossSubject) -> None:
        open_ = []
        for part in s.parts:
            try:
                with told(f"of output {part.output}, " if part.whole else ""):
                    question(part)
            except NotApplicable as reason:
                open_.append(reason)
        if open_ and len(open_) == len(s.parts):
            raise open_[0]

    return check


# -- results ---------------------------------------------------------------------------


def _answers(s: LossSubject) -> None:
    loss, prediction = s.twin(), s.given()["prediction"]
    value = loss.forward(*s.arguments(s.given()))
    if type(value) is not float:
        raise Failure(f"forward must return a Python float, it returned {value!r}: use float(...)")
    if not math.isfinite(value):
        raise Failure(f"forward returned {value} for the prediction that was given")
    gradient = s.backward(loss, {})["gradient"]
    if not isinstance(gradient, np.ndarray):
        raise Failure(f"backward must return an array, it returned {gradient!r}")
    if gradient.shape != prediction.shape:
        raise Failure(
            f"backward must return a gradient in the shape of the prediction, {prediction.shape}, "
            f"it returned {gradient.shape}"
        )


def _dtype_kept(s: LossSubject) -> None:
    for dtype in (np.float64, np.float32):
        gradient = run(s, s.twin(), s.given(dtype))["gradient"]
        ask.keeps_dtype({"gradient": gradient}, dtype)


def _float32_near(s: LossSubject) -> None:
    low = cast(_inside(s), np.float32)
    value = s.twin().forward(*s.arguments(copies(low)))
    if type(value) is not float:
        raise Failure(f"forward must return a Python float in float32, too, it returned {value!r}")
    expected = run(s, s.twin(), cast(low, np.float64))
    found = cast(run(s, s.twin(), low), np.float64)
    same("in float64 and in float32", expected, found, FLOAT32_ROUNDING, FLOAT32_FLOOR)


def _inside(s: LossSubject) -> Results:
    """Return a batch whose numbers have their digits, as probabilities near 1 have not."""
    inputs = s.inputs(draw=1)
    return {**inputs, "prediction": inputs["prediction"].clip(*INSIDE)} if s.bounded else inputs


def _precise(s: LossSubject) -> None:
    inputs = _inside(s)
    ask.not_through_float32(run(s, s.twin(), inputs))
    if loss_fault(s, inputs).noisy:
        raise Failure(
            "the loss of a float64 prediction is computed in a lower precision, such as float32: "
            "it has too few digits for its differences"
        )


# -- the gradient ----------------------------------------------------------------------


def _gradient(s: LossSubject) -> None:
    for inputs in (s.inputs(draw=1), s.given(), s.inputs(BATCH - 2, draw=2)):
        _held_against_differences(s, inputs)


def _mean(s: LossSubject) -> None:
    """Find a sum: of the same rows twice it is twice as large, and a mean the same."""
    rows = s.inputs(draw=1)
    doubled = {name: np.concatenate([array] * 2) for name, array in rows.items()}
    once, twice = s.value(rows), s.value(doubled)
    if math.isclose(twice, once):
        return
    if math.isclose(twice, 2 * once):
        raise Failure(
            f"of the same rows twice the loss is {twice:.6g}, of once {once:.6g}: it is a sum "
            "over the batch, and must be the mean: np.mean in place of np.sum, in backward, too"
        )
    raise NotApplicable(
        f"of the same rows twice the loss is {twice:.6g}, of once {once:.6g}: no mean over the "
        "rows, so that it depends on batch_size"
    )


def _batch_of_one(s: LossSubject) -> None:
    _right_elsewhere(s)
    for draw in range(3):
        _held_against_differences(s, s.inputs(1, draw=draw))


def _right_elsewhere(s: LossSubject) -> None:
    """Stop if the gradient is wrong for any batch: to say so once is enough."""
    if loss_fault(s, s.inputs(draw=1)).wrong.any():
        raise NotApplicable("the gradient is wrong for an ordinary batch")


def _held_against_differences(s: LossSubject, inputs: Results) -> None:
    fault = loss_fault(s, inputs)
    if fault.wrong.any():
        raise Failure(fault.sentence())


# -- order of calls --------------------------------------------------------------------


def _writes_nothing(s: LossSubject) -> None:
    ask.writes_nothing(s)
    loss, inputs = s.twin(), s.inputs(draw=3)
    s.forward(loss, inputs)
    gradient = s.backward(loss, inputs)["gradient"]
    for name, array in inputs.items():
        if np.shares_memory(gradient, array):
            raise Failure(f"backward returns the memory of the {name}")


# -- arguments -------------------------------------------------------------------------


def _refuses_shapes(s: LossSubject) -> None:
    if s.target is None or not s.loss.takes_target:
        raise NotApplicable("it takes no target")
    prediction, target = s.inputs(draw=9).values()
    pairs = {}
    if s.alike:
        pairs["a target with one axis more"] = prediction, target[..., np.newaxis]
        if prediction.ndim > 1:
            pairs["a target with one axis less"] = prediction, target[..., 0]
            pairs["a prediction with one axis less"] = prediction[..., 0], target
        if prediction.ndim > 1 and prediction.shape[-1] > 1:
            pairs["a target of one column"] = prediction, target[..., :1]
    pairs["fewer rows of the target"] = prediction, target[:-1]
    pairs["one row of the target"] = prediction, target[:1]
    for name, (p, t) in pairs.items():
        shapes = f"{name}, {p.shape} against {t.shape},"
        try:
            value = s.value({"prediction": p.copy(), "target": t.copy()})
        except ValueError as error:
            if isinstance(error, NonFiniteError):
                raise Failure(f"{shapes} is broadcast: {error}") from None
            continue
        except Exception as error:  # noqa: BLE001 - as any error is a finding
            raise Failure(
                f"{shapes} must raise ValueError, it raised {type(error).__name__}: {error}"
            ) from None
        raise Failure(
            f"{shapes} must raise ValueError, it was broadcast to a loss of {value}"
            + (": call self.check(prediction, target)" if s.alike else "")
        )


def _weights(s: LossSubject) -> None:
    names = list(inspect.signature(s.loss.forward).parameters)[2:3]
    if not names or names[0] not in WEIGHT_NAMES:
        raise NotApplicable("forward takes no weights")
    name, inputs = names[0], s.inputs(draw=10)
    weights = _accepted_weights(s, name, inputs)

    def weighted(by: Array) -> Results:
        return run(s, s.twin(), {**inputs, name: by})

    _held_against_differences(s, {**inputs, name: weights})
    plain, ones = run(s, s.twin(), inputs), weighted(np.ones_like(weights))
    same(f"without weights and with {name} of ones", plain, ones, ROUNDING)
    if name == SHARED:  # minifw's own name, for which its contract asks for shares
        once, half = (float(weighted(by)["loss"]) for by in (weights, weights / 2))
        if math.isclose(half, once / 2) and not math.isclose(half, once):
            raise Failure(
                f"with {name} halved the loss is halved: the weights must be divided by their "
                "sum, as self.shares(prediction, sample_weight) does"
            )
    weights[0] = 0.0
    if weighted(weights)["gradient"][0].any():
        raise Failure(f"a row whose {name} is 0 has a gradient all the same")


def _accepted_weights(s: LossSubject, name: str, inputs: Results) -> Array:
    """Return random weights in the shape that the loss takes: per element, or per row."""
    rows = len(inputs["prediction"])
    first = [(rows,)] if name == SHARED else []  # what all take
    for shape in (*first, *(array.shape for array in inputs.values()), (rows,), (rows, 1)):
        weights: Array = s.rng(11).uniform(0.5, 1.5, shape)
        try:
            s.forward(s.twin(), {**inputs, name: weights})
        except (ValueError, TypeError, IndexError):
            continue
        return weights
    raise Failure(f"forward accepts {name} neither per element nor per row")


# -- extremes --------------------------------------------------------------------------


def _finite(s: LossSubject) -> None:
    met = list(extremes(s))
    for name, _, outcome in met:
        if outcome.fault:
            raise Failure(f"with {name}, {outcome.fault}")
    if not met:
        raise NotApplicable(_no_extreme(s))


def _exact_at_extremes(s: LossSubject) -> None:
    _right_elsewhere(s)
    met = [case for case in extremes(s) if not (case[2].fault or case[2].saturated)]
    for name, inputs, _ in met:
        fault = loss_fault(s, inputs)
        if fault.wrong.any():
            raise Failure(f"with {name}, {fault.sentence(clamps=True)}")
    if not met:
        raise NotApplicable(_no_extreme(s))


def _no_extreme(s: LossSubject) -> str:
    if not s.clips:
        return "every extreme is out of its domain"
    return (
        "outside of [0, 1] the prediction is clipped, and the gradient need not be 0 there: "
        "refuse what is outside with a ValueError, and the edges are checked, too"
    )


def _not_silent(s: LossSubject) -> None:
    gradient = run(s, s.twin(), s.inputs(draw=12))["gradient"]
    heard = gradient.reshape(len(gradient), -1).any(axis=1)
    for row in (0, int(np.argmax(heard))):  # the first may be one that the loss leaves out
        inputs = s.inputs(draw=12)
        inputs["prediction"][row, ...] = np.nan
        try:
            value = s.value(inputs)
        except (ValueError, FloatingPointError):
            return
        if not math.isfinite(value):
            return
    raise Failure(f"a NaN among the predictions passes silently: the loss is {value}")


# -- constructor -----------------------------------------------------------------------


def _uses_arguments(s: LossSubject) -> None:
    inputs = s.inputs(draw=15)
    scales = (1.0,) if s.bounded else (1.0, LARGER, 1 / LARGER)  # a bound is felt far out only
    batches = [{**inputs, "prediction": inputs["prediction"] * scale} for scale in scales]
    behaviours = [partial(run, s, inputs=batch) for batch in batches]
    Arguments(type(s.loss), bound(s.loss), behaviours, what="loss").judge()


def _right_with_others(s: LossSubject) -> None:
    def hold(loss: Loss) -> None:
        subject = replace(s, loss=loss)
        _held_against_differences(subject, subject.inputs(draw=16))

    ask.right_with_others(s.loss, partial(hold, s.loss), hold)


_OF_ONE_OUTPUT: tuple[Question, ...] = (
    Question("a finite float, and a gradient of the right shape", _answers),
    Question("the gradient is the derivative of the loss", _gradient),
    Question("the mean over the rows", _mean),
    Question("the same for a batch of one", _batch_of_one),
    Question("dtype is kept", _dtype_kept),
    Question("float32 is near float64", _float32_near),
    Question("no lower precision inside", _precise),
    Question("finite at extremes", _finite),
    Question("the gradient at extremes", _exact_at_extremes),
    Question("a NaN is not silent", _not_silent),
    Question("refuses other shapes", _refuses_shapes),
    Question("memory layouts", ask.layouts),
    Question("writes into nothing", _writes_nothing),
    Question("deterministic", ask.deterministic),
    Question("forward twice, then backward", ask.latest_forward),
    Question("backward twice", ask.backward_twice),
    Question("backward before forward", ask.backward_first),
    Question("keeps its state in itself", ask.keeps_its_state),
    Question("deepcopy", ask.copied("deepcopy", copy.deepcopy)),
    Question("pickle", ask.copied("pickle", ask.pickled)),
    Question("weights", _weights),
    Question("uses every argument", _uses_arguments),
    Question("gradients with other arguments", _right_with_others),
)

LOSS_CHECKS: tuple[Question, ...] = tuple(
    replace(question, put=_of_each(question.put)) for question in _OF_ONE_OUTPUT
)
