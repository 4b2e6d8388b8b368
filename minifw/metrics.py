"""Metrics: how good predictions are, in numbers that people understand.

Each is a function of the **prediction first and then the target**, as the losses are and
the reverse of scikit-learn's ``(y_true, y_pred)``::

    accuracy(model.predict(x), y)        # of probabilities, or of one number for each class
    accuracy.at(0)(model.predict(x), y)  # of a model that ends in one logit, without Sigmoid()

and can be given to `Trainer` by itself or by its name. There it is added up batch by
batch; the value is that of all examples at once, however they were cut into batches.

A metric of one's own is a function ``(prediction, target) -> float``. `Trainer` calls it
with all predictions of an epoch.
"""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from minifw._tools.checks import describe, finite_number
from minifw._tools.rows import as_array
from minifw.typing import Array, Target

__all__ = [
    "Metric",
    "accuracy",
    "binary_accuracy",
    "f1",
    "mae",
    "mse",
    "precision",
    "r2",
    "recall",
    "roc_auc",
]

MetricFunction: TypeAlias = Callable[[Any, Any], float]

HALF = 0.5  # above it a target is a yes: of 0 and 1, and of -1 and 1
ROUNDING = 1e-6  # by which a mean of float32 probabilities may come out beyond 0 or 1


class Metric(ABC):
    """A number that says how good predictions are, added up batch by batch.

    ``measure`` returns the sums of one batch, ``merge`` adds those of two, and ``value``
    makes the number of them. ``metric(prediction, target)`` does all of it at once.

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

    def __init__(self, name: str, *, higher_is_better: bool = True) -> None:
        self.name = name
        self.higher_is_better = higher_is_better
        self.threshold: float | None = None

    @abstractmethod
    def measure(self, prediction: Array, target: Target, weight: Array, threshold: float) -> Array:
        """Return the sums of one batch; `weight` has one number of float64 for each example."""

    @abstractmethod
    def value(self, sums: Array) -> float:
        """Return the number that the sums of all batches give."""

    def merge(self, first: Array, second: Array) -> Array:
        """Return the sums of both."""
        return first + second

    def at(self, threshold: float) -> Self:
        """Return a copy that takes a prediction above `threshold` for a yes."""
        twin = copy.copy(self)
        twin.threshold = finite_number(self.name, "threshold", threshold)
        return twin

    def checked(
        self,
        prediction: Array,
        target: Target,
        weight: Array | None = None,
        midpoint: float = HALF,
    ) -> Array:
        """Return ``measure`` of what was checked: lengths that fit, weights in float64."""
        if len(prediction) != len(target):
            raise ValueError(
                f"{self.name} expects as many targets as predictions, got {len(target)} and "
                f"{len(prediction)}"
            )
        if weight is None:
            weight = np.ones(len(prediction))
        elif weight.shape != (len(prediction),):
            raise ValueError(
                f"{self.name} expects one sample_weight for each example, of shape "
                f"({len(prediction)},), got {weight.shape}"
            )
        elif not (weight.min() >= 0 and math.isfinite(weight.max())):
            bad = int(np.argmin(np.isfinite(weight) & (weight >= 0)))
            raise ValueError(
                f"{self.name} expects every sample_weight to be finite and at least 0, got "
                f"{weight.item(bad)} at index {bad}"
            )
        threshold = midpoint if self.threshold is None else self.threshold
        return self.measure(prediction, target, weight.astype(np.float64, copy=False), threshold)

    def __call__(
        self,
        prediction: npt.ArrayLike,
        target: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
    ) -> float:
        """Return the metric of all examples."""
        given: dict[str, Any] = {"prediction": prediction, "target": target}
        if sample_weight is not None:
            given["sample_weight"] = sample_weight
        arrays: list[Any] = [as_array(self.name, name, data) for name, data in given.items()]
        for name, array in zip(given, arrays, strict=True):
            if not array.ndim or not array.size or array.dtype.kind not in "fiub":
                raise ValueError(
                    f"{self.name} expects {name} to hold real numbers, one row for each example, "
                    f"got {describe(array)}"
                )
        sums = self.checked(*arrays)
        if sample_weight is not None and not arrays[2].any():
            raise ValueError(
                f"{self.name} expects a sample_weight above 0, got 0 for every example"
            )
        if self.threshold is None and self._by_threshold(arrays[0], arrays[1]):
            _check_probabilities(self, arrays[0])
        return self.value(sums)

    def _by_threshold(self, prediction: Array, target: Target) -> bool:
        """Return whether the predictions are held to the threshold, each a yes or a no."""
        del prediction, target
        return False

    def __repr__(self) -> str:
        return self.name if self.threshold is None else f"{self.name}.at({self.threshold})"


class _Mean(Metric):
    """A mean over elements: the sums are those of weighted values, and of weights."""

    def __init__(
        self, name: str, values: Callable[..., Array], *, higher_is_better: bool = True
    ) -> None:
        super().__init__(name, higher_is_better=higher_is_better)
        self._values = values

    def measure(self, prediction: Array, target: Target, weight: Array, threshold: float) -> Array:
        values = self._values(self, prediction, target, threshold)
        each = values.reshape(len(values), -1)  # (batch, elements)
        total = weight.dot(each.mean(axis=1, dtype=np.float64))
        return np.array([total, weight.sum()])

    def value(self, sums: Array) -> float:
        return _ratio(sums[0], sums[1])


class _Right(_Mean):
    """The part that is right; `several` says whether a row of columns may be one choice."""

    def __init__(self, name: str, values: Callable[..., Array], *, several: bool) -> None:
        super().__init__(name, values)
        self._several = several

    def _by_threshold(self, prediction: Array, target: Target) -> bool:
        return not (self._several and (_labels(prediction, target) or _classes(prediction)))


class _Counts(Metric):
    """A ratio of counts: of hits, of false alarms and of misses."""

    def __init__(self, name: str, ratio: Callable[[float, float, float], float]) -> None:
        super().__init__(name)
        self._of = ratio

    def measure(self, prediction: Array, target: Target, weight: Array, threshold: float) -> Array:
        _same_shape(self, prediction, target)
        said, true = prediction > threshold, _yes(self, target)
        kinds = (said & true, said & ~true, ~said & true)
        return np.array([weight.dot(kind.reshape(len(kind), -1).sum(axis=1)) for kind in kinds])

    def _by_threshold(self, prediction: Array, target: Target) -> bool:
        del prediction, target
        return True

    def value(self, sums: Array) -> float:
        return self._of(float(sums[0]), float(sums[1]), float(sums[2]))


class _Explained(Metric):
    """R squared: of each column n, mean and sum of squares of the target, and of the errors."""

    def measure(self, prediction: Array, target: Target, weight: Array, threshold: float) -> Array:
        del threshold
        _same_shape(self, prediction, target)
        _check_finite(self, "target", target)
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
        _, _, spread, errors = sums
        constant = spread == 0
        score = 1 - np.divide(errors, spread, out=np.ones_like(spread), where=~constant)
        score[constant & (errors == 0)] = 1.0
        return float(score.mean())


class _Ranking(Metric):
    """The area under the ROC curve: it keeps all scores, for it is a matter of their order."""

    def measure(self, prediction: Array, target: Target, weight: Array, threshold: float) -> Array:
        del threshold
        _same_shape(self, prediction, target)
        if prediction.size != len(prediction):
            raise ValueError(
                f"{self.name} expects one score for each example, of shape (batch, 1), got "
                f"{prediction.shape}"
            )
        return np.array([prediction.ravel(), _yes(self, target).ravel(), weight], np.float64)

    def merge(self, first: Array, second: Array) -> Array:
        return np.concatenate([first, second], axis=1)

    def value(self, sums: Array) -> float:
        """Return the part of the pairs of a yes and a no that are in order; half for a tie."""
        scores, yes, weight = sums
        _, place = np.unique(scores, return_inverse=True)  # the place among the distinct scores
        positive = np.bincount(place, weight * yes)
        negative = np.bincount(place, weight * (1 - yes))
        below = negative.cumsum() - negative / 2
        pairs = positive.sum() * negative.sum()
        return float(positive.dot(below) / pairs) if pairs else math.nan


def _yes(metric: Metric, target: Target) -> npt.NDArray[np.bool_]:
    """Return which targets are a yes, or raise unless all are from 0 to 1, or -1."""
    sensible = ((target >= 0) & (target <= 1)) | (target == -1)
    if not sensible.all():
        bad = target.ravel()[int(np.argmin(sensible.ravel()))]
        raise ValueError(
            f"{metric.name} expects targets of 0 and 1, or of -1 and 1, got {bad}; it is a metric "
            "of a yes or a no"
        )
    return np.asarray(target > HALF)


def _ratio(a: float, b: float) -> float:
    return float(a / b) if b else 0.0


def _check_finite(metric: Metric, name: str, array: Array, also: float = 0.0) -> None:
    """Raise if a number is NaN or infinite, but for `also`."""
    finite = np.isfinite(array)
    if finite.all():
        return
    finite |= array == also
    if not finite.all():
        index = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise ValueError(
            f"{metric.name} expects every {name} to be finite, got {array[index]} at index {index}"
        )


def _check_probabilities(metric: Metric, prediction: Array) -> None:
    """Raise if predictions that are to be held to 1/2 are no probabilities, and no labels."""
    low, high = prediction.min(), prediction.max()
    if (low >= -ROUNDING and high <= 1 + ROUNDING) or (np.abs(prediction) == 1).all():
        return
    raise ValueError(
        f"{metric.name} expects predictions in [0, 1], which it holds to 0.5, got one of "
        f"{(low if low < -ROUNDING else high):.6g}; of logits use {metric.name}.at(0), of other "
        f"scores {metric.name}.at(threshold)"
    )


_ONE_AGAINST_ALL = (
    "; it is a metric of a yes or a no; of several classes, ask for a class k: "
    "{0}({1}, target == k)"
)
# What to do where there are labels of several classes, by the name of the metric.
_OF_CLASSES = {
    "binary_accuracy": "; of several classes, use accuracy",
    "roc_auc": _ONE_AGAINST_ALL.format("roc_auc", "prediction[..., k]"),
    **{
        name: _ONE_AGAINST_ALL.format(name, "prediction.argmax(axis=-1) == k")
        for name in ("precision", "recall", "f1")
    },
}


def _same_shape(metric: Metric, prediction: Array, target: Target) -> None:
    """Raise unless the two have one shape and the predictions are finite."""
    if prediction.shape == target.shape:
        _check_finite(metric, "prediction", prediction)
        return
    fix = ""
    if target.size == prediction.size:
        fix = f"; use target.reshape({prediction.shape})"
    elif target.shape == prediction.shape[:-1]:
        fix = _OF_CLASSES.get(metric.name, "")
    raise ValueError(
        f"{metric.name} expects target in the shape of prediction, {prediction.shape}, got "
        f"{target.shape}{fix}"
    )


def _labels(prediction: Array, target: Target) -> bool:
    """Return whether both are whole numbers, that is labels."""
    return prediction.dtype.kind in "iu" and target.dtype.kind in "iu"


def _classes(prediction: Array) -> bool:
    """Return whether a row has a number for each of several classes."""
    return prediction.ndim >= 2 and prediction.shape[-1] != 1


def _said_right(metric: Metric, prediction: Array, target: Target, threshold: float) -> Array:
    _same_shape(metric, prediction, target)
    right: Array = (prediction > threshold) == _yes(metric, target)
    return right


def _class_right(metric: Metric, prediction: Array, target: Target, threshold: float) -> Array:
    """Compare the largest of the last axis with the label; or a single column by threshold."""
    if _labels(prediction, target):
        _same_shape(metric, prediction, target)
        return np.asarray(prediction == target)
    if not _classes(prediction):
        return _said_right(metric, prediction, target, threshold)
    if target.shape == prediction.shape:
        if not np.allclose(target.sum(axis=-1), 1):
            raise ValueError(
                f"{metric.name} expects targets of several columns to add up to 1 in each row, as "
                "one of many does; of several that are each a yes or a no, use binary_accuracy"
            )
        target = target.argmax(axis=-1)  # one of many, as 0s and a 1
    elif target.shape != prediction.shape[:-1]:
        raise ValueError(
            f"{metric.name} expects target to hold labels of shape {prediction.shape[:-1]}, or "
            f"probabilities of shape {prediction.shape}, got shape {target.shape}"
        )
    _check_finite(metric, "prediction", prediction, -math.inf)  # a logit that rules a class out
    _check_finite(metric, "target", target)
    right: Array = prediction.argmax(axis=-1) == target
    return right


def _square(metric: Metric, prediction: Array, target: Target, threshold: float) -> Array:
    del threshold
    return _error(metric, prediction, target) ** 2


def _distance(metric: Metric, prediction: Array, target: Target, threshold: float) -> Array:
    del threshold
    return np.abs(_error(metric, prediction, target))


def _error(metric: Metric, prediction: Array, target: Target) -> Array:
    _same_shape(metric, prediction, target)
    _check_finite(metric, "target", target)
    return np.subtract(prediction, target, dtype=np.float64)


accuracy: Metric = _Right("accuracy", _class_right, several=True)
"""The part that is right: the largest of several classes, or one number held to a threshold.

A prediction of shape (..., classes) is compared with labels of shape (...) or with
probabilities of its own shape; one of shape (..., 1) or (examples,) with 0 and 1, or -1 and 1;
and whole numbers with whole numbers, as labels.

Examples
--------
>>> import numpy as np
>>> from minifw import metrics
>>> scores = np.array([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]])  # (examples, classes)
>>> metrics.accuracy(scores, np.array([1, 2]))
0.5
"""

binary_accuracy: Metric = _Right("binary_accuracy", _said_right, several=False)
"""The part of all elements that lie on the right side of the threshold.

Examples
--------
>>> import numpy as np
>>> from minifw import metrics
>>> probability, target = np.array([0.9, 0.8, 0.3, 0.6]), np.array([1.0, 0.0, 0.0, 1.0])
>>> metrics.binary_accuracy(probability, target)
0.75
"""

precision: Metric = _Counts("precision", lambda hit, alarm, _miss: _ratio(hit, hit + alarm))
"""Of what was said to be a yes, the part that is one; 0 where nothing was.

Examples
--------
>>> import numpy as np
>>> from minifw import metrics
>>> probability, target = np.array([0.9, 0.8, 0.3, 0.6]), np.array([1.0, 0.0, 0.0, 1.0])
>>> round(metrics.precision(probability, target), 3)  # two of three
0.667
"""

recall: Metric = _Counts("recall", lambda hit, _alarm, miss: _ratio(hit, hit + miss))
"""Of what is a yes, the part that was found; 0 where nothing is.

Examples
--------
>>> import numpy as np
>>> from minifw import metrics
>>> probability, target = np.array([0.9, 0.8, 0.3, 0.6]), np.array([1.0, 0.0, 0.0, 1.0])
>>> metrics.recall(probability, target)  # both
1.0
"""

f1: Metric = _Counts("f1", lambda hit, alarm, miss: _ratio(2 * hit, 2 * hit + alarm + miss))
"""The harmonic mean of precision and recall; 0 where there is no yes at all.

Examples
--------
>>> import numpy as np
>>> from minifw import metrics
>>> probability, target = np.array([0.9, 0.8, 0.3, 0.6]), np.array([1.0, 0.0, 0.0, 1.0])
>>> round(metrics.f1(probability, target), 3)
0.8
"""

roc_auc: Metric = _Ranking("roc_auc")
"""The area under the ROC curve: how often a yes has a higher score than a no, ties half.

NaN if all are of one kind. It keeps the scores of all examples.

Examples
--------
>>> import numpy as np
>>> from minifw import metrics
>>> probability, target = np.array([0.9, 0.8, 0.3, 0.6]), np.array([1.0, 0.0, 0.0, 1.0])
>>> metrics.roc_auc(probability, target)  # three pairs of four
0.75
"""

mae: Metric = _Mean("mae", _distance, higher_is_better=False)
"""The mean absolute error.

Examples
--------
>>> import numpy as np
>>> from minifw import metrics
>>> prediction, target = np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.0, 3.0])
>>> round(metrics.mae(prediction, target), 3)
0.333
"""

mse: Metric = _Mean("mse", _square, higher_is_better=False)
"""The mean squared error.

Examples
--------
>>> import numpy as np
>>> from minifw import metrics
>>> prediction, target = np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.0, 3.0])
>>> round(metrics.mse(prediction, target), 3)
0.333
"""

r2: Metric = _Explained("r2")
"""The part of the variance that is explained; of several columns their mean.

Examples
--------
>>> import numpy as np
>>> from minifw import metrics
>>> prediction, target = np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.0, 3.0])
>>> metrics.r2(prediction, target)
0.5
"""
