"""Initial weights: drawn, or left empty while a model is built from a file."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from minifw._tools.checks import describe
from minifw._tools.numbers import check_rng
from minifw.typing import RNG, Array, DType, Init, Shape

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

    A layer calls it before it makes a weight: the sizes in a file may be forged.
    """
    left = _left.get()
    if left is None:
        return False
    if math.prod(shape) > left:
        raise ValueError(f"{owner} has weights of more numbers than the file holds")
    _left.set(left - math.prod(shape))
    return True


def is_blank(array: Array) -> bool:
    """Return whether an array is one zero, repeated, as `make_weight` makes it within."""
    return array.size > 1 and not any(array.strides) and not array.item(0)


def make_weight(owner: str, init: Init, shape: Shape, dtype: DType, rng: RNG) -> Array:
    """Return what `init` makes, in `dtype`; raise for `owner` if it is another array."""
    if isinstance(init, type) or not callable(init):
        fix = "to set a weight of your own, assign to layer.weight.value"
        if isinstance(init, type):
            fix = f"write {init.__name__}()"
        raise TypeError(
            f"{owner} expects init to be callable with a shape and a generator, got "
            f"{describe(init)}; {fix}"
        )
    generator = check_rng(owner, rng)
    if claim(owner, shape):
        return np.broadcast_to(np.zeros((), dtype), shape)  # the file has the weights
    weight = np.asarray(init(shape, generator))
    if weight.shape != shape:
        raise ValueError(
            f"{owner} expects {init!r} to return the shape {shape}, got {weight.shape}"
        )
    if weight.dtype.kind not in "fiu":
        raise ValueError(f"{owner} expects {init!r} to return numbers, got {describe(weight)}")
    with np.errstate(over="ignore"):  # what overflows is found below
        cast = weight.astype(dtype)
    if not np.isfinite(cast).all():
        raise ValueError(f"{owner} expects {init!r} to return finite numbers of {dtype}")
    return cast
