"""Two small abilities that layers and losses share: a repr, and a memory for backward."""

from collections.abc import Iterator
from types import FunctionType
from typing import Any, Self, cast

import numpy as np

from minifw._core.typing import Array

__all__ = ["RemembersArguments", "SavesForBackward", "Shown"]


class RemembersArguments:
    """Keeps the arguments of the constructor call, and shows them in the repr.

    They are taken in ``__new__``, which Python calls with the arguments of
    ``__init__``; hence a subclass need not call ``super().__init__()``.
    """

    _arguments: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        if (args or kwargs) and cls.__init__ is object.__init__:
            raise TypeError(f"{cls.__name__} takes no arguments")  # as Python says by itself
        self = super().__new__(cls)
        self._arguments = (_kept(args), _kept(kwargs))
        return self

    def __repr__(self) -> str:
        args, kwargs = self._arguments
        shown = [_show(value) for value in args]
        shown += [f"{name}={_show(value)}" for name, value in kwargs.items()]
        return f"{type(self).__name__}({', '.join(shown)})"

    def __getstate__(self) -> dict[str, Any]:
        """Leave behind what no pickle can hold: functions without a name in a module."""
        state = cast("dict[str, Any]", super().__getstate__())
        return {**state, "_arguments": _picklable(self._arguments)}


class Shown:
    """Stands for an argument that cannot be kept: it has its repr, and no more."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _kept(value: Any) -> Any:
    """Return an argument as it is now: containers are copied, an iterator will be used up."""
    if type(value) in (list, tuple):
        return type(value)(_kept(item) for item in value)
    if type(value) is dict:
        return {key: _kept(item) for key, item in value.items()}
    return Shown(f"<{type(value).__name__}>") if isinstance(value, Iterator) else value


def _picklable(value: Any) -> Any:
    if type(value) in (list, tuple):
        return type(value)(_picklable(item) for item in value)
    if type(value) is dict:
        return {key: _picklable(item) for key, item in value.items()}
    local = isinstance(value, FunctionType) and "<" in value.__qualname__
    return Shown(_show(value)) if local else value


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


def _is_path(value: object) -> bool:
    return isinstance(value, str) or hasattr(value, "__fspath__")


class SavesForBackward:
    """Hands arrays from ``forward`` to ``backward``: what the notes call the cache.

    ``backward`` always differentiates the latest ``forward``. What is saved, and
    every attribute whose name begins with ``_saved``, belongs to that forward:
    copies and pickles leave it behind.
    """

    _saved: tuple[np.ndarray[Any, Any], ...] | None = None

    def save(self, *arrays: np.ndarray[Any, Any]) -> None:
        """Keep what ``backward`` will need of this ``forward``; masks and indices, too.

        Raises
        ------
        TypeError
            If it is given a path: `minifw.save` writes a file.
        """
        if arrays and type(arrays[0]) is not np.ndarray and _is_path(arrays[0]):
            raise TypeError(
                f"{type(self).__name__}.save keeps arrays for backward, it got a path; to write a "
                "file, use minifw.save(model, path)"
            )
        vars(self)["_saved"] = arrays  # past __setattr__, for it is done in every forward

    def saved(self) -> tuple[Array, ...]:
        """Return what the latest ``forward`` saved.

        Raises
        ------
        RuntimeError
            If there was no ``forward`` yet.
        """
        if self._saved is None:
            raise RuntimeError(
                f"{self!r}: backward needs a forward before it; call forward first, which saves "
                "what backward needs by self.save(...)"
            )
        return self._saved

    def _all_saved(self) -> dict[str, Any]:
        """Return what was saved, for `_put_back`."""
        return {name: value for name, value in vars(self).items() if name.startswith("_saved")}

    def _put_back(self, saved: dict[str, Any]) -> None:
        """Forget what was saved since `_all_saved` returned this."""
        for name in self._all_saved():
            if name not in saved:
                delattr(self, name)
        vars(self).update(saved)

    def __getstate__(self) -> dict[str, Any]:
        return {n: value for n, value in vars(self).items() if not n.startswith("_saved")}
