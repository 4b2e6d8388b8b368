"""The activations against formulas of single numbers, decimal arithmetic, and at the extremes."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import cache
from typing import Any

import numpy as np
import pytest
from cases import CASES, Case
from hypothesis import given
from hypothesis import strategies as st

import minifw
from minifw import (
    ELU,
    GELU,
    SELU,
    Array,
    Clamp,
    Dense,
    HardTanh,
    Layer,
    LeakyReLU,
    LogSoftmax,
    Mish,
    PReLU,
    ReLU,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from minifw._tools.arrays import in_blocks
from minifw.layers._special import expm1, log1p, normal, sigmoids

each_dtype = pytest.mark.parametrize("dtype", [np.float64, np.float32])
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805  # Klambauer et al., section 2


@dataclass(frozen=True)
class Formula:
    """An activation as a function of one Python float, and its slope."""

    layer: Any
    y: Callable[[float], float]
    slope: Callable[[float], float]

    def __str__(self) -> str:
        return repr(self.layer)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else math.exp(x)


def phi(x: float) -> float:
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def cdf(x: float) -> float:
    return math.erfc(-x / math.sqrt(2)) / 2


def inner(x: float) -> float:
    return math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)


def tanh_gelu_slope(x: float) -> float:
    t = math.tanh(inner(x))
    return (1 + t) / 2 + x / 2 * (1 - t * t) * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)


def mish_gate(x: float) -> float:
    return math.tanh(math.log1p(math.exp(x)))


def mish_slope(x: float) -> float:
    t = mish_gate(x)
    return t + x * (1 - t * t) * sigmoid(x)


FORMULAS = [
    Formula(ReLU(), lambda x: max(x, 0.0), lambda x: float(x > 0)),
    Formula(LeakyReLU(), lambda x: x if x > 0 else x / 100, lambda x: 1.0 if x > 0 else 0.01),
    Formula(LeakyReLU(-2), lambda x: x if x > 0 else -2 * x, lambda x: 1.0 if x > 0 else -2.0),
    Formula(PReLU(), lambda x: x if x > 0 else x / 4, lambda x: 1.0 if x > 0 else 0.25),
    Formula(ELU(), lambda x: x if x > 0 else math.expm1(x), lambda x: math.exp(min(x, 0))),
    Formula(
        ELU(0.5),
        lambda x: x if x > 0 else math.expm1(x) / 2,
        lambda x: 1.0 if x > 0 else math.exp(x) / 2,
    ),
    Formula(ELU(0), lambda x: max(x, 0.0), lambda x: float(x > 0)),
    Formula(
        SELU(),
        lambda x: SELU_SCALE * (x if x > 0 else SELU_ALPHA * math.expm1(x)),
        lambda x: SELU_SCALE * (1.0 if x > 0 else SELU_ALPHA * math.exp(x)),
    ),
    Formula(Clamp(-1, 2), lambda x: sorted((-1.0, x, 2.0))[1], lambda x: float(-1 <= x <= 2)),
    Formula(Clamp(min=0.5), lambda x: max(x, 0.5), lambda x: float(x >= 0.5)),
    Formula(HardTanh(), lambda x: sorted((-1.0, x, 1.0))[1], lambda x: float(abs(x) < 1)),
    Formula(HardTanh(0, 6), lambda x: sorted((0.0, x, 6.0))[1], lambda x: float(0 < x < 6)),
    Formula(GELU(), lambda x: x * cdf(x), lambda x: cdf(x) + x * phi(x)),
    Formula(GELU("tanh"), lambda x: x / 2 * (1 + math.tanh(inner(x))), tanh_gelu_slope),
    Formula(Mish(), lambda x: x * mish_gate(x), mish_slope),
    Formula(
        SiLU(),
        lambda x: x * sigmoid(x),
        lambda x: sigmoid(x) + x * sigmoid(x) * sigmoid(-x),
    ),
    Formula(Softplus(), lambda x: math.log1p(math.exp(x)), sigmoid),
    Formula(
        Softplus(2.5), lambda x: math.log1p(math.exp(2.5 * x)) / 2.5, lambda x: sigmoid(2.5 * x)
    ),
]
each_formula = pytest.mark.parametrize("formula", FORMULAS, ids=str)
ELEMENTWISE = [formula.layer for formula in FORMULAS]
each_layer = pytest.mark.parametrize("layer", ELEMENTWISE, ids=repr)


def value_and_slope(layer: Any, x: Array) -> tuple[Array, Array]:
    return layer.forward(x), layer.backward(np.ones_like(x))


# -- values -----------------------------------------------------------------------------


@each_formula
def test_values_and_slopes_are_those_of_the_formula(formula: Formula) -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([np.linspace(-30, 30, 601), rng.standard_normal(399)]).reshape(-1, 2)
    dy = rng.standard_normal(x.shape)
    y, dx = formula.layer.forward(x), formula.layer.backward(dy)
    for index in np.ndindex(x.shape):
        number = float(x[index])
        assert y[index] == pytest.approx(formula.y(number), rel=1e-13, abs=1e-15)
        slope = formula.slope(number) * dy[index]
        assert dx[index] == pytest.approx(slope, rel=1e-12, abs=1e-13)


@each_formula
def test_float32_has_the_digits_of_float32(formula: Formula) -> None:
    x: Array = np.linspace(-12, 12, 241, dtype=np.float32).reshape(-1, 1)
    layer = PReLU(dtype=np.float32) if formula.layer.parameters() else formula.layer
    y, slope = value_and_slope(layer, x)
    assert y.dtype == slope.dtype == np.float32
    for number, one, its_slope in zip(x.flat, y.flat, slope.flat, strict=True):
        assert one == pytest.approx(formula.y(float(number)), rel=4e-6, abs=1e-7)
        assert its_slope == pytest.approx(formula.slope(float(number)), rel=4e-6, abs=1e-6)


@pytest.mark.parametrize(
    ("layer", "x", "y"),
    [
        (GELU(), 1.0, 0.8413447460685429),  # Phi(1), Abramowitz and Stegun, table 26.1
        (GELU(), -3.0, -3 * 0.0013498980316301),
        (GELU(), -10.0, -10 * 7.61985302416052606e-24),  # table 26.2: 7.61985e-24
        (SELU(), -1e4, -1.7580993408473766),  # -lambda alpha
        (Softplus(), 0.0, 0.6931471805599453),  # log 2
        (SiLU(), 1.0, 0.7310585786300049),  # s(1)
        (ELU(), -1.0, -0.6321205588285577),  # 1/e - 1
    ],
)
def test_published_values(layer: Any, x: float, y: float) -> None:
    assert layer.forward(np.array([[x]])).item() == pytest.approx(y, rel=3e-14)


def test_the_smallest_value_of_silu_is_where_its_paper_says() -> None:
    """Elfwing et al., section 2.1: a minimum of about -0.28 at about -1.28."""
    y, slope = value_and_slope(SiLU(), np.array([[-1.2784645427610738]]))
    assert y.item() == pytest.approx(-0.2784645427610738, rel=1e-14)
    assert slope.item() == pytest.approx(0, abs=1e-15)


def test_tanh_gelu_is_near_the_exact_one_and_not_it() -> None:
    x = np.linspace(-6, 6, 1201).reshape(-1, 1)
    difference = np.abs(GELU("tanh").forward(x) - GELU().forward(x)).max()
    assert 4e-4 < difference < 5e-4


# -- identities -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [GELU, SiLU, Softplus, ReLU])
@given(x=st.floats(-1e300, 1e300))
def test_f_of_x_less_f_of_minus_x_is_x(kind: Callable[[], Layer], x: float) -> None:
    """It is so for x g(x) with a gate g(x) + g(-x) = 1, and for the integral of such a gate."""
    layers = [kind(), GELU("tanh")] if kind is GELU else [kind()]
    for layer in layers:
        y, slope = value_and_slope(layer, np.array([[x], [-x]]))
        assert y[0, 0] - y[1, 0] == pytest.approx(x, rel=1e-14, abs=1e-15)
        if x or kind is not ReLU:
            assert slope.sum() == pytest.approx(1, rel=1e-14)


def test_relatives() -> None:
    x = np.random.default_rng(1).standard_normal((50, 4)) * 3
    dy = np.random.default_rng(2).standard_normal(x.shape)
    prelu = PReLU(4, 0.01)
    for first, second in (
        (LeakyReLU(0), ReLU()),
        (LeakyReLU(), prelu),
        (HardTanh(0, 1e9), ReLU()),
        (ELU(0), ReLU()),
    ):
        np.testing.assert_array_equal(first.forward(x), second.forward(x))
        np.testing.assert_array_equal(first.backward(dy), second.backward(dy))
    np.testing.assert_allclose(Softplus(1e6).forward(x), ReLU().forward(x), atol=1e-6)
    np.testing.assert_array_equal(LeakyReLU(1).forward(x), x)
    np.testing.assert_allclose(Softplus().forward(x), -np.log(Sigmoid().forward(-x)), rtol=1e-12)
    np.testing.assert_allclose(SiLU().forward(x), x * Sigmoid().forward(x), rtol=1e-14)


def test_selu_keeps_mean_zero_and_variance_one() -> None:
    """Its two constants are the solution of these two equations (Klambauer et al., theorem 1)."""
    z = np.linspace(-12, 12, 2_400_001)
    weights = np.exp(-z * z / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])
    y = SELU().forward(z.reshape(-1, 1)).ravel()
    assert weights @ y == pytest.approx(0, abs=1e-10)
    assert weights @ (y * y) == pytest.approx(1, abs=1e-10)


# -- kinks ------------------------------------------------------------------------------


@each_dtype
@pytest.mark.parametrize(
    ("layer", "x", "slope"),
    [
        (ReLU(), 0.0, 0.0),
        (ReLU(), -0.0, 0.0),
        (LeakyReLU(0.25), 0.0, 0.25),
        (ELU(0.5), 0.0, 0.5),
        (ELU(), 0.0, 1.0),
        (SELU(), 0.0, SELU_ALPHA * SELU_SCALE),
        (Clamp(-1, 1), 1.0, 1.0),
        (Clamp(-1, 1), -1.0, 1.0),
        (Clamp(0.1, 0.7), 0.7, 1.0),  # which float32 rounds
        (Clamp(max=0), 0.0, 1.0),
        (HardTanh(), 1.0, 0.0),
        (HardTanh(), -1.0, 0.0),
        (HardTanh(0.1, 0.7), 0.7, 0.0),  # which float32 rounds
        (HardTanh(0.1, 0.7), 0.1, 0.0),
    ],
)
def test_the_slope_at_a_kink_is_pytorchs(
    layer: Layer, x: float, slope: float, dtype: type
) -> None:
    _, found = value_and_slope(layer, np.array([[x]], dtype))
    assert found.item() == pytest.approx(slope, rel=float(4 * np.finfo(dtype).eps))


@each_dtype
def test_the_slopes_of_prelu_at_its_kink(dtype: type) -> None:
    layer = PReLU(dtype=dtype)
    _, slope = value_and_slope(layer, np.zeros((2, 3), dtype))
    assert (slope == 0.25).all()
    assert layer.weight.grad.item() == 0


# -- extremes ---------------------------------------------------------------------------

LARGE: dict[type, list[float]] = {
    np.float64: [40, 746, 1e4, 1e30, 1e154, 1e300, float(np.finfo(np.float64).max)],
    np.float32: [40, 104, 1e4, 1e18, 1e30, float(np.finfo(np.float32).max)],
}


def limits(layer: Layer, x: Array) -> tuple[Array, Array, Array, Array]:
    """Return y and slope for x and for -x, for an x so large that all exponentials are 0."""
    one, zero = np.ones_like(x), np.zeros_like(x)
    below: dict[type, tuple[Array, Array]] = {
        LeakyReLU: (-0.01 * x, 0.01 * one),
        PReLU: (-0.25 * x, 0.25 * one),
        ELU: (-one, zero),
    }
    if isinstance(layer, HardTanh):
        return one, zero, -one, zero
    return x, one, *below.get(type(layer), (zero, zero))


@each_dtype
@pytest.mark.parametrize(
    "kind",
    [ReLU, LeakyReLU, PReLU, ELU, HardTanh, GELU, lambda: GELU("tanh"), Mish, SiLU, Softplus],
)
def test_extremes(kind: Any, dtype: type) -> None:
    layer = PReLU(dtype=dtype) if kind is PReLU else kind()
    x: Array = np.array([LARGE[dtype]], dtype)
    found = (*value_and_slope(layer, x), *value_and_slope(layer, -x))
    eps, tiny = float(np.finfo(dtype).eps), 1e-15  # exp(-40), times 40 or so, is there still
    for one, limit in zip(found, limits(layer, x), strict=True):
        assert one.dtype == dtype
        assert np.isfinite(one).all()
        np.testing.assert_allclose(one, limit, rtol=eps, atol=tiny)


@each_dtype
def test_selu_at_the_extremes(dtype: type) -> None:
    x: Array = np.array([LARGE[dtype][:-1]], dtype)
    eps = float(np.finfo(dtype).eps)
    y, slope = value_and_slope(SELU(), x)
    np.testing.assert_allclose(y, np.longdouble(SELU_SCALE) * x, rtol=2 * eps)
    np.testing.assert_allclose(slope, SELU_SCALE, rtol=eps)
    y, slope = value_and_slope(SELU(), -x)
    np.testing.assert_allclose(y, -SELU_ALPHA * SELU_SCALE, rtol=2 * eps)
    np.testing.assert_allclose(slope, 0, atol=1e-16)
    assert SELU().forward(np.array([[np.finfo(dtype).max]], dtype)).item() == math.inf


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("layer", "limit"), [(ELU(2.0), -2.0), (SELU(), -1.7580993408473766)])
def test_an_exponential_reaches_its_limit_at_minus_infinity(
    layer: ELU | SELU, limit: float, dtype: type
) -> None:
    # -a and -l a, as PyTorch 2.13 gives them.
    y = layer.forward(np.array([[-np.inf, np.inf]], dtype))
    assert y[0].tolist() == [pytest.approx(limit, rel=1e-7), np.inf]
    assert layer.backward(np.ones_like(y))[0, 0] == 0


@each_dtype
@pytest.mark.parametrize("slope", [3.0, -3.0])
def test_what_is_beyond_the_largest_float_is_infinite_without_a_warning(
    slope: float, dtype: type
) -> None:
    largest = float(np.finfo(dtype).max)
    x: Array = np.array([[largest, -largest]], dtype)
    for layer in (LeakyReLU(slope), PReLU(1, slope, dtype=dtype)):
        assert layer.forward(x).tolist() == [[largest, -math.copysign(math.inf, slope)]]
        layer.backward(x)


@each_layer
def test_tails_keep_their_digits(layer: Layer) -> None:
    """Below -37, where 1 + anything rounds to 1, y and its slope are still right."""
    x = np.array([[-37.2]])
    y, slope = (array.item() for array in value_and_slope(layer, x))
    tail = math.exp(-37.2)
    far = math.erfc(37.2 / math.sqrt(2)) / 2
    tails: dict[type, tuple[float, float]] = {
        Mish: (-37.2 * tail, -36.2 * tail),  # t is exp(x) far below 0
        SiLU: (-37.2 * tail, -36.2 * tail),
        Softplus: (tail, tail),
        GELU: (-37.2 * far, far - 37.2 * phi(37.2)),
    }
    truth = tails.get(type(layer))
    if repr(layer) == "Softplus(2.5)":
        truth = (math.exp(-93) / 2.5, math.exp(-93))
    if repr(layer) == "GELU('tanh')":
        tail = math.exp(2 * inner(-37.2))  # 0, far below the smallest number
        truth = (-0.0, 0.0)
    if truth is not None:
        assert y == pytest.approx(truth[0], rel=1e-12, abs=0)
        assert slope == pytest.approx(truth[1], rel=1e-12, abs=0)
    if isinstance(layer, ELU) and layer.alpha:
        assert slope == pytest.approx(layer.alpha * tail, rel=1e-14, abs=0)


def test_the_tail_of_tanh_gelu() -> None:
    x = -8.0
    gate = math.exp(2 * inner(x))  # s(u) for u far below 0
    y, slope = value_and_slope(GELU("tanh"), np.array([[x]]))
    du = 2 * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)
    assert y.item() == pytest.approx(x * gate, rel=1e-12, abs=0)
    assert slope.item() == pytest.approx(gate * (1 + x * du), rel=1e-12, abs=0)


@pytest.mark.parametrize("kind", [Clamp, HardTanh])
def test_a_bound_beyond_float32_is_none(kind: Any) -> None:
    x: Array = np.array([[-3e38, 3e38]], np.float32)
    y, slope = value_and_slope(kind(-1e300, 1e300), x)
    np.testing.assert_array_equal(y, x)
    assert slope.tolist() == [[1, 1]]


@each_layer
def test_nan_goes_through(layer: Layer) -> None:
    x = np.array([[np.nan, 1.0]])
    assert np.isnan(layer.forward(x)).tolist() == [[True, False]]


@given(x=st.floats(allow_nan=False, allow_infinity=False), wide=st.booleans())
def test_no_finite_input_makes_a_nan_or_a_warning(x: float, wide: bool) -> None:
    dtype = np.float64 if wide else np.float32
    x = max(min(x, float(np.finfo(dtype).max)), float(np.finfo(dtype).min))
    batch: Array = np.array([[x, 1.0], [0.5, x], [-x, x]], dtype)
    layers = [layer for layer in ELEMENTWISE if not layer.parameters()]
    for layer in (*layers, PReLU(2, dtype=dtype), Softmax(), LogSoftmax()):
        for array in value_and_slope(layer, batch):
            assert not np.isnan(array).any(), layer


# -- the normal distribution, in 60 decimal digits ---------------------------------------

FEW_ULPS = 5  # in units of the machine epsilon: two exponentials, a ratio, two products


@cache
def true_tail(a: float) -> tuple[Decimal, Decimal]:
    """Return P(X > a) and phi(a) for a >= 0, by a series, or a continued fraction.

    Abramowitz and Stegun, 26.2.11 and 26.2.14.
    """
    with localcontext() as context:
        context.prec = 60
        x = Decimal(a)
        pi = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")
        density = (-x * x / 2).exp() / (2 * pi).sqrt()
        if a < 6:
            term = total = x
            for odd in itertools.count(3, 2):
                term = term * x * x / odd
                if term <= total * Decimal("1e-60"):
                    return Decimal("0.5") - density * total, density
                total += term
        fraction = Decimal(0)
        for k in range(300, 0, -1):
            fraction = k / (x + fraction)
        return density / (x + fraction), density


@each_dtype
def test_normal_is_right_to_a_few_units_in_the_last_place(dtype: type) -> None:
    last = 37.5 if dtype is np.float64 else 13.0  # beyond, numbers lose their digits
    edges = [0.66291, math.sqrt(32)]  # of the three approximations
    near = [edge * (1 + k * 1e-7) for edge in edges for k in (-1, 0, 1)]
    a = [*np.linspace(0, last, 1001).tolist(), *near, 1e-8, 1e-30]
    x: Array = np.array([a, [-number for number in a]], dtype)
    tolerance = FEW_ULPS * float(np.finfo(dtype).eps)
    for number, p, density in zip(x.flat, *(array.flat for array in normal(x)), strict=True):
        tail, true_density = true_tail(abs(float(number)))
        true_p = tail if number < 0 else 1 - tail
        assert abs(Decimal(float(p)) / true_p - 1) < tolerance, number
        assert abs(Decimal(float(density)) / true_density - 1) < tolerance, number


def test_normal_is_what_erf_and_erfc_say() -> None:
    eps = float(np.finfo(np.float64).eps)
    x = np.linspace(-38, 38, 7601)
    for number, p in zip(x.tolist(), normal(x)[0].tolist(), strict=True):
        # x / sqrt(2) is rounded on the way into erfc, which costs x^2 units of the last place
        near = (8 + number * number) * eps
        assert p == pytest.approx(math.erfc(-number / math.sqrt(2)) / 2, rel=near, abs=5e-324)
        assert p == pytest.approx((1 + math.erf(number / math.sqrt(2))) / 2, rel=1, abs=2 * eps)


def set_normal(x: Array, p: Array, density: Array) -> None:
    p[...], density[...] = normal(x)


@pytest.mark.parametrize("shape", [(300, 150), (3, 60, 250)])
def test_many_numbers_in_blocks_are_each_what_it_is_alone(shape: tuple[int, ...]) -> None:
    """In any layout, which the result has, too."""
    x = np.random.default_rng(0).standard_normal(shape) * 5
    gaps = np.repeat(x, 2, axis=-1)[..., ::2]
    last = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, -1, 0)), 0, -1)
    row = np.broadcast_to(x[0], shape)
    for one in (x, np.asfortranarray(x), gaps, last, x[::-1], row):
        alone = [np.stack(rows) for rows in zip(*(normal(row) for row in one), strict=True)]
        for found, expected in zip(in_blocks(set_normal, one), alone, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-14)
            packed = one.flags.forc or one is last
            assert not packed or found.strides == one.strides


@each_dtype
def test_normal_beyond_the_reach_of_numbers(dtype: type) -> None:
    far = [40.0, 1e4, 1e30, float(np.finfo(dtype).max)]
    x: Array = np.array([far, [-number for number in far]], dtype)
    p, density = normal(x)
    assert p.tolist() == [[1.0] * 4, [0.0] * 4]
    assert not density.any()
    assert all(np.isnan(array).all() for array in normal(np.array([np.nan], dtype)))


@each_dtype
def test_both_sigmoids_keep_their_digits(dtype: type) -> None:
    eps = float(np.finfo(dtype).eps)
    x: Array = np.array([0, 1e-8, 0.5, 3, 20, 40, 80], dtype)  # the last one is SIGMOID_REACH
    for sign in (1, -1):
        s, rest = sigmoids(np.asarray(sign * x))
        for number, one, other in zip((sign * x).tolist(), s.tolist(), rest.tolist(), strict=True):
            for found, z in ((one, number), (other, -number)):
                with localcontext() as context:
                    context.prec = 60
                    truth = 1 / (1 + (-Decimal(z)).exp())
                assert abs(Decimal(found) / truth - 1) < 4 * eps


@each_dtype
def test_expm1_and_log1p_keep_their_digits(dtype: type) -> None:
    eps = float(np.finfo(dtype).eps)
    x: Array = -np.concatenate([np.geomspace(1e-30, 1e3, 400), [0.0]]).astype(dtype)
    with np.errstate(under="ignore"):
        e = np.exp(x)
        found = expm1(x, e)
    for one, number in zip(found.tolist(), x.tolist(), strict=True):
        assert one == pytest.approx(math.expm1(number), rel=4 * eps, abs=0)
    x = np.geomspace(1e-30, 5e34, 400).astype(dtype)
    for one, number in zip(log1p(x).tolist(), x.tolist(), strict=True):
        assert one == pytest.approx(math.log1p(number), rel=4 * eps, abs=0)


# -- PReLU ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "axis"), [((5, 3), 1), ((4, 3, 2, 2), 1), ((4, 2, 3), -1), ((4, 2, 3), 2)]
)
def test_prelu_sums_over_what_shares_a_slope(shape: tuple[int, ...], axis: int) -> None:
    rng = np.random.default_rng(0)
    x, dy, slopes = rng.standard_normal(shape), rng.standard_normal(shape), rng.standard_normal(3)
    layer = PReLU(3, axis=axis)
    layer.weight.value = slopes
    y, dx = layer.forward(x), layer.backward(dy)
    gradient = [0.0, 0.0, 0.0]
    for index in np.ndindex(shape):
        feature = index[axis]
        slope = slopes[feature] if x[index] < 0 else 1.0
        assert y[index] == slope * x[index]
        assert dx[index] == slope * dy[index]
        gradient[feature] += dy[index] * x[index] if x[index] < 0 else 0.0
    np.testing.assert_allclose(layer.weight.grad, gradient, rtol=1e-13)
    one = PReLU(axis=axis)
    one.forward(x)
    one.backward(dy)
    np.testing.assert_allclose(one.weight.grad, [sum(gradient)], rtol=1e-13)


def test_prelu_starts_as_in_its_paper_and_learns() -> None:
    layer = PReLU(2)
    assert layer.weight.value.tolist() == [0.25, 0.25]
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    assert PReLU(2, -0.5).weight.value.tolist() == [-0.5, -0.5]


@pytest.mark.parametrize(
    ("layer", "x", "error", "message"),
    [
        (PReLU(3), np.ones((2, 4)), ValueError, r"3 features along axis 1, got x of shape \(2, 4"),
        (PReLU(3), np.ones(3), ValueError, r"an axis 1 besides the batch.*x\[np\.newaxis\]"),
        (PReLU(3, axis=2), np.ones((2, 3)), ValueError, "an axis 2 besides the batch"),
        (PReLU(2, axis=-2), np.ones((2, 3)), ValueError, "an axis -2 besides the batch"),
        (PReLU(3), np.ones((2, 3), np.float32), TypeError, r"use x\.astype\(np\.float64\)"),
        (PReLU(dtype=np.float32), np.ones((2, 3)), TypeError, r"computes in float32"),
    ],
)
def test_prelu_refuses(layer: Layer, x: Array, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        layer.forward(x)


def test_prelu_of_a_wrong_width_is_found_at_composition() -> None:
    with pytest.raises(ValueError, match="3 features along axis 1"):
        Sequential(Dense(2, 4), PReLU(3))


# -- softmax ----------------------------------------------------------------------------


def rows(x: Array, axis: int) -> list[tuple[Any, list[float]]]:
    """Return every line of x along the axis, with the index that takes it out."""
    along = axis % x.ndim
    rest: list[Any] = [[slice(None)] if i == along else range(n) for i, n in enumerate(x.shape)]
    return [(index, x[index].tolist()) for index in itertools.product(*rest)]


@pytest.mark.parametrize(
    ("shape", "axis"), [((5, 4), -1), ((5, 4), 1), ((3, 4, 2), 1), ((3, 4, 2), -1), ((2, 1), -1)]
)
def test_softmax_and_its_logarithm_by_their_jacobians(shape: tuple[int, ...], axis: int) -> None:
    rng = np.random.default_rng(0)
    x, dy = 3 * rng.standard_normal(shape), rng.standard_normal(shape)
    soft, log = Softmax(axis), LogSoftmax(axis)
    y, dx, log_y, log_dx = soft.forward(x), soft.backward(dy), log.forward(x), log.backward(dy)
    for index, row in rows(x, axis):
        total = math.fsum(math.exp(z) for z in row)
        p = [math.exp(z) / total for z in row]
        d = dy[index].tolist()
        k = range(len(row))
        np.testing.assert_allclose(y[index], p, rtol=1e-14)
        np.testing.assert_allclose(
            log_y[index], [math.log(one) for one in p], rtol=1e-13, atol=1e-15
        )
        jacobian = [[p[i] * ((i == j) - p[j]) for j in k] for i in k]
        expected = [math.fsum(d[i] * jacobian[i][j] for i in k) for j in k]
        np.testing.assert_allclose(dx[index], expected, rtol=1e-12, atol=1e-15)
        expected = [math.fsum(d[i] * ((i == j) - p[j]) for i in k) for j in k]
        np.testing.assert_allclose(log_dx[index], expected, rtol=1e-12, atol=1e-15)


def test_softmax_of_two_is_the_sigmoid_of_the_difference() -> None:
    x = np.random.default_rng(0).standard_normal((20, 2)) * 5
    expected = Sigmoid().forward(x[:, :1] - x[:, 1:])
    np.testing.assert_allclose(Softmax().forward(x)[:, :1], expected, rtol=1e-13)


@each_dtype
def test_softmax_adds_up_to_one_and_does_not_see_a_shift(dtype: type) -> None:
    x: Array = np.asarray(np.random.default_rng(0).integers(-50, 50, (20, 7)), dtype)
    dy: Array = np.asarray(np.random.default_rng(1).standard_normal(x.shape), dtype)
    eps = float(np.finfo(dtype).eps)
    for layer in (Softmax(), LogSoftmax()):
        y, dx = layer.forward(x), layer.backward(dy)
        np.testing.assert_array_equal(layer.forward(x + 1024), y)
        np.testing.assert_allclose(dx.sum(axis=1), 0, atol=20 * eps)
    np.testing.assert_allclose(Softmax().forward(x).sum(axis=1), 1, rtol=4 * eps)
    np.testing.assert_allclose(np.exp(LogSoftmax().forward(x)).sum(axis=1), 1, rtol=40 * eps)


@each_dtype
def test_softmax_at_the_extremes(dtype: type) -> None:
    for far in LARGE[dtype]:
        layer = Softmax()
        y = layer.forward(np.array([[far, -far, far], [0, -far, -far]], dtype))
        np.testing.assert_allclose(y, [[0.5, 0.0, 0.5], [1.0, 0.0, 0.0]], rtol=1e-15, atol=1e-17)
        slope = layer.backward(np.array([[1, 0, 0], [1, 0, 0]], dtype))
        expected = [[0.25, 0.0, -0.25], [0.0, 0.0, 0.0]]
        np.testing.assert_allclose(slope, expected, rtol=1e-15, atol=1e-17)


@each_dtype
def test_log_softmax_at_the_extremes(dtype: type) -> None:
    for far in LARGE[dtype][:-1]:
        layer = LogSoftmax()
        x: Array = np.array([[far, -far]], dtype)
        assert layer.forward(x).tolist() == [[0, float(-2 * x[0, 0])]]
        slope = layer.backward(np.array([[0, -1]], dtype))
        np.testing.assert_allclose(slope, [[1.0, -1.0]], rtol=1e-15)
    far = LARGE[dtype][-1]
    assert LogSoftmax().forward(np.array([[far, -far]], dtype)).tolist() == [[0, -math.inf]]


@pytest.mark.parametrize("kind", [Softmax, LogSoftmax])
def test_softmax_refuses_the_axis_of_the_batch(kind: Any) -> None:
    name = kind.__name__
    with pytest.raises(ValueError, match=f"{name} expects axis to be other than 0"):
        kind(0)
    with pytest.raises(ValueError, match=r"an axis -2 besides the batch, got shape \(2, 3\)"):
        kind(-2).forward(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"an axis -1 besides the batch.*x\[np\.newaxis\]"):
        kind().forward(np.ones(3))
    with pytest.raises(ValueError, match="an axis 2 besides the batch"):
        kind(2).forward(np.ones((2, 3)))


REAL_CASES = [case for case in CASES if not case.indices]


@pytest.mark.parametrize("case", REAL_CASES, ids=lambda case: case.name)
def test_underflow_is_no_fault_of_a_layer(case: Case) -> None:
    for dtype in (np.float64, np.float32):
        layer = case.make(dtype)
        numbers = [-1000.0, -1.0, 0.0, 1.0, 1000.0]
        if not layer.named_layers():  # in both dtypes, an exponential is subnormal there
            numbers += [-740.1, 740.1, -100.3, 100.3]
        x: Array = np.resize(np.array(numbers, dtype), (10, *case.example_shape))
        with np.errstate(all="raise"):
            y = layer.forward(x)
            layer.backward(np.ones_like(y))
            layer.backward_parameters(np.ones_like(y))


# -- arguments --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "arguments", "error", "message"),
    [
        (LeakyReLU, {"negative_slope": math.nan}, ValueError, "negative_slope to be finite"),
        (LeakyReLU, {"negative_slope": "a"}, TypeError, "negative_slope to be a number"),
        (PReLU, {"num_parameters": 0}, ValueError, "num_parameters to be at least 1"),
        (PReLU, {"num_parameters": 2.0}, TypeError, "num_parameters to be a whole number"),
        (PReLU, {"init": math.inf}, ValueError, "init to be finite"),
        (PReLU, {"axis": 0}, ValueError, "axis to be other than 0"),
        (PReLU, {"axis": 1.0}, TypeError, "axis to be a whole number"),
        (PReLU, {"axis": True}, TypeError, "axis to be a whole number"),
        (PReLU, {"dtype": int}, TypeError, "dtype to be float64 or float32"),
        (ELU, {"alpha": -1}, ValueError, "alpha to be finite and at least 0"),
        (Clamp, {}, ValueError, "min or max, or both, got neither"),
        (Clamp, {"min": 1, "max": 0}, ValueError, "min to be below max, got 1.0 and 0.0"),
        (Clamp, {"min": math.nan}, ValueError, "min to be finite"),
        (HardTanh, {"min_val": 1, "max_val": 1}, ValueError, "below max_val, got 1.0 and 1.0"),
        (HardTanh, {"min_val": 2}, ValueError, "min_val to be below max_val"),
        (HardTanh, {"max_val": math.inf}, ValueError, "max_val to be finite"),
        (GELU, {"approximate": "exact"}, ValueError, 'approximate to be "none" or "tanh"'),
        (GELU, {"approximate": True}, ValueError, 'approximate to be "none" or "tanh"'),
        (Softplus, {"beta": 0}, ValueError, "beta to be finite and above 0"),
        # Infinite in float32, where 0 times it would be NaN.
        (Softplus, {"beta": 1e300}, ValueError, r"beta to be finite in float32, got 1e\+300"),
        (LeakyReLU, {"negative_slope": -1e39}, ValueError, "_slope to be finite in float32"),
        (ELU, {"alpha": 1e39}, ValueError, "alpha to be finite in float32"),
        (PReLU, {"init": 1e39, "dtype": np.float32}, ValueError, "init to be finite in float32"),
        (Softmax, {"axis": 1.5}, TypeError, "axis to be a whole number"),
        (LogSoftmax, {"axis": "1"}, TypeError, "axis to be a whole number"),
    ],
)
def test_bad_arguments_are_refused(
    kind: Any, arguments: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"{kind.__name__} expects .*{message}"):
        kind(**arguments)


@pytest.mark.parametrize(
    ("layer", "name", "good", "bad", "message"),
    [
        (LeakyReLU(), "negative_slope", 0.5, 1e39, "to be finite in float32"),
        (ELU(), "alpha", 0.5, -1, "to be finite and at least 0"),
        (Clamp(min=-1), "min", -2.0, math.nan, "min to be finite"),
        (HardTanh(), "min_val", -2.0, 1, "to be below max_val, got 1.0 and 1.0"),
        (HardTanh(), "max_val", 0.5, -3, "to be below max_val, got -1.0 and -3.0"),
        (GELU(), "approximate", "tanh", "exact", 'to be "none" or "tanh"'),
        (Softplus(), "beta", 3.0, 0, "to be finite and above 0"),
    ],
    ids=lambda value: repr(value) if isinstance(value, Layer) else "",
)
def test_an_option_is_checked_when_it_is_assigned_and_read_live(
    layer: Layer, name: str, good: Any, bad: Any, message: str
) -> None:
    x = np.linspace(-3, 3, 12).reshape(4, 3)
    before = value_and_slope(layer, x)
    with pytest.raises((TypeError, ValueError), match=f"expects .*{message}"):
        setattr(layer, name, bad)
    np.testing.assert_array_equal(value_and_slope(layer, x), before)  # the old one stays
    setattr(layer, name, good)
    assert getattr(layer, name) == good
    made = type(layer)(**{name: good})
    np.testing.assert_array_equal(value_and_slope(layer, x), value_and_slope(made, x))
    assert (np.array(before) != value_and_slope(layer, x)).any()


@pytest.mark.parametrize("layer", [PReLU(2), Softmax(), LogSoftmax()], ids=repr)
def test_sizes_and_axes_are_fixed(layer: Any) -> None:
    with pytest.raises(AttributeError, match="axis is fixed once it is made"):
        layer.axis = 1
    if isinstance(layer, PReLU):
        layer.weight = minifw.Parameter(np.ones(3))
        assert layer.num_parameters == 3
        with pytest.raises(AttributeError):
            layer.num_parameters = 2  # type: ignore[misc]


def test_defaults_are_pytorchs() -> None:
    assert LeakyReLU().negative_slope == 0.01
    assert (PReLU().num_parameters, PReLU().axis) == (1, 1)
    assert ELU().alpha == 1
    assert (HardTanh().min_val, HardTanh().max_val) == (-1, 1)
    assert GELU().approximate == "none"
    assert Softplus().beta == 1
    assert (SELU.alpha, SELU.scale) == (SELU_ALPHA, SELU_SCALE)


def test_every_activation_trains_between_dense_layers() -> None:
    """One descent step along the gradient lowers the loss."""
    rng = np.random.default_rng(0)
    x, target = rng.standard_normal((30, 3)), (rng.random((30, 2)) > 0.5).astype(float)
    for activation in (*ELEMENTWISE, Softmax(), LogSoftmax(), Tanh()):
        model = Sequential(Dense(3, 4, rng=1), activation, Dense(4, 2, rng=2))
        objective = minifw.Objective(model, minifw.BCEWithLogitsLoss())
        optimizer = minifw.SGD(model.parameters(), lr=0.1)
        first = objective.forward(x, target)
        objective.backward()
        optimizer.step()
        assert objective.forward(x, target) < first, activation
