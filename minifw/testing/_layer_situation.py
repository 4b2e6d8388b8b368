"""The gradients of a layer: by its own backward, and by differences of its forward."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minifw.core.layer import Layer
from minifw.testing._layer_subject import LayerSubject, hidden_state, put_back
from minifw.testing._numeric import Slopes, along, differences
from minifw.testing._report import Failure
from minifw.typing import Array

__all__ = ["INPUT", "Situation", "analytic", "check_result", "numeric", "numeric_along"]

INPUT = "x"  # the name of the input among those of the parameters


@dataclass(frozen=True)
class Situation:
    """A point at which a layer is differentiated: in which mode, at which x, with which dy."""

    subject: LayerSubject
    training: bool
    x: Array
    dy: Array
    transposed: str | None = None  # a parameter whose value is transposed

    @classmethod
    def of(
        cls, subject: LayerSubject, *, training: bool, batch: int | None = None, draw: int = 0
    ) -> "Situation":
        """Return a random situation."""
        x = subject.input(batch, draw=draw)
        return cls.at(subject, training, x, draw=draw)

    @classmethod
    def at(cls, subject: LayerSubject, training: bool, x: Array, draw: int = 0) -> "Situation":
        """Return a situation at a given x."""
        y = subject.twin(training=training).forward(x.copy())
        return cls(subject, training, x, subject.cotangent(y, draw=draw))

    def layer(self) -> Layer:
        """Return a fresh layer, with the same parameters each time."""
        layer = self.subject.twin(training=self.training)
        if self.transposed is not None:
            parameter = dict(layer.named_parameters())[self.transposed]
            parameter.value = parameter.value.T.copy()
        return layer


def analytic(
    situation: Situation, *, earlier: Array | None = None, fill: float = np.nan
) -> dict[str, Array]:
    """Return what the layer's backward gives, by name; `INPUT` is dL/dx.

    `earlier` goes through another forward before, and gradients are filled with
    `fill`, so that what stays from an earlier call can be seen.
    """
    layer = situation.layer()
    states = hidden_state(layer)
    if earlier is not None:
        layer.forward(earlier)
        put_back(layer, states)
    y = layer.forward(situation.x.copy())
    check_result("forward", y, situation.dy.shape)
    for parameter in layer.parameters():
        parameter.grad = np.full(parameter.shape, fill)
    dx = layer.backward(situation.dy.copy())
    return {INPUT: dx, **{name: p.grad.copy() for name, p in layer.named_parameters()}}


def check_result(method: str, result: object, shape: tuple[int, ...] | None = None) -> None:
    """Raise unless a method returned an array, of `shape` if that is given."""
    if not isinstance(result, np.ndarray):
        raise Failure(f"{method} must return an array, it returned {result!r}")
    if shape is not None and result.shape != shape:
        raise Failure(f"{method} returned the shape {result.shape}, expected {shape}")


def numeric(situation: Situation, name: str) -> Slopes:
    """Return the gradient with respect to the input or a parameter, by differences."""
    forward, array = _function_of(situation, name)
    return differences(forward, array, situation.dy, situation.subject.rng(5))


def numeric_along(situation: Situation, name: str, direction: Array) -> Slopes:
    """Return the slope along a direction of the input or a parameter, by differences."""
    forward, array = _function_of(situation, name)
    return along(forward, array, direction, situation.dy)


def _function_of(situation: Situation, name: str) -> tuple[Callable[[], Array], Array]:
    """Return a function without arguments, and the array that it reads."""
    layer = situation.layer()
    x = situation.x.copy()
    states = hidden_state(layer)

    def forward() -> Array:
        put_back(layer, states)
        return layer.forward(x).copy()

    forward()  # some layers make their parameters now
    return forward, x if name == INPUT else dict(layer.named_parameters())[name].value
