"""How the containers are written to ONNX."""

from minifw.interop.onnx._graph import Graph, register
from minifw.layers.branches import Concat, Residual
from minifw.layers.sequential import Sequential

__all__: list[str] = []


@register(Sequential)
def sequential(layer: Sequential, graph: Graph, x: str) -> str:
    """One layer after the other."""
    for inner in layer:
        x = graph.layer(inner, x)
    return x


@register(Residual)
def residual(layer: Residual, graph: Graph, x: str) -> str:
    """Write y = x + f(x)."""
    return graph.node("Add", x, graph.layer(layer.layer, x))


@register(Concat)
def concat(layer: Concat, graph: Graph, x: str) -> str:
    """Write the outputs of all branches, joined along the last axis."""
    return graph.node("Concat", *[graph.layer(inner, x) for inner in layer.layers], axis=-1)
