"""LSTM and GRU as layers."""

from dataclasses import replace

import numpy as np

from minifw import layers
from minifw.core.layer import Layer
from minifw.interop.onnx._reading.constants import is_zero
from minifw.interop.onnx._reading.values import Node, Value, filled, in_dtype, line_of, reader

LSTM_ORDER = (0, 2, 3, 1)  # here: i, f, g, o; ONNX: i, o, f, g
GRU_ORDER = (1, 0, 2)  # here: r, z, n; ONNX: z, r, n


@reader("LSTM", "GRU", order="own")
def recurrent(node: Node) -> list[Value | None]:
    """Read a recurrent layer that starts at 0, in one direction or in both."""
    lstm = node.operator == "LSTM"
    node.expect(layout=0, clip=0.0, input_forget=0, linear_before_reset=1)
    if not lstm and not node.attributes.get("linear_before_reset", 0):
        raise node.refuse(
            "minifw's GRU applies r after the product, linear_before_reset=0 does not"
        )
    usual = ["Sigmoid", "Tanh", "Tanh"] if lstm else ["Sigmoid", "Tanh"]
    given = node.attributes.get("activations", usual)
    if given != usual * (len(given) // len(usual)):
        raise node.refuse(f"minifw has no activations={given}")
    starts = [node.constant(index) for index in (5, 6, 7)]
    if any(start is not None and not is_zero(start) for start in starts) or len(node.values) > 1:
        raise node.refuse("minifw reads a layer that starts at 0")
    if node.constant(4) is not None:
        raise node.refuse("minifw reads no lengths of sequences; a mask is made in the model")
    if node.x.order != (1, 0, 2):
        raise node.refuse("minifw's sequences have the batch first, this file's do not")
    x = replace(node.x, order=None)
    weights = [node.needed(1), node.needed(2)]  # (directions, gates * hidden, ...)
    hidden = weights[1].shape[2]
    bias = node.constant(3)
    if bias is None:
        bias = np.zeros((len(weights[0]), 2 * weights[0].shape[1]), weights[0].dtype)
    gates = LSTM_ORDER if lstm else GRU_ORDER
    rows = np.arange(len(gates) * hidden).reshape(len(gates), hidden)[list(gates)].reshape(-1)
    kind = layers.LSTM if lstm else layers.GRU
    direction = node.attributes.get("direction", "forward")
    ends: list[list[Value]] = []
    for place in range(len(weights[0])):
        turned = place == 1 or direction == "reverse"
        of_x, of_h = np.split(bias[place], 2)
        layer = kind(weights[0].shape[2], hidden, return_state=True, **in_dtype(bias))
        filled(
            layer,
            weight_ih_l0=weights[0][place][rows],
            weight_hh_l0=weights[1][place][rows],
            bias_ih_l0=of_x[rows],
            bias_hh_l0=of_h[rows],
        )
        y = node.add(layer, node.add(layers.Flip(), x) if turned else x)
        states = [
            node.reading.made[f"{line_of(y.line)}.{name}"] for name in layer.output_names[1:]
        ]
        ends.append([node.add(layers.Flip(), y) if turned else y, *states])
    both = [
        one[0] if len(one) == 1 else node.add(layers.Join(), *one)
        for one in zip(*ends, strict=True)
    ]
    count, time = len(ends), (x.shape or (None,))[0] or -1
    every = node.add(layers.Reshape((time, count, hidden)), both[0])
    states = [node.add(layers.Reshape((count, hidden)), state) for state in both[1:]]
    # (time, directions, batch, hidden) in the file, and (directions, batch, hidden)
    return [replace(every, order=(1, 2, 0, 3)), *(replace(s, order=(1, 0, 2)) for s in states)]


def trimmed(layer: Layer, taken: set[str]) -> Layer:
    """Return a recurrent layer that gives y alone, or its last state alone, if that is taken."""
    ends = {value.rpartition(".")[2] for value in taken}
    if not isinstance(layer, layers.LSTM | layers.GRU) or len(ends) > 1:
        return layer
    if ends == {"c"}:
        return layer
    alone = type(layer)(
        layer.input_size,
        layer.hidden_size,
        return_sequences=ends == {"y"},
        dtype=layer.weight_ih_l0.dtype,
    )
    alone.load_state_dict(layer.state_dict())
    return alone
