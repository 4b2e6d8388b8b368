"""Losses that ask for a margin between the classes, as support vector machines do."""

from typing import ClassVar

import numpy as np

from minifw._tools.numbers import check_non_negative
from minifw._tools.options import Option
from minifw.core.loss import Loss
from minifw.losses._values import check_yes_or_no
from minifw.typing import Array, Formulas

__all__ = ["HingeLoss"]


class HingeLoss(Loss):
    """What a score y lacks of the margin on its label's side; labels t are -1 and 1.

        L = mean(max(0, margin - t y)),
        dL/dy = -t / n where t y < margin, else 0,

    with n elements; at the kink, t y = margin, 0 is one of the slopes. A score
    that is right by the margin costs nothing and moves no more. Weights of the
    examples count as in `MSELoss`.

    Parameters
    ----------
    margin : float, default 1.0
        Finite and at least 0. The default is the margin of support vector machines, and of
        scikit-learn's ``hinge_loss``; another one only scales the scores, but 0, which gives the
        perceptron's loss.

    Raises
    ------
    ValueError
        If the shapes differ, a target is neither -1 nor 1, or the weights are
        no weights.
    TypeError
        If the dtypes differ.
    NonFiniteError
        If the loss is not finite.

    References
    ----------
    Cortes and Vapnik, "Support-Vector Networks", Machine Learning 20, 1995: the
    slack variables of equations 22 and 23.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import HingeLoss
    >>> loss = HingeLoss()
    >>> loss.forward(np.array([[3.0], [0.5]]), np.array([[1.0], [-1.0]]))
    0.75
    >>> loss.backward()
    array([[0. ],
           [0.5]])
    """

    midpoint: ClassVar[float] = 0.0
    replayable: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {
        "L": "mean(max(0, {margin} - {t} * {p}))",
        "dp": "-{t} / {n} where {t} * {p} < {margin}, else 0",
    }

    margin = Option(check_non_negative)

    def __init__(self, margin: float = 1.0) -> None:
        self.margin = margin

    def check_target(self, prediction: Array, target: Array) -> None:  # noqa: ARG002
        """Raise unless every target is -1 or 1."""
        check_yes_or_no(self, target, -1)

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> float:
        """Return the mean of max(0, margin - t y)."""
        self.check(prediction, target)
        share = self.shares(prediction, sample_weight)
        with np.errstate(over="ignore"):  # of a margin beyond float32
            lack = self.margin - target * prediction  # the shape of prediction
        value = self.mean(np.maximum(lack, 0, dtype=np.float64), share)
        self.save(lack, target, share)
        return value

    def backward(self) -> Array:
        """Return -t / n where the margin is not reached."""
        lack, target, share = self.saved()
        gradient: Array = np.where(lack > 0, -target, 0) * share  # the shape of prediction
        return gradient
