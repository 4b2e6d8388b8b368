"""The few types that every signature uses."""

# In quotes stands what would import numpy.random, a sixth of NumPy's own import
# time: it is loaded when something is drawn, not when minifw is imported.

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

__all__ = ["RNG", "Array", "DType", "Formulas", "Generator", "Init", "Labels", "Shape", "Target"]

Array: TypeAlias = np.ndarray[Any, np.dtype[np.floating[Any]]]
"""A NumPy array of floating-point numbers; the comment on its line gives its shape."""

Labels: TypeAlias = np.ndarray[Any, np.dtype[np.integer[Any]]]
"""Whole numbers, each the number of a class, from 0."""

Target: TypeAlias = np.ndarray[Any, Any]
"""What a loss holds a prediction against: an `Array`, or `Labels`; each loss says which."""

Shape: TypeAlias = tuple[int, ...]

DType: TypeAlias = np.dtype[np.floating[Any]]

Generator: TypeAlias = "np.random.Generator"

RNG: TypeAlias = "np.random.Generator | int | None"
"""What everything random takes (SPEC 7): a generator, a seed, or None for fresh entropy."""

Formulas: TypeAlias = Mapping[str, "str | tuple[str, ...]"]
"""What a layer or a loss says of its values, for `trace` to print; see `Layer`."""

Init: TypeAlias = Callable[[Shape, Generator], Array]
"""An initializer: called with a shape and a generator, it returns an array of that shape."""
