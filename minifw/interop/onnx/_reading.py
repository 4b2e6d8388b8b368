"""A graph read node by node: what each operator is as a layer.

A value is the chain of layers that lead to it from the input. A node with one such input makes
the chain longer; where two chains meet, what they have in common comes first, and the rest
becomes a `Residual` or a `Concat`.
"""

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from minifw import layers
from minifw._tools.checks import DTYPES
from minifw._tools.loading import building
from minifw.core.layer import Layer
from minifw.errors import FileFormatError
from minifw.typing import Shape

Array: TypeAlias = np.ndarray[Any, Any]
Chain: TypeAlias = tuple[Layer, ...]

LARGEST = 2**24  # numbers of one example; a file that says more is not followed into memory

# How many residual connections and branches may stand in each other. Python allows 1000 calls in
# each other, and each of these takes about 6 of them in a forward and 18 in a deepcopy.
DEEPEST = 32

NEWEST = 28  # the operator set of onnx 1.23, the latest that was there when this was written

DOMAINS = frozenset({"", "ai.onnx"})

# x / (1 + exp(-x)), as `export` writes it: the steps between x and the Div
GATE = ("Neg", "Exp", "Add")

# Whose constants may be of another type than the data
OTHER_TYPES = frozenset({"Dropout", "Gather"})


@dataclass(frozen=True)
class Node:
    """A node while it is read."""

    operator: str
    name: str
    attributes: Mapping[str, Any]
    constants: Sequence[Array | None]
    """Its inputs that are constant; None for others and for those left out."""
    shape: Shape | None
    """That of one example of its first input that is no constant, if it is known."""
    opset: int
    dtype: np.dtype[Any] | None = None
    """That of the same input, if it is known."""

    def refuse(self, why: str) -> FileFormatError:
        """Return an error that names the node."""
        return FileFormatError(f"node {self.name!r}, {self.operator}: {why}")

    def constant(self, index: int) -> Array | None:
        """Return the constant at an input, or None."""
        return self.constants[index] if index < len(self.constants) else None

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


Reader: TypeAlias = Callable[[Node], Layer]

_readers: dict[str, Reader] = {}


def reader(*operators: str) -> Callable[[Reader], Reader]:
    """Say how nodes of these operators, with one input that is not constant, are layers."""

    def keep(function: Reader) -> Reader:
        for operator in operators:
            _readers[operator] = function
        return function

    return keep


@dataclass
class Reading:
    """What is known of the values of a graph so far."""

    onnx: Any
    opset: int
    constants: dict[str, Array] = field(default_factory=dict)
    chains: dict[str, Chain] = field(default_factory=dict)
    shapes: dict[int, Shape | None] = field(default_factory=dict)
    """The shape after each layer, by its identity; 0 is the input."""
    dtypes: dict[str, np.dtype[Any]] = field(default_factory=dict)
    """Of the values that have a chain, where it is known."""
    depths: dict[int, int] = field(default_factory=dict)
    """How deeply layers stand in each other in one, by its identity; of others it is 0."""
    gates: dict[str, tuple[str, int, Node]] = field(default_factory=dict)
    """The values on the way from x to its `GATE`: x, the steps that are done, and the first."""

    def read(self, proto: Any) -> None:
        """Read one node."""
        name = proto.name[:200] or "/".join(proto.output)[:200]
        if proto.domain not in DOMAINS:
            raise FileFormatError(f"node {name!r}, {proto.op_type}: {_supported()}")
        attributes = {a.name: self._attribute(a) for a in proto.attribute}
        moving = [value for value in proto.input if value in self.chains]
        shape = self._shape(self.chains[moving[0]]) if moving else None
        constants = [self.constants.get(value) for value in proto.input]
        dtype = self.dtypes.get(moving[0]) if moving else None
        node = Node(proto.op_type, name, attributes, constants, shape, self.opset, dtype)
        if self._part_of_gate(node, proto):
            return
        for value in proto.input:
            if value and value not in self.chains and value not in self.constants:
                raise node.refuse(f"minifw does not read its input {value[:200]!r}")
        self._check_types(node, moving)
        if moving:
            self.dtypes |= _dtype_after(node, proto.output[0])
        if not moving:
            self.constants[proto.output[0]] = _folded(node)
        elif len(moving) == 1:
            self.chains[proto.output[0]] = self._longer(node, self.chains[moving[0]])
        else:
            chains = [self.chains[value] for value in moving]
            if len(moving) != len(proto.input):
                raise node.refuse("minifw does not join values with constants")
            self.chains[proto.output[0]] = self._joined(node, chains)

    def _check_types(self, node: Node, moving: Sequence[str]) -> None:
        """Raise if numbers of two types meet, which ONNX does not allow."""
        if node.dtype is None or node.operator in OTHER_TYPES:
            return
        types = {array.dtype for array in node.constants if array is not None}
        found = {self.dtypes.get(value, node.dtype) for value in moving}
        found |= {dtype for dtype in types if dtype.kind == "f"}
        if len(found | {node.dtype}) > 1:
            names = " and ".join(sorted(str(dtype) for dtype in found | {node.dtype}))
            raise node.refuse(f"it mixes {names}; a node computes in one of them")

    def _part_of_gate(self, node: Node, proto: Any) -> bool:
        """Return whether it is a step of x / (1 + exp(-x)); note it, or the layer that it ends."""
        inputs, y = list(proto.input), proto.output[0]
        if node.operator == GATE[0] and inputs[0] in self.chains:
            self.gates[y] = inputs[0], 1, node
            return True
        before = next((value for value in inputs if value in self.gates), None)
        if before is None:
            return False
        x, steps, first = self.gates[before]
        self._check_types(node, [x])
        ones = [array for array in node.constants if array is not None]
        if steps < len(GATE) and node.operator == GATE[steps]:
            if node.operator != "Add" or [one.tolist() for one in ones] in ([1.0], [[1.0]]):
                self.gates[y] = x, steps + 1, first
                return True
        elif steps == len(GATE) and node.operator == "Div" and inputs == [x, before]:
            self.chains[y] = self._step(self.chains[x], layers.SiLU())
            self.dtypes |= {y: self.dtypes[x]} if x in self.dtypes else {}
            return True
        raise first.refuse(_supported())

    def _attribute(self, attribute: Any) -> Any:
        value = self.onnx.helper.get_attribute_value(attribute)
        if attribute.name == "to":  # of a Cast
            return self.onnx.helper.tensor_dtype_to_np_dtype(value)
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        if isinstance(value, self.onnx.TensorProto):
            return self.onnx.numpy_helper.to_array(value)
        if isinstance(value, float):  # held in float32: what was meant has its shortest digits
            return float(str(np.float32(value)))
        return list(value) if hasattr(value, "__len__") else value

    def _longer(self, node: Node, chain: Chain) -> Chain:
        """Return the chain with the layer of a node at its end."""
        if node.operator == "Identity" or _to_floats(node):
            return chain
        if node.operator == "Add":
            return self._with_bias(node, chain)
        if node.operator not in _readers:
            raise node.refuse(_supported())
        return self._step(chain, _readers[node.operator](node))

    def _with_bias(self, node: Node, chain: Chain) -> Chain:
        """Return the chain with the bias of its last layer: what follows a MatMul."""
        last = chain[-1] if chain else None
        bias = next(array for array in node.constants if array is not None)
        if not isinstance(last, layers.Dense) or last.bias is not None:
            raise node.refuse("minifw adds a constant to a product alone, and once")
        if bias.shape[-1:] != (bias.size,) or bias.size != last.out_features:
            raise node.refuse(f"minifw adds one number per feature, not {bias.shape}")
        return self._step(chain[:-1], dense(last.weight.value, bias))

    def _joined(self, node: Node, chains: list[Chain]) -> Chain:
        """Return the chain of two values that are added, or of several side by side."""
        common = chains[0]
        for chain in chains[1:]:
            pairs = zip(common, chain, strict=False)
            count = next((i for i, (a, b) in enumerate(pairs) if a is not b), None)
            common = common[: min(len(common), len(chain)) if count is None else count]
        rests = [chain[len(common) :] for chain in chains]
        depth = 1 + max(
            (self.depths.get(id(layer), 0) for rest in rests for layer in rest), default=0
        )
        if depth > DEEPEST:
            raise node.refuse(
                f"branches stand in each other more than {DEEPEST} times, too deep for Python's "
                "calls"
            )
        joined = self._join(node, common, rests, chains)
        self.depths[id(joined[-1])] = depth
        return joined

    def _join(self, node: Node, common: Chain, rests: list[Chain], chains: list[Chain]) -> Chain:
        """Return what they have in common, and the layer that the rests are."""
        if node.operator == "Add" and len(rests) == 2 and not all(rests) and any(rests):
            return self._step(common, layers.Residual(_one(rests[0] or rests[1])))
        if node.operator == "Mul" and len(rests) == 2 and not all(rests):
            gate = rests[0] or rests[1]
            if len(gate) == 1 and isinstance(gate[0], layers.Sigmoid):  # x sigmoid(x)
                return self._step(common, layers.SiLU())
        if node.operator == "Concat":
            axis, shape = node.attributes.get("axis", 1), self._shape(chains[0])
            ndim = 0 if shape is None else len(shape) + 1
            at = axis % ndim if ndim else axis
            if at < -1 or at == 0:
                raise node.refuse("minifw does not join along the batch")
            usual = ndim and at == (1 if ndim == 4 else ndim - 1)  # where `Concat` joins by itself
            options = {} if usual else {"axis": at}
            return self._step(common, layers.Concat(*map(_one, rests), **options))
        raise node.refuse(f"minifw has no layer that joins values so; {_supported()}")

    def _step(self, chain: Chain, layer: Layer) -> Chain:
        before = self._shape(chain)
        after = None if before is None else layer.output_shape(before)
        if after is not None and math.prod(after) > LARGEST:
            raise FileFormatError(f"{layer!r} makes examples of the shape {after}, too large")
        dropped = isinstance(layer, layers.Reshape) and after is not None and len(after) == 1
        if dropped and chain and _is_global_pool(chain[-1]):  # the axes that ONNX's pooling keeps
            return self._step(chain[:-1], layers.GlobalAvgPool2D())
        self.shapes[id(layer)] = after
        return (*chain, layer)

    def _shape(self, chain: Chain) -> Shape | None:
        return self.shapes[id(chain[-1]) if chain else 0]


def read_graph(onnx: Any, proto: Any) -> Layer:
    """Return the layers of a graph; raise a FileFormatError that names what is no layer."""
    graph = proto.graph
    opset = next((o.version for o in proto.opset_import if o.domain in DOMAINS), 1)
    if opset > NEWEST:
        raise FileFormatError(
            f"its operators are those of set {opset}, minifw reads them up to set {NEWEST}; "
            "export it with an older one"
        )
    reading = Reading(onnx, opset)
    for tensor in graph.initializer:
        reading.constants[tensor.name] = onnx.numpy_helper.to_array(tensor)
    inputs = [value for value in graph.input if value.name not in reading.constants]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise FileFormatError(
            f"it has {len(inputs)} inputs and {len(graph.output)} outputs; a layer has one of each"
        )
    sizes = [axis.dim_value for axis in inputs[0].type.tensor_type.shape.dim][1:]
    known = all(size > 0 for size in sizes) and math.prod(sizes) <= LARGEST
    reading.shapes[0] = tuple(sizes) if known else None
    reading.chains[inputs[0].name] = ()
    kind = inputs[0].type.tensor_type.elem_type
    if kind:
        reading.dtypes[inputs[0].name] = onnx.helper.tensor_dtype_to_np_dtype(kind)
    with building(sys.maxsize):  # no weight is drawn; each is made from an array of the file
        for node in graph.node:
            reading.read(node)
    chain = reading.chains.get(graph.output[0].name)
    if chain is None and graph.output[0].name in reading.gates:
        raise reading.gates[graph.output[0].name][2].refuse(_supported())
    if chain is None:
        raise FileFormatError("its output does not depend on its input")
    return layers.Sequential(*chain) if chain else layers.Dropout(0.0)


def _one(chain: Chain) -> Layer:
    """Return a chain as one layer; of none, one that hands on its input."""
    if not chain:
        return layers.Dropout(0.0)
    return chain[0] if len(chain) == 1 else layers.Sequential(*chain)


def dense(weight: Array, bias: Array | None) -> layers.Dense:
    """Return the layer of a weight, (out, in), and a bias."""
    out, into = weight.shape
    without: dict[str, Any] = {} if bias is not None else {"bias": False}
    layer = layers.Dense(into, out, **without, **in_dtype(weight))
    layer.weight.value = weight
    if layer.bias is not None:
        layer.bias.value = np.asarray(bias).reshape(-1)
    return layer


def in_dtype(weight: Array) -> dict[str, Any]:
    """Return the argument for the dtype of a weight, if it is not the default."""
    return {} if weight.dtype == np.float64 else {"dtype": weight.dtype}


def _folded(node: Node) -> Array:
    """Return what a node of constants alone computes."""
    if node.operator not in _FOLDS:
        raise node.refuse("minifw does not compute it from constants")
    return np.asarray(_FOLDS[node.operator](node))


def _constant(node: Node) -> Array:
    """Return the one attribute of a Constant; its floats are float32."""
    name, value = next(iter(node.attributes.items()))
    return np.asarray(value, np.float32 if name.startswith("value_float") else None)


_FOLDS: dict[str, Callable[[Node], Array]] = {
    "Add": lambda node: np.add(node.needed(0), node.needed(1)),
    "Cast": lambda node: node.needed(0).astype(node.attributes["to"]),
    "Constant": _constant,
    "Identity": lambda node: node.needed(0),
    "Reshape": lambda node: node.needed(0).reshape([int(n) for n in node.needed(1)]),
    "Transpose": lambda node: node.needed(0).transpose(node.attributes.get("perm")),
}


def _to_floats(node: Node) -> bool:
    """Return whether it casts to numbers that layers compute with, which rounds and no more."""
    return node.operator == "Cast" and node.attributes["to"] in DTYPES


def _dtype_after(node: Node, y: str) -> dict[str, np.dtype[Any]]:
    """Return the type of a node's output by its name, if it is known."""
    found = node.dtype
    if node.operator == "Cast":
        found = np.dtype(node.attributes["to"])
    elif node.operator == "Gather":  # of a table
        found = next((array.dtype for array in node.constants if array is not None), None)
    return {} if found is None else {y: found}


def _is_global_pool(layer: Layer) -> bool:
    return isinstance(layer, layers.Sequential) and isinstance(layer[0], layers.GlobalAvgPool2D)


def _supported() -> str:
    known = sorted({*_readers, "Add", "Concat", "Identity"})
    return f"minifw reads {', '.join(known)}"
