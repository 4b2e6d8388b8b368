"""What stands before the network of a table: categories become embeddings, numbers are scaled."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse import issparse

from minifw import layers
from minifw._tools.checks import describe
from minifw._tools.frames import as_plain
from minifw.core.layer import Layer
from minifw.typing import Array, DType, Generator

ENCODINGS: dict[str, Callable[[int, DType, Generator], list[Layer]]] = {
    "piecewise": lambda width, dtype, _: [
        layers.PiecewiseLinearEncoding(width, dtype=dtype),
        layers.Flatten(),
    ],
    "periodic": lambda width, dtype, rng: [  # one small Dense for all columns: the "lite" form
        layers.PeriodicEncoding(width, WAVES, dtype=dtype, rng=rng),
        layers.Dense(2 * WAVES, WAVES // 2, dtype=dtype, rng=rng),
        layers.ReLU(),
        layers.Flatten(),
    ],
}
# How the names of dtypes begin that hold times or nested values.
OTHERS = ("date", "time", "duration", "period", "struct", "list", "large_list", "array", "map")
WAVES = 48  # of each column, and a quarter as many numbers that are made of them
WIDEST = 8  # numbers for a category: as many as there are categories, up to this


class Categories:
    """The columns of a table that hold words, and a number for each word, from 1 on.

    A word that the training rows did not have, and a gap, get 0. Columns of pandas and polars
    are known by their dtypes: categories, enums, strings, and objects among which is a string.
    """

    def __init__(self, owner: str, table: Any) -> None:
        if hasattr(table, "collect"):  # a table that is not in memory is refused
            as_plain(owner, "X", table)
        self.codes: dict[int, dict[Any, int]] = {}  # by the place of the column
        for place in range(len(table.columns) if _known(table) else 0):
            values = _words(owner, _column(table, place))
            if values is not None:
                words = sorted(
                    {v for v in values if v is not None}, key=lambda v: (str(v), repr(v))
                )
                self.codes[place] = {word: number for number, word in enumerate(words, 1)}

    def encoded(self, owner: str, table: Any) -> Any:
        """Return the table with numbers for the words; what came if there are none."""
        if not self.codes:
            return table
        if not _known(table):
            raise TypeError(
                f"{owner} expects a table of pandas or polars, as in the first fit, whose "
                f"words it knows by their columns; got {describe(table)}"
            )
        pandas = hasattr(table, "iloc")
        table = table.copy() if pandas else table
        for place, codes in self.codes.items():
            if place >= len(table.columns):
                break  # the number of columns is refused in scikit-learn's own words
            column = _column(table, place)
            numbers = np.array([codes.get(value, 0) for value in _values(column)], np.float64)
            if pandas:
                table.isetitem(place, numbers)
            else:
                table = table.with_columns(type(column)(column.name, numbers))
        return table


def _known(table: Any) -> bool:
    return hasattr(table, "columns") and (hasattr(table, "iloc") or hasattr(table, "to_series"))


def _column(table: Any, place: int) -> Any:
    return table.iloc[:, place] if hasattr(table, "iloc") else table.to_series(place)


def _values(column: Any) -> list[Any]:
    """Return the values of a column, a gap being None."""
    gaps = column.isna() if hasattr(column, "isna") else column.is_null()
    return [None if gap else v for v, gap in zip(column.to_list(), gaps.to_list(), strict=True)]


def _words(owner: str, column: Any) -> list[Any] | None:
    """Return the values of a column, None if it holds numbers, or raise if neither."""
    name = str(column.dtype).lower()
    if name.startswith(OTHERS):
        raise TypeError(
            f"{owner} expects columns of numbers or words, {column.name!r} holds {column.dtype}; "
            "make numbers or words of it, or leave it out"
        )
    words = any(kind in name for kind in ("categor", "enum", "str"))
    if not words and name != "object":
        return None
    values = _values(column)
    return values if words or any(isinstance(value, str) for value in values) else None


def numbers_of(X: Any) -> Array:
    """Return the numbers of a table; of a sparse table the stored ones, as all others are 0."""
    numbers: Array = X.data if issparse(X) else X
    return numbers


def front(
    X: Array,
    categories: Categories,
    *,
    robust: bool,
    encoding: str | None,
    dtype: DType,
    rng: Generator,
) -> list[Layer]:
    """Return the layers before the network: the numbers, and a branch for each category.

    If it is `robust`, numbers are scaled, gaps are filled, and each gets a learned factor. An
    `encoding` makes a vector of each number.
    """
    places = [place for place in range(X.shape[1]) if place not in categories.codes]
    numbers: list[Layer] = []
    width = len(places)
    if robust and width:
        marked = bool(
            np.isnan(numbers_of(X[:, places])).any()
        )  # new rows can have gaps all the same
        numbers.append(layers.Impute(width, marked, dtype=dtype))
        width *= 1 + marked
        numbers.append(layers.RobustScale(width, dtype=dtype))
    if encoding and width:
        numbers += ENCODINGS[encoding](width, dtype, rng)
    chain = numbers
    if categories.codes:
        branches: list[Layer] = (
            [layers.Sequential(layers.Columns(*places), *numbers)] if places else []
        )
        for place, codes in categories.codes.items():
            # The row of what is unknown is 0 and stays so: it tells nothing.
            wide = min(max(len(codes), 1), WIDEST)
            table = layers.Embedding(len(codes) + 1, wide, padding_idx=0, dtype=dtype, rng=rng)
            branches.append(layers.Sequential(layers.Columns(place, whole=True), table))
        chain = [layers.Concat(*branches)]
    if robust:
        (width,) = layers.Sequential(*chain).output_shape(X.shape[1:])
        chain = [*chain, layers.Scale(width, dtype=dtype)]
    return chain
