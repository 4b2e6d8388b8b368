"""A layer at a point: its gradients, by its own backward and by differences of its forward."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from minifw.core.layer import Layer
from minifw.testing._equal import Results, copies
from minifw.testing._numeric import Slopes, along, differences
from minifw.testing._report import Failure
from minifw.testing._state import hidden_state, put_back
from minifw.testing.layers._subject import LayerSubject
from minifw.typing import Array


@dataclass(frozen=True)
class Situation:
    """A point at which a layer is differentiated: its mode, inputs, and a dy for each output."""

    subject: LayerSubject
    training: bool
    inputs: Results
    transposed: str | None = None  # a parameter whose value is transposed

    @classmethod
    def of(
        cls, subject: LayerSubject, *, training: bool, batch: int | None = None, draw: int = 0
    ) -> "Situation":
        """Return a random situation."""
        return cls(subject, training, replace(subject, training=training).inputs(batch, draw=draw))

    @property
    def batch(self) -> int:
        """How many rows there are."""
        return len(next(iter(self.inputs.values())))

    @property
    def dy(self) -> Array:
        """The gradients of all outputs; if there are several, one after the other."""
        return joined([self.inputs[dy] for dy in self.subject.dys])

    def with_dys(self, change: Callable[[str, Array], Array]) -> "Situation":
        """Return it with each dy replaced by what `change` gives for its name and array."""
        changed = {dy: change(dy, self.inputs[dy]) for dy in self.subject.dys}
        return replace(self, inputs={**self.inputs, **changed})

    def layer(self) -> Layer:
        """Return a fresh layer, with the same parameters each time."""
        layer = self.subject.twin(training=self.training)
        if self.transposed is not None:
            parameter = dict(layer.named_parameters())[self.transposed]
            parameter.value = parameter.value.T.copy()
        return layer


def joined(arrays: list[Array]) -> Array:
    """Return a copy of the only array, or all numbers of several in one."""
    return arrays[0].copy() if len(arrays) == 1 else np.concatenate([a.ravel() for a in arrays])


def analytic(
    situation: Situation, *, earlier: Results | None = None, fill: float = np.nan
) -> Results:
    """Return what the layer's backward gives, by name.

    `earlier` goes through another forward before, and gradients are filled with
    `fill`, so that what stays from an earlier call can be seen.
    """
    s, layer, inputs = situation.subject, situation.layer(), copies(situation.inputs)
    states = hidden_state(layer)
    if earlier is not None:
        s.forward(layer, earlier)
        put_back(layer, states)
    ys = s.forward(layer, inputs)
    for dy, name in s.dys.items():
        if ys[name].shape != inputs[dy].shape:
            raise Failure(f"the shape of {name} was {inputs[dy].shape}, and is {ys[name].shape}")
    for parameter in layer.parameters():
        parameter.grad = np.full(parameter.shape, fill)
    return s.backward(layer, inputs)


def numeric(situation: Situation, name: str, direction: Array | None = None) -> Slopes:
    """Return the gradient of an input or a parameter, or the slope along a direction of it.

    By differences.
    """
    forward, array = _function_of(situation, name)
    if direction is not None:
        return along(forward, array, direction, situation.dy)
    return differences(forward, array, situation.dy, situation.subject.rng(5))


def _function_of(situation: Situation, name: str) -> tuple[Callable[[], Array], Array]:
    """Return a function without arguments, and the array that it reads."""
    s, layer, inputs = situation.subject, situation.layer(), copies(situation.inputs)
    states = hidden_state(layer)

    def forward() -> Array:
        put_back(layer, states)
        return joined([*s.forward(layer, inputs).values()])

    forward()  # some layers make their parameters now
    if name in s.dxs:
        return forward, inputs[s.dxs[name]]
    return forward, dict(layer.named_parameters())[name.removeprefix("d")].value
