"""Finds the random generators below some objects, and keeps their states as plain values."""

import functools
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from types import FunctionType, MethodType, ModuleType
from typing import Any, TypeAlias

import numpy as np

from minifw._tools.cache import NOT_MEMBERS
from minifw.errors import FileFormatError

AnyGenerator: TypeAlias = "np.random.Generator | np.random.RandomState"

_GENERATORS = (np.random.Generator, np.random.RandomState)
_LEAVES = (int, float, complex, str, bytes, type(None), np.ndarray, np.generic, type, ModuleType)

_NAMES = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")

# The largest value of each integer in a state. NumPy checks none of them, and reads past the
# end of its buffer where `pos` or `buffer_pos` is too large.
_MOST = {
    "pos": 624,
    "buffer_pos": 4,
    "has_uint32": 1,
    "uinteger": 2**32 - 1,
    "state": 2**128 - 1,
    "inc": 2**128 - 1,
}


# -- finding -------------------------------------------------------------------------


def find_generators(
    roots: Mapping[str, Any], passed: Collection[int] = ()
) -> dict[str, AnyGenerator]:
    """Return every generator by the path to it, such as "model.1.rng"; each once.

    See `places_of_generators`.
    """
    found: dict[int, tuple[str, AnyGenerator]] = {}
    for path, generator in places_of_generators(roots, passed):
        found.setdefault(id(generator), (path, generator))
    return dict(found.values())


def places_of_generators(
    roots: Mapping[str, Any], passed: Collection[int] = ()
) -> Iterator[tuple[str, AnyGenerator]]:
    """Yield the path of every place that holds a generator, and the generator.

    Attributes, containers, what functions refer to, and so on are all looked into, but not
    parameters, nor objects whose ids are in `passed`.
    """
    seen = set(passed)
    left = list(roots.items())[::-1]
    while left:
        path, value = left.pop()
        if isinstance(value, _GENERATORS):
            if id(value) not in passed:
                yield path, value
        elif id(value) not in seen and not _is_leaf(value):
            seen.add(id(value))
            children = [(f"{path}.{name}", child) for name, child in _children(value)]
            left += children[::-1]


def _is_leaf(value: object) -> bool:
    """Return whether it holds no generator: a plain value, or a parameter, which is arrays."""
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
    for name, item in getattr(value, "__dict__", {}).items():
        if not name.startswith(NOT_MEMBERS):
            yield name, item
    for kind in type(value).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                yield name, getattr(value, name)


# -- states --------------------------------------------------------------------------


def state_of(generator: AnyGenerator) -> dict[str, Any]:
    """Return the state of a generator of either kind as plain values."""
    if isinstance(generator, np.random.Generator):
        return {"bits": bits_of(generator)}
    state: Any = generator.get_state(legacy=False)
    gauss = [int(state["has_gauss"]), float(state["gauss"])]
    return {"bits": bits_of(np.random.Generator(generator._bit_generator)), "gauss": gauss}


def load_state(generator: AnyGenerator, state: Mapping[str, Any]) -> None:
    """Put a generator into the state that `state_of` returned, which is checked first."""
    bits = generator_of(state["bits"]).bit_generator.state
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = bits
    else:
        has, gauss = state["gauss"]
        generator.set_state({**bits, "has_gauss": int(bool(has)), "gauss": float(gauss)})


def kind_of(state: Mapping[str, Any]) -> str:
    """Return the name of the algorithm, such as PCG64."""
    return str(state["bits"]["bit_generator"])


def bits_of(generator: np.random.Generator) -> dict[str, Any]:
    """Return the state of one of NumPy's generators as plain values."""
    state = generator.bit_generator.state
    if not isinstance(state, dict) or state.get("bit_generator") not in _NAMES:
        raise TypeError(
            f"a generator with {type(generator.bit_generator).__name__} cannot be stored; "
            f"use one of {', '.join(_NAMES)}"
        )
    plain: dict[str, Any] = _plain(state)
    return plain


def generator_of(state: object) -> np.random.Generator:
    """Return a generator in that state, or raise a FileFormatError if it is none."""
    name = state.get("bit_generator") if isinstance(state, dict) else None
    if name not in _NAMES:
        raise FileFormatError("it has a generator of an unknown kind")
    bits = getattr(np.random, name)(0)
    bits.state = _checked(state, bits.state, "")
    return np.random.Generator(bits)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value.tolist() if isinstance(value, np.ndarray) else value


def _checked(value: Any, model: Any, name: str) -> Any:
    """Return `value` in the form of `model`, the state of a generator of the same kind."""
    if isinstance(model, dict) and isinstance(value, dict) and value.keys() == model.keys():
        return {key: _checked(value[key], item, key) for key, item in model.items()}
    if isinstance(model, np.ndarray) and isinstance(value, list) and len(value) == model.size:
        most = int(np.iinfo(model.dtype).max)
        return np.array([_whole(item, most) for item in value], model.dtype)
    if isinstance(model, str) and value == model:
        return value
    if isinstance(model, int):
        return _whole(value, _MOST.get(name, 0))
    raise FileFormatError("it has a generator whose state is not one")


def _whole(value: object, most: int) -> int:
    if type(value) is int and 0 <= value <= most:
        return value
    raise FileFormatError("it has a generator whose state is not one")
