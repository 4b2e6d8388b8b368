"""Losses of a choice among classes; each takes another form of the prediction.

All three are the cross-entropy -sum(q log p), where p is what the model says of
each class and q what is true. They differ in what the prediction is: logits,
probabilities p, or log p. Labels, class weights, smoothing and weights of the
examples are in q (`_counted`), so that the losses are short.
"""

import math
import warnings
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from minifw._tools.checks import check_array, check_plain, describe, fraction
from minifw.core.layer import Layer
from minifw.core.loss import Joins, Loss, check_probabilities
from minifw.errors import SaturationWarning
from minifw.layers import LogSoftmax, Softmax
from minifw.typing import Array, Formulas, Labels, Target

__all__ = ["CategoricalCrossEntropyLoss", "CrossEntropyLoss", "NLLLoss"]

LOG_ROUNDING = 1e-5  # how far above 0 float32 may round a log-probability
SUM_ROUNDING = 1e-3  # how far from 1 float32 may round the sum of thousands of probabilities


class CrossEntropyLoss(Loss):
    """Cross-entropy of logits, the inputs of a softmax: exact for every logit.

    For the logits z of one example, p = softmax(z) and the true probabilities q,

        L = -sum_c q_c log p_c,    dL/dz_c = p_c - q_c,

    the mean of which over the examples is returned, in nats. Let m be the
    largest logit, that of the class k, and r the sum of exp(z_c - m) over the
    others. Then log p_c = z_c - m - log(1 + r), and

        L = sum_c q_c (m - z_c) + log(1 + r),
        dL/dz_c = exp(z_c - m) / (1 + r) - q_c, and of k itself
        dL/dz_k = (sum_{c != k} q_c - q_k r) / (1 + r).

    No exponential overflows, no logarithm meets 0 and no sum cancels: the label
    0 costs e^-40 with the logits (40, 0), and 1000 with (0, 1000).

    Parameters
    ----------
    weight : array of shape (classes,), optional
        What each class counts, finite and at least 0. As in PyTorch, the mean
        over labels y is a weighted one, sum_i weight[y_i] L_i / sum_i weight[y_i];
        with probabilities as targets each q_c is multiplied by weight[c], and
        the sum is divided by the number of examples.
    label_smoothing : float, default 0.0
        From 0 to 1: the part s of every target that is given to all classes
        alike, q_c (1 - s) + s / classes.

    Raises
    ------
    ValueError
        If a label is no class, a target is no distribution, the shapes do not
        fit, the weights are no weights, or those of the batch are all 0.
    TypeError
        If a dtype does not fit.
    NonFiniteError
        If the loss is not finite.

    Notes
    -----
    The prediction is (batch, classes), or (batch, time, classes) and so on: the
    classes are the last axis, where PyTorch has them in the second. The target
    holds whole numbers, one label for each row of logits, or probabilities in
    the shape of the prediction that add up to 1. A logit of -inf rules a class
    out. With weights of the examples, each label counts that of its example.

    Do not end the model in a `Softmax`; where it does, the loss is
    `CategoricalCrossEntropyLoss`.

    References
    ----------
    Label smoothing: Szegedy et al., "Rethinking the Inception Architecture for
    Computer Vision", 2016, section 7. Arguments and defaults are PyTorch's.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import CrossEntropyLoss
    >>> loss = CrossEntropyLoss()
    >>> loss.forward(np.array([[0.0, 1000.0]]), np.array([0])), loss.backward()
    (1000.0, array([[-1.,  1.]]))
    """

    formulas: ClassVar[Formulas] = {
        "L": (
            "-sum(q * log softmax({p})), q the shares of {t} with {weight}",
            "-sum(q * log softmax({p})) / {m}, q the shares of {t}",
        ),
        "dp": ("softmax({p}) * row sums of q - q, with {weight}", "(softmax({p}) - q) / {m}"),
    }

    applies: ClassVar[tuple[type[Layer], ...]] = (Softmax, LogSoftmax)
    takes_labels: ClassVar[bool] = True

    def __init__(self, weight: npt.ArrayLike | None = None, label_smoothing: float = 0.0) -> None:
        self.weight = _class_weight("CrossEntropyLoss", weight)
        self.label_smoothing = fraction("CrossEntropyLoss", "label_smoothing", label_smoothing)

    def forward(
        self, prediction: Array, target: Target, sample_weight: Array | None = None
    ) -> float:
        """Return the mean of sum_c q_c (m - z_c) + log(1 + r)."""
        q = _counted(
            self,
            prediction,
            target,
            sample_weight,
            weight=self.weight,
            smoothing=self.label_smoothing,
        )  # (rows, classes)
        z = prediction.reshape(q.shape)
        top = np.arange(len(z)), z.argmax(axis=1)  # the place of k in every row
        m = z[top]  # (rows,)
        with np.errstate(over="ignore", invalid="ignore"):  # `finite` will say it
            e = z - m[:, np.newaxis]  # (rows, classes)
            np.exp(e, e)
            e[top] = 0
            r = e.sum(axis=1)  # (rows,)
            # Only where q is not 0, for 0 times an infinite m - z would be NaN.
            rows, classes = q.nonzero()
            gaps = np.subtract(m[rows], z[rows, classes], dtype=np.float64)
            total = gaps.dot(q[rows, classes]) + np.log1p(r, dtype=np.float64).dot(q.sum(axis=1))
        value = self.finite(float(total))
        self.save(prediction, q, e, r, *top)
        return value

    def backward(self) -> Array:
        """Return p - q."""
        prediction, q, e, r, *place = self.saved()
        top: Any = tuple(place)
        others = q.copy()  # (rows, classes)
        others[top] = 0
        other, q_top = others.sum(axis=1), q[top]  # (rows,)
        dz: Array = e * ((other + q_top) / (1 + r))[:, np.newaxis]  # (rows, classes)
        dz -= others
        dz[top] = (other - q_top * r) / (1 + r)
        return dz.reshape(prediction.shape)

    def total_weight(self, target: Target, sample_weight: Array | None = None) -> float:
        """Return the sum of the class weights of the labels, times those of their examples."""
        return _total_weight(self.weight, target, sample_weight)


class NLLLoss(Loss):
    """Negative log-likelihood: cross-entropy of log-probabilities, for labels.

    For the log-probabilities log p of one example and its label y,

        L = -log p_y,    dL/d(log p)_c = -1 for c = y, else 0,

    the mean of which over the examples is returned, in nats. Within an
    `Objective` it is joined with a final `LogSoftmax` into `CrossEntropyLoss`.

    Parameters
    ----------
    weight : array of shape (classes,), optional
        What each class counts, finite and at least 0. As in PyTorch, the mean is
        then a weighted one, sum_i weight[y_i] L_i / sum_i weight[y_i].

    Raises
    ------
    ValueError
        If a label is no class, a prediction is above 0, the shapes do not fit,
        the weights are no weights, or those of the batch are all 0.
    TypeError
        If a dtype does not fit.
    NonFiniteError
        If the loss is not finite.

    Notes
    -----
    The prediction is (batch, classes), or (batch, time, classes) and so on, and
    the target has one whole number for each row. Name and arguments are
    PyTorch's, which takes predictions above 0, too.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import NLLLoss
    >>> loss = NLLLoss()
    >>> round(loss.forward(np.log([[0.5, 0.5], [0.2, 0.8]]), np.array([0, 1])), 6)
    0.458145
    >>> loss.backward()
    array([[-0.5,  0. ],
           [ 0. , -0.5]])
    """

    takes_labels: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {
        "L": (
            "-sum(q * {p}), q the shares of {t} with {weight}",
            "-sum(q * {p}) / {m}, q the shares of {t}",
        ),
        "dp": ("-q, with {weight}", "-q / {m}"),
    }

    joins: ClassVar[Joins] = {
        LogSoftmax: lambda loss, layer: _over_last(layer, CrossEntropyLoss(loss.weight))
    }

    def __init__(self, weight: npt.ArrayLike | None = None) -> None:
        self.weight = _class_weight("NLLLoss", weight)

    def forward(
        self, prediction: Array, target: Labels, sample_weight: Array | None = None
    ) -> float:
        """Return the mean of -log p_y."""
        q = _counted(
            self, prediction, target, sample_weight, weight=self.weight
        )  # (rows, classes)
        largest = prediction.max()
        if largest > LOG_ROUNDING:
            raise ValueError(
                f"{self!r} expects log-probabilities, which are at most 0, got {largest}; end the "
                "model in LogSoftmax(), or use CrossEntropyLoss"
            )
        hot = q != 0
        costs = np.multiply(q[hot], prediction.reshape(q.shape)[hot], dtype=np.float64)
        value = self.finite(0.0 - float(np.sum(costs)) if not math.isnan(largest) else math.nan)
        self.save(prediction, q)
        return value

    def backward(self) -> Array:
        """Return -q."""
        prediction, q = self.saved()
        return 0.0 - q.reshape(prediction.shape)

    def total_weight(self, target: Target, sample_weight: Array | None = None) -> float:
        """Return the sum of the class weights of the labels, times those of their examples."""
        return _total_weight(self.weight, target, sample_weight)


class CategoricalCrossEntropyLoss(Loss):
    """Cross-entropy of probabilities, the outputs of a softmax.

    For the probabilities p of one example and the true ones q,

        L = -sum_c q_c log p_c,    dL/dp_c = -q_c / p_c,

    the mean of which over the examples is returned, in nats. Within an
    `Objective` it is joined with a final `Softmax` into `CrossEntropyLoss`,
    whose arguments, targets and weights it has. Apart, p is taken as no less
    than the smallest normal number, so that loss and gradient stay finite; the
    softmax before it then lets no gradient through, and a warning says so.

    Parameters
    ----------
    weight : array of shape (classes,), optional
        What each class counts, as in `CrossEntropyLoss`.
    label_smoothing : float, default 0.0
        From 0 to 1, as in `CrossEntropyLoss`.

    Raises
    ------
    ValueError
        If a label is no class, a prediction is outside [0, 1], a target is no
        distribution, the shapes do not fit, the weights are no weights, or those
        of the batch are all 0.
    TypeError
        If a dtype does not fit.

    Warns
    -----
    SaturationWarning
        If a prediction that has rounded to 0 contradicts its target.

    Notes
    -----
    The name is Keras', whose ``CategoricalCrossentropy`` expects probabilities
    as well; PyTorch has no such loss.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import CategoricalCrossEntropyLoss
    >>> loss = CategoricalCrossEntropyLoss()
    >>> round(loss.forward(np.array([[0.5, 0.5], [0.2, 0.8]]), np.array([0, 1])), 6)
    0.458145
    >>> loss.backward()
    array([[-1.   ,  0.   ],
           [ 0.   , -0.625]])
    """

    takes_labels: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {
        "L": (
            "-sum(q * log {p}), q the shares of {t} with {weight}",
            "-sum(q * log {p}) / {m}, q the shares of {t}",
        ),
        "dp": ("-q / {p}, with {weight}", "-q / {p} / {m}"),
    }

    joins: ClassVar[Joins] = {
        Softmax: lambda loss, layer: _over_last(
            layer, CrossEntropyLoss(loss.weight, loss.label_smoothing)
        )
    }

    def __init__(self, weight: npt.ArrayLike | None = None, label_smoothing: float = 0.0) -> None:
        self.weight = _class_weight("CategoricalCrossEntropyLoss", weight)
        self.label_smoothing = fraction(
            "CategoricalCrossEntropyLoss", "label_smoothing", label_smoothing
        )

    def forward(
        self, prediction: Array, target: Target, sample_weight: Array | None = None
    ) -> float:
        """Return the mean of -sum_c q_c log p_c."""
        q = _counted(
            self,
            prediction,
            target,
            sample_weight,
            weight=self.weight,
            smoothing=self.label_smoothing,
        )  # (rows, classes)
        fix = "end the model in Softmax(), or use CrossEntropyLoss"
        check_probabilities(self, "prediction", prediction, fix)
        tiny = np.finfo(prediction.dtype).tiny
        p = np.maximum(prediction, tiny).reshape(q.shape)
        hot = q != 0
        hidden = int(np.sum((prediction.reshape(q.shape) < tiny) & hot))
        if hidden:
            warnings.warn(
                f"CategoricalCrossEntropyLoss: {hidden} of {prediction.size} predictions have "
                "rounded to 0 against their target, and their softmax hides the gradient; use "
                "Objective(model, CategoricalCrossEntropyLoss()) or CrossEntropyLoss on the "
                "logits",
                SaturationWarning,
                stacklevel=2,
            )
        costs = np.multiply(q[hot], np.log(p[hot]), dtype=np.float64)
        value = self.finite(0.0 - float(np.sum(costs)))
        self.save(prediction, q, p)
        return value

    def backward(self) -> Array:
        """Return -q / p."""
        prediction, q, p = self.saved()
        return (0.0 - q / p).reshape(prediction.shape)

    def total_weight(self, target: Target, sample_weight: Array | None = None) -> float:
        """Return the sum of the class weights of the labels, times those of their examples."""
        return _total_weight(self.weight, target, sample_weight)


# -- what each class of each row counts ----------------------------------------------------


def _counted(
    loss: Loss,
    prediction: Array,
    target: Target,
    sample_weight: Array | None,
    *,
    weight: Array | None,
    smoothing: float | None = None,
) -> Array:
    """Return q, of shape (rows, classes): the loss is -sum(q log p) over all of it.

    It holds the target, smoothed, times the weight of each class, times the
    share of each row in the mean. Raise unless all of these fit. Without
    `smoothing` the target is labels and nothing else.
    """
    _check_prediction(loss, prediction)
    classes = prediction.shape[-1]
    rows, dtype = prediction.size // classes, prediction.dtype
    labels = _checked_labels(loss, prediction, target, soft=smoothing is not None)
    if weight is not None and weight.size != classes:
        raise ValueError(
            f"{loss!r} expects {weight.size} classes, as many as it has weights, got a prediction "
            f"of shape {prediction.shape}"
        )
    share = loss.shares(prediction, sample_weight) * classes  # of a row: () or (batch, 1, ...)
    if sample_weight is not None:
        share = np.repeat(share.ravel(), rows // len(prediction))[:, np.newaxis]  # (rows, 1)
    sharp = 1 - (smoothing or 0.0)
    if labels is None:
        q: Array = target.reshape(rows, classes) * sharp
    else:
        q = np.zeros((rows, classes), dtype)
        q[np.arange(rows), labels] = sharp
    if smoothing:
        q += smoothing / classes
    if weight is not None and labels is not None:  # those of the labels belong to the mean
        weight = weight / weight.max()  # (classes,); no product or sum overflows
        total = np.sum(weight[labels, np.newaxis] * share)
        if not total > 0:
            raise ValueError(f"{loss!r}: the weight of every label in this batch is 0")
        share = share / total
    with np.errstate(over="ignore"):  # in float32; the loss is then infinite, and says so
        if weight is not None:
            q *= weight
        q *= share
    return q


def _total_weight(weight: Array | None, target: Target, sample_weight: Array | None) -> float:
    """Return the divisor of the mean: labels count by their class, each as a part of its row."""
    if weight is None or target.dtype.kind not in "iu":
        return float(len(target) if sample_weight is None else np.sum(sample_weight, dtype=float))
    # A label that is no class is clipped here: `forward` is next, and says what is wrong.
    counts = weight.take(target, mode="clip").reshape(len(target), -1).mean(axis=1)  # (batch,)
    return float(counts.sum() if sample_weight is None else counts.dot(sample_weight))


def _check_prediction(loss: Loss, prediction: Array) -> None:
    check_array(loss, "prediction", prediction)
    if prediction.ndim < 2 or prediction.shape[-1] < 2:
        fix = "; of one column, use BCEWithLogitsLoss or BCELoss" if prediction.ndim > 1 else ""
        raise ValueError(
            f"{loss!r} expects a prediction of shape (batch, classes), of two classes or more, "
            f"got {prediction.shape}{fix}"
        )


def _checked_labels(loss: Loss, prediction: Array, target: Target, *, soft: bool) -> Labels | None:
    """Return the labels of all rows as a vector, or None where the target is probabilities."""
    check_plain(loss, "target", target)
    kind = target.dtype.kind if isinstance(target, np.ndarray) else None
    shape = prediction.shape[:-1]
    if kind in ("i", "u") and target.shape == shape:
        labels: Labels = target.ravel()
        _check_range(loss, labels, shape, prediction.shape[-1])
        return labels
    if soft and kind == "f" and target.shape == prediction.shape:
        loss.check(prediction, target)
        _check_distribution(loss, target)
        return None
    or_soft = f", or probabilities of shape {prediction.shape}" if soft else ""
    fix = ""
    if kind in ("i", "u", "f"):
        if target.shape == (*shape, 1):
            fix = "; use target.ravel()" if len(shape) == 1 else "; use target[..., 0]"
        elif target.shape == prediction.shape:  # one-hot
            fix = "; use target.argmax(axis=-1)"
        elif target.shape == shape:
            fix = "; use target.astype(np.int64)"
    shape_alone = kind in ("i", "u") or (soft and kind == "f")
    raise (ValueError if shape_alone else TypeError)(
        f"{loss!r} expects target to hold labels, whole numbers of shape {shape}{or_soft}, got "
        f"{describe(target)}{fix}"
    )


def _check_range(loss: Loss, labels: Labels, shape: tuple[int, ...], classes: int) -> None:
    low, high = labels.min(), labels.max()
    if low >= 0 and high < classes:
        return
    first = int(np.argmax((labels < 0) | (labels >= classes)))
    index = first if len(shape) == 1 else tuple(int(i) for i in np.unravel_index(first, shape))
    fix = "; labels count from 0: target - 1" if low == 1 and high == classes else ""
    raise ValueError(
        f"{loss!r} expects every label to be from 0 to {classes - 1}, got {labels[first]} at "
        f"index {index}{fix}"
    )


def _check_distribution(loss: Loss, target: Array) -> None:
    check_probabilities(loss, "target", target)
    sums = target.sum(axis=-1)
    worst = np.abs(sums - 1).argmax()
    if abs(sums.item(worst) - 1) > SUM_ROUNDING:
        raise ValueError(
            f"{loss!r} expects the targets of an example to add up to 1, got "
            f"{sums.item(worst):.6g}; where several classes can be true, use BCEWithLogitsLoss"
        )


# -- arguments and joins -------------------------------------------------------------------

_L = TypeVar("_L", bound=Loss)


def _over_last(activation: Softmax | LogSoftmax, joint: _L) -> _L | None:
    """Return the joint form if the activation runs along the classes, the last axis."""
    return joint if activation.axis == -1 else None


def _class_weight(owner: str, weight: npt.ArrayLike | None) -> Array | None:
    """Return a copy of the weights in float64, or raise unless they are one for each class."""
    if weight is None:
        return None
    try:
        array = np.array(weight, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{owner} expects weight to hold numbers, got {weight!r}") from None
    if array.ndim != 1 or array.size < 2:
        raise ValueError(
            f"{owner} expects weight to be one number for each class, of shape (classes,), got "
            f"{array.shape}"
        )
    if not (np.isfinite(array) & (array >= 0)).all() or not array.any():
        raise ValueError(
            f"{owner} expects every weight to be finite and at least 0, and one above 0, got "
            f"{array.tolist()}"
        )
    return array
