"""Losses of a yes-or-no prediction."""

import warnings
from typing import ClassVar

import numpy as np

from minifw._core.arrays import HALF, MINUS_ONE, ONE, ones
from minifw._core.errors import SaturationWarning
from minifw._core.typing import Array
from minifw.layers import Sigmoid
from minifw.losses._loss import Joins, Loss

__all__ = ["BCELoss", "BCEWithLogitsLoss"]


class BCEWithLogitsLoss(Loss):
    """Binary cross-entropy of a logit z, the input of a sigmoid: exact for every z.

    The loss of one element is -t log s(z) - (1 - t) log(1 - s(z)), s being the
    sigmoid and t the target in [0, 1]. With e = exp(-|z|) and

        w = sign(z)/2 - (t - 1/2),

    which is 0 where the sign of z is right and 1 or -1 where it is wrong,

        L = w z + log(1 + e),
        dL/dz = s(z) - t = w - sign(z) e / (1 + e).

    No exponential overflows, no logarithm meets 0, and no sum cancels: label 0
    with logit 1000 costs 1000 and has the gradient 1, label 1 costs e and has
    the gradient -e. One exponential serves both.

    Raises
    ------
    ValueError
        If the shapes differ or a target is outside [0, 1].
    NonFiniteError
        If the loss is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import BCEWithLogitsLoss
    >>> loss = BCEWithLogitsLoss()
    >>> loss.forward(np.array([[1000.0]]), np.array([[0.0]])), loss.backward()
    (1000.0, array([[1.]]))
    """

    _content: bytes | None = None  # of the latest target
    _centre: Array = ONE[np.dtype(np.float64)]

    def forward(self, prediction: Array, target: Array) -> float:
        """Return the mean of w z + log(1 + e), in nats."""
        self.check(prediction, target)
        z = prediction
        w = np.copysign(HALF[z.dtype], z)  # all arrays here have the shape of z
        w -= self._centred(target)
        e = np.copysign(z, MINUS_ONE[z.dtype])  # -|z|
        np.exp(e, out=e)
        self.save(z, w, e)
        n = z.size
        total = w.ravel().dot(z.ravel()) + np.log1p(e).ravel().dot(ones(n, z.dtype))
        return self.finite(float(total) / n)

    def backward(self) -> Array:
        """Return (w - sign(z) e / (1 + e)) / n."""
        z, w, e = self.saved()
        dz = e + ONE[z.dtype]
        np.divide(e, dz, out=dz)  # s(-|z|)
        np.copysign(dz, z, out=dz)
        np.subtract(w, dz, out=dz)
        dz /= z.size
        return dz

    def _centred(self, target: Array) -> Array:
        """Return t - 1/2, checked; for the same targets again, as of a full batch, do it once."""
        content = target.tobytes()
        if content != self._content or self._centre.shape != target.shape:
            centre = target - HALF[target.dtype]
            _check_target(self, centre)
            self._content, self._centre = content, centre
        return self._centre


class BCELoss(Loss):
    """Binary cross-entropy of a probability p: the notes' cost J.

        L = -mean(t log p + (1 - t) log(1 - p)),    dL/dp = (p - t) / (p (1 - p)) / n.

    Within an `Objective` it is joined with a final `Sigmoid` into
    `BCEWithLogitsLoss`. Apart, a p that is 0 or 1 is taken as the number next
    to it that has a logarithm and a finite derivative (p as the smallest normal
    number, 1 - p as half the machine epsilon, which is the spacing below 1), so
    that loss and gradient stay finite. Where such a p is wrong, the sigmoid
    before it passes no gradient on, and a warning says so.

    Raises
    ------
    ValueError
        If the shapes differ, or a prediction or target is outside [0, 1].

    Warns
    -----
    SaturationWarning
        If a prediction of 0 or 1 contradicts its target.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import BCELoss
    >>> loss = BCELoss()
    >>> round(loss.forward(np.array([[0.5], [0.9]]), np.array([[0.0], [1.0]])), 6)
    0.399254
    >>> loss.backward()
    array([[ 1.        ],
           [-0.55555556]])
    """

    joins: ClassVar[Joins] = {Sigmoid: lambda _loss, _sigmoid: BCEWithLogitsLoss()}

    def forward(self, prediction: Array, target: Array) -> float:
        """Return -mean(t log p + (1 - t) log(1 - p)), in nats."""
        self.check(prediction, target)
        _check_target(self, target - 0.5)
        _check_probability(self, prediction)
        limits = np.finfo(prediction.dtype)
        p = np.maximum(prediction, limits.tiny)  # all have the shape of prediction
        q = np.maximum(1 - prediction, limits.epsneg)  # 1 - p
        self.save(p, q, target)
        hidden = int(np.sum((prediction == 0) & (target > 0) | (prediction == 1) & (target < 1)))
        if hidden:
            warnings.warn(
                f"BCELoss: {hidden} of {target.size} predictions have rounded to 0 or 1 against "
                "their target, and their sigmoid passes no gradient on; use Objective(model, "
                "BCELoss()) or BCEWithLogitsLoss on the logits",
                SaturationWarning,
                stacklevel=2,
            )
        # log(1 - p) by log1p, which keeps the digits of a small p
        log_q = np.log1p(-np.minimum(prediction, 1 - limits.epsneg))
        return self.finite(-float(np.mean(target * np.log(p) + (1 - target) * log_q)))

    def backward(self) -> Array:
        """Return ((1 - t) / (1 - p) - t / p) / n."""
        p, q, target = self.saved()
        return ((1 - target) / q - target / p) / target.size


def _check_target(loss: Loss, c: Array) -> None:
    """Raise unless every target t = c + 1/2 is in [0, 1]; a NaN is not."""
    distance = np.abs(c)
    worst = distance.argmax()  # of a NaN, if there is one; quicker than max
    if not distance.item(worst) <= 0.5:
        raise ValueError(
            f"{loss!r} expects every target to be in [0, 1], got {c.item(worst) + 0.5}"
        )


def _check_probability(loss: Loss, p: Array) -> None:
    if not (p.min() >= 0 and p.max() <= 1):
        worst = np.abs(p - 0.5).argmax()
        raise ValueError(
            f"{loss!r} expects every prediction to be a probability in [0, 1], got "
            f"{p.item(worst)}; end the model in Sigmoid(), or use BCEWithLogitsLoss"
        )
