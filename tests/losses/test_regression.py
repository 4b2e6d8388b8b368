"""The losses of a number and of a margin, against loops in plain Python."""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from recorded import recorded
from sklearn.metrics import mean_pinball_loss

from minifw import (
    Adam,
    Array,
    Dense,
    HingeLoss,
    HuberLoss,
    Increasing,
    L1Loss,
    Loss,
    MSELoss,
    NonFiniteError,
    PinballLoss,
    PoissonLoss,
    Sequential,
    Tanh,
    Trainer,
)

Number = Callable[[float, float], float]


def sign(x: float) -> float:
    return math.copysign(1.0, x) if x else 0.0


def huber(delta: float) -> Number:
    """Return Huber's two cases as he writes them."""

    def cost(p: float, t: float) -> float:
        size = abs(p - t)
        return size**2 / 2 if size <= delta else delta * size - delta**2 / 2

    return cost


def huber_slope(delta: float) -> Number:
    return lambda p, t: p - t if abs(p - t) <= delta else delta * sign(p - t)


# A loss, the cost of one element and its slope.
LOSSES: dict[str, tuple[Loss, Number, Number]] = {
    "MSELoss": (MSELoss(), lambda p, t: (p - t) ** 2, lambda p, t: 2 * (p - t)),
    "L1Loss": (L1Loss(), lambda p, t: abs(p - t), lambda p, t: sign(p - t)),
    "HuberLoss": (HuberLoss(), huber(1.0), huber_slope(1.0)),
    "HuberLoss, delta": (HuberLoss(0.3), huber(0.3), huber_slope(0.3)),
    "HingeLoss": (
        HingeLoss(),
        lambda p, t: max(0.0, 1 - t * p),
        lambda p, t: -t if t * p < 1 else 0.0,
    ),
    "HingeLoss, margin": (
        HingeLoss(margin=0.2),
        lambda p, t: max(0.0, 0.2 - t * p),
        lambda p, t: -t if t * p < 0.2 else 0.0,
    ),
    "HingeLoss, perceptron": (
        HingeLoss(0),
        lambda p, t: max(0.0, -t * p),
        lambda p, t: -t if t * p < 0 else 0.0,
    ),
}
each_loss = pytest.mark.parametrize(("loss", "cost", "slope"), LOSSES.values(), ids=LOSSES)
each_dtype = pytest.mark.parametrize("dtype", [np.float64, np.float32])


def batch(loss: Loss, shape: tuple[int, ...] = (6, 3), dtype: Any = np.float64) -> Any:
    rng = np.random.default_rng(0)
    prediction, target = 2 * rng.standard_normal((2, *shape))
    if isinstance(loss, HingeLoss):
        target = np.where(target > 0, 1.0, -1.0)
    return prediction.astype(dtype), target.astype(dtype)


@each_loss
@pytest.mark.parametrize("shape", [(1,), (5,), (1, 1), (6, 1), (6, 3), (2, 3, 4)])
@pytest.mark.parametrize("weighted", [False, True])
def test_it_is_the_formula(
    loss: Any, cost: Number, slope: Number, shape: tuple[int, ...], weighted: bool
) -> None:
    prediction, target = batch(loss, shape)
    n = shape[0]
    weights = np.linspace(0.5, 2.0, n)
    share = weights / math.fsum(weights) if weighted else np.full(n, 1 / n)
    value = loss(prediction, target, weights if weighted else None)
    gradient = loss.backward().reshape(n, -1)
    costs = []
    for i, (ps, ts) in enumerate(
        zip(prediction.reshape(n, -1).tolist(), target.reshape(n, -1).tolist(), strict=True)
    ):
        for c, (p, t) in enumerate(zip(ps, ts, strict=True)):
            costs.append(share[i] * cost(p, t) / len(ps))
            assert gradient[i, c] == pytest.approx(share[i] * slope(p, t) / len(ps), abs=1e-15)
    assert type(value) is float
    assert value == pytest.approx(math.fsum(costs), rel=1e-14)


@each_loss
@each_dtype
def test_dtype_and_shape_are_kept(loss: Any, cost: Number, slope: Number, dtype: Any) -> None:
    prediction, target = batch(loss, dtype=dtype)
    value = loss.forward(prediction, target)
    gradient = loss.backward()
    assert gradient.dtype == dtype
    assert gradient.shape == prediction.shape
    pairs = list(zip(prediction.ravel().tolist(), target.ravel().tolist(), strict=True))
    assert value == pytest.approx(math.fsum(cost(p, t) for p, t in pairs) / 18, rel=1e-6)
    expected = [slope(p, t) / 18 for p, t in pairs]
    np.testing.assert_allclose(gradient.ravel(), expected, rtol=1e-6, atol=1e-7)
    loss(prediction, target, np.arange(6).astype(dtype))
    assert loss.backward().dtype == dtype


@each_loss
@each_dtype
@pytest.mark.parametrize("size", [1e4, -1e4, 1e15, -1e30, 1e30])
def test_extremes(loss: Any, cost: Number, slope: Number, size: float, dtype: Any) -> None:
    prediction: Array = np.array([[size]], dtype)
    target: Array = np.array([[1.0]], dtype)
    p = float(prediction[0, 0])
    assert loss.forward(prediction, target) == pytest.approx(cost(p, 1.0), rel=1e-6)
    assert loss.backward().item() == pytest.approx(slope(p, 1.0), rel=1e-6)


@each_loss
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused(
    loss: Loss, cost: Number, slope: Number, bad: float
) -> None:
    prediction, target = np.array([bad]), np.array([1.0])
    if isinstance(loss, HingeLoss) and bad > 0:
        assert loss.forward(prediction, target) == cost(bad, 1.0) == slope(bad, 1.0) == 0
        return
    with pytest.raises(NonFiniteError, match="the loss is"):
        loss.forward(prediction, target)


@pytest.mark.parametrize("loss", [MSELoss(), L1Loss()])
def test_what_overflows_is_refused_without_a_warning(loss: Loss) -> None:
    largest = 1.7e308
    with pytest.raises(NonFiniteError, match="the loss is inf"):
        loss.forward(np.array([largest]), np.array([-largest]))


@each_loss
def test_a_whole_weight_is_that_many_rows(loss: Loss, cost: Number, slope: Number) -> None:
    del cost, slope
    prediction, target = batch(loss)
    times = np.array([1, 3, 0, 2, 1, 4])
    value = loss(prediction, target, times.astype(float))
    gradient = loss.backward()
    repeated = loss(np.repeat(prediction, times, axis=0), np.repeat(target, times, axis=0))
    assert value == pytest.approx(repeated, rel=1e-13)
    summed = np.zeros_like(prediction)
    np.add.at(summed, np.repeat(np.arange(6), times), loss.backward())
    np.testing.assert_allclose(gradient, summed, rtol=1e-13)


@pytest.mark.parametrize("loss", [loss for loss, _, _ in LOSSES.values()], ids=LOSSES)
@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        (np.ones((6, 1)), ValueError, r"use sample_weight\.ravel\(\)"),
        (np.ones((3, 6)), ValueError, r"for more leading axes of \(6, 3\), got \(3, 6\)"),
        (np.zeros(6), ValueError, "above 0"),
        (np.array([1, 1, 1, 1, -0.5, 1]), ValueError, "got -0.5 at index 4"),
        (np.ones(6, np.float32), TypeError, "dtype of prediction"),
    ],
)
def test_bad_weights_are_refused(loss: Loss, weights: Any, error: Any, message: str) -> None:
    prediction, target = batch(loss)
    loss.forward(prediction, target)
    before = loss.backward()
    with pytest.raises(error, match=message):
        loss(prediction, target, weights)
    np.testing.assert_array_equal(loss.backward(), before)


@each_loss
def test_shapes_and_dtypes_that_differ_are_refused(
    loss: Loss, cost: Number, slope: Number
) -> None:
    del cost, slope
    ones: Array = np.ones((6, 1))
    with pytest.raises(ValueError, match=r"use target\.reshape\(\(6, 1\)\)"):
        loss.forward(ones, ones[:, 0])
    with pytest.raises(TypeError, match="dtype of prediction"):
        loss.forward(ones, ones.astype(np.float32))
    with pytest.raises(TypeError, match="int64"):
        loss.forward(ones, ones.astype(int))


@pytest.mark.parametrize("n", [1, 3, 7, 49, 1000])
def test_the_mean_of_float32_squares_loses_no_digits(n: int) -> None:
    ones, zeros = np.ones((n, 1), np.float32), np.zeros((n, 1), np.float32)
    assert MSELoss()(ones, zeros) == pytest.approx(1.0, rel=1e-15)
    errors = np.random.default_rng(n).standard_normal((n, 1)).astype(np.float32)
    exact = sum(Fraction(e) ** 2 for e in errors.ravel().tolist()) / n
    assert MSELoss()(errors, zeros) == pytest.approx(float(exact), rel=1e-14)


def test_huber_is_between_the_two_others() -> None:
    prediction, target = batch(MSELoss())
    square, absolute = MSELoss().forward(prediction, target), L1Loss().forward(prediction, target)
    assert HuberLoss(1e6).forward(prediction, target) == pytest.approx(square / 2, rel=1e-14)
    small = 1e-9
    found = HuberLoss(small).forward(prediction, target) / small
    assert found == pytest.approx(absolute, rel=1e-8)
    single: Array = np.array([[3.0]], np.float32)
    assert HuberLoss(1e300).forward(single, 0 * single) == 4.5  # beyond float32


def test_slopes_at_the_kinks() -> None:
    zero = np.zeros((2, 1))
    for loss in (L1Loss(), MSELoss(), HuberLoss()):
        assert loss.forward(zero, zero) == 0
        np.testing.assert_array_equal(loss.backward(), zero)
    hinge = HingeLoss()
    assert hinge.forward(np.array([1.0, -1.0]), np.array([1.0, -1.0])) == 0
    np.testing.assert_array_equal(hinge.backward(), [0.0, 0.0])


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ([[1.0], [0.0]], r"-1 or 1, got 0\.0 at index \(1, 0\); use 2 \* target - 1"),
        ([[1.0], [-2.0]], r"got -2\.0 at index \(1, 0\)$"),
        ([[math.nan], [1.0]], r"got nan at index \(0, 0\)$"),
    ],
)
def test_hinge_takes_labels_of_minus_1_and_1(target: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HingeLoss().forward(np.zeros((2, 1)), np.array(target))


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf, "a", None, True])
def test_bad_arguments_are_refused(value: Any) -> None:
    for make, name in ((HuberLoss, "delta"), (HingeLoss, "margin")):
        with pytest.raises((ValueError, TypeError), match=f"{make.__name__} expects {name}"):
            make(value)
    with pytest.raises(ValueError, match="above 0"):
        HuberLoss(0.0)


@pytest.mark.parametrize("log_input", [True, False])
@pytest.mark.parametrize("full", [True, False])
def test_counts_against_pytorch(log_input: bool, full: bool) -> None:
    rng = np.random.default_rng(0)
    z, counts = rng.standard_normal((6, 3)), rng.poisson(1.5, (6, 3)).astype(float)
    prediction = z if log_input else np.append(np.exp(z[:-1]), [[0.0, 0.0, 1.0]], axis=0)

    def compute(torch: Any) -> Any:
        p = torch.tensor(prediction, requires_grad=True)
        value = torch.nn.PoissonNLLLoss(log_input, full)(p, torch.tensor(counts))
        value.backward()
        return [value, p.grad]

    name = f"losses/PoissonLoss {log_input} {full}"
    value, gradient = recorded(name, (prediction, counts), compute)
    loss = PoissonLoss(log_input, full)
    assert loss.forward(prediction, counts) == pytest.approx(value, rel=1e-14)
    np.testing.assert_allclose(loss.backward(), gradient, rtol=1e-12)


def test_counts_at_the_extremes_and_below_0() -> None:
    loss, one = PoissonLoss(), np.ones((1, 1))
    assert loss.forward(-1e4 * one, 3 * one) == 3e4
    assert loss.backward() == -3
    with pytest.raises(NonFiniteError, match="the loss is inf"):
        loss.forward(1e4 * one, one)
    with pytest.raises(NonFiniteError):
        loss.forward(100 * one.astype(np.float32), one.astype(np.float32))
    with pytest.raises(NonFiniteError, match="the loss is nan"):
        PoissonLoss(log_input=False).forward(-one, one)
    with pytest.raises(ValueError, match=r"every target to be at least 0, got -1\.0"):
        loss.forward(one, -one)
    with pytest.raises(TypeError, match="PoissonLoss expects full to be True or False"):
        PoissonLoss(full=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="PoissonLoss expects eps"):
        PoissonLoss(eps=0.0)


# -- quantiles -----------------------------------------------------------------------------


def test_pinball_is_that_of_scikit_learn() -> None:
    rng, levels = np.random.default_rng(3), (0.1, 0.5, 0.8)
    prediction, target = rng.standard_normal((7, 3)), rng.standard_normal((7, 1))
    weight = rng.random(7)
    for sample_weight in (None, weight):
        theirs = [
            mean_pinball_loss(target, column, sample_weight=sample_weight, alpha=level)
            for column, level in zip(prediction.T[:, :, np.newaxis], levels, strict=True)
        ]
        got = PinballLoss(levels).forward(prediction, target, sample_weight)
        assert got == pytest.approx(np.mean(theirs), rel=1e-14)


def test_what_a_pinball_loss_refuses() -> None:
    for levels in ((), (0.5, 0.5), (0.9, 0.1), (0.0, 0.5), (0.5, 1.0), (np.nan,)):
        with pytest.raises(ValueError, match="quantiles"):
            PinballLoss(levels)
    with pytest.raises(TypeError, match="expects quantiles to be a number, got None"):
        PinballLoss(None)  # type: ignore[arg-type]
    loss = PinballLoss((0.1, 0.9))
    with pytest.raises(ValueError, match=r"shape \(batch, 2\), a column for each quantile"):
        loss.forward(np.zeros((3, 1)), np.zeros((3, 1)))
    with pytest.raises(ValueError, match=r"use target.reshape\(\(3, 1\)\)"):
        loss.forward(np.zeros((3, 2)), np.zeros(3))


def test_quantiles_of_a_trained_network_hold_their_shares_and_do_not_cross() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (2000, 1))
    y = x + (0.2 + 0.5 * np.abs(x)) * rng.standard_normal((2000, 1))
    model = Sequential(Dense(1, 16, rng=1), Tanh(), Dense(16, 3, rng=2), Increasing())
    loss = PinballLoss((0.1, 0.5, 0.9))
    trainer = Trainer(model, loss, Adam(model.parameters(), lr=0.02), rng=3)
    trainer.fit(x, y, epochs=40, batch_size=100)
    quantiles = model.predict(x)
    np.testing.assert_allclose((y < quantiles).mean(axis=0), loss.quantiles, atol=0.03)
    assert (np.diff(quantiles, axis=1) > 0).all()
