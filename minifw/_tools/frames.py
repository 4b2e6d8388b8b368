"""Tables and columns of pandas, polars and their like, known by what they offer.

Nobody imports these packages: a table has ``to_numpy``, ``columns`` and ``dtypes``, a column
``to_numpy`` and ``dtype``. An index is ignored: rows go by their place.
"""

from numbers import Number
from typing import Any

import numpy as np

from minifw._tools.checks import describe

NUMBERS = "fiub"  # NumPy's kinds of real numbers and truth values
SHOWN = 5  # columns that a message names

# What makes numbers of a table x, or of a column alone: in pandas, and in polars.
_FIXES = {
    "words": ("pd.get_dummies({x}, columns={names})", "{x}.to_dummies({names})"),
    "others": ("{x}.drop(columns={names})", "{x}.drop({names})"),
    "objects": ("{x}.astype(float)", "{x}.cast(float)"),
    "codes": ("{x}.astype('category').cat.codes", "{x}.rank('dense') - 1"),
    "gaps": ("{x}.astype(float).fillna(0)", "{x}.cast(float).fill_null(0)"),
}


def as_plain(owner: str, name: str, data: Any) -> Any:
    """Return a table or a column of numbers as an array, and anything else as it is.

    Truth values beside numbers become numbers, and whole numbers stay whole among themselves.
    What the table marks as a gap is an error; NaN is a number, as in an array.
    """
    if not (hasattr(data, "to_numpy") or hasattr(data, "collect")):
        return data
    x = name.rsplit(" ", maxsplit=1)[-1]  # of "input x"
    if not hasattr(data, "to_numpy"):  # polars' LazyFrame
        raise TypeError(
            f"{owner} expects {name} in memory, got {describe(data)}; use {x}.collect()"
        )
    is_table = hasattr(type(data), "columns")  # of the class: a column has its labels as well
    if not hasattr(data, "dtypes" if is_table else "dtype"):
        return data
    dtypes = {*data.dtypes} if is_table else {data.dtype}
    if len(dtypes) < 2 and all(isinstance(d, np.dtype) and d.kind in NUMBERS for d in dtypes):
        return np.asarray(data)  # without a copy
    pandas = hasattr(data, "isna")
    columns, names = [data], [""]
    if is_table:
        columns = [one for _, one in data.items()] if pandas else data.get_columns()
        names = [repr(one) for one in data.columns]
    arrays = [column.to_numpy() for column in columns]
    named = list(zip(names, columns, arrays, strict=True))
    wrong = [one for one in named if not _holds_numbers(one[1].dtype, one[2], is_table)]
    if wrong:
        fault = _fault(x, not pandas, wrong, f"got {describe(data)}" * (not is_table))
        raise TypeError(f"{owner} expects {name} to hold numbers, {fault}")
    for label, column, _ in named:
        gaps = np.asarray(column.isna() if pandas else column.is_null())
        if gaps.any() and not isinstance(column.dtype, np.dtype):
            raise ValueError(
                f"{owner} expects {name} to hold a number in every row, "
                f"{f'column {label} has' if is_table else 'got'} a gap in row {gaps.argmax()}; "
                f"fill it, as {_FIXES['gaps'][not pandas].format(x=x)} does, or leave the row out"
            )
    # Laid out as pandas does it, one column after the other.
    return np.stack(arrays).T if is_table else arrays[0]


def _holds_numbers(dtype: Any, array: Any, is_table: bool) -> bool:
    """Return whether a column does; a category of numbers does not."""
    if str(dtype) == "Boolean":  # polars': with gaps its array is of objects
        return True
    several = is_table and array.ndim > 1  # columns in one
    return getattr(dtype, "kind", array.dtype.kind) in NUMBERS and not several


def _fault(x: str, library: int, wrong: list[Any], alone: str) -> str:
    """Return what came, and how to make numbers of these columns, or to leave them out.

    `library` is 0 for pandas, 1 for polars; `alone` is what came, if it was no table.
    """
    found: dict[str, list[str]] = {"words": [], "others": [], "objects": []}
    for name, column, array in wrong:
        values = array.tolist()
        words = "categor" in str(column.dtype).lower() or any(isinstance(v, str) for v in values)
        objects = array.dtype.kind == "O" and any(isinstance(v, Number) for v in values)
        found["words" if words else "objects" if objects else "others"].append(name)
    held = ", ".join(dict.fromkeys([str(column.dtype) for _, column, _ in wrong]))
    if alone and found["others"]:
        return f"{alone} of {held}; take numbers of it"
    for content, names in found.items():
        if names:
            key = "codes" if content == "words" and alone else content
            x = _FIXES[key][library].format(x=x, names=f"[{', '.join(names)}]")
    if alone:
        return f"{alone} of {held}; use {x}"
    shown = ", ".join([name for name, *_ in wrong[:SHOWN]]) + ", ..." * (len(wrong) > SHOWN)
    one = len(wrong) == 1
    return f"column{'s' * (not one)} {shown} hold{'s' * one} {held}; use {x}"
