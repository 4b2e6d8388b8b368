"""An optimizer under test, its parameters and gradients, and whether it descends.

What it has to lower are a quadratic and Rosenbrock's function.
"""

import copy
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from minifw.core.parameter import Parameter
from minifw.optimizers import Optimizer
from minifw.testing._equal import Results
from minifw.testing._report import Failure
from minifw.typing import Array, Shape

MakeOptimizer: TypeAlias = Callable[[list[Parameter]], Optimizer]
Pair: TypeAlias = tuple[list[Parameter], Optimizer]

SHAPES: tuple[Shape, ...] = ((3, 2), (4,), ())  # of unequal sizes, so that none is mistaken
FEW = 5  # steps after which any state has had its effect; odd, so that +lr and -lr do not cancel

RATES = (1.0, 0.1, 1e-2, 1e-3, 10.0, 100.0, 1e-4)  # tried after its own, the likely ones first
STEPS = 300  # enough for a descent that moves each number by 0.01 a step
FALL = 0.05  # of a quadratic: what is left when no direction was climbed or left out
CONDITION = 10.0  # the largest eigenvalue of the quadratic, 1, over the smallest
VALLEY = 0.25  # of Rosenbrock's function at its usual start: the floor of the valley is reached


@dataclass(frozen=True)
class OptimizerSubject:
    """A function that makes an optimizer, a seed, and the shapes of the parameters."""

    make: MakeOptimizer
    seed: int = 0
    shapes: tuple[Shape, ...] = SHAPES

    def parameters(self, dtype: type = np.float64) -> list[Parameter]:
        """Return new parameters with the same random values each time."""
        return [Parameter(np.asarray(value, dtype)) for value in self._random(0)]

    def gradients(self, steps: int, *, draw: int = 1, scale: float = 1.0) -> list[list[Array]]:
        """Return random gradients, the same each time: for each step, one per parameter."""
        drawn = self._random(draw, steps)
        return [[scale * gradient[step] for gradient in drawn] for step in range(steps)]

    def zeros(self, steps: int) -> list[list[Array]]:
        """Return gradients of 0."""
        return self.gradients(steps, scale=0.0)

    def _random(self, draw: int, *more: int) -> list[Array]:
        rng = np.random.default_rng([self.seed, draw])
        return [np.asarray(rng.standard_normal((*more, *shape))) for shape in self.shapes]

    def built(self, dtype: type = np.float64) -> Pair:
        """Return new parameters and an optimizer over them."""
        parameters = self.parameters(dtype)
        return parameters, self.make(parameters)


def walk(
    parameters: Sequence[Parameter], optimizer: Optimizer, gradients: list[list[Array]]
) -> Results:
    """Make a step for each list of gradients; return copies of the values reached."""
    for step in gradients:
        for parameter, gradient in zip(parameters, step, strict=True):
            parameter.grad = gradient
        optimizer.step()
    return values_of(parameters)


def values_of(parameters: Sequence[Parameter]) -> Results:
    """Return copies of the values, by what a message calls the parameters."""
    return {f"parameter {i} of shape {p.shape}": p.value.copy() for i, p in enumerate(parameters)}


def moved(before: Results, after: Results, rounding: float = 0.0) -> str:
    """Name the parameters whose values differ, in any bit or by more than rounding."""
    same = partial(np.allclose, rtol=rounding, atol=rounding, equal_nan=True)
    return ", ".join(name for name, a in before.items() if not same(a, after[name]))


def finite(values: Results) -> bool:
    """Return whether all values are finite."""
    return all(np.isfinite(value).all() for value in values.values())


def copied(value: Any) -> Any:
    """Return a deepcopy, or the value itself where it has none."""
    try:
        return copy.deepcopy(value)
    except Exception:  # noqa: BLE001 - what cannot be copied is looked at as it is
        return value


# -- descent ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Valley:
    """A function to be lowered: of one vector over all parameters, with its gradient."""

    name: str
    start: list[Array]
    value: Callable[[Array], float]
    gradient: Callable[[Array], Array]
    fall: float

    def descend(self, s: OptimizerSubject, rate: float | None) -> float:
        """Return what is left of the function, relatively, after some steps at a learning rate."""
        parameters = [Parameter(value) for value in self.start]
        optimizer = s.make(parameters)
        if rate is not None:
            optimizer.lr = rate
        for _ in range(STEPS):
            walk(parameters, optimizer, [_parts(parameters, self.gradient(_joined(parameters)))])
            left = self.value(_joined(parameters)) / self.value(_join(self.start))
            if left <= self.fall or not math.isfinite(left):
                break
        return left

    def uphill(self, s: OptimizerSubject) -> str | None:
        """Say what is wrong with the first steps, at the optimizer's own learning rate."""
        parameters, start = [Parameter(value) for value in self.start], _join(self.start)
        optimizer, gradient = s.make(parameters), self.gradient(start)
        climbed = []
        for _ in range(FEW):
            walk(parameters, optimizer, [_parts(parameters, gradient)])
            climbed.append(int(np.sum((_joined(parameters) - start) * gradient > 0)))
        if not np.isfinite(_joined(parameters)).all():
            return f"it becomes non-finite within {FEW} steps at lr = {optimizer.lr:g}"
        if climbed[-1] == start.size > climbed[0]:
            return (
                "its first step goes downhill and the later ones uphill: the sign of what it "
                "keeps of earlier gradients is wrong"
            )
        if climbed[-1] == start.size:
            return "it goes uphill: the sign of its step is that of the gradient"
        return f"it goes uphill in {climbed[-1]} of {start.size} numbers" if climbed[-1] else None


def quadratic(s: OptimizerSubject) -> _Valley:
    """Return (v - c)' A (v - c) / 2 with a random positive definite A."""
    rng = np.random.default_rng([s.seed, 2])
    start = [parameter.value for parameter in s.parameters()]
    size = _join(start).size
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
    with suppress(Exception):  # other verdicts speak of it
        walk(parameters, s.make(parameters), s.zeros(1))
    found = _joined(parameters)
    return found if np.isfinite(found).all() else v


def rosenbrock(_: OptimizerSubject) -> _Valley:
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


def _joined(parameters: Sequence[Parameter]) -> Array:
    return _join([parameter.value for parameter in parameters])


def _join(arrays: list[Array]) -> Array:
    return np.concatenate([array.ravel() for array in arrays])


def _parts(parameters: Sequence[Parameter], v: Array) -> list[Array]:
    """Return what of a vector over all parameters belongs to each, in its shape."""
    parts = np.split(v, np.cumsum([parameter.size for parameter in parameters])[:-1])
    pairs = zip(parts, parameters, strict=True)
    return [part.reshape(parameter.shape) for part, parameter in pairs]


def lowers(valley_of: Callable[[OptimizerSubject], _Valley], s: OptimizerSubject) -> None:
    """Raise unless the optimizer lowers a function, with any of some learning rates."""
    valley, best = valley_of(s), math.inf
    for rate in (None, *RATES):
        with suppress(ValueError, FloatingPointError):  # its own refusal of what is not finite
            best = min(best, valley.descend(s, rate))
        if best <= valley.fall:
            return
    tried = f"in {STEPS} steps, with its own lr or with {', '.join(map('{:g}'.format, RATES))}"
    how_far = f"{valley.name} ends at {best:.3g} {tried}; it must come below"
    if not math.isfinite(best):
        how_far = f"it becomes non-finite on {valley.name}, {tried}; it must come below"
    raise Failure(valley.uphill(s) or f"{how_far} {valley.fall} of its start")
