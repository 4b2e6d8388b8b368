"""The contract of a schedule: a learning rate for each number of steps."""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from minifw._engine.state import checked_state
from minifw._tools.checks import check_is
from minifw._tools.numbers import check_count, check_normal, check_positive
from minifw._tools.options import Option, check_kind, options_of
from minifw.core.optimizer import Optimizer

__all__ = ["Schedule"]


class Scheduler:
    """What all schedules share: an optimizer whose lr they set, and a state."""

    steps = Option(check_count, counts=True)

    def __init__(self, optimizer: Optimizer) -> None:
        check_is(type(self).__name__, "an optimizer", optimizer, Optimizer)
        self._optimizer = optimizer
        self.steps = 0

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer whose lr is set."""
        return self._optimizer

    def _set(self, lr: float) -> None:
        self._optimizer.lr = max(lr, _smallest(self._optimizer))

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of all public attributes, and of the optimizer's lr."""
        state = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        options = {name: getattr(self, name) for name in options_of(type(self))}
        return {"lr": self._optimizer.lr, **options, **copy.deepcopy(state)}

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
        own, owner = self.state_dict(), f"{type(self).__name__}.load_state_dict"
        return checked_state(owner, own, state, lambda key, new: self._taken(key, own[key], new))

    def _taken(self, key: str, own: Any, new: Any) -> Any:
        """Return a value of a state as it is to be kept, or raise if it does not fit."""
        check_kind(key, own, new)
        name, option = type(self).__name__, options_of(type(self)).get(key)
        if key == "lr":
            lr = check_positive(name, "lr", new)
            return check_normal(name, "lr", lr, self._optimizer.parameters[0].dtype)
        return copy.deepcopy(new) if option is None else option.checked(self, new)

    def _take(self, found: dict[str, Any]) -> None:
        lr = found.pop("lr")
        for key, value in found.items():
            setattr(self, key, value)
        self._optimizer.lr = lr

    def __repr__(self) -> str:
        own = [name for name, one in options_of(type(self)).items() if not one.counts]
        settings = [f"{name}={getattr(self, name)!r}" for name in [*own, "steps"]]
        return f"{type(self).__name__}({self._optimizer!r}, {', '.join(settings)})"


class Schedule(Scheduler, ABC):
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

    base_lr = Option(check_positive)
    _ends = False  # whether the rate stays what it is from `total_steps` on
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
        self.go_to(self.steps + 1)

    def go_to(self, steps: int) -> None:
        """Set the learning rate after so many steps."""
        self.steps = steps
        self._set(self.rate(steps))


def half_cosine(start: float, end: float, part: float) -> float:
    """Return what is at `part` of the way along half a cosine."""
    if part >= 1:
        return end
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2


def _smallest(optimizer: Optimizer) -> float:
    """Return what stands for a rate of 0."""
    return float(np.finfo(optimizer.parameters[0].dtype).tiny)
