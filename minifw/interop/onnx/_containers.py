"""How the containers are written to ONNX."""

from minifw import layers
from minifw.interop.onnx._graph import Graph, register

__all__: list[str] = []


@register(layers.Sequential)
def sequential(layer: layers.Sequential, graph: Graph, x: str) -> str:
    """One layer after the other."""
    for inner in layer:
        x = graph.layer(inner, x)
    return x


@register(layers.Residual)
def residual(layer: layers.Residual, graph: Graph, x: str) -> str:
    """Write y = x + f(x)."""
    return graph.node("Add", x, graph.layer(layer.layer, x))


@register(layers.Concat)
def concat(layer: layers.Concat, graph: Graph, x: str) -> str:
    """Write the outputs of all branches, joined along their features."""
    outputs = [graph.layer(inner, x) for inner in layer.layers]
    ndim = len(graph.shape(outputs[0])) + 1
    return graph.node("Concat", *outputs, axis=layer._axis(ndim) - ndim)
