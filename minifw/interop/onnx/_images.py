"""How convolution and pooling are written to ONNX.

ONNX Runtime has Conv and AveragePool in float32 alone. In float64 they are written as what they
are: the windows by slices, one for each position in the kernel, and a product or a sum of these.
"""

import math
from typing import Any, TypeAlias

import numpy as np

from minifw import layers
from minifw.interop.onnx._graph import Graph, register
from minifw.interop.onnx._maths import Arithmetic
from minifw.layers._windows import Windows
from minifw.layers.padding import MODES

Windowed: TypeAlias = layers.Conv2D | layers.MaxPool2D | layers.AvgPool2D


@register(layers.Conv2D)
def conv(layer: layers.Conv2D, graph: Graph, x: str) -> str:
    """Every output pixel is a weighted sum over a window of the input, plus a bias."""
    if graph.dtype == np.float64:
        return _conv_written_out(layer, graph, x)
    bias = () if layer.bias is None else (graph.constant(layer.bias),)
    more = {"dilations": layer.dilation, "group": layer.groups, **_attributes(layer)}
    return graph.node("Conv", x, graph.constant(layer.weight), *bias, **more)


def _conv_written_out(layer: layers.Conv2D, graph: Graph, x: str) -> str:
    """As `Conv2D` itself: Y = W X + b, a row of X for each position in the kernel and channel."""
    taps, size = _taps(layer, graph, x)
    k, groups, channels = len(taps), layer.groups, layer.in_channels // layer.groups
    pixels = math.prod(size)  # not -1: of an empty batch no size can be told

    def reshaped(value: str, *shape: int) -> str:
        return graph.node("Reshape", value, graph.whole(shape))

    stacked = graph.node("Concat", *taps, axis=1)
    by_tap = reshaped(stacked, 0, k, groups, channels, pixels)
    by_group = graph.node("Transpose", by_tap, perm=[0, 2, 1, 3, 4])
    columns = reshaped(by_group, 0, groups, k * channels, pixels)
    by_pixel = graph.node("Transpose", graph.constant(layer.weight), perm=[0, 2, 3, 1])
    weight = reshaped(by_pixel, groups, layer.out_channels // groups, k * channels)
    y = reshaped(graph.node("MatMul", weight, columns), 0, layer.out_channels, *size)
    if layer.bias is None:
        return y
    return Arithmetic(graph).add(y, reshaped(graph.constant(layer.bias), -1, 1, 1))


@register(layers.MaxPool2D)
def max_pool(layer: layers.MaxPool2D, graph: Graph, x: str) -> str:
    """Write the largest of each window."""
    return graph.node("MaxPool", x, **_attributes(layer))


@register(layers.AvgPool2D)
def avg_pool(layer: layers.AvgPool2D, graph: Graph, x: str) -> str:
    """Write the mean of each window, padding counted."""
    if graph.dtype == np.float32:
        return graph.node("AveragePool", x, count_include_pad=1, **_attributes(layer))
    taps, _ = _taps(layer, graph, x)
    return Arithmetic(graph).mul(graph.node("Sum", *taps), 1 / math.prod(layer.kernel_size))


@register(layers.Pad2D)
def pad(layer: layers.Pad2D, graph: Graph, x: str) -> str:
    """Write the border."""
    top, left, bottom, right = _pads(layer._windows)
    sides = graph.whole([0, 0, top, left, 0, 0, bottom, right])
    return graph.node("Pad", x, sides, graph.constant(layer.value), mode=MODES[layer.mode])


@register(layers.GlobalAvgPool2D)
def global_avg_pool(_: layers.GlobalAvgPool2D, graph: Graph, x: str) -> str:
    """Write the mean of each channel: (batch, channels)."""
    return graph.node("ReduceMean", x, graph.whole([2, 3]), keepdims=0)


def _attributes(layer: Windowed) -> dict[str, Any]:
    """Return what the operators of ONNX are told of windows."""
    pads = _pads(layer._windows)
    return {"kernel_shape": layer.kernel_size, "strides": layer.stride, "pads": pads}


def _pads(windows: Windows) -> list[int]:
    """Return the padding in the order of ONNX: before all axes, then after all."""
    (top, bottom), (left, right) = windows.padding
    return [top, left, bottom, right]


def _taps(layer: Windowed, graph: Graph, x: str) -> tuple[list[str], tuple[int, int]]:
    """Return what each position of the kernel sees, row by row, and the size of each."""
    windows = layer._windows
    size = windows.output_size(layer, graph.shape(x))
    top, left, bottom, right = _pads(windows)
    if top or left or bottom or right:
        x = graph.node("Pad", x, graph.whole([0, 0, top, left, 0, 0, bottom, right]))
    axes, steps = graph.whole([2, 3]), graph.whole(windows.stride)
    reach = [s * (n - 1) + 1 for s, n in zip(windows.stride, size, strict=True)]
    taps = []
    for u, v in np.ndindex(windows.kernel):
        start = [u * windows.dilation[0], v * windows.dilation[1]]
        end = [a + r for a, r in zip(start, reach, strict=True)]
        taps.append(graph.node("Slice", x, graph.whole(start), graph.whole(end), axes, steps))
    return taps, size
