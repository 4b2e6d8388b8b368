"""How the layers that stand before a table's network are written to ONNX."""

import math

import numpy as np

from minifw import layers
from minifw.interop.onnx._graph import Graph, register
from minifw.interop.onnx._maths import Arithmetic
from minifw.layers.tables import FAR, REACH
from minifw.typing import Array


@register(layers.Standardize)
def standardize(layer: layers.Standardize | layers.RobustScale, graph: Graph, x: str) -> str:
    """Write y = (x - center) factor."""
    _adapted(layer, layer.center)
    maths = Arithmetic(graph)
    return maths.mul(maths.sub(x, graph.constant(layer.center)), graph.constant(layer.factor))


@register(layers.RobustScale)
def robust_scale(layer: layers.RobustScale, graph: Graph, x: str) -> str:
    """Write y = s / sqrt(1 + (s/3)^2)."""
    maths = Arithmetic(graph)
    bounds = graph.constant(-FAR), graph.constant(FAR)
    s = graph.node("Clip", standardize(layer, graph, x), *bounds)
    part = maths.div(s, REACH)
    return maths.div(s, graph.node("Sqrt", maths.add(maths.mul(part, part), 1.0)))


@register(layers.Impute)
def impute(layer: layers.Impute, graph: Graph, x: str) -> str:
    """Write x with its gaps filled, and the marks."""
    _adapted(layer, layer.fill)
    maths = Arithmetic(graph)
    gaps = graph.node("IsNaN", x)
    y = maths.where(gaps, graph.constant(layer.fill), x)
    if not layer.add_indicator:
        return y
    marks = maths.where(gaps, graph.constant(1.0), graph.constant(0.0))
    return graph.node("Concat", y, marks, axis=1)


@register(layers.PiecewiseLinearEncoding)
def piecewise_linear(layer: layers.PiecewiseLinearEncoding, graph: Graph, x: str) -> str:
    """Write the part of each bin, between its bounds."""
    _adapted(layer, layer.edges)
    maths = Arithmetic(graph)
    slope, floor, roof = layer.slopes()
    bounds = [graph.constant(np.nan_to_num(bound)) for bound in (floor, roof)]
    column = graph.node("Reshape", x, graph.whole([0, layer.features, 1]))
    edges, axes = graph.constant(layer.edges), graph.whole([1])
    left = graph.node("Slice", edges, graph.whole([0]), graph.whole([layer.bins]), axes)
    above = maths.sub(column, left)
    y = graph.node("Max", maths.mul(above, graph.constant(slope)), bounds[0])
    return graph.node("Min", y, bounds[1])


@register(layers.PeriodicEncoding)
def periodic(layer: layers.PeriodicEncoding, graph: Graph, x: str) -> str:
    """Write (cos v, sin v), v = 2 pi w x."""
    maths = Arithmetic(graph)
    column = graph.node("Reshape", x, graph.whole([0, layer.features, 1]))
    v = maths.mul(column, maths.mul(graph.constant(layer.weight), 2 * math.pi))
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
