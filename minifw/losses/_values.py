"""Checks of the values of predictions and targets."""

import numpy as np

from minifw._tools.values import check_probabilities, refuse_first
from minifw.typing import Array

LOG_ROUNDING = 1e-5  # how far above 0 float32 may round a log-probability
SUM_ROUNDING = 1e-3  # how far from 1 float32 may round the sum of thousands of probabilities


def check_distribution(owner: object, q: Array) -> None:
    """Raise unless the targets of each example are probabilities that add up to 1."""
    check_probabilities(owner, "target to be a probability", q)
    sums = q.sum(axis=-1)
    worst = np.abs(sums - 1).argmax()
    if abs(sums.item(worst) - 1) > SUM_ROUNDING:
        raise ValueError(
            f"{owner!r} expects the targets of an example to add up to 1, got "
            f"{sums.item(worst):.6g}; where several classes can be true, use BCEWithLogitsLoss"
        )


def check_log_probabilities(owner: object, log_p: Array) -> float:
    """Return the largest number, which may be NaN, or raise if it is above 0."""
    largest: float = np.maximum.reduce(log_p, None)
    if largest > LOG_ROUNDING:
        raise ValueError(
            f"{owner!r} expects log-probabilities, which are at most 0, got {largest}; end the "
            "model in LogSoftmax(), or use CrossEntropyLoss"
        )
    return largest


def check_yes_or_no(owner: object, target: Array, no: int) -> None:
    """Raise unless every target is 1, yes, or `no`, which is 0 or -1."""
    wrong = (target != no) & (target != 1)
    if not wrong.any():
        return
    other, use = (0, "2 * target - 1") if no else (-1, "(target + 1) / 2")
    fix = f"; use {use}" if np.isin(target, (other, 1)).all() else ""
    refuse_first(owner, f"target to be {no} or 1", target, ~wrong, fix)
