"""`import_`: an ONNX file as a model."""

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from minifw._tools.loading import building
from minifw.core.layer import Layer
from minifw.errors import FileFormatError
from minifw.interop.onnx._export import BATCH, DESCRIPTION, SHAPE, written
from minifw.interop.onnx._graph import package
from minifw.interop.onnx._reading import read_graph
from minifw.interop.onnx._reading.constants import LARGEST
from minifw.storage._archive import regular
from minifw.storage._arguments import Builder
from minifw.storage._atomic import path_of
from minifw.storage._classes import Buildable, check_custom
from minifw.storage._text import from_text

Arrays = Mapping[str, np.ndarray[Any, Any]]


def import_(
    path: str | os.PathLike[str],
    custom_layers: Iterable[type[Any]] = (),
    *,
    outputs: Iterable[str] | None = None,
) -> Layer:
    """Return the model that an ONNX file computes, made of minifw's layers, in eval mode.

    Parameters
    ----------
    path : str or os.PathLike
        What `export` wrote, or a graph of the usual operators of other programs. Numbers that
        it keeps in another file, as PyTorch's default does, are read from the same folder.
    custom_layers : iterable of classes, default ()
        The classes of layers of your own, for a file that `export` wrote.
    outputs : str or iterable of str, optional
        Which outputs of the file the model gives; by default all. It leaves out the labels of
        a classifier that skl2onnx wrote: ``outputs=["probabilities"]``.

    Returns
    -------
    Layer
        Of a file that `export` wrote, the layers that were exported. Otherwise a `Sequential`, or
        a `Graph` where values meet, or where the file has several inputs or outputs.

    Raises
    ------
    FileFormatError
        If the file is damaged or no ONNX file, if its numbers are in a file that is missing or
        elsewhere, or if it has a node that no layer of minifw does, which is named.
    ValueError
        If the file has no output of a name in `outputs`.
    FileNotFoundError, OSError
        If there is no file, or it cannot be read.
    ImportError
        If onnx is not installed.

    Notes
    -----
    `export` notes in the metadata which layers it wrote. They are believed only if they give the
    graph in the file when they are written again; otherwise the graph is read node by node.

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
        raise FileFormatError(
            f"{place} cannot be read: it is not an ONNX file ({error})"
        ) from error
    with _refusing(place):
        _fill_external(onnx, proto, Path(place))
        try:
            onnx.checker.check_model(proto)
        except Exception as error:
            raise FileFormatError(f"onnx's checker refuses it: {error}") from error
        names = [value.name for value in proto.graph.output]
    given = [outputs] if isinstance(outputs, str) else outputs
    wanted = names if given is None else list(given)
    if not wanted or not set(wanted) <= set(names):
        raise ValueError(f"import_ expects outputs to be some of {names}, got {wanted}")
    with _refusing(place):
        model = _model(onnx, proto, custom, wanted)
    return model.eval()


@contextmanager
def _refusing(place: str) -> Iterator[None]:
    """Raise a FileFormatError that names the file for whatever is raised inside."""
    try:
        yield
    except FileFormatError as error:
        raise FileFormatError(f"{place} cannot be imported: {error}") from error
    except Exception as error:  # of a graph that the checker lets through and no layer accepts
        raise FileFormatError(
            f"{place} cannot be imported: {type(error).__name__}: {error}"
        ) from error


def _fill_external(onnx: Any, proto: Any, place: Path) -> None:
    """Take the numbers of tensors that are in a file beside `place`, as PyTorch writes them."""
    helper, left = onnx.external_data_helper, dict[Path, int]()
    for tensor in helper._get_all_tensors(proto):
        if not helper.uses_external_data(tensor):
            continue
        given = {entry.key: entry.value for entry in tensor.external_data}
        named = tensor.name[:200]
        location = given.get("location", "")
        # Another folder, a link or a device is not what the file's author can ask for.
        plain = location and not set(location) & set("/\\:\0") and location not in {".", ".."}
        beside = place.parent / location
        if not plain or beside.is_symlink() or not beside.is_file():
            raise FileFormatError(
                f"the numbers of {named!r} are in {location[:200]!r}, which is not a file in the "
                "folder of the ONNX file; put it there"
            )
        kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
        size = beside.stat().st_size
        count = math.prod(tensor.dims) * kind.itemsize
        start, length = int(given.get("offset", 0)), int(given.get("length", count))
        left[beside] = left.get(beside, size) - length
        if length != count or not 0 <= start <= size - length or left[beside] < 0:
            raise FileFormatError(
                f"{named!r}, {tuple(tensor.dims)} numbers of {kind}, takes {length} bytes at "
                f"{start} of {location!r}, which has {size}; the two files do not belong together"
            )
        with beside.open("rb") as file:
            file.seek(start)
            tensor.raw_data = file.read(length)
        tensor.ClearField("external_data")
        tensor.data_location = onnx.TensorProto.DEFAULT


def _model(
    onnx: Any, proto: Any, custom: tuple[type[Buildable], ...], outputs: list[str]
) -> Layer:
    """Return the layers that were exported, or else those that the nodes are."""
    why = ""
    try:  # what was exported gives all outputs, in the order of the file
        every = outputs == [value.name for value in proto.graph.output]
        described = _described(onnx, proto, custom) if every else None
        if described is not None:
            return described
    except Exception as error:  # noqa: BLE001 - whatever is wrong, the graph is there to be read
        why = f" (and the layers that it says it was exported from cannot be built: {error})"
    try:
        return read_graph(onnx, proto, outputs)
    except FileFormatError as error:
        raise FileFormatError(f"{error}{why}") from error


def _described(onnx: Any, proto: Any, custom: tuple[type[Buildable], ...]) -> Layer | None:
    """Return the layers that the metadata name, if they give this graph; else None."""
    described = {entry.key: entry.value for entry in proto.metadata_props}
    graph = proto.graph
    if not {DESCRIPTION, SHAPE} <= set(described):
        return None
    arrays = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    numbers = sum(array.size for array in arrays.values())
    with building(numbers):
        recorded = from_text("its description", described[DESCRIPTION].encode())
        model = Builder({}, custom).build(recorded)
    shape = from_text("its input shape", described[SHAPE].encode())  # or one for each input
    several = any(isinstance(one, tuple) for one in shape)
    large = any(math.prod(map(int, s or ())) > LARGEST for s in (shape if several else [shape]))
    if large or not isinstance(model, Layer) or not _filled(model, arrays):
        return None
    kind = graph.output[0].type.tensor_type.elem_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind)
    batch = graph.input[0].type.tensor_type.shape.dim[0].dim_value or BATCH
    names = [value.name for value in graph.input], [value.name for value in graph.output]
    with building(8 * numbers):  # some constants stand for several layers
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
