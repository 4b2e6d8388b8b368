"""The author's kit on optimizers: right ones pass, wrong ones are explained."""

import re

import pytest
from cases import OPTIMIZER_CASES
from wrong_optimizers import RIGHT, WRONG_OPTIMIZERS, Wrong

from minifw import SGD, Dense
from minifw.testing import CheckError, check_optimizer

pytestmark = pytest.mark.slow

SEEDS = 1  # tests/benchmarks/kit_figures.py takes 1000


def answer(wrong: Wrong) -> str:
    """Return the first failure, or "" if there is none."""
    try:
        check_optimizer(wrong.make)
    except CheckError as error:
        return error.report.failures[0].message
    return ""


@pytest.mark.parametrize("name", OPTIMIZER_CASES)
def test_minifws_optimizers_pass_with_any_seed(name: str) -> None:
    for seed in range(SEEDS):
        check_optimizer(OPTIMIZER_CASES[name], seed=seed)


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_optimizer_passes(name: str) -> None:
    check_optimizer(RIGHT[name])


@pytest.mark.filterwarnings("ignore::minifw.errors.StaleArrayWarning")  # of "early views"
@pytest.mark.parametrize("wrong", WRONG_OPTIMIZERS, ids=lambda wrong: wrong.name)
def test_the_first_failure_of_a_wrong_optimizer_says_what_to_mend(wrong: Wrong) -> None:
    message = answer(wrong)
    assert wrong.words in message
    assert not re.search(wrong.never, message)


def test_what_makes_no_optimizer_is_refused() -> None:
    with pytest.raises(TypeError, match="check_optimizer expects"):
        check_optimizer(SGD([Dense(2, 1).weight], lr=0.1))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"expects a function .* got the class SGD, which raised"):
        check_optimizer(SGD)  # type: ignore[arg-type]
