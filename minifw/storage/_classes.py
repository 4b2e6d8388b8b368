"""Classes by their names, without ever importing what a file asks for."""

import inspect
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import minifw.initializers
import minifw.layers
from minifw._tools.checks import describe
from minifw.core.layer import Layer
from minifw.errors import FileFormatError
from minifw.initializers import Initializer

Buildable = Layer | Initializer

_PUBLIC: dict[str, type[Buildable]] = {
    name: getattr(package, name)
    for package in (minifw.layers, minifw.initializers)
    for name in package.__all__
}
_OWN = "minifw."  # before the name of a public class of minifw, whichever file it stands in


def check_custom(owner: str, custom: Iterable[type[Any]]) -> tuple[type[Buildable], ...]:
    """Return the classes, or raise unless they are classes of layers or initializers."""
    if isinstance(custom, type) or not isinstance(custom, Iterable):
        raise TypeError(
            f"{owner} expects custom_layers to be a tuple of classes, got {describe(custom)}; "
            "write custom_layers=(MyLayer,)"
        )
    found = tuple(custom)
    for cls in found:
        if not (isinstance(cls, type) and issubclass(cls, Buildable)):
            fix = f"; write {type(cls).__name__}" if isinstance(cls, Buildable) else ""
            raise TypeError(
                f"{owner} expects custom_layers to be classes of layers or initializers, got "
                f"{describe(cls)}{fix}"
            )
    return found


def name_of(cls: type[Buildable]) -> str:
    """Return the name under which a file knows a class."""
    if _PUBLIC.get(cls.__name__) is cls:
        return _OWN + cls.__name__
    return f"{cls.__module__}.{cls.__qualname__}"


def find_class(name: str, custom: tuple[type[Buildable], ...]) -> type[Buildable]:
    """Return the class of that name: minifw's own, one of `custom`, or one that is defined.

    A class of another module than when the file was written is found by its last name,
    if only one has that: the script that trained called it ``__main__.Scale``.
    """
    last = name.rpartition(".")[2]
    if name == _OWN + last and last in _PUBLIC:
        return _PUBLIC[last]
    for known in (custom, (*_defined(Layer), *_defined(Initializer))):
        for matches in (lambda cls: name_of(cls) == name, lambda cls: cls.__name__ == last):
            found = list(dict.fromkeys(cls for cls in known if matches(cls)))
            found = [cls for cls in found if _is_current(cls)] or found
            if len(found) == 1:
                return found[0]
            if found:
                names = " and ".join(sorted(name_of(cls) for cls in found)[:3])
                raise FileFormatError(
                    f"it was made with {name[:200]}, and {len(found)} classes could be meant, "
                    f"{names}; say which with custom_layers=(...,)"
                )
    raise FileFormatError(
        f"it was made with the class {name[:200]}, which is not here; "
        f"import it and pass custom_layers=({last[:80]},)"
    )


def _defined(base: type[Buildable]) -> Iterator[type[Buildable]]:
    """Yield every class derived from `base` that this program has defined; minifw's have names."""
    for cls in base.__subclasses__():
        if not inspect.isabstract(cls) and _PUBLIC.get(cls.__name__) is not cls:
            yield cls
        yield from _defined(cls)


def _is_current(cls: type[Buildable]) -> bool:
    """Whether its module still calls this class by its name: a notebook may have made it anew."""
    found: object = sys.modules.get(cls.__module__)
    for part in cls.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is cls
