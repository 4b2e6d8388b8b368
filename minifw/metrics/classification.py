"""Metrics of classes: of a yes or a no, and of one of many."""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from minifw._tools.values import check_labels
from minifw.metrics.metric import HALF, Mean, Metric, check_alike, check_finite, ratio
from minifw.typing import Array, Target

__all__ = ["accuracy", "binary_accuracy", "f1", "precision", "recall", "roc_auc"]

_ONE_AGAINST_ALL = (
    "; it is a metric of a yes or a no; of several classes, ask for a class k: "
    "{0}({1}, target == k)"
)


class _Right(Mean):
    """The part of all elements that lie on the right side of the threshold.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import metrics
    >>> probability, target = np.array([0.9, 0.8, 0.3, 0.6]), np.array([1.0, 0.0, 0.0, 1.0])
    >>> metrics.binary_accuracy(probability, target)
    0.75
    """

    def __init__(self, name: str, of_classes: str = "") -> None:
        super().__init__(name)
        self._of_classes = of_classes

    def values(self, prediction: Array, target: Target, threshold: float) -> Array:
        check_alike(self, prediction, target)
        return np.asarray((prediction > threshold) == _yes(self, target))

    def _by_threshold(self, *_arrays: Array) -> bool:
        return True


class _ClassRight(_Right):
    """The part that is right: the largest of several classes, or one number held to a threshold.

    A prediction of shape (..., classes) is compared with labels of shape (...) or with
    probabilities of its own shape; one of shape (..., 1) or (examples,) with 0 and 1, or -1 and 1;
    and whole numbers with whole numbers, as labels. A label that is none of the classes is
    refused, as by the losses, also where its weight is 0.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import metrics
    >>> scores = np.array([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]])  # (examples, classes)
    >>> metrics.accuracy(scores, np.array([1, 2]))
    0.5
    """

    # The same, but where a row holds several classes, or all are labels: the part of the rows.

    def values(self, prediction: Array, target: Target, threshold: float) -> Array:
        """Compare the largest of the last axis with the label; or a single column by threshold."""
        if _labels(prediction, target):
            check_alike(self, prediction, target)
            return np.asarray(prediction == target)
        if not _classes(prediction):
            return super().values(prediction, target, threshold)
        if target.shape == prediction.shape:
            if not np.allclose(target.sum(axis=-1), 1):
                raise ValueError(
                    f"{self.name} expects targets of several columns to add up to 1 in each row, "
                    "as one of many does; of several that are each a yes or a no, use "
                    "binary_accuracy"
                )
            target = target.argmax(axis=-1)  # one of many, as 0s and a 1
        elif target.shape != prediction.shape[:-1]:
            raise ValueError(
                f"{self.name} expects target to hold labels of shape {prediction.shape[:-1]}, or "
                f"probabilities of shape {prediction.shape}, got shape {target.shape}"
            )
        check_finite(self, "prediction", prediction, -math.inf)  # a logit that rules a class out
        check_finite(self, "target", target)
        check_labels(self, target, prediction.shape[-1])
        return np.asarray(prediction.argmax(axis=-1) == target)

    def _has_classes(self, prediction: Array) -> bool:
        return prediction.dtype.kind == "f" and _classes(prediction)

    def _by_threshold(self, *arrays: Array) -> bool:
        return not (_labels(*arrays) or _classes(arrays[0]))


class _Counts(Metric):
    """A ratio of counts: of hits, of false alarms and of misses."""

    def __init__(self, name: str, of: Callable[[float, float, float], float]) -> None:
        super().__init__(name)
        self._of = of
        self._of_classes = _ONE_AGAINST_ALL.format(name, "prediction.argmax(axis=-1) == k")

    def measure(self, prediction: Array, target: Target, weight: Array, threshold: float) -> Array:
        check_alike(self, prediction, target)
        said, true = prediction > threshold, _yes(self, target)
        kinds = (said & true, said & ~true, ~said & true)
        return np.array([weight.dot(kind.reshape(len(kind), -1).sum(axis=1)) for kind in kinds])

    def _by_threshold(self, *_arrays: Array) -> bool:
        return True

    def value(self, sums: Array) -> float:
        return self._of(*map(float, sums))


class _Ranking(Metric):
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

    # It keeps all scores, because their order counts: in a few arrays, each longer than the
    # next, so each score is copied a few times, however many batches there are.

    _of_classes = _ONE_AGAINST_ALL.format("roc_auc", "prediction[..., k]")

    def measure(
        self, prediction: Array, target: Target, weight: Array, threshold: float
    ) -> list[Array]:
        del threshold
        check_alike(self, prediction, target)
        if prediction.size != len(prediction):
            raise ValueError(
                f"{self.name} expects one score for each example, of shape (batch, 1), got "
                f"{prediction.shape}"
            )
        return [np.array([prediction.ravel(), _yes(self, target).ravel(), weight], np.float64)]

    def merge(self, first: list[Array], second: list[Array]) -> list[Array]:
        parts = [*first, *second]  # of shape (3, examples)
        while len(parts) > 1 and parts[-2].size <= parts[-1].size:
            parts[-2:] = [np.concatenate(parts[-2:], axis=1)]
        return parts

    def value(self, sums: list[Array]) -> float:
        """Return the part of the pairs of a yes and a no that are in order; half for a tie."""
        scores, yes, weight = np.concatenate(sums, axis=1)
        weight = np.ldexp(weight, -np.frexp(weight.max())[1])  # exact; no product leaves the range
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


def _labels(prediction: Array, target: Target) -> bool:
    """Return whether both are whole numbers, that is labels."""
    return prediction.dtype.kind in "iu" and target.dtype.kind in "iu"


def _classes(prediction: Array) -> bool:
    """Return whether a row has a number for each of several classes."""
    return prediction.ndim >= 2 and prediction.shape[-1] != 1


class _Precision(_Counts):
    """Of what was said to be a yes, the part that is one; 0 where nothing was.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import metrics
    >>> probability, target = np.array([0.9, 0.8, 0.3, 0.6]), np.array([1.0, 0.0, 0.0, 1.0])
    >>> round(metrics.precision(probability, target), 3)  # two of three
    0.667
    """


class _Recall(_Counts):
    """Of what is a yes, the part that was found; 0 where nothing is.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import metrics
    >>> probability, target = np.array([0.9, 0.8, 0.3, 0.6]), np.array([1.0, 0.0, 0.0, 1.0])
    >>> metrics.recall(probability, target)  # both
    1.0
    """


class _F1(_Counts):
    """The harmonic mean of precision and recall; 0 where there is no yes at all.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import metrics
    >>> probability, target = np.array([0.9, 0.8, 0.3, 0.6]), np.array([1.0, 0.0, 0.0, 1.0])
    >>> round(metrics.f1(probability, target), 3)
    0.8
    """


accuracy: Metric = _ClassRight("accuracy")
binary_accuracy: Metric = _Right("binary_accuracy", "; of several classes, use accuracy")
precision: Metric = _Precision("precision", lambda hit, alarm, _miss: ratio(hit, hit + alarm))
recall: Metric = _Recall("recall", lambda hit, _alarm, miss: ratio(hit, hit + miss))
f1: Metric = _F1("f1", lambda hit, alarm, miss: ratio(2 * hit, 2 * hit + alarm + miss))
roc_auc: Metric = _Ranking("roc_auc")
