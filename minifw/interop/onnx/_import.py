"""`import_`: an ONNX file as a model."""

import math
import os
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np

from minifw._tools.loading import building
from minifw.core.layer import Layer
from minifw.errors import FileFormatError
from minifw.interop.onnx import _operators  # noqa: F401 - it says what it reads
from minifw.interop.onnx._export import BATCH, DESCRIPTION, SHAPE, written
from minifw.interop.onnx._graph import package
from minifw.interop.onnx._reading import LARGEST, read_graph
from minifw.storage._archive import regular
from minifw.storage._arguments import Builder
from minifw.storage._atomic import path_of
from minifw.storage._classes import Buildable, check_custom
from minifw.storage._text import from_text

Arrays = Mapping[str, np.ndarray[Any, Any]]


def import_(path: str | os.PathLike[str], custom_layers: Iterable[type[Any]] = ()) -> Layer:
    """Return the model that an ONNX file computes, made of minifw's layers, in eval mode.

    Parameters
    ----------
    path : str or os.PathLike
        What `export` wrote, or a graph of the usual operators of other programs: a chain of
        layers, with residual connections and branches that are joined.
    custom_layers : iterable of classes, default ()
        The classes of layers of your own, for a file that `export` wrote.

    Returns
    -------
    Layer
        Of a file that `export` wrote, the layers that were exported. Otherwise a `Sequential`.

    Raises
    ------
    FileFormatError
        If the file is damaged or no ONNX file, if its numbers are in other files, or if it has
        a node that no layer of minifw does, which is named.
    FileNotFoundError, OSError
        If there is no file, or it cannot be read.
    ImportError
        If onnx is not installed.

    Notes
    -----
    `export` notes in the metadata which layers it wrote. They are believed only if they give the
    very graph that stands in the file when they are written again; else the graph is read node
    by node.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from minifw import Dense, Sequential, Tanh
    >>> from minifw.interop.onnx import export, import_
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export(Sequential(Dense(2, 4), Tanh()), Path(folder, "model.onnx"))
    ...     import_(Path(folder, "model.onnx"))
    Sequential(Dense(2, 4), Tanh())
    """
    onnx = package("import_")
    place = path_of("import_", path)
    custom = check_custom("import_", custom_layers)
    regular(place)
    try:
        proto = onnx.load(place, load_external_data=False)
    except OSError:
        raise
    except Exception as error:  # protobuf has errors of its own, and they differ between versions
        raise FileFormatError(f"{place} cannot be read: it is no ONNX file ({error})") from error
    try:
        _refuse_external(onnx, proto)
        try:
            onnx.checker.check_model(proto)
        except Exception as error:
            raise FileFormatError(f"onnx's checker refuses it: {error}") from error
        model = _model(onnx, proto, custom)
    except FileFormatError as error:
        raise FileFormatError(f"{place} cannot be imported: {error}") from error
    except Exception as error:  # of a graph that the checker lets through and no layer accepts
        raise FileFormatError(
            f"{place} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    return model.eval()


def _refuse_external(onnx: Any, proto: Any) -> None:
    for tensor in onnx.external_data_helper._get_all_tensors(proto):
        if onnx.external_data_helper.uses_external_data(tensor):
            raise FileFormatError(
                f"the numbers of {tensor.name[:200]!r} are in another file; save it as one file"
            )


def _model(onnx: Any, proto: Any, custom: tuple[type[Buildable], ...]) -> Layer:
    """Return the layers that were exported, or else those that the nodes are."""
    try:
        described = _described(onnx, proto, custom)
        if described is not None:
            return described
        why = ""
    except Exception as error:  # noqa: BLE001 - whatever is wrong, the graph is there to be read
        why = f" (and the layers that it says it was exported from cannot be built: {error})"
    try:
        return read_graph(onnx, proto)
    except FileFormatError as error:
        raise FileFormatError(f"{error}{why}") from error


def _described(onnx: Any, proto: Any, custom: tuple[type[Buildable], ...]) -> Layer | None:
    """Return the layers that the metadata name, if they give this very graph; else None."""
    described = {entry.key: entry.value for entry in proto.metadata_props}
    graph = proto.graph
    if not {DESCRIPTION, SHAPE} <= set(described) or len(graph.input) != 1:
        return None
    arrays = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    with building(sum(array.size for array in arrays.values())):
        recorded = from_text("its description", described[DESCRIPTION].encode())
        model = Builder({}, custom).build(recorded)
    shape = tuple(from_text("its input shape", described[SHAPE].encode()))
    if math.prod(shape) > LARGEST or not isinstance(model, Layer) or not _filled(model, arrays):
        return None
    kind = graph.output[0].type.tensor_type.elem_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind)
    batch = graph.input[0].type.tensor_type.shape.dim[0].dim_value or BATCH
    names = graph.input[0].name, graph.output[0].name
    again = written(model, shape, names, dtype, batch)
    bytes_of = partial(type(graph).SerializeToString, deterministic=True)
    return model if bytes_of(again.graph) == bytes_of(graph) else None


def _filled(model: Layer, arrays: Arrays) -> bool:
    """Copy the numbers into the model; return whether all were there."""
    for name, own in model._state().items():
        if name not in arrays or arrays[name].shape != own.shape:
            return False
        own[...] = arrays[name]
    return True
