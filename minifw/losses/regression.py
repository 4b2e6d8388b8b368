"""Losses of a prediction that is a number, some quantiles of it, or the rate of a count."""

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import numpy as np

from minifw._tools.checks import check_alike, check_array
from minifw._tools.numbers import check_flag, check_number, check_positive
from minifw._tools.options import Option
from minifw.core.loss import Loss
from minifw.typing import Array, Formulas, Target

__all__ = ["HuberLoss", "L1Loss", "MSELoss", "PinballLoss", "PoissonLoss"]


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
    The mean of the squares is taken in float64, so squares of float32 errors neither overflow nor
    lose digits. (Weights count in the dtype of the prediction.) As ``MSELoss`` of PyTorch: there
    is no factor 1/2.

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


def _levels(owner: str, name: str, value: Sequence[float]) -> tuple[float, ...]:
    """Return the quantiles, or raise unless they rise between 0 and 1."""
    levels = value if isinstance(value, Sequence | np.ndarray) else (value,)
    levels = tuple(check_number(owner, name, level) for level in levels)
    if not levels or not all(a < b for a, b in pairwise((0.0, *levels, 1.0))):
        raise ValueError(
            f"{owner} expects {name} to rise between 0 and 1, as (0.05, 0.5, 0.95), got {value}"
        )
    return levels


class PinballLoss(Loss):
    """What several quantiles of a number cost: too low and too high by different slopes.

    The prediction has a column for each quantile q; the target has one column, t. With
    e = t - prediction and n elements of the prediction,

        L = mean(max(q e, (q - 1) e)),    dL/dprediction = -q / n if e > 0, (1 - q) / n if e < 0,

    and 0, which is one of the slopes there, where e = 0. It is lowest where a share q of the
    targets lies below the prediction. Weights of the examples count as in `MSELoss`.

    Parameters
    ----------
    quantiles : sequence of float, default (0.05, 0.5, 0.95)
        Rising numbers between 0 and 1. End the network in `Increasing`, so the columns
        cannot cross.

    Raises
    ------
    ValueError
        If the prediction is not (batch, quantiles), the target not (batch, 1), or the weights
        are no weights.
    TypeError
        If the dtypes differ.
    NonFiniteError
        If the loss is not finite.

    Notes
    -----
    Of one quantile it is scikit-learn's ``mean_pinball_loss``; of 0.5, half of `L1Loss`. On
    new data fewer targets than promised lie between the outer columns:
    `minifw.interop.sklearn.ConformalRegressor` mends that.

    References
    ----------
    R. Koenker and G. Bassett, "Regression Quantiles", Econometrica 46, 1978.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import PinballLoss
    >>> loss = PinballLoss((0.25, 0.75))
    >>> loss.forward(np.array([[1.0, 5.0]]), np.array([[3.0]]))
    0.5
    >>> loss.backward()
    array([[-0.125,  0.125]])
    """

    replayable: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {
        "L": "mean(max(q * e, (q - 1) * e)), e = {t} - {p}",
        "dp": "((1 - q) * (e < 0) - q * (e > 0)) / {n}, e = {t} - {p}",
    }

    quantiles: Option[tuple[float, ...]] = Option(_levels)

    def __init__(self, quantiles: Sequence[float] = (0.05, 0.5, 0.95)) -> None:
        self.quantiles = quantiles  # type: ignore[assignment]

    def check(self, prediction: Array, target: Target) -> None:
        """Raise unless prediction is (batch, quantiles), target (batch, 1), of one dtype."""
        check_array(self, "prediction", prediction)
        if prediction.shape != (len(prediction), len(self.quantiles)):
            raise ValueError(
                f"{self!r} expects a prediction of shape (batch, {len(self.quantiles)}), a column "
                f"for each quantile, got {prediction.shape}"
            )
        check_alike(self, prediction[:, :1], target)

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> float:
        """Return the mean of max(q e, (q - 1) e)."""
        self.check(prediction, target)
        share = self.shares(prediction, sample_weight)
        one = prediction[:1, :1]
        q = np.concatenate([np.full_like(one, q) for q in self.quantiles], axis=1)  # (1, k)
        with np.errstate(over="ignore", invalid="ignore"):
            error = target - prediction  # (batch, quantiles), as all arrays below
            costs = np.maximum(q * error, (q - 1) * error)
            value = self.mean(costs, share)
        self.save(error, q, share)
        return value

    def backward(self) -> Array:
        """Return -q / n where e > 0, (1 - q) / n where e < 0."""
        error, q, share = self.saved()
        gradient: Array = ((1 - q) * (error < 0) - q * (error > 0)) * share
        return gradient


class PoissonLoss(Loss):
    """What a count t costs, of which the model says the logarithm of the rate, or the rate.

    The probability of t is r^t e^(-r) / t! for the rate r; its negative logarithm, without
    the constant log t!, is r - t log r. Of a prediction z = log r, with n elements,

        L = mean(e^z - t z),    dL/dz = (e^z - t) / n,

    and with ``log_input=False``, of a prediction r, to which eps is added in the logarithm,

        L = mean(r - t log(r + eps)),    dL/dr = (1 - t / (r + eps)) / n.

    Parameters
    ----------
    log_input : bool, default True
        Whether the prediction is log r, which may be any number: end the model in `Dense`.
    full : bool, default False
        Whether log t! is added for t > 1, as Stirling has it: t log t - t + log(2 pi t) / 2.
        It has no derivative.
    eps : float, default 1e-8
        Finite and above 0; it counts with ``log_input=False`` only.

    Raises
    ------
    ValueError
        If the shapes differ, a target is below 0, or the weights are no weights.
    TypeError
        If the dtypes differ.
    NonFiniteError
        If the loss is not finite, as e^z of a large z, or the logarithm of a rate below 0.

    Notes
    -----
    As PyTorch's ``PoissonNLLLoss``, arguments and defaults, too; that takes targets and rates
    below 0 as well, of which there is no probability. Targets need not be whole: they may be
    counts in a unit of time.

    References
    ----------
    McCullagh and Nelder, "Generalized Linear Models", 1989, chapter 6.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import PoissonLoss
    >>> loss = PoissonLoss()
    >>> loss.forward(np.array([[0.0], [0.0]]), np.array([[1.0], [4.0]])), loss.backward()
    (1.0, array([[ 0. ],
           [-1.5]]))
    """

    replayable: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {
        "L": (
            "{full}mean(r - {t} * log r) + a constant, r the rate",
            "{log_input}mean(e^{p} - {t} * {p})",
            "mean({p} - {t} * log({p} + {eps}))",
        ),
        "dp": ("{log_input}(e^{p} - {t}) / {n}", "(1 - {t} / ({p} + {eps})) / {n}"),
    }

    log_input = Option(check_flag)
    full = Option(check_flag)
    eps = Option(check_positive)

    def __init__(self, log_input: bool = True, full: bool = False, eps: float = 1e-8) -> None:
        self.log_input, self.full, self.eps = log_input, full, eps

    def check_target(self, prediction: Array, target: Array) -> None:  # noqa: ARG002
        """Raise unless every target is at least 0."""
        least = np.minimum.reduce(target, None)
        if not least >= 0:  # a NaN is not
            raise ValueError(f"{self!r} expects every target to be at least 0, got {least}")

    # All arrays in the two have the shape of prediction, except for a share that all have.

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> float:
        """Return the mean of r - t log r, in nats."""
        self.check(prediction, target)
        share, rate, log_rate = self.shares(prediction, sample_weight), prediction, prediction
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            if self.log_input:
                rate = np.exp(prediction)
                slope = rate - target
            else:
                log_rate = np.log(rate + self.eps)
                slope = 1 - target / (rate + self.eps)
            costs = rate - np.multiply(target, log_rate, dtype=np.float64)
            if self.full:
                t = np.maximum(target, 1)
                stirling = t * np.log(t) - t + np.log(2 * np.pi * t) / 2
                costs += np.where(target > 1, stirling, 0)
            value = self.mean(costs, share)
        self.save(slope, share)
        return value

    def backward(self) -> Array:
        """Return (e^z - t) / n, or (1 - t / (r + eps)) / n."""
        slope, share = self.saved()
        gradient: Array = slope * share
        return gradient
