"""How convolution and pooling are written to ONNX.

ONNX Runtime has Conv and AveragePool in float32 alone. In float64 they are written as what they
are: the windows by slices, one for each position in the kernel, and a product or a sum of these.
"""

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from minifw import layers
from minifw._tools.loading import claim
from minifw.interop.onnx._graph import Graph, register
from minifw.layers._windows import Pair, Windows
from minifw.layers.padding import MODES
from minifw.typing import Shape

Convolution: TypeAlias = layers.Conv1D | layers.Conv2D | layers.Conv2DTranspose
Windowed: TypeAlias = Convolution | layers.MaxPool2D | layers.AvgPool2D


@register(layers.Conv2D)
def conv(layer: layers.Conv2D, graph: Graph, x: str) -> str:
    """Every output pixel is a weighted sum over a window of the input, plus a bias."""
    if graph.dtype == np.float32:
        return _operator("Conv", layer, graph, x)
    size = layer.output_shape(graph.shape(x))[1:]
    return _sums(layer, graph, _taps(layer._windows, graph, x, size), size)


@register(layers.Conv1D)
def conv_over_time(layer: layers.Conv1D, graph: Graph, x: str) -> str:
    """Write what `conv` does, of (batch, time, channels)."""
    time, channels = graph.shape(x)
    y = graph.transpose(x, 0, 2, 1)
    if graph.dtype == np.float32:
        y = _operator("Conv", layer, graph, y)
    else:
        steps, _ = layer.output_shape((time, channels))
        image = graph.reshape(y, 0, channels, time, 1)
        y = _sums(layer, graph, _taps(layer._windows, graph, image, (steps, 1)), (steps,))
    return graph.transpose(y, 0, 2, 1)


@register(layers.Conv2DTranspose)
def transposed_conv(layer: layers.Conv2DTranspose, graph: Graph, x: str) -> str:
    """Write the sum of what each position of the kernel gives, put where it belongs."""
    more, steps, kernel = layer.output_padding, layer.stride, layer.kernel_size
    if graph.dtype == np.float32 and more[0] < steps[0] and more[1] < steps[1]:
        return _operator("ConvTranspose", layer, graph, x, output_padding=more)
    groups, (channels, *size) = layer.groups, graph.shape(x)
    out, *larger = layer.output_shape(graph.shape(x))
    weight = graph.reshape(graph.constant(layer.weight), groups, channels // groups, -1)
    pixels = graph.reshape(x, 0, groups, channels // groups, math.prod(size))
    each = graph.node("MatMul", graph.transpose(weight, 0, 2, 1), pixels)
    k = math.prod(kernel)
    taps = graph.split(graph.reshape(each, 0, out, k, *size), k, 2)
    claim("export", (k, max(larger), max(size)))  # if a file says so
    sides = zip(larger, size, steps, layer.dilation, layer.padding, kernel, strict=True)
    rows, columns = [  # 1 where a pixel comes to lie, for each position
        [np.equal.outer(np.arange(m), s * np.arange(n) + d * u - p) for u in range(length)]
        for m, n, s, d, p, length in sides
    ]
    placed = []
    for tap, (u, v) in zip(taps, np.ndindex(kernel), strict=True):
        wide = graph.node("MatMul", tap, graph.constant(columns[v].T))
        placed += [graph.node("MatMul", graph.constant(rows[u]), wide)]
    return _biased(layer, graph, graph.reshape(graph.node("Sum", *placed), 0, out, *larger))


def _operator(name: str, layer: Convolution, graph: Graph, x: str, **more: Any) -> str:
    """Write ONNX's operator of convolutions."""
    dilations = layer._windows.dilation[: layer._axes]
    more |= {"dilations": dilations, "group": layer.groups, **_attributes(layer)}
    return graph.node(name, x, *graph.some(layer.weight, layer.bias), **more)


def _sums(layer: layers.Conv1D | layers.Conv2D, graph: Graph, taps: list[str], size: Shape) -> str:
    """As `Conv2D` itself: Y = W X + b, a row of X for each position in the kernel and channel."""
    k, groups = len(taps), layer.groups
    inside, outside = layer.in_channels // groups, layer.out_channels // groups
    pixels = math.prod(size)  # not -1: of an empty batch no size can be told
    by_tap = graph.reshape(graph.node("Concat", *taps, axis=1), 0, k, groups, inside, pixels)
    by_group = graph.transpose(by_tap, 0, 2, 1, 3, 4)
    columns = graph.reshape(by_group, 0, groups, k * inside, pixels)
    by_channel = graph.reshape(graph.constant(layer.weight), groups, outside, inside, k)
    weight = graph.reshape(graph.transpose(by_channel, 0, 1, 3, 2), groups, outside, k * inside)
    y = graph.reshape(graph.node("MatMul", weight, columns), 0, layer.out_channels, *size)
    return _biased(layer, graph, y)


def _biased(layer: Convolution, graph: Graph, y: str) -> str:
    bias = [graph.reshape(b, -1, *[1] * layer._axes) for b in graph.some(layer.bias)]
    return graph.add(y, *bias) if bias else y


@register(layers.MaxPool2D)
def max_pool(layer: layers.MaxPool2D, graph: Graph, x: str) -> str:
    """Write the largest of each window."""
    return graph.node("MaxPool", x, **_attributes(layer))


@register(layers.AvgPool2D)
def avg_pool(layer: layers.AvgPool2D, graph: Graph, x: str) -> str:
    """Write the mean of each window, padding counted."""
    if graph.dtype == np.float32:
        return graph.node("AveragePool", x, count_include_pad=1, **_attributes(layer))
    taps = _taps(layer._windows, graph, x, layer.output_shape(graph.shape(x))[1:])
    return graph.mul(graph.node("Sum", *taps), 1 / math.prod(layer.kernel_size))


@register(layers.Pad2D)
def pad(layer: layers.Pad2D, graph: Graph, x: str) -> str:
    """Write the border."""
    top, left, bottom, right = _pads(layer._windows.padding)
    sides = graph.whole([0, 0, top, left, 0, 0, bottom, right])
    return graph.node("Pad", x, sides, graph.constant(layer.value), mode=MODES[layer.mode])


@register(layers.UpSample2D)
def up_sample(layer: layers.UpSample2D, graph: Graph, x: str) -> str:
    """Write every pixel as a block."""
    (channels, height, width), (down, across) = graph.shape(x), layer.factor
    if graph.dtype == np.float32:
        how = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return graph.node("Resize", x, "", graph.constant([1, 1, down, across]), **how)
    pixels = graph.reshape(x, 0, channels, height, 1, width, 1)
    blocks = graph.node("Expand", pixels, graph.whole([1, 1, 1, down, 1, across]))
    return graph.reshape(blocks, 0, *layer.output_shape(graph.shape(x)))


@register(layers.GlobalAvgPool2D)
def global_avg_pool(_: layers.GlobalAvgPool2D, graph: Graph, x: str) -> str:
    """Write the mean of each channel: (batch, channels)."""
    return graph.node("ReduceMean", x, graph.whole([2, 3]), keepdims=0)


def _attributes(layer: Windowed) -> dict[str, Any]:
    """Return what the operators of ONNX are told of windows."""
    axes = 1 if isinstance(layer, layers.Conv1D) else 2
    kernel, stride, sides, _ = layer._windows
    pads = _pads(sides[:axes])
    return {"kernel_shape": kernel[:axes], "strides": stride[:axes], "pads": pads}


def _pads(sides: Sequence[Pair]) -> list[int]:
    """Return the padding in the order of ONNX: before all axes, then after all."""
    return [before for before, _ in sides] + [after for _, after in sides]


def _taps(windows: Windows, graph: Graph, x: str, size: Shape) -> list[str]:
    """Return what each position of the kernel sees, row by row, each of this size."""
    top, left, bottom, right = _pads(windows.padding)
    if top or left or bottom or right:
        x = graph.node("Pad", x, graph.whole([0, 0, top, left, 0, 0, bottom, right]))
    claim("export", windows.kernel)  # if a file says so
    axes, steps = graph.whole([2, 3]), graph.whole(windows.stride)
    reach = [s * (n - 1) + 1 for s, n in zip(windows.stride, size, strict=True)]
    taps = []
    for u, v in np.ndindex(windows.kernel):
        start = [u * windows.dilation[0], v * windows.dilation[1]]
        end = [a + r for a, r in zip(start, reach, strict=True)]
        taps.append(graph.node("Slice", x, graph.whole(start), graph.whole(end), axes, steps))
    return taps
