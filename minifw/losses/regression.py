"""Losses of a prediction that is a number."""

from typing import ClassVar

import numpy as np

from minifw._tools.numbers import check_positive
from minifw._tools.options import Option
from minifw.core.loss import Loss
from minifw.typing import Array, Formulas

__all__ = ["HuberLoss", "L1Loss", "MSELoss"]


class MSELoss(Loss):
    """The mean of the squared errors.

    With e = prediction - target and n elements,

        L = mean(e^2),    dL/dprediction = 2 e / n.

    With weights w of the examples, L = sum(w_i l_i) / sum(w), l_i being the
    mean over the elements of example i; the 1 / n of each element becomes its
    share in that.

    Raises
    ------
    ValueError
        If the shapes differ, or the weights are no weights.
    TypeError
        If the dtypes differ.
    NonFiniteError
        If the loss is not finite.

    Notes
    -----
    The mean of the squares is taken in float64, so that those of float32 errors
    neither overflow nor lose digits. (Weights count in the dtype of the prediction.)
    As ``MSELoss`` of PyTorch: there is no factor 1/2.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import MSELoss
    >>> loss = MSELoss()
    >>> prediction, target = np.array([[1.0], [2.0]]), np.array([[1.0], [4.0]])
    >>> loss.forward(prediction, target)
    2.0
    >>> loss.backward()
    array([[ 0.],
           [-2.]])
    >>> loss.forward(prediction, target, np.array([3.0, 1.0]))
    1.0
    """

    replayable: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {"L": "mean(({p} - {t})^2)", "dp": "2 ({p} - {t}) / {n}"}

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> float:
        """Return the mean of e^2."""
        self.check(prediction, target)
        share = self.shares(prediction, sample_weight)
        with np.errstate(over="ignore", invalid="ignore"):  # `finite` will say it
            error = prediction - target  # the shape of prediction
            value = self.mean(np.square(error, dtype=np.float64), share)
        self.save(error, share)
        return value

    def backward(self) -> Array:
        """Return 2 e / n."""
        error, share = self.saved()
        gradient: Array = error * (2 * share)  # the shape of prediction
        return gradient


class L1Loss(Loss):
    """The mean of the absolute errors.

    With e = prediction - target and n elements,

        L = mean(|e|),    dL/dprediction = sign(e) / n,

    and 0, which is one of the slopes there, where e = 0. Weights of the examples
    count as in `MSELoss`.

    Raises
    ------
    ValueError
        If the shapes differ, or the weights are no weights.
    TypeError
        If the dtypes differ.
    NonFiniteError
        If the loss is not finite.

    Notes
    -----
    As ``L1Loss`` of PyTorch, also where e = 0.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import L1Loss
    >>> loss = L1Loss()
    >>> loss.forward(np.array([[1.0], [2.0]]), np.array([[1.0], [4.0]]))
    1.0
    >>> loss.backward()
    array([[ 0. ],
           [-0.5]])
    """

    replayable: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {"L": "mean(|{p} - {t}|)", "dp": "sign({p} - {t}) / {n}"}

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> float:
        """Return the mean of |e|."""
        self.check(prediction, target)
        share = self.shares(prediction, sample_weight)
        with np.errstate(over="ignore", invalid="ignore"):
            error = prediction - target  # the shape of prediction
            value = self.mean(np.abs(error, dtype=np.float64), share)
        self.save(error, share)
        return value

    def backward(self) -> Array:
        """Return sign(e) / n."""
        error, share = self.saved()
        gradient: Array = np.sign(error) * share  # the shape of prediction
        return gradient


class HuberLoss(Loss):
    """Squared for small errors, absolute for large ones: outliers pull with a bounded force.

    With e = prediction - target, c = e clipped to [-delta, delta], and n elements,

        L = mean(c (e - c/2)),    dL/dprediction = c / n.

    Where |e| <= delta, c = e and this is e^2 / 2; beyond, it is
    delta (|e| - delta/2). Since the slope of e^2 / 2 is e, the two meet with one
    slope. Weights of the examples count as in `MSELoss`.

    Parameters
    ----------
    delta : float, default 1.0
        Where the two meet; finite and above 0. The default is PyTorch's.

    Raises
    ------
    ValueError
        If the shapes differ, or the weights are no weights.
    TypeError
        If the dtypes differ.
    NonFiniteError
        If the loss is not finite.

    References
    ----------
    Huber, "Robust Estimation of a Location Parameter", Annals of Mathematical
    Statistics 35, 1964: the example (iii) of section 1, with k for delta.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import HuberLoss
    >>> loss = HuberLoss()
    >>> loss.forward(np.array([[0.5], [100.0]]), np.array([[0.0], [0.0]]))
    49.8125
    >>> loss.backward()
    array([[0.25],
           [0.5 ]])
    """

    replayable: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {
        "L": "mean(c * (e - c/2)), e = {p} - {t}, c = e within +-{delta}",
        "dp": "c / {n}, c = ({p} - {t}) within +-{delta}",
    }

    delta = Option(check_positive)

    def __init__(self, delta: float = 1.0) -> None:
        self.delta = delta

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> float:
        """Return the mean of c (e - c/2)."""
        self.check(prediction, target)
        share = self.shares(prediction, sample_weight)
        with np.errstate(over="ignore", invalid="ignore"):
            error = prediction - target  # all arrays here have the shape of prediction
            clipped = error.clip(-self.delta, self.delta)
            costs = np.multiply(clipped, error - clipped / 2, dtype=np.float64)
            value = self.mean(costs, share)
        self.save(clipped, share)
        return value

    def backward(self) -> Array:
        """Return c / n."""
        clipped, share = self.saved()
        gradient: Array = clipped * share  # the shape of prediction
        return gradient
