"""Losses of a distribution against another."""

from typing import ClassVar

import numpy as np

from minifw._tools.checks import check_alike
from minifw._tools.numbers import check_flag
from minifw._tools.options import Option
from minifw.core.loss import Joins, Loss
from minifw.layers import LogSoftmax
from minifw.losses._values import check_distribution, check_log_probabilities
from minifw.losses.classification import CrossEntropyLoss
from minifw.typing import Array, Formulas

__all__ = ["KLDivLoss"]


class _KLDivOfLogits(CrossEntropyLoss):
    """The joint form of `LogSoftmax` and `KLDivLoss`: cross-entropy less the entropy of q."""

    formulas: ClassVar[Formulas] = {"dp": "(softmax({p}) - {t}) / {m}"}

    def __repr__(self) -> str:
        return "KLDivLoss()"

    def _check_kind(self, prediction: Array, target: Array) -> None:
        check_alike(self, prediction, target)

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> float:
        """Return the mean of sum_c q_c log q_c - q_c log p_c."""
        value = super().forward(prediction, target, sample_weight)
        share = self._row_shares(prediction, target, sample_weight, one_hot=False)
        q = target.reshape(-1, target.shape[-1])  # (rows, classes)
        return self.finite(value + self.mean(np.add.reduce(q * _log(q), 1), share))


def _joint_form(loss: "KLDivLoss", activation: LogSoftmax) -> Loss | None:
    """Return the joint form of probabilities, if the activation runs along the last axis."""
    return None if loss.log_target or activation.axis != -1 else _KLDivOfLogits()


class KLDivLoss(Loss):
    """The divergence of Kullback and Leibler: what p, in log p, costs where q is true.

    For the log-probabilities log p of one example and the true probabilities q,

        L = sum_c q_c (log q_c - log p_c),    dL/d(log p)_c = -q_c,

    the mean of which over the examples is returned, in nats; 0 log 0 is 0, and where q_c is 0,
    so is the gradient. It is the cross-entropy less the entropy of q, which has no
    derivative, and 0 where p = q. Within an `Objective` it is joined with a final `LogSoftmax`:
    the gradient of the logits is p - q, as exact as in `CrossEntropyLoss`.

    Parameters
    ----------
    log_target : bool, default False
        Whether the target is log q. It is then not joined.

    Raises
    ------
    ValueError
        If a prediction is above 0, a target is not a distribution, the shapes differ, or the
        weights are no weights.
    TypeError
        If the dtypes differ.
    NonFiniteError
        If the loss is not finite.

    Notes
    -----
    PyTorch's ``KLDivLoss`` with ``reduction="batchmean"``, which is its mean over examples:
    its default divides by the classes, too, and is not a divergence. Of (batch, time, classes) the
    mean here is over the steps as well, PyTorch's over the batch only. PyTorch
    takes what is not a distribution; here, q adds up to 1.

    References
    ----------
    Kullback and Leibler, "On Information and Sufficiency", Annals of Mathematical
    Statistics 22, 1951.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import KLDivLoss
    >>> loss = KLDivLoss()
    >>> round(loss.forward(np.log([[0.5, 0.5]]), np.array([[1.0, 0.0]])), 6), loss.backward()
    (0.693147, array([[-1., -0.]]))
    """

    formulas: ClassVar[Formulas] = {
        "L": ("{log_target}sum(e^{t} * ({t} - {p})) / {m}", "sum({t} * (log {t} - {p})) / {m}"),
        "dp": ("{log_target}-e^{t} / {m}", "-{t} / {m}"),
    }

    joins: ClassVar[Joins] = {LogSoftmax: _joint_form}
    _case_axes: ClassVar[int] = 1

    log_target = Option(check_flag, fixed=True)

    def __init__(self, log_target: bool = False) -> None:
        self.log_target = log_target

    def check_target(self, prediction: Array, target: Array) -> None:  # noqa: ARG002
        """Raise unless the targets of each example are a distribution."""
        with np.errstate(over="ignore"):
            check_distribution(self, np.exp(target) if self.log_target else target)

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> float:
        """Return the mean of sum_c q_c (log q_c - log p_c)."""
        self.check(prediction, target)
        share = self.shares(prediction, sample_weight) * prediction.shape[-1]
        self.finite(check_log_probabilities(self, prediction))  # of a NaN
        q = np.exp(target) if self.log_target else target  # the shape of prediction
        log_q = target if self.log_target else _log(q)
        with np.errstate(invalid="ignore"):  # 0 times infinity
            costs = np.where(q > 0, q * np.subtract(log_q, prediction, dtype=np.float64), 0)
        costs = np.add.reduce(costs, -1, keepdims=True)  # (batch, 1)
        if share.ndim:
            costs = np.where(share != 0, costs, 0)
        value = self.mean(costs, share)
        self.save(q, share)
        return value

    def backward(self) -> Array:
        """Return -q."""
        q, share = self.saved()
        gradient: Array = q * -share  # the shape of prediction
        return gradient


def _log(q: Array) -> Array:
    """Return the logarithm, and a number for that of 0, which 0 is to be multiplied with."""
    logs: Array = np.log(np.maximum(q, np.finfo(q.dtype).tiny))
    return logs
