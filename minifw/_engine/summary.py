"""What a model consists of: layers, output shapes, parameters, bytes."""

import copy
import operator
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from minifw._engine.listening import listening
from minifw._engine.protocols import AnyLayer
from minifw._tools.checks import describe
from minifw._tools.numbers import check_size
from minifw._tools.tables import Table, counted
from minifw.typing import Array, Shape

__all__ = ["LayerSummary", "Summary", "summary"]

LONGEST = 36  # characters of a layer's repr in the table, which fits a terminal


class LayerSummary(NamedTuple):
    """One row of a `Summary`.

    Examples
    --------
    >>> from minifw import Dense, Sequential, Tanh, summary
    >>> row = summary(Sequential(Dense(2, 4), Tanh()), (2,)).layers[0]
    >>> row.path, row.layer, row.output_shape, row.parameters, row.nbytes
    ('0', 'Dense(2, 4)', (4,), 12, 96)
    """

    path: str
    """The name among `named_layers`, such as "2.0"; "" for the model itself."""
    layer: str
    """The repr; of a layer that holds others, the class alone."""
    output_shape: Any
    """Of one example, without the batch, a tuple of shapes of several outputs; None if the layer
    was not reached."""
    parameters: int
    """How many numbers its parameters have, without inner layers that have a row."""
    nbytes: int
    """How many bytes they take."""


class Summary:
    """The layers of a model with their output shapes, parameters and bytes.

    ``print`` shows a table, and so does a notebook, as HTML.

    Attributes
    ----------
    layers : list of LayerSummary
        In the order of `named_layers`; the model itself only if it holds no
        layers, or parameters of its own.
    input_shape, output_shape : tuple of int, or tuple of such of several
        Of one example, without the batch.
    parameters, nbytes : int
        How many numbers the parameters have, and the bytes that they take. Each
        parameter counts once, in however many ways it is reached.
    frozen : int
        How many of these numbers are frozen.
    buffers, buffer_nbytes : int
        The same of the arrays that belong to the state and are not trained.

    Examples
    --------
    >>> from minifw import Dense, Sequential, Sigmoid, Tanh, summary
    >>> model = Sequential(Dense(2, 4, rng=3), Tanh(), Dense(4, 1, rng=4), Sigmoid())
    >>> report = summary(model, (2,))
    >>> report.parameters, report.nbytes, report.layers[0].output_shape
    (17, 136, (4,))
    """

    def __init__(
        self,
        name: str,
        layers: Sequence[LayerSummary],
        shapes: tuple[Any, Any],
        sizes: tuple[int, int, int, int, int],
        dtypes: Sequence[str],
        *,
        takes: Mapping[str, str],
    ) -> None:
        self.layers = list(layers)
        self.input_shape, self.output_shape = shapes
        self.parameters, self.nbytes, self.buffers, self.buffer_nbytes, self.frozen = sizes
        self._name, self._dtypes = name, dtypes
        self._takes = takes  # what each line of a Graph takes

    def _table(self) -> Table:
        title = f"{self._name}: {_shown(self.input_shape)} -> {_shown(self.output_shape)}"
        words = ["layer", "", *(["takes"] if self._takes else []), "output"]
        table = Table(title, [*words, "parameters", "bytes"], "l" * len(words) + "rr")
        paths = [row.path for row in self.layers]
        for path, layer, shape, parameters, nbytes in self.layers:
            depth = sum(path.startswith(f"{outer}.") for outer in paths)
            takes = [self._takes.get(path, "")] if self._takes else []
            cells = "  " * depth + path, layer, *takes, "-" if shape is None else _shown(shape)
            counts = parameters or not any(inside(inner, path) for inner in paths)
            table.add(
                *cells, *[f"{number:,}" if counts else "" for number in (parameters, nbytes)]
            )
        empty = [""] * (len(words) - 1)
        table.totals = ["total", *empty, f"{self.parameters:,}", f"{self.nbytes:,}"]
        if self.parameters:
            kinds = " and ".join(self._dtypes)
            table.notes.append(f"parameters in {kinds}; their gradients take as many bytes again")
        if self.frozen:
            table.notes.append(f"{self.frozen:,} of the parameters are frozen")
        if self.buffers:
            numbers = counted(self.buffers, "number")
            table.notes.append(
                f"buffers, which are not trained: {numbers}, {counted(self.buffer_nbytes, 'byte')}"
            )
        return table

    def __repr__(self) -> str:
        return self._table().text()

    def _repr_html_(self) -> str:
        return self._table().html()


def summary(model: AnyLayer, input_shape: Any = None, *, depth: int | None = None) -> Summary:
    """Return the layers of `model`, with output shapes, parameters and bytes.

    Parameters
    ----------
    model : Layer
        It is left as it is: a copy of it answers, in eval mode.
    input_shape : tuple of int, or tuple of such of several inputs; optional
        The shape of one example, without the batch, as for `Layer.output_shape`. It may be
        left out if the model says it, as a `Dense` at its begin does.
    depth : int, optional
        How many levels of layers inside layers have rows, 1 for the layers of the model alone;
        all by default. The row of a layer that is folded counts what is inside.

    Returns
    -------
    Summary

    Raises
    ------
    TypeError
        If `model` is not a layer, `input_shape` no tuple of whole numbers, or depth none.
    ValueError
        If a size or depth is below 1, or the model does not accept that shape, or does not say it.

    Notes
    -----
    A layer that makes its parameters in the first forward is counted with them.

    Examples
    --------
    >>> from minifw import Dense, Sequential, Sigmoid, Tanh, summary
    >>> model = Sequential(Dense(2, 4, rng=3), Tanh(), Dense(4, 1, rng=4), Sigmoid())
    >>> print(summary(model, (2,)))
    Sequential: (batch, 2) -> (batch, 1)
    <BLANKLINE>
    layer                      output      parameters  bytes
    --------------------------------------------------------
    0      Dense(2, 4, rng=3)  (batch, 4)          12     96
    1      Tanh()              (batch, 4)           0      0
    2      Dense(4, 1, rng=4)  (batch, 1)           5     40
    3      Sigmoid()           (batch, 1)           0      0
    --------------------------------------------------------
    total                                          17    136
    <BLANKLINE>
    parameters in float64; their gradients take as many bytes again
    """
    if isinstance(model, type) or not hasattr(model, "named_layers"):
        hint = f"; write {model.__name__}(...)" if isinstance(model, type) else ""
        raise TypeError(f"summary expects model to be a layer, got {describe(model)}{hint}")
    levels = None if depth is None else check_size("summary", "depth", depth)
    shapes, shape = _checked(model, input_shape)
    twin = copy.deepcopy(model).eval()
    named = [("", twin), *twin.named_layers()]
    _check_batch(named, shape)
    found = _output_shapes(twin, named, shapes)

    holders = {path for path, layer in named if layer.named_layers()}
    # Taken from the copy, which has run: a layer may make its parameters in the first forward.
    own: dict[str, list[Array]] = {
        name: []
        for name, _ in named
        if levels is None or sum(inside(name, path) for path in holders) <= levels
    }
    for name, parameter in twin.named_parameters():
        own[_owner(name, own)].append(parameter.value)
    buffers = {id(array): array for _, array in twin.named_buffers()}.values()
    values = [value for arrays in own.values() for value in arrays]
    rows = [
        LayerSummary(
            name,
            type(layer).__name__ if name in holders else _short(repr(layer)),
            found.get(name),
            sum(value.size for value in own[name]),
            sum(value.nbytes for value in own[name]),
        )
        for name, layer in named
        if name in own and (name or not holders or own[name])
    ]
    sizes = (
        sum(value.size for value in values),
        sum(value.nbytes for value in values),
        sum(array.size for array in buffers),
        sum(array.nbytes for array in buffers),
        sum(p.value.size for _, p in twin.named_parameters() if p.frozen),
    )
    dtypes = sorted({str(value.dtype) for value in values})
    ends = shape, found[""]
    name, takes = type(model).__name__, _takes(named)
    return Summary(name, rows, ends, sizes, dtypes, takes=takes)


def _check_batch(named: Sequence[tuple[str, Any]], shape: Any) -> None:
    """Raise if a batch was counted, which a layer of sequences would take for the time."""
    wanted = named[0][1].input_shape
    if wanted is None or shape[1:] != wanted:
        return
    try:
        named[0][1].output_shape(wanted)
    except (TypeError, ValueError):
        return  # it is of sequences alone
    first = next(one for _, one in named if one.input_shape == wanted and not one.named_layers())
    raise ValueError(
        f"{first!r} expects examples of shape {wanted}, got {shape}; leave out the batch, or ask "
        f"output_shape({shape}) about a sequence"
    )


def _takes(named: Sequence[tuple[str, Any]]) -> dict[str, str]:
    """Return what the lines of Graphs take, by the path of their layer."""
    paths, takes = {id(layer): path for path, layer in named}, defaultdict[str, list[str]](list)
    for line in (line for _, layer in named for line in getattr(layer, "_lines", ())):
        takes[paths[id(line.layer)]].append(", ".join(filter(None, line.takes)))
    return {path: "; ".join(taken) for path, taken in takes.items()}


def _output_shapes(
    twin: AnyLayer, named: Sequence[tuple[str, Any]], shapes: Sequence[Shape]
) -> dict[str, Any]:
    """Return the shape that each layer gives an example, where the layer is reached."""
    found: dict[str, Any] = {}

    def note(name: str, _: AnyLayer, method: str, call: Callable[..., Any], *xs: Any) -> Any:
        result = call(*xs)
        if method == "output_shape":
            found[name] = result = tuple(result)
        elif isinstance(result, np.ndarray):
            found[name] = result.shape[1:]
        elif isinstance(result, tuple):
            found[name] = tuple([one.shape[1:] for one in result])
        return result

    parameters = twin.named_parameters()
    dtype = parameters[0][1].dtype if parameters else np.dtype(np.float64)
    with listening(named, ("forward", "output_shape"), note):
        refusal: TypeError | None = None
        try:
            twin.output_shape(*shapes)
        except TypeError as error:  # it asks with floating-point numbers, as Embedding refuses
            refusal = error
        for kind in (dtype, np.dtype(np.intp)):  # an output_shape that asks no layers inside
            if len(found) < len(named):
                with suppress(Exception), np.errstate(all="ignore"):  # zeros say nothing
                    twin(*[np.zeros((1, *shape), kind) for shape in shapes])
        if refusal is not None and "" not in found:
            raise refusal
    return found


def _checked(model: AnyLayer, input_shape: Any) -> tuple[list[Shape], Any]:
    """Return the shape of each input, and what was given."""
    names = [name for name in model.input_names if name[-1] != "?"]
    if input_shape is None:
        input_shape = model.input_shape
    several = isinstance(input_shape, tuple) and any(isinstance(s, tuple) for s in input_shape)
    if input_shape is None or (len(names) > 1 and not several):
        each = f" of each of its inputs, ({', '.join(names)})" if len(names) > 1 else ""
        raise ValueError(
            f"summary expects input_shape, the shape of one example{each}, without the batch: "
            f"{model!r} does not say what it takes"
        )
    shapes = [_checked_shape(shape) for shape in (input_shape if several else [input_shape])]
    return shapes, tuple(shapes) if several else shapes[0]


def _checked_shape(input_shape: object) -> Shape:
    if not isinstance(input_shape, tuple | list) or not all(map(_is_whole, input_shape)):
        fix = f"; write ({input_shape},)" if _is_whole(input_shape) else ""
        if isinstance(input_shape, tuple | list) and any(size is None for size in input_shape):
            fix = "; leave out the batch"
        raise TypeError(
            "summary expects input_shape to be the shape of one example, a tuple of whole "
            f"numbers, got {input_shape!r}{fix}"
        )
    shape = tuple(operator.index(size) for size in input_shape)
    if any(size < 1 for size in shape):
        raise ValueError(
            f"summary expects every size in input_shape to be at least 1, got {shape}"
        )
    return shape


def _is_whole(size: object) -> bool:
    return hasattr(size, "__index__") and not isinstance(size, bool)


def inside(name: str, path: str) -> bool:
    """Return whether the layer or parameter of that name is in the layer at `path`."""
    return name != path and (not path or name.startswith(f"{path}."))


def _owner(parameter: str, layers: dict[str, list[Array]]) -> str:
    """Return the innermost layer whose name begins the parameter's."""
    return max((name for name in layers if inside(parameter, name)), key=len)


def _shown(shape: Any) -> str:
    if any(isinstance(one, tuple) for one in shape):
        return ", ".join(map(_shown, shape))
    return f"({', '.join(['batch', *map(str, shape)])}{',' if not shape else ''})"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
