"""Losses of a yes-or-no prediction."""

import warnings
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from minifw._tools.arrays import HALF, LONG, MINUS_ONE, ONE, ones
from minifw.core.layer import Layer
from minifw.core.loss import Joins, Loss, check_probabilities
from minifw.errors import SaturationWarning
from minifw.layers import Sigmoid
from minifw.typing import Array, Formulas

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

    With the weight a of the positive class, the loss of one element is
    -a t log s(z) - (1 - t) log(1 - s(z)). Let f = 1 + (a - 1) t, and w = 1 - t
    for positive z and -a t for negative; then L = w z + f log(1 + e) and
    dL/dz = w - sign(z) f e / (1 + e).

    Parameters
    ----------
    pos_weight : float or array, optional
        What a positive target counts, relative to a negative one: finite and at
        least 0; an array broadcasts against one example. As in PyTorch.

    Raises
    ------
    ValueError
        If the shapes differ, a target is outside [0, 1], or the weights are no
        weights.
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

    formulas: ClassVar[Formulas] = {
        "L": (
            "-mean({pos_weight} * {t} * log s + (1 - {t}) * log(1 - s)), s = sigmoid({p})",
            "-mean({t} * log sigmoid({p}) + (1 - {t}) * log(1 - sigmoid({p})))",
        ),
        "dp": (
            "((1 - {t}) * s - {pos_weight} * {t} * (1 - s)) / {n}, s = sigmoid({p})",
            "(sigmoid({p}) - {t}) / {n}",
        ),
    }

    applies: ClassVar[tuple[type[Layer], ...]] = (Sigmoid,)
    midpoint: ClassVar[float] = 0.0

    _saved_targets: "Targets | None" = None  # the latest

    def __init__(self, pos_weight: npt.ArrayLike | None = None) -> None:
        self.pos_weight = None if pos_weight is None else _positive_weight(pos_weight)

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> float:
        """Return the mean of w z + log(1 + e), in nats."""
        self.check(prediction, target)
        if sample_weight is not None or self.pos_weight is not None:
            return self._weighted_forward(prediction, target, sample_weight)
        z, t = prediction, self._looked_at(target)
        dtype = z.dtype
        w = np.copysign(HALF[dtype], z)  # all arrays here have the shape of z
        w -= t.centre
        if t.rest is not None:
            w -= t.rest
        e = np.copysign(z, MINUS_ONE[dtype])  # -|z|
        np.exp(e, e)
        if z.size < LONG:
            total = float(w.ravel().dot(z.ravel()) + np.log1p(e).ravel().dot(t.ones))
        else:  # in float64: many float32 numbers add up to fewer digits than they have
            total = float(np.sum(w * z, dtype=np.float64) + np.sum(np.log1p(e), dtype=np.float64))
        value = self.finite(total / z.size)
        self.save(z, w, e, t.scale)
        return value

    def backward(self) -> Array:
        """Return (w - sign(z) e / (1 + e)) / n."""
        z, w, e, scale, *factor = self.saved()
        dz = e + ONE[z.dtype]
        np.divide(e, dz, dz)  # s(-|z|)
        if factor:
            dz *= factor[0]
        np.copysign(dz, z, dz)
        np.subtract(w, dz, dz)
        dz *= scale
        return dz

    def _looked_at(self, target: Array) -> "Targets":
        """Return what a step needs of the targets; of the same ones, as of a full batch, again."""
        t = self._saved_targets
        if t is None or target.tobytes() != t.content or target.shape != t.centre.shape:
            t = self._saved_targets = Targets(self, target)
        return t

    def _weighted_forward(
        self, prediction: Array, target: Array, sample_weight: Array | None
    ) -> float:
        """Return the mean of w z + f log(1 + e) with the weights that there are."""
        _check_target(self, target)
        z, t, a = prediction, target, self._factor(prediction)
        scale = self.shares(z, sample_weight)
        e = np.exp(-np.abs(z))  # all arrays here have the shape of z
        with np.errstate(over="ignore", invalid="ignore"):  # `finite` will say it
            f = 1 + (a - 1) * t
            w = np.where(np.signbit(z), -a * t, 1 - t)
            value = self.finite(float(np.sum((w * z + f * np.log1p(e)) * scale, dtype=np.float64)))
        self.save(z, w, e, scale, f)
        return value

    def _factor(self, prediction: Array) -> Array:
        """Return pos_weight, or 1, in the dtype of the prediction."""
        if self.pos_weight is None:
            return ONE[prediction.dtype]
        try:
            np.broadcast_to(self.pos_weight, prediction.shape[1:])
        except ValueError:
            raise ValueError(
                f"{self!r} expects examples that its pos_weight of shape "
                f"{self.pos_weight.shape} broadcasts against, got {prediction.shape[1:]}"
            ) from None
        return self.pos_weight.astype(prediction.dtype)


class Targets:
    """Targets that were checked, and what every step needs of them."""

    def __init__(self, loss: Loss, target: Array) -> None:
        _check_target(loss, target)
        half, size, dtype = HALF[target.dtype], target.size, target.dtype
        self.content = target.tobytes()
        self.centre = target - half  # t - 1/2, rounded where t is below 1/4
        rest = target - (self.centre + half)  # what was rounded off, exactly
        self.rest = rest if rest.any() else None
        self.scale = np.array(1 / size, dtype)
        self.ones = ones(size if size < LONG else 0, dtype)


class BCELoss(Loss):
    """Binary cross-entropy of a probability p: the notes' cost J.

        L = -mean(t log p + (1 - t) log(1 - p)),    dL/dp = (p - t) / (p (1 - p)) / n.

    Within an `Objective` it is joined with a final `Sigmoid` into
    `BCEWithLogitsLoss`. Apart, p is taken as no less than the smallest normal
    number and 1 - p as no less than half the machine epsilon, which is the
    spacing below 1, so that loss and gradient stay finite. Where the target
    contradicts a p so near to 0 or 1, the sigmoid before it lets no gradient
    through, or little of it, and a warning says so.

    Raises
    ------
    ValueError
        If the shapes differ, a prediction or target is outside [0, 1], or the
        weights of the examples are no weights.

    Warns
    -----
    SaturationWarning
        If a prediction that has rounded to 0 or 1 contradicts its target.

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

    formulas: ClassVar[Formulas] = {
        "L": "-mean({t} * log {p} + (1 - {t}) * log(1 - {p}))",
        "dp": "({p} - {t}) / ({p} * (1 - {p})) / {n}",
    }

    joins: ClassVar[Joins] = {Sigmoid: lambda _loss, _sigmoid: BCEWithLogitsLoss()}

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> float:
        """Return -mean(t log p + (1 - t) log(1 - p)), in nats."""
        self.check(prediction, target)
        _check_target(self, target)
        fix = "end the model in Sigmoid(), or use BCEWithLogitsLoss"
        check_probabilities(self, "prediction", prediction, fix)
        share = self.shares(prediction, sample_weight)
        limits = np.finfo(prediction.dtype)
        p = np.maximum(prediction, limits.tiny)  # all have the shape of prediction
        q = np.maximum(1 - prediction, limits.epsneg)  # 1 - p
        low, high = prediction < limits.tiny, prediction == 1
        hidden = int(np.sum(low & (target > 0) | high & (target < 1)))
        if hidden:
            warnings.warn(
                f"BCELoss: {hidden} of {target.size} predictions have rounded to 0 or 1 against "
                "their target, and their sigmoid hides the gradient; use Objective(model, "
                "BCELoss()) or BCEWithLogitsLoss on the logits",
                SaturationWarning,
                stacklevel=2,
            )
        # log(1 - p) by log1p, which keeps the digits of a small p
        log_q = np.log1p(-np.minimum(prediction, 1 - limits.epsneg))
        logs = target * np.log(p) + (1 - target) * log_q
        if sample_weight is None:
            value = self.finite(0.0 - float(np.mean(logs)))
        else:
            value = self.finite(0.0 - float(np.sum(logs * share, dtype=np.float64)))
        self.save(p, q, target, share)
        return value

    def backward(self) -> Array:
        """Return ((1 - t) / (1 - p) - t / p) / n."""
        p, q, target, share = self.saved()
        return ((1 - target) / q - target / p) * share


def _positive_weight(weight: npt.ArrayLike) -> Array:
    """Return a copy in float64, or raise unless it holds numbers that can be weights."""
    try:
        array = np.array(weight, np.float64)
    except (TypeError, ValueError):
        raise TypeError(
            f"BCEWithLogitsLoss expects pos_weight to hold numbers, got {weight!r}"
        ) from None
    if not (np.isfinite(array) & (array >= 0)).all():
        raise ValueError(
            f"BCEWithLogitsLoss expects pos_weight to be finite and at least 0, got "
            f"{array.tolist()}"
        )
    return array


def _check_target(loss: Loss, target: Array) -> None:
    """Raise unless every target is in [0, 1]; a NaN is not."""
    if not (target.min() >= 0 and target.max() <= 1):
        worst = np.abs(target - 0.5).argmax()  # of a NaN, if there is one
        raise ValueError(
            f"{loss!r} expects every target to be in [0, 1], got {target.item(worst)}"
        )
