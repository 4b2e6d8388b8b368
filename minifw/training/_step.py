"""The step of a trainer: a number and a method by one name."""

import math
from collections.abc import Callable
from typing import Any

from minifw._tools.checks import describe
from minifw.errors import NonFiniteError


class Count(int):
    """How many steps a run has made; called, it makes one."""

    make: Callable[..., float]

    def __call__(self, x: Any, y: Any, weight: Any = None) -> float:
        """Make a step on one batch, and return its loss."""
        value = self.make(x, y, weight)
        try:
            finite = math.isfinite(value)
        except TypeError:
            raise TypeError(
                f"Trainer.step must return the loss of the batch, a float, it returned "
                f"{describe(value)}"
            ) from None
        if not finite:  # of a subclass; `Objective` looks at its own
            raise NonFiniteError(f"the loss is not finite: Trainer.step returned {value}")
        return value

    def __reduce__(self) -> tuple[Any, ...]:
        return int, (int(self),)  # a copy is the number alone


class Step:
    """A method ``step(x, y, weight)`` of a trainer that also is a number.

    ``trainer.step`` was the number of steps before it was the place to override one.
    """

    def __init__(self, method: Callable[..., float]) -> None:
        self._method, self.__doc__ = method, method.__doc__

    def __get__(self, trainer: Any, kind: type) -> Any:
        if trainer is None:
            return self
        count = Count(trainer.run.step)
        count.make = self._method.__get__(trainer)
        return count
