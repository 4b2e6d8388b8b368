"""The arguments of a constructor: shown in the repr, and kept for files."""

import inspect
from collections.abc import Callable, Iterator
from functools import cache
from types import FunctionType
from typing import Any, Self, cast

import numpy as np


@cache
def argument_names(method: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of a method's positional arguments; "b?" has a default, "xs*" is many."""
    by_name = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD)
    _, *given = inspect.signature(method).parameters.values()  # the first is self
    return tuple(
        f"{one.name}*"
        if one.kind is one.VAR_POSITIONAL
        else f"{one.name}{'' if one.default is one.empty else '?'}"
        for one in given
        if one.kind not in by_name
    )


class KeepsArguments:
    """Keeps the arguments of the constructor call, and shows them in the repr.

    They are taken in ``__new__``, which Python calls with the arguments of
    ``__init__``; hence a subclass need not call ``super().__init__()``.
    """

    _arguments: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, /, *args: Any, **kwargs: Any) -> Self:
        if (args or kwargs) and cls.__init__ is object.__init__:
            raise TypeError(f"{cls.__name__} takes no arguments")  # Python's own words
        self = super().__new__(cls)
        self._arguments = (remade(args, _kept), remade(kwargs, _kept))  # containers are copied
        return self

    def _note_argument(self, name: str, value: Any) -> None:
        """Show an option that was assigned later, and write it into files."""
        args, kwargs = self._arguments
        places = [one.rstrip("?") for one in argument_names(type(self).__init__)][: len(args)]
        if name in places:
            at = places.index(name)
            self._arguments = (*args[:at], value, *args[at + 1 :]), kwargs
        elif name in kwargs or name in inspect.signature(type(self).__init__).parameters:
            self._arguments = args, {**kwargs, name: value}

    def __repr__(self) -> str:
        args, kwargs = self._arguments
        shown = [_show(value) for value in args]
        shown += [f"{name}={_show(value)}" for name, value in kwargs.items()]
        return f"{type(self).__name__}({', '.join(shown)})"

    def __getstate__(self) -> dict[str, Any]:
        """Leave behind what no pickle can hold: functions without a name in a module."""
        state = cast("dict[str, Any]", super().__getstate__())
        return {**state, "_arguments": remade(self._arguments, _picklable)}


class Placeholder:
    """Stands for an argument that cannot be kept: only its repr remains."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def remade(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return what `change` makes of an argument; of containers, what it makes of all in them."""
    if type(value) in (list, tuple):
        return type(value)(remade(item, change) for item in value)
    if type(value) is dict:
        return {key: remade(item, change) for key, item in value.items()}
    return change(value)


def _kept(value: Any) -> Any:
    """Return an argument as it is now: an iterator will be used up."""
    return Placeholder(f"<{type(value).__name__}>") if isinstance(value, Iterator) else value


def _picklable(value: Any) -> Any:
    local = isinstance(value, FunctionType) and "<" in value.__qualname__
    return Placeholder(_show(value)) if local else value


def _show(value: object) -> str:
    """Show an argument in a few characters; arrays by their shape."""
    if isinstance(value, np.ndarray):
        return f"array{value.shape}"
    if isinstance(value, np.random.Generator):
        return str(value)  # "Generator(PCG64)", where the repr adds an address
    if isinstance(value, np.dtype):
        return str(value)
    if isinstance(value, type | FunctionType):
        return value.__name__
    return repr(value)
