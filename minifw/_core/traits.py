"""Two small abilities that layers and losses share: a repr, and a memory for backward."""

from typing import Any, Self

import numpy as np

from minifw._core.typing import Array

__all__ = ["RemembersArguments", "SavesForBackward"]


class RemembersArguments:
    """Keeps the arguments of the constructor call, and shows them in the repr.

    They are taken in ``__new__``, which Python calls with the arguments of
    ``__init__``; hence a subclass need not call ``super().__init__()``.
    """

    _arguments: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls)
        self._arguments = (args, kwargs)
        return self

    def __repr__(self) -> str:
        args, kwargs = self._arguments
        shown = [_show(value) for value in args]
        shown += [f"{name}={_show(value)}" for name, value in kwargs.items()]
        return f"{type(self).__name__}({', '.join(shown)})"


def _show(value: object) -> str:
    """Show an argument in a few characters; arrays by their shape."""
    if isinstance(value, np.ndarray):
        return f"array{value.shape}"
    if isinstance(value, np.random.Generator):
        return str(value)  # "Generator(PCG64)", where the repr adds an address
    if isinstance(value, np.dtype):
        return str(value)
    if isinstance(value, type):
        return value.__name__
    if callable(value) and not isinstance(value, RemembersArguments):
        return getattr(value, "__name__", repr(value))
    return repr(value)


class SavesForBackward:
    """Hands arrays from ``forward`` to ``backward``: what the notes call the cache.

    ``backward`` always differentiates the latest ``forward``. Copies and
    pickles leave the saved arrays behind.
    """

    _saved: tuple[Array, ...] | None = None

    def save(self, *arrays: Array) -> None:
        """Keep what ``backward`` will need of this ``forward``."""
        self._saved = arrays

    def saved(self) -> tuple[Array, ...]:
        """Return what the latest ``forward`` saved.

        Raises
        ------
        RuntimeError
            If there was no ``forward`` yet.
        """
        if self._saved is None:
            raise RuntimeError(f"{self!r}: backward needs a forward before it; call forward first")
        return self._saved

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_saved"}
