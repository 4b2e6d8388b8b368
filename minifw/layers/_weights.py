"""Weights as an initializer makes them, checked."""

import numpy as np

from minifw._tools.checks import describe
from minifw._tools.loading import claim
from minifw._tools.numbers import check_rng
from minifw.typing import RNG, Array, DType, Init, Shape

__all__ = ["make_weight"]


def make_weight(owner: str, init: Init, shape: Shape, dtype: DType, rng: RNG) -> Array:
    """Return what `init` makes, in `dtype`; raise for `owner` if it is no such array."""
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
        return np.zeros(shape, dtype)  # the file has the weights
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
