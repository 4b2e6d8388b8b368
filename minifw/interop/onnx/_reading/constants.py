"""What a graph computes from constants, and from the sizes of arrays."""

import math
from typing import Any, TypeAlias

import numpy as np

from minifw.errors import FileFormatError

Array: TypeAlias = np.ndarray[Any, Any]

DOMAINS = frozenset({"", "ai.onnx"})

# The number of rows, and a size that the file does not say, in what is computed from shapes:
# larger than any size that a layer may have, and within int32. The first is a prime.
BATCH, UNKNOWN = 2**31 - 19, 2**31 - 18

# Numbers of a constant and of one example: a file that asks for more is not followed into memory.
LARGEST_CONSTANT, LARGEST = 2**26, 2**24

VIEWS = frozenset(
    (
        "ConstantOfShape",
        "Expand",
        "Identity",
        "Slice",
        "Split",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    )
)
COMPUTED = {
    *("Abs", "Add", "And", "Cast", "Ceil", "Concat", "Constant", "Div", "Equal", "Exp", "Flatten"),
    *("Floor", "Gather", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Log", "MatMul"),
    *("Max", "Min", "Mod", "Mul", "Neg", "Not", "Pow", "Reciprocal", "ReduceProd", "ReduceSum"),
    *("Reshape", "Shape", "Sqrt", "Sub", "Sum", "Where"),
}


def computed(onnx: Any, opset: int, node: Any, arrays: list[Array], most: int) -> list[Array]:
    """Return the outputs of a node of constants, by onnx's own reference implementation.

    An array of one number at all places, such as a state of zeros, is given without memory for it:
    its size may depend on `BATCH`.
    """
    kind = node.op_type
    parts = {a.i for a in node.attribute if a.name == "num_outputs"}  # of a Split
    if kind not in COMPUTED | VIEWS or node.domain not in DOMAINS or parts - {len(node.output)}:
        raise FileFormatError("minifw does not compute it from constants")
    if kind == "Identity":
        return arrays
    if kind == "Expand":
        shape = [int(size) for size in arrays[1]]
        return [np.broadcast_to(arrays[0], np.broadcast_shapes(arrays[0].shape, tuple(shape)))]
    if kind == "ConstantOfShape":
        value = [onnx.numpy_helper.to_array(a.t) for a in node.attribute] or [np.zeros(1, "f4")]
        number = as_floats(value[0].reshape(()))
        return [np.broadcast_to(number, tuple(int(size) for size in arrays[0]))]
    most = min(most, LARGEST_CONSTANT)
    if kind not in VIEWS and _size(kind, node, arrays) > most:
        raise FileFormatError(f"it makes a constant of more than {most} numbers")
    from onnx.reference import ReferenceEvaluator  # noqa: PLC0415 - slow to load, seldom needed

    # Several inputs may be one array, by one name.
    given = dict(zip([name for name in node.input if name], arrays, strict=True))
    sets = [onnx.helper.make_opsetid("", opset)]
    alone = onnx.helper.make_function("", "alone", list(given), node.output, [node], sets)
    with np.errstate(all="ignore"):
        made = ReferenceEvaluator(alone).run(None, given, {})
    return [as_floats(np.asarray(array)) for array in made]


def _size(kind: str, node: Any, arrays: list[Array]) -> int:
    """Return how many numbers the output has at most."""
    if kind == "Gather":
        axis: int = next((a.i for a in node.attribute if a.name == "axis"), 0)
        return int(arrays[1].size * (arrays[0].size // max(arrays[0].shape[axis], 1)))
    if kind == "MatMul":
        return math.prod(array.size for array in arrays)
    together = sum(array.size for array in arrays)
    try:
        return max(together, math.prod(np.broadcast_shapes(*[a.shape for a in arrays])))
    except ValueError:  # they are joined, not broadcast
        return together


def as_floats(array: Array) -> Array:
    """Return numbers of 16 bits as float32, which holds all of them; others as they are."""
    half = array.dtype == np.float16 or array.dtype.name == "bfloat16"
    return array.astype(np.float32) if half else array


def is_zero(array: Array) -> bool:
    """Return whether all numbers are 0; a broadcast axis is looked at once."""
    places = tuple(slice(None) if step else slice(0, 1) for step in array.strides)
    return not array[places].any()
