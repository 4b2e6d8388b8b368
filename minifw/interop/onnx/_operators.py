"""Which layer each ONNX operator is."""

import math
from typing import Any

import numpy as np

from minifw import layers
from minifw._tools.checks import DTYPES
from minifw.core.layer import Layer
from minifw.interop.onnx._reading import Node, dense, in_dtype, reader

CLIP_INPUTS = 11  # the operator set from which on the bounds of Clip are inputs
SINGLE_AXES = 13  # the operator set from which on Softmax is along one axis, and -1 its default

PLAIN: dict[str, type[Layer]] = {
    "Relu": layers.ReLU,
    "Sigmoid": layers.Sigmoid,
    "Softplus": layers.Softplus,
    "Tanh": layers.Tanh,
}


@reader(*PLAIN)
def plain(node: Node) -> Layer:
    """Read an operator without attributes."""
    return PLAIN[node.operator]()


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


@reader("MatMul")
def matmul(node: Node) -> Layer:
    """Read x B."""
    if node.constant(0) is not None or node.needed(1).ndim != 2:
        raise node.refuse("minifw multiplies rows of data by a matrix")
    if node.shape is not None and len(node.shape) != 1:
        raise node.refuse(f"minifw multiplies (batch, features), not examples of {node.shape}")
    return dense(node.needed(1).T, None)


@reader("LeakyRelu")
def leaky_relu(node: Node) -> Layer:
    """Read x where x > 0, else alpha x."""
    return layers.LeakyReLU(node.attributes.get("alpha", 0.01))


@reader("PRelu")
def prelu(node: Node) -> Layer:
    """Read x where x > 0, else a x, with a number a for all or one for each feature."""
    slope = node.needed(1)
    if slope.size == 1:
        layer = layers.PReLU(**in_dtype(slope))
    else:
        axis = int(np.argmax(slope.shape)) - slope.ndim  # counted from the end, as x may have more
        if node.shape is None or slope.shape[axis] != slope.size or -axis > len(node.shape):
            raise node.refuse(f"minifw has slopes along one axis, not {slope.shape}")
        layer = layers.PReLU(slope.size, axis=axis, **in_dtype(slope))
    layer.weight.value = slope.reshape(-1)
    return layer


@reader("Elu")
def elu(node: Node) -> Layer:
    """Read x where x > 0, else alpha (exp(x) - 1)."""
    return layers.ELU(node.attributes.get("alpha", 1.0))


@reader("Selu")
def selu(node: Node) -> Layer:
    """Read the one pair of constants that SELU has."""
    ours = {"alpha": layers.SELU.alpha, "gamma": layers.SELU.scale}
    alpha, gamma = (node.attributes.get(name, own) for name, own in ours.items())
    if not np.allclose([alpha, gamma], list(ours.values()), rtol=1e-6, atol=0.0):
        raise node.refuse(f"minifw has no alpha={alpha}, gamma={gamma}")
    return layers.SELU()


@reader("Clip")
def clip(node: Node) -> Layer:
    """Read the bounds, which are inputs, or attributes before operator set 11."""

    def bound(index: int, name: str, default: float) -> float:
        if node.opset < CLIP_INPUTS:
            return float(node.attributes.get(name, default))
        given = node.constant(index)
        return default if given is None else float(given)

    # a bound that is left out is the largest number that there is
    largest = float(np.finfo(node.dtype if node.dtype in DTYPES else np.float32).max)
    low, high = bound(1, "min", -largest), bound(2, "max", largest)
    if low == 0.0 and high >= np.finfo(np.float32).max:
        return layers.ReLU()
    return layers.HardTanh(low, high)


@reader("Gelu")
def gelu(node: Node) -> Layer:
    """Read x Phi(x), or the form with tanh."""
    return layers.GELU(node.attributes.get("approximate", "none"))


@reader("Softmax", "LogSoftmax")
def softmax(node: Node) -> Layer:
    """Read the axis; before operator set 13 it was that and all after it."""
    axis = node.attributes.get("axis", -1 if node.opset >= SINGLE_AXES else 1)
    if node.opset < SINGLE_AXES and (node.shape is None or axis not in (-1, len(node.shape))):
        raise node.refuse("minifw has a softmax along one axis")
    return layers.Softmax(axis) if node.operator == "Softmax" else layers.LogSoftmax(axis)


@reader("Dropout")
def dropout(node: Node) -> Layer:
    """Read the ratio: an input, or an attribute before operator set 12."""
    ratio = node.constant(1)
    p = float(node.attributes.get("ratio", 0.5) if ratio is None else ratio)
    if node.constant(2) is not None and bool(node.needed(2)):
        raise node.refuse("it drops numbers outside training, too")
    return layers.Dropout(p)


@reader("Flatten")
def flatten(node: Node) -> Layer:
    """Read (batch, ...) as (batch, features)."""
    node.expect(axis=1)
    return layers.Flatten()


@reader("Reshape")
def reshape(node: Node) -> Layer:
    """Read a shape whose first entry stands for the batch."""
    target = [int(size) for size in node.needed(1)]
    if node.attributes.get("allowzero", 0) and 0 in target:
        raise node.refuse("minifw has no allowzero=1")
    rest = target[1:]
    for index, size in enumerate(rest):
        if size == 0:
            if node.shape is None or index >= len(node.shape):
                raise node.refuse("it copies an axis whose size is not known")
            rest[index] = node.shape[index]
    count = None if node.shape is None else math.prod(node.shape)
    if not target or target[0] > 0 or (target[0] == -1 and count != math.prod(rest)):
        raise node.refuse(f"minifw keeps the batch axis, the shape {target} does not")
    return layers.Flatten() if rest in ([-1], [count]) else layers.Reshape(tuple(rest))


@reader("Gather")
def gather(node: Node) -> Layer:
    """Read rows of a table, looked up by x."""
    node.expect(axis=0)
    table = node.needed(0)
    if table.ndim != 2:
        raise node.refuse("minifw looks up rows of a table of two axes")
    layer = layers.Embedding(*table.shape, **in_dtype(table))
    layer.weight.value = table
    return layer


@reader("BatchNormalization")
def batch_norm(node: Node) -> Layer:
    """Read the running statistics, as in inference."""
    node.expect(training_mode=0, spatial=1)
    weight, bias, mean, var = (node.needed(index) for index in range(1, 5))
    epsilon = float(node.attributes.get("epsilon", 1e-5))
    if not epsilon >= 0.0:
        raise node.refuse(f"minifw needs an epsilon of 0 or above, not {epsilon}")
    # One of 0, as of a variance that has it already, is the smallest that there is.
    eps = max(epsilon, float(np.finfo(mean.dtype).tiny))
    layer = layers.BatchNorm(mean.size, eps=eps, **in_dtype(mean))
    layer.load_state_dict(
        {"weight": weight, "bias": bias, "running_mean": mean, "running_var": var}
    )
    return layer


@reader("LayerNormalization")
def layer_norm(node: Node) -> Layer:
    """Read a scale, and a bias that may be missing, of the last axes."""
    weight, bias = node.needed(1), node.constant(2)
    axis = node.attributes.get("axis", -1)
    if axis > 0 and node.shape is not None:
        axis -= len(node.shape) + 1
    if axis != -weight.ndim:
        raise node.refuse(f"minifw needs a scale of the normalised axes, not {weight.shape}")
    eps = node.attributes.get("epsilon", 1e-5)
    layer = layers.LayerNorm(weight.shape, eps=eps, **in_dtype(weight))
    layer.load_state_dict(
        {"weight": weight, "bias": np.zeros_like(weight) if bias is None else bias}
    )
    return layer


@reader("Conv")
def conv(node: Node) -> Layer:
    """Read a convolution of images, padded alike on both sides."""
    weight, bias = node.needed(1), node.constant(2)
    if weight.ndim != 4:
        raise node.refuse(f"minifw has convolutions of images, not of weights {weight.shape}")
    groups = node.attributes.get("group", 1)
    kernel = tuple(weight.shape[2:])
    node.expect(kernel_shape=list(kernel))
    dilation = tuple(node.attributes.get("dilations", [1, 1]))
    layer = layers.Conv2D(
        weight.shape[1] * groups,
        weight.shape[0],
        kernel,
        tuple(node.attributes.get("strides", [1, 1])),
        _padding(node, same=tuple(d * (k - 1) for d, k in zip(dilation, kernel, strict=True))),
        dilation,
        groups,
        bias=bias is not None,
        **in_dtype(weight),
    )
    layer.weight.value = weight
    if layer.bias is not None and bias is not None:
        layer.bias.value = bias
    return layer


@reader("MaxPool", "AveragePool")
def pool(node: Node) -> Layer:
    """Read the windows, which ONNX by default moves by 1."""
    node.expect(ceil_mode=0, dilations=[1, 1], storage_order=0)
    kernel = tuple(node.attributes["kernel_shape"])
    if len(kernel) != 2:
        raise node.refuse("minifw pools images")
    padding = _padding(node)
    stride = tuple(node.attributes.get("strides", [1, 1]))
    if node.operator == "MaxPool":
        return layers.MaxPool2D(kernel, stride, padding)
    if padding != (0, 0) and not node.attributes.get("count_include_pad", 0):
        raise node.refuse("minifw counts the padding, count_include_pad=0 does not")
    return layers.AvgPool2D(kernel, stride, padding)


@reader("GlobalAveragePool")
def global_average_pool(node: Node) -> Layer:
    """Read the mean of each channel, which keeps two axes of length 1."""
    if node.shape is None:
        raise node.refuse("the shape of its images is not known")
    return layers.Sequential(layers.GlobalAvgPool2D(), layers.Reshape((node.shape[0], 1, 1)))


@reader("ReduceMean")
def reduce_mean(node: Node) -> Layer:
    """Read the mean of each channel, as the mean of the last two axes."""
    given = node.constant(1)
    axes = node.attributes.get("axes", []) if given is None else [int(axis) for axis in given]
    if node.shape is None or len(node.shape) != 3 or sorted(a % 4 for a in axes) != [2, 3]:
        raise node.refuse("minifw has the mean of each channel of images alone")
    kept = node.attributes.get("keepdims", 1)
    return global_average_pool(node) if kept else layers.GlobalAvgPool2D()


@reader("Squeeze")
def squeeze(node: Node) -> Layer:
    """Read the loss of axes of length 1."""
    given: Any = node.constant(1)
    axes = node.attributes.get("axes", []) if given is None else [int(axis) for axis in given]
    if node.shape is None or not axes:
        raise node.refuse("minifw needs the axes, and the shape")
    gone = {axis % (len(node.shape) + 1) for axis in axes}
    if any(axis == 0 or node.shape[axis - 1] != 1 for axis in gone):
        raise node.refuse(f"minifw drops axes of length 1, not {axes}")
    return layers.Reshape(tuple(size for i, size in enumerate(node.shape, 1) if i not in gone))


def _padding(node: Node, same: tuple[int, ...] | None = None) -> Any:
    """Return the padding of each side, or "same" where one more goes below and to the right."""
    kind = node.attributes.get("auto_pad", "NOTSET")
    top, left, bottom, right = node.attributes.get("pads", [0, 0, 0, 0])
    if kind == "VALID":
        return (0, 0)
    if kind == "SAME_UPPER" and same is not None:
        return "same"
    if kind != "NOTSET":
        raise node.refuse(f"minifw has no auto_pad={kind!r}")
    if (top, left) == (bottom, right):
        return (top, left)
    if same and [top, left, bottom, right] == [n // 2 for n in same] + [n - n // 2 for n in same]:
        return "same"  # an odd padding has more below and to the right
    raise node.refuse(f"minifw pads both sides alike, not {[top, left, bottom, right]}")
