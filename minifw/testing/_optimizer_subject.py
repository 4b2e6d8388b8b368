"""An optimizer under test: a function that makes it, parameters, and random gradients."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from minifw.core.parameter import Parameter
from minifw.optimizers import Optimizer
from minifw.typing import Array, Shape

MakeOptimizer: TypeAlias = Callable[[list[Parameter]], Optimizer]

SHAPES: tuple[Shape, ...] = ((3, 2), (4,), (1,))  # of unequal sizes, so that none is mistaken
FEW = 5  # steps after which any state has had its effect; odd, so that +lr and -lr do not cancel


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
