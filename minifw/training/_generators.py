"""Finds every random generator below some objects, so that a checkpoint can hold its state."""

import functools
from collections import deque
from collections.abc import Iterator, Mapping
from types import FunctionType, MethodType, ModuleType
from typing import Any, TypeAlias

import numpy as np

from minifw._core.parameter import Parameter

__all__ = ["AnyGenerator", "find_generators", "load_state", "state_of"]

AnyGenerator: TypeAlias = "np.random.Generator | np.random.RandomState"

# What holds no generator, or only one that was used up when a layer was built.
_LEAVES = (str, bytes, int, float, complex, type, ModuleType, np.ndarray, np.generic, Parameter)
_PASSED = ("_arguments", "_saved")


def find_generators(roots: Mapping[str, Any], seen: set[int]) -> dict[str, AnyGenerator]:
    """Return every generator by the path to it, such as "model.1.rng"; each once.

    Attributes, containers, what functions refer to, and so on are all looked into.
    Objects whose ids are in `seen` are passed by.
    """
    found: dict[str, AnyGenerator] = {}

    def visit(path: str, value: Any) -> None:
        if value is None or isinstance(value, _LEAVES) or id(value) in seen:
            return
        seen.add(id(value))
        if isinstance(value, np.random.Generator | np.random.RandomState):
            found[path] = value
            return
        for name, child in _children(value):
            visit(f"{path}.{name}", child)

    for name, root in roots.items():
        visit(name, root)
    return found


def _children(value: Any) -> Iterator[tuple[str, Any]]:  # noqa: C901 - a list of kinds
    if isinstance(value, Mapping):
        yield from ((str(key), item) for key, item in value.items())
    elif isinstance(value, list | tuple | deque):
        yield from ((str(index), item) for index, item in enumerate(value))
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
    for name, item in getattr(value, "__dict__", {}).items():
        if not name.startswith(_PASSED):
            yield name, item
    for kind in type(value).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                yield name, getattr(value, name)


def state_of(generator: AnyGenerator) -> dict[str, Any]:
    """Return the state of a generator: numbers, and arrays of them."""
    bits: Any = _bits(generator)
    return dict(bits.state)


def load_state(generator: AnyGenerator, state: Mapping[str, Any]) -> None:
    """Put a generator into the state that `state_of` returned."""
    bits: Any = _bits(generator)
    bits.state = dict(state)


def _bits(generator: AnyGenerator) -> Any:
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator
    return generator._bit_generator
