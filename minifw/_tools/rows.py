"""Data row by row: arrays in memory, memory-mapped ones, and what else can be indexed."""

import mmap
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from minifw._tools.checks import DTYPES, check_plain, describe
from minifw.typing import DType

__all__ = ["Rows", "Selection", "as_array", "cast"]

Selection: TypeAlias = "slice | npt.NDArray[np.intp]"
AnyArray: TypeAlias = np.ndarray[Any, Any]


def cast(array: AnyArray, dtype: DType | None, *, whole: bool = False) -> AnyArray:
    """Return `array` in `dtype`; as it is if it has it, or holds whole numbers that are meant.

    With None for a dtype, float64 and float32 stay what they are.
    """
    if whole and array.dtype.kind in "iu":
        return array
    if dtype is None:
        dtype = array.dtype if array.dtype in DTYPES else DTYPES[0]
    return array if array.dtype == dtype else array.astype(dtype)


class Rows:
    """One example per row, given out in the dtype of a model.

    An array in memory is cast once. One that is mapped from a file, or that is no
    NumPy array but can be indexed like one, is read and cast batch by batch.

    Parameters
    ----------
    owner, name : str
        Whose argument it is, for the messages.
    data : array_like
    dtype : float64, float32 or None
        What floating-point numbers, and whole ones, are cast to.
    whole : bool, default False
        Whether whole numbers stay what they are.
    """

    def __init__(
        self, owner: str, name: str, data: Any, dtype: DType | None, *, whole: bool = False
    ) -> None:
        self.owner, self.name = owner, name
        self._dtype, self._whole = dtype, whole
        self._foreign = not isinstance(data, np.ndarray) and _indexable(data)
        array: Any = data if self._foreign else as_array(owner, name, data)
        if np.dtype(array.dtype).kind not in "fiub":
            raise TypeError(f"{owner} expects {name} to hold real numbers, got {_what(array)}")
        if not array.shape or not array.shape[0]:
            raise ValueError(
                f"{owner} expects {name} to hold at least one example, got {_what(array)}"
            )
        self.dtype = np.dtype(array.dtype)  # as given
        self.in_memory = not (self._foreign or _is_mapped(data))
        if self.in_memory:
            array = cast(array, dtype, whole=whole)
        if not self._foreign:
            array = array.view()
            array.flags.writeable = False  # batches are views of it: nobody may write into them
        self._array = array
        self.shape: tuple[int, ...] = tuple(array.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def take(self, rows: Selection) -> AnyArray:
        """Return these rows: a view if they follow each other in memory, else a new array."""
        if self.in_memory:
            part: AnyArray = (
                self._array[rows] if isinstance(rows, slice) else self._array.take(rows, axis=0)
            )
            return part
        if self._foreign and not isinstance(rows, slice):
            # What reads from files, such as h5py, wants rows in rising order.
            order = rows.argsort()
            found = np.empty((len(rows), *self.shape[1:]), np.dtype(self._array.dtype))
            found[order] = self._array[rows[order]]
        else:
            found = np.asarray(self._array[rows])
        return cast(found, self._dtype, whole=self._whole)


def as_array(owner: str, name: str, data: Any) -> AnyArray:
    """Return `data` as an array, or raise if that would lose a mask, or cannot be.

    A matrix becomes an array.
    """
    if not isinstance(data, np.matrix):
        check_plain(owner, name, data)
    try:
        return np.asarray(data)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"{owner} expects {name} to be an array: {error}") from None


def _indexable(data: Any) -> bool:
    """Return whether it can be indexed by rows as an array can: of h5py, zarr and their like.

    A table of pandas is none of them: it is indexed by columns. Nor is a sparse matrix, of which
    NumPy can make no array.
    """
    if hasattr(data, "iloc") or hasattr(data, "toarray"):
        return False
    if not all(hasattr(data, name) for name in ("shape", "dtype", "ndim")):
        return False
    try:
        np.dtype(data.dtype)
    except TypeError:  # of another framework: np.asarray knows what to do
        return False
    return hasattr(data, "__getitem__") and not isinstance(data, np.generic)


def _is_mapped(array: Any) -> bool:
    while array is not None:
        if isinstance(array, np.memmap | mmap.mmap):
            return True
        array = getattr(array, "base", None)
    return False


def _what(array: Any) -> str:
    if isinstance(array, np.ndarray):
        return describe(array)
    return f"{array.dtype} data of shape {tuple(array.shape)}"
