"""State by name: it is loaded all together, or not at all."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from minifw._tools.checks import describe
from minifw.typing import Array

__all__ = ["checked_state", "load_arrays"]


def load_arrays(
    owner: str,
    own: Mapping[str, Array],
    state: Mapping[str, npt.ArrayLike],
    check: Callable[[Mapping[str, Array]], None],
) -> None:
    """Copy the values of `state` into the arrays of `own`, or raise and change nothing.

    `check` gets all the new values, and raises if one is impossible.
    """

    def as_like(name: str, value: npt.ArrayLike) -> Array:
        array = np.asarray(value)
        if array.shape != own[name].shape:
            raise ValueError(f"{name} has shape {array.shape}, not {own[name].shape}")
        return array

    new = checked_state(owner, own, state, as_like)
    for name, array in new.items():
        dtype = own[name].dtype
        if not np.can_cast(array.dtype, dtype, "same_kind"):
            raise TypeError(f"{owner}: {name} expects {dtype} numbers, got {describe(array)}")
    check(new)
    for name, array in new.items():
        own[name][...] = array


def checked_state(
    owner: str,
    own: Mapping[str, Any],
    state: Mapping[str, Any],
    checked: Callable[[str, Any], Any],
) -> dict[str, Any]:
    """Return what `checked` makes of each value, or raise one error that names all faults.

    `own` says which names there are.
    """
    if not isinstance(state, Mapping):
        raise TypeError(f"{owner} expects a dict, got {describe(state)}")
    faults = [f"{name} is missing" for name in own if name not in state]
    faults += [f"{name} is unexpected" for name in state if name not in own]
    values = {}
    for name in sorted(own):
        try:
            if name in state:
                values[name] = checked(name, state[name])
        except (TypeError, ValueError) as error:
            faults.append(str(error).removeprefix(f"{owner.partition('.')[0]} "))
    if faults:
        raise ValueError(f"{owner}: {'; '.join(faults)}")
    return values
