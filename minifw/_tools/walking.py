"""Walks through all that some objects hold: attributes, containers, what functions refer to."""

import functools
import weakref
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from minifw._tools.cache import NOT_MEMBERS

_PLAIN = (int, float, complex, str, bytes, type(None), np.ndarray, np.generic, type, ModuleType)
_LEAVES = (*weakref.ProxyTypes, *_PLAIN)  # those first, for a dead one answers to nothing else


def places(roots: Mapping[str, Any], passed: Collection[int] = ()) -> Iterator[tuple[str, Any]]:
    """Yield every object below the roots with the path to it, such as "model.1.rng".

    An object at several places comes with each of its paths; what is in it comes once. Plain
    values, arrays, parameters, and objects whose ids are in `passed` do not come, nor attributes
    that a class names in `foreign_attributes`: they hold other software, which may be endless.
    """
    seen = set(passed)
    left = list(roots.items())[::-1]
    while left:
        path, value = left.pop()
        if id(value) in passed or _is_leaf(value):
            continue
        yield path, value
        if id(value) not in seen:
            seen.add(id(value))
            children = [(f"{path}.{name}", child) for name, child in _children(value)]
            left += children[::-1]


def _is_leaf(value: object) -> bool:
    """Return whether nothing is looked for in it: a plain value, an array, a parameter."""
    return isinstance(value, _LEAVES) or hasattr(type(value), "_place_in")


def _children(value: Any) -> Iterator[tuple[str, Any]]:
    for name, child in _parts(value):
        if not isinstance(child, _LEAVES):  # a list may have a million numbers
            yield str(name), child


def _parts(value: Any) -> Iterator[tuple[object, Any]]:  # noqa: C901 - a list of kinds
    if isinstance(value, Mapping):
        yield from value.items()
    elif isinstance(value, list | tuple | deque):
        yield from enumerate(value)
    elif isinstance(value, functools.partial):
        yield from (("func", value.func), ("args", value.args), ("keywords", value.keywords))
    elif isinstance(value, MethodType):
        yield "self", value.__self__
    elif isinstance(value, FunctionType):
        names = value.__code__.co_freevars
        for name, cell in zip(names, value.__closure__ or (), strict=True):
            try:
                yield name, cell.cell_contents
            except ValueError:  # not assigned yet
                continue
    foreign = getattr(type(value), "foreign_attributes", ())
    attributes = dict(getattr(value, "__dict__", {}))  # in one call: another thread may predict
    for name, item in attributes.items():
        if not name.startswith(NOT_MEMBERS) and name not in foreign:
            yield name, item
    for kind in type(value).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                yield name, getattr(value, name)
