"""The author's kit on objectives: right ones pass, wrong ones are explained."""

import copy
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
from right_several import SEVERAL

from minifw import (
    L1,
    L2,
    Array,
    BCELoss,
    BCEWithLogitsLoss,
    Dense,
    Embedding,
    Flatten,
    GradientReversal,
    Graph,
    Loss,
    MeanLoss,
    MSELoss,
    Objective,
    Parameter,
    Penalty,
    Sequential,
    Sigmoid,
    SumLoss,
    Tanh,
)
from minifw.testing import CheckError, check_layer, check_objective

pytestmark = pytest.mark.slow

SEEDS = 10


def network() -> Sequential:
    return Sequential(Dense(2, 3, rng=0), Tanh(), Dense(3, 1, rng=1), Sigmoid())


X = np.random.default_rng(0).standard_normal((6, 2))
Y = (X[:, :1] > 0).astype(np.float64)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Objective(network(), BCELoss()),
        lambda: Objective(network()[:3], BCEWithLogitsLoss()),
    ],
    ids=["joined", "logits"],
)
def test_a_right_objective_passes(make: Callable[[], Objective]) -> None:
    for seed in range(SEEDS):
        assert check_objective(make(), X, Y, seed=seed).passed


class DoubledTanh(Tanh):
    """A wrong layer inside."""

    def backward(self, dy: Array) -> Array:
        return 2 * super().backward(dy)


class Joint(BCEWithLogitsLoss):
    """The gradient lacks the mean."""

    def backward(self) -> Array:
        dz = super().backward()
        return dz * dz.size


class HalfOf(MSELoss):
    def backward(self) -> Array:
        return super().backward() / 2


class WrongPair(BCELoss):
    """Declares a joint form that is not that of the two apart."""

    joins: ClassVar[Any] = {Sigmoid: lambda _loss, _sigmoid: Joint()}


@pytest.mark.parametrize(
    ("model", "loss", "says"),
    [
        (
            Sequential(Dense(2, 3, rng=0), DoubledTanh(), Dense(3, 1, rng=1), Sigmoid()),
            BCELoss(),
            "layer 1, DoubledTanh(): dx: it is 2 times too large",
        ),
        (network(), WrongPair(), "the joint form against activation and loss in turn, dL/dx"),
        (network(), HalfOf(), "its loss, HalfOf(), is wrong: gradient: it is 2 times too small"),
    ],
    ids=["a wrong layer", "a wrong pair", "a wrong loss"],
)
def test_a_wrong_objective_is_caught(model: Sequential, loss: Loss, says: str) -> None:
    with pytest.raises(CheckError) as caught:
        check_objective(Objective(model, loss), X, Y)
    assert says in caught.value.report.failures[0].message


def test_an_objective_of_several_inputs_and_outputs_with_penalties_passes() -> None:
    model, loss = SEVERAL["Graph, two outputs"][0], SumLoss(MSELoss(), MeanLoss())
    x = np.random.default_rng(0).standard_normal((6, 3))
    penalties = [L2(model, 0.1), L1(model, 0.2, biases=True)]
    assert check_objective(Objective(model, loss, penalties=penalties), x, (x,)).passed
    siamese, pair = SEVERAL["Graph, one layer twice"]
    frozen = copy.deepcopy(siamese)
    frozen.named_layers()[0][1].freeze()
    for one in (siamese, frozen):
        assert check_objective(Objective(one, MSELoss()), pair, np.ones((6, 1))).passed


def test_a_right_objective_with_a_reversed_gradient_passes() -> None:
    """The loss is curved, so that what stands for the layer must hold at the point itself."""
    body = Sequential(Dense(4, 8, rng=0), Tanh(), Dense(8, 8, rng=1), Tanh())
    heads = {"a": (Dense(8, 1, rng=2), "body"), "back": (GradientReversal(0.25), "body")}
    model = Graph("x", body=(body, "x"), **heads, b=Dense(8, 1, rng=3), outputs=("a", "b"))
    rng = np.random.default_rng(0)
    x, targets = rng.standard_normal((12, 4)), rng.integers(0, 2, (2, 12, 1)).astype(float)
    loss = SumLoss(BCEWithLogitsLoss(), BCEWithLogitsLoss())
    assert check_objective(Objective(model, loss), x, tuple(targets)).passed
    curved = Sequential(body, GradientReversal(0.25), Dense(8, 4, rng=4), Tanh())
    assert check_layer(curved, x).passed


def test_an_objective_of_whole_numbers_has_no_input_gradient() -> None:
    model = Sequential(Embedding(4, 2, rng=0), Flatten(), Dense(6, 1, rng=1))
    words = np.random.default_rng(0).integers(0, 4, (6, 3))
    report = check_objective(Objective(model, MSELoss()), words, np.ones((6, 1)))
    asked = {v.name: v.outcome for v in report.verdicts}
    assert asked["the input gradient is the derivative of the loss"] == "skipped"


class SumToOne(Penalty):
    """(sum(theta) - 1)^2."""

    def __init__(self, parameter: Parameter) -> None:
        self.parameter = parameter

    def forward(self) -> float:
        return float((self.parameter.value.sum() - 1) ** 2)

    def backward(self) -> None:
        self.parameter.grad[...] += 2 * (self.parameter.value.sum() - 1)


class Overwrites(SumToOne):
    def backward(self) -> None:
        self.parameter.grad[...] = 2 * (self.parameter.value.sum() - 1)


class Half(SumToOne):
    def backward(self) -> None:
        self.parameter.grad[...] += self.parameter.value.sum() - 1


@pytest.mark.parametrize(
    ("kind", "frozen", "says"),
    [
        (SumToOne, False, ""),
        (Overwrites, False, "backward must add its derivative, once at each call: to d0.weight"),
        (Half, False, "backward must add its derivative, once at each call: to d0.weight"),
        (SumToOne, True, "backward changes the gradient of 0.weight, which is frozen"),
    ],
)
def test_a_wrong_penalty_is_caught_and_named(kind: Any, frozen: bool, says: str) -> None:
    model = network()
    model[0].freeze(frozen)
    objective = Objective(model, BCELoss(), penalties=[kind(model[0].weight)])
    if not says:
        assert check_objective(objective, X, Y).passed
        return
    with pytest.raises(CheckError) as caught:
        check_objective(objective, X, Y)
    said = {v.name: v.message for v in caught.value.report.failures}
    assert said["each penalty adds its derivative"].startswith(kind.__name__)
    assert says in said["each penalty adds its derivative"]
