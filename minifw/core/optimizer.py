"""The contract of an optimizer."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, TypeAlias

import numpy as np

from minifw._engine.packing import FlatParameters, check_groups
from minifw._engine.state import checked_state
from minifw._tools.arrays import Writable, finite_vector
from minifw._tools.numbers import check_normal, check_positive, check_size
from minifw._tools.options import Option, Vector, check_kind, options_of
from minifw.core.parameter import Parameter
from minifw.typing import Array

__all__ = ["Group", "Optimizer"]

Group: TypeAlias = Mapping[str, Any]
"""Parameters with a learning rate of their own: {"params": ..., "lr": ...}."""


class Optimizer(Writable, ABC):
    """Changes parameters by their gradients: a subclass writes one method.

    ``update(values, grads)`` receives all parameters as one vector and all
    gradients as another, and changes `values` in place.

    Parameters
    ----------
    parameters : iterable of Parameter, or list of dict
        ``model.parameters()``. They are moved into one vector; take a
        parameter's ``value`` again afterwards. Groups with learning rates of their own are
        dicts, as in PyTorch: ``[{"params": a, "lr": 0.1}, {"params": b}]``.
    lr : float
        The learning rate, above 0. It may be assigned later. One of a group keeps its
        ratio to it.

    Attributes
    ----------
    lr : float
    lr_factors : array of shape (number of elements,), or None
        The learning rate of each element, over `lr`; None where there are no groups.
    steps : int
        How many steps were made.

    Raises
    ------
    RuntimeError
        By `step`, if an optimizer built later took some of the parameters into
        a vector of its own, or if a layer has another Parameter in place of one.
    NonFiniteError
        By `step`, if a gradient is not finite; nothing is changed.

    Notes
    -----
    `step` warns if it steps on the gradient of one `Objective.backward` for the second
    time. Public attributes that a subclass sets in its constructor are its state:
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

    lr = Option(check_positive)  # checked at each assignment, and kept as `_lr`
    _lr: float
    lr_factors: Array | None = None  # of the class: a state without groups does not have it
    # Whether `update` can work with these gradients; a subclass that squares them is stricter.
    _accepts = staticmethod(finite_vector)
    # The state vectors by name, with what `load_state_dict` may put into each.
    _vectors: ClassVar[Mapping[str, Vector]] = {}

    def __init__(self, parameters: Iterable[Parameter | Group], lr: float) -> None:
        name = type(self).__name__
        self.lr = lr  # checked before any parameter is moved
        self.steps = 0
        found, factors = check_groups(name, parameters, self.lr)
        if factors is not None:
            self.lr_factors = factors
        self._vector = FlatParameters(name, found)
        for option in options_of(type(self)):
            setattr(self, option, getattr(self, option))  # checked again: the dtype is known now

    @abstractmethod
    def update(self, values: Array, grads: Array) -> None:
        """Change `values` in place; both are vectors over all parameters."""

    def step(self) -> None:
        """Update the parameters from their gradients."""
        vector = self._vector  # all parameters: one vector of values, one of gradients
        memory = vector.memory  # the arrays they lie in; `moved` counts the parameters that left
        if memory.moved != vector.moved:  # some left since this optimizer last looked
            memory = vector.refresh()  # or raises, if one is no longer this optimizer's
        author, memory.author = memory.author, None  # the Objective that wrote the gradients
        if not self._accepts(vector.grads):
            vector.refuse(self.steps, author)
        if signed := memory.signed:  # the number of the backward that wrote them, if it is known
            stepped = signed, vector.sample()  # which a write into p.grad changes
            if stepped == vector.stepped and any(stepped[1]):  # a gradient of 0 does no harm
                vector.warn_twice()
            vector.stepped = stepped
        factors = self.lr_factors
        before = vector.values if factors is None else vector.values.copy()
        result: object = self.update(vector.values, vector.grads)
        if result is not None:
            raise TypeError(
                f"{type(self).__name__}.update must change values in place and return nothing"
            )
        if factors is not None:
            scaled = before + factors * (vector.values - before)
            np.copyto(vector.values, scaled, where=factors != 1)
        self.steps += 1

    def _check_fits(self, name: str, value: object) -> None:
        """Raise if a number would overflow, or vanish, in the dtype of the parameters."""
        if isinstance(value, float) and hasattr(self, "_vector"):
            check_normal(type(self).__name__, name, value, self._vector.values.dtype)

    def _assigned(self, option: str) -> None:
        """Make what follows from an option; `Option` calls it after an assignment."""
        if hasattr(self, "_vector"):  # else the dtype is not known yet, and `__init__` comes back
            self._prepare(option)

    def _prepare(self, option: str) -> None:
        """Make what follows from an option that was assigned."""
        if option == "lr":
            self._rate = self._constant(self.lr)

    def _constant(self, value: float) -> Array:
        """Return a number as an array: NumPy converts a float at every call, which costs more."""
        return np.array(value, self._vector.values.dtype)

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
        options = {name: getattr(self, name) for name in options_of(type(self))}
        return {**options, **copy.deepcopy(state)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned.

        Raises
        ------
        ValueError, TypeError
            If a name is missing or unexpected, or a value is of another shape
            or kind, or none that the constructor takes; all faults are named,
            and nothing is changed.
        """
        own = self.state_dict()
        owner = f"{type(self).__name__}.load_state_dict"
        taken = checked_state(owner, own, state, lambda key, new: self._taken(key, own[key], new))
        for key, value in taken.items():
            if isinstance(own[key], np.ndarray) and value is not None:
                getattr(self, key)[...] = value
            else:
                setattr(self, key, value)

    def _taken(self, key: str, own: Any, new: Any) -> Any:
        """Return a value of a state as it is to be kept, or raise if it does not fit."""
        if (option := options_of(type(self)).get(key)) is not None:
            return option.checked(self, new)
        if key in self._vectors:
            return self._vectors[key].checked(key, self._vector.values, new)
        check_kind(key, own, new)
        if key == "steps":
            return check_size(type(self).__name__, "steps", new, least=0)
        return copy.deepcopy(new)

    @property
    def _kind(self) -> str:
        """The class whose state `state_dict` returns."""
        return type(self).__name__

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.parameters)} parameters, lr={self.lr})"
