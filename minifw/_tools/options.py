"""Attributes that are checked: options when they are assigned, state when it is loaded."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, ClassVar, Generic, NamedTuple, Self, TypeAlias, TypeVar, overload

import numpy as np

from minifw._tools.checks import check_is, describe
from minifw._tools.walking import places
from minifw.typing import Array

_T = TypeVar("_T")
Check: TypeAlias = Callable[[str, str, Any], _T]
"""Of the names of a class and an attribute, and a value: it returns what is kept, or raises."""


class Option(Generic[_T]):
    """A public attribute of a layer, loss, optimizer or callback, checked at each assignment.

    ``delta = Option(check_positive)`` in the class declares it; ``self.delta = delta`` in
    the constructor checks and keeps it. The value stands under the private name ``_delta``.

    Parameters
    ----------
    check : callable
        Called with the name of the class, the name of the option and the value; it returns
        what is to be kept, or raises.
    fixed : bool, default False
        Whether it is given once, in the constructor, as a size or a stride is.
    counts : bool, default False
        Whether it is not a setting, but what a run has come to, such as a number of steps.
    """

    def __init__(self, check: Check[_T], *, fixed: bool = False, counts: bool = False) -> None:
        self._check, self._fixed, self.counts = check, fixed, counts

    def __set_name__(self, owner: type, name: str) -> None:
        self._name, self._kept = name, f"_{name}"

    @overload
    def __get__(self, owner: None, kind: type) -> Self: ...
    @overload
    def __get__(self, owner: Any, kind: type) -> _T: ...
    def __get__(self, owner: Any, kind: type) -> "Self | _T":
        if owner is None:
            return self
        value: _T = getattr(owner, self._kept)
        return value

    def __set__(self, owner: Any, value: _T) -> None:
        if self._fixed and hasattr(owner, self._kept):
            raise AttributeError(
                f"{type(owner).__name__}.{self._name} is fixed once it is made; make another"
            )
        # Of what keeps the arguments it was given, and if this is not the first value.
        keeps = hasattr(owner, "_note_argument") and self._kept in vars(owner)
        # Not by `vars`, which makes every later look at an attribute slower.
        setattr(owner, self._kept, self.checked(owner, value))
        if keeps:
            owner._note_argument(self._name, getattr(owner, self._kept))
        assigned = getattr(owner, "_assigned", None)  # for what follows from the option
        if assigned is not None:
            assigned(self._name)

    def checked(self, owner: Any, value: Any) -> _T:
        """Return the value as it will be kept, or raise if the owner cannot work with it."""
        result = self._check(type(owner).__name__, self._name, value)
        fits = getattr(owner, "_check_fits", None)  # whether an optimizer's dtype can hold it
        if fits is not None:
            fits(self._name, result)
        return result


class LiveOption(Option[Any]):
    """An option that a joint form shares with the loss that it was `_made_of`."""

    def __get__(self, owner: Any, kind: type) -> Any:
        return super().__get__(None if owner is None else owner._made_of or owner, kind)

    def __set__(self, owner: Any, value: Any) -> None:
        super().__set__(owner._made_of or owner, value)


class _Delegated:
    def __init__(self, path: str, fixed: bool) -> None:
        self._inside, _, self._name = path.partition(".")
        self._fixed = fixed

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = self._name or name

    def __get__(self, owner: Any, kind: type) -> Any:
        return self if owner is None else getattr(getattr(owner, self._inside), self._name)

    def __set__(self, owner: Any, value: Any) -> None:
        if self._fixed:
            raise AttributeError(f"{self._name} of {type(owner).__name__} cannot be assigned")
        setattr(getattr(owner, self._inside), self._name, value)


def delegated(path: str, *, fixed: bool = False) -> Any:
    """Return an attribute that is read on an object inside, and, unless it is fixed, assigned.

    ``lr: float = delegated("optimizer")`` is ``self.optimizer.lr``, as with "optimizer.lr".
    """
    return _Delegated(path, fixed)


def options_of(kind: type) -> dict[str, Option[Any]]:
    """Return all options of a class, by their names."""
    return _options_of(kind)


@cache
def _options_of(kind: Any) -> dict[str, Option[Any]]:
    return {
        name: value
        for base in reversed(kind.__mro__)
        for name, value in vars(base).items()
        if isinstance(value, Option) and getattr(kind, name) is value  # no subclass has another
    }


def options_below(roots: Mapping[str, Any]) -> dict[str, tuple[Any, str]]:
    """Return each option of all objects below the roots, by its path: the object and the name.

    Sizes and other arguments that are fixed are left out, and what a run has come to.
    """
    found = {}
    for path, one in places(roots):
        for name, option in options_of(type(one)).items():
            if not (option._fixed or option.counts):
                found[f"{path}.{name}"] = one, name
    return found


def settled(now: Any, given: Any, mine: Any) -> Any:
    """Return the saved values, but mine where what was given then is not what I was given.

    All three are a value, or dicts of the same names.
    """
    if isinstance(mine, Mapping) and isinstance(given, Mapping):
        return {key: settled(now[key], given.get(key), mine.get(key)) for key in now}
    return now if same(given, mine) else mine


def same(one: Any, other: Any) -> bool:
    """Return whether two options are equal, arrays too."""
    return one is other or bool(np.array_equal(one, other))


class Kept:
    """An object of which a checkpoint keeps some attributes; each is checked when it is loaded."""

    # By the attribute's name, its check, which gets None for what the state lacks; no check, if
    # the attribute has a state of its own, or is None and has none. In a state, the names have no
    # underscore before them.
    _in_checkpoint: ClassVar[Mapping[str, Check[Any] | None]] = {}

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint has to hold; nothing, by default."""
        found: dict[str, Any] = {}
        for attribute, check in self._in_checkpoint.items():
            value, name = getattr(self, attribute), attribute.lstrip("_")
            if check is not None:
                found[name] = value
            elif value is not None:
                found[name] = value.state_dict()
        return found

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        found: dict[str, Any] = {}
        for attribute, check in self._in_checkpoint.items():
            value, name = getattr(self, attribute), attribute.lstrip("_")
            if check is not None:
                found[attribute] = check(type(self).__name__, name, state.get(name))
            elif value is not None:
                value.load_state_dict(state.get(name))
        for attribute, value in found.items():
            setattr(self, attribute, value)


def is_a(*kinds: type) -> Check[Any]:
    """Return the check that a value is of one of these classes."""
    what = " or ".join(kind.__name__ for kind in kinds)

    def check(owner: str, name: str, value: Any) -> Any:
        check_is(owner, f"{name} to be {what}", value, kinds)
        return value

    return check


class Vector(NamedTuple):
    """What a vector of the state may be, besides finite and as long as the parameters."""

    squares: bool = False  # which are nowhere below 0
    when: str | None = None  # the option with which a step needs it; None until then
    fades: bool = True  # whether it shrinks where the gradient is 0

    def checked(self, key: str, like: Array, new: Any) -> Array | None:
        """Return a loaded vector in the dtype of the parameters, or raise if it is none."""
        if new is None:
            if self.when:
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
