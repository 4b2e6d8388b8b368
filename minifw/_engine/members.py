"""What a layer holds: its parameters and layers, in attributes, lists, tuples and dicts."""

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np

from minifw._engine.packing import note_replaced
from minifw._tools.cache import NOT_MEMBERS

# Values of the commonest types are passed over: `predict` of one row is mostly this walk.
PLAIN = frozenset({bool, float, int, str, np.ndarray, type(None)})


def members(layer: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a layer holds itself, attribute by attribute as they were set."""
    for name, value in vars(layer).copy().items():  # another thread may predict, and so save
        if type(value) not in PLAIN and not name.startswith(NOT_MEMBERS):
            yield from _unpacked(layer, name, value)


def walk(layer: Any) -> list[tuple[str, Any]]:
    """Return what a layer holds and, after each layer, what that one holds; each once."""
    found: list[tuple[str, Any]] = []
    _visit("", layer, found, {id(layer)})
    return found


def _visit(prefix: str, one: Any, found: list[tuple[str, Any]], seen: set[int]) -> None:
    # A function inside of `walk` would hold itself, and so what was found, until gc comes.
    for name, member in one._members():
        if id(member) not in seen:
            seen.add(id(member))
            found.append((prefix + name, member))
            if hasattr(type(member), "_members"):
                _visit(f"{prefix}{name}.", member, found, seen)


def note_assigned(layer: Any, name: str, held: object, value: object) -> None:
    """Tell the optimizers of the parameters that left an attribute."""
    plain = type(held) in PLAIN and type(value) in PLAIN
    if not plain and held is not value and not name.startswith(NOT_MEMBERS):
        old, new = (_parameters_in(layer, name, one) for one in (held, value))
        note_replaced(layer, name, old, new)
        if is_layer(held) and is_layer(value):  # the repr and a file show the one that is there
            args, named = layer._arguments
            named = {key: value if one is held else one for key, one in named.items()}
            layer._arguments = tuple([value if one is held else one for one in args]), named


def _parameters_in(layer: Any, name: str, value: object) -> list[Any]:
    """Return the parameters in what an attribute holds, and in the layers there."""
    if isinstance(value, set | frozenset):
        return []  # refused when the members are listed
    found = [member for _, member in _unpacked(layer, name, value)]
    return [p for one in found for p in (one.parameters() if is_layer(one) else [one])]


def is_layer(value: object) -> bool:
    """Return whether a value is a layer, which has members."""
    return hasattr(type(value), "_members")


def _is_member(value: object) -> bool:
    # The type is asked: an object may answer to any name, and a recorder's stand-in to none.
    return hasattr(type(value), "_memory") or is_layer(value)


def _unpacked(layer: Any, name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if _is_member(value):
        yield name, value
    elif isinstance(value, list | tuple | deque):
        for index, item in enumerate(value):
            if type(item) not in PLAIN:
                yield from _unpacked(layer, f"{name}.{index}", item)
    elif isinstance(value, dict):
        for key, item in value.copy().items():
            if type(item) not in PLAIN:
                yield from _unpacked(layer, f"{name}.{key}", item)
    elif isinstance(value, set | frozenset) and any(map(_is_member, value)):
        raise TypeError(
            f"{type(layer).__name__}.{name} holds layers or parameters in a set, "
            "which has no order; use a list or a tuple"
        )
