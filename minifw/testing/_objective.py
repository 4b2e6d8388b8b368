"""The verdicts on an objective: a model and a loss together."""

import contextlib
import copy
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from minifw._tools.checks import describe
from minifw.core.objective import Objective
from minifw.errors import NonFiniteError, SaturationWarning
from minifw.testing._compare import constant_factor, factor_sentence, worst
from minifw.testing._layer_subject import hidden_state, jittered, put_back
from minifw.testing._numeric import Slopes, differences, mismatches
from minifw.testing._report import Failure, NotApplicable, Report, judge
from minifw.typing import Array

__all__ = ["OBJECTIVE_CHECKS", "ObjectiveSubject", "check_objective", "objective_subject"]

Batch: TypeAlias = tuple[Any, Any]
"""x and target, which may hold whole numbers."""

Gradients: TypeAlias = dict[str, Array]
"""The gradient of each parameter, by name."""

ROWS = 5  # of a random batch: a prime, so that a factor of 5 comes from nothing else

ROUNDING = 1e-10  # what the same sums may differ by, relative to the largest
TWO_FORMS = 1e-6  # the same of a joint form and the two apart, which lose digits beside 1
FLOAT32_TWO_FORMS = 1e-2  # the same in float32


def check_objective(objective: Objective, x: Any, target: Any, *, seed: int = 0) -> Report:
    """Check that an objective gives the loss, and the gradient of every parameter.

    Parameters
    ----------
    objective : Objective
        It is copied, and left as it is.
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
    if not isinstance(objective, Objective):
        raise TypeError(f"check_objective expects an objective, got {describe(objective)}")
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

    def batch(self, rows: int = ROWS, *, draw: int = 0) -> Batch:
        """Return random rows of those given, with x moved within its range."""
        rng = np.random.default_rng([self.seed, draw, 1])
        chosen = rng.permutation(np.arange(max(rows, len(self.x))) % len(self.x))[:rows]
        x, target = self.x[chosen], self.target[chosen]
        if x.dtype.kind == "f":
            moved = jittered(x, rng).clip(self.x.min(), self.x.max())
            x = moved.astype(x.dtype)
        return x, target


def _run(objective: Objective, batch: Batch) -> tuple[float, Gradients]:
    """Return the loss and the gradients; the objective is given copies."""
    x, target = batch
    value = objective.forward(x.copy(), target.copy())
    objective.backward()
    return value, _gradients(objective)


def _gradients(objective: Objective) -> Gradients:
    return {name: p.grad.copy() for name, p in objective.model.named_parameters()}


def _differing(found: Gradients, expected: Gradients, tolerance: float) -> list[str]:
    """Return the names of the gradients that differ by more than rounding."""
    scale = max((float(np.max(np.abs(g), initial=0.0)) for g in expected.values()), default=0.0)
    return [
        name
        for name, gradient in expected.items()
        if not np.all(np.abs(found[name] - gradient) <= tolerance * scale)
    ]


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
    batch = s.batch(draw=1)
    _, found = _run(s.twin(), batch)
    sentences = []
    for name, gradient in found.items():
        slopes = _slopes(s, name, batch)
        wrong = mismatches(gradient, slopes)
        if wrong.any():
            reason = _explain(gradient, slopes, batch)
            sentence = worst(f"{name}.grad", gradient, slopes, wrong)
            sentences.append(f"{sentence}: {reason}" if reason else sentence)
    if sentences:
        raise Failure("\n".join(sentences))


def _slopes(s: ObjectiveSubject, name: str, batch: Batch) -> Slopes:
    """Return the gradient of one parameter by differences."""
    objective = s.twin()
    states = hidden_state(objective.model)

    def forward() -> Array:
        put_back(objective.model, states)
        x, target = batch
        return np.array([objective.forward(x.copy(), target.copy())])

    value = dict(objective.model.named_parameters())[name].value
    return differences(forward, value, np.ones(1), np.random.default_rng([s.seed, 2]))


def _explain(gradient: Array, slopes: Slopes, batch: Batch) -> str:
    asked = ~np.isnan(slopes.value)
    if not np.isfinite(gradient).all():
        return "it holds a NaN or an infinity"
    if not gradient[asked].any():
        return "it is zero everywhere"
    factor = constant_factor(gradient, slopes)
    if factor is not None:
        x, target = batch
        sizes = {
            "the batch size": len(x),
            "the number of elements of the target": target.size,
            "the number of elements of a row of the target": target.size // len(target),
        }
        return factor_sentence(factor, sizes)
    transposed = Slopes(*(part.T for part in vars(slopes).values()))
    square = gradient.ndim == 2 and gradient.shape[0] == gradient.shape[1]
    if square and not mismatches(gradient, transposed).any():
        return "it is transposed"
    return ""


def _prediction(s: ObjectiveSubject) -> None:
    objective, twin, (x, target) = s.twin(), s.twin(), s.batch(draw=2)
    objective.forward(x, target)
    found, expected = objective.prediction, twin.model.forward(x)
    if found.shape != expected.shape:
        raise Failure(f"prediction has shape {found.shape}, model.forward gives {expected.shape}")
    if not np.allclose(found, expected, rtol=ROUNDING, atol=ROUNDING):
        raise Failure("prediction is something else than model.forward(x)")


def _apart(s: ObjectiveSubject) -> None:
    """Hold the objective, which may join activation and loss, against the two in turn."""
    batch = x, target = s.batch(draw=3)
    value, found = _run(s.twin(), batch)
    apart = s.twin()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        expected = apart.loss.forward(apart.model.forward(x), target)
        apart.model.backward(apart.loss.backward())
    if any(issubclass(w.category, SaturationWarning) for w in warned):
        raise NotApplicable("the loss of the prediction saturates")
    low = any(p.dtype == np.float32 for p in apart.model.parameters())
    tolerance = FLOAT32_TWO_FORMS if low else TWO_FORMS
    if not math.isclose(value, expected, rel_tol=tolerance, abs_tol=tolerance):
        raise Failure(f"the loss is {value}, loss.forward(prediction, target) gives {expected}")
    wrong = _differing(found, _gradients(apart), tolerance)
    if wrong:
        raise Failure(
            f"the gradient of {', '.join(wrong)} is not what loss.backward and model.backward "
            "give in turn"
        )


def _backward_first(s: ObjectiveSubject) -> None:
    model, loss = copy.deepcopy((s.objective.model, s.objective.loss))
    try:
        objective = type(s.objective)(model, loss)
    except TypeError as error:
        raise NotApplicable(f"it cannot be built anew: {error}") from None
    try:
        objective.backward()
    except RuntimeError:
        return
    raise Failure("backward before forward must raise RuntimeError")


def _overwrites(s: ObjectiveSubject) -> None:
    objective, batch = s.twin(), s.batch(draw=4)
    x, target = batch
    objective.forward(x, target)
    for parameter in objective.model.parameters():
        parameter.grad = np.full(parameter.shape, np.nan)
    with contextlib.suppress(NonFiniteError):  # the gradients tell more
        objective.backward()
    found = _gradients(objective)
    kept = [name for name, gradient in found.items() if np.isnan(gradient).any()]
    if kept:
        raise Failure(
            f"the gradient of {', '.join(kept)} was NaN before backward, and is NaN after it: it "
            "is added to or never set, where backward must overwrite it"
        )


def _writes_nothing(s: ObjectiveSubject) -> None:
    objective, batch, kept = s.twin(), s.batch(draw=5), s.batch(draw=5)
    values = {name: p.value.copy() for name, p in objective.model.named_parameters()}
    objective.forward(*batch)
    objective.backward()
    for name, array, before in zip(("x", "target"), batch, kept, strict=True):
        if not np.array_equal(array, before):
            raise Failure(f"forward or backward writes into {name}")
    for name, parameter in objective.model.named_parameters():
        if not np.array_equal(parameter.value, values[name]):
            raise Failure(f"forward or backward changes the parameter {name}")


def _deterministic(s: ObjectiveSubject) -> None:
    first, second = (_run(s.twin(), s.batch(draw=6)) for _ in range(2))
    differing = _differing(second[1], first[1], 0.0)
    if first[0] != second[0] or differing:
        raise Failure("two copies give another loss or gradient for the same batch")


def _latest_forward(s: ObjectiveSubject) -> None:
    first, second = s.batch(draw=7), s.batch(ROWS - 2, draw=8)
    expected, stale = _run(s.twin(), second), _run(s.twin(), first)
    for between in (True, False):
        objective = s.twin()
        states = hidden_state(objective.model)
        objective.forward(*first)
        if between:
            objective.backward()
        put_back(objective.model, states)
        value, found = _run(objective, second)
        wrong = _differing(found, expected[1], ROUNDING)
        if wrong:
            old = not _differing(found, stale[1], ROUNDING)
            reason = ": it is stale, it belongs to the first" if old else ""
            raise Failure(
                f"after a second batch, the gradient of {', '.join(wrong)} is wrong{reason}"
            )
        if not math.isclose(value, expected[0], rel_tol=ROUNDING, abs_tol=ROUNDING):
            raise Failure(f"the loss of a second batch is {value}, alone it is {expected[0]}")


def _deepcopy(s: ObjectiveSubject) -> None:
    objective, batch = s.twin(), s.batch(draw=9)
    states = hidden_state(objective.model)
    expected = _run(objective, batch)
    put_back(objective.model, states)
    twin = copy.deepcopy(objective)
    found = _run(twin, batch)
    if found[0] != expected[0] or _differing(found[1], expected[1], 0.0):
        raise Failure("a deepcopy gives another loss or gradient")
    _run(twin, s.batch(draw=10))
    if _differing(_gradients(objective), expected[1], 0.0):
        raise Failure("a backward of its deepcopy changes the gradients of the objective")


Check: TypeAlias = Callable[[ObjectiveSubject], None]


OBJECTIVE_CHECKS: tuple[tuple[str, Check], ...] = (
    ("a finite float, and a backward", _answers),
    ("the gradients are the derivatives of the loss", _gradient),
    ("prediction is model.forward(x)", _prediction),
    ("as model and loss in turn", _apart),
    ("backward before forward", _backward_first),
    ("gradients overwritten", _overwrites),
    ("writes into nothing", _writes_nothing),
    ("deterministic", _deterministic),
    ("a second batch", _latest_forward),
    ("deepcopy", _deepcopy),
)
