"""The container in which every value has a name, and every layer says what it takes."""

from collections import Counter
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from minifw._engine.composition import Line, check_shapes, required, whole_numbers
from minifw._engine.lines import checked_inputs, checked_lines, checked_outputs, listed
from minifw._engine.sharing import check_dtypes
from minifw._tools.changes import CHANGES
from minifw._tools.checks import check_cotangent, describe
from minifw.core.layer import Identity, Layer
from minifw.layers.container import Container
from minifw.typing import Array, Shape

__all__ = ["Graph"]


class Graph(Container):
    """Layers in any form without a loop: each line names a value, its layer, and what it takes.

    It is the notes' cache as a program: Z1, A1, ... are names, each made by a layer of values
    above it. A value that several lines take gets the sum of the gradients that they return:

        dv = the sum over all lines that take v of their dx for v.

    Parameters
    ----------
    *inputs : str
        The names of the inputs, at least one.
    outputs : str or tuple of str, optional
        The names of the values that ``forward`` returns; by default, what the last line gives.
        Of a tuple, ``forward`` returns a tuple.
    **lines : Layer or tuple
        ``name=layer`` takes the value above, and in the first line the only input.
        ``name=(layer, "a", "b")`` takes the values a and b; None in place of a name leaves an
        optional input out, and "mask=keep" gives the value keep to the input called mask. A
        layer of several outputs makes the values "name.y", "name.h" and so on.

    Raises
    ------
    TypeError
        If something is not a layer, or no name, or if layers differ in dtype.
    ValueError
        If a name is unknown, or comes twice, or is taken by nobody; if a layer gets too many or
        too few inputs; if shapes do not fit, naming both lines.

    Notes
    -----
    ``graph["name"]`` is the layer of a line, and ``graph["name"] = layer`` replaces it. One
    layer may stand at several lines: it then has one set of parameters, whose gradients
    are added up, and a memory of each use. Graphs nest.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Add, Dense, Graph, Tanh
    >>> model = Graph("a", "b", h=(Dense(2, 3), "a"), s=(Add(), "h", "b"), y=Tanh())
    >>> model.forward(np.ones((5, 2)), np.ones((5, 3))).shape, model.output_shape((2,), (3,))
    ((5, 3), (3,))
    >>> da, db = model.backward(np.ones((5, 3)))
    >>> da.shape, db.shape, [name for name, _ in model.named_parameters()]
    ((5, 2), (5, 3), ['h.weight', 'h.bias'])
    >>> Graph("a", "b", h=(Dense(2, 3), "a"), k=(Dense(2, 4), "b"), s=(Add(), "h", "k"))
    Traceback (most recent call last):
        ...
    ValueError: Graph: line s, Add(), cannot take what line h, Dense(2, 3), gives (3,) and line \
k, Dense(2, 4), gives (4,): Add() expects inputs of one shape, got (3,) and (4,)
    """

    adds_shared: ClassVar[bool] = True
    replayable: ClassVar[bool] = True
    stepwise: ClassVar[bool] = True

    _saved_memories: Mapping[int, Any] = MappingProxyType({})  # by line, of the repeated ones
    _saved_values: Mapping[str, Any] = MappingProxyType({})  # shape and dtype of each value
    _saved_trained: tuple[str, ...] = ()  # the values that rest on trained parameters
    _saved_repeated: tuple[int, ...] = ()  # the lines whose layers run at another one, too

    def __init__(self, /, *inputs: str, outputs: Any = None, **lines: Any) -> None:
        self._inputs = checked_inputs(inputs, lines)
        layers = tuple(
            line[0] if type(line) is tuple and line else line for line in lines.values()
        )
        self._names = tuple(lines)
        self._takes = tuple(line[1:] if type(line) is tuple else None for line in lines.values())
        self._outputs = outputs
        self._hold(layers)

    def _hold(self, layers: tuple[Layer, ...]) -> None:
        lines = checked_lines(self._inputs, self._names, layers, self._takes)
        gives = checked_outputs(self._inputs, lines, self._outputs)
        check_dtypes("Graph", [(line.place, line.layer) for line in lines])
        check_shapes("Graph", lines)
        self._lines, self._layers, self._gives = tuple(lines), layers, gives

    @property
    def _flow(self) -> tuple[Line, ...]:
        return self._lines if self._is_plain(Graph) else ()

    def __getitem__(self, name: str) -> Any:
        return self._layers[self._index(name)]

    def __setitem__(self, name: str, layer: Layer) -> None:
        index, (inputs, lines) = self._index(name), self._arguments
        super().__setitem__(index, layer)
        takes = self._takes[index]
        line = layer if takes is None else (layer, *takes)
        self._arguments = inputs, {**lines, name: line}  # in place of the layers alone

    def _index(self, name: str) -> int:
        if name not in self._names:
            raise KeyError(f"Graph has no line {name!r}; its lines are {listed(self._names)}")
        return self._names.index(name)

    def _place(self, index: int) -> str:
        return self._lines[index].place

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the inputs."""
        return self._inputs

    @property
    def output_names(self) -> tuple[str, ...]:  # type: ignore[override]
        """The names of the outputs; ("y",) of one."""
        return self._gives if len(self._gives) > 1 else ("y",)

    @property
    def _whole_inputs(self) -> tuple[bool, ...]:
        return whole_numbers(self._lines, self._inputs)

    @property
    def input_shape(self) -> Shape | None:
        """What the first line that takes the only input accepts, if it says so."""
        shapes = (layer.input_shape for layer in self._takers)
        return next((shape for shape in shapes if shape is not None), None)

    @property
    def takes_sequences(self) -> bool:  # type: ignore[override]
        """Whether that line's layer does."""
        said = (layer.takes_sequences for layer in self._takers if layer.input_shape is not None)
        return next(said, False)

    @property
    def _takers(self) -> list[Layer]:
        """The layers that take the only input."""
        only = self._inputs if len(self._inputs) == 1 else None
        return [line.layer for line in self._lines if line.takes == only]

    def output_shape(self, *shapes: Shape) -> Any:
        """Return the shape of one output example, given the shape of an example of each input."""
        known = self._by_name("shapes of inputs", shapes)
        for index, line in enumerate(self._lines):
            needed = line.takes[: required(line.layer)]
            made = self.ask(index, "output_shape", *(known[name] for name in needed if name))
            known.update(_named(line, made))
        return self._output_of(known)

    def forward(self, *xs: Any) -> Any:
        """Return the outputs: an array, or a tuple of several."""
        values = self._by_name("inputs", xs)
        own, memories = vars(self), dict[int, Any]()
        if self._saved_changes != CHANGES.count:
            self._find_shared()
        self.begin()
        mark = own["_saved_mark"]
        for index, line in enumerate(self._lines):
            repeated = index in self._saved_repeated
            own["_saved_mark"] = object() if repeated else mark  # a layer runs once under a mark
            made = self.ask(index, "forward", *_given(line, values))
            values.update(_named(line, made))
            if repeated:
                memories[index] = line.layer.memory()
        own["_saved_mark"], own["_saved_memories"] = mark, memories
        own["_saved_values"] = {
            name: None if value is None else (value.shape, value.dtype)
            for name, value in values.items()
        }
        self.end()
        return self._output_of(values)

    def _step(self, x: Any, kept: Any) -> tuple[Any, Any]:
        """Return the outputs, and what each line keeps."""
        values = self._by_name("inputs", x if isinstance(x, tuple) else (x,))
        states = self._states(kept)
        for index, line in enumerate(self._lines):
            given = _given(line, values)
            one = given[0] if len(given) == 1 else given
            made, states[index] = self.ask(index, "step", one, states[index])
            values.update(_named(line, made))
        return self._output_of(values), states

    def _by_name(self, what: str, given: tuple[Any, ...]) -> dict[str, Any]:
        """Return what is given for each input, by its name."""
        self._check_count(what, self._inputs, given)
        return dict(zip(self._inputs, given, strict=True))

    def _output_of(self, values: dict[str, Any]) -> Any:
        """Return the one that is an output, or a tuple of several."""
        outputs = tuple([values[name] for name in self._gives])
        return outputs if len(outputs) > 1 else outputs[0]

    def backward(self, *dys: Any, **_: Any) -> Any:
        """Return the gradient of each input; set the gradients of the parameters."""
        gradients = self._back(dys, everything=True)
        dxs = tuple(gradients.get(name) for name in self._inputs)
        if len(dxs) > 1:
            named = zip(self._inputs, dxs, strict=True)
            return tuple([None if self._is_whole(name) else dx for name, dx in named])
        return self._zeros(self._inputs[0]) if dxs[0] is None else dxs[0]

    def backward_parameters(self, *dys: Any, **_: Any) -> None:
        """Set the gradients of the parameters; no line is asked that rests on none."""
        self._back(dys, everything=False)

    def _back(self, dys: tuple[Array, ...], *, everything: bool) -> dict[str, Any]:
        """Go back through the lines; return the gradients of the values that were not made."""
        self.check_forward()
        self.saved()  # raises if there was no forward
        self._check_count("gradients of outputs", self._gives, dys)
        gradients: dict[str, Any] = {}
        for name, dy in zip(self._gives, dys, strict=True):
            if not self._is_whole(name):
                check_cotangent(self, dy, *self._saved_values[name])
            _add(gradients, name, dy)
        for index in reversed(range(len(self._lines))):
            self._back_through(index, gradients, everything)
        for index, memory in self._saved_memories.items():
            self._lines[index].layer.recall(memory)  # as forward left them
        return gradients

    def _back_through(self, index: int, gradients: dict[str, Any], everything: bool) -> None:
        """Take the gradients of what a line makes; add those of what it takes, if needed."""
        line, trained = self._lines[index], self._saved_trained
        got = [(name, gradients.pop(name, None)) for name in line.makes]
        wanted = everything or any(name in trained for name in line.takes)
        if line.makes[0] not in trained and not (wanted and any(dy is not None for _, dy in got)):
            return  # nothing is trained here, or nobody has a derivative, as of a mask
        dys = [self._zeros(name) if dy is None else dy for name, dy in got]
        if index in self._saved_memories:
            line.layer.recall(self._saved_memories[index])
        if not wanted:
            self.ask(index, "backward_parameters", *dys)
            return
        there = [name is not None and self._saved_values[name] is not None for name in line.takes]
        count = len(there) - there[::-1].index(True)  # None at the end is as if left out
        result = self.ask(index, "backward", *dys, count=count)
        dxs = result if count > 1 else (result,)
        for name, fed, dx in zip(line.takes, there, dxs, strict=False):
            if name and fed and (dx is not None or (name in trained and not self._is_whole(name))):
                self._check_dx(line, name, dx)
                _add(gradients, name, dx)

    def split_last(self, output: int = 0) -> tuple[Layer | None, Layer]:
        """Return this Graph without the last layer of an output, and that layer.

        None and this Graph itself, if that output is taken by a line, too, or does something
        else than a Graph.
        """
        name = self._gives[output]
        uses = Counter(taken for line in self._lines for taken in line.takes)
        if not self._is_plain(Graph) or name not in self._names or name in uses:
            return None, self
        line = self._lines[self._index(name)]
        before, last = line.layer.split_last()
        if before is None and len(line.takes) > 1:
            return None, self
        lines = {one.makes[0].partition(".")[0]: (one.layer, *one.takes) for one in self._lines}
        lines[name] = (before or Identity(), *line.takes)
        return Graph(*self._inputs, outputs=self._outputs, **lines), last

    def _find_shared(self) -> None:
        own, trained = vars(self), set[str]()
        inside = [{id(one) for _, one in line.layer._all_layers()} for line in self._lines]
        uses = Counter(one for ids in inside for one in ids)
        own["_saved_repeated"] = tuple(
            [index for index, ids in enumerate(inside) if any(uses[one] > 1 for one in ids)]
        )
        for line in self._lines:
            if line.layer.parameters() or any(name in trained for name in line.takes):
                trained.update(line.makes)
        own["_saved_trained"] = tuple(trained)
        self._note_shared()

    def _once(self) -> Iterator[Layer]:
        """Yield the layers that run once; the others are put back from a memory."""
        for index, layer in enumerate(self._layers):
            if index not in self._saved_memories:
                yield layer

    def _members(self) -> Iterator[tuple[str, Any]]:
        yield from zip(self._names, vars(self).get("_layers", ()), strict=False)
        yield from Layer._members(self)  # not by their numbers

    def _is_whole(self, name: str) -> bool:
        """Return whether a value has no derivative, as a mask or whole numbers."""
        value = self._saved_values[name]
        return value is None or value[1].kind != "f"

    def _zeros(self, name: str) -> Array:
        """Return the gradient of a value that has none."""
        shape, dtype = self._saved_values[name]
        return np.zeros(shape, np.float64 if self._is_whole(name) else dtype)

    def _check_dx(self, line: Line, name: str, dx: Array | None) -> None:
        shape, dtype = self._saved_values[name]
        whole = self._is_whole(name)
        if dx is None or dx.shape != shape or (dx.dtype != dtype and not whole):
            raise ValueError(
                f"Graph: {line.place}, {line.layer!r}, must return dx for {name} as a {dtype} "
                f"array of shape {shape}, it returned {describe(dx)}"
            )

    def _check_count(self, what: str, names: tuple[str, ...], given: tuple[Any, ...]) -> None:
        if len(given) != len(names):
            raise ValueError(
                f"Graph expects {len(names)} {what}, {listed(names)}, got {len(given)}"
            )


def _add(gradients: dict[str, Any], name: str, dx: Array) -> None:
    gradients[name] = gradients[name] + dx if name in gradients else dx


def _given(line: Line, values: dict[str, Any]) -> tuple[Any, ...]:
    """Return what a line takes; None is an input that is left out."""
    return tuple([name and values[name] for name in line.takes])


def _named(line: Line, made: Any) -> dict[str, Any]:
    """Return what a line makes by its names."""
    return dict(zip(line.makes, made if len(line.makes) > 1 else (made,), strict=True))
