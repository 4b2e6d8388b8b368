"""Checks of what a user passes in: each fault is one sentence with its fix.

A check is a cheap condition; the sentence is put together only on failure.
"""

import math
import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from minifw._tools.values import check_even, refuse_first
from minifw.typing import Array, DType, Shape, Target

DTYPES = (np.dtype(np.float64), np.dtype(np.float32))  # the two that BLAS multiplies
PLAIN = np.ndarray  # what nearly all are: the one class that is not looked at closer
SMALLEST_DTYPE = DTYPES[1]  # a layer without parameters meets both, and so do its constants


def describe(value: object) -> str:
    """Say in a few words what came: the dtype and shape of an array, the type of the rest."""
    if isinstance(value, np.ndarray):
        return f"{_with_article(str(value.dtype))} array of shape {value.shape}"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return _with_article(type(value).__name__)


def _with_article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiouAEIO' else 'a'} {noun}"


def check_is(
    owner: str, what: str, value: object, kind: Any, *, call: str = "(...)", hint: str = ""
) -> None:
    """Raise unless a value is of a class, or of one of several: ``A | B``.

    Who passes the class itself is told to call it, with `call` behind its name; and who passes a
    trainer or an estimator, to pass its model.
    """
    if isinstance(value, kind):
        return
    if isinstance(value, type) and issubclass(value, kind):
        hint = f"; write {value.__name__}{call}"
    elif held := [n for n in ("model", "model_") if isinstance(getattr(value, n, None), kind)]:
        hint = f"; pass its .{held[0]}"
    raise TypeError(f"{owner} expects {what}, got {describe(value)}{hint}")


def check_plain(owner: object, name: str, x: object) -> None:
    """Raise if `x` is of a class that computes in another way than an array does.

    The means of a masked array leave numbers out, ``*`` of a matrix is a product, and what is
    sparse is not an array at all. Other subclasses of an array are one, as are memory maps.
    """
    if type(x) is PLAIN:
        return
    what = ""
    if "numpy.ma" in sys.modules and isinstance(x, np.ma.MaskedArray):  # not to load it
        what = f"without a mask, got a masked array; use {name}.filled(...), or leave rows out"
    elif isinstance(x, np.matrix):
        what = f"to be an array, got a matrix; use np.asarray({name})"
    elif hasattr(x, "toarray") and hasattr(x, "nnz"):  # one of SciPy's sparse ones
        what = f"with all its zeros, got {describe(x)}; use {name}.toarray()"
    if what:
        who = owner if isinstance(owner, str) else repr(owner)
        raise TypeError(f"{who} expects {name} {what}")


def check_array(owner: object, name: str, x: Array) -> None:
    """Raise unless `x` is a non-empty array of float32 or float64."""
    try:
        if x.dtype in DTYPES and x.size and x.ndim:
            if type(x) is not PLAIN:
                check_plain(owner, name, x)
            return
    except AttributeError:
        pass
    check_plain(owner, name, x)
    if not isinstance(x, np.ndarray):
        if isinstance(x, list):
            check_even(owner, name, x)
        raise TypeError(
            f"{owner!r} expects {name} to be a NumPy array, got {describe(x)}; "
            f"use np.asarray({name}, dtype=np.float64)"
        )
    if x.dtype not in DTYPES:
        raise TypeError(
            f"{owner!r} expects {name} to hold float64 or float32 numbers, got {describe(x)}; "
            f"use {name}.astype(np.float64)"
        )
    raise ValueError(f"{owner!r} expects {name} to hold at least one example, got {describe(x)}")


def check_rows(owner: object, x: Array, features: int, dtype: DType) -> Array:
    """Return `x` of shape (batch, features), or raise unless it has it, in `dtype`.

    Of (batch, time, features) every step is a row: it returns (batch * time, features).
    """
    try:
        batch, width = x.shape
        if width == features and x.dtype == dtype and batch:
            if type(x) is not PLAIN:
                check_plain(owner, "x", x)
            return x
    except (AttributeError, ValueError):
        pass
    check_numbers(owner, x, dtype)
    if x.ndim == 3 and x.shape[2] == features:
        return x.reshape(-1, features)
    wanted, hint = f"(batch, {features})", ""
    if x.ndim > 2:
        wanted += f" or (batch, time, {features})"
        if math.prod(x.shape[1:]) == features:
            hint = "; put Flatten() before it"
        elif x.ndim == 4:
            hint = "; put Flatten() before it, or take Conv2D(..., 1), a Dense at every pixel"
    elif x.shape == (features,):
        hint = "; one example is a batch of one: x[np.newaxis]"
    elif x.ndim == 2 and x.shape[0] == features:
        hint = "; one example per row: x.T"
    raise ValueError(f"{owner!r} expects x of shape {wanted}, got {x.shape}{hint}")


def check_numbers(owner: object, x: Array, dtype: DType, name: str = "x") -> None:
    """Raise unless `x` is a non-empty array of `dtype`, the one in which the layer computes."""
    if isinstance(x, np.ndarray) and x.dtype != dtype:
        raise TypeError(
            f"{owner!r} computes in {dtype}, got {name} as {describe(x)}; "
            f"use {name}.astype(np.{dtype})"
        )
    check_array(owner, name, x)


def check_sequences(
    owner: object, x: Array, features: int, dtype: DType, name: str = "x"
) -> tuple[int, int]:
    """Return batch and time of `x`, or raise unless it is (batch, time, features) in `dtype`."""
    batch: int
    time: int
    try:
        batch, time, width = x.shape
        if width == features and x.dtype == dtype and batch and time:
            if type(x) is not PLAIN:
                check_plain(owner, name, x)
            return batch, time
    except (AttributeError, ValueError):
        pass
    check_numbers(owner, x, dtype, name)
    hint = ""
    if x.ndim == 2 and x.shape[1] == features:
        hint = f"; one sequence is a batch of one: {name}[np.newaxis]"
    elif x.ndim == 3 and x.shape[1] == features:
        hint = f"; one step after the other: {name}.swapaxes(1, 2)"
    raise ValueError(
        f"{owner!r} expects {name} of shape (batch, time, {features}), got {x.shape}{hint}"
    )


def check_place(owner: object, x: Array, features: int, dtype: DType) -> int:
    """Return the batch of `x`, or raise unless it is one place, (batch, features)."""
    check_numbers(owner, x, dtype)
    if x.ndim != 2 or x.shape[1] != features:
        hint = "; give one place after the other: x[:, 0], x[:, 1], ..." if x.ndim == 3 else ""
        raise ValueError(
            f"{owner!r}.step expects x of shape (batch, {features}), one place of a sequence, got "
            f"{x.shape}{hint}"
        )
    return len(x)


def check_sequence_shape(owner: object, shape: Shape, features: int | None = None) -> None:
    """Raise unless examples of this shape are (time, features)."""
    if len(shape) == 2 and shape[0] > 0 and features in (None, shape[1]):
        return
    wanted = "features" if features is None else features
    raise ValueError(f"{owner!r} expects examples of shape (time, {wanted}), got {shape}")


def check_mask(
    owner: object, mask: npt.NDArray[Any], batch: int, time: int
) -> npt.NDArray[np.bool_]:
    """Return a copy of `mask` in bool, or raise unless it says of each step whether it counts.

    Floating-point numbers that are all 0 are PyTorch's additive mask of a batch without padding.
    """
    check_plain(owner, "mask", mask)
    kind = mask.dtype.kind if isinstance(mask, np.ndarray) else "O"
    numbers = kind in "iuf" and not ((mask != 0) & (mask != 1)).any()
    if kind != "b" and not (numbers and (kind != "f" or mask.any())):
        other = " of other numbers than 0 and 1" if kind in "iuf" else ""
        raise TypeError(
            f"{owner!r} expects mask to be bool, True where a step counts, got {describe(mask)}"
            f"{', all 0' if numbers else other}; of PyTorch's key_padding_mask take ~mask, of an "
            "additive one mask == 0, of whole numbers that are padded with 0 Mask()"
        )
    if mask.shape != (batch, time):
        hint = "; one example per row: mask.T" if mask.shape == (time, batch) else ""
        raise ValueError(
            f"{owner!r} expects mask of shape (batch, time), here {(batch, time)}, got "
            f"{mask.shape}{hint}"
        )
    return mask.astype(bool)


def check_place_mask(owner: object, mask: npt.NDArray[Any], batch: int) -> npt.NDArray[np.bool_]:
    """Return whether one place counts in each row, as (batch, 1), or raise."""
    if isinstance(mask, np.ndarray):
        if mask.shape != (batch,):
            raise ValueError(
                f"{owner!r}.step expects mask of shape (batch,), here {(batch,)}, got {mask.shape}"
            )
        mask = mask[:, np.newaxis]
    return check_mask(owner, mask, batch, 1)


def check_state(owner: object, name: str, state: Array, shape: Shape, dtype: DType) -> None:
    """Raise unless an initial state is (batch, hidden) in `dtype`."""
    check_numbers(owner, state, dtype, name)
    if state.shape != shape:
        hint = f"; of PyTorch's take {name}[0]" if state.shape == (1, *shape) else ""
        raise ValueError(
            f"{owner!r} expects {name} of shape (batch, hidden), here {shape}, got "
            f"{state.shape}{hint}"
        )


def of_channels(x: Array, channels: int) -> str:
    """Return what x was, and a hint if its channels stand where sequences have their features."""
    last = x.ndim == 3 and x.shape[2] == channels
    return f"{x.shape}{'; of sequences, (batch, time, features), take LayerNorm' if last else ''}"


def check_whole(owner: object, x: npt.NDArray[Any]) -> None:
    """Raise unless `x` is a non-empty array of an integer dtype."""
    check_plain(owner, "x", x)
    if not isinstance(x, np.ndarray) or x.dtype.kind not in "iu":
        raise TypeError(
            f"{owner!r} expects x to hold whole numbers of an integer dtype, got "
            f"{describe(x)}; use np.asarray(x, dtype=np.intp)"
        )
    if not x.size or not x.ndim:
        raise ValueError(f"{owner!r} expects x to hold at least one example, got {describe(x)}")


def check_images(
    owner: object, x: Array, channels: int | None = None, dtype: DType | None = None
) -> None:
    """Raise unless `x` is (batch, channels, height, width), in `dtype` if one is given."""
    if dtype is None:
        check_array(owner, "x", x)
    else:
        check_numbers(owner, x, dtype)
    wanted = "channels" if channels is None else channels
    if x.ndim == 4 and channels in (None, x.shape[1]):
        return
    hint = ""
    if x.ndim == 3 and channels in (None, x.shape[0]):
        hint = "; one image is a batch of one: x[np.newaxis]"
    elif x.ndim == 3 and channels == 1:
        hint = "; images of one channel: x[:, np.newaxis]"
    elif x.ndim == 4 and x.shape[3] == channels:
        hint = "; channels come first: x.transpose(0, 3, 1, 2)"
    raise ValueError(
        f"{owner!r} expects x of shape (batch, {wanted}, height, width), got {x.shape}{hint}"
    )


def check_cotangent(owner: object, dy: Array, shape: Shape, dtype: DType) -> None:
    """Raise unless `dy` has the shape and dtype of the output that it is the gradient of."""
    try:
        if dy.shape == shape and dy.dtype == dtype:
            if type(dy) is not PLAIN:
                check_plain(owner, "dy", dy)
            return
    except AttributeError:
        pass
    if not isinstance(dy, np.ndarray) or dy.dtype != dtype:
        raise TypeError(f"{owner!r} expects dy as a {dtype} array, got {describe(dy)}")
    raise ValueError(f"{owner!r} expects dy of the shape of its output, {shape}, got {dy.shape}")


def check_feature_axis(owner: object, x: Array, axis: int) -> None:
    """Raise unless `x` has that axis, and it is not the batch: rows stay independent."""
    if -x.ndim < axis < x.ndim:
        return
    hint = "; one example is a batch of one: x[np.newaxis]" if x.ndim == 1 else ""
    raise ValueError(
        f"{owner!r} expects x to have an axis {axis} besides the batch, got shape {x.shape}{hint}"
    )


# -- of losses -----------------------------------------------------------------------------


def check_cases(owner: object, prediction: Array, axes: int) -> None:
    """Raise unless a prediction has other axes than the axes of one case, as the batch."""
    if prediction.ndim <= axes:
        raise ValueError(
            f"{owner!r} expects a prediction of shape (batch, features), got {prediction.shape}; "
            "one example is a batch of one: prediction[np.newaxis]"
        )


def check_alike(owner: object, prediction: Array, target: Target) -> None:
    """Raise unless both are non-empty float arrays of one shape and one dtype."""
    try:
        same = prediction.shape == target.shape and prediction.dtype == target.dtype
        if same and prediction.dtype in DTYPES and prediction.size and prediction.ndim:
            if type(prediction) is not PLAIN or type(target) is not PLAIN:
                check_plain(owner, "prediction", prediction)
                check_plain(owner, "target", target)
            return
    except AttributeError:  # not an array
        pass
    check_array(owner, "prediction", prediction)
    check_plain(owner, "target", target)
    _check_same_dtype(owner, "target", target, prediction.dtype)
    fix = ""
    if target.squeeze().shape == prediction.squeeze().shape:  # but for axes of length 1
        fix = f"; use target.reshape({prediction.shape})"
    elif target.T.shape == prediction.shape:
        fix = "; one example per row: target.T"
    raise ValueError(
        f"{owner!r} expects target in the shape of prediction, {prediction.shape}, "
        f"got {target.shape}{fix}"
    )


def check_sample_weight(owner: object, weight: Array, shape: Shape, dtype: DType) -> None:
    """Raise unless it has leading axes of `shape`, and is finite, at least 0, and above 0 once."""
    check_plain(owner, "sample_weight", weight)
    _check_same_dtype(owner, "sample_weight", weight, dtype)
    if not weight.ndim or weight.shape != shape[: weight.ndim]:
        fix = "; use sample_weight.ravel()" if weight.size == shape[0] else ""
        more = f", or for more leading axes of {shape}," if len(shape) > 1 else ","
        raise ValueError(
            f"{owner!r} expects one sample_weight for each example, of shape {shape[:1]}{more} "
            f"got {weight.shape}{fix}"
        )
    if not weigh(owner, weight):
        raise ValueError(f"{owner!r} expects a sample_weight above 0, got 0 for every example")


def weigh(owner: object, weight: npt.ArrayLike, name: str = "sample_weight") -> float:
    """Return the sum of the weights, or raise unless each is finite and at least 0."""
    w = np.asarray(weight)
    with np.errstate(over="ignore", invalid="ignore"):
        total = float(np.add.reduce(w, None, float))
    if not (np.minimum.reduce(w, None, initial=0) >= 0 and total < math.inf):
        right = np.isfinite(w) & (w >= 0)
        if not right.all():  # else the sum alone is infinite
            refuse_first(owner, f"{name} to be finite and at least 0", w, right)
    return total


def _check_same_dtype(owner: object, name: str, array: object, dtype: DType) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        check_even(owner, name, array)
        raise TypeError(
            f"{owner!r} expects {name} in the dtype of prediction, {dtype}, got "
            f"{describe(array)}; use np.asarray({name}, dtype=np.{dtype})"
        )


def check_positive_weight(owner: str, name: str, weight: npt.ArrayLike | None) -> Array | None:
    """Return a copy in float64, or raise unless it holds numbers that can be weights."""
    if weight is None:
        return None
    try:
        array = np.array(weight, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{owner} expects {name} to hold numbers, got {weight!r}") from None
    if not (np.isfinite(array) & (array >= 0)).all():
        raise ValueError(
            f"{owner} expects {name} to be finite and at least 0, got {array.tolist()}"
        )
    return array


def check_class_weight(owner: str, name: str, weight: npt.ArrayLike | None) -> Array | None:
    """Return a copy in float64, or raise unless it holds one weight for each class."""
    array = check_positive_weight(owner, name, weight)
    if array is None:
        return None
    if array.ndim != 1 or array.size < 2:
        raise ValueError(
            f"{owner} expects {name} to be one number for each class, of shape (classes,), got "
            f"{array.shape}"
        )
    if not array.any():
        raise ValueError(f"{owner} expects one {name} above 0, got {array.tolist()}")
    return array
