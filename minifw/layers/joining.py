"""Layers of several inputs that make one value of them, without parameters."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, ClassVar

import numpy as np

from minifw._engine.steps import refuse_axis
from minifw._tools.checks import check_array, check_cotangent
from minifw._tools.numbers import check_axis
from minifw.core.layer import Layer
from minifw.typing import Array, Formulas, Shape

__all__ = ["Add", "Join", "Multiply"]


class Add(Layer):
    """y = x_0 + x_1 + ...; each dx_i = dy.

    Any number of inputs, all of one shape: nothing is ever broadcast.

    Raises
    ------
    ValueError, TypeError
        By ``forward``, if inputs differ in shape or dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Add
    >>> layer = Add()
    >>> layer.forward(np.array([[1.0, 2.0]]), np.array([[10.0, 20.0]]))
    array([[11., 22.]])
    >>> layer.backward(np.array([[1.0, 3.0]]))
    (array([[1., 3.]]), array([[1., 3.]]))
    """

    replayable: ClassVar[bool] = True
    stepwise: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {"y": "{sum_x}", "dx": "{dy}"}
    _operation: ClassVar[np.ufunc] = np.add  # of y so far and the next x

    def output_shape(self, *shapes: Shape) -> Shape:
        """Return the shape of all inputs."""
        for shape in shapes:
            if shape != shapes[0]:
                raise ValueError(
                    f"{self!r} expects inputs of one shape, got {shapes[0]} and {shape}"
                )
        return shapes[0]

    def forward(self, *xs: Array) -> Array:
        """Return y."""
        check_kin(self, xs)
        self.output_shape(*[x.shape for x in xs])
        self.save(*xs)
        y = xs[0].copy("K")  # the shape of each x
        for x in xs[1:]:
            self._operation(y, x, y)
        return y

    def backward(self, dy: Array) -> Any:
        """Return the gradient of each input."""
        xs = self.saved()
        check_cotangent(self, dy, xs[0].shape, xs[0].dtype)
        dxs = tuple([self._share(dy, xs, own) for own in range(len(xs))])
        return dxs if len(dxs) > 1 else dxs[0]

    def _share(self, dy: Array, xs: tuple[Array, ...], own: int) -> Array:  # noqa: ARG002
        return dy.copy("K")


class Multiply(Add):
    """y = x_0 * x_1 * ..., element by element; dx_i is dy times all other inputs.

    Any number of inputs, all of one shape: nothing is ever broadcast. No gradient is y
    divided by its input, which may be 0.

    Raises
    ------
    ValueError, TypeError
        By ``forward``, if inputs differ in shape or dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Multiply
    >>> layer = Multiply()
    >>> layer.forward(np.array([[0.0, 2.0]]), np.array([[10.0, 20.0]]))
    array([[ 0., 40.]])
    >>> layer.backward(np.array([[1.0, 3.0]]))
    (array([[10., 60.]]), array([[0., 6.]]))
    """

    replayable: ClassVar[bool] = True
    stepwise: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {"y": "{product_x}"}
    _operation = np.multiply

    def _share(self, dy: Array, xs: tuple[Array, ...], own: int) -> Array:
        dx = dy.copy("K")
        for x in (*xs[:own], *xs[own + 1 :]):
            dx *= x
        return dx


class Join(Layer):
    """y = [x_0, x_1, ...], along the features; dy is cut where y was joined.

    Parameters
    ----------
    axis : int, optional
        The axis of the features, counted with the batch. By default it is 1, the
        channels, of images, which have four axes, and else the last.

    Raises
    ------
    ValueError, TypeError
        By ``forward``, if inputs differ in more than their features, or in dtype.

    Notes
    -----
    `Concat` joins what several layers make of one input.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Join
    >>> layer = Join()
    >>> layer.forward(np.array([[1.0, 2.0]]), np.array([[3.0]]))
    array([[1., 2., 3.]])
    >>> layer.backward(np.array([[1.0, 2.0, 3.0]])), layer.output_shape((2,), (1,))
    ((array([[1., 2.]]), array([[3.]])), (3,))
    """

    replayable: ClassVar[bool] = True
    stepwise: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {"y": "[{x}]"}

    _saved_widths: tuple[int, ...] = ()  # of the inputs of the latest forward

    def __init__(self, *, axis: int | None = None) -> None:
        self.axis = None if axis is None else check_axis("Join", "axis", axis)

    def output_shape(self, *shapes: Shape) -> Shape:
        """Return the shape of one output example: the features of the inputs add up."""
        return self._joined(shapes)

    def _joined(self, shapes: Sequence[Shape], batch: int = 0) -> Shape:
        givers = [f"input {index} has" for index in range(len(shapes))]
        return joined_shape(repr(self), givers, self.axis, shapes, batch)

    def forward(self, *xs: Array) -> Array:
        """Return the inputs side by side."""
        check_kin(self, xs)
        self._joined([x.shape for x in xs], batch=1)
        axis = feature_axis(self.axis, xs[0].ndim)
        y = np.concatenate(xs, axis=axis)  # (batch, ..., features, ...)
        vars(self)["_saved_widths"] = tuple([x.shape[axis] for x in xs])
        self.save(y)
        return y

    def _step(self, x: Any, kept: Any) -> tuple[Any, Any]:
        refuse_axis(self, self.axis, x[0].ndim)
        return super()._step(x, kept)

    def backward(self, dy: Array) -> Any:
        """Return for each input what of dy belongs to it."""
        (y,) = self.saved()
        check_cotangent(self, dy, y.shape, y.dtype)
        dxs = tuple([part.copy("K") for part in cut(dy, self._saved_widths, self.axis)])
        return dxs if len(dxs) > 1 else dxs[0]


def check_kin(layer: Layer, xs: Sequence[Array]) -> None:
    """Raise unless all inputs are arrays of one dtype, and there is one."""
    if not xs:
        raise TypeError(f"{layer!r} expects at least one input, got none")
    for index, x in enumerate(xs):
        check_array(layer, "x" if len(xs) == 1 else f"input {index}", x)
        if x.dtype != xs[0].dtype:
            raise TypeError(
                f"{layer!r} expects inputs of one dtype, got {xs[0].dtype} and, at {index}, "
                f"{x.dtype}; use x.astype(np.{xs[0].dtype})"
            )


def feature_axis(axis: int | None, ndim: int) -> int:
    """Return the axis of the features in a batch: 1 of images, else the last."""
    if axis is None:
        return 1 if ndim == 4 else ndim - 1
    return axis % ndim


def joined_shape(
    owner: str, givers: Sequence[str], axis: int | None, shapes: Sequence[Shape], batch: int = 0
) -> Shape:
    """Return the shape of joined arrays, or raise unless all differ along their axis alone.

    `batch` is 1 if the shapes have that axis.
    """
    first = shapes[0]
    at = feature_axis(axis, len(first) + 1 - batch) - 1 + batch
    for giver, shape in zip(givers, shapes, strict=True):
        if not batch - 1 < at < len(shape):
            raise ValueError(
                f"{owner}: {giver} the shape {shape}, without an axis of features to join along"
            )
        if (*shape[:at], *shape[at + 1 :]) != (*first[:at], *first[at + 1 :]):
            raise ValueError(
                f"{owner}: {givers[0]} the shape {first}, but {giver} the shape {shape}; only the "
                "axis of the features, along which they are joined, may differ"
            )
    return (*first[:at], sum(shape[at] for shape in shapes), *first[at + 1 :])


def cut(dy: Array, widths: Sequence[int], axis: int | None) -> list[Array]:
    """Return views of dy, cut where arrays of these widths were joined."""
    before = (slice(None),) * feature_axis(axis, dy.ndim)
    pairs = zip(accumulate(widths), widths, strict=True)
    return [dy[(*before, slice(stop - width, stop))] for stop, width in pairs]
