"""The author's kit on optimizers and objectives: right ones pass, wrong ones are explained."""

import copy
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
from cases import OPTIMIZER_CASES
from right_several import SEVERAL
from wrong_optimizers import RIGHT, WRONG_OPTIMIZERS, Wrong

from minifw import (
    L1,
    L2,
    SGD,
    Array,
    BCELoss,
    BCEWithLogitsLoss,
    Dense,
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
from minifw.testing import CheckError, check_objective, check_optimizer

pytestmark = pytest.mark.slow

SEEDS = 10
RIGHT_SHARE = 0.9  # of the diagnoses, at least


def answer(wrong: Wrong) -> str:
    """Return what the kit says, or "" if it says nothing."""
    try:
        check_optimizer(wrong.make)
    except CheckError as error:
        return "\n".join(verdict.message for verdict in error.report.failures)
    return ""


@pytest.mark.parametrize("name", OPTIMIZER_CASES)
def test_minifws_optimizers_pass_with_any_seed(name: str) -> None:
    for seed in range(SEEDS):
        check_optimizer(OPTIMIZER_CASES[name], seed=seed)


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_optimizer_passes(name: str) -> None:
    check_optimizer(RIGHT[name])


@pytest.mark.parametrize("wrong", WRONG_OPTIMIZERS, ids=lambda wrong: wrong.name)
def test_a_wrong_optimizer_is_caught(wrong: Wrong) -> None:
    assert answer(wrong)


def test_the_diagnosis_is_right() -> None:
    missed = [wrong.name for wrong in WRONG_OPTIMIZERS if wrong.words not in answer(wrong)]
    share = 1 - len(missed) / len(WRONG_OPTIMIZERS)
    print(f"{len(WRONG_OPTIMIZERS)} wrong optimizers, {share:.0%} explained right: not {missed}")
    assert share >= RIGHT_SHARE


def test_what_makes_no_optimizer_is_refused() -> None:
    with pytest.raises(TypeError, match="check_optimizer expects"):
        check_optimizer(SGD([Dense(2, 1).weight], lr=0.1))  # type: ignore[arg-type]


# -- objectives ---------------------------------------------------------------------------


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


class WrongPair(BCELoss):
    """Declares a joint form that is not that of the two apart."""

    joins: ClassVar[Any] = {Sigmoid: lambda _loss, _sigmoid: Joint()}


@pytest.mark.parametrize(
    ("model", "loss", "says"),
    [
        (
            Sequential(Dense(2, 3, rng=0), DoubledTanh(), Dense(3, 1, rng=1), Sigmoid()),
            BCELoss(),
            "2 times too large",
        ),
        (network(), WrongPair(), "too large"),
    ],
    ids=["a wrong layer", "a wrong pair"],
)
def test_a_wrong_objective_is_caught(model: Sequential, loss: Loss, says: str) -> None:
    with pytest.raises(CheckError) as caught:
        check_objective(Objective(model, loss), X, Y)
    assert says in str(caught.value)
    assert "0.weight" in str(caught.value)


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
