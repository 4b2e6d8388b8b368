"""Explains what was wrong with a batch, after the error."""

import copy
import warnings
from typing import Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from minifw._engine.heads import outputs_of
from minifw._tools.rows import cut, finite_rows, first, listed_rows, shape_text
from minifw.errors import NonFiniteError
from minifw.typing import Shape


class Place(NamedTuple):
    """Which batch it was."""

    owner: str
    where: str  # "; in epoch 3, batch 1 of 2", or ""
    rows: npt.NDArray[np.intp] | None  # their numbers in the data; None of an iterable's batch
    growth: str = ""  # "; the loss has grown ...", or ""


def explain(error: ValueError, model: Any, batch: tuple[Any, ...], place: Place) -> NoReturn:
    """Raise the error again, with what only who cut the batch knows."""
    if not isinstance(error, NonFiniteError):
        fix = _wrong_target(place.owner, model, batch)
        if fix is not None:
            raise ValueError(fix) from error
        bad = _bad_data({"y": batch[1], "sample_weight": batch[2]}, place.rows)
        if bad and len(error.args) == 1:  # the loss names the number, and not the row
            error.args = (f"{error}{place.where}{bad}",)
            raise error
        where, (row, length) = place.where, getattr(error, "row", (0, 0))  # of the batch
        if place.rows is not None and length == len(place.rows):
            where += f", row {place.rows[row]} of the data"
        if where:
            error.add_note(where.strip(";, "))
        raise error
    error.rows = place.rows
    error.args = (f"{error}{place.where}{_bad_rows(model, batch, place.rows)}{place.growth}",)
    raise error


def _bad_rows(model: Any, batch: tuple[Any, ...], rows: npt.NDArray[np.intp] | None) -> str:
    """Return which rows of the data are not finite, or give an output that is not; or all."""
    x, count = batch[0], len(first(batch[0]))
    found = _bad_data(dict(zip(("x", "y", "sample_weight"), batch, strict=True)), rows)
    if found:
        return found
    whose = "" if rows is not None else ", counted in the batch,"
    if rows is None:
        rows = np.arange(count)
    try:
        twin = copy.deepcopy(model)
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outputs = outputs_of(twin.predict(x, allow_nan=True))
            bad = ~np.all([finite_rows(output) for output in outputs], axis=0)
    except Exception:  # noqa: BLE001 - a copy may fail on such values: nothing to say then
        bad = np.zeros(count, bool)
    if bad.any() and not bad.all():
        return f"; the output is not finite for {listed_rows(rows[bad])}{whose.rstrip(',')}"
    return f"; the batch has {listed_rows(rows)}" if not whose else ""


def _bad_data(data: dict[str, Any], rows: npt.NDArray[np.intp] | None) -> str:
    """Return which rows of the first array that is not finite hold such numbers, or nothing."""
    whose = "" if rows is not None else ", counted in the batch,"
    arrays = {
        f"{name}[{index}]" if type(one) is tuple else name: array
        for name, one in data.items()
        for index, array in enumerate(outputs_of(one))
    }
    for name, array in arrays.items():
        if array is not None and (bad := ~finite_rows(array)).any():
            numbers = np.arange(len(array)) if rows is None else rows
            verb = "holds" if bad.sum() == 1 else "hold"
            told = f"; {listed_rows(numbers[bad])} of {name}{whose} {verb} NaN or infinity"
            empty = np.isnan(array).all(axis=0) if array.ndim == 2 and len(array) > 1 else bad[:0]
            if empty.any():
                told += f", all in column {empty.argmax()}; was it divided by a std of 0?"
            return told
    return ""


def _wrong_target(owner: str, model: Any, batch: tuple[Any, ...]) -> str | None:
    """Return a message if y differs by an axis of length 1 from what it should be; or None.

    That is the model's output, or of whole numbers, which only losses of labels are given, the
    output without its classes.
    """
    x, y, _ = batch
    try:
        shape = copy.deepcopy(model).predict(cut(x, slice(1)), allow_nan=True).shape
        kind = y.dtype.kind
    except Exception:  # noqa: BLE001 - the first error says it
        return None
    wanted = f"in the shape of the model's output, {shape_text(shape)}"
    if labels := kind in "iu" and shape[-1] > 1:
        shape = shape[:-1]
        wanted = f"to hold labels of shape {shape_text(shape)}"
    fix = axis_fix("y", y.shape, shape)
    if not fix or not (kind == "f" or (labels and y.ndim > len(shape))):
        return None
    return f"{owner} expects y {wanted}, got {shape_text(y.shape)}{fix}"


def axis_fix(name: str, shape: Shape, wanted: Shape) -> str:
    """Return "; use ...", for an array as for a list or a table; "" if no axis of 1 is amiss."""
    if (*wanted, 1)[1:] == shape[1:]:
        return f"; use np.ravel({name})" if len(shape) == 2 else f"; use np.squeeze({name}, -1)"
    if (*shape, 1)[1:] == wanted[1:]:
        one = f"np.reshape({name}, (-1, 1))", f"np.expand_dims({name}, -1)"
        return f"; use {one[len(shape) > 1]}"
    return ""
