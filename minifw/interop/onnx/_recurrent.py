"""How the recurrent layers are written to ONNX.

ONNX orders gates in its own way; a Gather brings the rows of minifw's weights into it, once, when
a runtime loads the graph. ONNX Runtime has LSTM and GRU in float32 alone, so that in float64 the
steps are written out, inside a Scan.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from minifw.interop.onnx._graph import Graph, register
from minifw.interop.onnx._maths import Arithmetic
from minifw.layers.recurrent import GRU, LSTM

LSTM_ORDER = (0, 3, 1, 2)  # ONNX: i, o, f, g; here: i, f, g, o
GRU_ORDER = (1, 0, 2)  # ONNX: z, r, n; here: r, z, n


Step: TypeAlias = Callable[[list[str], str, str, str], list[str]]
"""From the states, W_ih x + b_ih, W_hh' and b_hh to the next states."""


@register(LSTM)
def lstm(layer: LSTM, graph: Graph, x: str) -> str:
    """c1 = f c + i g, h1 = o tanh(c1)."""
    if graph.dtype == np.float32:
        return _operator(layer, graph, x, LSTM_ORDER)

    def step(states: list[str], a: str, weight: str, bias: str) -> list[str]:
        h, c = states
        sums = maths.add(maths.add(a, graph.node("MatMul", h, weight)), bias)
        i, f, g, o = graph.nodes("Split", 4, sums, axis=-1, num_outputs=4)
        kept = maths.mul(graph.node("Sigmoid", f), c)
        c1 = maths.add(kept, maths.mul(graph.node("Sigmoid", i), graph.node("Tanh", g)))
        return [maths.mul(graph.node("Sigmoid", o), graph.node("Tanh", c1)), c1]

    maths = Arithmetic(graph)
    return _loop(layer, graph, x, step, states=2)


@register(GRU)
def gru(layer: GRU, graph: Graph, x: str) -> str:
    """h1 = (1 - z) n + z h."""
    if graph.dtype == np.float32:
        return _operator(layer, graph, x, GRU_ORDER)

    def step(states: list[str], a: str, weight: str, bias: str) -> list[str]:
        (h,) = states
        q = maths.add(graph.node("MatMul", h, weight), bias)
        a_r, a_z, a_n = graph.nodes("Split", 3, a, axis=-1, num_outputs=3)
        q_r, q_z, q_n = graph.nodes("Split", 3, q, axis=-1, num_outputs=3)
        r = graph.node("Sigmoid", maths.add(a_r, q_r))
        z = graph.node("Sigmoid", maths.add(a_z, q_z))
        n = graph.node("Tanh", maths.add(a_n, maths.mul(r, q_n)))
        return [maths.add(maths.mul(maths.sub(h, n), z), n)]

    maths = Arithmetic(graph)
    return _loop(layer, graph, x, step, states=1)


def _loop(layer: LSTM | GRU, graph: Graph, x: str, step: Step, states: int) -> str:
    """Write the steps out; h is the first of the states."""
    weight = graph.node("Transpose", graph.constant(layer.weight_hh_l0), perm=[1, 0])
    bias = graph.constant(layer.bias_hh_l0)

    def one(before: list[str], parts: list[str]) -> tuple[list[str], list[str]]:
        after = step(before, parts[0], weight, bias)
        return after, after[:1]

    start = _zeros(layer, graph, x)
    h, *_, every = graph.loop([start] * states, [_sums_of_x(layer, graph, x)], one)
    return _output(layer, graph, every, h)


def _operator(layer: LSTM | GRU, graph: Graph, x: str, order: tuple[int, ...]) -> str:
    """Write the layer as ONNX's operator of its name."""
    hidden, gates = layer.hidden_size, len(order)
    rows = np.arange(gates * hidden).reshape(gates, hidden)[list(order)].reshape(1, -1)
    weights = [
        graph.node("Gather", graph.constant(weight), graph.whole(rows), axis=0)
        for weight in (layer.weight_ih_l0, layer.weight_hh_l0)  # (1, gates * hidden, ...)
    ]
    biases = [graph.constant(layer.bias_ih_l0), graph.constant(layer.bias_hh_l0)]
    both = graph.whole(np.concatenate([rows, rows + gates * hidden], axis=1))
    bias = graph.node("Gather", graph.node("Concat", *biases, axis=0), both, axis=0)
    name = "LSTM" if isinstance(layer, LSTM) else "GRU"
    form = {} if isinstance(layer, LSTM) else {"linear_before_reset": 1}  # r after the product
    steps = graph.node("Transpose", x, perm=[1, 0, 2])  # (time, batch, in)
    every, last = graph.nodes(name, 2, steps, *weights, bias, hidden_size=hidden, **form)
    if layer.return_sequences:
        every = graph.node("Squeeze", every, graph.whole([1]))  # the axis of directions
    else:
        last = graph.node("Squeeze", last, graph.whole([0]))
    return _output(layer, graph, every, last)


def _output(layer: LSTM | GRU, graph: Graph, every: str, last: str) -> str:
    """Return y from the states after each step, (time, batch, hidden), and the last."""
    return graph.node("Transpose", every, perm=[1, 0, 2]) if layer.return_sequences else last


def _sums_of_x(layer: LSTM | GRU, graph: Graph, x: str) -> str:
    """Return W_ih x + b_ih of all steps, (time, batch, gates * hidden)."""
    steps = graph.node("Transpose", x, perm=[1, 0, 2])
    weight = graph.node("Transpose", graph.constant(layer.weight_ih_l0), perm=[1, 0])
    return Arithmetic(graph).add(
        graph.node("MatMul", steps, weight), graph.constant(layer.bias_ih_l0)
    )


def _zeros(layer: LSTM | GRU, graph: Graph, x: str) -> str:
    """Return the state at the start, (batch, hidden)."""
    batch = graph.node("Shape", x, start=0, end=1)
    shape = graph.node("Concat", batch, graph.whole([layer.hidden_size]), axis=0)
    return graph.node("Expand", graph.constant(0.0), shape)
