"""An optimizer under test, its parameters and gradients, and whether it descends.

What it has to lower are a quadratic and Rosenbrock's function.
"""

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np

from minifw.core.parameter import Parameter
from minifw.optimizers import Optimizer
from minifw.testing._equal import Results
from minifw.testing._report import Failure
from minifw.typing import Array, Shape

MakeOptimizer: TypeAlias = Callable[[list[Parameter]], Optimizer]

SHAPES: tuple[Shape, ...] = ((3, 2), (4,), ())  # of unequal sizes, to mistake none
FEW = 5  # steps after which any state has had its effect; odd: +lr and -lr do not cancel

RATES = (1.0, 0.1, 1e-2, 1e-3, 10.0, 100.0, 1e-4)  # tried after its own, the likely ones first
STEPS = 300  # enough for a descent that moves each number by 0.01 a step
FALL = 0.05  # of a quadratic: what is left when no direction was climbed or left out
CONDITION = 10.0  # the largest eigenvalue of the quadratic, 1, over the smallest
VALLEY = 0.25  # of Rosenbrock's function at its usual start: the floor of the valley is reached


@dataclass(frozen=True)
class Trial:
    """An optimizer, and the parameters that it was made for."""

    parameters: list[Parameter]
    optimizer: Optimizer

    def walk(self, gradients: list[list[Array]]) -> Results:
        """Make a step for each list of gradients; return copies of the values reached."""
        for step in gradients:
            for parameter, gradient in zip(self.parameters, step, strict=True):
                parameter.grad = gradient
            self.optimizer.step()
        return self.values()

    def values(self) -> Results:
        """Return copies of the values, by what a message calls the parameters."""
        numbered = enumerate(self.parameters)
        return {f"parameter {i} of shape {p.shape}": p.value.copy() for i, p in numbered}


@dataclass(frozen=True)
class OptimizerSubject:
    """A function that makes an optimizer, a seed, and the shapes of the parameters."""

    make: MakeOptimizer
    seed: int = 0
    shapes: tuple[Shape, ...] = SHAPES

    def parameters(self, dtype: type = np.float64) -> list[Parameter]:
        """Return new parameters with the same random values each time."""
        return [Parameter(np.asarray(value, dtype)) for value in self._random(0)]

    def built(self, dtype: type = np.float64) -> Trial:
        """Return a new optimizer over new parameters."""
        parameters = self.parameters(dtype)
        return Trial(parameters, self.make(parameters))

    def gradients(self, steps: int, *, draw: int = 1, scale: float = 1.0) -> list[list[Array]]:
        """Return random gradients, the same each time: for each step, one per parameter."""
        drawn = self._random(draw, steps)
        return [[scale * gradient[step] for gradient in drawn] for step in range(steps)]

    def _random(self, draw: int, *more: int) -> list[Array]:
        rng = np.random.default_rng([self.seed, draw])
        return [np.asarray(rng.standard_normal((*more, *shape))) for shape in self.shapes]


def moved(before: Results, after: Results, rounding: float = 0.0) -> str:
    """Name the parameters whose values differ, in any bit or by more than rounding."""
    same = partial(np.allclose, rtol=rounding, atol=rounding, equal_nan=True)
    return ", ".join(name for name, a in before.items() if not same(a, after[name]))


def finite(values: Results) -> bool:
    """Return whether all values are finite."""
    return all(np.isfinite(value).all() for value in values.values())


# -- descent ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Valley:
    """A function to be lowered: of the vector of all parameters, with its gradient."""

    start: list[Array]
    value: Callable[[Array], float]
    gradient: Callable[[Array], Array]
    fall: float

    def descend(self, s: OptimizerSubject, rate: float | None) -> float:
        """Return what is left of the function, relatively, after some steps at a learning rate."""
        optimizer = s.make([Parameter(value) for value in self.start])
        if rate:
            optimizer.lr = rate
        vector = optimizer._vector
        start = self.value(vector.values)
        for _ in range(STEPS):
            vector.grads[...] = self.gradient(vector.values)
            optimizer.step()
            left = self.value(vector.values) / start
            if left <= self.fall or not math.isfinite(left):
                break
        return left

    def uphill(self, s: OptimizerSubject) -> str:
        """Say what is wrong with the first steps, at the optimizer's own learning rate."""
        optimizer, climbed = s.make([Parameter(value) for value in self.start]), list[int]()
        vector = optimizer._vector
        start, gradient = vector.values.copy(), self.gradient(vector.values)
        for _ in range(FEW):
            vector.grads[...] = gradient
            optimizer.step()
            climbed.append(int(np.sum((vector.values - start) * gradient > 0)))
        if climbed[0] < climbed[-1] == start.size:
            return (
                "its first step goes downhill and the later ones uphill: the sign of what it "
                "keeps of earlier gradients is wrong"
            )
        if climbed[-1] == start.size:
            return "it goes uphill: its step has the sign of the gradient"
        return f"it goes uphill in {climbed[-1]} of {start.size} numbers" if climbed[-1] else ""


def quadratic(s: OptimizerSubject) -> _Valley:
    """Return (v - c)' A (v - c) / 2 with a random positive definite A.

    Its lowest point c is near 0, so a decay does not miss it by much. An optimizer that keeps
    its parameters in bounds moves c into them: it does so also where the gradient is zero.
    """
    rng, trial = np.random.default_rng([s.seed, 2]), s.built()
    vector = trial.optimizer._vector.values
    start = [*trial.values().values()]
    turn, _ = np.linalg.qr(rng.standard_normal((vector.size, vector.size)))
    matrix = turn * np.geomspace(1, 1 / CONDITION, vector.size) @ turn.T
    vector[...] = 0.1 * rng.standard_normal(vector.size)
    lowest = vector.copy()
    with suppress(Exception):  # other verdicts speak of it
        trial.walk(s.gradients(1, scale=0.0))
        lowest = np.where(np.isfinite(vector), vector, lowest)
    return _Valley(
        start,
        lambda v: float((v - lowest) @ matrix @ (v - lowest)) / 2,
        lambda v: matrix @ (v - lowest),
        FALL,
    )


def rosenbrock(_: OptimizerSubject) -> _Valley:
    """Return (1 - a)^2 + 100 (b - a^2)^2 from (-1.2, 1): H. H. Rosenbrock, 1960."""

    def gradient(v: Array) -> Array:
        a, b = v
        return np.array([-2 * (1 - a) - 400 * a * (b - a * a), 200 * (b - a * a)])

    return _Valley(
        [np.array([-1.2]), np.array([1.0])],
        lambda v: float((1 - v[0]) ** 2 + 100 * (v[1] - v[0] ** 2) ** 2),
        gradient,
        VALLEY,
    )


VALLEYS = {"a quadratic": quadratic, "Rosenbrock's function": rosenbrock}


def lowers(name: str, s: OptimizerSubject) -> None:
    """Raise unless the optimizer lowers a function, with any of some learning rates."""
    valley, best = VALLEYS[name](s), math.inf
    for rate in (None, *RATES):
        with suppress(ValueError, FloatingPointError):  # its own refusal of what is not finite
            best = min(best, valley.descend(s, rate))
        if best <= valley.fall:
            return
    raise Failure(
        valley.uphill(s)
        or f"{name} ends at {best:.3g} of its start and must come below {valley.fall} (in {STEPS} "
        f"steps, with its own lr or with {', '.join(map('{:g}'.format, RATES))})"
    )
