"""`export`: a model as an ONNX file."""

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from minifw._engine.composition import required
from minifw._engine.prediction import survey
from minifw._tools.checks import check_is
from minifw._tools.numbers import check_dtype, check_size
from minifw.core.layer import Layer
from minifw.interop.onnx import (  # noqa: F401 - they register what they know
    _activations,
    _foundation,
    _images,
    _normalization,
    _recurrent,
    _sequences,
    _tables,
)
from minifw.interop.onnx._graph import Graph, package
from minifw.storage._arguments import Recorder
from minifw.storage._atomic import path_of, replacing
from minifw.storage._text import to_text
from minifw.typing import DType, Shape

OPSET = 20  # the first with Gelu; ONNX Runtime reads it from 1.17 on, of February 2024
IR_VERSION = 9  # of onnx 1.15, which brought this operator set
BATCH = "batch"  # the name of the axis that is left open
DESCRIPTION = "minifw.model"  # the key of the metadata that says which layers were written
SHAPE = "minifw.input_shape"


def export(
    model: Layer,
    path: str | os.PathLike[str],
    *,
    input_shape: Any = None,
    input_name: str | Sequence[str] | None = None,
    output_name: str | Sequence[str] | None = None,
    dtype: object = None,
    batch: int | None = None,
) -> None:
    """Write what a model computes in eval mode as an ONNX file, its batch axis open.

    Parameters
    ----------
    model : Layer
        Any layer or container. It is not changed, and its mode does not matter.
    path : str or os.PathLike
        An old file there is replaced in one step, once the new one is complete.
    input_shape : tuple of int, optional
        The shape of one example, without the batch. Needed where the first layer accepts
        several, as `Conv2D` and `LSTM` do. With several inputs, a sequence of such shapes, or a
        dict by name; the graph takes those inputs that have one.
    input_name, output_name : str, or a sequence of them
        What the inputs and the outputs are called in the graph; by default "x" and "y", and as
        the model calls them if there are several.
    dtype : float64 or float32, optional
        In which the graph computes; by default as the model does. In float32 the graph is
        smaller, faster, and made of operators that every runtime has.
    batch : int, optional
        How many rows the graph takes, for programs that need to know it beforehand. By default
        the axis is left open, for any number.

    Raises
    ------
    TypeError
        If `model` is not a layer, or for a layer there is no function that writes it; the message
        says how to `register` one.
    ValueError
        If the input shape is missing or does not fit, if a number is too large for float32, or
        if the graph fails onnx's checker.
    ImportError
        If onnx is not installed.
    OSError
        If the file cannot be written; an old file is untouched.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from minifw import Dense, Sequential, Tanh
    >>> from minifw.interop.onnx import export, import_
    >>> model = Sequential(Dense(2, 4, rng=3), Tanh())
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export(model, pathlib.Path(folder) / "model.onnx")
    ...     twin = import_(pathlib.Path(folder) / "model.onnx")
    >>> twin
    Sequential(Dense(2, 4, rng=3), Tanh())
    """
    place = path_of("export", path)
    proto = described(model, input_shape, (input_name, output_name), dtype, batch)
    data = proto.SerializeToString(deterministic=True)
    with replacing(place) as file:
        file.write(data)


def described(
    model: Layer,
    input_shape: Any,
    names: tuple[Any, Any],
    dtype: object,
    batch: int | None,
) -> Any:
    """Return the ModelProto of a model, checked, or raise as `export` does."""
    onnx = package("export")
    check_is("export", "a layer", model, Layer)
    own = survey(model).dtype or np.float64
    numbers = check_dtype("export", own if dtype is None else dtype)
    rows = BATCH if batch is None else check_size("export", "batch", batch)
    proto = written(model, input_shape, names, numbers, rows)
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ValueError(
            f"export: the graph of {model!r} fails onnx's checker, by a fault in a function "
            f"registered for one of its layers: {error}"
        ) from error
    return proto


def written(
    model: Layer, input_shape: Any, names: tuple[Any, Any], dtype: DType, batch: int | str
) -> Any:
    """Return the ModelProto of a model, for `batch` rows."""
    onnx = package("export")
    shapes = _checked_shapes(model, input_shape)
    graph, whole = Graph(model, dtype), model._whole_inputs
    places = [place for place, shape in enumerate(shapes) if shape is not None]
    own = [model.input_names[place].rstrip("?*") for place in places]
    xs = dict(zip(places, _named("input_name", names[0], own, "x"), strict=True))
    for place, name in xs.items():
        graph.begin(name, shapes[place])
    ys = graph.layer(model, *map(xs.get, range(len(shapes))))
    outputs = _named("output_name", names[1], model.output_names, "y")
    y_shapes = graph.end(ys if isinstance(ys, tuple) else (ys,), outputs)
    info, float_type = onnx.helper.make_tensor_value_info, onnx.helper.np_dtype_to_tensor_dtype
    proto = onnx.helper.make_model(
        graph.finish(
            type(model).__name__,
            [
                info(name, graph.kind(name, whole[place]), [batch, *shapes[place]])
                for place, name in xs.items()
            ],
            [
                info(name, float_type(dtype), [batch, *shape])
                for name, shape in zip(outputs, y_shapes, strict=True)
            ],
        ),
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="minifw",
        producer_version=sys.modules["minifw"].__version__,
    )
    with suppress(TypeError, ValueError):  # no such description: import_ reads the graph itself
        recorder = Recorder()
        description = {DESCRIPTION: to_text("export", recorder.record(model))}
        if not recorder.arrays:
            known = list(shapes[0]) if len(shapes) == 1 else shapes
            description[SHAPE] = to_text("export", known)
            onnx.helper.set_model_props(proto, description)
    return proto


def _named(what: str, given: Any, own: Sequence[str], one: str) -> list[str]:
    """Return the names of the inputs, or of the outputs."""
    if given is None:
        return [one] if len(own) == 1 else list(own)
    names = given if isinstance(given, tuple | list) else [given]
    if len(names) != len(own) or not all(isinstance(name, str) and name for name in names):
        raise TypeError(
            f"export expects names as str, not empty, as {what} {len(own)}, got {given!r}"
        )
    return list(names)


def _checked_shapes(model: Layer, given: Any) -> list[Any]:
    """Return the shape of an example of each input, None of one that is left out."""
    names, needed = [name.rstrip("?*") for name in model.input_names], required(model) or 1
    shapes = given if isinstance(given, tuple | list) else ()
    if isinstance(given, Mapping):
        shapes = [given.get(name) for name in names] if set(given) <= set(names) else ()
    elif needed == 1 and not any(isinstance(one, tuple | list) for one in shapes):
        return [_checked_shape(model, given)]
    if not needed <= len(shapes) <= len(names) or None in shapes[:needed]:
        raise ValueError(
            f"export expects input_shape to have a shape for each input, "
            f"({', '.join(model.input_names)}), without the batch, got {given!r}"
        )
    return [None if shape is None else _sizes(shape) for shape in shapes]


def _sizes(given: Any) -> Shape:
    check_is("export", "input_shape to be a tuple", given, tuple | list)
    return tuple(check_size("export", "input_shape", size) for size in given)


def _checked_shape(model: Layer, given: Shape | None) -> Shape:
    """Return the shape of one example, or raise if it is not known or not that of the model."""
    own = model.input_shape
    if given is None:
        if own is None:
            raise ValueError(
                "export cannot tell which shape examples have, because the first layer of this "
                f"{type(model).__name__} takes several; give input_shape=(...), without the batch"
            )
        try:
            model.output_shape(own)
        except ValueError as error:  # such as one step, of a model of sequences
            hint = "give input_shape=(...), without the batch, if examples have another"
            raise ValueError(f"export: of examples of shape {own}, {error}; {hint}") from error
        return own
    shape = _sizes(given)
    if own not in (None, shape) and not model.takes_sequences:
        raise ValueError(
            f"export: {model!r} expects examples of shape {own}, got input_shape={shape}"
        )
    model.output_shape(shape)  # raises if the model does not accept it
    return shape
