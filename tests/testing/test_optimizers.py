"""The author's kit on optimizers: right ones pass, wrong ones are explained."""

import pytest
from cases import OPTIMIZER_CASES
from wrong_optimizers import RIGHT, WRONG_OPTIMIZERS, Wrong

from minifw import SGD, Dense
from minifw.testing import CheckError, check_optimizer

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
