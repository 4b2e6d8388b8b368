"""The layers of a plan, each as its calls of forward and of backward."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from minifw._core.arrays import ONE, ones
from minifw._core.layer import Layer
from minifw._core.typing import Array
from minifw.layers import Dense, ReLU, Sigmoid, Tanh

__all__ = ["LAYERS", "Call", "Calls", "Product", "Stage"]

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
    y, zero = x if spare else np.empty_like(x), np.zeros((), x.dtype)

    def backward(dy: Array) -> tuple[list[Call], Array]:
        dx, above = np.empty_like(y), np.empty_like(y, bool)
        return [partial(np.greater, y, zero, above), partial(np.multiply, dy, above, dx)], dx

    return Stage(y, (y,), False, [partial(np.maximum, x, zero, out=y)], backward)


def _sigmoid(_: Layer, x: Array, spare: bool) -> Stage:  # noqa: ARG001 - one signature for all
    e, d, right = np.empty_like(x), np.empty_like(x), np.empty_like(x, bool)
    y, one = np.empty_like(x), ONE[x.dtype]
    zero = np.zeros((), x.dtype)

    def backward(dy: Array) -> tuple[list[Call], Array]:
        dx = np.empty_like(y)
        return [
            partial(np.subtract, one, y, dx),
            partial(np.multiply, y, dx, dx),
            partial(np.multiply, dy, dx, dx),
        ], dx

    forward: list[Call] = [
        partial(np.absolute, x, e),
        partial(np.negative, e, e),
        partial(np.exp, e, e),
        partial(np.greater_equal, x, zero, right),
        partial(np.add, e, one, d),
        partial(np.copyto, e, one, where=right),
        partial(np.divide, e, d, y),
    ]
    return Stage(y, (y,), False, forward, backward)


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
