"""How the normalisations are written to ONNX, in eval mode."""

import numpy as np

from minifw import layers
from minifw.core.parameter import Parameter
from minifw.interop.onnx._graph import Graph, register
from minifw.interop.onnx._maths import Arithmetic
from minifw.typing import Array

# Runtimes compute BatchNormalization as x times a factor, plus the rest: where the mean is so many
# standard deviations away from 0, that has lost four bits, and the layer is written out.
FAR = 16.0


@register(layers.BatchNorm)
def batch_norm(layer: layers.BatchNorm, graph: Graph, x: str) -> str:
    """Write y = w (x - m) / sqrt(v + eps) + b, with the running m and v."""
    mean, var = layer.running_mean, layer.running_var
    eps = layer.eps
    if (np.abs(mean) > FAR * np.sqrt(var + eps)).any():
        return _batch_norm_written_out(layer, graph, x)
    weight = graph.constant(np.ones_like(mean) if layer.weight is None else layer.weight)
    bias = graph.constant(np.zeros_like(mean) if layer.bias is None else layer.bias)
    spread = graph.constant(var)
    if graph.dtype == np.float64:  # an attribute is a float32
        spread, eps = Arithmetic(graph).add(spread, eps), 0.0
    return graph.node(
        "BatchNormalization", x, weight, bias, graph.constant(mean), spread, epsilon=eps
    )


def _batch_norm_written_out(layer: layers.BatchNorm, graph: Graph, x: str) -> str:
    maths = Arithmetic(graph)
    images = len(graph.shape(x)) == 3
    column = graph.whole([-1, 1, 1])

    def channels(value: Parameter | Array) -> str:
        name = graph.constant(value)
        return graph.node("Reshape", name, column) if images else name

    spread = graph.node("Sqrt", maths.add(channels(layer.running_var), layer.eps))
    y = maths.div(maths.sub(x, channels(layer.running_mean)), spread)
    if layer.weight is None or layer.bias is None:
        return y
    return maths.add(maths.mul(y, channels(layer.weight)), channels(layer.bias))


@register(layers.LayerNorm)
def layer_norm(layer: layers.LayerNorm, graph: Graph, x: str) -> str:
    """Write y = w (x - m) / sqrt(v + eps) + b, with m and v of the last axes."""
    axes = len(layer.normalized_shape)
    if graph.dtype == np.float32:
        ones = np.ones(layer.normalized_shape)
        weight = graph.constant(ones if layer.weight is None else layer.weight)
        bias = () if layer.bias is None else (graph.constant(layer.bias),)
        return graph.node("LayerNormalization", x, weight, *bias, axis=-axes, epsilon=layer.eps)
    maths = Arithmetic(graph)
    last = graph.whole(range(-axes, 0))
    centred = maths.sub(x, graph.node("ReduceMean", x, last))
    y = _scaled(graph, centred, last, layer.eps)
    if layer.weight is None or layer.bias is None:
        return y
    return maths.add(maths.mul(y, graph.constant(layer.weight)), graph.constant(layer.bias))


@register(layers.RMSNorm)
def rms_norm(layer: layers.RMSNorm, graph: Graph, x: str) -> str:
    """Write y = w x / sqrt(mean(x^2) + eps) over the last axes."""
    last = graph.whole(range(-len(layer.normalized_shape), 0))
    y = _scaled(graph, x, last, layer.eps)
    return y if layer.weight is None else Arithmetic(graph).mul(y, graph.constant(layer.weight))


def _scaled(graph: Graph, c: str, axes: str, eps: float) -> str:
    """Return c / sqrt(mean(c^2) + eps)."""
    maths = Arithmetic(graph)
    square = graph.node("ReduceMean", maths.mul(c, c), axes)
    return maths.div(c, graph.node("Sqrt", maths.add(square, eps)))
