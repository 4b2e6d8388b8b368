"""Activations made of pieces: the identity above zero, something flatter below.

At a kink each of them takes the slope that PyTorch takes. Arrays have the shape of x.
"""

import math
from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np

from minifw._engine.steps import refuse_axis
from minifw._tools.arrays import between, constant, one_or
from minifw._tools.checks import check_array, check_cotangent, check_feature_axis, check_numbers
from minifw._tools.numbers import (
    check_axis,
    check_finite_number,
    check_non_negative,
    finite_in_both,
    or_none,
)
from minifw._tools.options import Option
from minifw.core.layer import Layer
from minifw.layers._special import expm1
from minifw.layers.activations import _Curve, _Elementwise, _filled
from minifw.typing import Array, Formulas

__all__ = ["ELU", "SELU", "Clamp", "HardTanh", "LeakyReLU", "PReLU", "ReLU"]

FAR = -1e4  # exp of it is 0 in both dtypes, and it is finite: 0 times it is 0


class ReLU(_Elementwise):
    """y = max(x, 0), the rectifier; dx = dy where x > 0, and 0 elsewhere.

    The slope is 1 above 0 and 0 below. At 0 it is taken as 0, as in PyTorch.

    References
    ----------
    V. Nair and G. E. Hinton, "Rectified Linear Units Improve Restricted
    Boltzmann Machines", ICML 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import ReLU
    >>> layer = ReLU()
    >>> layer.forward(np.array([[-2.0, 0.0, 3.0]]))
    array([[0., 0., 3.]])
    >>> layer.backward(np.ones((1, 3)))
    array([[0., 0., 1.]])
    """

    replayable: ClassVar[bool] = True
    stepwise: ClassVar[bool] = True
    saturation = (0.0, np.inf)
    formulas: ClassVar[Formulas] = {"y": "max({x}, 0)", "dx": "{dy} * ({x} > 0)"}

    def forward(self, x: Array) -> Array:
        """Return max(x, 0)."""
        check_array(self, "x", x)
        y: Array = np.maximum(x, constant(0.0, x.dtype))
        self.save(y)
        return y

    def backward(self, dy: Array) -> Array:
        """Return dx = dy where y > 0, which is where x > 0."""
        (y,) = self.saved()
        check_cotangent(self, dy, y.shape, y.dtype)
        dx: Array = dy * (y > constant(0.0, y.dtype))
        return dx


class LeakyReLU(_Curve):
    """y = x where x > 0, and a x elsewhere; dx = dy or a dy.

    At 0 the slope is taken as a, as in PyTorch.

    Parameters
    ----------
    negative_slope : float, default 0.01
        The slope a below 0; PyTorch's default, and the paper's.

    References
    ----------
    A. L. Maas, A. Y. Hannun and A. Y. Ng, "Rectifier Nonlinearities Improve
    Neural Network Acoustic Models", ICML 2013, equation 2.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import LeakyReLU
    >>> LeakyReLU(0.5).forward(np.array([[-2.0, 0.0, 3.0]]))
    array([[-1.,  0.,  3.]])
    """

    replayable: ClassVar[bool] = True
    stepwise: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {
        "y": "{x} where {x} > 0, else {negative_slope} {x}",
        "dx": "{dy} where {x} > 0, else {negative_slope} {dy}",
    }

    negative_slope = Option(finite_in_both(check_finite_number))

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = negative_slope

    def _curve(self, x: Array, y: Array, slope: Array) -> None:
        """Set y = x or a x, and its slope 1 or a."""
        one_or(constant(self.negative_slope, x.dtype), x > 0, slope)
        with np.errstate(over="ignore"):  # what is beyond the largest float is infinite
            np.multiply(x, slope, out=y)

    @np.errstate(over="ignore")
    def backward(self, dy: Array) -> Array:
        """Return dx = dy or a dy."""
        return super().backward(dy)


class PReLU(Layer):
    """y = x where x > 0, and a x elsewhere, with a learned a: one for all, or one a feature.

    With n = min(x, 0), the part of x that a multiplies, y is max(x, 0) + a n, and

        dx = dy where x > 0, and a dy elsewhere,
        da = sum of dy n over all elements that share the a.

    At 0 the slope is taken as a, as in PyTorch.

    Parameters
    ----------
    num_parameters : int, default 1
        1 for one a that all elements share, or the length of `axis` for one a
        each. PyTorch's name and default.
    init : float, default 0.25
        What every a starts at; the paper's.
    axis : int, default 1
        The axis of the features, which x must have. As in PyTorch it is the one
        after the batch: features of (batch, features), channels of (batch,
        channels, height, width). For (batch, time, features) take -1.
    dtype : float64 (default) or float32
        What the layer holds and computes in; x must have it too.

    Attributes
    ----------
    weight : Parameter of shape (num_parameters,)
        The slopes a. Leave them out of weight decay, which would turn the layer
        into a ReLU (He et al., section 2.1).

    Raises
    ------
    TypeError, ValueError
        By ``forward``, if x has another dtype, or not num_parameters features.

    References
    ----------
    K. He, X. Zhang, S. Ren and J. Sun, "Delving Deep into Rectifiers", ICCV
    2015, equations 1 to 3.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import PReLU
    >>> layer = PReLU(2)
    >>> layer.weight.value = [0.1, 0.5]
    >>> layer.forward(np.array([[-1.0, -1.0], [2.0, -4.0]]))
    array([[-0.1, -0.5],
           [ 2. , -2. ]])
    >>> layer.backward(np.ones((2, 2)))
    array([[0.1, 0.5],
           [1. , 0.5]])
    >>> layer.weight.grad
    array([-1., -5.])
    """

    replayable: ClassVar[bool] = True
    stepwise: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {
        "y": "{x} where {x} > 0, else {weight} * {x}",
        "dx": "{dy} where {x} > 0, else {weight} * {dy}",
        "weight": "sums of {dy} * min({x}, 0)",
    }

    axis = Option(check_axis, fixed=True)

    def __init__(
        self,
        num_parameters: int = 1,
        init: float = 0.25,
        *,
        axis: int = 1,
        dtype: object = np.float64,
    ) -> None:
        self.axis = axis
        self.weight = _filled("PReLU", "num_parameters", num_parameters, init, dtype)

    @property
    def num_parameters(self) -> int:
        """How many slopes there are."""
        return self.weight.size

    def forward(self, x: Array) -> Array:
        """Return x where x > 0, and a x elsewhere."""
        self._check(x)
        shape = [1] * x.ndim
        shape[self.axis] = self.num_parameters
        slope = one_or(self.weight.value.reshape(shape), x > 0, np.empty_like(x))
        self.save(x, slope)
        with np.errstate(over="ignore"):  # what is beyond the largest float is infinite
            return x * slope

    def backward(self, dy: Array) -> Array:
        """Return dx = dy or a dy, and set da to the sums of dy min(x, 0)."""
        x, slope = self.saved()
        check_cotangent(self, dy, x.shape, x.dtype)
        own = self.axis % x.ndim if self.num_parameters > 1 else None
        shared = tuple(i for i in range(x.ndim) if i != own)  # the axes of one a
        with np.errstate(over="ignore"):
            share = dy * np.minimum(x, 0)
            self.weight.grad[...] = share.sum(axis=shared)  # (num_parameters,)
            dx: Array = dy * slope
        return dx

    def _step(self, x: Any, kept: Any) -> tuple[Any, Any]:
        refuse_axis(self, self.axis if self.num_parameters > 1 else -1)
        return super()._step(x, kept)

    def _check(self, x: Array) -> None:
        """Raise unless x is in the dtype of the slopes and has one feature for each."""
        check_numbers(self, x, self.weight.dtype)
        check_feature_axis(self, x, self.axis)
        if self.num_parameters not in (1, x.shape[self.axis]):
            raise ValueError(
                f"{self!r} expects x to have {self.num_parameters} features along axis "
                f"{self.axis}, got x of shape {x.shape}"
            )


class _Exponential(_Curve):
    """y = l x where x > 0, and l a (exp(x) - 1) elsewhere; dx = dy l or dy l a exp(x).

    exp is taken of min(x, 0), so it cannot overflow, and is 1 above 0. The slope is not
    made of y, as y / a + 1, which rounds to 0 where exp(x) is below the machine epsilon.
    """

    alpha: Any
    scale = 1.0

    def _curve(self, x: Array, y: Array, slope: Array) -> None:
        """Set y = l (max(x, 0) + a (exp(x) - 1)), and its slope l or l a exp(x)."""
        below = between(x, FAR, 0)
        np.exp(below, out=slope)
        np.multiply(expm1(below, slope), self.alpha, out=y)
        y += between(x, 0, math.inf)
        slope *= one_or(constant(self.alpha, x.dtype), x > 0, below)
        if self.scale != 1:
            slope *= self.scale
            with np.errstate(over="ignore"):
                y *= self.scale


class ELU(_Exponential):
    """y = x where x > 0, and a (exp(x) - 1) elsewhere; dx = dy or dy a exp(x).

    Below 0 it falls to -a, smoothly for a = 1. At 0 the slope is taken as a, the
    limit from below, as in PyTorch.

    Parameters
    ----------
    alpha : float, default 1.0
        The a; PyTorch's default, and the paper's. 0 makes it a ReLU.

    References
    ----------
    D.-A. Clevert, T. Unterthiner and S. Hochreiter, "Fast and Accurate Deep
    Network Learning by Exponential Linear Units (ELUs)", ICLR 2016, equation 15.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import ELU
    >>> layer = ELU()
    >>> layer.forward(np.array([[-1e4, 0.0, 1e4]]))
    array([[-1.e+00,  0.e+00,  1.e+04]])
    >>> layer.backward(np.ones((1, 3)))
    array([[0., 1., 1.]])
    """

    replayable: ClassVar[bool] = True
    stepwise: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {
        "y": "{x} where {x} > 0, else {alpha} (e^{x} - 1)",
        "dx": "{dy} where {x} > 0, else {alpha} {dy} * e^{x}",
    }

    alpha = Option(finite_in_both(check_non_negative))

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha


class SELU(_Exponential):
    """y = l x where x > 0, and l a (exp(x) - 1) elsewhere; dx = dy l or dy l a exp(x).

    An ELU with a = 1.6733 and l = 1.0507, for which activations of mean 0 and
    variance 1 keep them from layer to layer, if the weights are drawn with the
    variance 1 / in_features (`LecunNormal`). At 0 the slope is taken as l a, the
    limit from below, as in PyTorch.

    Notes
    -----
    For an x within 5 % of the largest float, l x is larger than it, and y is
    infinite.

    References
    ----------
    G. Klambauer, T. Unterthiner, A. Mayr and S. Hochreiter, "Self-Normalizing
    Neural Networks", NIPS 2017, equations 2 and 14.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import SELU
    >>> SELU().forward(np.array([[-1e4, 0.0, 1.0]])).round(4)
    array([[-1.7581,  0.    ,  1.0507]])
    """

    replayable: ClassVar[bool] = True
    stepwise: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {
        "y": "1.0507 {x} where {x} > 0, else 1.7581 (e^{x} - 1)",
        "dx": "1.0507 {dy} where {x} > 0, else 1.7581 {dy} * e^{x}",
    }

    # The solution of Klambauer et al., equation 14, to the digits that their code publishes.
    alpha = 1.6732632423543772848170429916717
    scale = 1.0507009873554804934193349852946


class _Clipped(_Elementwise):
    """y = x, but no less than one bound and no more than another; dx = dy between, else 0."""

    _inside: ClassVar[tuple[np.ufunc, np.ufunc]]  # which x, against each bound, let dy through

    @property
    @abstractmethod
    def _bounds(self) -> tuple[float, float]:
        """The lower and the upper bound, infinite where there is none."""

    def _check_fits(self, name: str, bound: float | None) -> None:
        if bound is None:
            return
        low, high = self._bounds
        low, high = (bound, high) if name.startswith("min") else (low, bound)
        if low >= high:
            raise ValueError(
                f"{type(self).__name__} expects {name.replace('max', 'min')} to be below "
                f"{name.replace('min', 'max')}, got {low!r} and {high!r}"
            )

    def forward(self, x: Array) -> Array:
        """Return x, clipped."""
        check_array(self, "x", x)
        self.save(x)
        low, high = self._bounds
        y: Array = x.clip(constant(low, x.dtype), constant(high, x.dtype))
        return y

    def backward(self, dy: Array) -> Array:
        """Return dx = dy where x is between the bounds."""
        (x,) = self.saved()
        check_cotangent(self, dy, x.shape, x.dtype)
        (above, below), (low, high) = self._inside, self._bounds
        inside = above(x, constant(low, x.dtype))
        inside &= below(x, constant(high, x.dtype))
        dx: Array = dy * inside
        return dx


class Clamp(_Clipped):
    """y = x, but no less than min and no more than max; dx = dy between the two, else 0.

    At either bound the slope is taken as 1, as in PyTorch; `HardTanh` takes 0 there.

    Parameters
    ----------
    min, max : float or None, default None
        The bounds, of which one may be left out; PyTorch's names.

    Raises
    ------
    ValueError
        If there is no bound, or min is not below max.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Clamp
    >>> layer = Clamp(min=0.0)
    >>> layer.forward(np.array([[-2.0, 0.0, 3.0]]))
    array([[0., 0., 3.]])
    >>> layer.backward(np.ones((1, 3)))
    array([[0., 1., 1.]])
    """

    replayable: ClassVar[bool] = True
    stepwise: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {
        "y": ("min(max({x}, {min}), {max})", "max({x}, {min})", "min({x}, {max})"),
        "dx": (
            "{dy} * ({x} >= {min}) * ({x} <= {max})",
            "{dy} * ({x} >= {min})",
            "{dy} * ({x} <= {max})",
        ),
    }
    _inside = (np.greater_equal, np.less_equal)

    min = Option(or_none(check_finite_number))
    max = Option(or_none(check_finite_number))
    _min: float | None = None  # until they are given
    _max: float | None = None

    def __init__(self, min: float | None = None, max: float | None = None) -> None:  # noqa: A002
        if min is None and max is None:
            raise ValueError("Clamp expects min or max, or both, got neither")
        self.min, self.max = min, max

    @property
    def _bounds(self) -> tuple[float, float]:
        low, high = self.min, self.max
        return -math.inf if low is None else low, math.inf if high is None else high


class HardTanh(_Clipped):
    """y = x, but no less than min_val and no more than max_val; dx = dy between the two, else 0.

    The slope is 1 between the two and 0 beyond. At either it is taken as 0, as
    in PyTorch.

    Parameters
    ----------
    min_val, max_val : float, default -1.0 and 1.0
        The bounds, in this order; PyTorch's names and defaults.

    References
    ----------
    R. Collobert, "Large Scale Machine Learning", thesis, Paris 6, 2004.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import HardTanh
    >>> layer = HardTanh(0.0, 6.0)  # known as ReLU6
    >>> layer.forward(np.array([[-2.0, 3.0, 6.0, 1e4]]))
    array([[0., 3., 6., 6.]])
    >>> layer.backward(np.ones((1, 4)))
    array([[0., 1., 0., 0.]])
    """

    replayable: ClassVar[bool] = True
    stepwise: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {
        "y": "{x} between {min_val} and {max_val}, else the nearer of them",
        "dx": "{dy} where {min_val} < {x} < {max_val}, else 0",
    }

    _inside = (np.greater, np.less)

    min_val = Option(check_finite_number)
    max_val = Option(check_finite_number)
    _min_val, _max_val = -math.inf, math.inf  # until they are given

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0) -> None:
        self.min_val, self.max_val = min_val, max_val

    @property
    def _bounds(self) -> tuple[float, float]:
        return self.min_val, self.max_val
