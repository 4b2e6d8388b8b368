"""How the layers that stand before a table's network are written to ONNX."""

import math

import numpy as np

from minifw import layers
from minifw.interop.onnx._graph import Graph, register
from minifw.layers.tables import FAR, REACH
from minifw.typing import Array


@register(layers.Standardize)
def standardize(layer: layers.Standardize | layers.RobustScale, graph: Graph, x: str) -> str:
    """Write y = (x - center) factor."""
    _adapted(layer, layer.center)
    return graph.mul(graph.sub(x, graph.constant(layer.center)), graph.constant(layer.factor))


@register(layers.RobustScale)
def robust_scale(layer: layers.RobustScale, graph: Graph, x: str) -> str:
    """Write y = s / sqrt(1 + (s/3)^2)."""
    bounds = graph.constant(-FAR), graph.constant(FAR)
    s = graph.node("Clip", standardize(layer, graph, x), *bounds)
    part = graph.div(s, REACH)
    return graph.div(s, graph.node("Sqrt", graph.add(graph.mul(part, part), 1.0)))


@register(layers.Impute)
def impute(layer: layers.Impute, graph: Graph, x: str) -> str:
    """Write x with its gaps filled, and the marks."""
    _adapted(layer, layer.fill)
    gaps = graph.node("IsNaN", x)
    y = graph.where(gaps, graph.constant(layer.fill), x)
    if not layer.add_indicator:
        return y
    marks = graph.where(gaps, graph.constant(1.0), graph.constant(0.0))
    return graph.node("Concat", y, marks, axis=1)


@register(layers.PiecewiseLinearEncoding)
def piecewise_linear(layer: layers.PiecewiseLinearEncoding, graph: Graph, x: str) -> str:
    """Write the part of each bin, between its bounds."""
    _adapted(layer, layer.edges)
    slope, floor, roof = layer.slopes()
    bounds = [graph.constant(np.nan_to_num(bound)) for bound in (floor, roof)]
    column = graph.node("Reshape", x, graph.whole([0, layer.features, 1]))
    edges, axes = graph.constant(layer.edges), graph.whole([1])
    left = graph.node("Slice", edges, graph.whole([0]), graph.whole([layer.bins]), axes)
    above = graph.sub(column, left)
    y = graph.node("Max", graph.mul(above, graph.constant(slope)), bounds[0])
    return graph.node("Min", y, bounds[1])


@register(layers.PeriodicEncoding)
def periodic(layer: layers.PeriodicEncoding, graph: Graph, x: str) -> str:
    """Write (cos v, sin v), v = 2 pi w x."""
    column = graph.node("Reshape", x, graph.whole([0, layer.features, 1]))
    v = graph.mul(column, graph.mul(graph.constant(layer.weight), 2 * math.pi))
    return graph.node("Concat", graph.node("Cos", v), graph.node("Sin", v), axis=2)


@register(layers.Columns)
def columns(layer: layers.Columns, graph: Graph, x: str) -> str:
    """Write the columns; whole ones in an integer type, one of them without its axis."""
    whole = layer.whole and len(layer.columns) == 1
    y = graph.node("Gather", x, graph.whole(layer.columns[0] if whole else layer.columns), axis=1)
    return graph.node("Cast", y, to=7) if layer.whole else y  # 7 is int64


def _adapted(layer: layers.Layer, buffer: Array) -> None:
    if np.isnan(buffer).any():
        raise ValueError(
            f"export: {layer!r} has not seen the training rows; call minifw.adapt(model, x)"
        )
