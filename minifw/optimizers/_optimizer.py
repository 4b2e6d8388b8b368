"""The contract of an optimizer."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from minifw._core.arrays import finite_vector
from minifw._core.checks import positive_number
from minifw._core.errors import NonFiniteError
from minifw._core.parameter import Parameter, ParameterVector
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
        if memory.verified:  # an Objective has just looked
            memory.verified = False
        else:
            self._refuse_non_finite()
        self.update(vector.values, vector.grads)
        self.steps += 1

    @property
    def lr(self) -> float:
        """The learning rate."""
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        self._lr = positive_number(type(self).__name__, "lr", value)
        self._rate = np.array(self._lr, self._vector.values.dtype)

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
        copies = {
            name: value.copy() if isinstance(value, np.ndarray) else value
            for name, value in state.items()
        }
        return {"lr": self._lr, **copies}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned.

        Raises
        ------
        ValueError
            If a name is missing or unexpected or a shape differs; nothing is changed.
        """
        own = self.state_dict()
        faults = [f"{name} is missing" for name in own if name not in state]
        faults += [f"{name} is unexpected" for name in state if name not in own]
        for name in own.keys() & state.keys():
            if np.shape(state[name]) != np.shape(own[name]):
                shapes = f"{np.shape(state[name])}, not {np.shape(own[name])}"
                faults.append(f"{name} has shape {shapes}")
        if faults:
            raise ValueError(f"{type(self).__name__}.load_state_dict: {'; '.join(faults)}")
        self.lr = state["lr"]
        for name in own.keys() - {"lr"}:
            if isinstance(own[name], np.ndarray):
                getattr(self, name)[...] = state[name]
            else:
                setattr(self, name, state[name])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.parameters)} parameters, lr={self._lr})"

    def _refuse_non_finite(self) -> None:
        if finite_vector(self._vector.grads):
            return
        for index, parameter in enumerate(self.parameters):
            bad = int(np.sum(~np.isfinite(parameter.grad)))
            if bad:
                raise NonFiniteError(
                    f"{type(self).__name__}: the gradient of parameter {index}, of shape "
                    f"{parameter.shape}, is not finite in {bad} of {parameter.size} elements at "
                    f"step {self.steps}; nothing was changed"
                )
