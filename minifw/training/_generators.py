"""Finds every random generator below some objects, so that a checkpoint can hold its state."""

import functools
from collections import deque
from collections.abc import Iterator, Mapping
from types import FunctionType, MethodType, ModuleType
from typing import Any, TypeAlias

import numpy as np

from minifw.core.parameter import Parameter
from minifw.storage import _generators as storage

__all__ = ["AnyGenerator", "find_generators", "kind_of", "load_state", "state_of"]

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
    """Return the state of a generator as plain values."""
    if isinstance(generator, np.random.Generator):
        return {"bits": storage.state_of(generator)}
    state: Any = generator.get_state(legacy=False)
    gauss = [int(state["has_gauss"]), float(state["gauss"])]
    return {
        "bits": storage.state_of(np.random.Generator(generator._bit_generator)),
        "gauss": gauss,
    }


def load_state(generator: AnyGenerator, state: Mapping[str, Any]) -> None:
    """Put a generator into the state that `state_of` returned, which is checked first."""
    bits = storage.generator_of(state["bits"]).bit_generator.state
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = bits
    else:
        has, gauss = state["gauss"]
        generator.set_state({**bits, "has_gauss": int(bool(has)), "gauss": float(gauss)})


def kind_of(state: Mapping[str, Any]) -> str:
    """Return the name of the algorithm, such as PCG64."""
    return str(state["bits"]["bit_generator"])
