"""How containers, `Dense`, `Embedding` and the layers of shape are written to ONNX."""

from functools import partial, reduce

from minifw import layers
from minifw.interop.onnx._graph import Graph, register
from minifw.interop.onnx._maths import INT64
from minifw.layers.joining import feature_axis


@register(layers.Dense)
def dense(layer: layers.Dense, graph: Graph, x: str) -> str:
    """Write y = x W' + b; of sequences step by step, which Gemm does not know."""
    return affine(layer, graph, x, graph.constant(layer.weight))


def affine(layer: layers.Dense, graph: Graph, x: str, weight: str) -> str:
    """Write y = x W' + b with this W."""
    bias = graph.some(layer.bias)
    if len(graph.shape(x)) > 1:
        return graph.linear(x, weight, *bias)
    return graph.node("Gemm", x, weight, *bias, transB=1)


@register(layers.NTKDense)
def ntk_dense(layer: layers.NTKDense, graph: Graph, x: str) -> str:
    """Write y = c x W' + b."""
    scaled = graph.node("Mul", graph.constant(layer.weight), graph.constant(layer.scale))
    return affine(layer, graph, x, scaled)


@register(layers.Embedding)
def embedding(layer: layers.Embedding, graph: Graph, x: str) -> str:
    """y[..., :] = W[x[...], :]."""
    graph.takes(x, INT64)
    return graph.node("Gather", graph.constant(layer.weight), x, axis=0)


@register(layers.Flatten)
def flatten(_: layers.Flatten, graph: Graph, x: str) -> str:
    """(batch, ...) becomes (batch, features)."""
    return graph.node("Flatten", x, axis=1)


@register(layers.Reshape)
def reshape(layer: layers.Reshape, graph: Graph, x: str) -> str:
    """(batch, ...) becomes (batch, *shape); 0 stands for the batch as it is."""
    return graph.node("Reshape", x, graph.whole([0, *layer.output_shape(graph.shape(x))]))


@register(layers.Permute)
def permute(layer: layers.Permute, graph: Graph, x: str) -> str:
    """Write x with its axes in another order."""
    return graph.node("Transpose", x, perm=[0, *layer.dims])


@register(layers.Rescaling)
def rescaling(layer: layers.Rescaling, graph: Graph, x: str) -> str:
    """Write y = x s + o."""
    y = graph.node("Mul", x, graph.constant(layer.scale))
    return graph.node("Add", y, graph.constant(layer.offset))


@register(layers.Dropout)
def dropout(layer: layers.Dropout, graph: Graph, x: str) -> str:
    """Write y = x: outside training ONNX's operator has nothing to do, either."""
    return graph.node("Dropout", x, graph.constant(layer.p))


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
    return join(layer, graph, *[graph.layer(inner, x) for inner in layer.layers])


@register(layers.Join)
def join(layer: layers.Join | layers.Concat, graph: Graph, *xs: str) -> str:
    """Write the inputs joined along their features."""
    ndim = len(graph.shape(xs[0])) + 1
    return graph.node("Concat", *xs, axis=feature_axis(layer.axis, ndim) - ndim)


@register(layers.Add)
def add(layer: layers.Add, graph: Graph, *xs: str) -> str:  # noqa: ARG001
    """Write the sum."""
    return graph.node("Sum", *xs)


@register(layers.Multiply)
def multiply(layer: layers.Multiply, graph: Graph, *xs: str) -> str:  # noqa: ARG001
    """Write the product; of one input, x."""
    return reduce(partial(graph.node, "Mul"), xs[1:], graph.node("Identity", xs[0]))


@register(layers.Scale)
def scale(layer: layers.Scale, graph: Graph, x: str) -> str:
    """Write y = x w."""
    return graph.node("Mul", x, graph.constant(layer.weight))


@register(layers.Graph)
def lines(layer: layers.Graph, graph: Graph, *xs: str) -> str | tuple[str, ...]:
    """One line after the other."""
    values: dict[str | None, str | None] = dict(zip(layer.input_names, xs, strict=True))
    values[None] = None  # an input that is left out
    for line in layer._lines:
        made = graph.layer(line.layer, *[values[name] for name in line.takes])
        values.update(zip(line.makes, made if isinstance(made, tuple) else (made,), strict=True))
    ys = tuple([str(values[name]) for name in layer._gives])
    return ys if len(ys) > 1 else ys[0]
