"""Weights to and from PyTorch, in a `.safetensors` file; no torch is needed.

A layer here has the names, the shapes and the layouts of its twin in `torch.nn`, so
entries go over as they are. What a twin has besides stands in one table, `_BESIDES`. Layers
without a twin, and an author's own, go by their own names.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np

from minifw._engine.state import Loaded, aliases
from minifw._tools.checks import check_is, describe
from minifw._tools.numbers import check_flag
from minifw.core.layer import Layer
from minifw.layers import BatchNorm
from minifw.storage._atomic import path_of, replacing
from minifw.storage._safetensors import Tensors, package, storable

__all__ = ["load_into", "save"]

Arrays = dict[str, np.ndarray[Any, Any]]
Heads = dict[str, tuple[tuple[int, ...], str]]  # shape and dtype of each entry
Names = Mapping[str, str] | Callable[[str], str]

# What the state dict of a layer's twin has and the layer has not. PyTorch's BatchNorm counts its
# batches for momentum=None, which is not offered here; with any other the count changes nothing.
_BESIDES: tuple[tuple[type[Layer], str, np.ndarray[Any, Any]], ...] = (
    (BatchNorm, "num_batches_tracked", np.zeros((), np.int64)),
)

_METADATA = {"format": "pt"}  # some readers take a file for PyTorch's by this alone

# The format's names of dtypes; of all others NumPy has none. BF16 is read as float32, which has
# its numbers.
_NUMPY = {"BOOL": "?", "F16": "f2", "BF16": "f4", "F32": "f4", "F64": "f8"} | {
    f"{kind}{8 * size}": f"{kind.lower()}{size}" for kind in "IU" for size in (1, 2, 4, 8)
}


def save(model: Layer, path: str | os.PathLike[str], *, names: Names | None = None) -> None:
    """Write the parameters and buffers of a model as PyTorch names them.

    A ``torch.nn.Sequential`` of the same layers takes
    ``load_state_dict(safetensors.torch.load_file(path), strict=True)``.

    Parameters
    ----------
    model : Layer
    path : str or os.PathLike
        Replaced whole or not at all. Nothing is added to it.
    names : dict {str: str} or callable, optional
        From the model's name of an entry to the file's, such as
        ``{"0.weight": "fc1.weight"}`` or ``"model.{}".format``. What a dict leaves out keeps
        its name.

    Raises
    ------
    ImportError
        Without the extra ``minifw[safetensors]``.
    TypeError
        If `model` is not a layer, or an entry has a dtype that the format lacks.
    ValueError
        If `names` has a name that the model lacks, or gives two entries one name, or one the name
        ``__metadata__``, which the format keeps for itself.
    OSError
        If the file cannot be written; an old one is untouched.

    Notes
    -----
    Arrays are copied into rows (C order) before they are written. ``BatchNorm`` gets PyTorch's
    ``num_batches_tracked``, as 0. What is tied has one entry, by its first name; a
    module that ties the same takes it with ``strict=False``. The file holds no architecture;
    `minifw.save` writes that.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from minifw import Dense, Sequential, Tanh
    >>> from minifw.interop.safetensors import load_into, save
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "weights.safetensors"
    >>> save(Sequential(Dense(2, 4, rng=3), Tanh(), Dense(4, 1, rng=4)), path)
    >>> load_into(Sequential(Dense(2, 4), Tanh(), Dense(4, 1)), path)
    <All keys matched successfully>
    """
    numpy_format = package().numpy
    path = path_of("save", path)
    own, besides = _entries("save", model)
    places = _renamed("save", names, [*own, *besides])
    owners: dict[str, str] = {}
    for name, place in places.items():
        if owners.setdefault(place, name) != name:
            raise ValueError(
                f"save expects names= to keep entries apart, but {owners[place]} and {name} "
                f"are both called {place}"
            )
    arrays = {places[name]: array for name, array in {**own, **besides}.items()}
    data = numpy_format.save(storable(arrays), _METADATA)
    with replacing(path) as file:
        file.write(data)


def load_into(
    model: Layer,
    path: str | os.PathLike[str],
    *,
    names: Names | None = None,
    cast: bool = False,
    strict: bool = True,
) -> Loaded:
    """Copy a state dict that PyTorch's side saved into the parameters and buffers of a model.

    All is checked first; if anything is refused, nothing is changed.

    Parameters
    ----------
    model : Layer
    path : str or os.PathLike
        What ``safetensors.torch.save_file(module.state_dict(), path)`` wrote, or `save_model`
        there; or the index of several such files in one folder, ``model.safetensors.index.json``.
    names : dict {str: str} or callable, optional
        From the model's name of an entry to the file's, as in `save`. Two may lead to one entry.
    cast : bool, default False
        Whether numbers may be rounded, as from float64 to float32. A cast that loses nothing,
        as from float16, bfloat16 or float32 to float64, is done without.
    strict : bool, default True
        Whether the file must have all entries of the model and no others. If not, what is
        missing stays as it is, and what is unexpected is left out; but something must match.

    Returns
    -------
    Loaded
        Two lists, as of PyTorch's ``load_state_dict``: `missing_keys`, by the model's names, and
        `unexpected_keys`, by the file's.

    Raises
    ------
    ImportError
        Without the extra ``minifw[safetensors]``.
    ValueError
        If entries are missing, unexpected or of another shape: all of them are named. If one is
        too large for the model's dtype, or what is tied in the model has unequal entries. If
        `names` has a name that the model lacks.
    TypeError
        If `model` is not a layer, or entries have a dtype that does not go into the model's: all
        of them are named.
    FileFormatError
        If it is not a safetensors file, or damaged; if an index lists anything but plain names of
        such files in its own folder, or if two of them have one entry.
    OSError
        If it cannot be opened, or a file of the index.

    Notes
    -----
    ``num_batches_tracked`` of a BatchNorm may be there or not; it is not used. What is tied
    may have an entry for each of its names, if they are equal, or one by any of them; the
    metadata in which `save_model` says what it left out are heeded.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from minifw import Dense
    >>> from minifw.interop.safetensors import load_into, save
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "weights.safetensors"
    >>> save(Dense(2, 4, rng=3), path, names="fc.{}".format)
    >>> layer = Dense(2, 4)
    >>> load_into(layer, path, names={"weight": "fc.weight"})
    Traceback (most recent call last):
        ...
    ValueError: load_into: bias is missing; fc.bias is unexpected; names= maps the model's names \
to the file's, strict=False loads what both have
    >>> load_into(layer, path, names={"weight": "fc.weight"}, strict=False)
    Loaded(missing_keys=['bias'], unexpected_keys=['fc.bias'])
    >>> load_into(layer, path, names="fc.{}".format)
    <All keys matched successfully>
    >>> bool((layer.weight.value == Dense(2, 4, rng=3).weight.value).all())
    True
    """
    path = path_of("load_into", path)
    rounding = check_flag("load_into", "cast", cast)
    whole = check_flag("load_into", "strict", strict)
    own, besides = _entries("load_into", model)
    tied = aliases(model, own)
    wanted = {**own, **{name: own[first] for name, first in tied.items()}}
    places = _renamed("load_into", names, [*wanted, *besides])
    with ExitStack() as stack:
        file = Tensors(path, stack)
        heads, told = file.heads, file.metadata.items()
        # what save_model of safetensors.torch left out, with the name it is tied to
        left = {place: kept for place, kept in told if kept in heads and place not in heads}
        places = {name: left.get(place, place) for name, place in places.items()}
        here = [name for name in wanted if places[name] in heads]
        known = {tied.get(name, name) for name in here}
        missing = [name for name in own if name not in known]
        found = Loaded(missing, sorted(heads.keys() - {*places.values()}))
        # nothing at all is not a part of a file: then names= is wrong
        unmatched = found if whole or not here else Loaded([], [])
        _check(wanted, besides, unmatched, places, heads, rounding=rounding)
        new = {name: file.read(places[name]) for name in here}
    new = {name: _cast(places[name], array, wanted[name].dtype) for name, array in new.items()}
    model.load_state_dict(new, strict=False)
    return found


def _entries(owner: str, model: Layer) -> tuple[Arrays, Arrays]:
    """Return the arrays of a model, and what PyTorch's twin has besides, by name."""
    check_is(owner, "a layer as model", model, Layer)
    own = model._state()
    besides = {}
    for name, layer in model._all_layers():
        for kind, entry, value in _BESIDES:
            full = f"{name}.{entry}" if name else entry
            if isinstance(layer, kind) and full not in own:
                besides[full] = value
    return own, besides


def _renamed(owner: str, names: object, entries: Iterable[str]) -> dict[str, str]:
    """Return the file's name of every entry."""
    own = list(entries)
    if names is None:
        return {name: name for name in own}
    if isinstance(names, Mapping):
        unknown = [repr(name) for name in names if name not in own]
        if unknown:
            raise ValueError(
                f"{owner} expects names= to map the model's names to the file's, but the model "
                f"has no {', '.join(unknown)}"
            )
        places = {name: names.get(name, name) for name in own}
    elif callable(names):
        places = {name: names(name) for name in own}
    else:
        raise TypeError(f"{owner} expects names to be a dict or callable, got {describe(names)}")
    for name, place in places.items():
        check_is(owner, "names= to give strings", place, str, hint=f" for {name}")
    return places


def _check(
    wanted: Arrays,
    besides: Arrays,
    unmatched: Loaded,
    places: Mapping[str, str],
    heads: Heads,
    *,
    rounding: bool,
) -> None:
    """Raise unless the file has what the model needs, judged by its header alone."""
    faults = [f"{places[name]} is missing" for name in unmatched.missing_keys]
    faults += [f"{place} is unexpected" for place in unmatched.unexpected_keys]
    wrong = []
    for name, array in {**wanted, **besides}.items():
        shape, code = heads.get(places[name], (array.shape, ""))
        if shape != array.shape:
            faults.append(f"{places[name]} has shape {shape}, not {array.shape}")
        # what is not used may have any: {name: tensor.float() ...} makes a float of a count
        if code and name in wanted and not _fits(code, array.dtype, rounding):
            wrong.append(f"{places[name]} is {code}, not {array.dtype}")
    if faults:
        hint = "names= maps the model's names to the file's, strict=False loads what both have"
        if not any(unmatched):  # of shapes alone
            hint = "a part that fits is loaded by itself, such as model[:-1], with strict=False"
        raise ValueError(f"load_into: {'; '.join(faults + wrong)}; {hint}")
    if wrong:
        raise TypeError(
            f"load_into: {'; '.join(wrong)}; pass cast=True to round float64 to float32; convert "
            "whole numbers, and what NumPy lacks, such as F8_E4M3, with .float() in PyTorch, and "
            "save again"
        )


def _fits(code: str, dtype: np.dtype[Any], rounding: bool) -> bool:
    """Return whether a dtype of the format goes into one of NumPy's."""
    if code not in _NUMPY:
        return False
    return np.can_cast(np.dtype(_NUMPY[code]), dtype, "same_kind" if rounding else "safe") and (
        np.dtype(_NUMPY[code]).kind == dtype.kind  # whole numbers are no weights
    )


def _cast(place: str, array: np.ndarray[Any, Any], dtype: np.dtype[Any]) -> Any:
    """Return an array in the model's dtype, or raise if that does not hold its numbers."""
    with np.errstate(over="ignore", invalid="ignore"):
        result = array.astype(dtype, copy=False)
    if not np.can_cast(array.dtype, dtype):
        lost = np.isfinite(array) > np.isfinite(result) if dtype.kind == "f" else result != array
        if lost.any():
            raise ValueError(f"load_into: {place} has numbers too large for {dtype}")
    return result
