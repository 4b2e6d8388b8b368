"""What is known of a value and of a node, and the functions that say which layers nodes are."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np

from minifw import layers
from minifw.core.layer import Layer
from minifw.errors import FileFormatError
from minifw.interop.onnx._reading.constants import BATCH, Array
from minifw.layers._windows import single

Size: TypeAlias = Any  # an int, or None where the file does not say it
Found: TypeAlias = dict[str, Any]
Filled = TypeVar("Filled", bound=Layer)
Pattern: TypeAlias = str | float | tuple[Any, ...] | list[Any]


@dataclass(frozen=True)
class Value:
    """A value that depends on the input."""

    line: str
    """The line of the `Graph` that makes it, or the input."""
    shape: tuple[Size, ...] | None
    """The shape of one example as the line gives it; None where it is not known."""
    dtype: np.dtype[Any] | None
    order: tuple[int, ...] | None = None
    """Which axis of the line each axis in the file is, if they differ; 0 is the batch."""

    @property
    def sizes(self) -> tuple[Size, ...]:
        """The shape in the file, the number of rows as `BATCH`."""
        if self.shape is None:
            raise FileFormatError("it needs a number of axes that the file does not say")
        own = (BATCH, *self.shape)
        return own if self.order is None else tuple(own[axis] for axis in self.order)

    @property
    def whole(self) -> bool:
        """Whether it is known to be of a type of whole numbers, or bool."""
        return self.dtype is not None and self.dtype.kind in "iub"

    def told(self, *sizes: int) -> "Value":
        """Return it with the sizes of its last axes, which a weight says, where none is known."""
        if self.shape is None or len(sizes) > len(self.shape):
            return self
        front, back = self.shape[: -len(sizes)], self.shape[-len(sizes) :]
        known = [size if one is None else one for one, size in zip(back, sizes, strict=True)]
        return replace(self, shape=(*front, *known))

    def axis(self, axis: int) -> int:
        """Return which axis of the line an axis in the file is."""
        count = len(self.sizes if self.order is None else self.order)
        if not -count <= axis < count:
            raise FileFormatError(f"it has no axis {axis}")
        return axis % count if self.order is None else self.order[axis]


@dataclass(frozen=True)
class Node:
    """A node while it is read."""

    operator: str
    name: str
    attributes: Mapping[str, Any]
    inputs: Sequence[Value | Array | None]
    """Its inputs: values that depend on the input, constants, and None for those left out."""
    opset: int
    reading: Any
    """The `Reading`, to which it adds lines."""

    def refuse(self, why: str) -> FileFormatError:
        """Return an error that names the node."""
        return FileFormatError(
            f"node {self.name!r}, {self.operator}: {why}; change the model before it is exported, "
            "or run the file in ONNX Runtime"
        )

    @property
    def values(self) -> list[Value]:
        """The inputs that are no constants."""
        return [value for value in self.inputs if isinstance(value, Value)]

    @property
    def x(self) -> Value:
        """The first of them."""
        return self.values[0]

    @property
    def shape(self) -> tuple[Size, ...] | None:
        """The shape of one example of x, if it is known."""
        return self.x.shape

    def constant(self, index: int) -> Array | None:
        """Return the constant at an input, or None."""
        found = self.inputs[index] if index < len(self.inputs) else None
        return found if isinstance(found, np.ndarray) else None

    def given(self, index: int, name: str, default: Any = None) -> Any:
        """Return a constant input, which was an attribute in older operator sets."""
        found = self.constant(index)
        return self.attributes.get(name, default) if found is None else found

    def number(self, index: int, name: str, default: float) -> float:
        """Return such an input of one number."""
        return float(np.reshape(self.given(index, name, default), ()))

    def needed(self, index: int) -> Array:
        """Return the constant at an input, or raise if it is computed."""
        found = self.constant(index)
        if found is None:
            raise self.refuse(f"minifw needs its input {index} to be a constant")
        return found

    def broadcast(self, *constants: Array) -> None:
        """Raise if a constant has more axes than x: y would have them, too."""
        most = 1 if self.shape is None else 1 + len(self.shape)
        if any(constant.ndim > most for constant in constants):
            raise self.refuse("a constant has more axes than x")

    def expect(self, **wanted: Any) -> None:
        """Raise unless each attribute is absent or what is wanted."""
        for key, value in wanted.items():
            if key in self.attributes and self.attributes[key] != value:
                raise self.refuse(f"minifw has no {key}={self.attributes[key]!r}")

    def axes(self, index: int = 1) -> list[int]:
        """Return the axes of x, as its line has them: an attribute, later an input."""
        return [self.x.axis(int(axis)) for axis in np.ravel(self.given(index, "axes", ()))]

    def part(self, proto: Any) -> "Node":
        """Return another node of the same formula, with the same x."""
        constants = [self.reading.source.constants.get(name) for name in proto.input[1:]]
        attributes = self.reading.attributes(proto)
        inputs = [self.x, *constants]
        return replace(self, operator=proto.op_type, attributes=attributes, inputs=inputs)

    def add(self, layer: Layer, *values: Value) -> Value:
        """Return what a layer makes of values, by default of x."""
        made: Value = self.reading.add(self, layer, *values or [self.x])
        return made


Made: TypeAlias = Layer | Value | list[Value | None]
Reader: TypeAlias = Callable[[Node], Made]

readers: dict[str, tuple[Reader, str, bool]] = {}
formulas: dict[str, list["Formula"]] = {}


def reader(
    *operators: str, order: str = "plain", several: bool = False
) -> Callable[[Reader], Reader]:
    """Say how nodes of these operators are layers.

    `order` is "same" of a function of each number alone, which the order of the axes does not
    change; "features" of one of the last axis alone. It is "own" if the reader takes values in any
    order, and "plain" if it takes them in the file's. `several` is whether it joins values.
    """

    def keep(function: Reader) -> Reader:
        for operator in operators:
            readers[operator] = function, order, several
        return function

    return keep


Builder: TypeAlias = Callable[[Node, Found], Layer | Value]


class Formula(NamedTuple):
    """A pattern of nodes, and its meaning."""

    form: tuple[Any, ...]
    when: Callable[[Found], bool]
    build: Builder
    order: str
    found: Found


def formula(
    *forms: tuple[Any, ...], when: Callable[[Found], bool] = lambda _: True, order: str = "plain"
) -> Callable[[Builder], Builder]:
    """Say which layer a formula of several nodes is.

    `when` is asked with what its letters stand for, before any node is read.
    """

    def keep(function: Builder) -> Builder:
        for form in forms:
            kind = form[0].partition(":")[0]
            formulas.setdefault(kind, []).append(Formula(form, when, function, order, {}))
        return function

    return keep


def line_of(value: str) -> str:
    """Return the line that makes a value; of several outputs they are "line.y", "line.h"."""
    return value.partition(".")[0]


def in_dtype(weight: Array) -> dict[str, Any]:
    """Return the argument for the dtype of a weight, if it is not the default."""
    return {} if weight.dtype == np.float64 else {"dtype": weight.dtype}


def dense(weight: Array, bias: Array | None) -> layers.Dense:
    """Return the layer of a weight, (out, in), and a bias."""
    out, into = weight.shape
    without: dict[str, Any] = {} if bias is not None else {"bias": False}
    layer = layers.Dense(into, out, **without, **in_dtype(weight))
    return filled(layer, weight=weight, bias=None if bias is None else bias.reshape(-1))


def plainly(kind: type[Filled], *sizes: Any, **options: Any) -> Filled:
    """Return a layer that is given only what differs from its defaults, and 3 for (3, 3)."""
    own = inspect.signature(kind).parameters
    said = {name: single(value) for name, value in options.items()}
    others = {name: value for name, value in said.items() if value != own[name].default}
    return kind(*sizes, **others)


def product(node: Node, weight: Array, bias: Array | None) -> Value:
    """Return what the layer of a weight, (in, out), and a bias makes of x."""
    if node.shape is not None and len(node.shape) not in (1, 2):
        raise node.refuse(f"minifw multiplies a row or a sequence, got {node.shape}")
    return node.add(dense(weight.T, bias), node.x.told(len(weight)))


def filled(layer: Filled, **state: Array | None) -> Filled:
    """Return a layer with these parameters and buffers; None stands for a missing one."""
    layer.load_state_dict({name: array for name, array in state.items() if array is not None})
    return layer
