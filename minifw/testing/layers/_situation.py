"""A layer at a point: its gradients, by its own backward and by differences of its forward."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from minifw._engine.listening import listening
from minifw.core.layer import Layer
from minifw.testing._equal import Results, copies
from minifw.testing._numeric import MAX_OF_ALL, Jacobian, Slopes, along, usual, wrong_slope
from minifw.testing._report import Failure, NotApplicable, declared
from minifw.testing._state import undoing
from minifw.testing._uses import Runs
from minifw.testing.layers._subject import LayerSubject
from minifw.typing import Array

MOST = 3000  # numbers of y, whose square the Jacobian has


@dataclass(frozen=True)
class Situation:
    """A point at which a layer is differentiated: its mode, inputs, and a dy for each output."""

    subject: LayerSubject
    training: bool
    inputs: Results
    altered: tuple[str, Callable[[Array], Array]] | None = None  # a parameter's value
    _kept: dict[str, Jacobian] = field(default_factory=dict)

    @classmethod
    def of(
        cls, subject: LayerSubject, *, training: bool, batch: int | None = None, draw: int = 0
    ) -> "Situation":
        """Return a random situation."""
        return cls(subject, training, subject.in_mode(training).inputs(batch, draw=draw))

    @classmethod
    def where(cls, subject: LayerSubject, xs: Results, *, training: bool) -> "Situation":
        """Return the layer at these inputs."""
        return cls(subject, training, subject.in_mode(training).answered(xs))

    @property
    def batch(self) -> int:
        """How many rows there are."""
        return len(next(iter(self.inputs.values())))

    @property
    def xs(self) -> Results:
        """The inputs, without the gradients of the outputs."""
        return {name: self.inputs[name] for name in self.subject.names if name in self.inputs}

    @property
    def dy(self) -> Array:
        """The gradients of all outputs; if there are several, one after the other."""
        return joined([self.inputs[dy] for dy in self.subject.dys])

    def at(self, **changes: Any) -> "Situation":
        """Return it with something else in place of what it has."""
        return replace(self, **changes, _kept={})

    def with_dys(self, change: Callable[[str, Array], Array]) -> "Situation":
        """Return it with each dy replaced by what `change` gives for its name and array."""
        changed = {dy: change(dy, self.inputs[dy]) for dy in self.subject.dys}
        return replace(self, inputs={**self.inputs, **changed})

    def layer(self) -> Layer:
        """Return a fresh layer, with the same parameters each time."""
        layer = self.subject.twin(training=self.training)
        if self.altered is not None:
            name, change = self.altered
            parameter = dict(layer.named_parameters())[name]
            parameter.value = change(parameter.value)
        return layer

    @property
    def every(self) -> float:
        """Of how many of the usual numbers, where parameters are few, one is asked."""
        return max(1.0, sum(map(usual, self.subject.sizes)) / MAX_OF_ALL)

    def jacobian(self, name: str) -> Jacobian:
        """Return the derivatives of all outputs by an input or a parameter; they are kept."""
        if name not in self._kept:
            forward, arrays = function_of(self)
            self._kept[name] = Jacobian(forward, arrays[name], self.subject.rng(5), self.every)
        return self._kept[name]


def joined(arrays: list[Array]) -> Array:
    """Return a copy of the only array, or all numbers of several in one."""
    return arrays[0].copy() if len(arrays) == 1 else np.concatenate([a.ravel() for a in arrays])


def arrays_of(s: LayerSubject, layer: Layer, inputs: Results) -> Results:
    """Return the inputs and the values of the parameters, by the names of their gradients."""
    values = {f"d{name}": p.value for name, p in layer.named_parameters()}
    return {**{dx: inputs[s.dxs[dx]] for dx in s.real}, **values}


def analytic(
    situation: Situation, *, earlier: Results | None = None, fill: float = np.nan
) -> Results:
    """Return what the layer's backward gives, by name.

    `earlier` goes through another forward before, and gradients are filled with
    `fill`, so what stays from an earlier call can be seen.
    """
    s, layer, inputs = situation.subject, situation.layer(), copies(situation.inputs)
    if earlier is not None:
        undo = undoing(layer)
        s.forward(layer, earlier)
        undo()
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
    if direction is not None:
        forward, arrays = function_of(situation)
        return along(forward, arrays[name], direction, situation.dy)
    return situation.jacobian(name).slopes(situation.dy)


def wrong_along(
    situation: Situation, name: str, found: Array, direction: Array
) -> tuple[float, float] | None:
    """Return what a gradient gives along a direction, and the true slope, if they differ."""
    given = float(np.sum(found * direction))
    true = wrong_slope(lambda reach: numeric(situation, name, reach * direction), given)
    return None if true is None else (given, true)


def function_of(
    situation: Situation, runs: Runs | None = None
) -> tuple[Callable[[], Array], Results]:
    """Return a function without arguments, and the arrays that it reads: see `arrays_of`.

    If there are `runs`, the layer computes with arrays that they watch.
    """
    s, layer, inputs = situation.subject, situation.layer(), copies(situation.inputs)
    undo, stand_in, seen = undoing(layer), _stand_ins(layer), inputs
    with stand_in():  # at the point itself: later calls may begin beside it
        s.forward(layer, copies(inputs))  # some layers make their parameters now
    arrays = arrays_of(s, layer, inputs)
    if runs:
        for _, parameter in layer.named_parameters():
            object.__setattr__(parameter, "value", runs.watch(parameter.value))
        seen = {n: runs.watch(x) if x.dtype.kind == "f" else x for n, x in inputs.items()}
    inside = [(name, one) for name, one in layer.named_layers() if runs]
    around: Any = runs and runs.inside

    def forward() -> Array:
        undo()
        with stand_in(), listening(inside, ("forward",), around):
            return joined([np.asarray(y) for y in s.forward(layer, seen).values()])

    return forward, arrays


def _stand_ins(layer: Layer) -> Callable[[], Any]:
    """Return a context in which a layer inside that declares dx has the derivative it declares.

    There it gives y + J (x - x0), where x0 and y belong to the first forward, and backward of the
    layer gives dx = J' dy.
    """
    inside = [(name, one) for name, one in layer.named_layers() if "dx" in declared(one)]
    first: dict[tuple[str, int], tuple[Array, Array]] = {}

    @contextmanager
    def stand_in() -> Iterator[None]:
        uses = dict.fromkeys((name for name, _ in inside), 0)

        def linear(name: str, one: Layer, _: str, call: Callable[..., Any], x: Array) -> Array:
            key = name, uses[name]
            uses[name] += 1
            if key not in first:
                y = call(x)
                if y.size > MOST:
                    many = f"{one!r}, whose dx is declared, gives {y.size:,} numbers"
                    raise NotApplicable(f"{many}, too many for its Jacobian: take a smaller x")
                dys = np.eye(y.size).reshape(y.size, *y.shape)
                dxs: list[Any] = [one.backward(dy) for dy in dys]
                first[key] = x.copy(), np.array([dx.ravel() for dx in dxs])
            x0, jacobian = first[key]
            y = np.asarray(call(x0))
            return np.asarray(y + (jacobian @ (x - x0).ravel()).reshape(y.shape))

        with listening(inside, ("forward",), linear):
            yield

    return stand_in if inside else nullcontext
