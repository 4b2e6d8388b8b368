"""The contract of a metric: the sums of a batch, and the number that all sums give."""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from minifw._tools.checks import check_sample_weight, describe
from minifw._tools.numbers import check_finite_number, check_size
from minifw._tools.rows import as_array
from minifw._tools.values import refuse_first
from minifw.typing import Array, Target

__all__ = ["Metric", "MetricFunction"]

MetricFunction: TypeAlias = Callable[[Any, Any], float]

HALF = 0.5  # above it a target is a yes: of 0 and 1, and of -1 and 1
ROUNDING = 1e-6  # by which a mean of float32 probabilities may come out beyond 0 or 1


class Metric(ABC):
    """A number that says how good predictions are, added up batch by batch.

    ``measure`` returns the sums of one batch, ``merge`` adds the sums of two, and ``value``
    computes the number. ``metric(prediction, target)`` does all of it at once.

    Attributes
    ----------
    name : str
        What stands above its column.
    higher_is_better : bool
    threshold : float or None
        The prediction above which a yes-or-no metric takes it for a yes. With None it
        is the loss's `midpoint` in a `Trainer`, and 0.5 elsewhere, where predictions
        outside [0, 1] are refused.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw.metrics import Metric
    >>> class Bias(Metric):
    ...     '''The mean of prediction - target.'''
    ...     def measure(self, prediction, target, weight, threshold):
    ...         return np.array([(prediction - target).sum(), target.size])
    ...     def value(self, sums):
    ...         return float(sums[0] / sums[1])
    >>> Bias("bias")(np.array([[1.0], [4.0]]), np.array([[1.0], [2.0]]))
    1.0
    """

    _of_classes = ""  # the way out where targets are labels of several classes
    _output: int | None = None  # of which output it is, where there are several

    def __init__(self, name: str, *, higher_is_better: bool = True) -> None:
        self.name = name
        self.higher_is_better = higher_is_better
        self.threshold: float | None = None

    @abstractmethod
    def measure(self, prediction: Array, target: Target, weight: Array, threshold: float) -> Any:
        """Return the sums of one batch; `weight` has one number of float64 for each example.

        Where weights have more leading axes, (batch, time), the rows of all three are the steps.
        Sums are an array, or, with a `merge` of its own, a list of arrays; checkpoints hold them.
        """

    @abstractmethod
    def value(self, sums: Any) -> float:
        """Return the number that the sums of all batches give."""

    def merge(self, first: Any, second: Any) -> Any:
        """Return the sums of both, and change neither."""
        return first + second

    def at(self, threshold: float) -> Self:
        """Return a copy that takes a prediction above `threshold` for a yes."""
        twin = copy.copy(self)
        twin.threshold = check_finite_number(self.name, "threshold", threshold)
        return twin

    def of(self, output: int) -> Self:
        """Return a copy for one output of several: prediction and target are then tuples."""
        twin = copy.copy(self)
        twin._output = check_size(f"{self.name}.of", "output", output, 0)
        return twin

    def _picked(self, **given: Any) -> dict[str, Any]:
        """Return its own output of each tuple; prediction and target have to be one."""
        if self._output is None:
            return given
        for name, value in given.items():
            several = isinstance(value, tuple)
            if several and len(value) > self._output:
                given[name] = value[self._output]
            elif several or name in ("prediction", "target"):
                raise ValueError(
                    f"{self!r} expects {name} to be a tuple of {self._output + 1} outputs or "
                    f"more, got {len(value) if several else describe(value)}"
                )
        return given

    def checked(
        self, prediction: Any, target: Any, weight: Any = None, midpoint: Any = HALF
    ) -> Any:
        """Return ``measure`` of what was checked: lengths that fit, weights in float64.

        Of one output, prediction and target are tuples, and the others may be. Its weights may
        all be 0: other outputs count then.
        """
        if self._output is None and isinstance(prediction, tuple):
            raise ValueError(
                f"{self!r} expects one prediction, got a tuple of {len(prediction)}; say of which "
                f"output it is: {self!r}.of(0)"
            )
        given = {"weight": weight, "midpoint": midpoint}
        picked = self._picked(prediction=prediction, target=target, **given)
        return self._sums(*picked.values())

    def _sums(
        self, prediction: Any, target: Any, weight: Any = None, midpoint: float = HALF
    ) -> Any:
        if len(prediction) != len(target):
            raise ValueError(
                f"{self.name} expects as many targets as predictions, got {len(target)} and "
                f"{len(prediction)}"
            )
        if weight is None:
            weight = np.ones(len(prediction))
        else:
            axes = min(prediction.ndim - self._has_classes(prediction), target.ndim)
            if self._output is None or weight.any():  # else other outputs count in this batch
                check_sample_weight(self, weight, prediction.shape[:axes], weight.dtype)
            prediction = prediction.reshape(-1, *prediction.shape[weight.ndim :])
            target = target.reshape(-1, *target.shape[weight.ndim :])
            weight = weight.ravel()
        threshold = midpoint if self.threshold is None else self.threshold
        return self.measure(prediction, target, weight.astype(np.float64, copy=False), threshold)

    def __call__(
        self,
        prediction: npt.ArrayLike,
        target: npt.ArrayLike,
        sample_weight: npt.ArrayLike | tuple[npt.ArrayLike | None, ...] | None = None,
    ) -> float:
        """Return the metric of all examples.

        Weights are of each example, (batch,), or of more leading axes, as (batch, time).
        """
        given = self._picked(prediction=prediction, target=target, sample_weight=sample_weight)
        arrays: dict[str, Any] = {
            name: as_array(self.name, name, data)
            for name, data in given.items()
            if data is not None or name != "sample_weight"
        }
        for name, array in arrays.items():
            if not array.ndim or not array.size or array.dtype.kind not in "fiub":
                raise ValueError(
                    f"{self.name} expects {name} to hold real numbers, one row for each example, "
                    f"got {describe(array)}"
                )
        sums = self._sums(*arrays.values())
        if self.threshold is None and self._by_threshold(arrays["prediction"], arrays["target"]):
            check_probabilities(self, arrays["prediction"])
        return self.value(sums)

    def _has_classes(self, _prediction: Array) -> bool:
        """Return whether the last axis of the prediction is the classes, which make one case."""
        return False

    def _by_threshold(self, *_arrays: Array) -> bool:
        """Return whether the predictions are held to the threshold, each a yes or a no."""
        return False

    def __repr__(self) -> str:
        at = "" if self.threshold is None else f".at({self.threshold})"
        return self.name + at + ("" if self._output is None else f".of({self._output})")


class Mean(Metric):
    """A mean over elements, of `values`, from the sums of weighted values and of weights."""

    @abstractmethod
    def values(self, prediction: Array, target: Target, threshold: float) -> Array:
        """Return the value of each element."""

    def measure(self, prediction: Array, target: Target, weight: Array, threshold: float) -> Array:
        each = self.values(prediction, target, threshold).reshape(len(weight), -1)
        return np.array([weight.dot(each.mean(axis=1, dtype=np.float64)), weight.sum()])

    def value(self, sums: Array) -> float:
        return ratio(sums[0], sums[1]) if sums[1] else math.nan


def ratio(a: float, b: float) -> float:
    """Return a / b, and 0 where there is nothing to divide by."""
    return float(a / b) if b else 0.0


def check_finite(metric: Metric, name: str, array: Array, also: float = 0.0) -> None:
    """Raise if a number is NaN or infinite, except for `also`."""
    finite = np.isfinite(array) | (array == also)
    if not finite.all():
        refuse_first(metric, f"{name} to be finite", array, finite)


def check_alike(metric: Metric, prediction: Array, target: Target) -> None:
    """Raise unless the two have one shape and the predictions are finite."""
    if prediction.shape == target.shape:
        check_finite(metric, "prediction", prediction)
        return
    fix = ""
    if target.size == prediction.size:
        fix = f"; use target.reshape({prediction.shape})"
    elif target.shape == prediction.shape[:-1]:
        fix = metric._of_classes
    raise ValueError(
        f"{metric.name} expects target in the shape of prediction, {prediction.shape}, got "
        f"{target.shape}{fix}"
    )


def check_probabilities(metric: Metric, prediction: Array) -> None:
    """Raise if predictions that are to be held to 1/2 are no probabilities, and no labels."""
    low, high = prediction.min(), prediction.max()
    if (low >= -ROUNDING and high <= 1 + ROUNDING) or (np.abs(prediction) == 1).all():
        return
    raise ValueError(
        f"{metric.name} expects predictions in [0, 1], which it holds to 0.5, got one of "
        f"{(low if low < -ROUNDING else high):.6g}; of logits use {metric.name}.at(0), of other "
        f"scores {metric.name}.at(threshold)"
    )
