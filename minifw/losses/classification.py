"""Losses of a choice among classes; each takes another form of the prediction.

All three are the cross-entropy -sum(q log p), where p is what the model says of
each class and q what is true. They differ in what the prediction is: logits,
probabilities p, or log p. What they share stands first: targets and class weights.
"""

import math
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from minifw._tools.arrays import ONE, ZERO, constant, count_up, equal_shares, flush, reduce_rows
from minifw._tools.checks import (
    check_alike,
    check_array,
    check_class_weight,
    check_plain,
    describe,
)
from minifw._tools.numbers import check_fraction
from minifw._tools.options import LiveOption
from minifw._tools.values import check_labels, check_probabilities
from minifw._tools.warn import warn_user
from minifw.core.layer import Layer
from minifw.core.loss import Joins, Loss
from minifw.errors import SaturationWarning
from minifw.layers import LogSoftmax, Softmax
from minifw.losses._values import check_distribution, check_log_probabilities
from minifw.typing import Array, Formulas, Labels, Target

__all__ = ["CategoricalCrossEntropyLoss", "CrossEntropyLoss", "NLLLoss"]


class _OfClasses(Loss):
    """A cross-entropy: its targets are labels or probabilities q, its mean is over the rows."""

    takes_labels: ClassVar[bool] = True
    takes_probabilities: ClassVar[bool] = True  # as targets
    _case_axes: ClassVar[int] = 1

    weight = LiveOption(check_class_weight)
    _label_smoothing: float = 0.0  # of a loss without the option
    _made_of: Loss | None = None  # of a joint form

    def check(self, prediction: Array, target: Target) -> None:
        """Raise unless the prediction has classes, and the target is labels of them, or q."""
        check_array(self, "prediction", prediction)
        if prediction.ndim < 2 or prediction.shape[-1] < 2:
            fix = "; of one column, use BCEWithLogitsLoss or BCELoss"
            raise ValueError(
                f"{self!r} expects a prediction of shape (batch, classes), of two classes or "
                f"more, got {prediction.shape}{fix if prediction.ndim > 1 else ''}"
            )
        self._check_kind(prediction, target)
        weight = self.weight
        if weight is not None and weight.size != prediction.shape[-1]:
            raise ValueError(
                f"{self!r} expects {weight.size} classes, as many as it has weights, got a "
                f"prediction of shape {prediction.shape}"
            )
        self.check_target(np.asarray(prediction), np.asarray(target))

    def _check_kind(self, prediction: Array, target: Target) -> None:
        check_plain(self, "target", target)
        soft, shape = self.takes_probabilities, prediction.shape[:-1]
        kind = target.dtype.kind if isinstance(target, np.ndarray) else None
        if kind in ("i", "u") and target.shape == shape:
            return
        if soft and kind == "f" and target.shape == prediction.shape:
            check_alike(self, prediction, target)
            return
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
            f"{self!r} expects target to hold labels, whole numbers of shape {shape}{or_soft}, "
            f"got {describe(target)}{fix}"
        )

    def check_target(self, prediction: Array, target: Target) -> None:
        """Raise unless labels are classes and not all of weight 0, and q add up to 1."""
        if not _are_labels(target):
            check_distribution(self, target)
            return
        check_labels(self, target, prediction.shape[-1])
        if self.weight is not None and not self.weight[target].any():
            raise ValueError(f"{self!r}: the weight of every label in this batch is 0")

    def total_weight(self, target: Target, sample_weight: Array | None = None) -> float:
        """Return the sum of the class weights of the labels, times those of their examples."""
        weight, total = self.weight, super().total_weight(target, sample_weight)
        if not (_are_labels(target) and target.size) or (weight is None and sample_weight is None):
            return total
        check_labels(self, target, math.inf if weight is None else weight.size)
        shape = target.shape[:1] if sample_weight is None else np.shape(sample_weight)
        if weight is None or shape != target.shape[: len(shape)]:  # `forward` is next, and says it
            return total
        counts = weight[target].reshape(math.prod(shape), -1).mean(axis=1)
        return float(
            counts.sum() if sample_weight is None else counts.dot(np.ravel(sample_weight))
        )

    def _row_shares(
        self, prediction: Array, target: Target, sample_weight: Array | None, *, one_hot: bool
    ) -> Array:
        """Return the share of each row in the mean, (rows,); without axes if all have 1 / rows.

        Where q is `one_hot`, the class weight of the label belongs to it, else to q.
        """
        classes, dtype = prediction.shape[-1], prediction.dtype
        rows = prediction.size // classes
        weighted = self.weight is not None and _are_labels(target)
        if sample_weight is not None:
            of_rows = self.shares(prediction, sample_weight).ravel() * classes
            share = np.repeat(of_rows, rows // of_rows.size)
        else:
            share = equal_shares(rows, dtype) if weighted else constant(1 / rows, dtype)
        if not weighted:
            return share
        # Read from an array that comes of the prediction: a recording would not see it else.
        known = np.zeros_like(prediction[(0,) * (prediction.ndim - 1)], dtype=np.float64)
        counts = (known + self._scaled_weight())[target.ravel()] * share
        total = np.add.reduce(counts)
        if sample_weight is not None and not total > 0:
            raise ValueError(f"{self!r}: the weight of every label in this batch is 0")
        share = (counts if one_hot else share) / total
        rounded: Array = np.positive(share, dtype=dtype, casting="same_kind")
        return rounded

    def _scaled_weight(self) -> Array:
        """Return the class weights divided by the largest: no product or sum overflows."""
        scaled: Array = self.weight / self.weight.max()
        return scaled

    def _shares_of_classes(self, prediction: Array, target: Target, smoothing: float) -> Array:
        """Return q, (rows, classes): smoothed, and times the weight of each class."""
        classes, dtype = prediction.shape[-1], prediction.dtype
        weight, sharp = self.weight, constant(1 - smoothing, dtype)
        if _are_labels(target):
            hot = np.equal(count_up(classes), target.reshape(-1, 1))
            q: Array = hot * sharp
        else:
            q = target.reshape(-1, classes) * sharp
        if smoothing:
            q += smoothing / classes
        if weight is not None:
            q *= self._scaled_weight() if _are_labels(target) else weight
        return q


class CrossEntropyLoss(_OfClasses):
    """Cross-entropy of logits, the inputs of a softmax: exact for every logit.

    For the logits z of one example, p = softmax(z) and the true probabilities q,

        L = -sum_c q_c log p_c,    dL/dz_c = p_c - q_c,

    the mean of which over the examples is returned, in nats. Let m be the
    largest logit, e_c = exp(z_c - m), k the label or, where other q_c are above 0,
    the class of m, and r the sum of e_c over all but k. Then
    log p_c = z_c - m - log(e_k + r), and

        L = sum_c q_c (m - z_c) + log(1 + (r + (e_k - 1))),
        dL/dz_c = e_c / (e_k + r) - q_c, and of k itself
        dL/dz_k = (sum_{c != k} q_c e_k - q_k r) / (e_k + r).

    Where k has the largest logit, e_k - 1 is 0 and all digits of a small r count;
    where a label has another, a small log(e_k + r) is added to a large m - z_k.

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
        If a label is not a class, a target is not a distribution, the shapes do not
        fit, the weights are wrong, or all 0 in the batch.
    TypeError
        If a dtype does not fit.
    NonFiniteError
        If the loss is not finite.

    Notes
    -----
    In the gradient, a difference from 0 or 1 below 2^-500 (2^-100 in float32) that a
    logit makes counts as none: see the documentation, "Numbers".

    The prediction is (batch, classes), or (batch, time, classes) and so on: the
    classes are the last axis, where PyTorch has them in the second. The target
    holds whole numbers, one label for each row of logits, or probabilities in
    the shape of the prediction that add up to 1. A logit of -inf rules a class
    out. With weights of the examples, each label has the weight of its example; weights
    may also be of each label, (batch, time): 0 where there is padding.

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
    replayable: ClassVar[bool] = True

    label_smoothing = LiveOption(check_fraction)

    def __init__(self, weight: npt.ArrayLike | None = None, label_smoothing: float = 0.0) -> None:
        self.weight = weight
        self.label_smoothing = label_smoothing

    def forward(
        self, prediction: Array, target: Target, sample_weight: Array | None = None
    ) -> float:
        """Return the mean of sum_c q_c (m - z_c) + log(e_k + r)."""
        self.check(prediction, target)
        one_hot = _are_labels(target) and not self.label_smoothing
        share = self._row_shares(prediction, target, sample_weight, one_hot=one_hot)
        z = prediction.reshape(-1, prediction.shape[-1])  # (rows, classes)
        rows, m = count_up(len(z)), reduce_rows(np.maximum, z)  # (rows,), as all without a comment
        with np.errstate(over="ignore", invalid="ignore"):  # `mean` will say it
            order: Any = "K" if one_hot else "C"  # of q
            e = np.subtract(z, m[:, np.newaxis], order=order)  # (rows, classes)
            k = target.ravel() if one_hot else np.argmax(e, axis=1)
            np.exp(e, e)
            e_k = e[rows, k]
            e[rows, k] = 0
            r = reduce_rows(np.add, e)
            logs = np.log1p(r + (e_k - 1), dtype=np.float64)
            if one_hot:
                q: Any = ZERO[z.dtype]  # besides q_k
                q_k, others = ONE[z.dtype], q
                gaps = np.subtract(m, z[rows, k], dtype=np.float64)
            else:
                q = self._shares_of_classes(prediction, target, self.label_smoothing)
                gap = np.subtract(m[:, np.newaxis], z, dtype=np.float64)  # (rows, classes)
                # Only where q is not 0, for 0 times an infinite gap would be NaN.
                gaps = np.add.reduce(q * np.where(q != 0, gap, 0), 1)
                q_k = q[rows, k]
                q[rows, k] = 0
                others = np.add.reduce(q, 1)
                logs *= others + q_k
            if share.ndim:
                gaps = np.where(share != 0, gaps, 0)
            value = self.mean(gaps + logs, share)
        self.save(prediction, e, r, k, e_k, q, q_k, others, share)
        return value

    def backward(self) -> Array:
        """Return p - q."""
        prediction, e, r, k, e_k, q, q_k, others, share = self.saved()
        total = r + e_k  # (rows,), as all without a comment
        rest = r / total  # 1 - p_k
        flush(rest)
        scale = (others + q_k) * share / total
        dz: Array = e * scale[:, np.newaxis]  # (rows, classes)
        flush(dz)
        if q.ndim:
            dz -= q * share.reshape(-1, 1)
        dz[count_up(len(e)), k] = (others * e_k / total - q_k * rest) * share
        return dz.reshape(prediction.shape)


def _joint_form(loss: Any, activation: Softmax | LogSoftmax) -> Loss | None:
    """Return the joint form if the activation runs along the classes, the last axis."""
    if activation.axis != -1:
        return None
    joint = CrossEntropyLoss()
    joint._made_of, joint._arguments = loss, loss._arguments
    return joint


class NLLLoss(_OfClasses):
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
        If a label is not a class, a prediction is above 0, the shapes do not fit,
        the weights are wrong, or all 0 in the batch.
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

    formulas: ClassVar[Formulas] = {
        "L": (
            "-sum(q * {p}), q the shares of {t} with {weight}",
            "-sum(q * {p}) / {m}, q the shares of {t}",
        ),
        "dp": ("-q, with {weight}", "-q / {m}"),
    }

    takes_probabilities: ClassVar[bool] = False
    joins: ClassVar[Joins] = {LogSoftmax: _joint_form}

    def __init__(self, weight: npt.ArrayLike | None = None) -> None:
        self.weight = weight

    def forward(
        self, prediction: Array, target: Labels, sample_weight: Array | None = None
    ) -> float:
        """Return the mean of -log p_y."""
        self.check(prediction, target)
        share = self._row_shares(prediction, target, sample_weight, one_hot=True)
        self.finite(check_log_probabilities(self, prediction))  # of a NaN
        log_p = prediction.reshape(-1, prediction.shape[-1])  # (rows, classes)
        costs = np.subtract(0, log_p[count_up(len(log_p)), target.ravel()], dtype=np.float64)
        if share.ndim:
            costs = np.where(share != 0, costs, 0)  # for 0 times infinity would be NaN
        value = self.mean(costs, share)
        self.save(prediction, target, share)
        return value

    def backward(self) -> Array:
        """Return -q."""
        prediction, target, share = self.saved()
        dp: Array = np.zeros((target.size, prediction.shape[-1]), prediction.dtype)
        dp[count_up(target.size), target.ravel()] = -share
        return dp.reshape(prediction.shape)


class CategoricalCrossEntropyLoss(_OfClasses):
    """Cross-entropy of probabilities, the outputs of a softmax.

    For the probabilities p of one example and the true ones q,

        L = -sum_c q_c log p_c,    dL/dp_c = -q_c / p_c,

    the mean of which over the examples is returned, in nats. Within an
    `Objective` it is joined with a final `Softmax` into `CrossEntropyLoss`,
    whose arguments, targets and weights it has. Apart, p is taken as no less
    than the smallest normal number, so loss and gradient stay finite; the
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
        If a label is not a class, a prediction is outside [0, 1], a target is not a distribution,
        the shapes do not fit, the weights are wrong, or all 0 in the batch.
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

    formulas: ClassVar[Formulas] = {
        "L": (
            "-sum(q * log {p}), q the shares of {t} with {weight}",
            "-sum(q * log {p}) / {m}, q the shares of {t}",
        ),
        "dp": ("-q / {p}, with {weight}", "-q / {p} / {m}"),
    }

    joins: ClassVar[Joins] = {Softmax: _joint_form}

    label_smoothing = LiveOption(check_fraction)

    def __init__(self, weight: npt.ArrayLike | None = None, label_smoothing: float = 0.0) -> None:
        self.weight = weight
        self.label_smoothing = label_smoothing

    def forward(
        self, prediction: Array, target: Target, sample_weight: Array | None = None
    ) -> float:
        """Return the mean of -sum_c q_c log p_c."""
        self.check(prediction, target)
        share = self._row_shares(prediction, target, sample_weight, one_hot=False)
        q = self._shares_of_classes(prediction, target, self.label_smoothing)  # (rows, classes)
        fix = "end the model in Softmax(), or use CrossEntropyLoss"
        check_probabilities(self, "prediction to be a probability", prediction, fix)
        tiny = np.finfo(prediction.dtype).tiny
        p = np.maximum(prediction, tiny).reshape(q.shape)
        hidden = int(np.sum((prediction.reshape(q.shape) < tiny) & (q * share.reshape(-1, 1) > 0)))
        if hidden:
            warn_user(
                f"CategoricalCrossEntropyLoss: {hidden} of {prediction.size} predictions have "
                "rounded to 0 against their target, and their softmax hides the gradient; use "
                "Objective(model, CategoricalCrossEntropyLoss()) or CrossEntropyLoss on the "
                "logits",
                SaturationWarning,
            )
        costs = 0 - np.sum(np.multiply(q, np.log(p), dtype=np.float64), axis=1)
        value = self.mean(costs, share)
        self.save(prediction, q * share.reshape(-1, 1), p)
        return value

    def backward(self) -> Array:
        """Return -q / p."""
        prediction, q, p = self.saved()
        return (0.0 - q / p).reshape(prediction.shape)


# -- the values of targets -----------------------------------------------------------------


def _are_labels(target: Target) -> bool:
    return target.dtype.kind in "iu"
