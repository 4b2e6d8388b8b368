"""The author's kit on losses: right ones pass, wrong ones are caught and explained."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from cases import LOSS_CASES
from wrong_losses import RIGHT, WRONG_LOSSES, Batch, Wrong

from minifw import (
    Array,
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    HuberLoss,
    Loss,
    MeanLoss,
    MSELoss,
    SumLoss,
    TripletLoss,
)
from minifw.testing import CheckError, check_loss

pytestmark = pytest.mark.slow

SEEDS = 1  # tests/benchmarks/kit_figures.py takes 1000
RIGHT_SHARE = 0.9  # of the diagnoses, at least


@cache  # two tests ask
def answer(wrong: Wrong) -> str:
    """Return the headline, or "" if the kit says nothing."""
    try:
        check_loss(wrong.make(), *wrong.batch())
    except CheckError as error:
        return error.report.failures[0].message
    return ""


@pytest.mark.parametrize("name", LOSS_CASES)
def test_minifws_losses_pass_with_any_seed(name: str) -> None:
    for seed in range(SEEDS):
        check_loss(*LOSS_CASES[name], seed=seed)


@pytest.mark.parametrize(("make", "batch"), RIGHT)
def test_a_right_loss_passes(make: Callable[[], Loss], batch: Callable[[], Batch]) -> None:
    for seed in range(SEEDS):
        check_loss(make(), *batch(), seed=seed)


P, Q, R = np.split(np.random.default_rng(0).standard_normal((7, 6)), [3, 5], axis=1)
S = 1 / (1 + np.exp(-R))


@pytest.mark.parametrize(
    ("loss", "predictions", "targets"),
    [
        (SumLoss(MSELoss(), MeanLoss(), weights=(1.0, 0.5)), (P, Q), (P[::-1].copy(),)),
        (SumLoss(MSELoss(), None, BCELoss()), (Q, P, S), (Q**2, None, 1.0 * (R > 0))),
        (SumLoss(BCELoss(), MSELoss()), (1 - (1 - S) ** 32, P), (1.0 * (R > 0), P[::-1].copy())),
        (SumLoss(CrossEntropyLoss(), HuberLoss()), (P, R), (P.argmin(axis=1), R[::-1].copy())),
        (TripletLoss(), (P, P[::-1].copy(), 1 - 2 * P), ()),
    ],
    ids=["without a target", "without a loss", "near 1", "labels", "triplets"],
)
def test_a_loss_of_several_outputs_passes(loss: Loss, predictions: Any, targets: Any) -> None:
    assert check_loss(loss, predictions, targets).passed


class HalfOfTheSecond(SumLoss):
    def backward(self) -> tuple[Array, ...]:
        first, second = super().backward()
        return first, second / 2


class OneGradient(SumLoss):
    def backward(self) -> Any:
        return super().backward()[0]


class HidesANaN(SumLoss):
    def forward(self, prediction: Any, target: Any = (), sample_weight: Any = None) -> float:
        seen = prediction[0], np.nan_to_num(prediction[1])
        return super().forward(seen, target, sample_weight)


@pytest.mark.parametrize(
    ("loss", "says"),
    [
        (
            HalfOfTheSecond(MSELoss(), MSELoss()),
            "gradient of prediction[1]: it is 2 times too small",
        ),
        (
            OneGradient(MSELoss(), MSELoss()),
            "a tuple of 2 gradients, each in the shape of the prediction",
        ),
        (HidesANaN(MSELoss(), MSELoss()), "a NaN in prediction[1] passes silently"),
    ],
    ids=lambda case: type(case).__name__,
)
def test_a_wrong_loss_of_several_outputs_is_caught(loss: Loss, says: str) -> None:
    with pytest.raises(CheckError) as caught:
        check_loss(loss, (P, R), (P[::-1].copy(), R[::-1].copy()))
    assert says in caught.value.report.failures[0].message


@pytest.mark.parametrize("wrong", WRONG_LOSSES, ids=lambda wrong: wrong.name)
def test_a_wrong_loss_is_caught(wrong: Wrong) -> None:
    assert answer(wrong)


def test_the_diagnosis_is_right() -> None:
    missed = [wrong.name for wrong in WRONG_LOSSES if wrong.words not in answer(wrong)]
    share = 1 - len(missed) / len(WRONG_LOSSES)
    print(f"{len(WRONG_LOSSES)} wrong losses, {share:.0%} with the right diagnosis: not {missed}")
    assert share >= RIGHT_SHARE


def test_what_a_right_loss_leaves_open_is_said() -> None:
    messages = {}
    for make, batch in RIGHT:
        report = check_loss(make(), *batch())
        messages[make.__name__] = {v.name: v.message for v in report.verdicts}
    assert "is clipped" in messages["Clipped"]["the gradient at extremes"]
    mean = {name: said["the mean over the rows"] for name, said in messages.items()}
    assert "depends on batch_size" in mean["Pairs"]
    assert mean["Dice"] == "declared: the ratio is of the whole batch"
    assert not mean["Squared"]


def test_a_loss_that_is_infinite_in_truth_is_told_what_to_do() -> None:
    class Divergence(Loss):
        """L = mean(t log(t / p))."""

        def forward(self, prediction: Array, target: Array) -> float:
            self.check(prediction, target)
            self.save(prediction, target)
            return self.finite(float(np.mean(target * np.log(target / prediction))))

        def backward(self) -> Array:
            p, t = self.saved()
            return -t / p / p.size

    p, t = np.random.default_rng(0).dirichlet(np.ones(3), (2, 5))
    with pytest.raises(CheckError, match="clip the prediction, or refuse it with a ValueError"):
        check_loss(Divergence(), p, t)


def test_the_loss_that_is_checked_stays_as_it_was() -> None:
    loss = BCEWithLogitsLoss()
    prediction, target = np.array([[0.5], [-1.0]]), np.array([[1.0], [0.0]])
    loss.forward(prediction, target)
    expected = loss.backward()
    check_loss(loss, *LOSS_CASES["BCEWithLogitsLoss"][1:])
    np.testing.assert_array_equal(loss.backward(), expected)


def test_what_is_no_loss_is_refused() -> None:
    prediction, target = LOSS_CASES["BCELoss"][1:]
    with pytest.raises(TypeError, match="check_loss expects"):
        check_loss(BCELoss, prediction, target)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="check_loss expects"):
        check_loss(BCELoss(), [[0.5]], target)
