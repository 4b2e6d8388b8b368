"""The author's kit on optimizers and objectives: right ones pass, wrong ones are explained."""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
from cases import OPTIMIZER_CASES
from wrong_optimizers import RIGHT, WRONG_OPTIMIZERS, Wrong

from minifw import (
    SGD,
    Array,
    BCELoss,
    BCEWithLogitsLoss,
    Dense,
    Loss,
    Objective,
    Sequential,
    Sigmoid,
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
