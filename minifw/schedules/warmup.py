"""Schedules that rise first: to the base rate, or to the peak of one cycle."""

from typing import Any

from minifw._tools.checks import describe
from minifw._tools.numbers import check_fraction, check_positive, check_size
from minifw._tools.options import Option
from minifw.core.optimizer import Optimizer
from minifw.schedules.schedule import Schedule, half_cosine

__all__ = ["LinearWarmup", "OneCycleLR"]


class LinearWarmup(Schedule):
    """Rise from a part of the rate to all of it, then continue with another schedule.

    lr(t) = first (start_factor + (1 - start_factor) t / total_steps) for
    t < total_steps, where `first` is base_lr, or then's rate(0); afterwards `first`,
    or then's rate(t - total_steps).

    Parameters
    ----------
    optimizer : Optimizer
    total_steps : int, default 5
        At least 1. The defaults are as in PyTorch's ``LinearLR``.
    start_factor : float, default 1/3
        From 0 to 1.
    then : Schedule, optional
        A schedule of the same optimizer. Its clock starts when the warm-up ends; only the
        warm-up is to be stepped.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import SGD, Parameter
    >>> from minifw.schedules import CosineLR, LinearWarmup
    >>> optimizer = SGD([Parameter(np.ones(1))], lr=1.0)
    >>> schedule = LinearWarmup(optimizer, 4, 0.2, then=CosineLR(optimizer, total_steps=2))
    >>> [round(schedule.rate(t), 3) for t in range(7)]
    [0.2, 0.4, 0.6, 0.8, 1.0, 0.5, 0.0]
    """

    total_steps = Option(check_size)
    start_factor = Option(check_fraction)

    def __init__(
        self,
        optimizer: Optimizer,
        total_steps: int = 5,
        start_factor: float = 1 / 3,
        *,
        then: Schedule | None = None,
    ) -> None:
        super().__init__(optimizer)
        self.total_steps = total_steps
        self.start_factor = start_factor
        if then is not None and not isinstance(then, Schedule):
            raise TypeError(
                "LinearWarmup expects then to be a schedule that depends on the steps alone, "
                f"got {describe(then)}"
            )
        if then is not None and then.optimizer is not optimizer:
            raise ValueError("LinearWarmup expects then to be a schedule of the same optimizer")
        self._then = then
        self.start()

    @property
    def then(self) -> Schedule | None:
        """The schedule that follows."""
        return self._then

    def rate(self, steps: int) -> float:
        """Return the rate after so many steps."""
        if steps >= self.total_steps:
            left = steps - self.total_steps
            return self.base_lr if self._then is None else self._then.rate(left)
        first = self.base_lr if self._then is None else self._then.rate(0)
        return first * (self.start_factor + (1 - self.start_factor) * steps / self.total_steps)

    def go_to(self, steps: int) -> None:
        """Set the learning rate after so many steps."""
        super().go_to(steps)
        if self._then is not None:
            self._then.steps = max(0, steps - self.total_steps)

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of all public attributes, and the state of the schedule that follows."""
        state = super().state_dict()
        return state if self._then is None else {**state, "then": self._then.state_dict()}

    def _taken(self, key: str, own: Any, new: Any) -> Any:
        if key == "then" and self._then is not None:
            return self._then._found(new)
        return super()._taken(key, own, new)

    def _take(self, found: dict[str, Any]) -> None:
        if self._then is not None:
            self._then._take(found.pop("then"))
        super()._take(found)


class OneCycleLR(Schedule):
    """One cycle: up to `max_lr` along half a cosine, then down to nearly 0 along another.

    With initial = max_lr / div_factor, final = initial / final_div_factor, and the peak
    at p = pct_start total_steps - 1 (or 0 if that is negative)::

        lr(t) = max_lr + (initial - max_lr) (1 + cos(pi t / p)) / 2                   t <= p
        lr(t) = final + (max_lr - final) (1 + cos(pi (t - p) / (total_steps - 1 - p))) / 2
        lr(t) = final                                                 from total_steps - 1 on

    Of a single step the rate is max_lr.

    Parameters
    ----------
    optimizer : Optimizer
        Its lr is replaced.
    max_lr : float
        Above 0.
    total_steps : int
        At least 1: how many steps of the optimizer there will be.
    pct_start : float, default 0.3
        The part of the steps that the rise takes: from 0 to 1. All defaults are PyTorch's.
    div_factor, final_div_factor : float, default 25.0 and 1e4
        Above 0.

    Notes
    -----
    PyTorch's ``OneCycleLR`` with ``cycle_momentum=False``. It raises after the last step; this
    one stays at the final rate. Where pct_start total_steps is below 1, PyTorch begins beyond the
    peak, and makes a single step at the final rate, with which nothing is learned.

    References
    ----------
    L. N. Smith and N. Topin, "Super-convergence: very fast training of neural networks
    using large learning rates", 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import SGD, Parameter
    >>> from minifw.schedules import OneCycleLR
    >>> optimizer = SGD([Parameter(np.ones(1))], lr=1.0)
    >>> schedule = OneCycleLR(optimizer, max_lr=1.0, total_steps=10)
    >>> [round(schedule.rate(t), 3) for t in range(10)]
    [0.04, 0.52, 1.0, 0.95, 0.812, 0.611, 0.389, 0.188, 0.05, 0.0]
    """

    max_lr = Option(check_positive)
    total_steps = Option(check_size)
    _ends = True
    pct_start = Option(check_fraction)
    div_factor = Option(check_positive)
    final_div_factor = Option(check_positive)
    _replaces = True

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float,
        total_steps: int,
        pct_start: float = 0.3,
        *,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
    ) -> None:
        super().__init__(optimizer)
        self.max_lr = max_lr
        self.total_steps = total_steps
        self.pct_start = pct_start
        self.div_factor = div_factor
        self.final_div_factor = final_div_factor
        self.start()

    def rate(self, steps: int) -> float:
        """Return the rate after so many steps."""
        initial = self.max_lr / self.div_factor
        final = initial / self.final_div_factor
        last = self.total_steps - 1
        peak = max(0.0, self.pct_start * self.total_steps - 1)
        if steps <= peak and peak > 0:
            return half_cosine(initial, self.max_lr, steps / peak)
        if steps >= last > 0:
            return final
        return half_cosine(self.max_lr, final, (steps - peak) / max(1.0, last - peak))
