"""Losses of a yes-or-no prediction."""

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from minifw._tools.arrays import HALF, LONG, MINUS_ONE, ONE, flush
from minifw._tools.checks import check_positive_weight
from minifw._tools.numbers import check_fraction, check_non_negative
from minifw._tools.options import Option
from minifw._tools.values import check_probabilities
from minifw._tools.warn import warn_user
from minifw.core.layer import Layer
from minifw.core.loss import Joins, Loss
from minifw.errors import SaturationWarning
from minifw.layers import Sigmoid
from minifw.losses._values import check_yes_or_no
from minifw.typing import Array, Formulas

__all__ = ["BCELoss", "BCEWithLogitsLoss", "FocalLoss"]


class BCEWithLogitsLoss(Loss):
    """Binary cross-entropy of a logit z, the input of a sigmoid: exact for every z.

    The loss of one element is -t log s(z) - (1 - t) log(1 - s(z)), s being the
    sigmoid and t the target in [0, 1]. With e = exp(-|z|) and

        w = 1 - t where z is positive, -t where it is negative,

    which is 0 where the sign of z is right and 1 or -1 where it is wrong,

        L = w z + log(1 + e),
        dL/dz = s(z) - t = w - sign(z) e / (1 + e).

    No exponential overflows, no logarithm meets 0, and no sum cancels: label 0
    with logit 1000 costs 1000 and has the gradient 1, label 1 costs e and has
    the gradient -e. One exponential serves both.

    With the weight a of the positive class, the loss of one element is
    -a t log s(z) - (1 - t) log(1 - s(z)). Let f = 1 + (a - 1) t, and w = -a t where
    z is negative; then L = w z + f log(1 + e) and dL/dz = w - sign(z) f e / (1 + e).

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

    Notes
    -----
    In the gradient, a sigmoid within 2^-500 of 0 or 1 (2^-100 in float32) counts as
    0 or 1. Smaller numbers move no parameter, and make the layers below many times
    slower: see the documentation, "Numbers".

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
    replayable: ClassVar[bool] = True

    pos_weight: "Option[Any]" = Option(check_positive_weight)

    _saved_target: Any = None  # dtype and bytes of the latest: a full batch comes again and again

    def __init__(self, pos_weight: npt.ArrayLike | None = None) -> None:
        self.pos_weight = pos_weight

    def check_target(self, prediction: Array, target: Array) -> None:  # noqa: ARG002
        """Raise unless every target is in [0, 1]."""
        if target.size >= LONG:  # a copy of it would cost more than a look at it
            check_probabilities(self, "target to be", target)
            return
        content = target.dtype, target.tobytes()
        if content != self._saved_target:
            check_probabilities(self, "target to be", target)
            vars(self)["_saved_target"] = content

    # All arrays in the two have the shape of z, except for a share that is the same for all.

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> float:
        """Return the mean of w z + f log(1 + e), in nats."""
        self.check(prediction, target)
        z, half, weight = prediction, HALF[prediction.dtype], self.pos_weight
        share = self.shares(z, sample_weight)
        w = np.copysign(half, z)
        w += half
        w -= target
        e = np.copysign(z, MINUS_ONE[z.dtype])  # -|z|
        np.exp(e, e)
        costs, factor = np.log1p(e), []
        if weight is not None:
            f, a = self._factors(weight.astype(z.dtype), z, target)
            w *= a
            costs *= f
            factor = [f]
        costs += w * z
        value = self.mean(costs, share)
        self.save(z, w, e, share, *factor)
        return value

    def backward(self) -> Array:
        """Return w - sign(z) f e / (1 + e), times the share in the mean."""
        z, w, e, share, *factor = self.saved()
        dz: Array = e + ONE[z.dtype]
        np.divide(e, dz, dz)  # s(-|z|)
        flush(dz)
        if factor:
            dz *= factor[0]
        np.copysign(dz, z, dz)
        np.subtract(w, dz, dz)
        dz *= share
        return dz

    def _factors(self, a: Array, z: Array, t: Array) -> tuple[Array, Array]:
        """Return f; and a where z is negative, 1 elsewhere."""
        try:
            np.broadcast_to(a, z.shape[1:])
        except ValueError:
            raise ValueError(
                f"{self!r} expects examples that its pos_weight of shape {a.shape} broadcasts "
                f"against, got {z.shape[1:]}"
            ) from None
        with np.errstate(over="ignore", invalid="ignore"):
            return 1 + (a - 1) * t, np.where(np.signbit(z), a, ONE[z.dtype])


class BCELoss(Loss):
    """Binary cross-entropy of a probability p: the notes' cost J.

        L = -mean(t log p + (1 - t) log(1 - p)),    dL/dp = (p - t) / (p (1 - p)) / n.

    Within an `Objective` it is joined with a final `Sigmoid` into
    `BCEWithLogitsLoss`. Apart, p is taken as no less than the smallest normal
    number and 1 - p as no less than half the machine epsilon, which is the
    spacing below 1, so loss and gradient stay finite. Where the target
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

    def check_target(self, prediction: Array, target: Array) -> None:  # noqa: ARG002
        """Raise unless every target is in [0, 1]."""
        check_probabilities(self, "target to be", target)

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> float:
        """Return -mean(t log p + (1 - t) log(1 - p)), in nats."""
        self.check(prediction, target)
        fix = "end the model in Sigmoid(), or use BCEWithLogitsLoss"
        check_probabilities(self, "prediction to be a probability", prediction, fix)
        share = self.shares(prediction, sample_weight)
        limits = np.finfo(prediction.dtype)
        p = np.maximum(prediction, limits.tiny)  # all have the shape of prediction
        q = np.maximum(1 - prediction, limits.epsneg)  # 1 - p
        low, high = prediction < limits.tiny, prediction == 1
        hidden = int(np.sum((low & (target > 0) | high & (target < 1)) & (share > 0)))
        if hidden:
            warn_user(
                f"BCELoss: {hidden} of {target.size} predictions have rounded to 0 or 1 against "
                "their target, and their sigmoid hides the gradient; use Objective(model, "
                "BCELoss()) or BCEWithLogitsLoss on the logits",
                SaturationWarning,
            )
        # log(1 - p) by log1p, which keeps the digits of a small p
        log_q = np.log1p(-np.minimum(prediction, 1 - limits.epsneg))
        logs = target * np.log(p) + (1 - target) * log_q
        value = self.mean(0.0 - logs, share)  # -logs would make a loss of 0 a -0.0
        self.save(p, q, target, share)
        return value

    def backward(self) -> Array:
        """Return ((1 - t) / (1 - p) - t / p) / n."""
        p, q, target, share = self.saved()
        return ((1 - target) / q - target / p) * share


_OF_LABEL = ", s = sigmoid((2 * {t} - 1) * {p}), a = {t} * {alpha} + (1 - {t}) * (1 - {alpha})"


class FocalLoss(Loss):
    """Binary cross-entropy of a logit z in which examples that are learned well count little.

    Let t be the label, 0 or 1, u = (2 t - 1) z, which is positive where the sign of z is
    right, p = s(u) the probability of the label, s being the sigmoid, and a the weight of
    the label, alpha of 1 and 1 - alpha of 0. With n elements,

        L = mean(a (1 - p)^gamma (-log p)),
        dL/dz = -(2 t - 1) a (1 - p)^gamma (gamma p (-log p) + 1 - p) / n,

    since dp/du = p (1 - p). With e = exp(-|u|), both p and 1 - p are 1 / (1 + e) or
    e / (1 + e), and -log p = max(-u, 0) + log(1 + e): nothing overflows or cancels, and a label
    that is wrong by the logit 1e4 costs a 1e4 and has the gradient a.

    Parameters
    ----------
    alpha : float, default 0.25
        The weight of the label 1, from 0 to 1; the label 0 has 1 - alpha.
    gamma : float, default 2.0
        How fast the weight of an example falls with 1 - p; finite and at least 0. With 0 and
        alpha = 0.5 the loss is half of `BCEWithLogitsLoss`.

    Raises
    ------
    ValueError
        If the shapes differ, a target is neither 0 nor 1, or the weights are no weights.
    TypeError
        If the dtypes differ.
    NonFiniteError
        If the loss is not finite.

    Notes
    -----
    Names and defaults are as in ``torchvision.ops.sigmoid_focal_loss``, which takes
    alpha = -1 for no weights, and targets between, and returns no mean by default. There is none
    of classes: labels as rows of 0 and 1 ask of each class yes or no, as in the paper.

    In the gradient, a size below 2^-500 (2^-100 in float32) counts as 0, as in
    `BCEWithLogitsLoss`.

    References
    ----------
    Lin, Goyal, Girshick, He and Dollar, "Focal Loss for Dense Object Detection", 2017,
    equation 5.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import FocalLoss
    >>> loss = FocalLoss()
    >>> loss.forward(np.array([[1e4], [1e4]]), np.array([[0.0], [1.0]])), loss.backward()
    (3750.0, array([[ 0.375],
           [-0.   ]]))
    """

    applies: ClassVar[tuple[type[Layer], ...]] = (Sigmoid,)
    midpoint: ClassVar[float] = 0.0
    replayable: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {
        "L": "-mean(a * (1 - s)^{gamma} * log s)" + _OF_LABEL,
        "dp": "(1 - 2 * {t}) * a * (1 - s)^{gamma} * (1 - s - {gamma} * s * log s) / {n}"
        + _OF_LABEL,
    }

    alpha = Option(check_fraction)
    gamma = Option(check_non_negative)

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0) -> None:
        self.alpha, self.gamma = alpha, gamma

    def check_target(self, prediction: Array, target: Array) -> None:  # noqa: ARG002
        """Raise unless every target is 0 or 1."""
        check_yes_or_no(self, target, 0)

    # All arrays in the two have the shape of z, except for a share that is the same for all.

    @np.errstate(invalid="ignore")  # of a cost that is infinite: `mean` will say it
    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> float:
        """Return the mean of a (1 - p)^gamma (-log p), in nats."""
        self.check(prediction, target)
        share = self.shares(prediction, sample_weight)
        sign = 2 * target - 1
        u = sign * prediction
        e, right = np.exp(-np.abs(u)), u > 0
        larger = 1 / (1 + e)
        p, rest = np.where(right, larger, e * larger), np.where(right, e * larger, larger)
        cost = np.maximum(-u, 0) + np.log1p(e)  # -log p
        factor = (target * self.alpha + (1 - target) * (1 - self.alpha)) * rest**self.gamma
        value = self.mean(factor * cost, share)
        self.save(sign, factor * (p * cost * self.gamma + rest), share)
        return value

    def backward(self) -> Array:
        """Return -(2 t - 1) a (1 - p)^gamma (gamma p (-log p) + 1 - p) / n."""
        sign, size, share = self.saved()
        dz: Array = size.copy()
        flush(dz)
        dz *= -sign * share
        return dz
