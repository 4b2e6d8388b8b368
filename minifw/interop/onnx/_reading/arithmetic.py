"""Products, sums and functions of each number, as layers."""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from minifw import layers
from minifw._tools.checks import DTYPES
from minifw._tools.loading import claim
from minifw.core.layer import Layer
from minifw.interop.onnx._activations import OPERATORS
from minifw.interop.onnx._reading.constants import LARGEST, Array
from minifw.interop.onnx._reading.values import (
    Node,
    Value,
    dense,
    in_dtype,
    plainly,
    product,
    reader,
)

BROADCAST = 7  # the operator set from which on constants are broadcast as in NumPy
SINGLE_AXES = 13  # the operator set from which on Softmax is along one axis, and -1 its default


@reader(*OPERATORS, order="same")
def plain(node: Node) -> Layer:
    """Read an operator of the table; a reader below takes its place."""
    kind, options = OPERATORS[node.operator]
    given = node.attributes
    return plainly(kind, **{own: given[key] for key, own in options.items() if key in given})


@reader("Identity", "Cast", order="own")
def same(node: Node) -> Value:
    """Read y = x; a cast to the numbers that layers compute with rounds and no more."""
    to = node.attributes.get("to", node.x.dtype)
    whole = node.x.dtype is not None and node.x.dtype.kind in "iu" and to is not None
    if node.operator == "Cast" and to not in DTYPES and not (whole and to.kind in "iu"):
        if to.kind in "iu":
            raise node.refuse(
                f"minifw makes no whole numbers of {node.x.dtype}; let the input be {to}"
            )
        raise node.refuse(f"minifw has no cast from {node.x.dtype} to {to}")
    return replace(node.x, dtype=to)


@reader("Gemm")
def gemm(node: Node) -> Layer:
    """Read alpha x B + beta C, B transposed or not."""
    node.expect(transA=0)
    if node.constant(0) is not None:
        raise node.refuse("minifw needs its first input to be the data")
    weight, bias = node.needed(1), node.constant(2)
    weight = weight if node.attributes.get("transB", 0) else weight.T
    weight = weight * weight.dtype.type(node.attributes.get("alpha", 1.0))
    if bias is not None:
        if bias.size > 1 and (bias.size, bias.shape[-1]) != (len(weight), len(weight)):
            raise node.refuse(f"minifw adds one number per feature, not {bias.shape}")
        bias = np.broadcast_to(bias.reshape(-1), len(weight))
        bias = bias * bias.dtype.type(node.attributes.get("beta", 1.0))
    return dense(weight, bias)


@reader("MatMul", order="features")
def matmul(node: Node) -> Value:
    """Read x B."""
    if node.constant(0) is not None or node.needed(1).ndim != 2:
        raise node.refuse("minifw multiplies rows of data by a matrix")
    return product(node, node.needed(1), None)


@reader("Add", "Sum", "Sub", "Mul", "Div", order="own", several=True)
def arithmetic(node: Node) -> Layer | Value:
    """Read sums and products of values, and a change of units by constants."""
    operator = node.operator
    orders = {value.order for value in node.values}
    small = any(value.whole and value.dtype.itemsize < 4 for value in node.values)  # type: ignore[union-attr]
    if small or (operator == "Div" and node.x.whole):
        raise node.refuse("its whole numbers are cut off, a layer's are not")
    if "axis" in node.attributes:
        raise node.refuse(f"minifw broadcasts as from operator set {BROADCAST} on")
    if len(node.values) == len(node.inputs) > 1:
        if operator == "Div":
            raise node.refuse("minifw has no layer that divides values")
        values = node.values if len(orders) == 1 else [node.reading.plain(v) for v in node.values]
        order = values[0].order
        values = [replace(value, order=None) for value in values]
        if len({value.shape for value in values}) > 1:
            raise node.refuse(f"minifw joins values of one shape, not {[v.shape for v in values]}")
        if operator == "Sub":
            values[1] = node.add(layers.Rescaling(-1.0), values[1])
        joined = node.add(layers.Multiply() if operator == "Mul" else layers.Add(), *values)
        return replace(joined, order=order)
    if len(node.inputs) == 1:
        return node.x
    if len(node.inputs) > 2 or (operator == "Div" and node.constant(0) is not None):
        raise node.refuse("minifw has no layer that computes this of constants")
    number = _broadcast(node, next(one for one in node.inputs if isinstance(one, np.ndarray)))
    first = node.constant(0) is not None
    claim(node.name, number.shape)
    forms: dict[str, tuple[Any, Any]] = {
        "Add": (1.0, number),
        "Sum": (1.0, number),
        "Sub": (-1.0, number) if first else (1.0, -number),
        "Mul": (number, 0.0),
        "Div": (1 / number, 0.0) if number.all() else (math.inf, 0.0),
    }
    return replace(node.add(layers.Rescaling(*forms[operator])), order=node.x.order)


def _broadcast(node: Node, number: Array) -> Array:
    """Return a constant as it is broadcast to one example of x, in the order of its line."""
    if number.size > LARGEST:
        raise node.refuse("a constant has more numbers than x may have")
    number = number.astype(np.float64)
    if number.size == 1 and (node.x.shape is None or number.ndim <= len(node.x.sizes)):
        return number.reshape(())
    shape, order = node.x.shape, node.x.order
    if shape is None and number.ndim > 1:
        raise node.refuse("it needs a number of axes that the file does not say")
    if shape is not None:
        number = number.reshape((1,) * (len(shape) + 1 - number.ndim) + number.shape)
        if order is not None:
            number = number.transpose(np.argsort(order))
        wrong = [a for a, b in zip(number.shape, (1, *shape), strict=False) if a not in (1, b)]
        if number.ndim > len(shape) + 1 or wrong:
            raise node.refuse(f"a constant of shape {number.shape} would change the shape of x")
        number = number[0]
        while number.ndim > 1 and len(number) == 1:
            number = number[0]
    return number


@reader("Scaler")
def scaler(node: Node) -> Value:
    """Read (x - offset) scale, with a number for each column."""
    offset, scale = (np.array(node.attributes.get(name, [])) for name in ("offset", "scale"))
    centred = node.add(layers.Rescaling(1.0, -(offset if offset.size else np.zeros(1))))
    dtype = np.dtype(np.float32)
    scaled = node.add(layers.Rescaling(scale if scale.size else 1.0), centred)
    return replace(scaled, dtype=dtype)


@reader("Neg", order="same")
def negative(_: Node) -> Layer:
    """Read y = -x."""
    return layers.Rescaling(-1.0)


@reader("Max", "Min", order="same")
def bound(node: Node) -> Layer:
    """Read a lower or an upper bound."""
    numbers = [one for one in node.inputs if isinstance(one, np.ndarray)]
    if len(numbers) != 1 or numbers[0].size != 1 or len(node.values) != 1:
        raise node.refuse("minifw has the bound of one value by one number")
    node.broadcast(*numbers)
    number = float(numbers[0].reshape(()))
    return layers.Clamp(min=number) if node.operator == "Max" else layers.Clamp(max=number)


@reader("HardSigmoid", "HardSwish", order="same")
def hard(node: Node) -> Value:
    """Read h(x) = max(0, min(1, alpha x + beta)), and x h(x) with x / 6 + 1 / 2."""
    alpha, beta = node.attributes.get("alpha", 0.2), node.attributes.get("beta", 0.5)
    swish = node.operator == "HardSwish"
    line = layers.Rescaling(1 / 6, 0.5) if swish else layers.Rescaling(alpha, beta)
    gate = node.add(layers.HardTanh(0.0, 1.0), node.add(line))
    return node.add(layers.Multiply(), node.x, gate) if swish else gate


@reader("Swish", order="same")
def swish(node: Node) -> Layer:
    """Read x sigmoid(x)."""
    node.expect(alpha=1.0)
    return layers.SiLU()


@reader("PRelu")
def prelu(node: Node) -> Layer:
    """Read x where x > 0, else a x, with a number a for all or one for each feature."""
    slope = node.needed(1)
    node.broadcast(slope)
    if node.shape == ():
        raise node.refuse("minifw has slopes of features")
    if slope.size == 1:
        layer = layers.PReLU(**in_dtype(slope))
    elif node.opset < BROADCAST and slope.ndim == 1:
        layer = layers.PReLU(slope.size, axis=1, **in_dtype(slope))
    else:
        axis = int(np.argmax(slope.shape)) - slope.ndim  # counted from the end, as x may have more
        if (
            node.shape is None
            or slope.shape[axis] != slope.size
            or -axis > len(node.shape)
            or node.shape[axis] not in (None, slope.size)
        ):
            raise node.refuse(f"minifw has slopes along one axis, not {slope.shape}")
        layer = layers.PReLU(slope.size, axis=axis, **in_dtype(slope))
    layer.weight.value = slope.reshape(-1)
    return layer


@reader("Selu", order="same")
def selu(node: Node) -> Layer:
    """Read the one pair of constants that SELU has."""
    ours = {"alpha": layers.SELU.alpha, "gamma": layers.SELU.scale}
    alpha, gamma = (node.attributes.get(name, own) for name, own in ours.items())
    if not np.allclose([alpha, gamma], list(ours.values()), rtol=1e-6, atol=0.0):
        raise node.refuse(f"minifw has no alpha={alpha}, gamma={gamma}")
    return layers.SELU()


@reader("Clip", order="same")
def clip(node: Node) -> Layer:
    """Read the bounds."""
    # a bound that is left out is the largest number that there is
    largest = float(np.finfo(node.x.dtype if node.x.dtype in DTYPES else np.float32).max)
    low, high = node.number(1, "min", -largest), node.number(2, "max", largest)
    if low == 0.0 and high >= np.finfo(np.float32).max:
        return layers.ReLU()
    return layers.HardTanh(low, high)


@reader("Softmax", "LogSoftmax")
def softmax(node: Node) -> Layer:
    """Read the axis; before operator set 13 it was that and all after it."""
    axis = node.attributes.get("axis", -1 if node.opset >= SINGLE_AXES else 1)
    if node.opset < SINGLE_AXES and (node.shape is None or set(node.shape[axis:]) - {1}):
        raise node.refuse("minifw has a softmax along one axis")
    if node.shape is not None and node.x.axis(axis) == 0:
        raise node.refuse("minifw has no softmax along the batch")
    return plainly(layers.Softmax if node.operator == "Softmax" else layers.LogSoftmax, axis=axis)


@reader("Dropout", order="same")
def dropout(node: Node) -> Layer:
    """Read the ratio."""
    if node.constant(2) is not None and bool(node.needed(2)):
        raise node.refuse("it drops numbers outside training, too")
    return layers.Dropout(node.number(1, "ratio", 0.5))
