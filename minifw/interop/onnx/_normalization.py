"""How the normalisations are written to ONNX, in eval mode."""

import math
from typing import TypeAlias

import numpy as np

from minifw import layers
from minifw.core.parameter import Parameter
from minifw.interop.onnx._graph import Graph, register
from minifw.typing import Array

# Runtimes compute BatchNormalization as x times a factor, plus the rest: where the mean is so many
# standard deviations away from 0, that has lost four bits, and the layer is written out.
FAR = 16.0

Normalization: TypeAlias = layers.BatchNorm | layers.GroupNorm | layers.LayerNorm | layers.RMSNorm


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
        spread, eps = graph.add(spread, eps), 0.0
    return graph.node(
        "BatchNormalization", x, weight, bias, graph.constant(mean), spread, epsilon=eps
    )


def _batch_norm_written_out(layer: layers.BatchNorm, graph: Graph, x: str) -> str:
    ndim = len(graph.shape(x))
    mean, var = (_along(graph, one, ndim) for one in (layer.running_mean, layer.running_var))
    y = graph.div(graph.sub(x, mean), graph.node("Sqrt", graph.add(var, layer.eps)))
    return _affine(layer, graph, y, ndim)


def _along(graph: Graph, value: Parameter | Array, ndim: int) -> str:
    """Return a number for each channel, for examples of so many axes."""
    name = graph.constant(value)
    return graph.reshape(name, -1, *[1] * (ndim - 1)) if ndim > 1 else name


def _affine(layer: Normalization, graph: Graph, y: str, ndim: int = 1) -> str:
    """Return w y + b, as far as there are w and b, of channels if examples have several axes."""
    for operator, value in (("Mul", layer.weight), ("Add", layer.bias)):
        if value is not None:
            y = graph.node(operator, y, _along(graph, value, ndim))
    return y


@register(layers.LayerNorm)
def layer_norm(layer: layers.LayerNorm, graph: Graph, x: str) -> str:
    """Write y = w (x - m) / sqrt(v + eps) + b, with m and v of the last axes."""
    axes = len(layer.normalized_shape)
    if graph.dtype == np.float32:
        weights = graph.some(layer.weight, layer.bias)
        weights = weights or [graph.constant(np.ones(layer.normalized_shape))]
        return graph.node("LayerNormalization", x, *weights, axis=-axes, epsilon=layer.eps)
    last = graph.whole(range(-axes, 0))
    return _affine(layer, graph, _standard(graph, x, last, layer.eps))


@register(layers.GroupNorm)
def group_norm(layer: layers.GroupNorm, graph: Graph, x: str) -> str:
    """Write y = w (x - m) / sqrt(v + eps) + b, with m and v of the channels of a group."""
    shape = graph.shape(x)
    rows = graph.reshape(x, 0, layer.num_groups, math.prod(shape) // layer.num_groups)
    y = _standard(graph, rows, graph.whole([2]), layer.eps)
    return _affine(layer, graph, graph.reshape(y, 0, *shape), len(shape))


@register(layers.RMSNorm)
def rms_norm(layer: layers.RMSNorm, graph: Graph, x: str) -> str:
    """Write y = w x / sqrt(mean(x^2) + eps) over the last axes."""
    last = graph.whole(range(-len(layer.normalized_shape), 0))
    return _affine(layer, graph, _scaled(graph, x, last, layer.eps))


def _standard(graph: Graph, x: str, axes: str, eps: float) -> str:
    """Return (x - mean(x)) / sqrt(mean((x - mean(x))^2) + eps)."""
    mean = graph.node("ReduceMean", x, axes)
    return _scaled(graph, graph.sub(x, mean), axes, eps)


def _scaled(graph: Graph, c: str, axes: str, eps: float) -> str:
    """Return c / sqrt(mean(c^2) + eps)."""
    square = graph.node("ReduceMean", graph.mul(c, c), axes)
    return graph.div(c, graph.node("Sqrt", graph.add(square, eps)))
