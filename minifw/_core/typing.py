"""The few types that every signature uses."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

__all__ = ["RNG", "Array", "DType", "Init", "Shape"]

Array: TypeAlias = np.ndarray[Any, np.dtype[np.floating[Any]]]
"""A NumPy array of floating-point numbers; the comment on its line gives its shape."""

Shape: TypeAlias = tuple[int, ...]

DType: TypeAlias = np.dtype[np.floating[Any]]

RNG: TypeAlias = np.random.Generator | int | None
"""What everything random takes (SPEC 7): a generator, a seed, or None for fresh entropy."""

Init: TypeAlias = Callable[[Shape, np.random.Generator], Array]
"""An initializer: called with a shape and a generator, it returns an array of that shape."""
