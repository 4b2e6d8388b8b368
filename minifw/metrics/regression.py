"""Metrics of numbers: errors, and the variance that is explained."""

import math
from collections.abc import Callable

import numpy as np

from minifw.metrics.metric import Mean, Metric, check_alike, check_finite
from minifw.typing import Array, Target

__all__ = ["mae", "mse", "r2"]


class _Difference(Mean):
    """A mean over elements of a size of prediction - target: its square, or its amount."""

    def __init__(self, name: str, size: Callable[[Array], Array]) -> None:
        super().__init__(name, higher_is_better=False)
        self._size = size

    def values(self, prediction: Array, target: Target, threshold: float) -> Array:
        del threshold
        check_alike(self, prediction, target)
        check_finite(self, "target", target)
        return self._size(np.subtract(prediction, target, dtype=np.float64))


class _Explained(Metric):
    """The part of the variance that is explained; of several columns their mean.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import metrics
    >>> prediction, target = np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.0, 3.0])
    >>> metrics.r2(prediction, target)
    0.5
    """

    # The sums: of each column n, mean and sum of squares of the target, and of the errors.

    def measure(self, prediction: Array, target: Target, weight: Array, threshold: float) -> Array:
        del threshold
        check_alike(self, prediction, target)
        check_finite(self, "target", target)
        t = target.reshape(len(target), -1).astype(np.float64)  # (batch, columns)
        error = prediction.reshape(t.shape) - t
        total = weight.sum()
        mean = weight.dot(t) / total if total else t[0]
        spread = weight.dot((t - mean) ** 2)
        return np.array([np.full_like(mean, total), mean, spread, weight.dot(error**2)])

    def merge(self, first: Array, second: Array) -> Array:
        """Join two batches by Chan's formula, in which no squares cancel."""
        (n, mean, spread, errors), (m, other, more, others) = first, second
        total = n + m
        part = np.divide(m, total, out=np.zeros_like(m), where=total > 0)
        gap = other - mean
        return np.array(
            [total, mean + gap * part, spread + more + gap**2 * n * part, errors + others]
        )

    def value(self, sums: Array) -> float:
        """Return the mean over the columns; of a constant one as scikit-learn has it."""
        total, _, spread, errors = sums
        constant = spread == 0
        score = 1 - np.divide(errors, spread, out=np.ones_like(spread), where=~constant)
        score[constant & (errors == 0)] = 1.0
        return float(score.mean()) if total.any() else math.nan


class _Absolute(_Difference):
    """The mean absolute error.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import metrics
    >>> prediction, target = np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.0, 3.0])
    >>> round(metrics.mae(prediction, target), 3)
    0.333
    """


class _Squared(_Difference):
    """The mean squared error.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import metrics
    >>> prediction, target = np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.0, 3.0])
    >>> round(metrics.mse(prediction, target), 3)
    0.333
    """


mae: Metric = _Absolute("mae", np.abs)
mse: Metric = _Squared("mse", np.square)
r2: Metric = _Explained("r2")
