"""The verdicts on an optimizer."""

import copy
import math
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from minifw._core.checks import describe
from minifw._core.parameter import Parameter
from minifw._core.typing import Array, Shape
from minifw.optimizers import SGD, Optimizer
from minifw.testing._compare import importable
from minifw.testing._report import Failure, NotApplicable, Report, judge

__all__ = ["OPTIMIZER_CHECKS", "OptimizerSubject", "check_optimizer", "optimizer_subject"]

MakeOptimizer: TypeAlias = Callable[[list[Parameter]], Optimizer]

SHAPES: tuple[Shape, ...] = ((3, 2), (4,), (1,))  # of unequal sizes, so that none is mistaken

RATES = (1.0, 0.1, 1e-2, 1e-3, 10.0, 100.0, 1e-4)  # tried after its own, the likely ones first
STEPS = 300  # enough for a descent that moves each number by 0.01 a step
FALL = 0.05  # of a quadratic: what is left when no direction was climbed or left out
CONDITION = 10.0  # the largest eigenvalue of the quadratic, 1, over the smallest
VALLEY = 0.25  # of Rosenbrock's function at its usual start: the floor of the valley is reached

FEW = 5  # steps after which any state has had its effect; odd, so that +lr and -lr do not cancel
MANY = 1000  # identical steps
ROUNDING = 1e-9  # what two orders of summation may come to after a few steps, relatively
FLOAT32_ROUNDING = 1e-3  # the same of float32 against float64


def check_optimizer(make_optimizer: MakeOptimizer, *, seed: int = 0) -> Report:
    """Check everything that the contract of an optimizer asks, and say what is wrong.

    Parameters
    ----------
    make_optimizer : callable
        Called with a list of parameters, it returns a new optimizer over them,
        such as ``lambda parameters: SGD(parameters, lr=0.1)``. Where the
        optimizer draws random numbers, it gives the same seed each time.
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

    Notes
    -----
    The functions to be lowered are tried with the optimizer's own learning rate
    and with powers of ten; one of them must do. What has a nonzero attribute
    `weight_decay` may move a parameter whose gradient is zero.

    Examples
    --------
    >>> from minifw import Optimizer
    >>> from minifw.testing import CheckError, check_optimizer
    >>> class Ascent(Optimizer):
    ...     def update(self, values, grads):
    ...         values += self.lr * grads
    >>> try:
    ...     check_optimizer(lambda parameters: Ascent(parameters, lr=0.1))
    ... except CheckError as error:
    ...     print(error.report.failures[0].message)
    it goes uphill: the sign of its step is that of the gradient
    """
    subject = optimizer_subject(make_optimizer, seed)
    return judge(repr(subject.make(subject.parameters())), OPTIMIZER_CHECKS, subject)


def optimizer_subject(make_optimizer: MakeOptimizer, seed: int = 0) -> "OptimizerSubject":
    """Return what the checks take, or raise if `make_optimizer` makes no optimizer."""
    if not callable(make_optimizer):
        raise TypeError(
            "check_optimizer expects a function that makes an optimizer, such as "
            f"lambda parameters: SGD(parameters, lr=0.1), got {describe(make_optimizer)}"
        )
    subject = OptimizerSubject(make_optimizer, seed)
    made = make_optimizer(subject.parameters())
    if not isinstance(made, Optimizer):
        raise TypeError(
            f"check_optimizer expects make_optimizer to return an optimizer, it returned "
            f"{describe(made)}"
        )
    return subject


# -- what is checked -------------------------------------------------------------------


@dataclass(frozen=True)
class OptimizerSubject:
    """A function that makes an optimizer, and a seed."""

    make: MakeOptimizer
    seed: int = 0

    def parameters(self, dtype: type = np.float64) -> list[Parameter]:
        """Return new parameters with the same random values each time."""
        rng = np.random.default_rng([self.seed, 0])
        values = [rng.standard_normal(shape) for shape in SHAPES]
        return [Parameter(np.asarray(value, dtype)) for value in values]

    def gradients(self, steps: int) -> list[list[Array]]:
        """Return random gradients, the same each time: for each step, one per parameter."""
        rng = np.random.default_rng([self.seed, 1])
        return [[rng.standard_normal(shape) for shape in SHAPES] for _ in range(steps)]

    def built(self, dtype: type = np.float64) -> "tuple[list[Parameter], Optimizer]":
        """Return new parameters and an optimizer over them."""
        parameters = self.parameters(dtype)
        return parameters, self.make(parameters)


def _walk(
    parameters: Sequence[Parameter], optimizer: Optimizer, gradients: list[list[Array]]
) -> list[Array]:
    """Make a step for each list of gradients; return copies of the values reached."""
    for step in gradients:
        for parameter, gradient in zip(parameters, step, strict=True):
            parameter.grad = gradient
        optimizer.step()
    return _values(parameters)


def _values(parameters: Sequence[Parameter]) -> list[Array]:
    return [parameter.value.copy() for parameter in parameters]


def _differing(values: list[Array], others: list[Array]) -> list[int]:
    """Return the indices of the parameters whose values differ in any bit."""
    pairs = zip(values, others, strict=True)
    return [i for i, (a, b) in enumerate(pairs) if not np.array_equal(a, b, equal_nan=True)]


def _named(indices: list[int]) -> str:
    return "parameter " + ", ".join(f"{i} of shape {SHAPES[i]}" for i in indices)


# -- descent ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Valley:
    """A function to be lowered: of one vector over all parameters, with its gradient."""

    name: str
    start: list[Array]
    value: Callable[[Array], float]
    gradient: Callable[[Array], Array]
    fall: float


def _quadratic(s: OptimizerSubject) -> _Valley:
    """Return (v - c)' A (v - c) / 2 with a random positive definite A."""
    rng = np.random.default_rng([s.seed, 2])
    start = _values(s.parameters())
    size = sum(value.size for value in start)
    turn, _ = np.linalg.qr(rng.standard_normal((size, size)))
    matrix = turn * np.geomspace(1, 1 / CONDITION, size) @ turn.T
    lowest = 0.1 * rng.standard_normal(size)  # near 0, so that a decay does not miss it by much
    return _Valley(
        "a quadratic",
        start,
        lambda v: float((v - lowest) @ matrix @ (v - lowest)) / 2,
        lambda v: matrix @ (v - lowest),
        FALL,
    )


def _rosenbrock(_: OptimizerSubject) -> _Valley:
    """Return (1 - a)^2 + 100 (b - a^2)^2 from (-1.2, 1): H. H. Rosenbrock, 1960."""

    def gradient(v: Array) -> Array:
        a, b = v
        return np.array([-2 * (1 - a) - 400 * a * (b - a * a), 200 * (b - a * a)])

    return _Valley(
        "Rosenbrock's function",
        [np.array([-1.2]), np.array([1.0])],
        lambda v: float((1 - v[0]) ** 2 + 100 * (v[1] - v[0] ** 2) ** 2),
        gradient,
        VALLEY,
    )


def _descend(s: OptimizerSubject, valley: _Valley, rate: float | None) -> float:
    """Return what is left of the function, relatively, after some steps at a learning rate."""
    parameters = [Parameter(value) for value in valley.start]
    optimizer = s.make(parameters)
    if rate is not None:
        optimizer.lr = rate
    start = valley.value(_joined(parameters))
    for _ in range(STEPS):
        _set_gradients(parameters, valley.gradient(_joined(parameters)))
        optimizer.step()
        left = valley.value(_joined(parameters)) / start
        if left <= valley.fall or not math.isfinite(left):
            return left
    return left


def _joined(parameters: Sequence[Parameter]) -> Array:
    return np.concatenate([parameter.value.ravel() for parameter in parameters])


def _set_gradients(parameters: Sequence[Parameter], gradient: Array) -> None:
    start = 0
    for parameter in parameters:
        part = gradient[start : start + parameter.size]
        parameter.grad = part.reshape(parameter.shape)
        start += parameter.size


def _lowers_quadratic(s: OptimizerSubject) -> None:
    _lowers(s, _quadratic(s))


def _lowers_rosenbrock(s: OptimizerSubject) -> None:
    _lowers(s, _rosenbrock(s))


def _lowers(s: OptimizerSubject, valley: _Valley) -> None:
    best = math.inf
    for rate in (None, *RATES):
        try:
            left = _descend(s, valley, rate)
        except (ValueError, FloatingPointError):  # its own refusal of what is not finite
            continue
        if left <= valley.fall:
            return
        best = min(best, left)
    raise Failure(_why_not_lower(s, valley) or _how_far(valley, best))


def _how_far(valley: _Valley, left: float) -> str:
    rates = ", ".join(f"{rate:g}" for rate in sorted(RATES))
    tried = f"in {STEPS} steps, with its own lr or with {rates}"
    if not math.isfinite(left):
        return f"it becomes non-finite on {valley.name}, {tried}"
    return (
        f"{valley.name} ends at {left:.3g} of its start {tried}; it must come below {valley.fall}"
    )


def _why_not_lower(s: OptimizerSubject, valley: _Valley) -> str | None:
    """Say what is wrong with the first steps, at the optimizer's own learning rate."""
    parameters = [Parameter(value) for value in valley.start]
    optimizer = s.make(parameters)
    before, first = _values(parameters), _joined(parameters)
    gradient = valley.gradient(first)
    for _ in range(FEW):
        _set_gradients(parameters, gradient)
        optimizer.step()
        if not np.isfinite(_joined(parameters)).all():
            return f"it becomes non-finite within {FEW} steps at lr = {optimizer.lr:g}"
    after = _values(parameters)
    moved = [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    if not any(moved):
        return (
            "it does not move the parameters: values must be changed in place, values -= ..., "
            "where values = ... makes another array"
        )
    if not all(moved):
        return f"it moves some parameters only, and never parameter {moved.index(False)}"
    step = _joined(parameters) - first
    climbed = int(np.sum(step * gradient > 0))
    if climbed == step.size:
        return "it goes uphill: the sign of its step is that of the gradient"
    if climbed:
        return f"it goes uphill in {climbed} of {step.size} numbers"
    return None


def _moves_all(s: OptimizerSubject) -> None:
    parameters, optimizer = s.built()
    before = _values(parameters)
    after = _walk(parameters, optimizer, s.gradients(FEW))
    unmoved = [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if (a == b).any()]
    if unmoved:
        raise Failure(f"it never moves {_named(unmoved)}, or a part of it")


# -- what a step touches ---------------------------------------------------------------


def _in_place(s: OptimizerSubject) -> None:
    parameters, optimizer = s.built()
    arrays = [(p.value, p.grad) for p in parameters]
    _walk(parameters, optimizer, s.gradients(1))
    values, grads = optimizer._vector.values, optimizer._vector.grads
    for index, (parameter, (value, grad)) in enumerate(zip(parameters, arrays, strict=True)):
        if parameter.value is not value or parameter.grad is not grad:
            raise Failure(f"it puts another array in the place of {_named([index])}")
        if not (np.shares_memory(value, values) and np.shares_memory(grad, grads)):
            raise Failure(f"{_named([index])} no longer lies in the optimizer's vector")


def _gradients_kept(s: OptimizerSubject) -> None:
    parameters, optimizer = s.built()
    gradients = s.gradients(FEW)
    for step in gradients:
        _walk(parameters, optimizer, [step])
        changed = _differing([p.grad for p in parameters], step)
        if changed:
            raise Failure(f"it changes the gradient of {_named(changed)}: read grads, copy first")


def _zero_gradient(s: OptimizerSubject) -> None:
    parameters, optimizer = s.built()
    if np.any(getattr(optimizer, "weight_decay", 0.0)):
        raise NotApplicable("it declares a weight_decay")
    before = _values(parameters)
    zeros: list[list[Array]] = [[np.zeros(shape) for shape in SHAPES]]
    after = _walk(parameters, optimizer, zeros)
    if not all(np.isfinite(value).all() for value in after):
        raise Failure("a zero gradient makes the parameters NaN: 0 / 0, an epsilon is missing")
    after = _walk(parameters, optimizer, zeros * FEW)
    moved = _differing(before, after)
    if moved:
        shrunk = all(np.all(np.abs(b) <= np.abs(a)) for a, b in zip(before, after, strict=True))
        reason = ": a decay, which an attribute weight_decay must declare" if shrunk else ""
        raise Failure(f"a zero gradient moves {_named(moved)}{reason}")


def _non_finite_refused(s: OptimizerSubject) -> None:
    for bad in (math.nan, math.inf):
        parameters, optimizer = s.built()
        _walk(parameters, optimizer, s.gradients(FEW))
        before, state = _values(parameters), copy.deepcopy(optimizer.state_dict())
        step = s.gradients(1)[0]
        step[-1] = np.full(SHAPES[-1], bad)
        try:
            _walk(parameters, optimizer, [step])
        except (ValueError, FloatingPointError):
            if _differing(before, _values(parameters)) or not _same(state, optimizer.state_dict()):
                raise Failure(
                    f"a gradient of {bad} is refused, but only after something was changed"
                ) from None
        else:
            raise Failure(
                f"a non-finite gradient, {bad}, must raise NonFiniteError: "
                "override update rather than step"
            )


# -- the learning rate and the count of steps ---------------------------------------------


def _rate_used(s: OptimizerSubject) -> None:
    moves = []
    for factor in (1.0, 0.5):
        parameters, optimizer = s.built()
        optimizer.lr *= factor
        moves.append(_walk(parameters, optimizer, s.gradients(1)))
    if not _differing(*moves):
        raise Failure("an lr that is assigned has no effect: read self.lr at each step")


def _rate_refused(s: OptimizerSubject) -> None:
    _, optimizer = s.built()
    kept = optimizer.lr
    for bad in (0.0, -1.0, math.nan):
        try:
            optimizer.lr = bad
        except ValueError:
            pass
        else:
            raise Failure(f"an lr of {bad} must raise ValueError")
        if optimizer.lr != kept:
            raise Failure(f"an lr of {bad} was refused, but changed lr to {optimizer.lr}")


def _counts(s: OptimizerSubject) -> None:
    parameters, optimizer = s.built()
    values = _walk(parameters, optimizer, s.gradients(1) * MANY)
    if optimizer.steps != MANY:
        raise Failure(f"steps is {optimizer.steps} after {MANY} steps")
    if not all(np.isfinite(value).all() for value in values):
        raise Failure(f"the parameters are not finite after {MANY} steps of one gradient")


# -- state -----------------------------------------------------------------------------


def _resumes(s: OptimizerSubject) -> None:
    gradients = s.gradients(2 * FEW)
    parameters, optimizer = s.built()
    before = _additions(optimizer)
    middle = _walk(parameters, optimizer, gradients[:FEW])
    state = copy.deepcopy(optimizer.state_dict())
    after = _additions(optimizer)
    changed = {name for name in after if not _same(before.get(name), after[name])}
    expected = _walk(parameters, optimizer, gradients[FEW:])

    twins, twin = s.built()
    for parameter, value in zip(twins, middle, strict=True):
        parameter.value = value
    twin.load_state_dict(state)
    if twin.steps != FEW:
        raise Failure(f"resumed from state_dict, steps is {twin.steps} and not {FEW}")
    if _differing(expected, _walk(twins, twin, gradients[FEW:])):
        lost = sorted(changed - state.keys())
        reason = f": {', '.join(lost)} is not in it, a public attribute would be" if lost else ""
        raise Failure(f"resumed from state_dict, it takes another way{reason}")


def _additions(optimizer: Optimizer) -> dict[str, Any]:
    """Return copies of the attributes that only this kind of optimizer has, private ones too."""
    plain = vars(SGD([Parameter(np.zeros(1))], lr=1.0))
    return {name: _copied(value) for name, value in vars(optimizer).items() if name not in plain}


def _copied(value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except Exception:  # noqa: BLE001 - what cannot be copied is looked at as it is
        return value


def _same(one: Any, other: Any) -> bool:
    """Return whether two states are equal, arrays inside them too."""
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return np.array_equal(one, other, equal_nan=True)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, np.random.Generator) and isinstance(other, np.random.Generator):
        return _same(one.bit_generator.state, other.bit_generator.state)
    return bool(one == other) or getattr(type(one), "__eq__", None) is object.__eq__


def _state_is_a_copy(s: OptimizerSubject) -> None:
    parameters, optimizer = s.built()
    _walk(parameters, optimizer, s.gradients(FEW))
    state = optimizer.state_dict()
    kept = copy.deepcopy(state)
    _walk(parameters, optimizer, s.gradients(FEW))
    changed = [name for name in kept if not _same(kept[name], state[name])]
    if changed:
        raise Failure(f"state_dict is no copy: later steps change {', '.join(changed)} in it")
    twins, twin = s.built()
    twin.load_state_dict(state)
    _walk(twins, twin, s.gradients(FEW))
    if not _same(kept, state):
        raise Failure("load_state_dict copies nothing: later steps change what it was given")


def _order(s: OptimizerSubject) -> None:
    gradients = s.gradients(FEW)
    parameters, optimizer = s.built()
    expected = _walk(parameters, optimizer, gradients)
    twins = s.parameters()
    found = _walk(twins, s.make(twins[::-1]), gradients)
    for index, (a, b) in enumerate(zip(expected, found, strict=True)):
        if not np.allclose(a, b, rtol=ROUNDING, atol=ROUNDING, equal_nan=True):
            raise Failure(f"in reversed order of the parameters, {_named([index])} goes elsewhere")


def _deterministic(s: OptimizerSubject) -> None:
    first, second = (_walk(*s.built(), s.gradients(FEW)) for _ in range(2))
    if _differing(first, second):
        raise Failure("the same gradients lead elsewhere each time: seed what it draws")


# -- copies and dtypes -----------------------------------------------------------------


def _deepcopy(s: OptimizerSubject) -> None:
    _continues(s, "a deepcopy", copy.deepcopy)


def _pickle(s: OptimizerSubject) -> None:
    _, optimizer = s.built()
    if not importable(optimizer):
        raise NotApplicable("its class is not defined at the top level of a module")
    try:
        pickle.dumps(optimizer)
    except Exception as error:  # noqa: BLE001 - any error is a finding
        raise Failure(f"it cannot be pickled: {error}") from None
    _continues(s, "a pickle", lambda pair: pickle.loads(pickle.dumps(pair)))  # noqa: S301


def _continues(s: OptimizerSubject, what: str, duplicate: Callable[[Any], Any]) -> None:
    """Copy parameters and optimizer together, and let both go on: twin first."""
    gradients = s.gradients(2 * FEW)
    pair = s.built()
    middle = _walk(*pair, gradients[:FEW])
    twins, twin = duplicate(pair)
    found = _walk(twins, twin, gradients[FEW:])
    if _differing(middle, _values(pair[0])):
        raise Failure(f"{what} moves the parameters of the original")
    if not _differing(found, _walk(*pair, gradients[FEW:])):
        return
    if not _differing(found, middle):
        raise Failure(f"{what} does not move its own parameters: it holds arrays of another's")
    raise Failure(f"{what} takes another way than the original")


def _float32(s: OptimizerSubject) -> None:
    gradients = s.gradients(FEW)
    expected = _walk(*s.built(), gradients)
    parameters, optimizer = s.built(np.float32)
    found = _walk(parameters, optimizer, gradients)
    for index, (a, b) in enumerate(zip(expected, found, strict=True)):
        if b.dtype != np.float32:
            raise Failure(f"{_named([index])} was float32, and is {b.dtype} after a step")
        if not np.allclose(a, b, rtol=FLOAT32_ROUNDING, atol=FLOAT32_ROUNDING):
            raise Failure(f"in float32, {_named([index])} goes elsewhere than in float64")


Check: TypeAlias = Callable[[OptimizerSubject], None]


OPTIMIZER_CHECKS: tuple[tuple[str, Check], ...] = (
    ("lowers a quadratic", _lowers_quadratic),
    ("lowers Rosenbrock's function", _lowers_rosenbrock),
    ("moves every number", _moves_all),
    ("works in place", _in_place),
    ("leaves gradients alone", _gradients_kept),
    ("zero gradient, no move", _zero_gradient),
    ("refuses a non-finite gradient", _non_finite_refused),
    ("uses an lr that is assigned", _rate_used),
    ("refuses an lr that is not above 0", _rate_refused),
    ("counts its steps", _counts),
    ("resumes from state_dict", _resumes),
    ("state_dict is a copy", _state_is_a_copy),
    ("order of the parameters", _order),
    ("deterministic", _deterministic),
    ("deepcopy", _deepcopy),
    ("pickle", _pickle),
    ("float32", _float32),
)
