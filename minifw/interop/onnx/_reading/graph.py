"""A graph read node by node: each becomes a layer, and a line of a `Graph`.

First the constants are computed. Then, from the outputs back to the inputs, each value that is
needed gets the node, or the pattern of nodes, that makes it. Last, from the inputs on, each of
these becomes a layer. A graph in which every value is taken once, by the next, is a `Sequential`.
"""

import keyword
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from minifw import layers
from minifw._tools.loading import building
from minifw.core.layer import Layer
from minifw.errors import FileFormatError
from minifw.interop.onnx._reading.constants import (
    BATCH,
    DOMAINS,
    LARGEST,
    LARGEST_CONSTANT,
    UNKNOWN,
    Array,
    as_floats,
)
from minifw.interop.onnx._reading.recurrent import trimmed
from minifw.interop.onnx._reading.sizes import shape_after
from minifw.interop.onnx._reading.source import Source
from minifw.interop.onnx._reading.values import Formula, Node, Value, line_of, readers

MOST_NODES = 10_000

NEWEST = 28  # the operator set of onnx 1.23, the latest that was there when this was written

READ_DOMAINS = DOMAINS | {"ai.onnx.ml"}  # the last is of scalers, as skl2onnx writes them

# Whose constants may be of another type than the data
OTHER_TYPES = frozenset({"Dropout", "Gather", "Pad", "Pow", "Resize", "Upsample"})

# Which inputs may depend on the number of rows: shapes, and the zeros at which states start
TAKES_BATCH = {"Reshape": {1}, "LSTM": {4, 5, 6}, "GRU": {4, 5}, "Pad": {1}}

# Whose constants have a number for each axis
SHORT_INPUTS = frozenset(
    {"Pad", "ReduceMean", "Reshape", "Resize", "Slice", "Squeeze", "Unsqueeze", "Upsample"}
)
SHORT = 1000


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
    counts: Counter[str] = field(default_factory=Counter)
    vague: set[str] = field(default_factory=set)
    """Values that depend on sizes that the file does not say."""

    def name(self, wanted: str) -> str:
        """Return a name for an input or a line, which no other has."""
        wanted = wanted[:1000]
        stem = re.sub(r"\W+", "_", wanted, flags=re.ASCII).strip("_")[:60] or "value"
        if not stem.isidentifier() or keyword.iskeyword(stem) or stem in ("outputs", "self"):
            stem = f"value_{stem}"
        name = stem
        while name in self.names:
            self.counts[stem] += 1
            name = f"{stem}_{self.counts[stem] + 1}"
        self.names.add(name)
        return name

    def take(self, given: Any) -> None:
        """Note an input of the graph."""
        name, kind, sizes = given.name[:200], given.type.tensor_type, None
        if kind.elem_type not in self.source.taken_types:
            raise FileFormatError(f"its input {name!r} is no array of real or whole numbers")
        if kind.HasField("shape"):
            dims = [axis.dim_value if axis.dim_value > 0 else None for axis in kind.shape.dim]
            if not dims:
                raise FileFormatError(
                    f"its input {name!r} is one number, without an axis for the rows"
                )
            rows, sizes = dims[0] or 0, tuple(dims[1:])
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
        self.values |= {output: value for output, value in pairs if output and value is not None}

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
        read, kind, several = readers.get(proto.op_type, (None, "", False))
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
        return self.line(
            "permuted", layers.Permute(*value.order[1:]), [replace(value, order=None)]
        )

    def add(self, node: Node, layer: Layer, *values: Value) -> Value:
        """Return what a layer makes of values; what is one layer with the last is put together."""
        while (joined := self._joined(layer, values[0])) is not None:
            layer, x = joined
            values = (replace(x, dtype=values[0].dtype),)
        shape = values[0].shape
        moves = not isinstance(layer, layers.Reshape) or shape is None or shape.count(None) > 1
        if not moves and shape_after(layer, [shape]) == shape:
            return replace(values[0], order=None)
        return self.line(node.name, layer, values)

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

    def line(self, name: str, layer: Layer, values: Sequence[Value]) -> Value:
        shape = shape_after(layer, [value.shape for value in values])
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
        if attribute.name == "to":  # of a Cast; to 16 bits it rounds, and float32 rounds less
            to = onnx.helper.tensor_dtype_to_np_dtype(value)
            return np.dtype(np.float32) if to == np.float16 else to
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        if isinstance(value, onnx.TensorProto):
            return onnx.numpy_helper.to_array(value)
        if isinstance(value, float):  # held in float32: what was meant has its shortest digits
            return float(str(np.float32(value)))
        if not hasattr(value, "__len__"):
            return value
        return [one.decode("utf-8", "replace") if isinstance(one, bytes) else one for one in value]

    def ends(self, inputs: list[str], outputs: list[str]) -> list[str]:
        """Return the lines that make the outputs, of several under the names of these."""
        ends: list[str] = []
        for name in outputs:
            end = self.plain(self.values[name])
            if end.line in ends or (end.line in inputs and len(outputs) > 1):
                end = self.line(name, layers.Identity(), [end])  # a Graph gives each line once
            ends.append(end.line)
        named = dict[str, str]()
        for line, name in zip(ends, outputs, strict=True):
            free = name.isidentifier() and name not in self.names
            if free and len(outputs) > 1 and line in self.lines and line not in named:
                named[line] = self.name(name)
        self.lines = {
            named.get(line, line): (layer, tuple(named.get(one, one) for one in takes))
            for line, (layer, takes) in self.lines.items()
        }
        return [named.get(line, line) for line in ends]

    def model(self, inputs: list[str], outputs: list[str]) -> Layer:
        """Return the lines that the outputs need, as a chain if they are one."""
        wanted: dict[str, set[str]] = {}  # by the lines that make them
        needed = []
        for value in outputs:
            wanted.setdefault(line_of(value), set()).add(value)
        for line, (layer, takes) in reversed(self.lines.items()):
            if line in wanted:
                needed.append((line, trimmed(layer, wanted[line]), takes))
                for value in takes:
                    wanted.setdefault(line_of(value), set()).add(value)
        single = {line for line, layer, _ in needed if len(layer.output_names) == 1}

        def taken(value: str) -> str:
            return line_of(value) if line_of(value) in single else value

        lines: dict[str, Any] = {
            line: (layer, *map(taken, takes)) for line, layer, takes in reversed(needed)
        }
        ends = tuple(map(taken, outputs))
        used = {*ends, *(line_of(value) for line in lines.values() for value in line[1:])}
        idle = [name for name in inputs if name not in used]
        if idle:
            raise FileFormatError(f"no output depends on its input {idle[0]!r}; take it out")
        values = [*inputs[:1], *lines]
        if (*inputs, *ends) == (values[0], values[-1]) and all(
            line[1:] == (before,) for line, before in zip(lines.values(), values, strict=False)
        ):
            chain = [line[0] for line in lines.values()]
            return layers.Sequential(*chain) if chain else layers.Identity()
        return layers.Graph(*inputs, outputs=ends if len(ends) > 1 else ends[0], **lines)


def read_graph(onnx: Any, proto: Any, outputs: list[str]) -> Layer:
    """Return the layers of a graph; raise a FileFormatError that names what is not a layer."""
    graph = proto.graph
    opset = next((o.version for o in proto.opset_import if o.domain in DOMAINS), 1)
    if opset > NEWEST:
        raise FileFormatError(
            f"its operators are of set {opset}, minifw reads them up to set {NEWEST}; "
            "export it with an older one"
        )
    if len(graph.node) > MOST_NODES:
        raise FileFormatError(f"it has {len(graph.node)} nodes, minifw reads {MOST_NODES} at most")
    source = Source(onnx, graph, opset, frozenset(outputs))
    given = [value for value in graph.input if value.name not in source.constants]
    if not given:
        raise FileFormatError("it has no input")
    reading = Reading(source)
    for one in given:
        reading.take(one)
    inputs = [reading.values[one.name].line for one in given]
    with building(source.layers):  # no weight is drawn; each is made from an array of the file
        for node, whole in source.plan():
            reading.read(node, whole)
        for name in outputs:
            if name not in reading.values:
                raise FileFormatError(f"its output {name[:200]!r} does not depend on its input")
        return reading.model(inputs, reading.ends(inputs, outputs))


def _check_types(node: Node) -> None:
    """Raise if numbers of two types meet, which ONNX does not allow."""
    constants = [one for one in node.inputs if isinstance(one, np.ndarray)]
    most = SHORT if node.operator in SHORT_INPUTS else LARGEST_CONSTANT
    if node.operator not in ("LSTM", "GRU") and any(one.size > most for one in constants):
        raise node.refuse(f"it has a constant of more than {most} numbers")
    dtypes = {value.dtype for value in node.values}
    if None in dtypes or node.operator in OTHER_TYPES:
        return
    found = dtypes | {array.dtype for array in constants if array.dtype.kind == "f"}
    if len(found) > 1:
        names = " and ".join(sorted(str(dtype) for dtype in found))
        raise node.refuse(f"it mixes {names}; a node computes in one of them")
