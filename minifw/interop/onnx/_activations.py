"""How the activations are written to ONNX.

By the operator of the same name where ONNX Runtime has it in the graph's dtype and where it
holds for every x; else from smaller ones, in the form of minifw's own forward.
"""

import numpy as np

from minifw.interop.onnx._graph import Graph, register
from minifw.interop.onnx._maths import arithmetic
from minifw.layers.activations import Sigmoid, Tanh
from minifw.layers.rectifiers import ELU, SELU, HardTanh, LeakyReLU, PReLU, ReLU
from minifw.layers.smooth import GELU, TANH_CUBIC, TANH_SCALE, SiLU, Softplus
from minifw.layers.softmax import LogSoftmax, Softmax

__all__: list[str] = []


@register(Tanh)
def tanh(_: Tanh, graph: Graph, x: str) -> str:
    """Write y = tanh(x)."""
    return graph.node("Tanh", x)


@register(Sigmoid)
def sigmoid(_: Sigmoid, graph: Graph, x: str) -> str:
    """Write y = 1 / (1 + exp(-x))."""
    return graph.node("Sigmoid", x)


@register(ReLU)
def relu(_: ReLU, graph: Graph, x: str) -> str:
    """Write y = max(x, 0)."""
    return graph.node("Relu", x)


@register(LeakyReLU)
def leaky_relu(layer: LeakyReLU, graph: Graph, x: str) -> str:
    """Write y = x where x > 0, else a x."""
    if graph.dtype == np.float32:
        return graph.node("LeakyRelu", x, alpha=layer.negative_slope)
    maths = arithmetic(graph)
    return maths.where_positive(x, x, maths.mul(x, layer.negative_slope))


@register(PReLU)
def prelu(layer: PReLU, graph: Graph, x: str) -> str:
    """Write y = x where x > 0, else a x; the slopes stand along their axis of x."""
    axes = len(graph.shape(x)) + 1
    slope = graph.constant(layer.weight)
    after = axes - 1 - layer.axis % axes  # axes of x behind that of the slopes
    if after and layer.num_parameters > 1:
        slope = graph.node("Reshape", slope, graph.whole([-1] + [1] * after))
    if graph.dtype == np.float32:
        return graph.node("PRelu", x, slope)
    maths = arithmetic(graph)
    return maths.where_positive(x, x, maths.mul(x, slope))


@register(ELU)
def elu(layer: ELU, graph: Graph, x: str) -> str:
    """Write y = x where x > 0, else a (exp(x) - 1)."""
    if graph.dtype == np.float32:
        return graph.node("Elu", x, alpha=layer.alpha)
    maths = arithmetic(graph)
    return maths.where_positive(x, x, maths.mul(maths.expm1_below(x), layer.alpha))


@register(SELU)
def selu(layer: SELU, graph: Graph, x: str) -> str:
    """Write y = l x where x > 0, else l a (exp(x) - 1)."""
    if graph.dtype == np.float32:
        return graph.node("Selu", x, alpha=layer.alpha, gamma=layer.scale)
    maths = arithmetic(graph)
    below = maths.mul(maths.expm1_below(x), layer.alpha)
    return maths.mul(maths.where_positive(x, x, below), layer.scale)


@register(HardTanh)
def hard_tanh(layer: HardTanh, graph: Graph, x: str) -> str:
    """Write y = x, clipped; a bound above all numbers of the dtype is the largest of them."""
    largest = np.finfo(graph.dtype).max
    bounds = np.clip([layer.min_val, layer.max_val], -largest, largest)
    return graph.node("Clip", x, *[graph.constant(bound) for bound in bounds])


@register(GELU)
def gelu(layer: GELU, graph: Graph, x: str) -> str:
    """Write y = x Phi(x), or x s(2u): x / (1 + exp(-2u))."""
    if graph.dtype == np.float32:
        return graph.node("Gelu", x, approximate=layer.approximate)
    maths = arithmetic(graph)
    if layer.approximate == "none":
        return maths.mul(x, maths.normal(x))
    cubic = maths.add(maths.mul(maths.mul(x, x), TANH_CUBIC), 1.0)
    return maths.gated(x, maths.mul(maths.mul(x, cubic), 2 * TANH_SCALE))


@register(SiLU)
def silu(_: SiLU, graph: Graph, x: str) -> str:
    """Write y = x / (1 + exp(-x)).

    Not x times Sigmoid: where a runtime's sigmoid of -1e4 is 1e-8 and not 0, as approximations
    are, that would be -1e-4.
    """
    return arithmetic(graph).gated(x, x)


@register(Softplus)
def softplus(layer: Softplus, graph: Graph, x: str) -> str:
    """Write y = max(x, 0) + log(1 + exp(-b |x|)) / b."""
    maths = arithmetic(graph)
    if graph.dtype == np.float32 and layer.beta == 1.0:
        return graph.node("Softplus", x)
    e = maths.exp(maths.mul(graph.node("Abs", x), -layer.beta))
    rest = maths.div(graph.node("Log", maths.add(e, 1.0)), layer.beta)
    return maths.add(graph.node("Relu", x), rest)


@register(Softmax)
def softmax(layer: Softmax, graph: Graph, x: str) -> str:
    """Write y = exp(x) / sum exp(x); the operator, too, subtracts the largest x first."""
    return graph.node("Softmax", x, axis=layer.axis)


@register(LogSoftmax)
def log_softmax(layer: LogSoftmax, graph: Graph, x: str) -> str:
    """Write y = x - log sum exp(x)."""
    return graph.node("LogSoftmax", x, axis=layer.axis)
