"""Weights to and from PyTorch, in a `.safetensors` file; no torch is needed.

A layer here has the names, the shapes and the layouts of its twin in `torch.nn`, so that
entries go over as they are. What a twin has besides stands in one table, `_BESIDES`. Layers
without a twin, and an author's own, go by their own names.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from minifw._engine.state import aliases, merged
from minifw._tools.checks import check_is, describe
from minifw._tools.numbers import check_flag
from minifw.core.layer import Layer
from minifw.errors import FileFormatError
from minifw.layers import BatchNorm
from minifw.storage._atomic import path_of, replacing
from minifw.storage._safetensors import check_header, package, storable

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

# The format's names of dtypes; of all others NumPy has none.
_NUMPY = {"BOOL": "?", "F16": "f2", "F32": "f4", "F64": "f8"} | {
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
        If `model` is no layer, or an entry has a dtype that the format lacks.
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
    """
    numpy_format = package().numpy
    path = path_of("save", path)
    own, besides = _entries("save", model)
    places = _renamed("save", names, [*own, *besides])
    arrays = {places[name]: array for name, array in {**own, **besides}.items()}
    data = numpy_format.save(storable(arrays), _METADATA)
    with replacing(path) as file:
        file.write(data)


def load_into(
    model: Layer, path: str | os.PathLike[str], *, names: Names | None = None, cast: bool = False
) -> None:
    """Copy a state dict that PyTorch's side saved into the parameters and buffers of a model.

    All is checked first; if anything is refused, nothing is changed.

    Parameters
    ----------
    model : Layer
    path : str or os.PathLike
        What ``safetensors.torch.save_file(module.state_dict(), path)`` wrote.
    names : dict {str: str} or callable, optional
        From the model's name of an entry to the file's, as in `save`.
    cast : bool, default False
        Whether numbers may be rounded, as from float64 to float32. A cast that loses nothing,
        as from float32 to float64, is done without.

    Raises
    ------
    ImportError
        Without the extra ``minifw[safetensors]``.
    ValueError
        If entries are missing, unexpected, of another shape or too large for the model's dtype:
        all of them are named. If `names` is as `save` refuses it.
    TypeError
        If `model` is no layer, or entries have a dtype that does not go into the model's: all
        of them are named.
    FileFormatError
        If it is no safetensors file, or damaged.
    OSError
        If it cannot be opened.

    Notes
    -----
    ``num_batches_tracked`` of a BatchNorm may be there or not; it is not used. What is tied
    may have an entry for each of its names, if they are equal.
    bfloat16, which NumPy lacks, is refused.

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
to the file's
    >>> load_into(layer, path, names="fc.{}".format)
    >>> bool((layer.weight.value == Dense(2, 4, rng=3).weight.value).all())
    True
    """
    safetensors = package()
    path = path_of("load_into", path)
    rounding = check_flag("load_into", "cast", cast)
    own, besides = _entries("load_into", model)
    tied = aliases(model, own)
    places = _renamed("load_into", names, [*own, *besides, *tied])
    ties = {places[name]: places[first] for name, first in tied.items()}
    check_header(path)
    try:
        with safetensors.safe_open(path, framework="numpy") as opened:
            there = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118
            heads = {n: (tuple(s.get_shape()), str(s.get_dtype())) for n, s in there.items()}
            known = {place for place, (_, code) in heads.items() if code in _NUMPY}
            shared = known & {*ties, *ties.values()}
            # copies, because a tensor may be a view of the file
            read = {place: np.array(opened.get_tensor(place)) for place in shared}
            read = merged("load_into", ties, read)
            heads = {ties.get(place, place): head for place, head in heads.items()}
            _check(own, besides, places, heads, rounding)
            for place in (places[name] for name in own if places[name] not in read):
                read[place] = np.array(opened.get_tensor(place))
    except (safetensors.SafetensorError, OSError) as error:
        raise FileFormatError(f"{path} cannot be read: it is damaged ({error})") from error
    model.load_state_dict(_cast(own, {name: read[places[name]] for name in own}, places))


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
    """Return the file's name of every entry, or raise unless each has one of its own."""
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
    owners: dict[str, str] = {}
    for name, place in places.items():
        check_is(owner, "names= to give strings", place, str, hint=f" for {name}")
        if place in owners:
            raise ValueError(
                f"{owner} expects names= to keep entries apart, but {owners[place]} and {name} "
                f"are both called {place}"
            )
        owners[place] = name
    return places


def _check(
    own: Arrays, besides: Arrays, places: Mapping[str, str], heads: Heads, rounding: bool
) -> None:
    """Raise unless the file has what the model needs, judged by its header alone."""
    faults = [f"{places[name]} is missing" for name in own if places[name] not in heads]
    expected = set(places.values())
    unexpected = [f"{name} is unexpected" for name in sorted(heads) if name not in expected]
    faults += unexpected
    wrong = []
    for name, array in {**own, **besides}.items():
        shape, code = heads.get(places[name], (array.shape, ""))
        if shape != array.shape:
            faults.append(f"{places[name]} has shape {shape}, not {array.shape}")
        # what is not used may have any: {name: tensor.float() ...} makes a float of a count
        if code and name in own and not _fits(code, array.dtype, rounding):
            wrong.append(f"{places[name]} is {code}, not {array.dtype}")
    if faults:
        hint = "; names= maps the model's names to the file's" if unexpected else ""
        raise ValueError(f"load_into: {'; '.join(faults + wrong)}{hint}")
    if wrong:
        raise TypeError(
            f"load_into: {'; '.join(wrong)}; pass cast=True to round float64 to float32; convert "
            "what NumPy lacks, such as BF16, with .float() in PyTorch before it is saved"
        )


def _fits(code: str, dtype: np.dtype[Any], rounding: bool) -> bool:
    """Return whether a dtype of the format goes into one of NumPy's."""
    if code not in _NUMPY:
        return False
    return np.can_cast(np.dtype(_NUMPY[code]), dtype, "same_kind" if rounding else "safe") and (
        np.dtype(_NUMPY[code]).kind == dtype.kind  # whole numbers are no weights
    )


def _cast(own: Arrays, new: Arrays, places: Mapping[str, str]) -> Arrays:
    """Return the arrays in the model's dtypes, or raise if one does not hold their numbers."""
    result, faults = {}, []
    for name, array in new.items():
        with np.errstate(over="ignore", invalid="ignore"):
            result[name] = array.astype(own[name].dtype)
        lost = (
            np.isfinite(array) & ~np.isfinite(result[name])
            if array.dtype.kind == "f"
            else result[name] != array
        )
        if lost.any():
            faults.append(f"{places[name]} has numbers too large for {own[name].dtype}")
    if faults:
        raise ValueError(f"load_into: {'; '.join(faults)}")
    return result
