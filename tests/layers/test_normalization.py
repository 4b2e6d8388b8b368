"""The normalisations against straight loops, exact fractions, and identities."""

import copy
import math
import pickle
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import pytest

from minifw import (
    Array,
    BatchNorm,
    Dense,
    GroupNorm,
    Layer,
    LayerNorm,
    RMSNorm,
    Sequential,
    Tanh,
)

TOLERANCE = 1e-10
Places: TypeAlias = list[tuple[int, ...]]


def batch(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


def randomized(layer: Layer, seed: int = 5) -> Any:
    rng = np.random.default_rng(seed)
    for parameter in layer.parameters():
        parameter.value = rng.standard_normal(parameter.shape)
    return layer


# -- the formulas, in loops ---------------------------------------------------------------


def groups_of_channels(x: Array) -> Iterator[Places]:
    for channel in range(x.shape[1]):
        yield [place for place in np.ndindex(x.shape) if place[1] == channel]


def groups_of_examples(x: Array, axes: int) -> Iterator[Places]:
    for front in np.ndindex(x.shape[: x.ndim - axes]):
        yield [(*front, *back) for back in np.ndindex(x.shape[x.ndim - axes :])]


def moments(numbers: list[float], *, centred: bool) -> tuple[float, float]:
    """Return the mean that is subtracted, and the mean square of what is left."""
    mean = math.fsum(numbers) / len(numbers) if centred else 0.0
    return mean, math.fsum((t - mean) ** 2 for t in numbers) / len(numbers)


def normalized(
    x: Array, groups: list[Places], eps: float, *, centred: bool
) -> tuple[Array, Array, Array]:
    """Return z, dz/dx as a matrix of all elements by all elements, and r, by the definition."""
    z, r = np.empty_like(x), np.empty_like(x)
    jacobian = np.zeros((*x.shape, *x.shape))
    for group in groups:
        numbers = [float(x[place]) for place in group]
        mean, square = moments(numbers, centred=centred)
        std = math.sqrt(square + eps)
        n = len(group)
        for place in group:
            z[place], r[place] = (float(x[place]) - mean) / std, 1 / std
        for one in group:
            for other in group:
                # the quotient rule on (x_i - m) / std, with dstd/dx_j = (x_j - m) / (n std)
                direct = (one == other) - (1 / n if centred else 0)
                slope = (x[other] - mean) / (n * std)
                jacobian[one + other] = (direct * std - (x[one] - mean) * slope) / std**2
    return z, jacobian, r


def check_against_loops(
    layer: Any, x: Array, groups: list[Places], affine: tuple[Array, Array], *, centred: bool
) -> None:
    """Check y and dx; the weight and the bias, `affine`, are as broadcast to x."""
    weight, bias = affine
    eps = layer.eps
    z, jacobian, _ = normalized(x, groups, eps, centred=centred)
    dy = batch(*x.shape, seed=9)
    y = layer.forward(x)
    np.testing.assert_allclose(y, weight * z + bias, atol=TOLERANCE, rtol=0)
    expected = np.tensordot(dy * weight, jacobian, axes=x.ndim)
    np.testing.assert_allclose(layer.backward(dy), expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("shape", [(5, 3), (2, 1), (3, 2, 2, 3), (1, 2, 3, 2)])
def test_batch_norm_in_train_mode_is_its_formula(shape: tuple[int, ...]) -> None:
    layer = randomized(BatchNorm(shape[1], eps=0.01))
    x = batch(*shape) * 2 + 1
    dy = batch(*shape, seed=9)
    wide = (1, shape[1], *(1,) * (len(shape) - 2))
    weight, bias = (p.value.reshape(wide) for p in layer.parameters())
    groups = list(groups_of_channels(x))
    check_against_loops(layer, x, groups, (weight, bias), centred=True)
    z, _, _ = normalized(x, groups, 0.01, centred=True)
    for channel, group in enumerate(groups):
        dw = math.fsum(dy[place] * z[place] for place in group)
        db = math.fsum(dy[place] for place in group)
        assert abs(layer.weight.grad[channel] - dw) < TOLERANCE
        assert abs(layer.bias.grad[channel] - db) < TOLERANCE


@pytest.mark.parametrize("shape", [(5, 3), (1, 3), (3, 2, 2, 3), (1, 2, 1, 1)])
def test_batch_norm_in_eval_mode_is_affine(shape: tuple[int, ...]) -> None:
    layer = randomized(BatchNorm(shape[1], eps=0.01)).eval()
    rng = np.random.default_rng(3)
    layer.running_mean[...] = rng.standard_normal(shape[1])
    layer.running_var[...] = rng.random(shape[1]) + 0.5
    before = layer.state_dict()
    x, dy = batch(*shape), batch(*shape, seed=9)
    y, dx = layer.forward(x), layer.backward(dy)
    dw, db = [0.0] * shape[1], [0.0] * shape[1]
    for place in np.ndindex(shape):
        c = place[1]
        w, b = float(layer.weight.value[c]), float(layer.bias.value[c])
        std = math.sqrt(float(layer.running_var[c]) + 0.01)
        z = (float(x[place]) - float(layer.running_mean[c])) / std
        assert abs(y[place] - (w * z + b)) < TOLERANCE
        assert abs(dx[place] - w * dy[place] / std) < TOLERANCE
        dw[c] += dy[place] * z
        db[c] += dy[place]
    np.testing.assert_allclose(layer.weight.grad, dw, atol=TOLERANCE)
    np.testing.assert_allclose(layer.bias.grad, db, atol=TOLERANCE)
    for name, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)  # eval moves nothing


@pytest.mark.parametrize(
    ("normalized_shape", "shape"),
    [(4, (5, 4)), (1, (3, 1)), (4, (2, 3, 4)), ((3, 4), (2, 3, 4)), ((3, 4), (2, 2, 3, 4))],
)
@pytest.mark.parametrize("make", [LayerNorm, RMSNorm])
def test_layer_and_rms_norm_are_their_formula(
    make: Callable[..., Any], normalized_shape: Any, shape: tuple[int, ...]
) -> None:
    layer = randomized(make(normalized_shape, eps=0.01))
    x = batch(*shape) * 2 + 1
    dy = batch(*shape, seed=9)
    bias = layer.bias.value if make is LayerNorm else np.zeros(1)
    groups = list(groups_of_examples(x, layer.weight.value.ndim))
    centred = make is LayerNorm
    check_against_loops(layer, x, groups, (layer.weight.value, bias), centred=centred)
    z, _, _ = normalized(x, groups, 0.01, centred=centred)
    for place in np.ndindex(layer.weight.shape):
        axes = len(layer.weight.shape)
        same = [p for p in np.ndindex(shape) if p[len(shape) - axes :] == place]
        dw, db = math.fsum(dy[p] * z[p] for p in same), math.fsum(dy[p] for p in same)
        assert abs(layer.weight.grad[place] - dw) < TOLERANCE
        if centred:
            assert abs(layer.bias.grad[place] - db) < TOLERANCE


# -- running statistics -------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 2, 2)])
@pytest.mark.parametrize("momentum", [0.0, 0.1, 0.3, 1.0])
def test_running_statistics_follow_pytorchs_convention(
    shape: tuple[int, ...], momentum: float
) -> None:
    """The unbiased variance, in running = (1 - momentum) running + momentum batch."""
    layer = BatchNorm(3, momentum=momentum)
    mean, var = [0.0] * 3, [1.0] * 3
    for step in range(4):
        x = batch(*shape, seed=step) * 3 + 2
        layer.forward(x)
        for c, group in enumerate(groups_of_channels(x)):
            numbers = [float(x[place]) for place in group]
            m, v = moments(numbers, centred=True)
            n = len(numbers)
            mean[c] = (1 - momentum) * mean[c] + momentum * m
            var[c] = (1 - momentum) * var[c] + momentum * v * n / (n - 1)
    np.testing.assert_allclose(layer.running_mean, mean, rtol=1e-13)
    np.testing.assert_allclose(layer.running_var, var, rtol=1e-13)


def test_the_running_statistics_of_one_batch_by_hand() -> None:
    """Of 1, 2, 3, 6: the mean is 3, the variance 14/4, unbiased 14/3."""
    layer = BatchNorm(1)
    layer.forward(np.array([[1.0], [2.0], [3.0], [6.0]]))
    np.testing.assert_allclose(layer.running_mean, [0.3], rtol=1e-15)
    np.testing.assert_allclose(layer.running_var, [0.9 + 0.1 * 14 / 3], rtol=1e-15)


def test_running_statistics_are_state_by_pytorchs_names() -> None:
    layer, other = randomized(BatchNorm(3)), BatchNorm(3)
    layer.forward(batch(6, 3))
    state = layer.state_dict()
    assert list(state) == ["weight", "bias", "running_mean", "running_var"]
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]
    assert list(BatchNorm(3, affine=False).state_dict()) == ["running_mean", "running_var"]
    other.load_state_dict(state)
    for twin in (other, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        x = batch(2, 3, seed=1)
        np.testing.assert_array_equal(twin.eval().forward(x), layer.eval().forward(x))
        twin.train().forward(batch(4, 3, seed=2))
        np.testing.assert_array_equal(layer.running_mean, state["running_mean"])
    nested = Sequential(Dense(2, 3), BatchNorm(3))
    assert "1.running_var" in nested.state_dict()


def test_after_many_batches_eval_is_nearly_train() -> None:
    layer = randomized(BatchNorm(2, momentum=0.5))
    x = batch(500, 2) * 3 - 4
    for _ in range(60):
        y = layer.forward(x)
    np.testing.assert_allclose(layer.eval().forward(x), y, rtol=0, atol=0.01)


def test_a_batch_with_nan_goes_through_and_leaves_the_statistics_alone() -> None:
    layer = BatchNorm(2)
    layer.forward(batch(4, 2))
    before = layer.state_dict()
    for bad in (np.nan, np.inf, -np.inf):
        for row in (0, 2):
            x = batch(4, 2)
            x[row, 1] = bad
            y = layer.forward(x)
            assert np.isnan(y[:, 1]).any()
            assert np.isfinite(y[:, 0]).all()
            for name, array in layer.state_dict().items():
                np.testing.assert_array_equal(array, before[name])


# -- modes --------------------------------------------------------------------------------


def test_backward_is_of_the_mode_of_its_forward() -> None:
    layer = randomized(BatchNorm(3))
    x, dy = batch(5, 3), batch(5, 3, seed=1)
    for training in (True, False):
        layer.train(training).forward(x)
        expected = layer.backward(dy)
        layer.train(not training)
        np.testing.assert_array_equal(layer.backward(dy), expected)
    assert np.abs(layer.train().forward(x) - layer.eval().forward(x)).max() > 0.1


def test_statistics_that_move_after_an_eval_forward_do_not_change_its_backward() -> None:
    layer = randomized(BatchNorm(3)).eval()
    x, dy = batch(5, 3), batch(5, 3, seed=1)
    layer.forward(x)
    expected = layer.backward(dy)
    layer.running_mean += 1
    layer.running_var *= 4
    np.testing.assert_array_equal(layer.backward(dy), expected)


@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1, 1)])
def test_one_number_per_channel_is_refused_in_train_mode_only(shape: tuple[int, ...]) -> None:
    layer = BatchNorm(3)
    x = batch(*shape)
    with pytest.raises(ValueError, match="more than one number per channel in train mode"):
        layer.forward(x)
    assert (layer.running_var == 1).all()
    assert layer.eval().forward(x).shape == shape
    assert BatchNorm(3).forward(batch(1, 3, 2, 1)).shape == (1, 3, 2, 1)


# -- identities ---------------------------------------------------------------------------


def test_the_output_has_mean_0_and_variance_1() -> None:
    x = batch(50, 4) * np.array([1.0, 10, 100, 0.1]) + 7
    y = BatchNorm(4, eps=1e-12).forward(x)
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-14)
    np.testing.assert_allclose(y.var(axis=0), 1, rtol=1e-9)
    y = LayerNorm(4, eps=1e-12).forward(x)
    np.testing.assert_allclose(y.mean(axis=1), 0, atol=1e-14)
    np.testing.assert_allclose(y.var(axis=1), 1, rtol=1e-9)
    y = RMSNorm(4).forward(x)
    np.testing.assert_allclose((y * y).mean(axis=1), 1, rtol=1e-12)


def test_gradients_are_orthogonal_to_what_changes_nothing() -> None:
    """Adding a constant changes no y, nor (but for eps) does scaling: dx is orthogonal to both."""
    for layer, x, axis in (
        (BatchNorm(3, eps=1e-14), batch(6, 3), 0),
        (LayerNorm(6, eps=1e-14), batch(3, 6), 1),
    ):
        layer.forward(x)
        dx = layer.backward(batch(*x.shape, seed=1))
        np.testing.assert_allclose(dx.sum(axis=axis), 0, atol=1e-13)
        np.testing.assert_allclose((dx * x).sum(axis=axis), 0, atol=1e-12)
    rms = RMSNorm(6)
    rms.forward(x)
    dx = rms.backward(batch(3, 6, seed=1))
    np.testing.assert_allclose((dx * x).sum(axis=1), 0, atol=1e-12)


def test_layer_norm_is_batch_norm_of_the_transpose() -> None:
    x, dy = batch(5, 7), batch(5, 7, seed=1)
    rows, columns = LayerNorm(7, affine=False), BatchNorm(5, affine=False)
    np.testing.assert_allclose(rows.forward(x), columns.forward(x.T).T, atol=1e-14)
    np.testing.assert_allclose(rows.backward(dy), columns.backward(dy.T).T, atol=1e-14)


def test_rms_norm_of_centred_numbers_is_layer_norm() -> None:
    x = batch(5, 7)
    x -= x.mean(axis=1, keepdims=True)
    layer, rms = LayerNorm(7, affine=False), RMSNorm(7, eps=1e-5, affine=False)
    np.testing.assert_allclose(rms.forward(x), layer.forward(x), atol=1e-14)


def test_images_are_rows_of_their_places() -> None:
    """(batch, channels, height, width) is (batch x height x width, channels)."""
    x, dy = batch(4, 3, 2, 5), batch(4, 3, 2, 5, seed=1)
    images, rows = randomized(BatchNorm(3)), randomized(BatchNorm(3))

    def as_rows(a: Array) -> Array:
        return np.moveaxis(a, 1, -1).reshape(-1, 3)

    for training in (True, False):
        y, flat = images.train(training).forward(x), rows.train(training).forward(as_rows(x))
        np.testing.assert_allclose(as_rows(y), flat, atol=1e-14)
        np.testing.assert_allclose(
            as_rows(images.backward(dy)), rows.backward(as_rows(dy)), atol=1e-14
        )
        np.testing.assert_allclose(images.weight.grad, rows.weight.grad, atol=1e-13)
        np.testing.assert_allclose(images.bias.grad, rows.bias.grad, atol=1e-13)
    np.testing.assert_allclose(images.running_var, rows.running_var, atol=1e-14)


def test_rms_norms_default_eps_is_the_machine_epsilon_of_its_dtype() -> None:
    for dtype in (np.float32, np.float64):
        eps = float(np.finfo(dtype).eps)
        x: Array = np.full((1, 3), math.sqrt(eps), dtype)  # so that mean(x^2) = eps
        y = RMSNorm(3, dtype=dtype).forward(x)
        np.testing.assert_allclose(y, math.sqrt(0.5), rtol=4 * eps)
        assert not RMSNorm(3, dtype=dtype).forward(np.zeros((1, 3), dtype)).any()


# -- extremes -----------------------------------------------------------------------------


def root(square: Fraction) -> Fraction:
    """Return the square root to 16 digits, however large or small."""
    unit = Fraction(2) ** ((square.numerator.bit_length() - square.denominator.bit_length()) // 2)
    return Fraction(math.sqrt(square / unit**2)) * unit


def exact_parts(x: Array, *, centred: bool) -> tuple[list[Fraction], Fraction]:
    """Return the numbers, centred or not, and their mean square."""
    numbers = [Fraction(float(t)) for t in x]
    mean = sum(numbers, Fraction(0)) / len(numbers) if centred else Fraction(0)
    c = [t - mean for t in numbers]
    return c, sum((t * t for t in c), Fraction(0)) / len(c)


def exact(c: list[Fraction], square: Fraction, dy: Array, *, centred: bool) -> list[Fraction]:
    """Return dz/dx' dy of one group; `square` includes eps."""
    n, g = len(c), [Fraction(float(t)) for t in dy]
    along = sum((a * b for a, b in zip(g, c, strict=True)), Fraction(0)) / n / square
    across = sum(g, Fraction(0)) / n if centred else Fraction(0)
    return [(a - across - b * along) / root(square) for a, b in zip(g, c, strict=True)]


def extremes(dtype: type) -> Iterator[tuple[str, Array]]:
    info = np.finfo(dtype)
    x = batch(6)
    for offset in (1e4, -1e4, 1e6):
        yield f"offset {offset:g}", (x + offset).astype(dtype)
    for size in (1e-30, 1e-4, 1e4, 1e30, float(info.max) / 4):
        yield f"size {size:g}", (x * size).astype(dtype)
    yield "one large", np.array([1.0, 2, 3, 4, 5, 1e30], dtype)
    yield "both ends", np.array([info.max, -info.max, 0, 1, -1, 2], dtype)
    yield (
        "neighbours",
        np.array([1.0, 1.0, 1.0, 1.0, 1.0, np.nextafter(dtype(1), dtype(2))], dtype),
    )
    yield "large neighbours", np.array([1e38, 1e38, 1e38, 1e38, 1e38, 1.1e38], dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["BatchNorm", "LayerNorm", "RMSNorm", "GroupNorm"])
def test_extremes_keep_their_digits(dtype: type, kind: str) -> None:
    info = np.finfo(dtype)
    eps, largest, smallest = float(info.eps), float(info.max), float(info.smallest_subnormal)
    for name, x in extremes(dtype):
        other: Array = np.arange(6).astype(dtype)  # a group of ordinary numbers beside it
        pair = np.stack([other, x, other])  # (groups, 6)
        dy: Array = batch(3, 6, seed=1).astype(dtype)
        layer: Any
        if kind == "BatchNorm":
            layer = BatchNorm(3, dtype=dtype)
            pair, dy = pair.T, dy.T
        elif kind == "LayerNorm":
            layer = LayerNorm(6, dtype=dtype)
        elif kind == "GroupNorm":
            layer = GroupNorm(3, 18, dtype=dtype)  # whose groups are the rows
            pair, dy = pair.reshape(1, 18), dy.reshape(1, 18)
        else:
            layer = RMSNorm(6, eps=1e-5, dtype=dtype)
        if kind == "BatchNorm" and exact_parts(x, centred=True)[1] * 6 > Fraction(largest):
            with pytest.raises(ValueError, match=r"expects numbers whose variance .*channel 1"):
                layer.forward(pair)
            continue
        y = layer.forward(pair)  # a warning would be an error
        dx = layer.backward(dy)
        if kind == "BatchNorm":
            y, dx, pair, dy = y.T, dx.T, pair.T, dy.T
        y, dx, pair, dy = (a.reshape(3, 6) for a in (y, dx, pair, dy))
        for row in range(3):
            centred = kind != "RMSNorm"
            c, square = exact_parts(pair[row], centred=centred)
            square += Fraction(float(dtype(layer.eps)))
            z = [float(t / root(square)) for t in c]
            expected = [float(t) for t in exact(c, square, dy[row], centred=centred)]
            message = f"{name}, row {row}"
            np.testing.assert_allclose(y[row], z, rtol=0, atol=20 * eps, err_msg=message)
            # dx is what is left of r dy when parts are taken out: rounding is relative to that
            terms = float(np.abs(dy[row]).max() / root(square))
            margin = 20 * eps * terms + smallest
            np.testing.assert_allclose(dx[row], expected, rtol=0, atol=margin, err_msg=message)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [0.0, 0.1, 1e-30, 1e4, 1e15, 1e30])
def test_equal_numbers_become_exactly_0(dtype: type, value: float) -> None:
    """Their computed mean may differ from them by its rounding, which is much of 1e15."""
    x: Array = np.full((7, 7), value, dtype)
    layers = (BatchNorm(7, dtype=dtype), LayerNorm(7, dtype=dtype), GroupNorm(1, 7, dtype=dtype))
    for layer in layers:
        assert not layer.forward(x).any()
        assert np.isfinite(layer.backward(x / dtype(1e30))).all()
    assert not BatchNorm(7, dtype=dtype).forward(np.full((3, 7, 2, 2), value, dtype)).any()


def test_float32_sums_over_many_numbers_keep_their_digits() -> None:
    x = (batch(64, 2, 40, 40) + 1e3).astype(np.float32)  # 102,400 numbers a channel
    layer, wide = BatchNorm(2, dtype=np.float32), BatchNorm(2)
    y, expected = layer.forward(x), wide.forward(x.astype(np.float64))
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-4)
    np.testing.assert_allclose(layer.running_var, wide.running_var, rtol=1e-5)
    dy = batch(*x.shape, seed=1)
    dx, exact_dx = layer.backward(dy.astype(np.float32)), wide.backward(dy)
    np.testing.assert_allclose(dx, exact_dx, rtol=0, atol=1e-4)


def test_a_variance_that_does_not_fit_is_an_error_that_changes_nothing() -> None:
    layer = BatchNorm(2)
    layer.forward(batch(4, 2))
    before, dy = layer.state_dict(), batch(4, 2, seed=1)
    expected = layer.backward(dy)
    x = batch(4, 2)
    x[0, 1] = 1e200
    with pytest.raises(ValueError, match=r"float64 can hold, got up to 1\.0e\+200 .* channel 1"):
        layer.forward(x)
    for name, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    np.testing.assert_array_equal(layer.backward(dy), expected)
    assert np.isfinite(layer.eval().forward(x)).all()


@pytest.mark.parametrize("layer", [LayerNorm(3), RMSNorm(3), GroupNorm(1, 3)])
def test_nan_and_infinity_stay_in_their_group(layer: Layer) -> None:
    for bad in (np.nan, np.inf, -np.inf):
        x = batch(4, 3)
        x[1, 1], x[2, 0] = bad, 1e200
        y = layer(x)
        assert np.isnan(y[1]).any()
        assert np.isfinite(y[[0, 2, 3]]).all()


# -- containers, shapes, refusals -----------------------------------------------------------


def test_a_network_with_batch_norm_does_the_same_in_other_layouts() -> None:
    model = Sequential(Dense(3, 8, rng=0), BatchNorm(8), Tanh(), Dense(8, 2, rng=1))
    x, dy = batch(50, 3), batch(50, 2, seed=1)  # Dense hands on a transpose
    y, dx = model.forward(x), model.backward(dy)
    h = model[0].forward(x)
    expected = model[3].forward(np.tanh((h - h.mean(axis=0)) / np.sqrt(h.var(axis=0) + 1e-5)))
    np.testing.assert_allclose(y, expected, atol=1e-13)
    step = 1e-6 * batch(50, 3, seed=2)
    difference = np.sum(dy * (model.forward(x + step) - model.forward(x - step))) / 2
    np.testing.assert_allclose(np.sum(dx * step), difference, rtol=1e-7)


@pytest.mark.parametrize("shape", [(3,), (2, 4), (4, 2, 3), (2, 4, 3, 3), (2, 3, 4, 4, 4)])
def test_batch_norm_refuses_a_wrong_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"BatchNorm\(3\) expects x of shape \(batch, 3\) or"):
        BatchNorm(3).forward(np.ones(shape))


def test_batch_norm_refuses_a_wrong_shape_of_an_example() -> None:
    assert BatchNorm(3).output_shape((3, 5, 4)) == (3, 5, 4)
    for shape in ((4,), (3, 4), (4, 3, 3), ()):
        with pytest.raises(ValueError, match=r"expects examples of shape \(3,\) or \(3, height"):
            BatchNorm(3).output_shape(shape)
    with pytest.raises(ValueError, match=r"layer 1, BatchNorm\(3\), cannot take what layer 0"):
        Sequential(Dense(2, 4), BatchNorm(3))


def test_group_norm_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="num_groups to divide num_channels, got 2 and 3"):
        GroupNorm(2, 3)
    for shape in ((2, 4), (3,), (2, 4, 3)):
        with pytest.raises(ValueError, match=r"expects x of shape \(batch, 3, \.\.\.\), got"):
            GroupNorm(1, 3).forward(np.ones(shape))
    with pytest.raises(ValueError, match=r"expects examples of shape \(3, \.\.\.\), got \(4,\)"):
        GroupNorm(1, 3).output_shape((4,))


@pytest.mark.parametrize("make", [LayerNorm, RMSNorm])
def test_layer_and_rms_norm_refuse_a_wrong_shape(make: Callable[..., Layer]) -> None:
    for size, shape in ((3, (2, 4)), ((2, 3), (2, 3)), ((2, 3), (4, 3, 2)), (3, (3,))):
        with pytest.raises(ValueError, match=r"expects x of shape \(batch, \.\.\., "):
            make(size).forward(np.ones(shape))
    with pytest.raises(ValueError, match=r"x\[np\.newaxis\]"):
        make((2, 3)).forward(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"whose last axes are \(3,\), got the shape \(4,\)"):
        make(3).output_shape((4,))
    with pytest.raises(ValueError, match=r"layer 1, .* cannot take what layer 0"):
        Sequential(Dense(2, 4), make(3))


@pytest.mark.parametrize("make", [BatchNorm, LayerNorm, RMSNorm])
@pytest.mark.parametrize("affine", [True, False])
def test_each_computes_in_its_dtype(make: Callable[..., Layer], affine: bool) -> None:
    layer = make(3, affine=affine, dtype=np.float32)
    with pytest.raises(TypeError, match="computes in float32, got x as a float64"):
        layer.forward(np.ones((4, 3)))
    assert layer(batch(4, 3).astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("make", [BatchNorm, LayerNorm, RMSNorm, partial(GroupNorm, 1)])
@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"eps": 0.0}, ValueError),
        ({"eps": -1e-5}, ValueError),
        ({"eps": math.nan}, ValueError),
        ({"eps": math.inf}, ValueError),
        ({"eps": 1e-60, "dtype": np.float32}, ValueError),
        ({"eps": 1e60, "dtype": np.float32}, ValueError),
        ({"eps": "small"}, TypeError),
        ({"affine": 1}, TypeError),
        ({"dtype": int}, TypeError),
    ],
)
def test_bad_options_are_refused(
    make: Callable[..., Layer], options: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match=r"Norm expects (eps|affine|dtype) to be"):
        make(3, **options)


@pytest.mark.parametrize(
    ("momentum", "error"),
    [(-0.1, ValueError), (1.1, ValueError), (math.nan, ValueError), (None, TypeError)],
)
def test_batch_norm_refuses_a_bad_momentum(momentum: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="BatchNorm expects momentum"):
        BatchNorm(3, momentum=momentum)


@pytest.mark.parametrize("kind", [BatchNorm, LayerNorm, RMSNorm])
def test_eps_is_readable_checked_when_it_is_assigned_and_read_live(kind: Any) -> None:
    layer, x, dy = kind(3, dtype=np.float32), batch(4, 3).astype("f"), batch(4, 3).astype("f")
    assert layer.eps == (np.finfo("f").eps if kind is RMSNorm else 1e-5)
    for bad in (0, math.nan, 1e-60, None):  # 1e-60 is 0 in float32
        with pytest.raises((TypeError, ValueError), match=f"{kind.__name__} expects eps to be"):
            layer.eps = bad
    assert layer.eps == (np.finfo("f").eps if kind is RMSNorm else 1e-5)
    layer.eps = 0.5
    made = kind(3, eps=0.5, dtype=np.float32)
    np.testing.assert_array_equal(layer.forward(x), made.forward(x))
    np.testing.assert_array_equal(layer.backward(dy), made.backward(dy))


def test_momentum_is_checked_when_it_is_assigned_and_read_live() -> None:
    layer, x = BatchNorm(3), batch(4, 3)
    with pytest.raises(ValueError, match="BatchNorm expects momentum to be between 0 and 1"):
        layer.momentum = 2.0
    layer.momentum = 1.0
    layer.forward(x)
    np.testing.assert_allclose(layer.running_mean, x.mean(axis=0), rtol=0, atol=1e-14)


def test_a_variance_below_0_is_not_loaded() -> None:
    for model in (BatchNorm(2), Sequential(Dense(1, 2, rng=0), BatchNorm(2))):
        state = model.state_dict()
        bad = {name: np.full_like(value, -1) for name, value in state.items()}
        with pytest.raises(
            ValueError, match=r"BatchNorm\(2\) expects running_var to be at least 0"
        ):
            model.load_state_dict(bad)
        for name, value in model.state_dict().items():  # nothing was changed
            np.testing.assert_array_equal(value, state[name])


def test_sizes_are_fixed() -> None:
    layer: Any = LayerNorm((2, 3))
    with pytest.raises(AttributeError, match="normalized_shape is fixed"):
        layer.normalized_shape = (3,)
    layer = BatchNorm(3)
    with pytest.raises(AttributeError):
        layer.num_features = 4


@pytest.mark.parametrize("make", [LayerNorm, RMSNorm])
@pytest.mark.parametrize(
    ("size", "error"),
    [
        (0, ValueError),
        ((), ValueError),
        ((2, 0), ValueError),
        (2.0, TypeError),
        ("3", TypeError),
        (None, TypeError),
        ((2, "3"), TypeError),
    ],
)
def test_a_bad_normalized_shape_is_refused(
    make: Callable[..., Layer], size: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match="Norm expects normalized_shape"):
        make(size)


@pytest.mark.parametrize("size", [0, -1, 2.0, None])
def test_batch_norm_refuses_bad_num_features(size: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="BatchNorm expects num_features"):
        BatchNorm(size)
