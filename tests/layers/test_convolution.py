"""Convolution and pooling against nested loops over pixels, and what is known of them."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minifw import (
    Array,
    AvgPool2D,
    Conv1D,
    Conv2D,
    Conv2DTranspose,
    Dense,
    GlobalAvgPool2D,
    MaxPool2D,
    Pad2D,
    Sequential,
)
from minifw.layers import convolution
from minifw.testing import check_layer

ROUNDING = 1e-10


def close(found: Array, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=ROUNDING, atol=ROUNDING)


def draw(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


def randomized(layer: Conv2D) -> Conv2D:
    """Give the bias values too, which starts at 0."""
    for parameter in layer.parameters():
        parameter.value = draw(*parameter.shape, seed=7)
    return layer


# -- convolution, one number at a time --------------------------------------------------


def naive_convolution(
    x: Array,
    weight: Array,
    bias: Array,
    *,
    stride: tuple[int, int],
    before: tuple[int, int],
    after: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> tuple[Array, Array, Array, Array]:
    """Return y, and dx, dweight and dbias for the dy of `draw(*y.shape, seed=3)`."""
    batch, _, height, width = x.shape
    out, depth, kh, kw = weight.shape
    rows = (height + before[0] + after[0] - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    columns = (width + before[1] + after[1] - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    y = np.zeros((batch, out, rows, columns))
    dy = draw(*y.shape, seed=3)
    dx, dweight, dbias = np.zeros_like(x), np.zeros_like(weight), np.zeros_like(bias)
    for n, o, r, c in np.ndindex(y.shape):
        y[n, o, r, c] += bias[o]
        dbias[o] += dy[n, o, r, c]
        group = o // (out // groups)
        for i, u, v in np.ndindex(depth, kh, kw):
            channel = group * depth + i
            row = r * stride[0] + u * dilation[0] - before[0]
            column = c * stride[1] + v * dilation[1] - before[1]
            if 0 <= row < height and 0 <= column < width:
                y[n, o, r, c] += weight[o, i, u, v] * x[n, channel, row, column]
                dx[n, channel, row, column] += weight[o, i, u, v] * dy[n, o, r, c]
                dweight[o, i, u, v] += x[n, channel, row, column] * dy[n, o, r, c]
    return y, dx, dweight, dbias


def assert_is_naive(layer: Conv2D, x: Array, **geometry: Any) -> None:
    randomized(layer)
    weight, bias = layer.parameters()
    y, dx, dweight, dbias = naive_convolution(x, weight.value, bias.value, **geometry)
    close(layer.forward(x), y)
    assert layer.output_shape(x.shape[1:]) == y.shape[1:]
    dy = draw(*y.shape, seed=3)
    close(layer.backward(dy), dx)
    close(weight.grad, dweight)
    close(bias.grad, dbias)
    weight.grad, bias.grad = weight.grad * np.nan, bias.grad * np.nan
    layer.backward_parameters(dy)
    close(weight.grad, dweight)
    close(bias.grad, dbias)


KERNELS = [(1, 1), (1, 3), (3, 2)]
STRIDES = [(1, 1), (2, 1), (2, 3)]
PADDINGS = [(0, 0), (1, 0), (2, 3)]
DILATIONS = [(1, 1), (2, 1), (1, 3)]
# Nine of all 81, in which every two of the four options meet with all their values.
GEOMETRIES = [
    (KERNELS[i], STRIDES[j], PADDINGS[(i + j) % 3], DILATIONS[(i + 2 * j) % 3])
    for i, j in itertools.product(range(3), range(3))
]


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"),
    GEOMETRIES + [((2, 4), stride, (2, 3), (1, 1)) for stride in STRIDES],
)
def test_convolution_is_the_nested_loops(
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> None:
    layer = Conv2D(2, 4, kernel, stride, padding, dilation, groups)
    geometry = {"stride": stride, "before": padding, "after": padding, "dilation": dilation}
    assert_is_naive(layer, draw(2, 2, 6, 7), groups=groups, **geometry)


@pytest.mark.parametrize("block", [1, 80, 130, 300, 10**6])
def test_the_size_of_a_block_does_not_matter(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One output pixel at a time, some pixels of a row, a row, some rows, all."""
    monkeypatch.setattr(convolution, "BLOCK", block)
    layer = Conv2D(2, 4, (3, 2), (1, 2), 1, (1, 2), 2)
    geometry = {"stride": (1, 2), "before": (1, 1), "after": (1, 1), "dilation": (1, 2)}
    assert_is_naive(layer, draw(5, 2, 5, 6), groups=2, **geometry)


@pytest.mark.parametrize("longest", [1, 10**6])
@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation"), GEOMETRIES)
def test_channels_alone_are_the_nested_loops_run_by_run_or_not(
    kernel: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    *,
    longest: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(convolution, "RUN", longest)
    layer = Conv2D(3, 3, kernel, stride, padding, dilation, groups=3)
    geometry = {"stride": stride, "before": padding, "after": padding, "dilation": dilation}
    assert_is_naive(layer, draw(2, 3, 6, 7), groups=3, **geometry)


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 4), (5, 2)])
@pytest.mark.parametrize("dilation", [(1, 1), (2, 3), (3, 1)])
def test_same_padding_is_uneven_below_and_to_the_right(
    kernel: tuple[int, int], dilation: tuple[int, int]
) -> None:
    """As PyTorch: of d (k - 1), half, rounded down, comes before."""
    total = tuple(d * (k - 1) for k, d in zip(kernel, dilation, strict=True))
    before = (total[0] // 2, total[1] // 2)
    after = (total[0] - before[0], total[1] - before[1])
    layer = Conv2D(1, 2, kernel, padding="same", dilation=dilation)
    assert layer.output_shape((1, 4, 5)) == (2, 4, 5)
    x = draw(2, 1, 4, 5)
    geometry = {"stride": (1, 1), "before": before, "after": after, "dilation": dilation}
    assert_is_naive(layer, x, groups=1, **geometry)


def test_convolution_in_float32_is_that_in_float64() -> None:
    wide = randomized(Conv2D(3, 4, (3, 2), padding=1))
    narrow = randomized(Conv2D(3, 4, (3, 2), padding=1, dtype=np.float32))
    x, dy = draw(2, 3, 5, 6), draw(2, 4, 5, 7)
    for found, expected in (
        (narrow.forward(x.astype(np.float32)), wide.forward(x)),
        (narrow.backward(dy.astype(np.float32)), wide.backward(dy)),
        (narrow.weight.grad, wide.weight.grad),
    ):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


# -- convolution, what is known of it ---------------------------------------------------


def test_a_kernel_of_one_pixel_is_dense_at_every_pixel() -> None:
    layer, dense = randomized(Conv2D(3, 4, 1)), Dense(3, 4)
    dense.weight.value = layer.weight.value[:, :, 0, 0]
    dense.bias.value = draw(4, seed=7)  # type: ignore[union-attr]
    x, dy = draw(2, 3, 5, 6), draw(2, 4, 5, 6, seed=1)

    def pixels(images: Array) -> Array:
        return images.transpose(0, 2, 3, 1).reshape(-1, images.shape[1])

    close(pixels(layer.forward(x)), dense.forward(pixels(x)))
    close(pixels(layer.backward(dy)), dense.backward(pixels(dy)))
    close(layer.weight.grad[:, :, 0, 0], dense.weight.grad)
    close(layer.bias.grad, dense.bias.grad)  # type: ignore[union-attr]


def test_a_kernel_as_large_as_the_image_is_dense() -> None:
    layer, dense = randomized(Conv2D(2, 3, (4, 5), bias=False)), Dense(40, 3, bias=False)
    dense.weight.value = layer.weight.value.reshape(3, 40)
    x = draw(6, 2, 4, 5)
    close(layer.forward(x)[:, :, 0, 0], dense.forward(x.reshape(6, 40)))


def test_a_kernel_that_is_one_at_a_single_place_shifts_the_image() -> None:
    layer = Conv2D(1, 1, (3, 5), padding="same")
    x = draw(2, 1, 6, 7)
    for u, v in np.ndindex(3, 5):
        delta = np.zeros((1, 1, 3, 5))
        delta[0, 0, u, v] = 1
        layer.weight.value = delta
        around = np.pad(x, ((0, 0), (0, 0), (1, 1), (2, 2)))
        np.testing.assert_array_equal(layer.forward(x), around[:, :, u : u + 6, v : v + 7])
        back = np.pad(x, ((0, 0), (0, 0), (1, 1), (2, 2)))[:, :, 2 - u : 8 - u, 4 - v : 11 - v]
        np.testing.assert_array_equal(layer.backward(x), back)


def test_groups_are_convolutions_of_their_own() -> None:
    whole = randomized(Conv2D(6, 9, (3, 2), groups=3))
    x, dy = draw(2, 6, 5, 6), draw(2, 9, 3, 5, seed=1)
    y, dx = whole.forward(x), whole.backward(dy)
    for g in range(3):
        part = Conv2D(2, 3, (3, 2))
        ours, channels = slice(3 * g, 3 * g + 3), slice(2 * g, 2 * g + 2)
        part.weight.value = whole.weight.value[ours]
        part.bias.value = whole.bias.value[ours]  # type: ignore[union-attr]
        close(y[:, ours], part.forward(x[:, channels]))
        close(dx[:, channels], part.backward(dy[:, ours]))
        close(whole.weight.grad[ours], part.weight.grad)


def test_depthwise_filters_every_channel_alone() -> None:
    layer = randomized(Conv2D(3, 3, (2, 3), groups=3, bias=False))
    x = draw(2, 3, 4, 5)
    y = layer.forward(x)
    for channel in range(3):
        one = Conv2D(1, 1, (2, 3), bias=False)
        one.weight.value = layer.weight.value[channel : channel + 1]
        close(y[:, channel : channel + 1], one.forward(x[:, channel : channel + 1]))


def test_dilation_is_a_kernel_with_zeros_between() -> None:
    dilated = randomized(Conv2D(2, 3, (3, 2), padding=(1, 2), dilation=(2, 3)))
    sparse = randomized(Conv2D(2, 3, (5, 4), padding=(1, 2)))
    weight = np.zeros((3, 2, 5, 4))
    weight[:, :, ::2, ::3] = dilated.weight.value
    sparse.weight.value = weight
    x = draw(2, 2, 6, 7)
    y = dilated.forward(x)
    close(y, sparse.forward(x))
    dy = draw(*y.shape, seed=1)
    close(dilated.backward(dy), sparse.backward(dy))
    close(dilated.weight.grad, sparse.weight.grad[:, :, ::2, ::3])


def test_a_stride_takes_every_so_many_of_the_outputs() -> None:
    strided = randomized(Conv2D(2, 3, (3, 2), stride=(2, 3)))
    every = randomized(Conv2D(2, 3, (3, 2)))
    x = draw(2, 2, 8, 9)
    close(strided.forward(x), every.forward(x)[:, :, ::2, ::3])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": (2, 3), "padding": (2, 1)},
        {"dilation": (1, 2), "groups": 2},
        {"padding": "same", "dilation": 3},
    ],
)
def test_backward_is_the_adjoint_of_forward(options: Any) -> None:
    """<conv(x), dy> = <x, dx> = <W, dW>, without a bias."""
    layer = randomized(Conv2D(4, 6, (3, 2), bias=False, **options))
    x = draw(3, 4, 8, 9)
    y = layer.forward(x)
    dy = draw(*y.shape, seed=1)
    dx = layer.backward(dy)
    product = np.vdot(y, dy)
    assert np.vdot(x, dx) == pytest.approx(product, rel=1e-12)
    assert np.vdot(layer.weight.value, layer.weight.grad) == pytest.approx(product, rel=1e-12)


def test_rows_that_the_stride_leaves_over_get_no_gradient() -> None:
    layer = randomized(Conv2D(1, 1, 2, stride=3))
    x = draw(1, 1, 7, 6)
    dx = layer.backward(np.ones_like(layer.forward(x)))
    seen = np.zeros((7, 6), bool)
    seen[np.ix_([0, 1, 3, 4], [0, 1, 3, 4])] = True
    assert (dx[0, 0][seen] != 0).all()
    assert (dx[0, 0][~seen] == 0).all()


def test_the_start_is_glorot_of_the_whole_kernel() -> None:
    layer = Conv2D(8, 16, (3, 5), groups=2, rng=0)
    bound = np.sqrt(6 / (4 * 15 + 16 * 15))
    assert layer.weight.shape == (16, 4, 3, 5)
    assert 0.98 * bound < np.abs(layer.weight.value).max() <= bound
    assert not layer.bias.value.any()  # type: ignore[union-attr]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e4, 1e30])
def test_convolution_scales_with_its_input(dtype: type, size: float) -> None:
    """Linear without a bias, whatever the size of x and dy."""
    layer = Conv2D(2, 3, 3, padding=1, bias=False, dtype=dtype, rng=0)
    x: Array = np.asarray(np.sign(draw(2, 2, 4, 5)), dtype)
    dy: Array = np.asarray(np.sign(draw(2, 3, 4, 5, seed=1)), dtype)
    y, dx, dweight = layer.forward(x), layer.backward(dy), layer.weight.grad.copy()
    tolerance = 1000 * float(np.finfo(dtype).eps)
    large = dtype(size)
    np.testing.assert_allclose(layer.forward(x * large) / large, y, atol=tolerance)
    np.testing.assert_array_equal(layer.backward(dy), dx)
    np.testing.assert_allclose(layer.weight.grad / large, dweight, atol=tolerance)
    layer.forward(x)
    np.testing.assert_allclose(layer.backward(dy * large) / large, dx, atol=tolerance)
    np.testing.assert_allclose(layer.weight.grad / large, dweight, atol=tolerance)


def test_what_no_float_can_hold_is_infinite_and_no_warning() -> None:
    """As in `Dense`: the loss finds it."""
    layer = Conv2D(1, 1, 2, dtype=np.float32)
    layer.weight.value = np.full((1, 1, 2, 2), 1e30)
    y = layer.forward(np.full((1, 1, 2, 2), 1e30, np.float32))
    assert np.isposinf(y).all()
    assert np.isposinf(layer.backward(np.full_like(y, 1e30))).all()


@pytest.mark.slow
def test_forward_allocates_blocks_and_not_all_windows() -> None:
    import tracemalloc  # noqa: PLC0415 - here alone

    layer = Conv2D(4, 4, 5, padding=2, rng=0)
    x = draw(16, 4, 64, 64)
    windows = x.nbytes * 25  # 52 MB
    tracemalloc.start()
    y = layer.forward(x)
    layer.backward(y)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    blocks = 8 * convolution.BLOCK
    assert peak < 6 * x.nbytes + 2 * blocks < windows / 2


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((0, 1, 1), {}, ValueError, "in_channels to be at least 1"),
        ((1, 2.0, 1), {}, TypeError, "out_channels to be a whole number"),
        ((1, 1, 0), {}, ValueError, "kernel_size to be at least 1"),
        ((1, 1, (1, 2, 3)), {}, ValueError, "kernel_size to be one number or two"),
        ((1, 1, "3"), {}, TypeError, "kernel_size to be a whole number"),
        ((1, 1, 3), {"stride": 0}, ValueError, "stride to be at least 1"),
        ((1, 1, 3), {"stride": (1, True)}, TypeError, "stride to be a whole number"),
        ((1, 1, 3), {"padding": -1}, ValueError, "padding to be at least 0"),
        ((1, 1, 3), {"padding": "full"}, ValueError, 'padding to be numbers or "same"'),
        ((1, 1, 3), {"padding": "same", "stride": 2}, ValueError, 'stride 1 with padding="same"'),
        ((1, 1, 3), {"dilation": 0}, ValueError, "dilation to be at least 1"),
        ((4, 6, 3), {"groups": 3}, ValueError, "groups to divide"),
        ((4, 6, 3), {"groups": 4}, ValueError, "groups to divide"),
        ((4, 6, 3), {"groups": 0}, ValueError, "groups to be at least 1"),
        ((1, 1, 3), {"bias": 1}, TypeError, "bias to be True or False"),
        ((1, 1, 3), {"dtype": int}, TypeError, "dtype to be float64 or float32"),
        ((1, 1, 3), {"init": 3}, TypeError, "init to be callable"),
        ((1, 1, 3), {"rng": -1}, ValueError, "rng to be a seed"),
    ],
)
def test_convolution_refuses_bad_arguments(
    arguments: Any, options: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"Conv2D expects {message}"):
        Conv2D(*arguments, **options)


def test_a_kernel_larger_than_the_image_is_refused() -> None:
    layer = Conv2D(1, 1, (3, 2), padding=(1, 0), dilation=(3, 1))
    message = r"got 4 x 5 pixels: the kernel spans 7 x 2, larger than the padded image of 6 x 5"
    with pytest.raises(ValueError, match=message):
        layer.forward(draw(1, 1, 4, 5))
    with pytest.raises(ValueError, match=message):
        layer.output_shape((1, 4, 5))
    assert layer.forward(draw(1, 1, 5, 2)).shape == (1, 1, 1, 1)
    with pytest.raises(ValueError, match="larger than the padded image"):
        MaxPool2D(3).forward(draw(1, 1, 4, 2))


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (draw(2, 5, 5), ValueError, r"expects x of shape .*; one image is .* x\[np\.newaxis\]"),
        (draw(4, 5, 5, 2), ValueError, r"channels come first: x\.transpose\(0, 3, 1, 2\)"),
        (draw(4, 3, 5, 5), ValueError, r"expects x of shape \(batch, 2, height, width\)"),
        (draw(4, 2), ValueError, r"expects x of shape \(batch, 2, height, width\)"),
        (np.ones((1, 2, 5, 5), np.float32), TypeError, r"computes in float64"),
        (np.ones((0, 2, 5, 5)), ValueError, "at least one example"),
    ],
)
def test_convolution_refuses_other_images(x: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Conv2D(2, 1, 3).forward(x)


def test_images_without_a_channel_axis_are_told_how_to_get_one() -> None:
    with pytest.raises(ValueError, match=r"x\[:, np\.newaxis\]"):
        Conv2D(1, 2, 3).forward(draw(10, 8, 8))


def test_a_sequential_finds_the_layer_that_does_not_fit() -> None:
    model = Sequential(Conv2D(1, 4, 3, padding="same"), MaxPool2D(2), Conv2D(4, 8, 3))
    assert model.output_shape((1, 8, 9)) == (8, 2, 2)
    with pytest.raises(ValueError, match="larger than the padded image"):
        model.output_shape((1, 4, 9))


# -- pooling, one window at a time ------------------------------------------------------

POOLS = [
    (kernel, stride, padding)
    for kernel in [(1, 1), (2, 2), (3, 2), (2, 4)]
    for stride in [None, (1, 1), (2, 3)]
    for padding in [(0, 0), (1, 1), (0, 2)]
    if 2 * padding[0] <= kernel[0] and 2 * padding[1] <= kernel[1]
]


def naive_pool(x: Array, kernel: Any, stride: Any, padding: Any, kind: str) -> tuple[Array, Array]:
    """Return y, and dx for the dy of `draw(*y.shape, seed=3)`."""
    batch, channels, height, width = x.shape
    rows = (height + 2 * padding[0] - kernel[0]) // stride[0] + 1
    columns = (width + 2 * padding[1] - kernel[1]) // stride[1] + 1
    y, dx = np.zeros((batch, channels, rows, columns)), np.zeros_like(x)
    dy = draw(*y.shape, seed=3)
    for n, k, r, c in np.ndindex(y.shape):
        top, left = r * stride[0] - padding[0], c * stride[1] - padding[1]
        places = [
            (n, k, i, j)
            for i in range(max(top, 0), min(top + kernel[0], height))
            for j in range(max(left, 0), min(left + kernel[1], width))
        ]
        if kind == "max":
            largest = max(places, key=lambda place: x[place])  # the first, if several
            y[n, k, r, c] = x[largest]
            dx[largest] += dy[n, k, r, c]
        else:
            area = kernel[0] * kernel[1]  # the padding counts
            y[n, k, r, c] = sum(x[place] for place in places) / area
            for place in places:
                dx[place] += dy[n, k, r, c] / area
    return y, dx


@pytest.mark.parametrize(("kernel", "stride", "padding"), POOLS)
@pytest.mark.parametrize("ties", [False, True])
def test_pooling_is_the_nested_loops(kernel: Any, stride: Any, padding: Any, ties: bool) -> None:
    x = draw(2, 3, 6, 7)
    x = np.round(x) if ties else x
    layers: dict[str, MaxPool2D | AvgPool2D] = {
        "max": MaxPool2D(kernel, stride, padding),
        "mean": AvgPool2D(kernel, stride, padding),
    }
    for kind, layer in layers.items():
        y, dx = naive_pool(x, kernel, stride or kernel, padding, kind)
        close(layer.forward(x), y)
        assert layer.output_shape(x.shape[1:]) == y.shape[1:]
        close(layer.backward(draw(*y.shape, seed=3)), dx)


def test_the_first_of_equal_maxima_takes_the_gradient() -> None:
    layer = MaxPool2D((2, 3))
    layer.forward(np.array([[[[1.0, 4.0, 4.0], [4.0, 4.0, 0.0]]]]))
    dx = layer.backward(np.array([[[[5.0]]]]))
    np.testing.assert_array_equal(dx, [[[[0, 5, 0], [0, 0, 0]]]])


def test_the_padding_of_a_maximum_never_wins() -> None:
    layer = MaxPool2D(3, 1, 1)
    x = -1e300 * (1 + np.arange(12.0).reshape(1, 1, 3, 4))
    y = layer.forward(x)
    assert np.isfinite(y).all()
    assert layer.backward(np.ones_like(y)).sum() == y.size


def test_pools_of_the_whole_image_agree() -> None:
    x, dy = draw(2, 3, 4, 5), draw(2, 3, seed=1)
    whole, windows = GlobalAvgPool2D(), AvgPool2D((4, 5))
    close(whole.forward(x), x.mean(axis=(2, 3)))
    close(whole.forward(x), windows.forward(x)[:, :, 0, 0])
    close(whole.backward(dy), windows.backward(dy[:, :, None, None]))
    close(whole.backward(dy), np.broadcast_to(dy[:, :, None, None] / 20, x.shape))
    assert whole.output_shape((3, 4, 5)) == (3,)


def test_an_average_is_a_depthwise_convolution() -> None:
    pool = AvgPool2D((3, 2), (2, 1), 1)
    layer = Conv2D(3, 3, (3, 2), (2, 1), 1, groups=3, bias=False)
    layer.weight.value = np.full((3, 1, 3, 2), 1 / 6)
    x = draw(2, 3, 6, 5)
    y = pool.forward(x)
    close(y, layer.forward(x))
    dy = draw(*y.shape, seed=1)
    close(pool.backward(dy), layer.backward(dy))


@pytest.mark.parametrize("layer", [MaxPool2D(2), AvgPool2D(2), GlobalAvgPool2D()])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("share", [1e-38, 1e-20, 0.5, 0.99])
def test_pools_of_equal_pixels_are_that_pixel(layer: Any, dtype: type, share: float) -> None:
    """Also close to the largest float, where a sum would overflow."""
    for sign in (-1, 1):
        pixel = sign * share * float(np.finfo(dtype).max)
        x: Array = np.full((2, 3, 4, 6), pixel, dtype)
        y = layer.forward(x)
        assert y.dtype == dtype
        tolerance = 8 * float(np.finfo(dtype).eps)
        np.testing.assert_allclose(y, np.full_like(y, pixel), rtol=tolerance)
        dx = layer.backward(np.full_like(y, pixel))
        assert dx.dtype == dtype
        assert np.isfinite(dx).all()


def test_not_a_number_goes_through() -> None:
    x = draw(1, 2, 4, 4)
    x[0, 0, 1, 1] = np.nan
    for layer in (MaxPool2D(2), AvgPool2D(2), Conv2D(2, 1, 2, stride=2)):
        assert np.isnan(layer.forward(x)[0, 0, 0, 0])


@pytest.mark.parametrize("pool", [MaxPool2D, AvgPool2D])
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0,), ValueError, "kernel_size to be at least 1"),
        ((2.0,), TypeError, "kernel_size to be a whole number"),
        ((2, 0), ValueError, "stride to be at least 1"),
        ((2, 2, -1), ValueError, "padding to be at least 0"),
        (((4, 3), 2, 2), ValueError, "padding of at most half the kernel"),
    ],
)
def test_pools_refuse_bad_arguments(
    pool: type, arguments: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"{pool.__name__} expects {message}"):
        pool(*arguments)


@pytest.mark.parametrize("layer", [MaxPool2D(2), AvgPool2D(2), GlobalAvgPool2D()])
def test_pools_refuse_what_is_no_batch_of_images(layer: Any) -> None:
    with pytest.raises(ValueError, match=r"\(batch, channels, height, width\)"):
        layer.forward(draw(4, 5))
    with pytest.raises(ValueError, match=r"\(channels, height, width\)"):
        layer.output_shape((4, 5))


def test_sizes_are_derived_or_fixed() -> None:
    layer: Any = Conv2D(4, 6, (3, 2), 1, "same", groups=2)
    assert (layer.in_channels, layer.out_channels) == (4, 6)
    for name in ("in_channels", "out_channels", "kernel_size", "stride", "padding", "groups"):
        with pytest.raises(AttributeError):
            setattr(layer, name, 2)
    layer = MaxPool2D((3, 2), padding=1)
    for name in ("kernel_size", "stride", "padding"):
        with pytest.raises(AttributeError, match=f"{name} is fixed once it is made"):
            setattr(layer, name, 2)


# -- over time, and back up: their numbers are in test_against_torch.py ----------------------


def test_causal_convolution_sees_nothing_later() -> None:
    check_layer(Conv1D(2, 3, 3, padding="causal", dilation=2, rng=0), draw(2, 7, 2), causal=True)
    with pytest.raises(AssertionError, match="looks ahead"):
        check_layer(Conv1D(2, 3, 3, padding="same", rng=0), draw(2, 7, 2), causal=True)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Conv1D(1, 1, 3, padding="full"), 'padding to be numbers or "same" or "causal"'),
        (lambda: Conv1D(1, 1, 3, 2, "same"), 'stride 1 with padding="same", got 2'),
        (lambda: Conv1D(1, 1, 3, padding=(1, -1)), "padding to be at least 0"),
        (lambda: Conv1D(2, 1, 3)(draw(2, 2, 4)), r"time, 2\), got .*swapaxes"),
        (lambda: Conv1D(1, 1, 3, 1, 1, 4)(draw(2, 6, 1)), "at least 7 steps, .* got 6"),
        (lambda: Conv1D(1, 1, 3).output_shape((2, 1)), "at least 3 steps, .* got 2"),
        (lambda: Conv2DTranspose(1, 1, 3, 2, 0, 2), r"output_padding below .* got \(2, 2\)"),
        (lambda: Conv2DTranspose(4, 3, 3, groups=2), "groups to divide"),
        (lambda: Conv2DTranspose(1, 1, 2, padding=1)(draw(1, 1, 1, 5)), "leaves something"),
        (lambda: Conv2DTranspose(3, 1, 2).output_shape((2, 4, 4)), r"shape \(3, height"),
    ],
)
def test_what_does_not_fit_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=rf"Conv.*expects .*{message}"):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Pad2D((1, 2)), "padding to be one number or four"),  # type: ignore[arg-type]
        (lambda: Pad2D((1, 2, 0, -1)), "padding to be at least 0"),
        (lambda: Pad2D(1, "edge"), r"mode to be one of \['constant', .*, got 'edge'"),  # type: ignore[arg-type]
        (lambda: Pad2D(1, value=1e60), "value to be finite in float32"),
        (lambda: Pad2D(2, "reflect")(draw(1, 1, 2, 3)), "their border is made, got 2 x 3"),
        (lambda: Pad2D((0, 4, 0, 0), "circular").output_shape((1, 3, 3)), "got 3 x 3"),
        (lambda: Pad2D(1)(draw(1, 2, 3)), r"x\[np.newaxis\]"),
        (lambda: Pad2D(1).output_shape((2, 3)), r"\(channels, height, width\)"),
    ],
)
def test_a_border_that_cannot_be_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=rf"Pad2D.*expects .*{message}"):
        make()
