"""Activations of a row of scores: to probabilities, their logarithms, or increasing numbers.

Arrays have the shape of x. That an exponential, or a product with one, underflows to 0 is right,
and no fault.
"""

from typing import Any, ClassVar

import numpy as np

from minifw._engine.steps import refuse_axis
from minifw._tools.checks import check_array, check_cotangent, check_feature_axis
from minifw._tools.numbers import check_axis
from minifw._tools.options import Option
from minifw.core.layer import Layer
from minifw.layers.smooth import Softplus
from minifw.typing import Array, Formulas, Shape

__all__ = ["Increasing", "LogSoftmax", "Softmax"]

SOFTPLUS = Softplus()  # for its formula


class _OverAxis(Layer):
    """What both have in common: the axis, and that its largest x is subtracted first."""

    axis = Option(check_axis, fixed=True)

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def _step(self, x: Any, kept: Any) -> tuple[Any, Any]:
        refuse_axis(self, self.axis)
        return super()._step(x, kept)

    def _below_largest(self, x: Array) -> Array:
        """Return how far each x is above the largest along the axis: 0 or less."""
        check_array(self, "x", x)
        check_feature_axis(self, x, self.axis)
        with np.errstate(over="ignore"):  # further than the largest float: exp(-inf) is 0, right
            below: Array = x - x.max(axis=self.axis, keepdims=True)
        return below


class Softmax(_OverAxis):
    """y_i = exp(x_i) / sum over k of exp(x_k): positive numbers that add up to 1.

    The Jacobian is dy_i/dx_j = y_i (1[i = j] - y_j), so

        dx_j = sum over i of dy_i y_i (1[i = j] - y_j) = y_j (dy_j - sum over i of dy_i y_i),

    with no matrix to build. The largest x of each row is subtracted from it
    first, which changes nothing in y, and no exponential overflows.

    Parameters
    ----------
    axis : int, default -1
        The axis along which y adds up to 1; PyTorch's ``dim``. The default is
        the last one, the classes of (batch, classes). It cannot be the batch.

    Notes
    -----
    Where y has rounded to 0 or 1, no gradient comes through. Before a
    cross-entropy, train on the scores themselves, or on `LogSoftmax`.

    References
    ----------
    J. S. Bridle, "Probabilistic Interpretation of Feedforward Classification
    Network Outputs", in Neurocomputing, Springer, 1990.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Softmax
    >>> layer = Softmax()
    >>> layer.forward(np.array([[1e4, 1e4, -1e4]]))
    array([[0.5, 0.5, 0. ]])
    >>> layer.backward(np.array([[1.0, 0.0, 0.0]]))
    array([[ 0.25, -0.25, -0.  ]])
    """

    replayable: ClassVar[bool] = True
    stepwise: ClassVar[bool] = True
    probabilities = True
    formulas: ClassVar[Formulas] = {
        "y": "softmax({x})",
        "dx": "{y} * ({dy} - sums of ({dy} * {y}))",
    }

    @np.errstate(under="ignore")
    def forward(self, x: Array) -> Array:
        """Return exp(x) divided by its sum."""
        y = self._below_largest(x)
        np.exp(y, out=y)
        y /= y.sum(axis=self.axis, keepdims=True)
        self.save(y)
        return y

    @np.errstate(under="ignore")
    def backward(self, dy: Array) -> Array:
        """Return dx = y (dy - sum of dy y)."""
        (y,) = self.saved()
        check_cotangent(self, dy, y.shape, y.dtype)
        dx = dy * y
        np.subtract(dy, dx.sum(axis=self.axis, keepdims=True), out=dx)
        dx *= y
        return dx


class LogSoftmax(_OverAxis):
    """y_i = x_i - log(sum over k of exp(x_k)): the logarithm of `Softmax`, in nats.

    With p = exp(y), the probabilities, the Jacobian is
    dy_i/dx_j = 1[i = j] - p_j, so

        dx_j = dy_j - p_j (sum over i of dy_i).

    The largest x of each row is subtracted from it first, which changes nothing
    in y; a probability of exp(-1e4), which is 0 in floating point, still has its
    logarithm, and its gradient.

    Parameters
    ----------
    axis : int, default -1
        The axis along which exp(y) adds up to 1; PyTorch's ``dim``. The default
        is the last one, the classes of (batch, classes). It cannot be the batch.

    Notes
    -----
    If two x of a row are further apart than the largest float, the lower one has
    an infinite y.

    References
    ----------
    I. Goodfellow, Y. Bengio and A. Courville, "Deep Learning", MIT Press, 2016,
    section 6.2.2.3.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import LogSoftmax
    >>> layer = LogSoftmax()
    >>> layer.forward(np.array([[1e4, -1e4]]))
    array([[     0., -20000.]])
    >>> layer.backward(np.array([[0.0, -1.0]]))
    array([[ 1., -1.]])
    """

    replayable: ClassVar[bool] = True
    stepwise: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {
        "y": "log softmax({x})",
        "dx": "{dy} - e^{y} * (sums of {dy})",
    }

    @np.errstate(under="ignore")
    def forward(self, x: Array) -> Array:
        """Return x - log(sum of exp(x))."""
        y = self._below_largest(x)
        e = np.exp(y)
        total = e.sum(axis=self.axis, keepdims=True)  # with length 1 along the axis
        self.save(e, total)
        y -= np.log(total)
        return y

    @np.errstate(under="ignore")
    def backward(self, dy: Array) -> Array:
        """Return dx = dy - p (sum of dy)."""
        e, total = self.saved()
        check_cotangent(self, dy, e.shape, e.dtype)
        dx: Array = e * (dy.sum(axis=self.axis, keepdims=True) / total)
        return np.subtract(dy, dx, out=dx)


class Increasing(Layer):
    """Each number is above the one before it: y_1 = x_1, y_k = y_(k-1) + softplus(x_k).

    The last layer of a network whose outputs are quantiles, for `PinballLoss`: they cannot
    cross. x_k moves y_k and all that follow. With g_k the sum of dy_j over j >= k, and the
    sigmoid s,

        dx_1 = g_1,    dx_k = g_k s(x_k).

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Increasing
    >>> Increasing().forward(np.array([[5.0, 0.0, -100.0]])).round(3)
    array([[5.   , 5.693, 5.693]])
    """

    replayable: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {
        "y": "running sums of {x}_1, softplus({x}_2), ...",
        "dx": "g_1, g_2 * sigmoid({x}_2), ..., g the sums of {dy} from each place on",
    }

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return `input_shape`, or raise unless it is (features,)."""
        if len(input_shape) != 1:
            raise ValueError(f"{self!r} expects examples of shape (features,), got {input_shape}")
        return input_shape

    @np.errstate(under="ignore")
    def forward(self, x: Array) -> Array:
        """Return the running sums."""
        check_array(self, "x", x)
        self.output_shape(x.shape[1:])
        up, slope = np.empty_like(x), np.empty_like(x)  # (batch, features), as all arrays here
        SOFTPLUS._curve(x, up, slope)
        self.save(slope)
        y: Array = np.concatenate([x[:, :1], up[:, 1:]], axis=1).cumsum(axis=1)
        return y

    @np.errstate(under="ignore")
    def backward(self, dy: Array) -> Array:
        """Return g_1, and g_k s(x_k)."""
        (slope,) = self.saved()
        check_cotangent(self, dy, slope.shape, slope.dtype)
        g = dy[:, ::-1].cumsum(axis=1)[:, ::-1]
        return np.concatenate([g[:, :1], (g * slope)[:, 1:]], axis=1)
