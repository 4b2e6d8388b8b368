"""Schedules: how the learning rate of an optimizer changes.

A schedule sets ``optimizer.lr`` when it is built and at each call of its `step`,
once an epoch or once a batch as its numbers are meant::

    schedule = CosineLR(optimizer, total_steps=100)
    for epoch in range(100):
        ...                     # forward, backward, optimizer.step()
        schedule.step()

All but `ReduceOnPlateau` are functions of the number of steps alone, in closed
form, so that nothing is accumulated. A rate that comes to 0 is set as the smallest
normal number of the parameters' dtype, since an optimizer's lr is above 0; it moves
nothing that a rate of 0 would not.
"""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, TypeAlias, TypeVar

import numpy as np

from minifw._tools.checks import (
    check_size,
    describe,
    finite_number,
    fraction,
    non_negative_number,
    normal_number,
    positive_number,
)
from minifw.optimizers import Optimizer

__all__ = [
    "CosineLR",
    "ExponentialLR",
    "LinearWarmup",
    "OneCycleLR",
    "ReduceOnPlateau",
    "Schedule",
    "StepLR",
]


_T = TypeVar("_T")
_Check: TypeAlias = Callable[[str, str, Any], Any]

_count = partial(check_size, least=0)


def _below_1(owner: str, name: str, value: float) -> float:
    number = positive_number(owner, name, value)
    if number >= 1:
        raise ValueError(f"{owner} expects {name} to be below 1, got {value!r}")
    return number


def _one_of(*choices: str) -> _Check:
    def check(owner: str, name: str, value: str) -> str:
        if value not in choices:
            texts = " or ".join(map(repr, choices))
            raise ValueError(f"{owner} expects {name} to be {texts}, got {value!r}")
        return value

    return check


def _best(owner: str, name: str, value: float) -> float:
    """Return the best value so far, which is infinite before the first."""
    infinite = isinstance(value, float) and math.isinf(value)
    return value if infinite else finite_number(owner, name, value)


class _Scheduler:
    """What all schedules share: an optimizer whose lr they set, and a state."""

    # What the public attributes have to be, when they are given and when they are loaded.
    _checks: ClassVar[Mapping[str, _Check]] = {"steps": _count}

    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"{type(self).__name__} expects an optimizer, got {describe(optimizer)}"
            )
        self._optimizer = optimizer
        self.steps = 0

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer whose lr is set."""
        return self._optimizer

    def _checked(self, name: str, value: _T) -> _T:
        """Return the value of an attribute as it is to be kept, or raise."""
        for kind in type(self).__mro__:
            check = vars(kind).get("_checks", {}).get(name)
            if check is not None:
                value = check(type(self).__name__, name, value)
                break
        return value

    def _set(self, lr: float) -> None:
        self._optimizer.lr = max(lr, _smallest(self._optimizer))

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of all public attributes, and of the optimizer's lr."""
        state = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        return {"lr": self._optimizer.lr, **copy.deepcopy(state)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned, and set the optimizer's lr.

        Raises
        ------
        ValueError, TypeError
            If a name is missing or unexpected, or a value is not of its kind; nothing
            is changed.
        """
        self._take(self._found(state))

    def _found(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Return the state as it is to be kept, or raise if it is not one of this schedule."""
        name = f"{type(self).__name__}.load_state_dict"
        if not isinstance(state, Mapping):
            raise TypeError(f"{name} expects a dict, got {describe(state)}")
        own = self.state_dict()
        faults = [f"{key} is missing" for key in own if key not in state]
        faults += [f"{key} is unexpected" for key in state if key not in own]
        found = {}
        for key in own.keys() & state.keys():
            if isinstance(own[key], int | float) != isinstance(state[key], int | float):
                faults.append(f"{key} is {state[key]!r}, not like {own[key]!r}")
                continue
            try:
                found[key] = self._checked(key, copy.deepcopy(state[key]))
            except (TypeError, ValueError) as error:
                faults.append(str(error).removeprefix(f"{type(self).__name__} "))
        if faults:
            raise ValueError(f"{name}: {'; '.join(sorted(faults))}")
        lr = positive_number(name, "lr", state["lr"])
        normal_number(name, "lr", lr, self._optimizer.parameters[0].dtype)
        return found

    def _take(self, found: Mapping[str, Any]) -> None:
        self._optimizer.lr = found["lr"]
        for key in found.keys() - {"lr"}:
            setattr(self, key, found[key])

    def __repr__(self) -> str:
        name = type(self).__name__
        return f"{name}({self._optimizer!r}, steps={self.steps})"


class Schedule(_Scheduler, ABC):
    """A learning rate that depends on the number of steps: a subclass writes `rate`.

    Parameters
    ----------
    optimizer : Optimizer
        Its lr at this moment is `base_lr`; it has to be above what stands for 0.

    Attributes
    ----------
    base_lr : float
    steps : int
        How often `step` was called.

    Notes
    -----
    A subclass calls ``super().__init__(optimizer)``, sets its own public attributes,
    and calls ``self.start()``. Public attributes are its state.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import SGD, Parameter
    >>> from minifw.schedules import Schedule
    >>> class InverseTime(Schedule):
    ...     def __init__(self, optimizer, half):
    ...         super().__init__(optimizer)
    ...         self.half = half
    ...         self.start()
    ...     def rate(self, steps):
    ...         return self.base_lr / (1 + steps / self.half)
    >>> optimizer = SGD([Parameter(np.ones(1))], lr=1.0)
    >>> schedule = InverseTime(optimizer, half=2)
    >>> for _ in range(3):
    ...     schedule.step()
    ...     print(round(optimizer.lr, 3))
    0.667
    0.5
    0.4
    """

    _checks: ClassVar = {"base_lr": positive_number}
    _replaces = False  # whether it has rates of its own, whatever the optimizer's

    def __init__(self, optimizer: Optimizer) -> None:
        super().__init__(optimizer)
        if not self._replaces and optimizer.lr <= _smallest(optimizer):
            raise ValueError(
                f"{type(self).__name__} expects an optimizer whose lr it can begin with, got "
                f"lr={optimizer.lr:.3g}, to which an earlier schedule has come; assign "
                "optimizer.lr first"
            )
        self.base_lr = optimizer.lr

    @abstractmethod
    def rate(self, steps: int) -> float:
        """Return the learning rate after so many steps."""

    def start(self) -> None:
        """Set the learning rate of step 0."""
        self._set(self.rate(0))

    def step(self) -> None:
        """Set the next learning rate."""
        self.steps += 1
        self._set(self.rate(self.steps))


class StepLR(Schedule):
    """Multiply the rate by `gamma` after every `step_size` steps.

    lr(t) = base_lr gamma^floor(t / step_size).

    Parameters
    ----------
    optimizer : Optimizer
    step_size : int
        At least 1.
    gamma : float, default 0.1
        Above 0; PyTorch's default.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import SGD, Parameter
    >>> from minifw.schedules import StepLR
    >>> schedule = StepLR(SGD([Parameter(np.ones(1))], lr=1.0), step_size=2, gamma=0.5)
    >>> [schedule.rate(t) for t in range(6)]
    [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    """

    _checks: ClassVar = {"step_size": check_size, "gamma": positive_number}

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        super().__init__(optimizer)
        self.step_size = self._checked("step_size", step_size)
        self.gamma = self._checked("gamma", gamma)
        self.start()

    def rate(self, steps: int) -> float:
        """Return the rate after so many steps."""
        return self.base_lr * _power(self.gamma, steps // self.step_size)


class ExponentialLR(Schedule):
    """Multiply the rate by `gamma` at every step: lr(t) = base_lr gamma^t.

    Parameters
    ----------
    optimizer : Optimizer
    gamma : float
        Above 0.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import SGD, Parameter
    >>> from minifw.schedules import ExponentialLR
    >>> schedule = ExponentialLR(SGD([Parameter(np.ones(1))], lr=1.0), gamma=0.5)
    >>> [schedule.rate(t) for t in range(4)]
    [1.0, 0.5, 0.25, 0.125]
    """

    _checks: ClassVar = {"gamma": positive_number}

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        super().__init__(optimizer)
        self.gamma = self._checked("gamma", gamma)
        self.start()

    def rate(self, steps: int) -> float:
        """Return the rate after so many steps."""
        return self.base_lr * _power(self.gamma, steps)


class CosineLR(Schedule):
    """Go from the base rate to `eta_min` along half a cosine, and stay there.

    lr(t) = eta_min + (base_lr - eta_min) (1 + cos(pi t / total_steps)) / 2 for
    t <= total_steps, and eta_min afterwards.

    Parameters
    ----------
    optimizer : Optimizer
    total_steps : int
        At least 1.
    eta_min : float, default 0.0
        At least 0.

    Notes
    -----
    PyTorch's ``CosineAnnealingLR``, in which ``T_max`` is `total_steps`; there the rate
    rises again after that.

    References
    ----------
    I. Loshchilov and F. Hutter, "SGDR: stochastic gradient descent with warm restarts",
    2017, equation 5, without restarts.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import SGD, Parameter
    >>> from minifw.schedules import CosineLR
    >>> schedule = CosineLR(SGD([Parameter(np.ones(1))], lr=1.0), total_steps=4)
    >>> [round(schedule.rate(t), 3) for t in range(6)]
    [1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    """

    _checks: ClassVar = {"total_steps": check_size, "eta_min": non_negative_number}

    def __init__(self, optimizer: Optimizer, total_steps: int, eta_min: float = 0.0) -> None:
        super().__init__(optimizer)
        self.total_steps = self._checked("total_steps", total_steps)
        self.eta_min = self._checked("eta_min", eta_min)
        self.start()

    def rate(self, steps: int) -> float:
        """Return the rate after so many steps."""
        return _cosine(self.base_lr, self.eta_min, steps / self.total_steps)


class LinearWarmup(Schedule):
    """Rise from a part of the rate to all of it, then go on with another schedule.

    lr(t) = first (start_factor + (1 - start_factor) t / total_steps) for
    t < total_steps, where `first` is base_lr, or then's rate(0); afterwards `first`,
    or then's rate(t - total_steps).

    Parameters
    ----------
    optimizer : Optimizer
    total_steps : int, default 5
        At least 1. The defaults are those of PyTorch's ``LinearLR``.
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

    _checks: ClassVar = {"total_steps": check_size, "start_factor": fraction}

    def __init__(
        self,
        optimizer: Optimizer,
        total_steps: int = 5,
        start_factor: float = 1 / 3,
        *,
        then: Schedule | None = None,
    ) -> None:
        super().__init__(optimizer)
        self.total_steps = self._checked("total_steps", total_steps)
        self.start_factor = self._checked("start_factor", start_factor)
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

    def step(self) -> None:
        """Set the next learning rate."""
        super().step()
        if self._then is not None:
            self._then.steps = max(0, self.steps - self.total_steps)

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of all public attributes, and the state of the schedule that follows."""
        state = super().state_dict()
        return state if self._then is None else {**state, "then": self._then.state_dict()}

    def _found(self, state: Mapping[str, Any]) -> dict[str, Any]:
        found = super()._found(state)
        return found if self._then is None else {**found, "then": self._then._found(state["then"])}

    def _take(self, found: Mapping[str, Any]) -> None:
        if self._then is not None:
            self._then._take(found["then"])
        super()._take({key: value for key, value in found.items() if key != "then"})


class OneCycleLR(Schedule):
    """One cycle: up to `max_lr` along half a cosine, then down to nearly 0 along another.

    With initial = max_lr / div_factor, final = initial / final_div_factor, and the peak
    at p = pct_start total_steps - 1 (or 0 if that is negative)::

        lr(t) = max_lr + (initial - max_lr) (1 + cos(pi t / p)) / 2                   t <= p
        lr(t) = final + (max_lr - final) (1 + cos(pi (t - p) / (total_steps - 1 - p))) / 2
        lr(t) = final                                                 from total_steps - 1 on

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
    one stays at the final rate.

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

    _checks: ClassVar = {
        "max_lr": positive_number,
        "total_steps": check_size,
        "pct_start": fraction,
        "div_factor": positive_number,
        "final_div_factor": positive_number,
    }
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
        self.max_lr = self._checked("max_lr", max_lr)
        self.total_steps = self._checked("total_steps", total_steps)
        self.pct_start = self._checked("pct_start", pct_start)
        self.div_factor = self._checked("div_factor", div_factor)
        self.final_div_factor = self._checked("final_div_factor", final_div_factor)
        self.start()

    def rate(self, steps: int) -> float:
        """Return the rate after so many steps."""
        initial = self.max_lr / self.div_factor
        final = initial / self.final_div_factor
        last = self.total_steps - 1
        peak = max(0.0, self.pct_start * self.total_steps - 1)
        if steps <= peak and peak > 0:
            return _cosine(initial, self.max_lr, steps / peak)
        if steps >= last > 0:
            return final
        return _cosine(self.max_lr, final, (steps - peak) / max(1.0, last - peak))


class ReduceOnPlateau(_Scheduler):
    """Multiply the rate by `factor` when a watched value has ceased to get better.

    A value is better than the best so far if it is below best (1 - threshold), or below
    best - threshold with ``threshold_mode="abs"``; above best (1 + threshold), or best +
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
    PyTorch's ``ReduceLROnPlateau``. There, NaN counts as not better; here it is an error.

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

    _checks: ClassVar = {
        "mode": _one_of("min", "max"),
        "factor": _below_1,
        "patience": _count,
        "threshold": non_negative_number,
        "threshold_mode": _one_of("rel", "abs"),
        "cooldown": _count,
        "min_lr": non_negative_number,
        "eps": non_negative_number,
        "best": _best,
        "bad_steps": _count,
        "cooling": _count,
    }

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
        self.mode = self._checked("mode", mode)
        self.factor = self._checked("factor", factor)
        self.patience = self._checked("patience", patience)
        self.threshold = self._checked("threshold", threshold)
        self.threshold_mode = self._checked("threshold_mode", threshold_mode)
        self.cooldown = self._checked("cooldown", cooldown)
        self.min_lr = self._checked("min_lr", min_lr)
        self.eps = self._checked("eps", eps)
        self.best = math.inf if mode == "min" else -math.inf
        self.bad_steps = 0
        self.cooling = 0

    def step(self, value: float) -> None:
        """Look at the next value, and reduce the learning rate if it is time."""
        value = finite_number("ReduceOnPlateau.step", "value", value)
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
        sign = 1 if self.mode == "min" else -1
        if self.threshold_mode == "abs":
            return sign * (value - self.best) < -self.threshold
        return sign * value < sign * self.best * (1 - sign * self.threshold)


def _cosine(start: float, end: float, part: float) -> float:
    """Return what is at `part` of the way along half a cosine."""
    if part >= 1:
        return end
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2


def _power(base: float, exponent: int) -> float:
    """Return base^exponent; infinite where that overflows, of which the optimizer will speak."""
    try:
        return float(base**exponent)
    except OverflowError:
        return math.inf


def _smallest(optimizer: Optimizer) -> float:
    """Return what stands for a rate of 0."""
    return float(np.finfo(optimizer.parameters[0].dtype).tiny)
