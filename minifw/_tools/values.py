"""Checks of arrays by number or by row: the error says which is the first fault, and where."""

import math
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from minifw.typing import Array, Shape, Target


def check_labels(owner: object, labels: Target, classes: float) -> None:
    """Raise unless all are classes, counted from 0; of infinitely many, where none are known."""
    low, high = np.minimum.reduce(labels, None), np.maximum.reduce(labels, None)
    if low >= 0 and high < classes and (labels.dtype.kind != "f" or not (labels % 1).any()):
        return
    fix = "; labels count from 0: target - 1" if low == 1 and high == classes else ""
    if low < 0:  # as PyTorch's ignore_index
        fix = "; what is padding has any class, and the sample_weight 0"
    known = f"from 0 to {classes - 1}" if classes < math.inf else "at least 0"
    right = (labels >= 0) & (labels < classes) & (labels % 1 == 0)
    refuse_first(owner, f"label to be {known}", labels, right, fix)


def check_probabilities(owner: object, what: str, p: Array, fix: str = "") -> None:
    """Raise unless every number of `p` is in [0, 1]; a NaN is not."""
    least, largest = np.minimum.reduce(p, None), np.maximum.reduce(p, None)
    if not (least >= 0 and largest <= 1):
        worst = np.abs(p - 0.5).argmax()  # of a NaN, if there is one
        raise ValueError(
            f"{owner!r} expects every {what} in [0, 1], got {p.item(worst)}{fix and '; '}{fix}"
        )


def refuse_first(
    owner: object, what: str, array: Target, right: npt.NDArray[np.bool_], fix: str = ""
) -> NoReturn:
    """Raise for the first number that is not right; the error has its row, and of how many."""
    index = tuple(int(i) for i in np.argwhere(~right)[0])
    who, place = owner if isinstance(owner, str) else repr(owner), index[0]
    error = ValueError(
        f"{who} expects every {what}, got {array[index]} at index "
        f"{index if len(index) > 1 else place}{fix}"
    )
    vars(error)["row"] = place, len(array)
    raise error


def check_even(owner: object, name: str, rows: object) -> None:
    """Raise if `rows` is a list, or a tuple, of which a row has another shape than the first."""
    shapes: list[Shape] = []
    for index, row in enumerate(rows if isinstance(rows, list | tuple) else ()):
        try:
            shapes.append(np.shape(row))
        except ValueError:
            check_even(owner, f"{name}[{index}]", row)
            return
        if shapes[index] != shapes[0]:
            who = owner if isinstance(owner, str) else repr(owner)
            several = "; several inputs are a tuple" if len(shapes[0]) > 1 else ""
            raise ValueError(
                f"{who} expects {name} to hold rows of one length, got the shape {shapes[0]} in "
                f"row 0 and {shapes[index]} in row {index}; pad or cut the rows{several}"
            )
