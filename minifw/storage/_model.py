"""`save` and `load`: a model in one file, its architecture and its numbers."""

import copy
import inspect
import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from minifw._engine.state import aliases, merged
from minifw._tools.cache import NOT_MEMBERS
from minifw._tools.checks import check_is, describe
from minifw._tools.generators import bits_of, generator_of, places_of_generators
from minifw._tools.loading import building
from minifw._tools.locks import EVALUATIONS
from minifw.core.layer import Layer
from minifw.errors import FileFormatError
from minifw.layers import Graph
from minifw.storage._archive import read_archive, reading, write_archive
from minifw.storage._arguments import Arrays, Builder, Recorder
from minifw.storage._atomic import path_of
from minifw.storage._classes import Buildable, check_custom
from minifw.storage._safetensors import read_tensors, write_tensors

_KIND = "model"
_TIED = 15  # times the numbers of a file: the most that constructors make to be tied to others
_FORMATS = {".npz": (read_archive, write_archive), ".safetensors": (read_tensors, write_tensors)}


def save(model: Layer, path: str | os.PathLike[str]) -> None:
    """Write a model into one file: its architecture, weights, buffers, modes and generators.

    Parameters
    ----------
    model : Layer
        Any layer or container, of minifw or your own. It is stored as the arguments that
        built it, so these must be plain values, arrays, layers, initializers, or lists,
        tuples and dicts of such. What a constructor makes of them is made again by `load`.
    path : str or os.PathLike
        It ends in ".npz", or in ".safetensors" (extra ``minifw[safetensors]``). An old file
        there is replaced in one step, once the new one is complete.

    Raises
    ------
    TypeError
        If `model` is not a layer, or an argument of a layer cannot be stored.
    ValueError
        If the path ends otherwise, or if the model that `load` would build is another one.
    ImportError
        If safetensors is wanted and not installed.
    OSError
        If the file cannot be written; an old file is untouched.

    Notes
    -----
    Before anything is written the model is built again, as `load` does, and compared: what
    could not be loaded is not saved. Gradients and what a forward saved are left out.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from minifw import Dense, Sequential, Tanh, load, save
    >>> model = Sequential(Dense(2, 4, rng=3), Tanh())
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "model.npz"
    ...     save(model, path)
    ...     twin = load(path)
    >>> twin
    Sequential(Dense(2, 4, rng=3), Tanh())
    >>> x = np.ones((1, 2))
    >>> bool((twin.forward(x) == model.forward(x)).all())
    True
    """
    place, (_, write) = _format("save", path)
    hint = "; pass the model itself" if isinstance(model, Mapping) else ""
    check_is("save", "a layer", model, Layer, hint=hint)
    recorder = Recorder()
    with EVALUATIONS.lock:
        modes = [[n, bool(EVALUATIONS.mode_of(layer))] for n, layer in model._all_layers()]
    meta = {"model": recorder.record(model), "modes": modes, "generators": _generators(model)}
    own = model._state()
    arrays, classes = {**own, **recorder.arrays}, tuple(recorder.classes)
    ties = aliases(model, own)
    try:
        if ties:  # ties that the constructors do not make
            made = _constructed({**meta, "ties": ties}, arrays, classes)
            names = dict(made.named_parameters())
            ties = {name: first for name, first in ties.items() if name in names}
            meta |= {"ties": ties} if ties else {}
        twin = _built(meta, arrays, classes, numbers=False)
    except FileFormatError as error:
        raise ValueError(f"save: {model!r} could not be loaded again: {error}") from error
    _compare(model, twin)
    version = 2 if ties or any(issubclass(cls, Graph) for cls in classes) else 1
    write(place, _KIND, meta, arrays, version)


def load(path: str | os.PathLike[str], custom_layers: Iterable[type[Any]] = ()) -> Layer:
    """Return the model that `save` wrote: it continues exactly as the saved one would.

    Parameters
    ----------
    path : str or os.PathLike
        As given to `save`.
    custom_layers : iterable of classes, default ()
        The classes of layers and initializers that are not minifw's own. One that the
        program has defined is found without; nothing is ever imported because a file says so.

    Raises
    ------
    FileFormatError
        If the file is damaged, no model, from a newer minifw, or made to do harm; if a class
        is not here, or refuses the arguments that it was once built with.
    ValueError
        If the path ends neither in ".npz" nor in ".safetensors".
    FileNotFoundError, OSError
        If there is no file, or it cannot be read.
    ImportError
        If the file needs safetensors and that is not installed.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from minifw import Dense, Sequential, Tanh, load, save
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "model.npz")
    ...     save(Sequential(Dense(2, 4), Tanh()), path)
    ...     load(path)
    Sequential(Dense(2, 4), Tanh())
    """
    place, (read, _) = _format("load", path)
    custom = check_custom("load", custom_layers)
    meta, arrays = read(place, _KIND)
    with reading(place, step="loaded"):
        return _built(meta, arrays, custom)


def _format(owner: str, path: object) -> tuple[str, tuple[Any, Any]]:
    """Return the path as a string, and how files of this name are read and written."""
    place = path_of(owner, path)
    found = _FORMATS.get(os.path.splitext(place)[1].lower())  # noqa: PTH122
    if found is None:
        raise ValueError(
            f"{owner} expects a path that ends in .npz or .safetensors, got {place!r}"
        )
    return place, found


def _built(
    meta: Mapping[str, Any],
    arrays: Arrays,
    custom: tuple[type[Buildable], ...],
    *,
    numbers: bool = True,
) -> Layer:
    """Return the model of a file, whose contents may be anyone's; its numbers, too, or not."""
    ties = meta.get("ties", {})
    check_is("the file", "ties to be a dict", ties, dict)
    arrays = merged("the file", ties, arrays)
    model = _tied(_constructed(meta, arrays, custom), ties)
    own, state = model._state(), {n: array for n, array in arrays.items() if n[:1] != "~"}
    _check_fits(own, state)
    for name, array in own.items() if numbers else ():
        array[...] = state[name]
    layers = model._all_layers()
    modes = meta["modes"]
    if [name for name, _ in modes] != [name for name, _ in layers]:
        raise FileFormatError("the layers inside the model are others than when it was saved")
    for (_, mode), (_, layer) in zip(modes, layers, strict=True):
        layer.training = bool(mode)
    _restore_generators(dict(layers), meta["generators"])
    return model


def _constructed(
    meta: Mapping[str, Any], arrays: Arrays, custom: tuple[type[Buildable], ...]
) -> Layer:
    """Return the model as its constructors make it, before anything is tied."""
    numbers = sum(array.size for array in arrays.values())
    firsts = meta.get("ties", {}).values()
    tied = sum(arrays[first].size for first in firsts if first in arrays)
    with building(numbers + min(tied, _TIED * numbers)):
        model = Builder(arrays, custom).build(meta.get("model"))
    if not isinstance(model, Layer):
        raise FileFormatError("it holds an initializer, and a layer is expected")
    return model


def _tied(model: Layer, ties: dict[str, Any]) -> Layer:
    """Return the model with one parameter in place of two, for each pair of names in `ties`."""
    own, replaced = dict(model.named_parameters()), {}
    for name, first in ties.items():
        if not isinstance(first, str) or not {name, first} <= own.keys() - (ties.keys() - {name}):
            raise FileFormatError(f"it ties {name[:200]!r} to {str(first)[:200]!r}")
        one, other = own[first], own[name]
        if first == name or (one.shape, one.dtype) != (other.shape, other.dtype):
            raise FileFormatError(f"it ties {name[:200]}, {other!r}, to {first[:200]}, {one!r}")
        replaced[id(other)] = one
    # A copy, in which each tied parameter counts as copied: so it finds all its places.
    memo = replaced | {id(one): one for one in replaced.values()}
    return copy.deepcopy(model, memo) if ties else model


# -- numbers -------------------------------------------------------------------------


def _check_fits(own: Arrays, state: Arrays) -> None:
    """Raise unless names, shapes and dtypes are the same."""
    for name in {**own, **state}:
        if name not in state:
            raise FileFormatError(f"{name} is missing")
        if name not in own:
            raise FileFormatError(
                f"{name[:200]} belongs to no layer that its constructor makes; "
                "a layer must make its parameters there, not in forward"
            )
        found, array = state[name], own[name]
        if (found.shape, found.dtype) != (array.shape, array.dtype):
            raise FileFormatError(f"{name} is {describe(found)}, and not {describe(array)}")


def _compare(model: Layer, twin: Layer) -> None:
    """Raise if a layer, or an attribute that is named after an argument, was changed later."""
    for (path, layer), (_, other) in zip(model._all_layers(), twin._all_layers(), strict=True):
        if type(layer) is not type(other):
            raise ValueError(
                f"save: {path} is {layer!r} by now, but a layer is stored as the arguments that "
                f"built it, which make {other!r}; build {model!r} with that layer"
            )
        for name in inspect.signature(type(layer).__init__).parameters:
            now, then = getattr(layer, name, None), getattr(other, name, None)
            plain = isinstance(now, bool | int | float | str) and type(now) is type(then)
            if plain and repr(now) != repr(then):
                raise ValueError(
                    f"save: {name} of {layer!r} is {now!r} by now, but a layer is stored as the "
                    f"arguments that built it; build it with {name}={now!r}"
                )


# -- generators ----------------------------------------------------------------------


def _generators(model: Layer) -> list[Any]:
    """Return each generator that layers keep: its state, and all the places that it has."""
    layers = model._all_layers()
    others = {id(layer) for _, layer in layers}
    states: dict[int, list[Any]] = {}
    for name, layer in layers:
        attributes = vars(layer).copy()  # in one call: another thread may predict meanwhile
        own = {key: v for key, v in attributes.items() if not key.startswith(NOT_MEMBERS)}
        for path, generator in places_of_generators(own, others):
            attribute = path.partition(".")[0]
            if path not in own or isinstance(generator, np.random.RandomState):
                raise TypeError(
                    f"save: {attribute} of {layer!r} holds a {type(own[attribute]).__name__} with "
                    "random state, which would be lost; keep a numpy.random.Generator as an "
                    "attribute"
                )
            _, places = states.setdefault(id(generator), [bits_of(generator), []])
            places.append([name, attribute])
    return list(states.values())


def _restore_generators(layers: Mapping[str, Layer], entries: list[Any]) -> None:
    """Give the layers generators in those states, the same one where they shared one."""
    for state, places in entries:
        generator = generator_of(state)
        for name, attribute in places:
            kept = vars(layers[name]).get(attribute, ...)
            if not isinstance(kept, np.random.Generator | None):
                raise FileFormatError(f"{attribute!r} of layer {name!r} keeps no generator")
            setattr(layers[name], attribute, generator)
