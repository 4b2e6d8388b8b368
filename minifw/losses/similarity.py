"""Losses of the angle or the distance between vectors, the rows of predictions."""

from typing import ClassVar

import numpy as np

from minifw._tools.numbers import check_non_negative
from minifw._tools.options import Option
from minifw.core.loss import Loss
from minifw.typing import Array, Formulas, Target

__all__ = ["CosineLoss", "TripletLoss"]


def _of_length_1(x: Array) -> tuple[Array, Array]:
    """Return each row divided by its length, and the lengths, (batch, 1).

    A row is divided by its largest number first, so no square overflows or becomes 0. If
    that is not a normal number, all are 0.
    """
    tiny = np.finfo(x.dtype).tiny
    size = np.maximum.reduce(np.abs(x), -1, keepdims=True)  # (batch, 1)
    scaled = np.where(size < tiny, 0, x / np.maximum(size, tiny))  # the shape of x
    norm = np.sqrt(np.add.reduce(scaled * scaled, -1, keepdims=True))  # (batch, 1)
    return scaled / np.maximum(norm, 1), size * norm


_OF_LENGTH_1 = ", u = {p} / sqrt(sums of ({p}^2)), v = {t} / sqrt(sums of ({t}^2))"


class CosineLoss(Loss):
    """1 less the cosine of the angle between prediction and target: lengths count nothing.

    With u and v, the rows p and t of length 1, the cosine is u'v, and for each row

        L = 1 - u'v = |u - v|^2 / 2,    dL/dp = (u'v u - v) / |p| = (u - v - L u) / |p|,

    the mean of which over the rows is returned, from 0 to 2. The second forms keep their digits
    where u is near v. A row is divided by its largest number first, so all lengths are
    right. A row of zeros has no angle: u'v counts as 0, L as 1, and the gradient is 0.

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
    A row is the last axis of (batch, features), or of (batch, time, features) and so on. It is
    PyTorch's ``CosineEmbeddingLoss`` with y = 1 except for its eps, which is not needed here, and
    Keras' ``CosineSimilarity`` plus 1. A row whose largest number is below the smallest
    normal one counts as zeros.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import CosineLoss
    >>> loss = CosineLoss()
    >>> loss.forward(np.array([[2.0, 0.0], [0.0, 1e200]]), np.array([[0.0, 1.0], [0.0, 1.0]]))
    0.5
    >>> loss.backward()
    array([[ 0.  , -0.25],
           [ 0.  ,  0.  ]])
    """

    replayable: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {
        "L": "mean(1 - sums of (u * v))" + _OF_LENGTH_1,
        "dp": "(u * sums of (u * v) - v) / sqrt(sums of ({p}^2)) / {m}" + _OF_LENGTH_1,
    }

    _case_axes: ClassVar[int] = 1

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> float:
        """Return the mean of |u - v|^2 / 2."""
        self.check(prediction, target)
        share = self.shares(prediction, sample_weight) * prediction.shape[-1]
        with np.errstate(over="ignore", invalid="ignore"):
            u, length = _of_length_1(prediction)  # the shape of prediction; (batch, 1)
            v, other = _of_length_1(target)
            gap = u - v  # the shape of prediction
            costs = np.add.reduce(np.square(gap, dtype=np.float64), -1, keepdims=True) / 2
            costs += 0.5 * (length == 0) + 0.5 * (other == 0)  # (batch, 1)
        value = self.mean(costs, share)
        self.save(u, gap, costs, length, share)
        return value

    def backward(self) -> Array:
        """Return (u - v - L u) / |p|."""
        u, gap, costs, length, share = self.saved()
        none = length == 0  # (batch, 1)
        scale = np.where(none, 0, share / (length + none))  # (batch, 1)
        gradient: Array = (gap - costs.astype(u.dtype) * u) * scale  # the shape of prediction
        return gradient


class TripletLoss(Loss):
    """An anchor a is to be nearer to p, which is like it, than to n, which is not, by a margin.

    Prediction is the tuple (a, p, n), three outputs of a model; there is no target. Of each row,

        L = max(|a - p| - |a - n| + margin, 0),

    the mean of which over the rows is returned. Let u and v be a - p and a - n, divided by their
    lengths; the gradient of a row with L > 0 is u - v for a, -u for p and v for n, and 0 for
    a row that keeps the margin. Where a distance is 0, so is its gradient.

    Parameters
    ----------
    margin : float, default 1.0
        Finite and at least 0.

    Raises
    ------
    ValueError
        If the prediction is not three outputs of one shape, or the weights are no weights.
    TypeError
        If the dtypes differ.
    NonFiniteError
        If the loss is not finite.

    Notes
    -----
    As PyTorch's ``TripletMarginLoss`` with p = 2, without swap. PyTorch adds eps = 1e-6 to
    each difference against the distance 0, which is not needed here. Differences are divided
    by their largest number before they are squared, so all distances are right.

    References
    ----------
    Balntas, Riba, Ponsa and Mikolajczyk, "Learning Local Feature Descriptors with Triplets and
    Shallow Convolutional Neural Networks", 2016, equation 4.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import TripletLoss
    >>> loss = TripletLoss()
    >>> a, p, n = np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]]), np.array([[0.0, 2.0]])
    >>> loss.forward((a, p, n)), loss.backward()
    (4.0, (array([[-0.6,  0.2]]), array([[0.6, 0.8]]), array([[ 0., -1.]])))
    """

    takes_several: ClassVar[bool] = True
    takes_target: ClassVar[bool] = False
    _case_axes: ClassVar[int] = 1

    margin = Option(check_non_negative)

    def __init__(self, margin: float = 1.0) -> None:
        self.margin = margin

    def forward(
        self,
        prediction: tuple[Array, ...],
        target: Target | tuple[Target | None, ...] | None = None,  # noqa: ARG002
        sample_weight: Array | None = None,
    ) -> float:
        """Return the mean of max(|a - p| - |a - n| + margin, 0)."""
        if not isinstance(prediction, tuple) or len(prediction) != 3:
            raise ValueError(
                f"{self!r} expects a tuple of three arrays: anchor, positive, negative"
            )
        a, p, n = prediction
        self.check(a, p)
        self.check(a, n)
        share = self.shares(a, sample_weight) * a.shape[-1]
        with np.errstate(over="ignore", invalid="ignore"):
            u, near = _of_length_1(a - p)  # the shape of a; (batch, 1)
            v, far = _of_length_1(a - n)
            lack = near - far + self.margin  # (batch, 1)
            value = self.mean(np.maximum(lack, 0, dtype=np.float64), share)
        self.save(u, v, lack, share)
        return value

    def backward(self) -> tuple[Array, ...]:
        """Return u - v, -u and v of the rows that lack some of the margin."""
        u, v, lack, share = self.saved()
        scale = np.where(lack > 0, share, 0)  # (batch, 1)
        return (u - v) * scale, u * -scale, v * scale
