"""Dicts, lists and tuples of plain values and arrays in one file, and back."""

from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np

from minifw.storage._archive import read_archive, write_archive

PLAIN = (type(None), bool, int, float, str)  # what a file can say beside arrays and containers
_ARRAY = "array of the archive"  # the key of a dict that stands for an array


def write_tree(owner: str, path: str | PathLike[str], kind: str, tree: Any) -> None:
    """Write a tree into one file, whole or not at all."""
    arrays: dict[str, Any] = {}
    write_archive(path, kind, {"tree": _without_arrays(owner, tree, "", arrays)}, arrays)


def read_tree(path: str | PathLike[str], kind: str) -> Any:
    """Return the tree of a file; a KeyError, if one of its arrays is not there."""
    meta, arrays = read_archive(path, kind)
    return _with_arrays(meta.get("tree"), arrays)


def _without_arrays(owner: str, value: Any, name: str, arrays: dict[str, Any]) -> Any:
    """Return the tree with the name of each array in its place, and put those into `arrays`."""
    if isinstance(value, np.ndarray):
        arrays[name] = value
        return {_ARRAY: name}
    if isinstance(value, np.generic):
        return value.item()

    def inside(key: object, item: Any) -> Any:
        return _without_arrays(owner, item, f"{name}/{key}".lstrip("/"), arrays)

    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: inside(key, item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        found = [inside(key, item) for key, item in enumerate(value)]
        return tuple(found) if isinstance(value, tuple) else found
    if not isinstance(value, PLAIN):
        named = isinstance(value, Mapping)
        kind = "a dict whose keys are not text" if named else type(value).__name__
        raise TypeError(
            f"{owner} expects state_dict to hold numbers, text, arrays and containers of them, "
            f"got {kind} at {name}"
        )
    return value


def _with_arrays(value: Any, arrays: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        if set(value) == {_ARRAY}:
            return arrays[value[_ARRAY]]  # a KeyError, if there is none
        return {key: _with_arrays(item, arrays) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_with_arrays(item, arrays) for item in value)
    return value
