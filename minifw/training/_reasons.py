"""Says what was wrong with a batch, after the fact."""

import copy
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from minifw._core.layer import Layer
from minifw._core.typing import Array
from minifw.training._data import Batch

__all__ = ["bad_rows", "wrong_target"]

SHOWN = 5  # rows that a message names


def bad_rows(model: Layer, batch: Batch, rows: npt.NDArray[np.intp]) -> str:
    """Return which rows of the data are not finite, or give an output that is not; or ""."""
    x, y, weight = batch
    for name, array in (("x", x), ("y", y), ("sample_weight", weight)):
        if array is not None:
            bad = _not_finite(array)
            if bad.any():
                return f"; {_listed(rows[bad])} of {name} hold NaN or infinity"
    try:
        twin = copy.deepcopy(model)
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            bad = _not_finite(twin.predict(x))
    except Exception:  # noqa: BLE001 - a copy may fail on such values: nothing to say then
        return ""
    if bad.any() and not bad.all():
        return f"; the output is not finite for {_listed(rows[bad])}"
    return ""


def wrong_target(owner: str, model: Layer, batch: Batch) -> str | None:
    """Return a message if y differs from the model's output by an axis of length 1; or None."""
    x, y, _ = batch
    try:
        shape = copy.deepcopy(model).predict(x[:1]).shape[1:]
    except Exception:  # noqa: BLE001 - the first error says it
        return None
    expected = ", ".join(["examples", *map(str, shape)])
    got = ", ".join(["examples", *map(str, y.shape[1:])])
    for whose, change, fix in (
        (shape, (*y.shape[1:], 1), "y[:, np.newaxis]" if y.ndim == 1 else "y[..., np.newaxis]"),
        ((*shape, 1), y.shape[1:], "y.ravel()" if y.ndim == 2 else "y[..., 0]"),
    ):
        if y.dtype.kind == "f" and whose == change:
            comma = "," if not shape else ""
            comma_y = "," if y.ndim == 1 else ""
            return (
                f"{owner} expects y in the shape of the model's output, ({expected}{comma}), got "
                f"({got}{comma_y}); use {fix}"
            )
    return None


def _not_finite(array: Any) -> npt.NDArray[np.bool_]:
    """Return for each row whether one of its numbers is not finite."""
    numbers: Array = array.reshape(len(array), -1)
    found: npt.NDArray[np.bool_] = np.logical_not(np.isfinite(numbers).all(axis=1))
    return found


def _listed(rows: npt.NDArray[np.intp]) -> str:
    """Return "row 3", "rows 3 and 5", or the first few of many."""
    texts = [str(int(row)) for row in np.sort(rows)]
    if len(texts) == 1:
        return f"row {texts[0]}"
    if len(texts) > SHOWN:
        return f"{len(texts)} rows ({', '.join(texts[:SHOWN])}, ...)"
    return f"rows {', '.join(texts[:-1])} and {texts[-1]}"
