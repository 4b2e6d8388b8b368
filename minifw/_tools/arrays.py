"""Operations that NumPy does faster in another way than one would write, each with its reason."""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np

from minifw._tools.checks import DTYPES
from minifw.typing import Array, DType, Labels

FEW = 32  # up to here Python's own floats add up sooner than a call of NumPy returns
# Numbers that stay in a cache of 0.5 MB with some arrays of as many. Arrays of 32,768 fall on the
# same lines of it: GELU with tanh then takes 33 ms for 2 million float64, in place of 26.
BLOCK = 24_576
LONG = 4096  # from here on the work on the numbers outweighs the microsecond that a call costs
FEW_COLUMNS = 128  # adding so many one by one costs float32 no digit that counts

_KEPT = 256  # as many lengths of a batch, times dtypes, as a program is likely to use
_T = TypeVar("_T", bound=np.ndarray[Any, Any])

# -- arrays that depend on shapes alone: kept, since a recorded step continues with those it met,
# -- and read-only


def _read_only(array: _T) -> _T:
    array.flags.writeable = False
    return array


@lru_cache(_KEPT)
def constant(value: float, dtype: DType) -> Array:
    """Return a number without axes: NumPy converts a float at every call.

    One beyond the largest float of the dtype is infinite.
    """
    with np.errstate(over="ignore"):
        return _read_only(np.array(value, dtype))


@lru_cache(_KEPT)
def ones(length: int, dtype: DType) -> Array:
    """Return a vector of ones: a product with it is a sum, faster than ``sum``."""
    return _read_only(np.ones(length, dtype))


@lru_cache(_KEPT)
def equal_shares(length: int, dtype: DType) -> Array:
    """Return a vector of 1 / length: a product with it is a mean."""
    return _read_only(np.full(length, 1 / length, dtype))


@lru_cache(_KEPT)
def count_up(length: int) -> Labels:
    """Return 0, 1, ... up to length - 1: the indices of rows."""
    return _read_only(np.arange(length))


def _both(value: float) -> dict[DType, Array]:
    return {dtype: constant(value, dtype) for dtype in DTYPES}


ZERO, HALF, ONE, MINUS_ONE = map(_both, (0.0, 0.5, 1.0, -1.0))
# 1 + exp(-x) rounds to 1 beyond 36.8 in float64 and 16.7 in float32, and exp(40) is still finite.
SATURATED = _both(40.0)

# Exact gradients of rows that are learned well are as small as exp(-100). Products with them are
# below the smallest normal number soon, and processors take 100 times as long for subnormal ones.
# Below these bounds no update can tell a gradient from 0, not even one that is divided by its own
# size, as Adam's (eps = 1e-8). In float32 8 digits are left until numbers are subnormal, in
# float64 157, so squares stay normal, too.
FLUSHED = {DTYPES[0]: constant(2.0**-500, DTYPES[0]), DTYPES[1]: constant(2.0**-100, DTYPES[1])}

# -- arrays that are read-only because they came so: mapped from a file, or shared


class Writable:
    """Takes over copies of read-only arrays when it is unpickled, for training writes into them.

    Such arrays come of ``joblib.load(path, mmap_mode="r")``, and in the workers of joblib.
    """

    def __setstate__(self, state: Any) -> None:
        own, slots = state if isinstance(state, tuple) else (state, None)
        vars(self).update(_writable(own or {}, {}))
        for name, value in (slots or {}).items():
            setattr(self, name, value)


def _writable(value: Any, copies: dict[int, Any], depth: int = 3) -> Any:
    """Return `value` with copies, by their ids, in place of the read-only arrays in it.

    A container without any stays the very one: others may hold it, or still fill it.
    """
    if isinstance(value, np.ndarray) and not value.flags.writeable:
        return copies.setdefault(id(value), np.array(value))
    if depth and type(value) in (dict, list, tuple):
        parts = list(value.values() if type(value) is dict else value)
        made = [_writable(part, copies, depth - 1) for part in parts]
        if any(new is not old for new, old in zip(made, parts, strict=True)):
            keyed = type(value) is dict
            return dict(zip(value, made, strict=True)) if keyed else type(value)(made)
    return value


# -- words ---------------------------------------------------------------------------------


def add_row(rows: Array, row: Array) -> None:
    """Add a vector to every row of (batch, features), in place.

    NumPy is told the axes: for one row or one feature it then takes 0.4 us in place of 0.9. By
    `np.newaxis` the new axis would have stride 0, and one row take 0.6 us.
    """
    row = row.reshape(1, -1) if row.size > 1 else row.reshape(())
    if rows.size > 1:
        rows += row
    else:
        rows[...] = rows + row  # of one number 0.6 us, in place 1.1


def sum_rows(rows: Array, out: Array) -> None:
    """Set `out`, (features,), to the sum of the rows of (batch, features).

    By a product with ones: of few features 0.5 us, where `sum` takes 1.1.
    """
    rows.T.dot(ones(len(rows), rows.dtype), out)


def reduce_rows(function: np.ufunc, rows: Array) -> Array:
    """Return the sum, by np.add, or the largest number of each row of (rows, columns): (rows,).

    Of many columns that are stored one by one, as `Dense` returns them, by halves: the largest of
    (64, 10000) takes 0.12 ms in place of 0.40, and a sum in pairs keeps the digits of float32.
    Few numbers are added by a product with ones: (2048, 95) in 0.02 ms in place of 0.10.
    """
    while rows.shape[1] > FEW_COLUMNS and rows.strides[0] < rows.strides[1]:
        half, odd = divmod(rows.shape[1], 2)
        halves: Array = function(rows[:, :half], rows[:, half : 2 * half])  # (rows, half)
        if odd:
            function(halves[:, 0], rows[:, -1], out=halves[:, 0])
        rows = halves
    by_product = function is np.add and rows.shape[1] <= FEW_COLUMNS
    reduced: Array
    reduced = rows.dot(ones(len(rows.T), rows.dtype)) if by_product else function.reduce(rows, 1)
    return reduced


def row_means(rows: Array) -> Array:
    """Return the mean of each row, (rows, 1).

    By a product, with a vector of the same kind: of (256, 128) float32 2.4 us, `mean` takes 21.
    A `LayerNorm` of (4096, 128) takes 1.92 ms, forward and backward, in place of 2.28.
    """
    means: Array = rows.dot(np.full_like(rows[0], 1 / rows.shape[1]))
    return means[:, np.newaxis]


def exp(x: Array, out: Array | None = None) -> Array:
    """Return e^x; that it is 0 where it underflows is right, and no fault."""
    with np.errstate(under="ignore"):
        result: Array = np.exp(x, out)
        return result


def between(x: Array, least: float, most: float) -> Array:
    """Return x, but no less than `least` and no more than `most`; either may be infinite.

    NumPy takes 1.2 ms for the `minimum` of 2 million float32 and a number, and 0.6 for both.
    """
    return x.clip(constant(least, x.dtype), constant(most, x.dtype))


def one_or(other: Array, is_one: Any, out: Array) -> Array:
    """Set `out` to 1 where `is_one`, and to `other` elsewhere.

    By their bits, read as whole numbers, with no rounding and no branch: 2 million float32 take
    0.9 ms, and 3.1 by `np.where`.
    """
    kind = f"i{out.itemsize}"
    bits, bits_of_other = out.view(kind), other.view(kind)
    np.copyto(bits, is_one)
    bits *= ONE[out.dtype].view(kind) ^ bits_of_other
    bits ^= bits_of_other
    return out


def in_blocks(function: Callable[[Array, Array, Array], None], x: Array) -> tuple[Array, Array]:
    """Return two arrays that `function(x, first, second)` sets, each element by its own of x.

    A long x goes through it block by block, in the order in which it lies in memory, so
    what the function makes on its way stays in the cache: `GELU` with tanh then takes 10 ms
    for 2 million float32, in place of 21, and the exact one 21 in place of 54.
    """
    if x.size <= BLOCK:
        first, second = np.empty_like(x), np.empty_like(x)
        function(x, first, second)
        return first, second
    order = sorted(range(x.ndim), key=lambda axis: -x.strides[axis])  # the outermost axis first
    laid_out = x.transpose(order)
    flat = laid_out.ravel()  # a view, unless x has gaps
    results = np.empty_like(flat), np.empty_like(flat)
    for start in range(0, flat.size, BLOCK):
        block = slice(start, start + BLOCK)
        function(flat[block], *(result[block] for result in results))
    first, second = (r.reshape(laid_out.shape).transpose(np.argsort(order)) for r in results)
    return first, second


def flush(numbers: Array) -> None:
    """Set to 0, in place, which of these numbers of at least 0 are too small to matter."""
    numbers[numbers < FLUSHED[numbers.dtype]] = 0


def finite_vector(vector: Array) -> bool:
    """Return whether no element is NaN or infinite; NumPy warns of nothing meanwhile.

    Of few elements their sum tells, and of a long vector the product with itself, in
    one call that allocates nothing; where that overflows, every element is looked at.
    """
    if vector.size <= FEW and math.isfinite(sum(vector.tolist())):
        return True
    if vector.size < LONG:
        return np.isfinite(vector).tobytes().find(0) < 0  # all(), in less than half its time
    with np.errstate(all="ignore"):
        square = vector.dot(vector)
    return math.isfinite(square) or bool(np.isfinite(vector).all())


def finite_squares(vector: Array) -> bool:
    """Return whether sums of the squares of every element stay finite, over 2^32 vectors."""
    limit = float(np.finfo(vector.dtype).max) / 2**32
    with np.errstate(all="ignore"):
        if vector.dot(vector) <= limit:  # False for NaN
            return True
        return bool(np.abs(vector).max() <= math.sqrt(limit))
