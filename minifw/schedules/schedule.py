"""The contract of a schedule: a learning rate for each number of steps."""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, TypeAlias, TypeVar

import numpy as np

from minifw._tools.checks import check_size, describe, normal_number, positive_number
from minifw.core.optimizer import Optimizer

__all__ = ["Schedule"]

_T = TypeVar("_T")
Check: TypeAlias = Callable[[str, str, Any], Any]

count = partial(check_size, least=0)


class Scheduler:
    """What all schedules share: an optimizer whose lr they set, and a state."""

    # What the public attributes have to be, when they are given and when they are loaded.
    _checks: ClassVar[Mapping[str, Check]] = {"steps": count}

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


def half_cosine(start: float, end: float, part: float) -> float:
    """Return what is at `part` of the way along half a cosine."""
    if part >= 1:
        return end
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2


def _smallest(optimizer: Optimizer) -> float:
    """Return what stands for a rate of 0."""
    return float(np.finfo(optimizer.parameters[0].dtype).tiny)
