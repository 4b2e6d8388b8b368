"""How attention and the layers over the steps of a sequence are written to ONNX."""

import numpy as np

from minifw import layers
from minifw._tools.loading import claim
from minifw.interop.onnx._graph import Graph, register
from minifw.interop.onnx._maths import INT64


@register(layers.MultiHeadAttention)
def attention(layer: layers.MultiHeadAttention, graph: Graph, x: str, *given: str | None) -> str:
    """Write z = softmax(q k' / sqrt(w)) v of each head, and y = Wo z + bo."""
    heads, (memory, mask) = layer.heads, (*given, None, None)[:2]
    memory = memory or x
    thirds = [graph.split(v, 3) for v in graph.some(layer.in_proj_weight, layer.in_proj_bias)]

    def part(index: int, source: str, *order: int) -> str:
        y = graph.linear(source, *[values[index] for values in thirds])
        by_head = graph.reshape(y, 0, graph.shape(source)[0], heads, layer.features // heads)
        return graph.transpose(by_head, *order)

    q = graph.mul(part(0, x, 0, 2, 1, 3), layer._scale)
    k, v = part(1, memory, 0, 2, 3, 1), part(2, memory, 0, 2, 1, 3)
    scores, counts = graph.node("MatMul", q, k), []  # (batch, heads, time, steps)
    time, steps = graph.shape(x)[0], graph.shape(memory)[0]
    if layer.causal:
        claim("export", (time + steps,))  # if a file says so
        places = graph.whole([range(steps)]), graph.whole(np.arange(time)[:, np.newaxis])
        counts += [graph.node("LessOrEqual", *places)]
    if mask is not None:
        counts += [graph.node("Unsqueeze", graph.truth(mask), graph.whole([1, 2]))]
    if counts:
        every = counts[0] if len(counts) == 1 else graph.node("And", *counts)
        scores = graph.where(every, scores, graph.constant(np.finfo(graph.dtype).min))
    p = graph.node("Softmax", scores, axis=-1)
    if mask is not None:  # of a row in which nothing counts
        p = graph.where(every, p, graph.constant(0.0))
    z = graph.transpose(graph.node("MatMul", p, v), 0, 2, 1, 3)
    rows = graph.reshape(z, 0, time, layer.features)
    return graph.linear(rows, *graph.some(layer.out_proj.weight, layer.out_proj.bias))


@register(layers.Positions, layers.SinusoidalPositions)
def positions(layer: layers.Positions | layers.SinusoidalPositions, graph: Graph, x: str) -> str:
    """Write y_t = x_t + P[t]."""
    steps = range(graph.shape(x)[0])
    if isinstance(layer, layers.SinusoidalPositions):
        return graph.add(x, graph.constant(layer._places(0, len(steps), graph.dtype)))
    return graph.add(x, graph.node("Gather", graph.constant(layer.weight), graph.whole(steps)))


@register(layers.MeanOverTime)
def mean_over_time(_: layers.MeanOverTime, graph: Graph, x: str, mask: str | None = None) -> str:
    """Write the mean of the steps that count."""
    time = graph.whole([1])
    if mask is None:
        return graph.node("ReduceMean", x, time, keepdims=0)
    counts = graph.node("Unsqueeze", graph.counted(mask), graph.whole([2]))
    total = graph.node("ReduceSum", graph.mul(x, counts), time, keepdims=0)
    steps = graph.node("ReduceSum", counts, time, keepdims=0)
    return graph.div(total, graph.node("Max", steps, graph.constant(1.0)))


@register(layers.Mask)
def mask(layer: layers.Mask, graph: Graph, x: str) -> str:
    """Write whether each number is another than the padding."""
    graph.takes(x, INT64)
    return graph.node("Not", graph.node("Equal", x, graph.whole(layer.padding)))


@register(layers.Flip)
def flip(layer: layers.Flip, graph: Graph, x: str) -> str:
    """Write x from the last step to the first; of masks and whole numbers, too."""
    size = (0, *graph.shape(x))[layer.axis]
    claim("export", (size,))  # if a file says so
    order = graph.whole(np.arange(size)[::-1])
    return graph.passed(x, graph.node("Gather", x, order, axis=layer.axis))
