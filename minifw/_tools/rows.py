"""Data row by row: arrays in memory, memory-mapped ones, and what else can be indexed."""

import mmap
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from minifw._tools.checks import DTYPES, PLAIN, check_plain, describe
from minifw._tools.frames import NUMBERS, as_plain
from minifw._tools.values import check_even
from minifw.typing import DType, Shape

Selection: TypeAlias = "slice | npt.NDArray[np.intp]"
AnyArray: TypeAlias = np.ndarray[Any, Any]

WHOLE = "iu"  # NumPy's kinds of whole numbers
TRUTH = "b"  # and of truth values
SHOWN = 5  # rows that a message names


def cast(array: AnyArray, dtype: DType | None, kept: str = "") -> AnyArray:
    """Return `array` in `dtype`; unchanged if it has that dtype, or a kind in `kept`.

    With None for a dtype, float64 and float32 stay what they are.
    """
    if array.dtype.kind in kept:
        return array
    if dtype is None:
        dtype = array.dtype if array.dtype in DTYPES else DTYPES[0]
    return array if array.dtype == dtype else array.astype(dtype)


class Rows:
    """One example per row, given out in the dtype of a model.

    An array in memory is cast once. An array that is mapped from a file, or an object that can be
    indexed like an array, is read and cast batch by batch; a sparse matrix of SciPy gets its zeros
    so.

    Parameters
    ----------
    owner, name : str
        Whose argument it is, for the messages.
    data : array_like
    dtype : float64, float32 or None
        What floating-point numbers, and whole ones, are cast to.
    kept : str, default ""
        NumPy's kinds of numbers that stay what they are, such as `WHOLE`.
    """

    def __init__(
        self, owner: str, name: str, data: Any, dtype: DType | None, kept: str = ""
    ) -> None:
        self.owner, self.name = owner, name
        if hasattr(data, "tocsr"):  # in the form that is quickly cut by rows
            data = data.tocsr()
        is_table = hasattr(data, "to_numpy") and hasattr(type(data), "columns")
        self.header = list(data.columns) if is_table else []  # of its columns
        self._dtype, self._kept = dtype, kept
        self._foreign = not isinstance(data, np.ndarray) and _indexable(data)
        array: Any = data if self._foreign else as_array(owner, name, data)
        if np.dtype(array.dtype).kind not in NUMBERS:
            raise TypeError(f"{owner} expects {name} to hold real numbers, got {_what(array)}")
        if not array.shape or not array.shape[0]:
            raise ValueError(
                f"{owner} expects {name} to hold at least one example, got {_what(array)}"
            )
        self.dtype = np.dtype(array.dtype)  # as given
        self.in_memory = not (self._foreign or _is_mapped(data))
        if self.in_memory:
            array = cast(array, dtype, kept)
        if not self._foreign:
            array = array.view()
            array.flags.writeable = False  # batches are views of it: nobody may write into them
        self._array = array
        self.shape: tuple[int, ...] = tuple(array.shape)

    @property
    def parts(self) -> "list[Rows]":
        """The arrays in here: this one."""
        return [self]

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
            found[order] = _with_zeros(self._array[rows[order]])
        else:
            found = np.asarray(_with_zeros(self._array[rows]))
        return cast(found, self._dtype, self._kept)


class Several:
    """Several arrays of one length, side by side: it gives out tuples. One may be None."""

    def __init__(self, owner: str, name: str, columns: "Sequence[Rows | Several | None]") -> None:
        self.owner, self.name, self.columns = owner, name, columns
        self.parts: list[Rows] = [p for one in columns if one is not None for p in one.parts]
        for part in self.parts:
            if len(part) != len(self):
                head = self.parts[0]
                raise ValueError(
                    f"{owner} expects one row of {part.name} for each row of {head.name}, got "
                    f"{len(part)} and {len(head)}{_transposed(part, head)}"
                )

    def __len__(self) -> int:
        return len(self.parts[0])

    def take(self, rows: Selection) -> tuple[Any, ...]:
        """Return these rows of each array."""
        return tuple([None if one is None else one.take(rows) for one in self.columns])


class Fields(NamedTuple):
    """Which arrays an argument holds: one, or several in a tuple, or in a dict by their names."""

    name: str  # of the argument
    word: str  # for one of several: "input"
    names: tuple[str, ...]  # "mask?" may be left out, "xs*" is any number
    kept: tuple[str, ...]  # of each, NumPy's kinds of numbers that stay what they are
    alone: bool = True  # whether one array may come without a tuple

    def rows(self, owner: str, data: Any, dtype: DType | None) -> "Rows | Several | None":
        """Return the rows of the array, or of several; None of what is left out."""
        found = self.each(owner, data, lambda name, one, kept: Rows(owner, name, one, dtype, kept))
        return Several(owner, self.name, found) if isinstance(found, tuple) else found

    def each(self, owner: str, data: Any, make: Callable[[str, Any, str], Any]) -> Any:
        """Return what `make` gives for the array, or a tuple for several; None stays None.

        It is called with a name, the data, and the kinds of numbers that stay what they are.
        """
        names, kept = self.names, self.kept
        if isinstance(data, dict) and not hasattr(data, "tocsr"):  # a sparse one is a dict
            data = self._by_name(owner, data)
        if data is None and names[0][-1] == "?":
            return None if self.alone else ()
        if len(names) == 1 or (self.alone and not isinstance(data, tuple)):
            return make(self.name, data, kept[0])
        self._check(owner, data)
        made = []
        for index, one in enumerate(data):
            i = min(index, len(names) - 1)  # of "xs*"
            word = f"{self.word} {names[i].rstrip('?*')}"
            made.append(None if one is None else make(word, one, kept[i]))
        return tuple(made)

    def _by_name(self, owner: str, data: dict[str, Any]) -> Any:
        names = [name.rstrip("?*") for name in self.names]
        faults = [f"got {name!r}" for name in data if name not in names]
        faults += [f"{n!r} is missing" for n in self.names if n[-1] not in "?*" and n not in data]
        if faults:
            raise ValueError(
                f"{owner} expects {self.name} to have the names ({', '.join(names)}), {faults[0]}"
            )
        found = tuple([data.get(name) for name in names])
        return found if len(found) > 1 else found[0]

    def _check(self, owner: str, data: Any) -> None:
        """Raise unless it is a tuple of these arrays."""
        names, got = self.names, describe(data)
        if isinstance(data, tuple):
            given = (*data, *(None,) * len(names))
            missing = [n for n, one in zip(names, given, strict=False) if one is None]
            fits = len(data) <= len(names) or names[-1][-1] == "*"
            if fits and all(name[-1] in "?*" for name in missing):
                return
            got = f"({', '.join(['None' if one is None else 'array' for one in data])})"
        raise ValueError(
            f"{owner} expects {self.name} to be a tuple of arrays, ({', '.join(names)}), got {got}"
        )


def evenly(length: int, most: int) -> npt.NDArray[np.intp]:
    """Return the numbers of at most so many rows, from all over the data."""
    return np.linspace(0, length - 1, min(length, most)).astype(np.intp)


def first(data: Any) -> Any:
    """Return the first of several arrays, or the only one."""
    return data[0] if type(data) is tuple else data


def cut(data: Any, rows: Any) -> Any:
    """Return these rows of an array, or of each of several; None of None."""
    if type(data) is tuple:
        return tuple([cut(one, rows) for one in data])
    return None if data is None else data[rows]


def finite_rows(array: Any) -> npt.NDArray[np.bool_]:
    """Return for each row whether all its numbers are finite."""
    found: npt.NDArray[np.bool_] = np.isfinite(array).reshape(len(array), -1).all(axis=1)
    return found


def listed_rows(rows: npt.NDArray[np.intp]) -> str:
    """Return "row 3", "rows 3 and 5", or the first few of many."""
    texts = [str(int(row)) for row in np.sort(rows)]
    if len(texts) == 1:
        return f"row {texts[0]}"
    if len(texts) > SHOWN:
        return f"{len(texts)} rows ({', '.join(texts[:SHOWN])}, ...)"
    return f"rows {', '.join(texts[:-1])} and {texts[-1]}"


def shape_text(shape: Shape) -> str:
    """Return a shape whose first axis is the examples, such as "(examples, 3)"."""
    return f"({', '.join(['examples', *map(str, shape[1:])])}{',' if len(shape) == 1 else ''})"


def as_array(owner: str, name: str, data: Any) -> AnyArray:
    """Return `data` as an array, or raise if that would lose a mask, or cannot be.

    A matrix becomes an array, and so does a table or a column of pandas or polars.
    """
    if type(data) is PLAIN:
        return data
    if not isinstance(data, np.matrix):
        check_plain(owner, name, data)
    plain = as_plain(owner, name, data)
    try:
        return np.asarray(plain)
    except ValueError as error:
        check_even(owner, name, plain)
        raise ValueError(f"{owner} expects {name} to be an array: {error}") from None


def _indexable(data: Any) -> bool:
    """Return whether it can be indexed by rows as an array can: of h5py, zarr and their like.

    A table or column of pandas is none of them: it is not indexed by rows.
    """
    if hasattr(data, "iloc"):
        return False
    if not all(hasattr(data, name) for name in ("shape", "dtype", "ndim")):
        return False
    try:
        np.dtype(data.dtype)
    except TypeError:  # of another framework: np.asarray knows what to do
        return False
    return hasattr(data, "__getitem__") and not isinstance(data, np.generic)


def _with_zeros(rows: Any) -> Any:
    return rows.toarray() if hasattr(rows, "toarray") else rows


def _transposed(column: Rows, x: Rows) -> str:
    """Return the fix where there is one example per column."""
    if x.name == "x" and len(x.shape) == 2 and x.shape[1] in (len(column), *column.shape[1:2]):
        fix = ", np.transpose(y)" if len(column.shape) == 2 else ""
        return f"; one example per row: np.transpose(x){fix}"
    return ""


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
