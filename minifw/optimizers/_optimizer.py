"""The contract of an optimizer."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from minifw._core.arrays import finite_vector
from minifw._core.checks import describe, positive_number
from minifw._core.errors import NonFiniteError
from minifw._core.parameter import Author, Parameter, ParameterVector, why_not_finite
from minifw._core.typing import Array

__all__ = ["Optimizer"]


class Optimizer(ABC):
    """Changes parameters by their gradients: a subclass writes one method.

    ``update(values, grads)`` receives all parameters as one vector and all
    gradients as another, and changes `values` in place.

    Parameters
    ----------
    parameters : iterable of Parameter
        ``model.parameters()``. They are moved into one vector; take a
        parameter's ``value`` anew afterwards.
    lr : float
        The learning rate, above 0. It may be assigned later.

    Attributes
    ----------
    lr : float
    steps : int
        How many steps were made.

    Raises
    ------
    RuntimeError
        By `step`, if an optimizer built later took some of the parameters into
        a vector of its own.
    NonFiniteError
        By `step`, if a gradient is not finite; nothing is changed.

    Notes
    -----
    Public attributes that a subclass sets in its constructor are its state:
    `state_dict` copies them. Make an array of state with `zeros`.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Optimizer, Parameter
    >>> class Momentum(Optimizer):
    ...     def __init__(self, parameters, lr, momentum=0.9):
    ...         super().__init__(parameters, lr)
    ...         self.momentum = momentum
    ...         self.velocity = self.zeros()
    ...     def update(self, values, grads):
    ...         self.velocity *= self.momentum
    ...         self.velocity += grads
    ...         values -= self.lr * self.velocity
    >>> p = Parameter(np.ones(2))
    >>> optimizer = Momentum([p], lr=0.5)
    >>> p.grad = [1.0, 2.0]
    >>> optimizer.step()
    >>> p.value
    array([0.5, 0. ])
    """

    # Whether `update` can work with a vector of gradients; one that squares them asks for more.
    _accepts = staticmethod(finite_vector)

    def __init__(self, parameters: Iterable[Parameter], lr: float) -> None:
        name = type(self).__name__
        positive_number(name, "lr", lr)  # before any parameter is moved
        self.steps = 0
        self._vector = ParameterVector(name, parameters)
        self.lr = lr

    @abstractmethod
    def update(self, values: Array, grads: Array) -> None:
        """Change `values` in place; both are vectors over all parameters."""

    def step(self) -> None:
        """Update the parameters from their gradients."""
        vector = self._vector
        memory = vector.memory
        if not memory.intact:
            memory = vector.follow()
        author, memory.author = memory.author, None
        if not self._accepts(vector.grads):
            self._refuse(author)
        result: object = self.update(vector.values, vector.grads)
        if result is not None:
            raise TypeError(
                f"{type(self).__name__}.update must change values in place and return nothing"
            )
        self.steps += 1

    @property
    def lr(self) -> float:
        """The learning rate."""
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        name, dtype = type(self).__name__, self._vector.values.dtype
        lr = positive_number(name, "lr", value)
        limits = np.finfo(dtype)
        if not float(limits.tiny) <= lr <= float(limits.max):
            raise ValueError(f"{name} expects lr to be a normal number of {dtype}, got {value!r}")
        self._lr = lr
        self._rate = np.array(lr, dtype)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters, in the order of the vectors."""
        return self._vector.parameters

    def zeros(self) -> Array:
        """Return a vector of zeros over all parameters, for the state of a subclass."""
        return np.zeros_like(self._vector.values)

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of lr, steps and the other public attributes."""
        state = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        return {"lr": self._lr, **copy.deepcopy(state)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned.

        Raises
        ------
        ValueError, TypeError
            If a name is missing or unexpected, or a value is of another shape
            or kind; all faults are named, and nothing is changed.
        """
        name = type(self).__name__
        if not isinstance(state, Mapping):
            raise TypeError(f"{name}.load_state_dict expects a dict, got {describe(state)}")
        own = self.state_dict()
        faults = [f"{key} is missing" for key in own if key not in state]
        faults += [f"{key} is unexpected" for key in state if key not in own]
        for key in own.keys() & state.keys():
            faults += _difference(key, own[key], state[key])
        if faults:
            raise ValueError(f"{name}.load_state_dict: {'; '.join(sorted(faults))}")
        self.lr = state["lr"]  # raises before anything else is changed
        for key in own.keys() - {"lr"}:
            if isinstance(own[key], np.ndarray) and state[key] is not None:
                getattr(self, key)[...] = state[key]
            else:
                setattr(self, key, copy.deepcopy(state[key]))

    @property
    def _kind(self) -> str:
        """The class whose state `state_dict` returns."""
        return type(self).__name__

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.parameters)} parameters, lr={self._lr})"

    def _refuse(self, author: Author | None) -> None:
        """Raise the error of gradients that `update` cannot take, and say where they arose."""
        name, when = type(self).__name__, f" at step {self.steps}"
        why = why_not_finite(self.parameters, author, when)
        if why is None:
            largest = float(np.abs(self._vector.grads).max())
            why = (
                f"the square of the largest gradient, {largest:g}, may overflow "
                f"{self._vector.grads.dtype}{when}; scale the loss, or clip the gradients first"
            )
        raise NonFiniteError(f"{name}: {why}; nothing was changed")


def _difference(key: str, own: object, new: object) -> list[str]:
    """Say how a value of a state differs in kind from one's own."""
    if own is None or new is None:  # made at the first update
        return []
    if isinstance(own, np.ndarray):
        array = np.asarray(new)
        if array.shape != own.shape:
            return [f"{key} has shape {array.shape}, not {own.shape}"]
        if not np.can_cast(array.dtype, own.dtype, "same_kind"):
            return [f"{key} is {describe(array)}, not {describe(own)}"]
    elif isinstance(own, int | float) != isinstance(new, int | float):
        return [f"{key} is {new!r}, not like {own!r}"]
    return []
