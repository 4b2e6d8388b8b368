"""An optimizer under test, its parameters and gradients, and whether it descends.

What it has to lower are a quadratic and Rosenbrock's function.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np

from minifw.core.parameter import Parameter
from minifw.optimizers import Optimizer
from minifw.testing._report import Failure, Question
from minifw.typing import Array, Shape

MakeOptimizer: TypeAlias = Callable[[list[Parameter]], Optimizer]

SHAPES: tuple[Shape, ...] = ((3, 2), (4,), (1,))  # of unequal sizes, so that none is mistaken
FEW = 5  # steps after which any state has had its effect; odd, so that +lr and -lr do not cancel

RATES = (1.0, 0.1, 1e-2, 1e-3, 10.0, 100.0, 1e-4)  # tried after its own, the likely ones first
STEPS = 300  # enough for a descent that moves each number by 0.01 a step
FALL = 0.05  # of a quadratic: what is left when no direction was climbed or left out
CONDITION = 10.0  # the largest eigenvalue of the quadratic, 1, over the smallest
VALLEY = 0.25  # of Rosenbrock's function at its usual start: the floor of the valley is reached


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


def walk(
    parameters: Sequence[Parameter], optimizer: Optimizer, gradients: list[list[Array]]
) -> list[Array]:
    """Make a step for each list of gradients; return copies of the values reached."""
    for step in gradients:
        for parameter, gradient in zip(parameters, step, strict=True):
            parameter.grad = gradient
        optimizer.step()
    return values_of(parameters)


def values_of(parameters: Sequence[Parameter]) -> list[Array]:
    return [parameter.value.copy() for parameter in parameters]


def differing(values: list[Array], others: list[Array]) -> list[int]:
    """Return the indices of the parameters whose values differ in any bit."""
    pairs = zip(values, others, strict=True)
    return [i for i, (a, b) in enumerate(pairs) if not np.array_equal(a, b, equal_nan=True)]


def named(indices: list[int]) -> str:
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
    start = values_of(s.parameters())
    size = sum(value.size for value in start)
    turn, _ = np.linalg.qr(rng.standard_normal((size, size)))
    matrix = turn * np.geomspace(1, 1 / CONDITION, size) @ turn.T
    near_0 = 0.1 * rng.standard_normal(size)  # so that a decay does not miss it by much
    lowest = _attainable(s, near_0)
    return _Valley(
        "a quadratic",
        start,
        lambda v: float((v - lowest) @ matrix @ (v - lowest)) / 2,
        lambda v: matrix @ (v - lowest),
        FALL,
    )


def _attainable(s: OptimizerSubject, v: Array) -> Array:
    """Return where an optimizer that keeps its parameters in bounds lets v be: v, of most.

    It moves what is out of bounds, also with a zero gradient; else that leaves v as it is.
    """
    parameters = s.parameters()
    for parameter, part in zip(parameters, _parts(parameters, v), strict=True):
        parameter.value = part
    try:
        optimizer = s.make(parameters)
        walk(parameters, optimizer, [_parts(parameters, np.zeros_like(v))])
    except Exception:  # noqa: BLE001 - other verdicts speak of it
        return v
    found = _joined(parameters)
    return found if np.isfinite(found).all() else v


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
        walk(parameters, optimizer, [_parts(parameters, valley.gradient(_joined(parameters)))])
        left = valley.value(_joined(parameters)) / start
        if left <= valley.fall or not math.isfinite(left):
            return left
    return left


def _joined(parameters: Sequence[Parameter]) -> Array:
    return np.concatenate([parameter.value.ravel() for parameter in parameters])


def _parts(parameters: Sequence[Parameter], v: Array) -> list[Array]:
    """Return what of a vector over all parameters belongs to each, in its shape."""
    parts = np.split(v, np.cumsum([parameter.size for parameter in parameters])[:-1])
    pairs = zip(parts, parameters, strict=True)
    return [part.reshape(parameter.shape) for part, parameter in pairs]


def _lowers(valley_of: Callable[[OptimizerSubject], _Valley], s: OptimizerSubject) -> None:
    valley = valley_of(s)
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
    before, first = values_of(parameters), _joined(parameters)
    gradient = valley.gradient(first)
    for _ in range(FEW):
        walk(parameters, optimizer, [_parts(parameters, gradient)])
        if not np.isfinite(_joined(parameters)).all():
            return f"it becomes non-finite within {FEW} steps at lr = {optimizer.lr:g}"
    after = values_of(parameters)
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
    before = values_of(parameters)
    after = walk(parameters, optimizer, s.gradients(FEW))
    unmoved = [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if (a == b).any()]
    if unmoved:
        raise Failure(f"it never moves {named(unmoved)}, or a part of it")


DESCENT_CHECKS: tuple[Question, ...] = (
    Question("lowers a quadratic", partial(_lowers, _quadratic)),
    Question("lowers Rosenbrock's function", partial(_lowers, _rosenbrock)),
    Question("moves every number", _moves_all),
)
