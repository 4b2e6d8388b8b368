"""Checks of the kit's arguments: each refusal is one sentence."""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from minifw._tools.checks import check_is, describe
from minifw._tools.numbers import check_size
from minifw.core.layer import Layer
from minifw.testing._state import every_layer


def check_subject(
    owner: str, what: str, thing: Any, kind: Any, seed: int, *, call: str = "(...)"
) -> Any:
    """Return a copy of a subject, or raise unless it is of a kind, and can be shown and copied."""
    check_is(owner, what, thing, kind, call=call)
    check_size(owner, "seed", seed, least=0)
    made = None
    for take in (repr, copy.deepcopy):
        try:
            made = take(thing)
        except Exception as error:
            fix = "mend __repr__" if take is repr else _uncopied(thing)
            raise TypeError(
                f"{owner} expects {what} that {take.__name__} takes, and of this "
                f"{type(thing).__name__} it raised {type(error).__name__}: {error}; {fix}"
            ) from error
    return made


def _uncopied(thing: Any) -> str:
    """Say what to do about the attribute, of the innermost layer, that cannot be copied."""
    found = ""
    for one in every_layer(thing) if isinstance(thing, Layer) else [thing]:
        for name, held in vars(one).items():
            try:
                copy.deepcopy(held)
            except Exception:  # noqa: BLE001 - whatever it raises
                found = name
    return f"make its {found} where that is used, or write __deepcopy__"


def check_batch(owner: str, named: Mapping[str, Any]) -> None:
    """Raise unless all are arrays of numbers, finite but in targets, and of one length."""
    for name, a in named.items():
        if not (isinstance(a, np.ndarray) and a.dtype.kind in "fiub" and a.ndim):
            wanted = f"{name} to be an array, a batch of numbers, got {describe(a)}"
            fix = "several are a tuple of arrays"
            if isinstance(a, list):
                several = all(isinstance(one, np.ndarray) for one in a)
                fix = f"{fix}, tuple({name})" if several else f"use np.asarray({name})"
            raise TypeError(f"{owner} expects {wanted}; {fix}")
        if not a.size:
            raise ValueError(f"{owner} expects {name} to hold numbers, got {describe(a)}")
        if not (name.startswith("target") or np.isfinite(a).all()):
            index = tuple(np.argwhere(~np.isfinite(a))[0].tolist())
            wanted = f"{name} to hold finite numbers"
            raise ValueError(f"{owner} expects {wanted}, got {a[index]} at index {index}")
    lengths = [len(a) for a in named.values()]
    if len({*lengths}) > 1:
        raise ValueError(f"{owner} expects {' and '.join(named)} of one length, got {lengths}")
