"""A learning rate that falls when a watched value has ceased to get better."""

import math

from minifw._tools.numbers import (
    check_choice,
    check_count,
    check_finite_number,
    check_non_negative,
    check_positive,
)
from minifw._tools.options import Option
from minifw.core.optimizer import Optimizer
from minifw.schedules.schedule import Scheduler

__all__ = ["ReduceOnPlateau"]


def _below_1(owner: str, name: str, value: float) -> float:
    number = check_positive(owner, name, value)
    if number >= 1:
        raise ValueError(f"{owner} expects {name} to be below 1, got {value!r}")
    return number


def _best(owner: str, name: str, value: float) -> float:
    """Return the best value so far, which is infinite before the first."""
    infinite = isinstance(value, float) and math.isinf(value)
    return value if infinite else check_finite_number(owner, name, value)


class ReduceOnPlateau(Scheduler):
    """Multiply the rate by `factor` when a watched value has ceased to get better.

    A value is better than the best so far if it is below best - threshold |best|, or below
    best - threshold with ``threshold_mode="abs"``; above best + threshold |best|, or best +
    threshold, with ``mode="max"``. After more than `patience` values in a row that are not,
    lr <- max(lr factor, min_lr), and the next `cooldown` values are not counted.

    Parameters
    ----------
    optimizer : Optimizer
    mode : {"min", "max"}, default "min"
        Whether a loss is watched, or an accuracy. All defaults are PyTorch's.
    factor : float, default 0.1
        Above 0 and below 1.
    patience : int, default 10
        At least 0.
    threshold : float, default 1e-4
        At least 0.
    threshold_mode : {"rel", "abs"}, default "rel"
    cooldown : int, default 0
        At least 0.
    min_lr : float, default 0.0
        At least 0.
    eps : float, default 1e-8
        A reduction by no more than this is not made.

    Attributes
    ----------
    best : float
        The best value so far.
    bad_steps : int
        How many values in a row were not better.
    cooling : int
        How many values more are not counted.

    Notes
    -----
    PyTorch's ``ReduceLROnPlateau``, except for two things. There, best (1 - threshold) lies above
    a negative best, so a value that stays, or gets worse by less than the margin, counts
    as better, and the rate of an R2 that begins below 0 is not reduced. And there, NaN counts as
    not better; here it is an error.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import SGD, Parameter
    >>> from minifw.schedules import ReduceOnPlateau
    >>> optimizer = SGD([Parameter(np.ones(1))], lr=1.0)
    >>> schedule = ReduceOnPlateau(optimizer, factor=0.5, patience=1)
    >>> for loss in (3.0, 2.0, 2.0, 2.0, 1.0):
    ...     schedule.step(loss)
    ...     print(optimizer.lr)
    1.0
    1.0
    1.0
    0.5
    0.5
    """

    mode = Option(check_choice("min", "max"))
    factor = Option(_below_1)
    patience = Option(check_count)
    threshold = Option(check_non_negative)
    threshold_mode = Option(check_choice("rel", "abs"))
    cooldown = Option(check_count)
    min_lr = Option(check_non_negative)
    eps = Option(check_non_negative)
    best = Option(_best, counts=True)
    bad_steps = Option(check_count, counts=True)
    cooling = Option(check_count, counts=True)

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        *,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float = 0.0,
        eps: float = 1e-8,
    ) -> None:
        super().__init__(optimizer)
        self.mode = mode
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.cooldown = cooldown
        self.min_lr = min_lr
        self.eps = eps
        self.best = math.inf if mode == "min" else -math.inf
        self.bad_steps = 0
        self.cooling = 0

    def step(self, value: float) -> None:
        """Look at the next value, and reduce the learning rate if it is time."""
        value = check_finite_number("ReduceOnPlateau.step", "value", value)
        self.steps += 1
        if self._better(value):
            self.best, self.bad_steps = value, 0
        else:
            self.bad_steps += 1
        if self.cooling:
            self.cooling -= 1
            self.bad_steps = 0
        if self.bad_steps > self.patience:
            lr = self.optimizer.lr
            reduced = max(lr * self.factor, self.min_lr)
            if lr - reduced > self.eps:
                self._set(reduced)
            self.bad_steps, self.cooling = 0, self.cooldown

    def _better(self, value: float) -> bool:
        if math.isinf(self.best):  # the first
            return True
        sign, best, margin = (1 if self.mode == "min" else -1), self.best, self.threshold
        if self.threshold_mode == "abs":
            bound = best - sign * margin
        else:  # a product, as in PyTorch: where it rounds decides in which step the rate falls
            bound = best * (1 - math.copysign(margin, sign * best))
        return sign * value < sign * bound
