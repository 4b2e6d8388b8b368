"""Checks of arrays number by number: the error says which is the first fault, and where."""

import math
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from minifw.typing import Target


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
