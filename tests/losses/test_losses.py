"""The losses against decimal arithmetic, and what they refuse.

The gradients, copies and layouts of every loss are in tests/testing/test_losses.py.
"""

import copy
import math
import pickle
import re
import warnings
from collections.abc import Callable
from decimal import Decimal, localcontext
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minifw
from minifw import (
    Array,
    BCELoss,
    BCEWithLogitsLoss,
    CategoricalCrossEntropyLoss,
    CrossEntropyLoss,
    Dense,
    HingeLoss,
    HuberLoss,
    L1Loss,
    Layer,
    LogSoftmax,
    Loss,
    MSELoss,
    NLLLoss,
    NonFiniteError,
    Objective,
    SaturationWarning,
    Sequential,
    Sigmoid,
    Tanh,
)

DIGITS = 400  # e^-745, the last that a float64 can hold, and 1 plus it, with digits to spare
FLUSHED: dict[Any, float] = {
    np.float64: 2.0**-500,
    np.float32: 2.0**-100,
}  # smaller gradients are 0
FEW_ULPS = 4  # in units of the machine epsilon; exp, log1p and the products each round

MAGNITUDES: dict[Any, list[float]] = {
    np.float64: [0.0, 5e-324, 1e-300, 1e-8, 1, 20, 37, 40, 710, 745, 1000, 1e4, 1e300, 1.7e308],
    np.float32: [0.0, 1e-45, 1e-30, 1e-8, 1, 16, 17, 20, 40, 88, 103, 710, 1000, 1e4, 1e30, 3e38],
}
LOGITS = {
    dtype: [sign * magnitude for magnitude in magnitudes for sign in (1, -1)]
    for dtype, magnitudes in MAGNITUDES.items()
}
TARGETS = [0.0, 1.0, 0.5, 0.3]
each_dtype = pytest.mark.parametrize("dtype", [np.float64, np.float32])
each_loss = pytest.mark.parametrize("make", [BCEWithLogitsLoss, BCELoss])

Make = Callable[[], BCEWithLogitsLoss | BCELoss]


# -- the truth, in 400 decimal digits ---------------------------------------------------


def near(expected: float, rel: float) -> Any:
    """Return an approx without its absolute tolerance of 1e-12, to which 4e-18 is as good as 0."""
    return pytest.approx(expected, rel=rel, abs=0)


@cache
def softplus(z: Decimal) -> Decimal:
    """Return log(1 + exp(z)), which is -log(1 - s(z)) and, at -z, -log s(z)."""
    return max(z, Decimal(0)) + (1 + (-abs(z)).exp()).ln()


def true_loss_of_logit(z: float, t: float) -> float:
    """Return -t log s(z) - (1 - t) log(1 - s(z)), rounded once."""
    with localcontext(prec=DIGITS):
        logit, target = Decimal(float(z)), Decimal(float(t))
        return float(target * softplus(-logit) + (1 - target) * softplus(logit))


def true_gradient_of_logit(z: float, t: float, dtype: type = np.float64) -> float:
    """Return s(z) - t, rounded once; 0 for a label if it is too small to matter."""
    with localcontext(prec=DIGITS):
        slope = float((-softplus(-Decimal(float(z)))).exp() - Decimal(float(t)))
    return 0.0 if t in (0, 1) and abs(slope) < FLUSHED[dtype] else slope


def clipped(p: float, dtype: type) -> tuple[Decimal, Decimal]:
    """Return p and 1 - p, bounded below as BCELoss documents it."""
    limits: Any = np.finfo(dtype)
    exact = Decimal(float(p))
    return max(exact, Decimal(float(limits.tiny))), max(1 - exact, Decimal(float(limits.epsneg)))


def true_loss_of_probability(p: float, t: float, dtype: type) -> float:
    with localcontext(prec=DIGITS):
        target = Decimal(float(t))
        right, left = clipped(p, dtype)
        return float(-target * right.ln() - (1 - target) * left.ln())


def true_gradient_of_probability(p: float, t: float, dtype: type) -> float:
    with localcontext(prec=DIGITS):
        target = Decimal(float(t))
        right, left = clipped(p, dtype)
        return float((1 - target) / left - target / right)


def assert_close(found: float, expected: float, dtype: type, scale: float | None = None) -> None:
    """Hold a number to a few units in its last place, or in that of `scale`.

    Where the true number is a difference of two that nearly cancel, the scale
    is the larger of these. Below the normal numbers the spacing is constant.
    """
    limits: Any = np.finfo(dtype)
    size = abs(expected) if scale is None else abs(scale)
    bound = FEW_ULPS * (float(limits.eps) * size + float(limits.smallest_subnormal))
    assert abs(float(found) - expected) <= bound, f"{found!r} is not {expected!r}"


def one(value: float, dtype: type = np.float64) -> Array:
    return np.array([[value]], dtype)


def random_batch(
    make: Make, shape: tuple[int, ...], dtype: type = np.float64, seed: int = 0
) -> tuple[Array, Array]:
    """Return predictions that the loss accepts, and labels of 0 and 1."""
    rng = np.random.default_rng(seed)
    if make is BCELoss:
        prediction = rng.uniform(0.05, 0.95, shape)
    else:
        prediction = 3 * rng.standard_normal(shape)
    return prediction.astype(dtype), rng.integers(0, 2, shape).astype(dtype)


# -- BCEWithLogitsLoss: the number and its derivative -----------------------------------


@each_dtype
@pytest.mark.parametrize("t", TARGETS)
def test_a_logit_costs_and_weighs_what_400_digits_say(t: float, dtype: type) -> None:
    target = one(t, dtype)
    for logit in LOGITS[dtype]:
        z, loss = one(logit, dtype), BCEWithLogitsLoss()
        cost = loss.forward(z, target)
        assert isinstance(cost, float)
        assert_close(cost, true_loss_of_logit(z.item(), target.item()), dtype)
        gradient = loss.backward()
        assert gradient.dtype == dtype
        expected = true_gradient_of_logit(z.item(), target.item(), dtype)
        assert_close(gradient.item(), expected, dtype, scale=None if t in (0, 1) else 1.0)


@each_dtype
@pytest.mark.parametrize("t", TARGETS)
def test_one_array_of_all_logits_has_the_gradients_of_each(t: float, dtype: type) -> None:
    magnitudes = MAGNITUDES[dtype][:-2]  # whose sum is finite
    z: Array = np.array([*magnitudes, *(-m for m in magnitudes)] * 5, dtype)
    target = np.full_like(z, t)
    loss = BCEWithLogitsLoss()
    n = z.size
    expected = [true_loss_of_logit(v, target[0].item()) for v in z.tolist()]
    assert_close(loss.forward(z, target), math.fsum(expected) / n, dtype)
    for gradient, value in zip(loss.backward(), z.tolist(), strict=True):
        truth = true_gradient_of_logit(value, target[0].item(), dtype) / n
        assert_close(gradient.item(), truth, dtype, scale=None if t in (0, 1) else 1 / n)


# Soft targets near 0 and 1, as of smoothed labels or of another model's predictions.
NEAR_0 = [5e-324, 1e-300, 1e-20, 1e-9, 1e-3, 0.1]
NEAR_1 = [1 - 2.0**-53, 1 - 1e-9, 1 - 1e-3, 0.9]


@pytest.mark.parametrize("t", [*NEAR_0, *NEAR_1])
def test_a_target_near_0_or_1_keeps_its_digits(t: float) -> None:
    for logit in (-1e300, -1000.0, -40.0, -1.0, 0.0, 1.0, 40.0, 1000.0, 1e300):
        loss = BCEWithLogitsLoss()
        cost = loss.forward(one(logit), one(t))
        assert_close(cost, true_loss_of_logit(logit, t), np.float64)
        # The gradient is s(z) - t, and (1 - t) - (1 - s(z)).
        scale = max(math.exp(-abs(logit)), t if logit <= 0 else 1 - t)
        assert_close(loss.backward().item(), true_gradient_of_logit(logit, t), np.float64, scale)


finite_logits = st.floats(allow_nan=False, allow_infinity=False)
finite_float32_logits = st.floats(allow_nan=False, allow_infinity=False, width=32)


@given(finite_logits, st.sampled_from([0.0, 1.0]))
def test_any_logit_and_a_label_have_their_cost_and_gradient(logit: float, label: float) -> None:
    loss = BCEWithLogitsLoss()
    cost = loss.forward(one(logit), one(label))
    assert_close(cost, true_loss_of_logit(logit, label), np.float64)
    assert_close(loss.backward().item(), true_gradient_of_logit(logit, label), np.float64)


@given(finite_logits | st.floats(-50, 50), st.floats(0, 1) | st.floats(0, 1e-3))
def test_any_logit_and_any_target_have_their_cost(logit: float, t: float) -> None:
    cost = BCEWithLogitsLoss().forward(one(logit), one(t))
    assert_close(cost, true_loss_of_logit(logit, t), np.float64)


@given(
    finite_float32_logits | st.floats(-50, 50, width=32),
    st.floats(0, 1, width=32) | st.floats(0, 2**-10, width=32),
)
def test_any_float32_logit_and_any_target_have_their_cost(logit: float, t: float) -> None:
    cost = BCEWithLogitsLoss().forward(one(logit, np.float32), one(t, np.float32))
    assert_close(cost, true_loss_of_logit(logit, t), np.float32)


@given(finite_logits, st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_a_flipped_logit_and_label_have_the_same_cost_and_the_opposite_gradient(
    logit: float, t: float
) -> None:
    loss, flipped = BCEWithLogitsLoss(), BCEWithLogitsLoss()
    assert loss.forward(one(logit), one(t)) == flipped.forward(one(-logit), one(1 - t))
    assert loss.backward().item() == -flipped.backward().item()


@each_dtype
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_a_wrong_label_costs_its_logit_and_has_the_gradient_1(label: float, dtype: type) -> None:
    sign = 1 if label == 0 else -1
    for logit in (40.0, 710.0, 1000.0, 1e4, 1e30):
        loss = BCEWithLogitsLoss()
        z = one(sign * logit, dtype)
        assert loss.forward(z, one(label, dtype)) == abs(z.item())
        np.testing.assert_array_equal(loss.backward(), one(sign, dtype), strict=True)


def test_label_0_logit_20_costs_2e_9_more_than_20_where_float64_can_tell() -> None:
    loss = BCEWithLogitsLoss()
    assert loss.forward(one(20), one(0)) == near(20 + 2.0611536e-9, rel=1e-15)
    assert 1 - loss.backward().item() == near(2.0611536e-9, rel=1e-7)
    cost = loss.forward(one(20, np.float32), one(0, np.float32))
    assert cost == near(20, rel=1e-7)
    assert loss.backward().item() == 1


@pytest.mark.parametrize(("label", "sign"), [(1.0, 1), (0.0, -1)])
def test_a_right_label_costs_4e_18_at_logit_40(label: float, sign: int) -> None:
    loss = BCEWithLogitsLoss()
    assert loss.forward(one(sign * 40), one(label)) == near(4.248354255291589e-18, rel=1e-15)
    assert loss.backward().item() == near(-sign * 4.248354255291589e-18, rel=1e-15)


@each_dtype
def test_logit_0_costs_log_2_whatever_the_target(dtype: Any) -> None:
    for t in (0.0, 0.3, 0.5, 1.0):
        loss = BCEWithLogitsLoss()
        assert_close(loss.forward(one(0, dtype), one(t, dtype)), math.log(2), dtype)
        assert_close(loss.backward().item(), 0.5 - float(dtype(t)), dtype)


@each_loss
@each_dtype
@pytest.mark.parametrize("value", [0.5, 0.1])
def test_a_mean_of_a_million_equal_costs_is_that_cost(
    make: Make, value: float, dtype: type
) -> None:
    # As of an untrained network: an error here stands still, where that of random costs averages.
    prediction: Array = np.full((1_000_000, 1), value, dtype)
    cost = make().forward(prediction, np.zeros_like(prediction))
    alone = make().forward(prediction[:1], np.zeros_like(prediction[:1]))
    # BLAS adds in blocks of its own: 1.6e-6 with NumPy 2.0, where adding one by one gives 1e-2.
    assert cost == near(alone, rel=4e-6 if dtype is np.float32 else 1e-12)


# -- BCELoss: the number and its derivative ---------------------------------------------


def probabilities(dtype: Any) -> list[float]:
    """Return the sigmoids of all logits, and what is special about the dtype."""
    limits: Any = np.finfo(dtype)
    values = [0.0, 1e-30, 1e-8, 0.1, 0.25, 0.3, 0.5, 0.75, 0.9, 0.999, 1 - 1e-6, 1.0]
    values += [limits.smallest_subnormal, limits.tiny / 4, limits.tiny]
    values += [limits.eps, limits.epsneg, 1 - limits.epsneg]
    for z in (*MAGNITUDES[dtype], *(-m for m in MAGNITUDES[dtype])):
        values.append(math.exp(-true_loss_of_logit(z, 1.0)))
    return sorted({float(dtype(value)) for value in values})


@each_dtype
@pytest.mark.parametrize("t", TARGETS)
@pytest.mark.filterwarnings("ignore::minifw.SaturationWarning")
def test_a_probability_costs_and_weighs_what_400_digits_say(t: float, dtype: type) -> None:
    target = one(t, dtype)
    for p in probabilities(dtype):
        loss = BCELoss()
        cost = loss.forward(one(p, dtype), target)
        assert isinstance(cost, float)
        assert_close(cost, true_loss_of_probability(p, target.item(), dtype), dtype)
        gradient = loss.backward()
        assert gradient.dtype == dtype
        expected = true_gradient_of_probability(p, target.item(), dtype)
        # Of the two terms one is 0 for a label, and else both are at most 1 / min(p, 1 - p).
        scale = None if t in (0, 1) else 1 / float(min(clipped(p, dtype)))
        assert_close(gradient.item(), expected, dtype, scale)


@given(st.floats(0, 1), st.floats(0, 1))
def test_any_probability_and_any_target_have_their_cost(p: float, t: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SaturationWarning)
        cost = BCELoss().forward(one(p), one(t))
    assert_close(cost, true_loss_of_probability(p, t, np.float64), np.float64)


@pytest.mark.parametrize("p", [0.001, 0.25, 0.5, 0.9])
def test_the_cost_is_the_notes_j(p: float) -> None:
    loss = BCELoss()
    assert loss.forward(one(p), one(1)) == near(-math.log(p), rel=1e-15)
    assert loss.backward().item() == near(-1 / p, rel=1e-15)
    assert loss.forward(one(p), one(0)) == near(-math.log(1 - p), rel=1e-12)
    assert loss.backward().item() == near(1 / (1 - p), rel=1e-15)


def test_the_cost_of_a_batch_is_the_notes_j() -> None:
    rng = np.random.default_rng(0)
    m = 400
    a2, y = rng.uniform(0.001, 0.999, (1, m)), rng.integers(0, 2, (1, m)) * 1.0
    j = -(1 / m) * np.sum(y * np.log(a2) + (1 - y) * np.log(1 - a2))
    assert BCELoss().forward(a2.T, y.T) == near(j, rel=1e-13)
    z2 = np.log(a2 / (1 - a2))
    loss = BCEWithLogitsLoss()
    assert loss.forward(z2.T, y.T) == near(j, rel=1e-13)
    np.testing.assert_allclose(loss.backward().T, (1 / m) * (a2 - y), rtol=1e-11)


@each_dtype
@pytest.mark.parametrize(
    ("p", "t"), [(0.0, 1.0), (0.0, 0.3), (1.0, 0.0), (1.0, 0.3), (1.0, 0.75), (1e-45, 1.0)]
)
def test_a_probability_rounded_against_its_target_is_finite_and_warns(
    p: float, t: float, dtype: type
) -> None:
    loss = BCELoss()
    if dtype is np.float64 and p == 1e-45:
        p = 5e-324
    with pytest.warns(SaturationWarning, match="1 of 1 predictions") as record:
        cost = loss.forward(one(p, dtype), one(t, dtype))
    assert len(record) == 1
    assert record[0].filename == __file__  # the line of the caller
    limits: Any = np.finfo(dtype)
    nearest = float(limits.tiny if p < 0.5 else limits.epsneg)
    against = float(one(t, dtype).item() if p < 0.5 else 1 - one(t, dtype).item())
    assert cost == near(-against * math.log(nearest), rel=1e-6)
    gradient = loss.backward().item()
    assert gradient == near((-1 if p < 0.5 else 1) * against / nearest, rel=1e-6)
    assert math.isfinite(gradient)


@each_dtype
def test_a_probability_that_agrees_or_is_only_near_does_not_warn(dtype: type) -> None:
    limits: Any = np.finfo(dtype)
    below_1 = 1 - float(limits.epsneg)
    cases = [(0, 0), (1, 1), (-0.0, 0), (float(limits.tiny), 1), (float(limits.tiny), 0.5)]
    cases += [(below_1, 0), (below_1, 0.5), (0.5, 0), (float(limits.smallest_subnormal), 0)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for p, t in cases:
            loss = BCELoss()
            assert math.isfinite(loss.forward(one(p, dtype), one(t, dtype)))
            assert np.isfinite(loss.backward()).all()


def test_a_perfect_prediction_costs_0_and_has_the_gradient_that_remains() -> None:
    loss = BCELoss()
    assert loss.forward(np.array([0.0, 1.0]), np.array([0.0, 1.0])) == 0
    np.testing.assert_array_equal(loss.backward(), [0.5, -0.5])  # (1 - t)/(1 - p) - t/p, over 2


def test_the_warning_counts_the_predictions() -> None:
    prediction = np.array([[0.0, 1.0, 0.0, 1.0, 0.5]])
    target = np.array([[1.0, 0.5, 0.0, 1.0, 1.0]])
    with pytest.warns(SaturationWarning, match=r"2 of 5 predictions have rounded .* Objective\("):
        BCELoss().forward(prediction, target)


# -- both: mean, shapes ------------------------------------------------------------------


@each_loss
@each_dtype
@pytest.mark.parametrize("shape", [(7,), (5, 3), (1, 1, 1)])
def test_it_is_the_mean_over_all_elements(make: Make, dtype: type, shape: tuple[int, ...]) -> None:
    prediction, target = random_batch(make, shape, dtype)
    loss, alone = make(), make()
    costs, gradients = [], []
    for p, t in zip(prediction.ravel().tolist(), target.ravel().tolist(), strict=True):
        costs.append(alone.forward(one(p, dtype), one(t, dtype)))
        gradients.append(alone.backward().item())
    n = prediction.size
    tolerance = 8 * float(np.finfo(dtype).eps)
    assert loss.forward(prediction, target) == near(math.fsum(costs) / n, rel=tolerance)
    gradient = loss.backward()
    assert gradient.shape == shape
    assert gradient.dtype == dtype
    np.testing.assert_allclose(gradient.ravel(), np.array(gradients) / n, rtol=tolerance)


@each_loss
def test_a_single_number_is_no_batch(make: Make) -> None:
    with pytest.raises(ValueError, match="expects prediction to hold at least one example"):
        make().forward(np.array(0.25), np.array(1.0))  # arrays without axes


@each_loss
def test_the_joint_form_and_the_two_apart_have_the_same_derivative(make: Make) -> None:
    z = np.linspace(-5, 5, 11)[:, np.newaxis]
    target = np.linspace(0, 1, 11)[:, np.newaxis]
    loss = make()
    s = 1 / (1 + np.exp(-z))
    apart = make is BCELoss
    loss.forward(s if apart else z, target)
    gradient = loss.backward() * (s * (1 - s) if apart else 1)
    expected = [
        [true_gradient_of_logit(v, t) / 11]
        for v, t in zip(z[:, 0].tolist(), target[:, 0].tolist(), strict=True)
    ]
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-15)


@each_loss
def test_a_target_made_bad_in_place_is_seen(make: Make) -> None:
    prediction, target = random_batch(make, (6, 1))
    loss = make()
    loss.forward(prediction, target)
    for bad in (1.5, -0.5, math.nan):
        target[3] = bad
        with pytest.raises(ValueError, match="every target"):
            loss.forward(prediction, target)


@each_loss
def test_the_same_bytes_in_another_dtype_are_looked_at(make: Make) -> None:
    target, loss = np.array([[1.0]]), make()
    loss.forward(one(0.25), target)
    halves = target.view(np.float32)  # [[0, 1.875]]
    with pytest.raises(ValueError, match=r"got 1\.875"):
        loss.forward(np.full_like(halves, 0.25), halves)


# -- what is refused --------------------------------------------------------------------


Bad = tuple[Any, Any, type[Exception], str]

HALVES = np.array([[0.5], [0.5]])
LABELS = np.array([[0.0], [1.0]])

# prediction, target, the error, and what its message says
BAD: dict[str, Bad] = {
    "(N, 1) and (N,)": (HALVES, LABELS[:, 0], ValueError, r"use target\.reshape\(\(2, 1\)\)"),
    "(N,) and (N, 1)": (HALVES[:, 0], LABELS, ValueError, r"use target\.reshape\(\(2,\)\)"),
    "(N, 1) and (1, N)": (HALVES, LABELS.T, ValueError, r"use target\.reshape\(\(2, 1\)\)"),
    "a target that would broadcast": (HALVES, LABELS[:1], ValueError, r"\(2, 1\), got \(1, 1\)"),
    "a prediction that would broadcast": (HALVES[:1], LABELS, ValueError, r"got \(2, 1\)"),
    "a longer target": (HALVES, np.zeros((3, 1)), ValueError, r"\(2, 1\), got \(3, 1\)"),
    "a target without axes": (HALVES, np.array(1.0), ValueError, r"\(2, 1\), got \(\)"),
    "float32 and float64": (
        HALVES.astype(np.float32),
        LABELS,
        TypeError,
        r"np\.asarray\(target, dtype=np\.float32\)",
    ),
    "float64 and float32": (
        HALVES,
        LABELS.astype(np.float32),
        TypeError,
        r"np\.asarray\(target, dtype=np\.float64\)",
    ),
    "a target of whole numbers": (HALVES, LABELS.astype(int), TypeError, "int64 array"),
    "a target of bools": (HALVES, LABELS > 0, TypeError, "bool array"),
    "whole numbers": (LABELS.astype(int), LABELS.astype(int), TypeError, "float64 or float32"),
    "float16": (
        HALVES.astype(np.float16),
        LABELS.astype(np.float16),
        TypeError,
        "float64 or float32",
    ),
    "longdouble": (
        HALVES.astype(np.longdouble),
        LABELS.astype(np.longdouble),
        TypeError,
        "float64 or float32",
    ),
    "complex": (HALVES * 1j, LABELS * 1j, TypeError, "float64 or float32"),
    "bytes in another order": (
        HALVES.astype(np.dtype(np.float64).newbyteorder()),
        LABELS.astype(np.dtype(np.float64).newbyteorder()),
        TypeError,
        "float64 or float32",
    ),
    "strings": (np.array(["0.5"]), np.array(["1"]), TypeError, "float64 or float32"),
    "objects": (HALVES.astype(object), LABELS.astype(object), TypeError, "float64 or float32"),
    "two lists": ([[0.5], [0.5]], [[0.0], [1.0]], TypeError, r"np\.asarray\(prediction"),
    "a list and an array": ([[0.5], [0.5]], LABELS, TypeError, r"np\.asarray\(prediction"),
    "an array and a list": (HALVES, [[0.0], [1.0]], TypeError, r"np\.asarray\(target"),
    "two floats": (0.5, 1.0, TypeError, "got a float"),
    "None for a prediction": (None, LABELS, TypeError, "got a NoneType"),
    "None for a target": (HALVES, None, TypeError, "got a NoneType"),
    "nothing": (np.empty((0, 1)), np.empty((0, 1)), ValueError, "at least one example"),
    "no features": (np.empty((3, 0)), np.empty((3, 0)), ValueError, "at least one example"),
    "a prediction of nothing": (np.empty((0, 1)), LABELS, ValueError, "at least one example"),
    "a target of nothing": (HALVES, np.empty((0, 1)), ValueError, r"\(2, 1\), got \(0, 1\)"),
}


def bad_target(value: float, dtype: type = np.float64) -> Bad:
    prediction: Array = HALVES.astype(dtype)
    target: Array = LABELS.astype(dtype)
    target[1] = value
    message = f"every target to be in \\[0, 1\\], got {re.escape(f'{value:.0f}')}"
    return prediction, target, ValueError, message


BAD |= {
    f"a target of {value!r}": bad_target(value)
    for value in (-1.0, 2.0, 255.0, math.nan, math.inf, -math.inf)
}
BAD |= {
    "a target just above 1": (*bad_target(1 + 2.3e-16)[:3], "every target"),
    "a target just below 0": (*bad_target(-1e-16)[:3], "every target"),
    "a target hardly below 0": (*bad_target(-1e-20)[:3], "every target"),
    "a float32 target hardly below 0": (*bad_target(-1e-9, np.float32)[:3], "every target"),
    "a target of the least negative number": (*bad_target(-5e-324)[:3], "every target"),
}

BAD_PROBABILITIES: dict[str, Bad] = {
    f"a prediction of {value!r}": (
        np.array([[0.5], [value]]),
        LABELS,
        ValueError,
        f"in \\[0, 1\\], got {re.escape(repr(value))}; end the model in Sigmoid\\(\\)",
    )
    for value in (-1.0, -5e-324, 1 + 2.0**-52, 2.0, math.nan, math.inf, -math.inf)
}
BAD_LOGITS: dict[str, Bad] = {
    f"a logit of {value!r} for {label}{size}": (
        np.array([[value]] * n),
        np.full((n, 1), label),
        NonFiniteError,
        "the loss is",
    )
    for value, label in (
        (math.nan, 0.0),
        (math.nan, 0.5),
        (math.inf, 0.0),
        (-math.inf, 1.0),
        (math.inf, 0.5),
    )
    for n, size in ((6, ""), (2, ", in another shape"))
}
BAD_CALLS: list[Any] = [
    *(pytest.param(make, bad, id=f"{make.__name__}, {name}")
      for make in (BCEWithLogitsLoss, BCELoss) for name, bad in BAD.items()),
    *(pytest.param(BCELoss, bad, id=f"BCELoss, {name}")
      for name, bad in BAD_PROBABILITIES.items()),
    *(pytest.param(BCEWithLogitsLoss, bad, id=f"BCEWithLogitsLoss, {name}")
      for name, bad in BAD_LOGITS.items()),
]  # fmt: skip


@pytest.mark.parametrize(("make", "bad"), BAD_CALLS)
def test_it_is_refused_in_one_sentence_with_the_fix_and_changes_nothing(
    make: Make, bad: Bad
) -> None:
    prediction, target, error, message = bad
    loss = make()
    with pytest.raises(error, match=message) as caught:
        loss.forward(prediction, target)
    assert str(caught.value).startswith(repr(make()))
    assert "\n" not in str(caught.value)
    with pytest.raises(RuntimeError, match="call forward first"):
        loss.backward()
    accepted = random_batch(make, (6, 1))
    cost = loss.forward(*accepted)
    gradient = loss.backward()
    with pytest.raises(error):
        loss.forward(prediction, target)
    np.testing.assert_array_equal(loss.backward(), gradient)
    assert loss.forward(*accepted) == cost


def test_after_a_warning_that_is_an_error_the_loss_is_as_it_was() -> None:
    loss = BCELoss()
    loss.forward(HALVES, LABELS)
    gradient = loss.backward()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(SaturationWarning):
            loss.forward(np.array([0.0]), np.array([1.0]))
    np.testing.assert_array_equal(loss.backward(), gradient)


@pytest.mark.parametrize(("logit", "label"), [(math.inf, 1.0), (-math.inf, 0.0)])
def test_an_infinite_logit_on_the_right_side_is_refused(logit: float, label: float) -> None:
    with np.errstate(invalid="ignore"), pytest.raises(NonFiniteError, match="the loss is"):
        BCEWithLogitsLoss().forward(one(logit), one(label))


def test_a_refused_number_is_a_bad_value_and_a_floating_point_error() -> None:
    for error in (ValueError, FloatingPointError):
        with pytest.raises(error, match="the loss is nan"):
            BCEWithLogitsLoss().forward(one(math.nan), one(0))


@each_loss
@pytest.mark.parametrize("t", [0.0, -0.0, 5e-324, 0.25, 1 - 2.0**-53, 1.0])
def test_every_target_from_0_to_1_is_accepted(make: Make, t: float) -> None:
    assert math.isfinite(make().forward(one(0.25), one(t)))


@pytest.mark.parametrize("p", [0.0, -0.0, 5e-324, 0.25, 1 - 2.0**-53, 1.0])
def test_every_probability_from_0_to_1_is_accepted(p: float) -> None:
    assert math.isfinite(BCELoss().forward(one(p), one(round(p))))


@pytest.mark.parametrize("make", [BCEWithLogitsLoss, BCELoss])
@pytest.mark.parametrize(("args", "options"), [(("sum",), {}), ((), {"reduction": "sum"})])
def test_an_argument_that_it_does_not_have_is_refused(
    make: Any, args: tuple[str, ...], options: dict[str, str]
) -> None:
    with pytest.raises(TypeError, match=r"argument|expects pos_weight to hold numbers"):
        make(*args, **options)


# -- an author's loss -------------------------------------------------------------------


class Squared(Loss):
    """L = mean(w (p - t)^2); dp = 2 w (p - t) / n."""

    def __init__(self, weight: float = 1.0) -> None:
        self.weight = weight

    def forward(self, prediction: Array, target: Array) -> float:
        self.check(prediction, target)
        error = prediction - target
        self.save(error)
        return self.finite(self.weight * float(np.mean(error**2)))

    def backward(self) -> Array:
        (error,) = self.saved()
        return self.weight * 2 * error / error.size


class Bare(Loss):
    """The sum of the predictions: nothing but the two methods, without help of the base."""

    def forward(self, prediction: Array, target: Array) -> float:  # noqa: ARG002
        self.shape = prediction.shape
        return float(prediction.sum())

    def backward(self) -> Array:
        return np.ones(self.shape)


def test_a_loss_of_two_methods_has_everything() -> None:
    loss = Squared(weight=2.0)
    assert repr(loss) == "Squared(weight=2.0)"
    with pytest.raises(RuntimeError, match=r"^Squared\(weight=2\.0\): .* call forward first"):
        loss.backward()
    assert loss(np.array([1.0, 2.0]), np.array([1.0, 4.0])) == 4.0
    np.testing.assert_array_equal(loss.backward(), [0, -4])
    assert loss.joined_with(Sigmoid()) is None
    for twin in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert repr(twin) == repr(loss)
        assert twin(np.array([3.0]), np.array([0.0])) == 18.0
    np.testing.assert_array_equal(loss.backward(), [0, -4])


def test_a_loss_of_two_methods_may_leave_all_help_aside() -> None:
    model = Dense(2, 1, rng=0)
    model.weight.value = [[10.0, 1.0]]
    objective = Objective(model, Bare())
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert objective.forward(x, np.zeros((2, 1))) == 46
    objective.backward()
    np.testing.assert_array_equal(model.weight.grad, [[4, 6]])


def test_a_loss_of_two_methods_trains_a_model() -> None:
    model = Sequential(Dense(1, 1, rng=0), Sigmoid())
    objective = Objective(model, Squared())
    x, target = np.array([[-1.0], [1.0]]), np.array([[0.0], [1.0]])
    before = objective.forward(x, target)
    optimizer = minifw.SGD(model.parameters(), lr=5.0)
    for _ in range(100):
        objective.forward(x, target)
        objective.backward()
        optimizer.step()
    assert objective.forward(x, target) < before / 10


def test_the_check_of_the_base_refuses_for_an_author_too() -> None:
    with pytest.raises(ValueError, match=r"^Squared\(\) expects target .*use target\.reshape"):
        Squared().forward(HALVES, LABELS[:, 0])
    with pytest.raises(NonFiniteError, match=r"^Squared\(\): the loss is nan"):
        Squared().forward(one(math.nan), one(0))


def test_finite_passes_what_is_finite() -> None:
    assert Squared().finite(-1.7e308) == -1.7e308
    for value in (math.nan, math.inf, -math.inf):
        with pytest.raises(NonFiniteError, match=f"the loss is {value}"):
            Squared().finite(value)


@pytest.mark.parametrize("missing", ["forward", "backward"])
def test_a_loss_is_abstract_until_both_methods_are_written(missing: str) -> None:
    methods = {name: getattr(Squared, name) for name in ("forward", "backward") if name != missing}
    half = type("Half", (Loss,), methods)
    with pytest.raises(TypeError, match=f"abstract.*{missing}"):
        half()


# -- options, and what a recording asks for ----------------------------------------------


@pytest.mark.parametrize(
    ("loss", "name", "bad"),
    [
        (HuberLoss(), "delta", -1.0),
        (HingeLoss(), "margin", -1.0),
        (BCEWithLogitsLoss(), "pos_weight", [-1.0]),
        (CrossEntropyLoss(), "weight", [0.0, 0.0]),
        (CrossEntropyLoss(), "label_smoothing", 1.5),
        (NLLLoss(), "weight", [1.0]),
        (CategoricalCrossEntropyLoss(), "weight", "a"),
    ],
)
def test_an_option_is_checked_whenever_it_is_assigned(loss: Loss, name: str, bad: Any) -> None:
    before = getattr(loss, name)
    with pytest.raises((ValueError, TypeError), match=f"{type(loss).__name__} expects .*{name}"):
        setattr(loss, name, bad)
    assert getattr(loss, name) is before


@pytest.mark.parametrize("make", [BCEWithLogitsLoss, CrossEntropyLoss])
def test_an_assigned_weight_counts_and_is_copied(make: Any) -> None:
    weight = np.array([1.0, 3.0])
    prediction, target = random_batch(BCEWithLogitsLoss, (6, 2))
    if make is CrossEntropyLoss:
        target = target[:, 0].astype(int)
    loss, expected = make(None), make(weight).forward(prediction, target)
    assert loss.forward(prediction, target) != expected
    setattr(loss, "weight" if make is CrossEntropyLoss else "pos_weight", weight)
    weight[...] = 7
    assert loss.forward(prediction, target) == expected


def test_a_weight_assigned_between_two_steps_of_an_optimizer_counts() -> None:
    model, loss = Sequential(Dense(2, 4, rng=3), Tanh(), Dense(4, 1, rng=4)), BCEWithLogitsLoss()
    objective, optimizer = Objective(model, loss), minifw.SGD(model.parameters(), lr=0.1)
    x, y = np.random.default_rng(0).standard_normal((8, 2)), np.eye(8)[:, :1]
    for weight in (1.0, 5.0):
        loss.pos_weight = weight
        for _ in range(3):
            value = objective.forward(x, y)
            assert value == near(BCEWithLogitsLoss(weight)(model.forward(x), y), rel=1e-14)
            objective.forward(x, y)
            objective.backward()
            optimizer.step()


class Blind(np.ndarray[Any, Any]):
    """An array that computes, but shows no value to Python, but for the one that is returned."""

    def refuse(self, *_: object, **__: object) -> Any:
        raise AssertionError("a value decided what is done next")

    __bool__ = __int__ = __index__ = refuse
    item = tolist = astype = nonzero = tobytes = refuse

    def __array_function__(self, *call: Any) -> Any:
        return np.asarray(super().__array_function__(*call)).view(Blind)


@pytest.mark.parametrize(
    ("loss", "kind"),
    [
        (MSELoss(), "number"),
        (L1Loss(), "number"),
        (HuberLoss(0.5), "number"),
        (HingeLoss(), "sign"),
        (BCEWithLogitsLoss(), "share"),
        (BCEWithLogitsLoss([1.0, 2.0, 3.0]), "share"),
        (CrossEntropyLoss(), "label"),
        (CrossEntropyLoss([1.0, 2.0, 3.0]), "label"),
        (CrossEntropyLoss([1.0, 2.0, 3.0], 0.1), "label"),
        (CrossEntropyLoss([1.0, 2.0, 3.0], 0.1), "distribution"),
        (NLLLoss([1.0, 2.0, 3.0]).joined_with(LogSoftmax()), "label"),
    ],
)
@pytest.mark.parametrize("rows", [5, 2000])
def test_no_value_decides_what_a_replayable_loss_does(loss: Any, kind: str, rows: int) -> None:
    rng = np.random.default_rng(0)
    prediction = rng.standard_normal((rows, 3))
    target = {
        "number": rng.standard_normal((rows, 3)),
        "sign": np.where(prediction > 0.1, 1.0, -1.0),
        "share": rng.random((rows, 3)),
        "label": rng.integers(0, 3, rows),
        "distribution": rng.dirichlet(np.ones(3), rows),
    }[kind]
    assert type(loss).replayable
    value = loss.forward(prediction.view(Blind), target.view(Blind))
    gradient = loss.backward()
    assert isinstance(gradient, Blind)  # it comes of the prediction, not of a copy
    assert value == loss.forward(prediction, target)
    np.testing.assert_array_equal(gradient.view(np.ndarray), loss.backward())


def test_losses_that_look_at_predictions_are_not_replayable() -> None:
    for kind in (BCELoss, NLLLoss, CategoricalCrossEntropyLoss, Squared, Loss):
        assert not kind.replayable


class Even(Squared):
    def check_target(self, prediction: Array, target: Array) -> None:
        assert type(prediction) is type(target) is np.ndarray
        if (target % 2).any():
            raise ValueError("expects even targets")


def test_check_target_is_asked_by_check_for_the_values() -> None:
    loss = Even()
    assert loss.forward(one(1), one(2)) == 1
    for shown in (one(3), one(3).view(Blind)):
        with pytest.raises(ValueError, match="even"):
            loss.forward(one(1), shown)
    Squared().check_target(one(1), one(math.nan))  # takes all


def test_shares_and_the_mean() -> None:
    loss = Squared()
    for dtype, n in ((np.float64, 3), (np.float32, 7), (np.float32, 10_000)):
        costs: Array = np.random.default_rng(0).random((n, 1)).astype(dtype)
        share = loss.shares(costs)
        with pytest.raises(ValueError, match="read-only"):
            share[...] = 1
        exact = math.fsum(costs.ravel().tolist()) / n
        assert loss.mean(costs, share) == near(exact, rel=2 * float(np.finfo(dtype).eps))
        weights: Array = np.arange(n).astype(dtype)
        expected = math.fsum((costs[:, 0].astype(float) * np.arange(n)).tolist()) / (
            n * (n - 1) / 2
        )
        found = loss.mean(costs, loss.shares(costs, weights))
        assert found == near(expected, rel=4 * float(np.finfo(dtype).eps))
    with pytest.raises(NonFiniteError, match="the loss is inf"):
        loss.mean(np.array([math.inf]), loss.shares(one(1)))


# -- gradients that are too small to matter ----------------------------------------------


@each_dtype
@pytest.mark.parametrize("classes", [1, 2])
def test_no_gradient_of_a_label_is_subnormal_and_the_loss_keeps_its_digits(
    classes: int, dtype: Any
) -> None:
    bound = math.log(FLUSHED[dtype])
    for logit in (-bound - 1, -bound + 1, *np.linspace(1, 800, 80)):
        z: Array = np.array([[logit]] if classes == 1 else [[0, logit]], dtype)
        loss: Any = BCEWithLogitsLoss() if classes == 1 else CrossEntropyLoss()
        cost = loss.forward(z, one(1, dtype) if classes == 1 else np.array([1]))
        assert_close(cost, true_loss_of_logit(z[0, -1].item(), 1.0), dtype)
        sizes = np.abs(loss.backward())
        assert ((sizes > FLUSHED[dtype]) == (logit < -bound)).all()
        assert ((sizes == 0) == (logit > -bound)).all()


# -- the line of a warning ---------------------------------------------------------------


def test_a_warning_names_the_line_of_the_user() -> None:
    model = Sequential(Dense(1, 1, rng=0), OtherSigmoid())
    model[0].parameters()[0].value = [[1.0]]
    x, y = np.array([[1000.0]]), np.array([[0.0]])
    objective = Objective(model, BCELoss())
    trainer = minifw.Trainer(model, BCELoss(), minifw.SGD(model.parameters(), lr=0.1))
    calls: list[Callable[[], Any]] = [
        lambda: BCELoss()(one(1), one(0)),
        lambda: objective.forward(x, y),
        lambda: trainer.fit(x, y, epochs=1),
        lambda: CategoricalCrossEntropyLoss()(np.array([[0.0, 1.0]]), np.array([0])),
    ]
    for call in calls:
        with pytest.warns(SaturationWarning) as caught:
            call()
        assert {warning.filename for warning in caught} == {__file__}
        lines = {warning.lineno for warning in caught}
        assert lines == {call.__code__.co_firstlineno}


# -- joints -----------------------------------------------------------------------------


def test_the_pairs_of_the_base_cannot_be_written_into() -> None:
    pairs: Any = Loss.joins
    with pytest.raises(TypeError):
        pairs[Sigmoid] = lambda _loss, _activation: BCEWithLogitsLoss()
    assert len(Loss.joins) == 0
    assert Squared.joins is Loss.joins


class OtherSigmoid(Sigmoid):
    def forward(self, x: Array) -> Array:
        return super().forward(2 * x)


class OtherBCE(BCELoss):
    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> float:
        return 2 * super().forward(prediction, target, sample_weight)


def test_bce_loss_is_joined_with_a_sigmoid() -> None:
    joined = BCELoss().joined_with(Sigmoid())
    assert type(joined) is BCEWithLogitsLoss
    assert joined.forward(one(1000), one(0)) == 1000


def test_every_joint_form_is_one_of_its_own() -> None:
    loss = BCELoss()
    assert loss.joined_with(Sigmoid()) is not loss.joined_with(Sigmoid())


@pytest.mark.parametrize(
    ("loss", "activation"),
    [
        (BCELoss(), Tanh()),
        (BCELoss(), Dense(1, 1)),
        (BCELoss(), Sequential(Dense(1, 1), Sigmoid())),
        (BCELoss(), OtherSigmoid()),
        (OtherBCE(), Sigmoid()),
        (OtherBCE(), OtherSigmoid()),
        (BCEWithLogitsLoss(), Sigmoid()),
        (Squared(), Sigmoid()),
    ],
)
def test_nothing_else_is_joined(loss: Loss, activation: Layer) -> None:
    assert loss.joined_with(activation) is None


def test_a_subclass_declares_pairs_of_its_own() -> None:
    seen = []

    class Paired(Squared):
        joins = {Tanh: lambda loss, activation: seen.append((loss, activation)) or Squared(3.0)}  # type: ignore[func-returns-value]  # noqa: RUF012

    loss, activation = Paired(), Tanh()
    joined = loss.joined_with(activation)
    assert repr(joined) == "Squared(3.0)"
    assert seen == [(loss, activation)]
    assert loss.joined_with(Sigmoid()) is None


# -- copies ------------------------------------------------------------------------------


@each_loss
def test_a_pickle_does_not_grow_with_the_batch(make: Make) -> None:
    loss = make()
    sizes = []
    for n in (1, 10_000):
        loss.forward(*random_batch(make, (n, 1)))
        sizes.append(len(pickle.dumps(loss)))
    assert sizes[1] < sizes[0] + 100
