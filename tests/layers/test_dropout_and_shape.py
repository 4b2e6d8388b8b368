"""Dropout, Flatten and Reshape: what only they do."""

import copy
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifw import Array, Dense, Dropout, Flatten, Layer, Reshape, Sequential, Tanh

DTYPES = [np.float32, np.float64]
each_dtype = pytest.mark.parametrize("dtype", DTYPES)


def batch(*shape: int, dtype: type = np.float64, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


# -- Dropout ----------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.9])
@each_dtype
def test_each_element_is_dropped_or_scaled(p: float, dtype: type) -> None:
    x = batch(200, 500, dtype=dtype)
    layer = Dropout(p, rng=0)
    y = layer.forward(x)
    kept = y != 0
    scale: Array = np.asarray(1 / (1 - p), dtype)
    np.testing.assert_array_equal(y, np.where(kept, x * scale, 0))
    sigma = math.sqrt(p * (1 - p) / x.size)  # of the share, which is binomial
    assert abs(float(np.mean(~kept)) - p) < 5 * sigma
    dy = batch(200, 500, dtype=dtype, seed=1)
    np.testing.assert_array_equal(layer.backward(dy), np.where(kept, dy * scale, 0))


def test_elements_are_dropped_independently() -> None:
    """Neighbours along both axes, and two masks in a row, are uncorrelated."""
    layer = Dropout(0.5, rng=1)
    x = np.ones((400, 250))
    first, second = (layer.forward(x) - 1 for _ in range(2))  # -1 or 1
    bound = 5 / math.sqrt(x.size)
    for a, b in (
        (first[1:], first[:-1]),
        (first[:, 1:], first[:, :-1]),
        (first, second),
    ):
        assert abs(float(np.mean(a * b))) < bound


def test_the_expectation_is_x() -> None:
    x = batch(3, 4)
    layer = Dropout(0.4, rng=2)
    mean = np.mean([layer.forward(x) for _ in range(20_000)], axis=0)
    sigma = np.abs(x) * math.sqrt(0.4 / 0.6 / 20_000)
    assert (np.abs(mean - x) < 5 * sigma).all()


def test_eval_is_the_identity_in_an_array_of_its_own() -> None:
    layer = Dropout(0.5, rng=0).eval()
    state = copy.deepcopy(layer.rng.bit_generator.state)
    x, dy = batch(3, 4), batch(3, 4, seed=1)
    first, second, dx = layer.forward(x), layer.forward(x), layer.backward(dy)
    np.testing.assert_array_equal(first, x)
    np.testing.assert_array_equal(dx, dy)
    assert not np.shares_memory(first, x)
    assert not np.shares_memory(first, second)
    assert not np.shares_memory(dx, dy)
    assert layer.rng.bit_generator.state == state  # nothing was drawn


def test_p_0_drops_nothing_and_draws_nothing() -> None:
    layer = Dropout(0.0, rng=0)
    state = copy.deepcopy(layer.rng.bit_generator.state)
    x = batch(3, 4)
    y = layer.forward(x)
    np.testing.assert_array_equal(y, x)
    assert not np.shares_memory(y, x)
    np.testing.assert_array_equal(layer.backward(x), x)
    assert layer.rng.bit_generator.state == state


def test_the_mask_follows_from_the_seed_and_not_from_dtype_or_layout() -> None:
    x = batch(5, 6)
    expected = Dropout(rng=3).forward(x) != 0
    for other in (x.astype(np.float32), np.asfortranarray(x), np.repeat(x, 2, axis=0)[::2]):
        np.testing.assert_array_equal(Dropout(rng=3).forward(other) != 0, expected)
    generator = np.random.default_rng(3)
    layer = Dropout(rng=generator)
    assert layer.rng is generator
    np.testing.assert_array_equal(layer.forward(x) != 0, expected)
    assert ((layer.forward(x) != 0) != expected).any()  # a fresh mask each time


def test_backward_uses_the_mask_of_its_forward_whatever_the_mode_is_now() -> None:
    layer, dy = Dropout(rng=0), np.ones((4, 6))
    y = layer.forward(np.ones((4, 6)))
    np.testing.assert_array_equal(layer.eval().backward(dy), y)
    layer.forward(np.ones((4, 6)))
    np.testing.assert_array_equal(layer.train().backward(dy), dy)


@each_dtype
def test_dropout_at_the_extremes(dtype: type) -> None:
    info = np.finfo(dtype)
    x: Array = np.array([[1e4, -1e4, 1e30, -1e30, info.max / 4, info.tiny, 0.0]], dtype)
    layer = Dropout(0.5, rng=0)
    for _ in range(20):
        y = layer.forward(x)
        np.testing.assert_array_equal(y, np.where(layer.backward(np.ones_like(x)), 2 * x, 0))


@pytest.mark.parametrize(
    ("p", "error", "message"),
    [
        (1.0, ValueError, "p to be below 1, got 1.0; it is the probability to be dropped"),
        (1, ValueError, "below 1"),
        (1.5, ValueError, "between 0 and 1"),
        (-0.1, ValueError, "between 0 and 1"),
        (math.nan, ValueError, "between 0 and 1"),
        ("0.5", TypeError, "p to be a number"),
        (None, TypeError, "p to be a number"),
        (True, TypeError, "p to be a number"),
    ],
)
def test_dropout_refuses_a_bad_p(p: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Dropout(p)
    layer = Dropout(0.25)
    with pytest.raises(error, match=message):
        layer.p = p
    assert layer.p == 0.25


def test_p_is_read_live() -> None:
    layer, x = Dropout(0.1, rng=0), np.ones((4, 5))
    layer.p = 0.75
    np.testing.assert_array_equal(layer.forward(x), Dropout(0.75, rng=0).forward(x))


@each_dtype
def test_the_mask_is_the_next_float32_numbers_of_the_generator(dtype: type) -> None:
    x: Array = np.asfortranarray(np.ones((7, 5), dtype))
    wanted = np.random.default_rng(3).random((7, 5), np.float32) >= 0.5
    np.testing.assert_array_equal(Dropout(rng=3).forward(x) != 0, wanted)


@pytest.mark.parametrize("rng", ["a", 1.5, np.random.RandomState(0)])
def test_dropout_refuses_a_bad_rng(rng: Any) -> None:
    with pytest.raises(TypeError, match="Dropout expects rng"):
        Dropout(rng=rng)


def test_dropout_leaves_the_global_state_alone() -> None:
    before = np.random.get_state()[1].copy()  # type: ignore[index]
    Dropout().forward(np.ones((3, 4)))
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # type: ignore[index]


# -- Flatten and Reshape ----------------------------------------------------------------


def test_flatten_is_row_major() -> None:
    x = batch(2, 3, 4, 5)
    y = Flatten().forward(x)
    for b, i, j, k in np.ndindex(x.shape):
        assert y[b, (i * 4 + j) * 5 + k] == x[b, i, j, k]


@given(
    shape=st.lists(st.integers(1, 4), min_size=0, max_size=4),
    data=st.data(),
)
def test_any_shape_goes_to_any_other_and_back(shape: list[int], data: st.DataObject) -> None:
    count = math.prod(shape)
    divisors = [n for n in range(1, count + 1) if count % n == 0]
    first = data.draw(st.sampled_from(divisors))
    rest = data.draw(st.booleans())
    layer = Reshape((first, -1 if rest else count // first))
    x = np.arange(3.0 * count).reshape(3, *shape)
    y = layer.forward(x)
    assert y.shape == (3, first, count // first)
    assert layer.output_shape(tuple(shape)) == y.shape[1:]
    np.testing.assert_array_equal(y.ravel(), x.ravel())
    np.testing.assert_array_equal(layer.backward(y), x)


@pytest.mark.parametrize("layer", [Flatten(), Reshape((6,)), Reshape(6), Reshape([2, -1])])
def test_copies_never_views(layer: Layer) -> None:
    """Two results share no memory, be it of one and the same x."""
    x = batch(4, 2, 3)
    first, second = layer.forward(x), layer.forward(x)
    dx, dx2 = layer.backward(first), layer.backward(first)
    for a, b in ((first, second), (first, x), (dx, first), (dx, dx2)):
        assert not np.shares_memory(a, b)


def test_a_number_of_each_example_and_back() -> None:
    x = batch(4, 1)
    y = Reshape(()).forward(x)
    assert y.shape == (4,)
    assert Flatten().forward(y).shape == (4, 1)
    assert Reshape(()).output_shape((1,)) == ()
    assert Flatten().output_shape(()) == (1,)


def test_shape_layers_in_a_sequential_are_checked_when_composed() -> None:
    model = Sequential(Dense(2, 6, rng=0), Reshape((3, -1)), Tanh(), Flatten(), Dense(6, 1, rng=1))
    assert model.output_shape((2,)) == (1,)
    assert model.forward(batch(5, 2)).shape == (5, 1)
    with pytest.raises(ValueError, match=r"layer 1, Reshape\(\(4, 2\)\), cannot take .*\(6,\)"):
        Sequential(Dense(2, 6), Reshape((4, 2)))
    with pytest.raises(ValueError, match=r"layer 2, Dense\(5, 1\), expects .*\(5,\).*\(6,\)"):
        Sequential(Dense(2, 6), Flatten(), Dense(5, 1))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 3), r"Reshape\(\(2, 3\)\) expects examples of 6 numbers, got the shape \(8,\)"),
        ((5, -1), r"expects examples of a multiple of 5 numbers, got the shape \(8,\), .* 8"),
        ((16, -1), "a multiple of 16"),
        ((), "of 1 numbers"),
    ],
)
def test_reshape_says_what_does_not_fit(shape: tuple[int, ...], message: str) -> None:
    layer = Reshape(shape)
    with pytest.raises(ValueError, match=message):
        layer.forward(batch(3, 8))
    with pytest.raises(ValueError, match=message):
        layer.output_shape((8,))


@pytest.mark.parametrize(
    ("shape", "error", "message"),
    [
        ((-1, -1), ValueError, "-1 once at most"),
        ((0, 2), ValueError, "shape to be at least 1"),
        ((-2,), ValueError, "shape to be at least 1"),
        (0, ValueError, "shape to be at least 1"),
        ((2.0, 3), TypeError, "shape to be a whole number"),
        ((True,), TypeError, "shape to be a whole number"),
        ("23", TypeError, "a tuple of whole numbers, got a str"),
        (2.0, TypeError, "a tuple of whole numbers, got a float"),
        (None, TypeError, "a tuple of whole numbers"),
        (np.array([2, 3]), TypeError, "a tuple of whole numbers"),
    ],
)
def test_reshape_refuses_a_bad_shape(shape: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Reshape(shape)


def test_the_shape_is_fixed() -> None:
    with pytest.raises(AttributeError, match=r"Reshape\.shape is fixed once it is made"):
        Reshape(3).shape = (4,)
