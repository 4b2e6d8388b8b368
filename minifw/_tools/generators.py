"""Finds the random generators below some objects, and keeps their states as plain values."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np

from minifw._tools.walking import places
from minifw.errors import FileFormatError

AnyGenerator: TypeAlias = "np.random.Generator | np.random.RandomState"

_GENERATORS = (np.random.Generator, np.random.RandomState)

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
    """Yield the path of every place that holds a generator, and the generator; see `places`."""
    for path, value in places(roots, passed):
        if isinstance(value, _GENERATORS):
            yield path, value


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


def load_states(
    generators: Mapping[str, AnyGenerator], states: Mapping[str, Mapping[str, Any]]
) -> None:
    """Put each generator into the state of its name, if there is one."""
    for name, generator in generators.items():
        if name in states:
            load_state(generator, states[name])


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
