"""Names that a package imports when they are first used (PEP 562)."""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module

__all__ = ["lazily"]


def lazily(
    package: str, files: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], object], Callable[[], list[str]], list[str]]:
    """Return the ``__getattr__``, the ``__dir__`` and the ``__all__`` of a package.

    Parameters
    ----------
    package : str
        Its ``__name__``.
    files : mapping of str to sequence of str
        The public names that stand in each file, relative to the package (".layers"). The
        files are attributes as well, as they would be if they were all imported.
    """
    homes = {name: file for file, names in files.items() for name in names}
    rooms = {file.removeprefix("."): file for file in files}

    def find(name: str) -> object:
        if name not in homes and name not in rooms:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(homes.get(name) or rooms[name], package)
        value = getattr(module, name) if name in homes else module
        setattr(sys.modules[package], name, value)  # so that the next use finds it at once
        return value

    def listed() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes})

    return find, listed, sorted(homes)
