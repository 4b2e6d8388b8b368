"""Layers that change the shape of each example, and no number."""

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from minifw._tools.checks import check_array, check_cotangent, describe
from minifw._tools.numbers import check_axis, check_size
from minifw._tools.options import Option
from minifw.core.layer import Layer
from minifw.typing import Array, Formulas, Shape

__all__ = ["Flatten", "Permute", "Reshape"]


def _target(owner: str, name: str, shape: int | Sequence[int]) -> Shape:
    """Return `shape` as a tuple, or raise unless all are sizes and at most one is -1."""
    if isinstance(shape, str) or not isinstance(shape, int | np.integer | Sequence):
        raise TypeError(
            f"{owner} expects {name} to be a tuple of whole numbers, got {describe(shape)}"
        )
    sizes = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)
    target = tuple(-1 if _is_rest(size) else check_size(owner, name, size) for size in sizes)
    if target.count(-1) > 1:
        raise ValueError(f"{owner} expects {name} to have -1 once at most, got {shape!r}")
    return target


def _is_rest(size: object) -> bool:
    return isinstance(size, int | np.integer) and size == -1


class Reshape(Layer):
    """Each example gets another shape: the same numbers, in the same order (row-major).

    A reshape moves numbers and mixes none, so its derivative moves them back:

        dx = dy in the shape of x.

    Parameters
    ----------
    shape : tuple of int, or int
        The shape of one example, without the batch axis. One entry may be -1: it
        becomes what is left, as in NumPy. () makes a number of each example.

    Attributes
    ----------
    shape : tuple of int

    Raises
    ------
    ValueError
        By ``forward`` and ``output_shape``, if an example has another count of numbers.
    TypeError
        By ``forward``, unless x holds float64 or float32 numbers.

    Notes
    -----
    PyTorch's ``Unflatten`` and ``view``, Keras' ``Reshape``. y and dx are copies, never
    views: results of two forwards share no memory, even if both get the same x.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Reshape
    >>> layer = Reshape((2, -1))
    >>> layer.forward(np.array([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]))
    array([[[1., 2., 3.],
            [4., 5., 6.]]])
    >>> layer.output_shape((10,)), layer.output_shape((3, 4))
    ((2, 5), (2, 6))
    """

    replayable: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {"y": "{x} in another shape", "dx": "{dy} in the shape of {x}"}

    shape: Option[Shape] = Option(_target, fixed=True)

    def __init__(self, shape: int | Sequence[int]) -> None:
        self.shape = _target("Reshape", "shape", shape)

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape that is given, with what -1 stands for, or raise if it does not fit."""
        count = math.prod(input_shape)
        known = abs(math.prod(self.shape))
        if count % known or (count != known and -1 not in self.shape):
            times = "a multiple of " if -1 in self.shape else ""
            raise ValueError(
                f"{self!r} expects examples of {times}{known} numbers, got the shape "
                f"{input_shape}, which holds {count}"
            )
        return tuple(count // known if size == -1 else size for size in self.shape)

    def forward(self, x: Array) -> Array:
        """Return x with each example in the new shape."""
        check_array(self, "x", x)
        shape = self.output_shape(x.shape[1:])
        self.save(x)
        return _reshaped(x, (len(x), *shape))  # (batch, *shape)

    def backward(self, dy: Array) -> Array:
        """Return dx = dy in the shape of x."""
        (x,) = self.saved()
        check_cotangent(self, dy, (len(x), *self.output_shape(x.shape[1:])), x.dtype)
        return _reshaped(dy, x.shape)  # the shape of x


class Flatten(Reshape):
    """Each example becomes one row of features: (batch, ...) becomes (batch, features).

    It is `Reshape` to (-1,), and so is its derivative:

        dx = dy in the shape of x.

    Raises
    ------
    TypeError
        By ``forward``, unless x holds float64 or float32 numbers.

    Notes
    -----
    The order is row-major, as of PyTorch's ``Flatten``: an image (channels, height, width)
    gives all of its first channel first, row by row, so weights can be exchanged.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Flatten
    >>> layer = Flatten()
    >>> layer.forward(np.array([[[1.0, 2.0], [3.0, 4.0]]]))
    array([[1., 2., 3., 4.]])
    >>> layer.output_shape((3, 28, 28))
    (2352,)
    """

    replayable: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__(-1)


def _order(owner: str, name: str, dims: tuple[int, ...]) -> Shape:
    """Return the axes as they are, or raise unless they are 1, 2, ... in some order."""
    axes = tuple(check_axis(owner, name, axis) for axis in dims)
    if not axes or sorted(axes) != list(range(1, len(axes) + 1)):
        raise ValueError(
            f"{owner} expects {name} to be 1 to the number of axes, each once and without the "
            f"batch, got {axes}"
        )
    return axes


class Permute(Layer):
    """The axes of each example get another order: axis k of y is axis dims[k - 1] of x.

    A permutation moves numbers and mixes none, so its derivative moves them back: dx is dy in
    the opposite order.

    Parameters
    ----------
    *dims : int
        The axes of x in the order of y, counted from 1; 0 is the batch, which stays.

    Attributes
    ----------
    dims : tuple of int

    Raises
    ------
    ValueError
        If an axis is missing or comes twice. By ``forward``, if x has another number of axes.
    TypeError
        By ``forward``, unless x holds float64 or float32 numbers.

    Notes
    -----
    Keras' ``Permute``; PyTorch's ``permute`` also counts the batch. ``Permute(3, 1, 2)`` takes
    images (height, width, channels) to `Conv2D`. y and dx are copies, never views.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Permute
    >>> layer = Permute(2, 1)
    >>> layer.forward(np.array([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]))
    array([[[1., 4.],
            [2., 5.],
            [3., 6.]]])
    >>> layer.output_shape((2, 3))
    (3, 2)
    """

    replayable: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {
        "y": "{x} with its axes in another order",
        "dx": "{dy} with its axes in their old order",
    }

    dims: Option[Shape] = Option(_order, fixed=True)

    def __init__(self, *dims: int) -> None:
        self.dims = dims

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the sizes in the new order."""
        if len(input_shape) != len(self.dims):
            raise ValueError(
                f"{self!r} expects examples of {len(self.dims)} axes, got the shape {input_shape}"
            )
        return tuple(input_shape[axis - 1] for axis in self.dims)

    def forward(self, x: Array) -> Array:
        """Return x with its axes in the new order."""
        check_array(self, "x", x)
        self.output_shape(x.shape[1:])
        self.save(x)  # for its shape and dtype
        return x.transpose(0, *self.dims).copy()  # (batch, *output_shape)

    def backward(self, dy: Array) -> Array:
        """Return dx: dy with its axes in their old order."""
        (x,) = self.saved()
        check_cotangent(self, dy, (len(x), *self.output_shape(x.shape[1:])), x.dtype)
        back = sorted(range(x.ndim), key=(0, *self.dims).__getitem__)  # the inverse
        return dy.transpose(back).copy()  # the shape of x


def _reshaped(array: Array, shape: Shape) -> Array:
    # Copied in the order of memory, in which the examples stay last where a convolution before
    # and a Dense behind have them so.
    return array.copy(order="K").reshape(shape)
