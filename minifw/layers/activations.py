"""Activations that saturate: functions of one number, applied to every element.

All arrays here have the shape of x.
"""

from abc import abstractmethod
from typing import ClassVar

import numpy as np

from minifw._tools.arrays import constant, exp, in_blocks
from minifw._tools.checks import check_array, check_cotangent
from minifw._tools.loading import claim
from minifw._tools.numbers import check_dtype, check_finite_in, check_finite_number, check_size
from minifw.core.layer import Layer
from minifw.core.parameter import Parameter
from minifw.typing import Array, Formulas, Shape

__all__ = ["Sigmoid", "Tanh"]

# 1 + exp(-x) rounds to 1 beyond 36.8 in float64 and 16.7 in float32, and exp(40) is still finite.
SATURATED = 40.0


def _filled(owner: str, name: str, size: int, init: float, dtype: object) -> Parameter:
    """Return a vector of parameters of that size, each `init`."""
    shape = (check_size(owner, name, size),)
    start = check_finite_number(owner, "init", init)
    claim(owner, shape)
    kind = check_dtype(owner, dtype)
    check_finite_in(owner, "init", start, kind)
    return Parameter(np.full(shape, start, kind))


class _Elementwise(Layer):
    """A layer whose output has the shape of its input."""

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return `input_shape`."""
        return input_shape


class _Curve(_Elementwise):
    """A layer that computes the slope dy/dx together with y, and saves it alone; dx = dy slope."""

    @abstractmethod
    def _curve(self, x: Array, y: Array, slope: Array) -> None:
        """Set y, and slope to dy/dx, each element by its own element of x."""

    @np.errstate(under="ignore")
    def forward(self, x: Array) -> Array:
        """Return y."""
        check_array(self, "x", x)
        y, slope = in_blocks(self._curve, x)
        self.save(slope)
        return y

    @np.errstate(under="ignore")
    def backward(self, dy: Array) -> Array:
        """Return dx = dy dy/dx."""
        (slope,) = self.saved()
        check_cotangent(self, dy, slope.shape, slope.dtype)
        dx: Array = dy * slope
        return dx


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
    stepwise: ClassVar[bool] = True
    saturation = (-1.0, 1.0)
    formulas: ClassVar[Formulas] = {"y": "tanh({x})", "dx": "{dy} * (1 - {y}^2)"}

    def forward(self, x: Array) -> Array:
        """Return tanh(x)."""
        check_array(self, "x", x)
        y = np.tanh(x)
        self.save(y)
        return y

    def backward(self, dy: Array) -> Array:
        """Return dx = dy - dy y^2."""
        (y,) = self.saved()
        check_cotangent(self, dy, y.shape, y.dtype)
        dx = y * y
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
    stepwise: ClassVar[bool] = True
    saturation = (0.0, 1.0)
    probabilities = True
    formulas: ClassVar[Formulas] = {"y": "sigmoid({x})", "dx": "{dy} * {y} * (1 - {y})"}

    def forward(self, x: Array) -> Array:
        """Return 1 / (1 + exp(-x))."""
        check_array(self, "x", x)
        e = exp(np.minimum(x, constant(SATURATED, x.dtype)))
        y: Array = e + constant(1.0, x.dtype)
        np.divide(e, y, y)
        self.save(y)
        return y

    def backward(self, dy: Array) -> Array:
        """Return dx = dy y (1 - y)."""
        (y,) = self.saved()
        check_cotangent(self, dy, y.shape, y.dtype)
        dx: Array = dy * (y * (1 - y))
        return dx
