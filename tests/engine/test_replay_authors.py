"""Layers and losses that declare `replayable` and break the promise: the text's numbers, still.

The same batch comes until a recording would be in use; only then others come.
"""

import copy
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest

from minifw import (
    SGD,
    Array,
    Dense,
    Layer,
    LeakyReLU,
    Loss,
    MSELoss,
    Objective,
    Parameter,
    Sequential,
    Tanh,
)
from minifw._engine.recorder import Recorded


class Wrong(Layer):
    """Does in `forward` what a row of the table says."""

    replayable: ClassVar[bool] = True

    def __init__(self, name: str) -> None:
        self.name, self.weight, self.limit = name, Parameter(np.ones(3)), 0.5
        self.table = np.array([1.0, 2.0, 3.0])

    def forward(self, x: Array) -> Array:
        self.save(x)
        y: Array = BODIES[self.name](self, x)
        return y

    def backward(self, dy: Array) -> Array:
        self.saved()
        return dy * 0.5


def filled(x: Array) -> Array:
    y = np.empty(x.shape)
    y[...] = x
    return y


def with_out(x: Array) -> Array:
    y = np.empty(x.shape)
    np.multiply(x, 2, out=y)
    return y


def scalar_in_place(x: Array) -> Any:
    lack = before = np.maximum(x.max() - 6, 0)
    lack += np.maximum(x.max() - 7, 0)  # another scalar: `before` stays
    return x * lack + before


def masked(x: Array) -> Array:
    y = x * 1
    y[x > 0] = 2 * x[x > 0]
    return y


def flat_written(x: Array) -> Array:
    y = x * 2
    y.flat[0] = 7
    return y


def in_place(x: Array) -> Array:
    x *= 0.5
    return x + 1


def assigned(self: Any, x: Array) -> Any:
    self.limit = float(len(x))
    return x * self.limit


def option_filled(self: Any, x: Array) -> Any:
    self.table[...] = x.sum(axis=0)
    return x + self.table


def weight_shrunk(self: Any, x: Array) -> Any:
    self.weight.value[...] = self.weight.value * 0.9
    return x * self.weight.value


def drawn_elsewhere(x: Array) -> Array:
    mask = np.empty_like(x)
    np.random.default_rng(3).random(out=mask)
    return x * mask


def kept_in_a_list(self: Any, x: Array) -> Array:
    self._saved_list = [x * 2]
    return x * 3


BODIES: dict[str, Callable[[Any, Array], Any]] = {
    "an empty array that is filled": lambda _, x: filled(x),
    "an empty array as out": lambda _, x: with_out(x),
    "float of the largest": lambda _, x: x * float(x.max()),
    "item": lambda _, x: x * x.max().item(),
    "tolist": lambda _, x: x * max(x.ravel().tolist()),
    "largest of np.asarray": lambda _, x: x * np.asarray(x).max(),
    "first of np.asarray": lambda _, x: x * np.asarray(x)[0, 0],
    "smallest of a view": lambda _, x: x * x.view(np.ndarray).min(),
    "a copy": lambda _, x: x * np.array(x).max(),
    "an array of values": lambda _, x: x * np.array([*x[0, :2], x[-1, 0]]),
    "sum of an array of values": lambda _, x: x * np.array([x[0, 0], x[-1, 0]]).sum(),
    "flat, read": lambda _, x: x * x.flat[0],
    "flat, written": lambda _, x: flat_written(x),
    "nditer": lambda _, x: x * sum(map(float, np.nditer(x))),  # type: ignore[arg-type]
    "memoryview": lambda _, x: x * np.asarray(memoryview(x)).max(),  # type: ignore[arg-type]
    "bytes": lambda _, x: x + np.frombuffer(bytes(x)).reshape(x.shape),
    "dot of another array": lambda _, x: x * np.ones(3).dot(x[0]),
    "take of another array": lambda _, x: x * np.take(np.arange(99.0), np.argmax(x, axis=None)),
    "an item of another array": lambda _, x: x * np.arange(99.0)[np.argmax(x, axis=None)],
    "boolean mask": lambda _, x: masked(x),
    "nonzero": lambda _, x: x + len(np.nonzero(x > 0)[0]),
    "in place": lambda _, x: in_place(x),
    "an attribute": assigned,
    "an array option, filled": option_filled,
    "an array option, read": lambda self, x: x * np.asarray(self.table)[0],
    "a weight, read": lambda self, x: x * np.asarray(self.weight.value).max(),
    "a weight, written": weight_shrunk,
    "a generator of the moment": lambda _, x: drawn_elsewhere(x),
    "a list, saved": kept_in_a_list,
    "a length that depends on values": lambda _, x: x * len(np.unique(np.round(x, 0))),
    "as many as there are": lambda _, x: x + np.compress(x[0] > 5, x, axis=1).sum(),
    "a scalar in place": lambda _, x: scalar_in_place(x),
    "a power of a mean": lambda _, x: x / np.mean(x**2) ** 0.5,
}


def same_numbers(
    model: Any, loss: Any, rows: int, change: Callable[[Any, Any], object] | None = None
) -> Objective:
    """Hold an objective against one without replay; return it."""
    rng = np.random.default_rng(rows)
    same, *others = [scale * rng.standard_normal((2, rows, 3)) for scale in (1, 9, 9, 1)]
    same[0, 0, :2] = 4, -4  # largest and smallest in the first row, which every sample has
    objectives = []
    for replay in (True, False):
        twins = copy.deepcopy((model, loss))
        objectives.append(Objective(*twins, replay=replay))
    optimizers = [SGD(one.model.parameters(), lr=0.1) for one in objectives]
    for step, batch in enumerate([same] * 6 + others):
        seen = []
        for objective, optimizer in zip(objectives, optimizers, strict=True):
            x, target = batch.copy()
            if step == 6 and change is not None:
                change(objective.model, objective.loss)
            seen.append([objective.forward(x, target), objective.prediction, x])
            objective.backward()
            if step >= 6:  # as if the first ones were for evaluation
                optimizer.step()
            for p in objective.model.parameters():
                seen[-1] += [p.value, p.grad.copy()]
        assert all(map(np.array_equal, *seen)), step
    for part in objectives[0]._step.parts:
        held = [v for value in vars(part).values() for v in (value, *listed(value))]
        assert not any(isinstance(one, Recorded) for one in held)
    return objectives[0]


def listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


@pytest.mark.parametrize("name", BODIES)
def test_wrong_layers_give_the_numbers_of_their_text(name: str) -> None:
    def change(model: Any, _: Any) -> None:
        model[0].weight.value *= 2
        model[0].table[0] = 5

    for rows in (1, 2, 8):
        same_numbers(Sequential(Wrong(name), Dense(3, 3, rng=0), Tanh()), MSELoss(), rows, change)


# -- what is changed in place, or inside of something ----------------------------------------


class Held(Tanh):
    """Reads something that can change without an assignment to the layer."""

    replayable: ClassVar[bool] = True
    listed: ClassVar[Any] = [1.0, 2.0]
    table: ClassVar[Any] = np.array([1.0, 2.0])

    def __init__(self, what: str) -> None:
        self.own: Any
        self.what, self.own, self.pair = what, [1.0, 2.0], (np.array([1.0]), 2)

    def forward(self, x: Array) -> Array:
        held: Any = getattr(self, self.what)
        y: Array = x * (held[0][0] if self.what == "pair" else held[0])
        return super().forward(y)


class HeldFixed(Held):
    """Has no list of its own, which is seen."""

    replayable: ClassVar[bool] = True

    def __init__(self, what: str) -> None:
        self.what, self.own, self.pair = what, (), (np.array([1.0]), 2)


@pytest.mark.parametrize("what", ["own", "pair", "listed", "table"])
def test_what_changes_in_place_is_followed(what: str) -> None:
    def change(model: Any, _: Any) -> None:
        held: Any = getattr(model[1], what)
        (held[0] if what == "pair" else held)[0] = 3.0

    kind = Held if what == "own" else HeldFixed
    same_numbers(Sequential(Dense(3, 3, rng=0), kind(what)), MSELoss(), 8, change)
    Held.listed[0] = Held.table[0] = 1.0


class Squares(Loss):
    """The squared error times a factor."""

    replayable: ClassVar[bool] = True

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def forward(self, prediction: Array, target: Array) -> float:
        error = prediction - target
        self.save(error)
        mean: Any = np.mean(error * error)
        return mean * self.factor  # type: ignore[no-any-return]

    def backward(self) -> Array:
        (error,) = self.saved()
        dp: Array = error * (2 * self.factor / error.size)
        return dp


class Summed(Loss):
    """The sum of two losses."""

    replayable: ClassVar[bool] = True

    def __init__(self, *losses: Loss) -> None:
        self.losses = losses

    def forward(self, prediction: Array, target: Array) -> float:
        return sum(loss.forward(prediction, target) for loss in self.losses)

    def backward(self) -> Any:
        return self.losses[0].backward() + self.losses[1].backward()


class Around(Summed):
    """Another loss, in an attribute."""

    replayable: ClassVar[bool] = True

    def __init__(self, loss: Loss) -> None:
        self.inner, self.losses = loss, (Squares(0.0), loss)


class Seen(Squares):
    """What a layer makes of the prediction, squared."""

    replayable: ClassVar[bool] = True

    def __init__(self) -> None:
        self.layer, self.factor = LeakyReLU(), 1.0

    def forward(self, prediction: Array, target: Array) -> float:
        return super().forward(self.layer.forward(prediction), target)

    def backward(self) -> Array:
        return self.layer.backward(super().backward())


class Bounded(MSELoss):
    """No more than 1000."""

    replayable: ClassVar[bool] = True

    def finite(self, value: Any) -> float:
        return min(super().finite(value), 1e3)


CHANGES: dict[str, tuple[Loss, Callable[[Any, Any], object]]] = {
    "a loss in a tuple": (
        Summed(Squares(1.0), Squares(2.0)),
        lambda _, loss: setattr(loss.losses[1], "factor", 3.0),
    ),
    "a layer in a loss": (Seen(), lambda _, loss: setattr(loss.layer, "negative_slope", 0.5)),
    "finite": (Bounded(), lambda model, _: setattr(model[0].bias, "value", np.full(3, 90.0))),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_inside_a_loss_is_followed(name: str) -> None:
    loss, change = CHANGES[name]
    same_numbers(Sequential(Dense(3, 3, rng=0), Tanh()), loss, 8, change)


def test_a_loss_inside_saves_what_its_forward_would() -> None:
    class Outer(Squares):
        replayable: ClassVar[bool] = True

        def __init__(self) -> None:
            self.inner, self.factor = Squares(1.0), 1.0

        def forward(self, prediction: Array, target: Array) -> float:
            return self.inner.forward(prediction, target)

        def backward(self) -> Array:
            return self.inner.backward()

    objective: Any = same_numbers(Sequential(Dense(3, 3, rng=0)), Outer(), 8)
    x, target = np.random.default_rng(9).standard_normal((2, 8, 3))
    objective.forward(x, target)
    expected = 2 * (objective.prediction - target) / target.size
    np.testing.assert_allclose(objective.loss.inner.backward(), expected, 1e-14)


BETWEEN: dict[str, Callable[[Any], object]] = {
    "an option": lambda model: setattr(model[1], "negative_slope", 0.5),
    "a new optimizer": lambda model: SGD(model.parameters()[::-1], lr=0.1),
    "a method": lambda model: setattr(model[1], "backward", lambda dy: dy * 3),
    "a parameter": lambda model: setattr(model[2], "weight", Parameter(np.ones((3, 4)))),
    "a value": lambda model: setattr(model[2].weight, "value", np.ones((3, 4))),
    "a mode": lambda model: model.eval(),
    "a prediction": lambda model: model.predict(np.ones((2, 3))),
}


@pytest.mark.parametrize("name", BETWEEN)
def test_what_happens_between_forward_and_backward_is_followed(name: str) -> None:
    x, target = np.random.default_rng(0).standard_normal((2, 8, 3))
    grads = []
    for replay in (True, False):
        model = Sequential(Dense(3, 4, rng=0), LeakyReLU(), Dense(4, 3, rng=1))
        objective = Objective(model, MSELoss(), replay=replay)
        SGD(model.parameters(), lr=0.1)
        for _ in range(5):
            objective.forward(x, target)
            objective.backward()
        objective.forward(2 * x, target)
        BETWEEN[name](model)
        objective.backward()
        grads.append(np.concatenate([p.grad.ravel() for p in model.parameters()]))
    assert np.array_equal(grads[0], grads[1])


# -- what NumPy is told of errors ------------------------------------------------------------


class Casts(Tanh):
    """Goes through float32, where small numbers underflow; and over the top, silenced."""

    replayable: ClassVar[bool] = True

    def forward(self, x: Array) -> Array:
        with np.errstate(over="ignore"):
            top = np.minimum(np.exp(1e4 * np.abs(x)), 1.0)
        return super().forward(top + (x**2).astype(np.float32).astype(np.float64))


@pytest.mark.parametrize("before", ["warn", "ignore"])
def test_what_numpy_is_told_of_errors_is_followed(before: Any) -> None:
    def change(model: Any, _: Any) -> None:
        model[0].weight.value[0] *= 1e-25
        np.seterr(all="raise")

    with np.errstate(over=before):
        same_numbers(Sequential(Dense(3, 3, bias=False, rng=0), Casts()), MSELoss(), 8, change)
