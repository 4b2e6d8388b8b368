"""Activations: functions of one number, applied to every element."""

from typing import ClassVar

import numpy as np

from minifw._tools.arrays import ONE, SATURATED
from minifw._tools.checks import check_array, check_cotangent
from minifw.core.layer import Layer
from minifw.typing import Array, Formulas, Shape

__all__ = ["Sigmoid", "Tanh"]


class _Elementwise(Layer):
    """A layer whose output has the shape of its input."""

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return `input_shape`."""
        return input_shape


class Tanh(_Elementwise):
    """y = tanh(x), between -1 and 1; dx = dy (1 - y^2).

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Tanh
    >>> Tanh().forward(np.array([[-1e4, 0.0, 1e4]]))
    array([[-1.,  0.,  1.]])
    """

    replayable: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {"y": "tanh({x})", "dx": "{dy} * (1 - {y}^2)"}

    def forward(self, x: Array) -> Array:
        """Return tanh(x)."""
        check_array(self, "x", x)
        y = np.tanh(x)  # the shape of x
        self.save(y)
        return y

    def backward(self, dy: Array) -> Array:
        """Return dx = dy - dy y^2."""
        (y,) = self.saved()
        check_cotangent(self, dy, y.shape, y.dtype)
        dx = y * y  # the shape of x
        dx *= dy
        return np.subtract(dy, dx, dx)


class Sigmoid(_Elementwise):
    """y = 1 / (1 + exp(-x)), between 0 and 1; dx = dy y (1 - y).

    With e = exp(x), y is e / (e + 1), which keeps its relative accuracy where it is
    tiny. From x = 40 on, y has long rounded to 1, and e is left at exp(40).

    Notes
    -----
    As the last layer before `BCELoss`, give both to `Objective`: it joins them
    into a form that is right for every x. Apart, the y (1 - y) here and the
    1 / (y (1 - y)) of the loss cancel, as in the notes' dZ2 = A2 - Y, until y
    rounds to 0 or 1; from there on no gradient comes through.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Sigmoid
    >>> Sigmoid().forward(np.array([[-1e4, 0.0, 1e4]]))
    array([[0. , 0.5, 1. ]])
    """

    replayable: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {"y": "sigmoid({x})", "dx": "{dy} * {y} * (1 - {y})"}

    def forward(self, x: Array) -> Array:
        """Return 1 / (1 + exp(-x))."""
        check_array(self, "x", x)
        e = np.exp(np.minimum(x, SATURATED[x.dtype]))  # the shape of x
        y: Array = e + ONE[x.dtype]  # the shape of x
        np.divide(e, y, y)
        self.save(y)
        return y

    def backward(self, dy: Array) -> Array:
        """Return dx = dy y (1 - y)."""
        (y,) = self.saved()
        check_cotangent(self, dy, y.shape, y.dtype)
        dx: Array = dy * (y * (1 - y))  # the shape of x
        return dx
