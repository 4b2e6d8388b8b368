"""How the recurrent layers are written to ONNX.

ONNX orders gates in its own way; a Gather brings the rows of minifw's weights into it, once, when
a runtime loads the graph. ONNX Runtime has LSTM and GRU in float32 alone, so in float64 the
steps are written out, inside a Scan.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from minifw.interop.onnx._graph import Graph, register
from minifw.layers.recurrent import GRU, LSTM

FORMS: tuple[tuple[str, tuple[int, ...], dict[str, int]], ...] = (
    ("GRU", (1, 0, 2), {"linear_before_reset": 1}),  # ONNX: z, r, n; here: r, z, n
    ("LSTM", (0, 3, 1, 2), {}),  # ONNX: i, o, f, g; here: i, f, g, o
)
"""Operators, the order of their gates, and that r is after the product."""

Step: TypeAlias = Callable[[list[str], str, str, str], list[str]]
"""From the states, W_ih x + b_ih, W_hh' and b_hh to the next states."""


@register(LSTM)
def lstm(layer: LSTM, graph: Graph, x: str, *given: str | None) -> str | tuple[str, ...]:
    """c1 = f c + i g, h1 = o tanh(c1)."""

    def step(states: list[str], a: str, weight: str, bias: str) -> list[str]:
        h, c = states
        sums = graph.add(graph.add(a, graph.node("MatMul", h, weight)), bias)
        i, f, g, o = graph.split(sums, 4, -1)
        kept = graph.mul(graph.node("Sigmoid", f), c)
        c1 = graph.add(kept, graph.mul(graph.node("Sigmoid", i), graph.node("Tanh", g)))
        return [graph.mul(graph.node("Sigmoid", o), graph.node("Tanh", c1)), c1]

    return _recurrence(layer, graph, x, given, step)


@register(GRU)
def gru(layer: GRU, graph: Graph, x: str, *given: str | None) -> str | tuple[str, ...]:
    """h1 = (1 - z) n + z h."""

    def step(states: list[str], a: str, weight: str, bias: str) -> list[str]:
        (h,) = states
        q = graph.add(graph.node("MatMul", h, weight), bias)
        a_r, a_z, a_n = graph.split(a, 3, -1)
        q_r, q_z, q_n = graph.split(q, 3, -1)
        r = graph.node("Sigmoid", graph.add(a_r, q_r))
        z = graph.node("Sigmoid", graph.add(a_z, q_z))
        n = graph.node("Tanh", graph.add(a_n, graph.mul(r, q_n)))
        return [graph.add(graph.mul(graph.sub(h, n), z), n)]

    return _recurrence(layer, graph, x, given, step)


def _recurrence(
    layer: LSTM | GRU, graph: Graph, x: str, given: tuple[str | None, ...], step: Step
) -> str | tuple[str, ...]:
    """Write h after each step or after the last, and the last states if the layer has them."""
    mask, *starts = (*given, None, None, None)[: 1 + len(layer._states)]
    steps = graph.transpose(x, 1, 0, 2)  # (time, batch, in)
    if graph.dtype == np.float32 and mask is None:
        every, last = _operator(layer, graph, steps, starts)
    else:
        start = [h or _zeros(layer, graph, x) for h in starts]
        *last, every = _loop(layer, graph, [steps, *given[:1]], step, start)
    y = graph.transpose(every, 1, 0, 2) if layer.return_sequences else last[0]
    return (y, *last) if layer.return_state else y


def _loop(
    layer: LSTM | GRU, graph: Graph, given: list[str | None], step: Step, start: list[str]
) -> list[str]:
    """Write the steps of (x, mask) out; return the last states, h first, and h of all steps."""
    weight = graph.transpose(graph.constant(layer.weight_hh_l0), 1, 0)
    bias = graph.constant(layer.bias_hh_l0)
    of_x = graph.some(layer.weight_ih_l0, layer.bias_ih_l0)
    read = [graph.linear(str(given[0]), *of_x)]  # of all steps, (time, batch, gates hidden)
    for mask in filter(None, given[1:]):
        counts = graph.transpose(graph.counted(mask), 1, 0)  # (time, batch)
        read += [graph.node("Unsqueeze", counts, graph.whole([2]))]

    def one(before: list[str], parts: list[str]) -> tuple[list[str], list[str]]:
        after = step(before, parts[0], weight, bias)
        for counts in parts[1:]:  # a step that does not count leaves the states as they are
            pairs = zip(after, before, strict=True)
            after = [graph.where_positive(counts, new, old) for new, old in pairs]
        return after, after[:1]

    return graph.loop(start, read, one)


def _operator(
    layer: LSTM | GRU, graph: Graph, steps: str, starts: list[str | None]
) -> tuple[str, list[str]]:
    """Write ONNX's operator of the layer's name; return h of all steps and the last states."""
    name, order, form = FORMS[isinstance(layer, LSTM)]
    hidden, gates = layer.hidden_size, len(order)
    rows = np.arange(gates * hidden).reshape(gates, hidden)[list(order)].reshape(1, -1)
    weights = [
        graph.node("Gather", weight, graph.whole(rows), axis=0)  # (1, gates * hidden, ...)
        for weight in graph.some(layer.weight_ih_l0, layer.weight_hh_l0)
    ]
    biases = graph.some(layer.bias_ih_l0, layer.bias_hh_l0)
    both = graph.whole(np.concatenate([rows, rows + gates * hidden], axis=1))
    bias = graph.node("Gather", graph.node("Concat", *biases, axis=0), both, axis=0)
    ways = graph.whole([0])  # the axis of directions in a state
    states = [h and graph.node("Unsqueeze", h, ways) for h in starts]
    given = ["", *[h or "" for h in states]] if any(states) else []
    every, *last = graph.nodes(
        name, 1 + len(starts), steps, *weights, bias, *given, hidden_size=hidden, **form
    )
    if layer.return_sequences:
        every = graph.node("Squeeze", every, graph.whole([1]))
    read = len(last) if layer.return_state else 1 - layer.return_sequences
    return every, [graph.node("Squeeze", h, ways) for h in last[:read]]


def _zeros(layer: LSTM | GRU, graph: Graph, x: str) -> str:
    """Return the state at the start, (batch, hidden)."""
    batch = graph.node("Shape", x, start=0, end=1)
    shape = graph.node("Concat", batch, graph.whole([layer.hidden_size]), axis=0)
    return graph.node("Expand", graph.constant(0.0), shape)
