"""Whether two things are the same: results by their numbers, anything else by all inside it."""

from types import FunctionType
from typing import Any, TypeAlias

import numpy as np

from minifw._tools.generators import state_of
from minifw.core.parameter import Parameter
from minifw.testing._report import Failure
from minifw.typing import Array, DType

Results: TypeAlias = dict[str, Array]
"""What a subject gives, by name."""

ROUNDING = 1e-11  # what two orders of summation may differ by, relative to all
DEPTH = 9  # of containers and objects that are compared; what lies deeper counts as different

# A float64 has 52 bits after the first; float32 has 23, so 29 of them are 0 in a number that
# went through float32. So they are in 1/2 or 3 or 0.75, whose next 12 bits are 0 as well.
SPARE_BITS = np.uint64(2**29 - 1)
LOW_BITS = np.uint64((2**12 - 1) << 29)


def rounding(*results: Array) -> float:
    """Return what results may differ by: relative to the largest number in any of them.

    One of them may be a sum in which almost all cancels.
    """
    finite = (np.abs(array[np.isfinite(array)]) for array in results)
    return ROUNDING * max((float(np.max(array, initial=0.0)) for array in finite), default=0.0)


def same(
    what: str,
    expected: Results,
    found: Results,
    tolerance: float = 0.0,
    floor: float = 0.0,
    **fields: Any,
) -> None:
    """Raise unless all that was found is as expected, except for a part of the largest number.

    And for a floor. Of a single number, as a loss is, at least 1 counts as the largest.
    """
    margin: float | None = None
    for name, other in found.items():
        array = expected[name]
        if np.array_equal(array, other):  # which is quick, of millions of numbers, too
            continue
        if margin is None:
            margin = tolerance * rounding(*(a for a in expected.values() if a.ndim)) / ROUNDING
        if array.shape != other.shape:
            raise Failure(f"{what}, {name} differs: its shape is {array.shape} and {other.shape}")
        number = 0.0 if array.ndim else tolerance * max(1.0, abs(float(array)))
        limit = max(margin, number) + floor
        close = np.isclose(array, other, rtol=0.0, atol=limit, equal_nan=True)
        if not np.all(close):
            index = tuple(map(int, np.argwhere(~close)[0]))
            place = f"at {index}, " if index else ""
            pair = f"{array[index]:.10g} and {other[index]:.10g}"
            raise Failure(f"{what}, {name} differs: {place}{pair}", **fields)


def near(found: Array, other: Array, digits: float) -> bool:
    """Return whether all numbers agree, to a part of the largest of `other`, if it is finite."""
    size = np.abs(other).max(initial=0)
    return bool(np.isfinite(size) and np.allclose(found, other, rtol=0, atol=digits * size))


def copies(arrays: Results) -> Results:
    """Return copies of arrays, by their names."""
    return {name: array.copy() for name, array in arrays.items()}


def cast(arrays: Results, dtype: DType | type) -> Results:
    """Return copies, in a dtype; whole numbers, such as labels, keep theirs."""
    return {n: a.astype(dtype if a.dtype.kind == "f" else a.dtype) for n, a in arrays.items()}


def unchanged(now: Array, then: Array, otherwise: str) -> None:
    """Raise unless an array is what it was."""
    if not (
        np.array_equal(now, then) or np.array_equal(now, then, equal_nan=now.dtype.kind == "f")
    ):
        raise Failure(otherwise)


def looks_like_float32(array: Array) -> bool:
    """Return whether a float64 array holds numbers that went through float32.

    Every value is one of float32, and at least one is not so by being a round
    number, such as 0.75.
    """
    if array.dtype != np.float64:
        return False
    bits = np.ascontiguousarray(array).view(np.uint64)
    return not np.any(bits & SPARE_BITS) and bool(np.any(bits & LOW_BITS))


def alike(first: Any, second: Any, depth: int = DEPTH) -> bool:
    """Return whether two things are equal, in arrays and objects inside them, too."""
    if first is second:
        return True
    if type(first) is not type(second) or depth == 0:
        return False
    one, other = _inside(first), _inside(second)
    if isinstance(one, dict):
        keys = one.keys() == other.keys()
        return keys and all(alike(one[key], other[key], depth - 1) for key in one)
    return bool(first == second) or bool(first != first and second != second)  # noqa: PLR0124 - NaN


def _inside(thing: Any) -> Any:
    """Return a dict of what makes up a thing, or itself."""
    if isinstance(thing, np.ndarray):
        thing = [thing.dtype, thing.shape, thing.tobytes()]
    elif isinstance(thing, np.random.Generator | np.random.RandomState):
        thing = state_of(thing)
    elif isinstance(thing, Parameter):
        thing = [thing.value]
    elif isinstance(thing, FunctionType):
        cells = [cell.cell_contents for cell in thing.__closure__ or ()]
        thing = [thing.__code__, thing.__defaults__, cells]
    elif hasattr(thing, "__dict__") and not isinstance(thing, type):
        thing = vars(thing)
    return dict(enumerate(thing)) if isinstance(thing, list | tuple) else thing


def differing(one: Any, other: Any) -> set[str]:
    """Return the names, in two dicts or of attributes, under which two things differ."""
    mine, its = (thing if isinstance(thing, dict) else vars(thing) for thing in (one, other))
    names = (mine.keys() | its.keys()) - {"_arguments"}
    return {name for name in names if not alike(mine.get(name), its.get(name))}
