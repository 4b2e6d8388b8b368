"""The layers of a plan, each as its calls of forward and of backward."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from minifw._tools.arrays import ONE, SATURATED, ZERO, ones
from minifw.core.layer import Layer
from minifw.layers import Dense, Dropout, ReLU, Sigmoid, Softmax, Tanh
from minifw.typing import Array

__all__ = ["IN_EVAL", "LAYERS", "Call", "Calls", "Product", "Stage"]

Call: TypeAlias = Callable[[], object]
"""A call of NumPy with its arguments."""

Calls: TypeAlias = Sequence[Call]


class Stage(NamedTuple):
    """One layer of a plan, at an input x that the plan owns."""

    y: Array
    saved: tuple[Array, ...]  # as the layer's own forward saves it
    spare: bool  # whether y may be written over once the next layer has read it
    forward: list[Call]
    backward: Callable[[Array], tuple[list[Call], Array]]  # from dy to the calls, and to dx


def _tanh(_: Layer, x: Array, spare: bool) -> Stage:
    y = x if spare else np.empty_like(x)

    def backward(dy: Array) -> tuple[list[Call], Array]:
        dx = np.empty_like(y)
        return [
            partial(np.multiply, y, y, dx),
            partial(np.multiply, dx, dy, dx),
            partial(np.subtract, dy, dx, dx),
        ], dx

    return Stage(y, (y,), False, [partial(np.tanh, x, y)], backward)


def _relu(_: Layer, x: Array, spare: bool) -> Stage:
    y, zero = x if spare else np.empty_like(x), ZERO[x.dtype]

    def backward(dy: Array) -> tuple[list[Call], Array]:
        dx, above = np.empty_like(y), np.empty_like(y, bool)
        return [partial(np.greater, y, zero, above), partial(np.multiply, dy, above, dx)], dx

    return Stage(y, (y,), False, [partial(np.maximum, x, zero, out=y)], backward)


def _sigmoid(_: Layer, x: Array, spare: bool) -> Stage:  # noqa: ARG001 - one signature for all
    y, e, one = np.empty_like(x), np.empty_like(x), ONE[x.dtype]

    def backward(dy: Array) -> tuple[list[Call], Array]:
        dx = np.empty_like(y)
        return [
            partial(np.subtract, one, y, dx),
            partial(np.multiply, y, dx, dx),
            partial(np.multiply, dy, dx, dx),
        ], dx

    forward: list[Call] = [
        partial(np.minimum, x, SATURATED[x.dtype], out=e),
        partial(np.exp, e, e),
        partial(np.add, e, one, y),
        partial(np.divide, e, y, y),
    ]
    return Stage(y, (y,), False, forward, backward)


def _softmax(_: Layer, x: Array, spare: bool) -> Stage:
    y = x if spare else np.empty_like(x)
    each = np.empty((len(x), 1), x.dtype)  # (batch, 1)

    def below_largest() -> None:
        with np.errstate(over="ignore"):  # as the layer says
            np.subtract(x, each, y)

    def backward(dy: Array) -> tuple[list[Call], Array]:
        dx = np.empty_like(y)
        return [
            partial(np.multiply, dy, y, dx),
            partial(np.add.reduce, dx, -1, None, each, True),
            partial(np.subtract, dy, each, dx),
            partial(np.multiply, dx, y, dx),
        ], dx

    forward: list[Call] = [
        partial(np.maximum.reduce, x, -1, None, each, True),
        below_largest,
        partial(np.exp, y, y),
        partial(np.add.reduce, y, -1, None, each, True),
        partial(np.divide, y, each, y),
    ]
    return Stage(y, (y,), False, forward, backward)


def _nothing(_: Layer, x: Array, spare: bool) -> Stage:
    return Stage(x, (), spare, [], lambda dy: ([], dy))


class Product:
    """A `Dense` in a plan; its arrays lie in memory as those of the layer do, by columns."""

    def __init__(self, layer: Any, batch: int) -> None:
        self.layer, self.batch = layer, batch
        # Views of one's own: who moves the parameters asks whether others hold the arrays.
        self.weight, self.weight_grad = (
            layer.weight.value[...],
            layer.weight.grad[...],
        )  # (out, in)
        bias = layer.bias
        self.bias = None if bias is None else (bias.value[...], bias.grad[...])  # (out,)
        self.columns = np.empty((layer.out_features, batch), self.weight.dtype)
        self.y = self.columns.T  # (batch, out)

    def times(self, x: Array) -> None:
        """Set y = x W'."""
        self.weight.dot(x.T, self.columns)

    def add_bias(self) -> list[Call]:
        if self.bias is None:
            return []
        value = self.bias[0].reshape(self.layer._column)
        return [partial(np.add, self.columns, value, self.columns)]

    def stage(self, x: Array) -> Stage:
        product = partial(self.weight.dot, x.T, self.columns)

        def backward(dy: Array) -> tuple[list[Call], Array]:
            dx = np.empty((self.layer.in_features, self.batch), dy.dtype)  # by columns
            return [
                partial(dy.T.dot, x, self.weight_grad),
                *self.to_bias(dy),
                partial(self.weight.T.dot, dy.T, dx),
            ], dx.T

        return Stage(self.y, (x,), True, [product, *self.add_bias()], backward)

    def to_bias(self, dy: Array) -> list[Call]:
        if self.bias is None:
            return []
        return [partial(dy.T.dot, ones(self.batch, dy.dtype), self.bias[1])]


def _dense(layer: Any, x: Array, spare: bool) -> Stage:  # noqa: ARG001 - as above
    return Product(layer, len(x)).stage(x)


LAYERS: dict[type[Layer], Callable[[Any, Array, bool], Stage]] = {
    Dense: _dense,
    Tanh: _tanh,
    ReLU: _relu,
    Sigmoid: _sigmoid,
}
"""What can be planned in train mode."""

IN_EVAL: dict[type[Layer], Callable[[Any, Array, bool], Stage]] = {
    **LAYERS,
    Dropout: _nothing,
    Softmax: _softmax,
}
"""What can be planned in eval mode, for predictions."""
