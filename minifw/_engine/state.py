"""State by name: arrays that are loaded all together, or not at all."""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from minifw._tools.checks import describe
from minifw.typing import Array

__all__ = ["load_arrays"]


def load_arrays(
    owner: str,
    own: Mapping[str, Array],
    state: Mapping[str, npt.ArrayLike],
    check: Callable[[Mapping[str, Array]], None],
) -> None:
    """Copy the values of `state` into the arrays of `own`, or raise and change nothing.

    `check` gets all the new values, and raises if one is impossible.
    """
    if not isinstance(state, Mapping):
        raise TypeError(f"{owner} expects a dict, got {describe(state)}")
    new = {name: np.asarray(state[name]) for name in own if name in state}
    faults = [f"{name} is missing" for name in own if name not in state]
    faults += [f"{name} is unexpected" for name in state if name not in own]
    for name, array in new.items():
        if array.shape != own[name].shape:
            faults.append(f"{name} has shape {array.shape}, not {own[name].shape}")
    if faults:
        raise ValueError(f"{owner}: {'; '.join(faults)}")
    for name, array in new.items():
        dtype = own[name].dtype
        if not np.can_cast(array.dtype, dtype, "same_kind"):
            raise TypeError(f"{owner}: {name} expects {dtype} numbers, got {describe(array)}")
    check(new)
    for name, array in new.items():
        own[name][...] = array
