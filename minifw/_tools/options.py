"""The state of an optimizer: options that are checked when they are assigned, and vectors."""

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, Self, TypeVar, overload

import numpy as np

from minifw._tools.checks import describe, normal_number
from minifw.typing import Array

__all__ = ["Setting", "Vector", "check_kind", "settings_of"]

_T = TypeVar("_T")


class Setting(Generic[_T]):
    """A public attribute of an optimizer that is checked whenever it is assigned.

    It is kept under the private name, that of momentum under ``_momentum``, by which `update`
    reads it: that costs no more than any other attribute.
    """

    def __init__(self, check: Callable[[str, str, Any], _T]) -> None:
        self._check = check

    def __set_name__(self, owner: type, name: str) -> None:
        self._name, self._kept = name, f"_{name}"

    @overload
    def __get__(self, optimizer: None, kind: type) -> Self: ...
    @overload
    def __get__(self, optimizer: Any, kind: type) -> _T: ...
    def __get__(self, optimizer: Any, kind: type) -> "Self | _T":
        if optimizer is None:
            return self
        value: _T = getattr(optimizer, self._kept)
        return value

    def __set__(self, optimizer: Any, value: _T) -> None:
        # Not by `vars`, which makes every later look at an attribute slower.
        setattr(optimizer, self._kept, self.checked(optimizer, value))

    def checked(self, optimizer: Any, value: Any) -> _T:
        """Return the value as it will be kept, or raise if it is none for this optimizer."""
        owner = type(optimizer).__name__
        found = self._check(owner, self._name, value)
        vector = getattr(optimizer, "_vector", None)  # None, until the parameters are known
        if vector is not None and isinstance(found, float):
            normal_number(owner, self._name, found, vector.values.dtype)
        return found


def settings_of(kind: type) -> dict[str, Setting[Any]]:
    """Return all settings of a class of optimizers, by their names."""
    return {
        name: value
        for base in reversed(kind.__mro__)
        for name, value in vars(base).items()
        if isinstance(value, Setting) and getattr(kind, name) is value  # no subclass has another
    }


class Vector(NamedTuple):
    """What a vector of the state may be, besides finite and as long as the parameters."""

    squares: bool = False  # which are nowhere below 0
    late: bool = False  # None until a step needs it

    def checked(self, key: str, like: Array, new: Any) -> Array | None:
        """Return a loaded vector in the dtype of the parameters, or raise if it is none."""
        if new is None:
            if self.late:
                return None
            raise ValueError(f"{key} is None, not {describe(like)}")
        check_kind(key, like, np.asarray(new))
        with np.errstate(over="ignore"):  # what overflows is found below
            vector: Array = np.array(new, like.dtype)
        if not np.isfinite(vector).all():
            raise ValueError(f"{key} holds NaN or infinity")
        if self.squares and (vector < 0).any():
            raise ValueError(f"{key} holds numbers below 0")
        return vector


def check_kind(key: str, own: object, new: object) -> None:
    """Raise if a value of a state differs in kind from one's own."""
    if own is None or new is None:  # made at the first update
        return
    if isinstance(own, np.ndarray):
        array = np.asarray(new)
        if array.shape != own.shape:
            raise ValueError(f"{key} has shape {array.shape}, not {own.shape}")
        if not np.can_cast(array.dtype, own.dtype, "same_kind"):
            raise ValueError(f"{key} is {describe(array)}, not {describe(own)}")
    elif isinstance(own, int | float) != isinstance(new, int | float):
        raise ValueError(f"{key} is {new!r}, not like {own!r}")
