"""What could give the gradient of no function: it is right by central differences, or refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minifw import (
    SGD,
    Array,
    BatchNorm,
    BCELoss,
    BCEWithLogitsLoss,
    CategoricalCrossEntropyLoss,
    Concat,
    Dense,
    Layer,
    MSELoss,
    Objective,
    Residual,
    Sequential,
    Sigmoid,
    Softmax,
    Tanh,
)

RIGHT = ""  # in the place of a message
RNG = np.random.default_rng(0)
X, TARGET, OTHER = RNG.standard_normal((3, 5, 3))
LABELS, YES = TARGET.argmax(axis=1), np.round(RNG.random((5, 3)))


class Box(Layer):
    """An author's container, which knows nothing of minifw's."""

    def __init__(self, *layers: Any) -> None:
        self.list = list(layers)

    def forward(self, x: Array) -> Array:
        for layer in self.list:
            x = layer.forward(x)
        return x

    def backward(self, dy: Array) -> Array:
        for layer in reversed(self.list):
            dy = layer.backward(dy)
        return dy


class Repeated(Layer):
    """One layer, several times."""

    def __init__(self, layer: Any, times: int) -> None:
        self.layer, self.times = layer, times

    def forward(self, x: Array) -> Array:
        for _ in range(self.times):
            x = self.layer.forward(x)
        return x

    def backward(self, dy: Array) -> Array:
        for _ in range(self.times):
            dy = self.layer.backward(dy)
        return dy


def dense(seed: int) -> Dense:
    return Dense(3, 3, rng=seed)


def chain() -> Any:
    return Sequential(dense(0), Tanh(), dense(1))


def box() -> Any:
    return Box(dense(0), Tanh(), dense(1))


def tied(first: Any, second: Any) -> None:
    second.weight = first.weight


def prepared(model: Any, loss: Any, target: Any, steps: int, *, replay: bool) -> Objective:
    objective = Objective(model, loss, replay=replay)
    SGD(model.parameters(), lr=0.1)
    for _ in range(steps):
        objective.forward(OTHER, target)
        objective.backward()
    return objective


def step(objective: Objective) -> None:
    objective.forward(X, TARGET)
    objective.backward()


def hold(model: Any, loss: Callable[[], float]) -> None:
    """Hold the gradients against central differences."""
    for parameter in model.parameters():
        value, slopes = parameter.value, np.zeros(parameter.shape)
        for place in np.ndindex(*parameter.shape):
            kept, costs = value[place], []
            for shift in (1e-6, -1e-6):
                value[place] = kept + shift
                costs.append(loss())
            value[place] = kept
            slopes[place] = (costs[0] - costs[1]) / 2e-6
        np.testing.assert_allclose(parameter.grad, slopes, atol=1e-7)


# The model, what is done to it, and what the error says, if it is not right.
SHARED: dict[str, tuple[Callable[[], Any], Callable[[Any], Any], str]] = {
    "nothing": (box, lambda _: None, RIGHT),
    "tied, Sequential": (chain, lambda m: tied(m[0], m[2]), RIGHT),
    "tied, Concat": (
        lambda: Sequential(Concat(dense(0), Tanh(), dense(1)), Dense(9, 3, rng=2)),
        lambda m: tied(m[0].layers[0], m[0].layers[2]),
        RIGHT,
    ),
    "tied, Residual": (
        lambda: Sequential(dense(0), Residual(dense(1))),
        lambda m: tied(m[0], m[1].layer),
        RIGHT,
    ),
    "tied, two Residuals": (
        lambda: Sequential(Residual(dense(0)), Residual(Sequential(dense(1), Tanh()))),
        lambda m: tied(m[0].layer, m[1].layer[0]),
        RIGHT,
    ),
    "tied, an author's": (box, lambda m: tied(m.list[0], m.list[2]), "the same Parameter"),
    "tied, inside an author's": (
        lambda: Sequential(Tanh(), Box(Residual(dense(0)), dense(1))),
        lambda m: tied(m[1].list[0].layer, m[1].list[1]),
        "the same Parameter",
    ),
    "a layer twice, Residual": (
        lambda: Sequential(dense(0), Residual(dense(1))),
        lambda m: setattr(m[1], "layer", m[0]),
        "twice",
    ),
    "a layer twice, an author's": (lambda: Repeated(dense(0), 2), lambda _: None, "second"),
    "a chain twice, an author's": (
        lambda: Sequential(dense(1), Repeated(Sequential(dense(0), Tanh()), 2)),
        lambda _: None,
        "second",
    ),
}


@pytest.mark.parametrize("replay", [True, False])
@pytest.mark.parametrize("steps", [0, 5])
@pytest.mark.parametrize("name", SHARED)
def test_what_is_shared_is_right_or_refused(name: str, steps: int, replay: bool) -> None:
    make, change, message = SHARED[name]
    model = make()
    if "author's" in name and "twice" in name:
        steps = 0  # it is refused at the first
    objective = prepared(model, MSELoss(), TARGET, steps, replay=replay)
    change(model)

    if message != RIGHT:
        with pytest.raises((RuntimeError, ValueError), match=message):
            step(objective)
        return
    step(objective)
    hold(model, lambda: MSELoss().forward(model.forward(X), TARGET))


def test_one_layer_at_two_places_of_a_container_is_refused() -> None:
    model = chain()
    with pytest.raises(ValueError, match="the same Dense"):
        model[2] = model[0]


def test_one_layer_put_at_two_places_of_a_list_is_refused() -> None:
    model = box()
    objective = prepared(model, MSELoss(), TARGET, 3, replay=True)
    model.list[2] = model.list[0]
    with pytest.raises(RuntimeError, match="second layer"):
        step(objective)


def test_one_layer_that_runs_twice_later_is_refused() -> None:
    model = Repeated(dense(0), 1)
    objective = prepared(model, MSELoss(), TARGET, 3, replay=True)
    model.times = 2
    with pytest.raises(RuntimeError, match="second layer"):
        step(objective)


# -- other forwards between forward and backward ---------------------------------------------

BETWEEN: dict[str, tuple[Callable[[Any], Any], str]] = {
    "nothing": (lambda _: None, RIGHT),
    "a prediction": (lambda m: m.predict(OTHER), RIGHT),
    "the model": (lambda m: m.forward(OTHER), "another forward since"),
    "a slice": (lambda m: m[:1].forward(OTHER), "another forward since"),
    "a layer": (lambda m: m[1].forward(m[0].predict(OTHER)), "another forward since"),
    "another model with its layer": (
        lambda m: Sequential(m[0], Tanh()).forward(OTHER),
        "another forward since",
    ),
    "another objective with its layer": (
        lambda m: Objective(Sequential(m[0], Tanh()), MSELoss()).forward(OTHER, m[0].predict(X)),
        "another forward since",
    ),
}


def branched() -> Any:
    branches = Concat(Dense(3, 2, rng=0), Sequential(Dense(3, 4, rng=2), BatchNorm(4)))
    return Sequential(
        branches, Residual(Sequential(Dense(6, 6, rng=1), Tanh())), Dense(6, 3, rng=4)
    )


@pytest.mark.parametrize("steps", [0, 5])
@pytest.mark.parametrize("make", [chain, branched])
@pytest.mark.parametrize("name", BETWEEN)
def test_another_forward_before_backward_is_found_out(name: str, make: Any, steps: int) -> None:
    between, message = BETWEEN[name]
    model = make()
    objective = prepared(model, MSELoss(), TARGET, steps, replay=True)
    objective.forward(X, TARGET)
    between(model)
    if message != RIGHT:
        with pytest.raises(RuntimeError, match=message):
            objective.backward()
        return
    objective.backward()
    hold(model, lambda: MSELoss().forward(model.forward(X), TARGET))


@pytest.mark.parametrize("make", [chain, branched])
@pytest.mark.parametrize("steps", [0, 5])
def test_backward_by_hand_after_an_objective_is_right_or_refused(make: Any, steps: int) -> None:
    model, loss = make(), MSELoss()
    objective = prepared(model, loss, TARGET, steps, replay=True)
    objective.forward(X, TARGET)
    loss.forward(objective.prediction, TARGET)
    model.backward(loss.backward())  # all layers are at X
    hold(model, lambda: MSELoss().forward(model.forward(X), TARGET))
    model.forward(X)
    model[:1].forward(OTHER)
    with pytest.raises(RuntimeError, match="different ones"):
        model.backward(loss.backward())


def test_backward_by_hand_after_a_joint_form_is_refused() -> None:
    model = Sequential(dense(0), Tanh(), dense(1), Sigmoid())
    loss = BCELoss()
    loss.forward(model.forward(OTHER), YES)
    prepared(model, BCELoss(), YES, 5, replay=True).forward(X, YES)
    with pytest.raises(RuntimeError, match="different ones"):
        model.backward(loss.backward())


# -- what is assigned after the objective was built ------------------------------------------


class Half(Sigmoid):
    """Half of a sigmoid."""

    def forward(self, x: Array) -> Array:
        return 0.5 * super().forward(x)

    def backward(self, dy: Array) -> Array:
        return super().backward(0.5 * dy)


def options(_: Any, loss: Any) -> None:
    loss.weight, loss.label_smoothing = [1.0, 2.0, 0.5], 0.3


ASSIGNED: dict[str, tuple[Callable[[], Layer], Any, Any, Callable[[Any, Any], object]]] = {
    "pos_weight": (
        chain,
        BCEWithLogitsLoss,
        YES,
        lambda _, loss: setattr(loss, "pos_weight", 3.0),
    ),
    "options of a joint form": (
        lambda: Sequential(*chain(), Softmax()),
        CategoricalCrossEntropyLoss,
        LABELS,
        options,
    ),
    "a layer": (chain, MSELoss, TARGET, lambda m, _: m.__setitem__(1, Sigmoid())),
    "a layer of a joint form": (
        lambda: Sequential(*chain(), Sigmoid()),
        BCELoss,
        YES,
        lambda m, _: m.__setitem__(0, dense(7)),
    ),
    "the activation of a joint form": (
        lambda: Sequential(*chain(), Sigmoid()),
        BCELoss,
        YES,
        lambda m, _: m.__setitem__(3, Softmax()),
    ),
    "the class of the activation": (
        lambda: Sequential(*chain(), Sigmoid()),
        BCELoss,
        YES,
        lambda m, _: setattr(m[3], "__class__", Half),
    ),
}


@pytest.mark.parametrize("replay", [True, False])
@pytest.mark.parametrize("name", ASSIGNED)
def test_what_is_assigned_after_an_objective_was_built_counts(name: str, replay: bool) -> None:
    make, kind, target, assign = ASSIGNED[name]
    model: Any = make()
    loss = kind()
    objective = prepared(model, loss, target, 5, replay=replay)
    assign(model, loss)
    cost = objective.forward(X, target)
    objective.backward()
    prediction = model.forward(X)
    assert cost == pytest.approx(loss.forward(prediction, target), rel=1e-12)
    np.testing.assert_allclose(objective.prediction, prediction, 1e-13)
    hold(model, lambda: float(loss.forward(model.forward(X), target)))


@pytest.mark.parametrize("name", ["model", "loss"])
def test_model_and_loss_of_an_objective_are_read_only(name: str) -> None:
    with pytest.raises(AttributeError, match=name):
        setattr(Objective(chain(), MSELoss()), name, MSELoss())


def test_an_optimizer_of_a_layer_that_was_exchanged_in_a_list_raises() -> None:
    model = box()
    objective, optimizer = Objective(model, MSELoss()), SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        step(objective)
        optimizer.step()
    model.list[2] = dense(5)
    step(objective)
    with pytest.raises(RuntimeError, match=r"Box\.layers was replaced or removed after SGD was"):
        optimizer.step()
