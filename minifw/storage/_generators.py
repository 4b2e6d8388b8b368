"""The states of random generators as plain values, checked before they are taken on."""

from typing import Any

import numpy as np

from minifw.errors import FileFormatError

__all__ = ["generator_of", "state_of"]

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


def state_of(generator: "np.random.Generator") -> dict[str, Any]:
    """Return the state of one of NumPy's generators as plain values."""
    state = generator.bit_generator.state
    if not isinstance(state, dict) or state.get("bit_generator") not in _NAMES:
        raise TypeError(
            f"a generator with {type(generator.bit_generator).__name__} cannot be stored; "
            f"use one of {', '.join(_NAMES)}"
        )
    plain: dict[str, Any] = _plain(state)
    return plain


def generator_of(state: object) -> "np.random.Generator":
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
