"""The graph while it is written, and the functions that write a layer into it."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from minifw._engine.composition import required
from minifw._engine.lines import listed
from minifw._tools.checks import describe
from minifw._tools.extras import needs
from minifw.core.layer import Layer
from minifw.core.parameter import Parameter
from minifw.interop.onnx._maths import Arithmetic
from minifw.typing import DType, Shape

Exporter: TypeAlias = Callable[..., str | tuple[str, ...]]
"""Writes a layer into a graph: takes the layer, the graph and the name of x, returns the name of
y; of a layer of several inputs it takes a name for each, None for one that is left out, and of
several outputs it returns a tuple."""

Written = TypeVar("Written", bound=Exporter)

Step: TypeAlias = Callable[[list[str], list[str]], tuple[list[str], list[str]]]
"""One step of a loop: from states and what it reads, to new states and what it hands out."""

FLOAT32 = float(np.finfo(np.float32).max)
_COMPUTE = ("forward", "__call__")  # what a layer computes; a subclass with others is another one

_exporters: dict[type[Layer], Exporter] = {}


def package(owner: str) -> Any:
    """Return the module onnx, or raise for `owner` if it is missing."""
    with needs(owner, "onnx", "onnx"):
        import onnx  # noqa: PLC0415 - optional
    return onnx


def register(*classes: type[Layer]) -> Callable[[Written], Written]:
    """Say how layers of a class are written to ONNX: a decorator of the function that does it.

    The function gets the layer, a `Graph` and the name of x. It adds nodes, and returns
    the name of y. It writes what the layer does in eval mode.

    Parameters
    ----------
    *classes : subclasses of Layer
        A subclass of theirs with the same ``forward`` is written by the same function.

    Returns
    -------
    decorator
        It returns the function unchanged. The latest one of a class counts.

    Raises
    ------
    TypeError
        If something is not a class of layers.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Layer, Parameter
    >>> from minifw.interop.onnx import register
    >>> class Scale(Layer):
    ...     '''y = x * scale, one factor per feature.'''
    ...     def __init__(self, features):
    ...         self.scale = Parameter(np.ones(features))
    ...     def forward(self, x):
    ...         self.save(x)
    ...         return x * self.scale.value
    ...     def backward(self, dy):
    ...         (x,) = self.saved()
    ...         self.scale.grad[...] = (dy * x).sum(axis=0)
    ...         return dy * self.scale.value
    >>> @register(Scale)
    ... def scale(layer, graph, x):
    ...     return graph.node("Mul", x, graph.constant(layer.scale))
    """
    for cls in classes:
        if not (isinstance(cls, type) and issubclass(cls, Layer)):
            raise TypeError(
                f"register expects classes of layers, got {describe(cls)}; write "
                "@register(MyLayer) above the function"
            )

    def keep(exporter: Written) -> Written:
        for cls in classes:
            _exporters[cls] = exporter
        return exporter

    return keep


def _exporter_of(layer: Layer, place: str) -> Exporter:
    """Return the function that writes `layer`; raise if there is none, and say how to add it."""
    own = type(layer)
    for method in _COMPUTE:
        if method in vars(layer):
            raise TypeError(
                f"export: {place}, has no ONNX form: its {method} was set on the instance; make "
                "it a method of a class of layers, and register a function for that"
            )
    for cls in own.__mro__:
        if cls in _exporters and all(getattr(own, m) is getattr(cls, m) for m in _COMPUTE):
            return _exporters[cls]
    name = own.__name__
    raise TypeError(
        f"export: {place}, has no ONNX form yet; register one, a function that adds nodes to the "
        "graph and returns the name of y:\n\n"
        f"    @minifw.interop.onnx.register({name})\n"
        f"    def {name.lower()}_to_onnx(layer, graph, x):\n"
        '        return graph.node("Mul", x, graph.constant(layer.weight))\n'
    )


class Graph(Arithmetic):
    """An ONNX graph while layers are written into it; what a registered function gets.

    A value is a name, a str: x and y, and what `node` and `constant` return.

    Attributes
    ----------
    dtype : float64 or float32
        In which the graph computes. ONNX Runtime lacks some operators in float64.

    Examples
    --------
    y = log(1 + exp(x)) from three operators, in the dtype of the graph:

    >>> def softplus(layer, graph, x):
    ...     e = graph.node("Exp", x)
    ...     return graph.node("Log", graph.node("Add", e, graph.constant(1.0)))
    """

    def __init__(self, model: Layer, dtype: DType) -> None:
        self.dtype = dtype
        self._onnx = package("export")
        self._nodes: list[Any] = []
        self._initializers: dict[str, Any] = {}
        self._shapes: dict[str, Shape] = {}  # of one example
        self._kinds: dict[str, int] = {}  # of values that are no numbers of the graph's dtype
        self._same: dict[str, str] = {}  # the values of which others hold the numbers
        self._paths = {id(layer): name for name, layer in model._all_layers()}
        self._named = {id(parameter): name for name, parameter in model.named_parameters()}
        self._named |= {id(array): name for name, array in model.named_buffers()}
        self._taken = set(self._named.values())  # the names that are in use
        self._constants: dict[tuple[str, Shape, bytes], str] = {}
        self._place = ""  # the path of the layer that is being written

    # -- for exporters -----------------------------------------------------------

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node of an ONNX operator; return the name of its (first) output.

        Parameters
        ----------
        operator : str
            Such as "MatMul", of the operator set `minifw.interop.onnx.OPSET`.
        *inputs : str
            Names of values; "" for an optional input that is left out.
        **attributes : int, float, str, or a list of them
            As in the documentation of the operator.

        Returns
        -------
        str
        """
        return self.nodes(operator, 1, *inputs, **attributes)[0]

    def nodes(self, operator: str, outputs: int, *inputs: str, **attributes: Any) -> list[str]:
        """Do what `node` does, for an operator of several outputs; return all their names."""
        for value in inputs:
            if not isinstance(value, str):
                raise TypeError(
                    f"Graph.node expects names of values as inputs of {operator}, got "
                    f"{describe(value)}; numbers become one by graph.constant(...)"
                )
        name = self._fresh(f"{self._place}/{operator}".removeprefix("/"))
        made = [name, *(self._fresh(f"{name}:{index}") for index in range(1, outputs))]
        for key, number in attributes.items():
            if isinstance(number, float) and FLOAT32 < abs(number) < np.inf:
                raise ValueError(
                    f"export: {key} of {name}, {number}, is too large for an attribute, which is "
                    "a float32"
                )
        self._nodes.append(
            self._onnx.helper.make_node(operator, list(inputs), made, name, **attributes)
        )
        return made

    def constant(self, value: Parameter | npt.ArrayLike) -> str:
        """Return the name of a constant in the graph's dtype.

        Parameters
        ----------
        value : Parameter or array
            A parameter or a buffer of the model gets its name in ``state_dict``.

        Raises
        ------
        ValueError
            If it has numbers that are too large for the graph's dtype.
        """
        known = self._named.get(id(value))
        what = known or f"a constant of layer {self._place or 'at the top'}"
        array = self._cast(value.value if isinstance(value, Parameter) else value, what)
        return self._constant(array) if known is None else self._store(known, array)

    def whole(self, numbers: npt.ArrayLike) -> str:
        """Return the name of a constant of whole numbers (int64), as for shapes and axes."""
        return self._constant(np.asarray(numbers, np.int64))

    def shape(self, value: str) -> Shape:
        """Return the shape of one example, without the batch, of the x or y of a layer."""
        if value in self._shapes:
            return self._shapes[value]
        raise ValueError(f"Graph.shape knows the inputs and outputs of layers, not {value!r}")

    def takes(self, value: str, kind: int) -> None:
        """Say that an input of a layer holds whole numbers (7), or truth values (9)."""
        value = self._same.get(value, value)
        self._kinds[value] = min(kind, self._kinds.get(value, kind))

    def passed(self, x: str, y: str) -> str:
        """Return y, after noting that it holds what x does, of whichever type."""
        self._same[y] = self._same.get(x, x)
        return y

    def layer(self, layer: Layer, *xs: str | None) -> Any:
        """Write a layer inside another one; return the name of its output, or all their names.

        Raises
        ------
        TypeError
            If no function is registered for it, or that one returned other than names of values.
        """
        path = self._paths.get(id(layer), "")
        place = f"layer {path}, {layer!r}" if path else f"{layer!r}"
        write = _exporter_of(layer, place)
        count = len(layer.output_names)
        shape = layer.output_shape(*[self.shape(str(x)) for x in xs[: required(layer)]])
        outer, self._place = self._place, path
        try:
            y = write(layer, self, *xs)
        except Exception as error:
            if not hasattr(error, "__notes__") and not str(error).startswith("export: "):
                error.add_note(f"in the function that writes {place}")
            raise
        finally:
            self._place = outer
        ys = y if isinstance(y, tuple) else (y,)
        if len(ys) != count or any(not isinstance(y, str) or y not in self._taken for y in ys):
            what = "name of y" if count == 1 else f"{count} names of {listed(layer.output_names)}"
            raise TypeError(
                f"export: the function registered for {type(layer).__name__} must return the "
                f"{what}, as graph.node(...) does; it returned {y!r}"
            )
        self._shapes.update(zip(ys, shape if count > 1 else (shape,), strict=True))
        return y

    def loop(self, states: Sequence[str], sequences: Sequence[str], step: Step) -> list[str]:
        """Run `step` along the first axis of `sequences`, as ONNX's Scan does.

        Parameters
        ----------
        states : sequence of str
            What the first step starts from.
        sequences : sequence of str
            Of shape (time, ...); each step gets its part of them.
        step : callable
            Called once, with the names of the states and of the parts; it adds nodes, and
            returns the names of the next states and of what is handed out.

        Returns
        -------
        list of str
            The last states, and what was handed out by all steps, (time, ...).
        """
        helper = self._onnx.helper
        outer, self._nodes = self._nodes, []
        taken = [self._fresh(f"{self._place}/state") for _ in states]
        read = [self._fresh(f"{self._place}/part") for _ in sequences]
        after, out = step(taken, read)
        # An output of a body has to be made in it, and only once.
        results = [self.node("Identity", value) for value in (*after, *out)]
        kind = helper.np_dtype_to_tensor_dtype(self.dtype)
        inputs, outputs = (
            [helper.make_tensor_value_info(name, kind, None) for name in names]
            for names in (taken + read, results)
        )
        body = helper.make_graph(self._nodes, "step", inputs, outputs)
        self._nodes = outer
        return self.nodes(
            "Scan", len(results), *states, *sequences, body=body, num_scan_inputs=len(read)
        )

    # -- for export --------------------------------------------------------------

    def begin(self, name: str, shape: Shape) -> str:
        """Make `name` an input, of examples of `shape`; return it."""
        if name in self._taken:
            raise ValueError(f"export: {name!r} is a parameter's name; give another input_name")
        self._taken.add(name)
        self._shapes[name] = shape
        return name

    def end(self, ys: Sequence[str], names: Sequence[str]) -> list[Shape]:
        """Make `names` the names of the outputs; return the shapes of their examples."""
        shapes = [self._shapes[y] for y in ys]
        made = {name for node in self._nodes for name in node.output}
        renamed: dict[str, str] = {}
        for y, name in zip(ys, names, strict=True):
            if name in self._taken:
                raise ValueError(f"export: the name {name!r} is taken; give another output_name")
            self._taken.add(name)
            # What no node made, or what is an output already, needs a node to give it the name.
            own = y in made and y not in renamed
            renamed[y if own else self.node("Identity", y)] = name
        for node in self._nodes:
            for values in (node.input, node.output):
                values[:] = [renamed.get(value, value) for value in values]
        return shapes

    def kind(self, x: str, whole: bool) -> int:
        """Return the type of an input by ONNX's number, given whether its layer takes integers."""
        own: int = self._onnx.helper.np_dtype_to_tensor_dtype(self.dtype)
        passed = x in self._same.values()  # to a layer that takes integers, as well
        return self._kinds.get(x, self._onnx.TensorProto.INT64 if whole and not passed else own)

    def finish(self, title: str, inputs: list[Any], outputs: list[Any]) -> Any:
        """Return the GraphProto."""
        return self._onnx.helper.make_graph(
            self._nodes, title, inputs, outputs, list(self._initializers.values())
        )

    def _cast(self, value: npt.ArrayLike, name: str) -> npt.NDArray[Any]:
        """Return the numbers in the graph's dtype; raise if one of them becomes infinite."""
        given = np.asarray(value)
        with np.errstate(over="ignore"):
            array = given.astype(self.dtype)
        if (np.isfinite(given) & ~np.isfinite(array)).any():
            raise ValueError(
                f"export: {name} has numbers too large for {self.dtype}; export with "
                "dtype=np.float64"
            )
        return array

    def _constant(self, array: npt.NDArray[Any]) -> str:
        key = array.dtype.str, array.shape, array.tobytes()
        if key not in self._constants:
            self._constants[key] = self._fresh("constant")
        return self._store(self._constants[key], array)

    def _store(self, name: str, array: npt.NDArray[Any]) -> str:
        if name not in self._initializers:
            values = np.array(array, order="C")
            self._initializers[name] = self._onnx.numpy_helper.from_array(values, name)
        return name

    def _fresh(self, stem: str) -> str:
        """Return `stem`, or with a number behind it if that name is taken."""
        name, count = stem, 0
        while name in self._taken:
            count += 1
            name = f"{stem}_{count}"
        self._taken.add(name)
        return name
