"""While a model is built from a file: no weight is drawn, and none is larger than the file."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from minifw.typing import Shape

__all__ = ["building", "claim"]

_left: ContextVar[int | None] = ContextVar("numbers left of those in the file", default=None)


@contextmanager
def building(numbers: int) -> Iterator[None]:
    """Within, layers may make weights of as many numbers as the file holds, and draw none."""
    before = _left.set(numbers)
    try:
        yield
    finally:
        _left.reset(before)


def claim(owner: str, shape: Shape) -> bool:
    """Return whether a model is being built from a file; raise if that has not so many numbers.

    A layer calls it before it makes a weight, for the sizes in a file may be those of an enemy.
    """
    left = _left.get()
    if left is None:
        return False
    if math.prod(shape) > left:
        raise ValueError(f"{owner} has weights of more numbers than the file holds")
    _left.set(left - math.prod(shape))
    return True
