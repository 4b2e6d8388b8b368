"""How the activations are written to ONNX.

By the operator of the same name where ONNX Runtime has it in the graph's dtype and where it
holds for every x; else from smaller ones, in the form of minifw's own forward.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from minifw import layers
from minifw.core.layer import Layer
from minifw.interop.onnx._graph import Graph, register
from minifw.layers.smooth import MISH_REACH, TANH_CUBIC, TANH_SCALE
from minifw.layers.softmax import SOFTPLUS

OPERATORS: dict[str, tuple[type[Layer], dict[str, str]]] = {
    "Elu": (layers.ELU, {"alpha": "alpha"}),
    "Gelu": (layers.GELU, {"approximate": "approximate"}),
    "Identity": (layers.Identity, {}),
    "LeakyRelu": (layers.LeakyReLU, {"alpha": "negative_slope"}),
    "LogSoftmax": (layers.LogSoftmax, {"axis": "axis"}),
    "Mish": (layers.Mish, {}),
    "Relu": (layers.ReLU, {}),
    "Selu": (layers.SELU, {"alpha": "alpha", "gamma": "scale"}),
    "Sigmoid": (layers.Sigmoid, {}),
    "Softmax": (layers.Softmax, {"axis": "axis"}),
    "Softplus": (layers.Softplus, {}),
    "Tanh": (layers.Tanh, {}),
}
"""The layers that are one operator, and the options that are its attributes, with the same
defaults. `import_` reads by this table, too. Both Softmax operators subtract the largest x first,
as the layers do."""


def operator(name: str, layer: Layer, graph: Graph, x: str) -> str:
    """Write an operator of the table, or in float64 its formula, if it has one."""
    if graph.dtype == np.float64 and name in FORMULAS:
        return FORMULAS[name](layer, graph, x)
    _, options = OPERATORS[name]
    return graph.node(name, x, **{key: getattr(layer, own) for key, own in options.items()})


for _name, (_cls, _) in OPERATORS.items():
    register(_cls)(partial(operator, _name))


def leaky_relu(layer: layers.LeakyReLU, graph: Graph, x: str) -> str:
    """Write y = x where x > 0, else a x."""
    return graph.where_positive(x, x, graph.mul(x, layer.negative_slope))


@register(layers.PReLU)
def prelu(layer: layers.PReLU, graph: Graph, x: str) -> str:
    """Write y = x where x > 0, else a x; the slopes stand along their axis of x."""
    axes = len(graph.shape(x)) + 1
    slope = graph.constant(layer.weight)
    after = axes - 1 - layer.axis % axes  # axes of x behind the axis of the slopes
    if after and layer.num_parameters > 1:
        slope = graph.node("Reshape", slope, graph.whole([-1] + [1] * after))
    if graph.dtype == np.float32:
        return graph.node("PRelu", x, slope)
    return graph.where_positive(x, x, graph.mul(x, slope))


def elu(layer: layers.ELU, graph: Graph, x: str) -> str:
    """Write y = x where x > 0, else a (exp(x) - 1)."""
    return graph.where_positive(x, x, graph.mul(graph.expm1_below(x), layer.alpha))


def selu(layer: layers.SELU, graph: Graph, x: str) -> str:
    """Write y = l x where x > 0, else l a (exp(x) - 1)."""
    below = graph.mul(graph.expm1_below(x), layer.alpha)
    return graph.mul(graph.where_positive(x, x, below), layer.scale)


@register(layers.Clamp, layers.HardTanh)
def clipped(layer: layers.Clamp | layers.HardTanh, graph: Graph, x: str) -> str:
    """Write y = x, clipped; a bound above all numbers of the dtype is the largest of them."""
    largest = np.finfo(graph.dtype).max
    bounds = np.clip(layer._bounds, -largest, largest)
    return graph.node("Clip", x, *[graph.constant(bound) for bound in bounds])


def gelu(layer: layers.GELU, graph: Graph, x: str) -> str:
    """Write y = x Phi(x), or x s(2u): x / (1 + exp(-2u))."""
    if layer.approximate == "none":
        return graph.mul(x, graph.normal(x))
    cubic = graph.add(graph.mul(graph.mul(x, x), TANH_CUBIC), 1.0)
    return graph.gated(x, graph.mul(graph.mul(x, cubic), 2 * TANH_SCALE))


FORMULAS: dict[str, Callable[..., str]] = {
    "Elu": elu,
    "Gelu": gelu,
    "LeakyRelu": leaky_relu,
    "Selu": selu,
}
"""What is written in float64 for operators that ONNX Runtime has in float32 alone."""


@register(layers.SiLU)
def silu(_: layers.SiLU, graph: Graph, x: str) -> str:
    """Write y = x / (1 + exp(-x)).

    Not x times Sigmoid: where a runtime's sigmoid of -1e4 is 1e-8 and not 0, as approximations
    are, that would be -1e-4.
    """
    return graph.gated(x, x)


@register(layers.Mish)
def mish(_: layers.Mish, graph: Graph, x: str) -> str:
    """Write y = x n / (n + 2), n = e (e + 2), e = exp(min(x, 24))."""
    e = graph.exp(graph.node("Min", x, graph.constant(MISH_REACH)))
    n = graph.mul(e, graph.add(e, 2.0))
    return graph.mul(x, graph.div(n, graph.add(n, 2.0)))


@register(layers.Softplus)
def softplus(layer: layers.Softplus, graph: Graph, x: str) -> str:
    """Write y = max(x, 0) + log(1 + exp(-b |x|)) / b."""
    if graph.dtype == np.float32 and layer.beta == 1.0:
        return graph.node("Softplus", x)
    e = graph.exp(graph.mul(graph.node("Abs", x), -layer.beta))
    rest = graph.div(graph.node("Log", graph.add(e, 1.0)), layer.beta)
    return graph.add(graph.node("Relu", x), rest)


@register(layers.Increasing)
def increasing(_: layers.Increasing, graph: Graph, x: str) -> str:
    """Write the running sums of x_1 and the softplus of the others: a product with a triangle."""
    size = graph.shape(x)[0]
    first = np.eye(1, size)
    steps = graph.mul(softplus(SOFTPLUS, graph, x), graph.constant(1 - first))
    parts = graph.add(steps, graph.mul(x, graph.constant(first)))
    return graph.node("MatMul", parts, graph.constant(np.triu(np.ones((size, size)))))
