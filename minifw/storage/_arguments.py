"""Layers as the arguments that build them: recorded as plain values, and built again.

A value that is not plain is a dict with one key, which names its kind:

    {"layer": [class, args, kwargs]}    a layer, or an initializer
    {"same": 3}                         the fourth of those, counted as they are finished
    {"dict": [[key, value], ...]}
    {"array": "~0"}                     an array of the file
    {"scalar": ["<f4", "0000803f"]}     a NumPy scalar, by its bytes
    {"dtype": "<f4"}, {"type": "float32"}
"""

import inspect
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from minifw._tools.arguments import KeepsArguments
from minifw._tools.checks import describe
from minifw.errors import FileFormatError
from minifw.storage._archive import check_storable, dtype_of
from minifw.storage._classes import Buildable, find_class, name_of
from minifw.storage.tree import PLAIN

Arrays = Mapping[str, np.ndarray[Any, Any]]

_CLASSES: tuple[type, ...] = (bool, int, float, *np.sctypeDict.values())
_TYPES = {cls.__name__: cls for cls in _CLASSES}
_SCALARS = "?biufcSUmM"  # the kinds of dtype whose scalars are plain bytes


class Recorder:
    """Turns layers into plain values, and collects their arrays and classes on the way."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray[Any, Any]] = {}
        self.classes: list[type[Buildable]] = []
        self._done: dict[int, int] = {}  # the number of each object by its identity

    def record(self, thing: Buildable) -> dict[str, Any]:
        """Return what `Builder.build` builds the layer or initializer from.

        Raises
        ------
        TypeError
            If an argument is not of a kind that a file can hold.
        """
        if id(thing) in self._done:
            return {"same": self._done[id(thing)]}
        cls = type(thing)
        args, kwargs = thing._arguments
        pairs = zip(_names(cls, len(args)), args, strict=True)
        given = [self._value(thing, name, value) for name, value in pairs]
        named = {name: self._value(thing, name, value) for name, value in kwargs.items()}
        self._done[id(thing)] = len(self._done)
        self.classes.append(cls)
        return {"layer": [name_of(cls), given, named]}

    def _value(self, owner: Buildable, name: str, value: Any) -> Any:  # noqa: C901, PLR0911 - a kind of value each
        again = partial(self._value, owner, name)
        if type(value) in PLAIN:
            return value
        if type(value) in (list, tuple):
            return type(value)(map(again, value))
        if type(value) is dict:
            return {"dict": [[again(key), again(item)] for key, item in value.items()]}
        if isinstance(value, Buildable):
            return self.record(value)
        if isinstance(value, np.random.Generator):
            return None  # what it drew is in the weights; what a layer keeps is stored apart
        if type(value) is np.ndarray:
            key = f"~{len(self.arrays)}"  # no attribute, so no parameter, has such a name
            self.arrays[key] = check_storable(name, value)
            return {"array": key}
        if isinstance(value, np.generic) and value.dtype.kind in _SCALARS:
            plain = check_storable(name, value)
            return {"scalar": [plain.dtype.str, plain.tobytes().hex()]}
        if isinstance(value, np.dtype) and value == np.dtype(value.str):
            return {"dtype": value.str}
        if isinstance(value, type) and _TYPES.get(value.__name__) is value:
            return {"type": value.__name__}
        shown = getattr(value, "__name__", describe(value))
        fix = (
            "pass None, numbers, strings, arrays, layers, initializers, or lists, tuples and "
            "dicts of these, and make the rest in the constructor"
        )
        if callable(value) and not isinstance(value, type):
            fix = (
                "write the function as a class derived from minifw.Initializer, or from Layer, "
                "and pass an instance"
            )
        raise TypeError(
            f"save: {owner!r} was built with {name}={shown}, which no file can hold; {fix}"
        )


class Builder:
    """Builds layers from plain values that came from a file, and so from anyone."""

    def __init__(self, arrays: Arrays, custom: tuple[type[Buildable], ...]) -> None:
        self._arrays = arrays
        self._custom = custom
        self._done: list[Buildable] = []

    def build(self, recorded: object) -> Buildable:
        """Return the layer or initializer.

        Raises
        ------
        FileFormatError
            If a class is not here or refuses the arguments, or if the values are none
            that `Recorder.record` returns.
        """
        match recorded:
            case {"same": int(index), **rest} if not rest and 0 <= index < len(self._done):
                return self._done[index]
            case {"layer": [str(name), list(args), dict(kwargs)], **rest} if not rest:
                cls = find_class(name, self._custom)
                given = [self._value(value) for value in args]  # in the order of `record`
                named = {key: self._value(value) for key, value in kwargs.items()}
                try:
                    built = cls(*given, **named)
                except Exception as error:  # a constructor may raise anything
                    why = f"{cls.__name__} refuses the arguments in it: {type(error).__name__}"
                    raise FileFormatError(f"{why}: {error}") from error
                self._done.append(built)
                return built
        raise FileFormatError("it does not describe a layer")

    def _value(self, value: Any) -> Any:  # noqa: PLR0911 - a kind of value each
        match value:
            case None | bool() | int() | float() | str():
                return value
            case list() | tuple():
                return type(value)([self._value(item) for item in value])
            case {"layer": _} | {"same": _}:
                return self.build(value)
            case {"dict": list(pairs)}:
                return {self._value(key): self._value(item) for key, item in pairs}
            case {"array": str(key)} if key in self._arrays:
                return self._arrays[key].copy()
            case {"scalar": [str(code), str(text)]}:
                dtype = dtype_of(code)
                if dtype.kind in _SCALARS and dtype.itemsize == len(text) // 2:
                    return np.frombuffer(bytes.fromhex(text), dtype)[0]
            case {"dtype": str(code)}:
                return dtype_of(code).newbyteorder("=")
            case {"type": str(name)} if name in _TYPES:
                return _TYPES[name]
        raise FileFormatError("it describes a layer with an argument of an unknown kind")


def _names(cls: type[KeepsArguments], count: int) -> list[str]:
    """Return the names of the first `count` arguments of the constructor, for messages."""
    names: list[str] = []
    for parameter in list(inspect.signature(cls.__init__).parameters.values())[1:]:
        many = parameter.kind is inspect.Parameter.VAR_POSITIONAL
        rest = [f"{parameter.name}[{index}]" for index in range(count - len(names))]
        names += rest if many else [parameter.name]
    return [*names, *(f"argument {index}" for index in range(len(names), count))][:count]
