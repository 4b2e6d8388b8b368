"""A graph read node by node: each becomes a layer, and a line of a `Graph`.

First the constants are computed. Then, from the outputs back to the inputs, each value that is
needed gets the node, or the pattern of nodes, that makes it. Last, from the inputs on, each of
these becomes a layer. A graph in which every value is taken once, by the next, is a `Sequential`.
"""

import keyword
import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import permutations
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np

from minifw import layers
from minifw._tools.loading import building
from minifw.core.layer import Layer
from minifw.errors import FileFormatError
from minifw.interop.onnx._reading.constants import BATCH, UNKNOWN, Array, as_floats, computed

Size: TypeAlias = Any  # an int, or None where the file does not say it
Found: TypeAlias = dict[str, Any]
Filled = TypeVar("Filled", bound=Layer)
Pattern: TypeAlias = str | float | tuple[Any, ...] | list[Any]

LARGEST = 2**24  # numbers of one example; a file that says more is not followed into memory

NEWEST = 28  # the operator set of onnx 1.23, the latest that was there when this was written

DOMAINS = frozenset({"", "ai.onnx"})
READ_DOMAINS = DOMAINS | {"ai.onnx.ml"}  # the last is of scalers, as skl2onnx writes them

# Whose constants may be of another type than the data
OTHER_TYPES = frozenset({"Dropout", "Gather", "Pad", "Pow", "Resize", "Upsample"})

# Which inputs may depend on the number of rows: shapes, and the zeros at which states start
TAKES_BATCH = {"Reshape": {1}, "LSTM": {4, 5, 6}, "GRU": {4, 5}, "Pad": {1}}

FLOATS = {1, 11}  # the types of ONNX that are float32 and float64: a cast to them rounds, no more

COMMUTATIVE = frozenset({"Add", "Mul"})

# Sizes that stand for one that is not known: where a layer gives another size for each pair, its
# own is not known, either. They are tried until its checks accept them.
STAND_INS = ((2520, 5040), (8, 16))


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
    reading: "Reading"

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

    def needed(self, index: int) -> Array:
        """Return the constant at an input, or raise if it is computed."""
        found = self.constant(index)
        if found is None:
            raise self.refuse(f"minifw needs its input {index} to be a constant")
        return found

    def expect(self, **wanted: Any) -> None:
        """Raise unless each attribute is absent or what is wanted."""
        for key, value in wanted.items():
            if key in self.attributes and self.attributes[key] != value:
                raise self.refuse(f"minifw has no {key}={self.attributes[key]!r}")

    def axes(self, index: int = 1) -> list[int]:
        """Return the axes of x, as its line has them: an attribute, later an input."""
        given = self.constant(index)
        axes = self.attributes.get("axes", ()) if given is None else given.reshape(-1)
        return [self.x.axis(int(axis)) for axis in axes]

    def part(self, proto: Any) -> "Node":
        """Return another node of the same formula, with the same x."""
        constants = [self.reading.source.constants.get(name) for name in proto.input[1:]]
        attributes = self.reading.attributes(proto)
        inputs = [self.x, *constants]
        return replace(self, operator=proto.op_type, attributes=attributes, inputs=inputs)

    def add(self, layer: Layer, *values: Value) -> Value:
        """Return what a layer makes of values, by default of x."""
        return self.reading.add(self, layer, *values or [self.x])


Made: TypeAlias = Layer | Value | list[Value | None]
Reader: TypeAlias = Callable[[Node], Made]

_readers: dict[str, tuple[Reader, str, bool]] = {}
_formulas: dict[str, list["Formula"]] = {}


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
            _readers[operator] = function, order, several
        return function

    return keep


Builder: TypeAlias = Callable[[Node, Found], Layer | Value]


class Formula(NamedTuple):
    """A pattern of nodes, and what it is."""

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
            _formulas.setdefault(kind, []).append(Formula(form, when, function, order, {}))
        return function

    return keep


class Source:
    """The nodes of a file, its constants, and which node or pattern makes each value."""

    def __init__(self, onnx: Any, graph: Any, opset: int, outputs: frozenset[str]) -> None:
        self.onnx, self.opset, self.graph, self.outputs = onnx, opset, graph, outputs
        self.makers: dict[str, Any] = {}
        self.takers: dict[str, list[Any]] = {}
        self.constants: dict[str, Array] = {
            tensor.name: as_floats(onnx.numpy_helper.to_array(tensor))
            for tensor in graph.initializer
        }
        kinds = ["float16", "float32", "float64", "bool", "int8", "int16", "int32", "int64"]
        kinds += ["uint8", "uint16", "uint32", "uint64"]
        self.taken_types = {
            onnx.helper.np_dtype_to_tensor_dtype(np.dtype(kind)): np.dtype(kind) for kind in kinds
        }
        self.sizes: set[str] = set()  # values that depend on the shape of the input alone
        self.failed: dict[str, str] = {}  # constants that cannot be computed, and why
        for node in graph.node:
            self.makers |= dict.fromkeys(node.output, node)
            names = [name for name in node.input if name]
            for name in names:
                self.takers.setdefault(name, []).append(node)
            fixed = [name in self.constants or name in self.failed for name in names]
            inside = any(a.HasField("g") or a.graphs for a in node.attribute)  # as If has
            if all(fixed) and not inside:
                self.compute(node)
            elif not inside and (
                node.op_type == "Shape"
                or all(one or name in self.sizes for one, name in zip(fixed, names, strict=True))
            ):
                self.sizes |= set(node.output)

    def compute(self, node: Any) -> None:
        """Compute the constants of a node, or note why they cannot be."""
        why = next((self.failed[name] for name in node.input if name in self.failed), None)
        if why is not None:
            self.failed |= dict.fromkeys(node.output, why)
            return
        try:
            arrays = [self.constants[name] for name in node.input if name]
            made = computed(self.onnx, self.opset, node, arrays)
        except Exception as error:  # noqa: BLE001 - raised where the constant is needed
            self.failed |= dict.fromkeys(node.output, f"{node.op_type}: {error}")
        else:
            self.constants |= dict(zip(node.output, made, strict=False))

    def plan(self) -> list[tuple[Any, Formula | None]]:
        """Return the nodes that are needed, in order, each with the formula that it ends."""
        needed, chosen = set(self.outputs), []
        for node in reversed(self.graph.node):
            if needed.isdisjoint(node.output) or node.output[0] in self.constants:
                continue
            whole = None if node.output[0] in self.sizes else self._formula(node)
            taken = node.input if whole is None else whole.found.values()
            needed |= {name for name in taken if isinstance(name, str)}
            chosen.append((node, whole))
        return chosen[::-1]

    def _formula(self, node: Any) -> Formula | None:
        for one in _formulas.get(node.op_type, ()):
            inside: list[Any] = []
            found = self._match(node.output[0], one.form, {}, inside)
            if found is None:
                continue
            # What is taken elsewhere, too, is made for itself.
            names = {name for other in inside if other is not node for name in other.output}
            takers = (taker for name in names for taker in self.takers.get(name, ()))
            if not names & self.outputs and all(t in inside for t in takers) and one.when(found):
                return one._replace(found=found)
        return None

    def _match(self, name: str, form: Pattern, found: Found, inside: list[Any]) -> Found | None:
        """Return what the letters of a form stand for at a value, besides those found."""
        if isinstance(form, list):
            options = (self._match(name, one, found, inside) for one in form)
            return next((option for option in options if option is not None), None)
        if not isinstance(form, tuple):
            return self._match_end(name, form, found)
        (kind, _, letter), parts = form[0].partition(":"), form[1:]
        name, passed = self._origin(name)
        node = self.makers.get(name)
        if node is None or node.op_type != kind or node.output[0] != name:
            return None
        names, more = [one for one in node.input if one], parts[-1:] == (...,)
        parts = parts[: len(parts) - more]
        if len(names) < len(parts) or (len(names) > len(parts) and not more):
            return None
        for order in permutations(names) if kind in COMMUTATIVE else [names]:
            trial: Found | None = found | ({letter: node} if letter else {})
            seen = [*inside, *passed, node]
            for one, part in zip(order, parts, strict=False):
                trial = None if trial is None else self._match(one, part, trial, seen)
            if trial is not None:
                inside[:] = seen
                return trial
        return None

    def _match_end(self, name: str, form: str | float, found: Found) -> Found | None:
        """Match a letter or a number."""
        constant = self.constants.get(name)
        if not isinstance(form, str):
            same = constant is not None and constant.size == 1 and np.isclose(constant, form, 1e-5)
            return found if same else None
        one = constant if form.isupper() else name
        if one is None or (form.islower() and constant is not None):
            return None
        known = found.get(form, one)
        own = self._origin(known)[0] == self._origin(name)[0] if form.islower() else False
        return found | {form: known} if own or np.array_equal(known, one) else None

    def _origin(self, name: str) -> tuple[str, list[Any]]:
        """Return the value before nodes that only hand it on, and these nodes."""
        passed = []
        while (node := self.makers.get(name)) is not None and name not in self.constants:
            to = {a.i for a in node.attribute if a.name == "to"}
            if node.op_type != "Identity" and not (node.op_type == "Cast" and to <= FLOATS):
                break
            passed.append(node)
            name = node.input[0]
        return name, passed


@dataclass
class Reading:
    """What the nodes became so far."""

    source: Source
    batch: int = 0
    """How many rows the file says; 0 of any number."""
    values: dict[str, Value] = field(default_factory=dict)
    """By their names in the file."""
    lines: dict[str, tuple[Layer, tuple[str, ...]]] = field(default_factory=dict)
    made: dict[str, Value] = field(default_factory=dict)
    """The value of each line."""
    names: set[str] = field(default_factory=set)
    vague: set[str] = field(default_factory=set)
    """Values that depend on sizes that the file does not say."""

    def name(self, wanted: str) -> str:
        """Return a name for an input or a line, which no other has."""
        stem = re.sub(r"\W+", "_", wanted, flags=re.ASCII).strip("_")[:60] or "value"
        if not stem.isidentifier() or keyword.iskeyword(stem) or stem in ("outputs", "self"):
            stem = f"value_{stem}"
        name, count = stem, 1
        while name in self.names:
            count += 1
            name = f"{stem}_{count}"
        self.names.add(name)
        return name

    def take(self, given: Any) -> None:
        """Note an input of the graph."""
        name, kind, sizes = given.name[:200], given.type.tensor_type, None
        if kind.elem_type not in self.source.taken_types:
            raise FileFormatError(f"its input {name!r} is no array of real or whole numbers")
        if kind.HasField("shape"):
            dims = [axis.dim_value if axis.dim_value > 0 else None for axis in kind.shape.dim]
            rows, sizes = (dims or [None])[0] or 0, tuple(dims[1:])
            if self.values and rows != self.batch:
                raise FileFormatError(f"its input {name!r} has another number of rows than others")
            self.batch = rows
            if math.prod(size or 1 for size in sizes) > LARGEST:
                raise FileFormatError(f"its input {name!r} is larger than minifw reads")
        dtype = as_floats(np.empty(0, self.source.taken_types[kind.elem_type])).dtype
        line = self.name(given.name)
        self.values[given.name] = self.made[line] = Value(line, sizes, dtype)

    def read(self, proto: Any, whole: Formula | None) -> None:
        """Read one node, or the formula that it ends."""
        name = (proto.name or "/".join(proto.output))[:200]
        node = Node(proto.op_type, name, self.attributes(proto), (), self.source.opset, self)
        try:
            if proto.output[0] in self.source.sizes:
                self._size(proto)
                return
            made = self._made(node, proto) if whole is None else self._of_formula(node, whole)
        except FileFormatError as error:
            raise error if str(error).startswith("node ") else node.refuse(str(error)) from error
        except (TypeError, ValueError, LookupError, ArithmeticError) as error:  # of a layer
            raise node.refuse(str(error)) from error
        pairs = zip(proto.output, made if isinstance(made, list) else [made], strict=False)
        self.values |= {output: value for output, value in pairs if value is not None}

    def _of_formula(self, node: Node, whole: Formula) -> Value:
        """Return what a formula makes."""
        found = {
            letter: self._input(node, one) if isinstance(one, str) else one
            for letter, one in whole.found.items()
        }
        inputs = [one for one in found.values() if isinstance(one, Value | np.ndarray)]
        node, order = self._ordered(replace(node, inputs=inputs), whole.order)
        _check_types(node)
        made = whole.build(node, found)
        return replace(node.add(made) if isinstance(made, Layer) else made, order=order)

    def _made(self, node: Node, proto: Any) -> Value | list[Value | None]:
        """Return what a node makes: its value, or all that it has."""
        node = replace(node, inputs=[self._input(node, name) for name in proto.input])
        read, kind, several = _readers.get(proto.op_type, (None, "", False))
        if read is None or proto.domain not in READ_DOMAINS or not node.values:
            raise node.refuse("minifw has no layer that computes this")
        if len(node.values) > 1 and not several:
            raise node.refuse("minifw needs all but one of its inputs to be constants")
        for index, name in enumerate(proto.input):
            sized = name in self.source.sizes and index not in TAKES_BATCH.get(proto.op_type, ())
            if sized or (name in self.vague and proto.op_type == "Pad"):
                raise node.refuse("its numbers depend on the size of the input")
        _check_types(node)
        node, order = self._ordered(node, kind)
        made = read(node)
        value = node.add(made) if isinstance(made, Layer) else made
        return value if kind == "own" else replace(value, order=order)  # type: ignore[type-var]

    def _ordered(self, node: Node, order: str) -> tuple[Node, tuple[int, ...] | None]:
        """Return the node with its values as its reader takes them, and its output's order."""
        orders = {value.order for value in node.values}
        if order in ("same", "features") and len(orders) == 1:
            own = orders.pop()
            if order == "same" or own is None or own[-1] == len(own) - 1:
                return node, own
        if order != "own":
            inputs = [self.plain(v) if isinstance(v, Value) else v for v in node.inputs]
            node = replace(node, inputs=inputs)
        return node, None

    def plain(self, value: Value) -> Value:
        """Return the value with its axes in the order of the file."""
        if value.order is None:
            return value
        if value.order[0] != 0:
            raise FileFormatError("the batch is not the first axis of what it takes")
        return self._line(
            "permuted", layers.Permute(*value.order[1:]), [replace(value, order=None)]
        )

    def add(self, node: Node, layer: Layer, *values: Value) -> Value:
        """Return what a layer makes of values; what is one layer with the last is put together."""
        while (joined := self._joined(layer, values[0])) is not None:
            layer, x = joined
            values = (replace(x, dtype=values[0].dtype),)
        shape = values[0].shape
        moves = not isinstance(layer, layers.Reshape) or shape is None or shape.count(None) > 1
        if not moves and _shape_after(layer, [shape]) == shape:
            return replace(values[0], order=None)
        return self._line(node.name, layer, values)

    def _joined(self, layer: Layer, x: Value) -> tuple[Layer, Value] | None:
        """Return one layer for the last and this one, and what it takes; None if they are two."""
        last, takes = self.lines.get(x.line, (None, ()))
        if isinstance(layer, layers.Reshape) and isinstance(last, layers.Reshape):
            return layer, self.made[takes[0]]
        if not isinstance(layer, layers.Rescaling) or not isinstance(last, layers.Rescaling):
            return None
        if np.array_equal(last.offset, 0.0) and np.array_equal(layer.scale, 1.0):
            return layers.Rescaling(last.scale, layer.offset), self.made[takes[0]]
        return None

    def _line(self, name: str, layer: Layer, values: Sequence[Value]) -> Value:
        shape = _shape_after(layer, [value.shape for value in values])
        if shape is not None and math.prod(size or 1 for size in shape) > LARGEST:
            raise FileFormatError(f"{layer!r} makes examples of the shape {shape}, too large")
        line = self.name(name)
        self.lines[line] = layer, tuple(value.line for value in values)
        if len(layer.output_names) == 1:
            self.made[line] = Value(line, shape, values[0].dtype)
            return self.made[line]
        first, *states = layer.output_names  # of a recurrent layer
        for state in states:
            self.made[f"{line}.{state}"] = Value(
                f"{line}.{state}", (shape or ())[1:], values[0].dtype
            )
        self.made[f"{line}.{first}"] = Value(f"{line}.{first}", shape, values[0].dtype)
        return self.made[f"{line}.{first}"]

    def _input(self, node: Node, name: str) -> Value | Array | None:
        """Return what a name in the file stands for."""
        found = self.values.get(name)
        if found is None and name in self.source.failed:
            raise node.refuse(f"it needs {self.source.failed[name]}")
        if found is None and name and name not in self.source.constants:
            raise node.refuse(f"minifw does not read its input {name[:200]!r}")
        return found if found is not None else self.source.constants.get(name)

    def _size(self, proto: Any) -> None:
        """Compute a constant from the shape of a value."""
        name, source = proto.input[0], self.source
        if proto.op_type != "Shape" or name in source.constants:
            if not self.vague.isdisjoint(proto.input):
                self.vague |= set(proto.output)
            source.compute(proto)
            return
        if name not in self.values:
            raise FileFormatError(f"minifw does not read its input {name[:200]!r}")
        given = {a.name: a.i for a in proto.attribute}
        sizes = self.values[name].sizes[given.get("start", 0) : given.get("end")]
        if None in sizes:
            self.vague.add(proto.output[0])
        known = {None: UNKNOWN, BATCH: self.batch or BATCH}
        source.constants[proto.output[0]] = np.array([known.get(n, n) for n in sizes], np.int64)

    def attributes(self, proto: Any) -> dict[str, Any]:
        """Return the attributes of a node, as values of Python."""
        return {a.name: self._attribute(a) for a in proto.attribute}

    def _attribute(self, attribute: Any) -> Any:
        onnx = self.source.onnx
        value = onnx.helper.get_attribute_value(attribute)
        if attribute.name == "to":  # of a Cast
            return as_floats(np.empty(0, onnx.helper.tensor_dtype_to_np_dtype(value))).dtype
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        if isinstance(value, onnx.TensorProto):
            return onnx.numpy_helper.to_array(value)
        if isinstance(value, float):  # held in float32: what was meant has its shortest digits
            return float(str(np.float32(value)))
        if not hasattr(value, "__len__"):
            return value
        return [one.decode("utf-8", "replace") if isinstance(one, bytes) else one for one in value]

    def model(self, inputs: list[str], outputs: list[str]) -> Layer:
        """Return the lines that the outputs need, as a chain if they are one."""
        wanted, needed = set(outputs), []
        for line, (layer, takes) in reversed(self.lines.items()):
            own = {value for value in wanted if line_of(value) == line}
            if own:
                needed.append((line, _trimmed(layer, own), takes))
                wanted |= set(takes)
        single = {line for line, layer, _ in needed if len(layer.output_names) == 1}

        def taken(value: str) -> str:
            return line_of(value) if line_of(value) in single else value

        lines: dict[str, Any] = {
            line: (layer, *map(taken, takes)) for line, layer, takes in reversed(needed)
        }
        ends = tuple(map(taken, outputs))
        values = [*inputs[:1], *lines]
        if (*inputs, *ends) == (values[0], values[-1]) and all(
            line[1:] == (before,) for line, before in zip(lines.values(), values, strict=False)
        ):
            chain = [line[0] for line in lines.values()]
            return layers.Sequential(*chain) if chain else layers.Identity()
        return layers.Graph(*inputs, outputs=ends if len(ends) > 1 else ends[0], **lines)


def read_graph(onnx: Any, proto: Any, outputs: list[str]) -> Layer:
    """Return the layers of a graph; raise a FileFormatError that names what is no layer."""
    graph = proto.graph
    opset = next((o.version for o in proto.opset_import if o.domain in DOMAINS), 1)
    if opset > NEWEST:
        raise FileFormatError(
            f"its operators are those of set {opset}, minifw reads them up to set {NEWEST}; "
            "export it with an older one"
        )
    source = Source(onnx, graph, opset, frozenset(outputs))
    given = [value for value in graph.input if value.name not in source.constants]
    if not given:
        raise FileFormatError("it has no input")
    reading = Reading(source)
    for one in given:
        reading.take(one)
    inputs = [reading.values[one.name].line for one in given]
    with building(sys.maxsize):  # no weight is drawn; each is made from an array of the file
        for node, whole in source.plan():
            reading.read(node, whole)
        for name in outputs:
            if name not in reading.values:
                raise FileFormatError(f"its output {name[:200]!r} does not depend on its input")
        return reading.model(
            inputs, [reading.plain(reading.values[name]).line for name in outputs]
        )


def _check_types(node: Node) -> None:
    """Raise if numbers of two types meet, which ONNX does not allow."""
    dtypes = {value.dtype for value in node.values}
    if None in dtypes or node.operator in OTHER_TYPES:
        return
    constants = [one for one in node.inputs if isinstance(one, np.ndarray)]
    found = dtypes | {array.dtype for array in constants if array.dtype.kind == "f"}
    if len(found) > 1:
        names = " and ".join(sorted(str(dtype) for dtype in found))
        raise node.refuse(f"it mixes {names}; a node computes in one of them")


def _shape_after(
    layer: Layer, shapes: Sequence[tuple[Size, ...] | None]
) -> tuple[Size, ...] | None:
    """Return the shape of one example behind a layer, None where it is not known."""
    if any(shape is None for shape in shapes):
        return None

    def after(stand_in: int) -> tuple[int, ...]:
        known: list[Any] = [tuple(size or stand_in for size in shape or ()) for shape in shapes]
        made: Any = layer.output_shape(*known)
        return made[0] if len(layer.output_names) > 1 else made  # type: ignore[no-any-return]

    if all(None not in (shape or ()) for shape in shapes):
        return after(1)
    for pair in STAND_INS:
        with suppress(ValueError):
            one, other = (after(stand_in) for stand_in in pair)
            return tuple(a if a == b else None for a, b in zip(one, other, strict=True))
    return None


def line_of(value: str) -> str:
    """Return the line that makes a value; of several outputs they are "line.y", "line.h"."""
    return value.partition(".")[0]


def _trimmed(layer: Layer, taken: set[str]) -> Layer:
    """Return a recurrent layer that gives y alone, or its last state alone, if that is taken."""
    ends = {value.rpartition(".")[2] for value in taken}
    if not isinstance(layer, layers.LSTM | layers.GRU) or len(ends) > 1:
        return layer
    if ends == {"c"}:
        return layer
    alone = type(layer)(
        layer.input_size,
        layer.hidden_size,
        return_sequences=ends == {"y"},
        dtype=layer.weight_ih_l0.dtype,
    )
    alone.load_state_dict(layer.state_dict())
    return alone


def in_dtype(weight: Array) -> dict[str, Any]:
    """Return the argument for the dtype of a weight, if it is not the default."""
    return {} if weight.dtype == np.float64 else {"dtype": weight.dtype}


def dense(weight: Array, bias: Array | None) -> layers.Dense:
    """Return the layer of a weight, (out, in), and a bias."""
    out, into = weight.shape
    without: dict[str, Any] = {} if bias is not None else {"bias": False}
    layer = layers.Dense(into, out, **without, **in_dtype(weight))
    return filled(layer, weight=weight, bias=None if bias is None else bias.reshape(-1))


def filled(layer: Filled, **state: Array | None) -> Filled:
    """Return a layer with these parameters and buffers; None for those that it lacks."""
    layer.load_state_dict({name: array for name, array in state.items() if array is not None})
    return layer
