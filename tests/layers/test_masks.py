"""Masks, attention, and what else knows of steps: against loops, and what is refused."""

from typing import Any

import numpy as np
import pytest

from minifw import (
    GRU,
    LSTM,
    Array,
    Columns,
    Dense,
    Embedding,
    Flip,
    Mask,
    MeanOverTime,
    MultiHeadAttention,
    Positions,
    Sequential,
    UpSample2D,
)


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


def randomized(layer: Any) -> Any:
    for seed, parameter in enumerate(layer.parameters()):
        parameter.value = normal(*parameter.shape, seed=seed)
    return layer


MASKED = [
    lambda dtype: LSTM(4, 3, rng=0, dtype=dtype),
    lambda dtype: GRU(4, 3, return_sequences=False, rng=0, dtype=dtype),
    lambda dtype: LSTM(4, 3, return_sequences=False, return_state=True, rng=0, dtype=dtype),
    lambda dtype: MultiHeadAttention(4, 2, rng=0, dtype=dtype),
    lambda dtype: MultiHeadAttention(4, 2, causal=True, rng=0, dtype=dtype),
    lambda _: MeanOverTime(),
]
each_masked = pytest.mark.parametrize(
    "make", MASKED, ids=["LSTM", "GRU", "state", "attention", "causal", "mean"]
)


def called(layer: Any, x: Array, mask: Any) -> Any:
    return layer.forward(x, None, mask) if hasattr(layer, "heads") else layer.forward(x, mask)


def several(y: Any) -> tuple[Array, ...]:
    return y if isinstance(y, tuple) else (y,)


@each_masked
@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("length", [7, 5, 3, 1])
def test_padded_is_as_not_padded(make: Any, length: int, left: bool) -> None:
    """Whatever stands at the steps that do not count, outputs and gradients are the same."""
    layer, mask = make(np.float64), np.zeros((1, 7), bool)
    x: Array = normal(1, 7, 4)
    places = (slice(None), slice(-length, None) if left else slice(length))
    mask[places] = True

    def cut(arrays: Any) -> list[Array]:
        return [one[places] if one.ndim == 3 else one for one in arrays]

    ys = several(called(layer, x, mask))
    dys = [np.where(mask[..., np.newaxis], one, 0) if one.ndim == 3 else one for one in ys]
    dx = layer.backward(*dys)[0]
    found = [p.grad.copy() for p in layer.parameters()]
    for own, other in zip(cut(ys), several(layer.forward(x[places])), strict=True):
        np.testing.assert_allclose(own, other, rtol=0, atol=1e-15)
    np.testing.assert_allclose(dx[places], layer.backward(*cut(dys)), rtol=0, atol=1e-14)
    assert not dx[~mask].any()
    for gradient, parameter in zip(found, layer.parameters(), strict=True):
        np.testing.assert_allclose(gradient, parameter.grad, rtol=0, atol=1e-14)


@each_masked
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_row_that_is_masked_whole(make: Any, dtype: type) -> None:
    """It gives the initial state, the mean 0, and of attention the bias; no gradient is NaN."""
    layer = make(dtype)
    x: Array = normal(2, 3, 4).astype(dtype)
    ys = several(called(layer, x, np.array([[False] * 3, [True] * 3])))
    bias = layer.out_proj.bias.value if hasattr(layer, "heads") else 0
    for one in ys:
        np.testing.assert_array_equal(one[0], np.broadcast_to(bias, one[0].shape))
    dx = layer.backward(*(np.ones_like(one) for one in ys))[0]
    assert not dx[0].any()
    assert np.isfinite(dx).all()
    assert all(np.isfinite(p.grad).all() for p in layer.parameters())


@each_masked
def test_a_mask_of_0_and_1_is_one_of_false_and_true(make: Any) -> None:
    layer, x, mask = make(np.float64), normal(3, 5, 4), normal(3, 5) > 0
    first = several(called(layer, x, mask))
    for dtype in (int, np.uint8):
        second = several(called(layer, x, mask.astype(dtype)))
        for one, other in zip(first, second, strict=True):
            np.testing.assert_array_equal(one, other)


@each_masked
@pytest.mark.parametrize(
    ("mask", "error", "message"),
    [
        (np.full((2, 3), 0.5), TypeError, r"True where a step counts, got a float64 array"),
        (np.full((2, 3), -1e9), TypeError, r"key_padding_mask take ~mask, of an additive one"),
        (np.full((2, 3), -np.inf), TypeError, "mask == 0"),
        (np.zeros((2, 3)), TypeError, "to be bool"),  # PyTorch's additive one, without padding
        (np.array([[1, 2, 0], [3, 0, 0]]), TypeError, r"other numbers than 0 and 1; .* Mask\(\)"),
        ([[True] * 3] * 2, TypeError, "got a list"),
        (np.ma.masked_array(np.ones((2, 3), bool)), TypeError, "masked array"),
        (np.ones((3, 2), bool), ValueError, r"here \(2, 3\), got \(3, 2\); .* mask\.T"),
        (np.ones(3, bool), ValueError, r"here \(2, 3\), got \(3,\)"),
        (np.ones((1, 3), bool), ValueError, r"here \(2, 3\), got \(1, 3\)"),
    ],
)
def test_other_masks_are_refused(make: Any, mask: Any, error: Any, message: str) -> None:
    layer, x = make(np.float64), normal(2, 3, 4)
    ys = several(layer.forward(x))
    with pytest.raises(error, match=message) as caught:
        called(layer, x, mask)
    assert str(caught.value).startswith(f"{layer!r} expects mask")
    assert isinstance(layer.backward(*ys), np.ndarray)  # nothing was changed


# -- attention -------------------------------------------------------------------------------


def test_attention_is_a_loop_over_heads_and_steps() -> None:
    layer = randomized(MultiHeadAttention(4, 2, causal=True))
    x, mask = normal(2, 3, 4), np.array([[True, False, True], [False, True, True]])
    weight, bias = layer.in_proj_weight.value, layer.in_proj_bias.value
    q, k, v = (x @ weight[n : n + 4].T + bias[n : n + 4] for n in (0, 4, 8))
    z = np.zeros_like(x)
    for row, head, i in np.ndindex(2, 2, 3):
        cut = slice(2 * head, 2 * head + 2)
        seen = [j for j in range(i + 1) if mask[row, j]]
        e = [np.exp(q[row, i, cut] @ k[row, j, cut] / np.sqrt(2)) for j in seen]
        for share, j in zip(e, seen, strict=True):
            z[row, i, cut] += share / sum(e) * v[row, j, cut]
    expected = z @ layer.out_proj.weight.value.T + layer.out_proj.bias.value
    np.testing.assert_allclose(layer.forward(x, None, mask), expected, rtol=0, atol=1e-13)


def test_the_future_has_no_part_in_causal_attention() -> None:
    layer = randomized(MultiHeadAttention(6, 2, causal=True))
    x = normal(3, 8, 6)
    later = x.copy()
    later[:, 5:] = 1e3 * normal(3, 3, 6, seed=1)
    y = layer.forward(x)
    np.testing.assert_array_equal(layer.forward(later)[:, :5], y[:, :5])
    dy = np.zeros_like(y)
    dy[:, 4] = 1
    assert not layer.backward(dy)[:, 5:].any()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_scores_of_any_size_are_no_fault(dtype: type) -> None:
    layer = MultiHeadAttention(2, 1, rng=0, dtype=dtype)
    with np.errstate(all="raise"):
        y = layer.forward(normal(2, 3, 2).astype(dtype) * dtype(1e4))
        assert np.isfinite(layer.backward(np.ones_like(y))).all()


def test_a_state_dict_has_the_names_and_shapes_of_torch() -> None:
    shapes = {name: value.shape for name, value in MultiHeadAttention(6, 3).state_dict().items()}
    assert shapes == {
        "in_proj_weight": (18, 6),
        "in_proj_bias": (18,),
        "out_proj.weight": (6, 6),
        "out_proj.bias": (6,),
    }


def test_a_memory_has_its_own_gradient() -> None:
    layer, x = randomized(MultiHeadAttention(4, 2)), normal(2, 3, 4)
    y = layer.forward(x)
    alone = layer.backward(y)
    layer.forward(x, x)
    dx, dmemory = layer.backward(y)
    np.testing.assert_allclose(dx + dmemory, alone, rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ((normal(2, 4),), ValueError, r"expects x of shape \(batch, time, 4\)"),
        ((normal(2, 3, 4), normal(2, 3, 5)), ValueError, r"memory of shape \(batch, time, 4\)"),
        ((normal(2, 3, 4), normal(1, 3, 4)), ValueError, "a memory for each row of x, 2, got 1"),
        ((normal(2, 3, 4).astype(np.float32),), TypeError, r"x\.astype\(np\.float64\)"),
        ((normal(2, 3, 4), normal(2, 3, 4).astype(np.float32)), TypeError, "got memory as"),
    ],
)
def test_attention_refuses(given: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        MultiHeadAttention(4, 2).forward(*given)


def test_heads_share_the_features() -> None:
    with pytest.raises(ValueError, match="features to be a multiple of heads, got 5 for 2"):
        MultiHeadAttention(5, 2)


# -- states ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_a_sequence_in_two_pieces_is_as_in_one(kind: Any) -> None:
    layer, x = randomized(kind(3, 2, return_state=True)), normal(4, 6, 3)
    y, *last = layer.forward(x)
    first, *states = layer.forward(x[:, :2])
    second, *ends = layer.forward(x[:, 2:], None, *states)
    np.testing.assert_allclose(np.concatenate([first, second], axis=1), y, rtol=0, atol=1e-15)
    np.testing.assert_allclose(ends, last, rtol=0, atol=1e-15)
    assert not any(np.shares_memory(y, state) for state in last)


@pytest.mark.parametrize("kind", [LSTM, GRU])
@pytest.mark.parametrize(
    ("h", "error", "message"),
    [
        (normal(4, 3), ValueError, r"h of shape \(batch, hidden\), here \(4, 2\), got \(4, 3\)"),
        (normal(1, 4, 2), ValueError, r"of PyTorch's take h\[0\]"),
        (normal(4, 2).astype(np.float32), TypeError, r"h\.astype\(np\.float64\)"),
        (0.0, TypeError, "h to be a NumPy array"),
    ],
)
def test_a_state_of_another_kind_is_refused(kind: Any, h: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        kind(3, 2).forward(normal(4, 5, 3), None, h)


def test_gradients_are_those_of_what_was_given() -> None:
    layer, x, c = LSTM(3, 2, rng=0), normal(4, 5, 3), normal(4, 2)
    y = layer.forward(x, None, None, c)
    dx, *others, dc = layer.backward(y)
    assert others == [None, None]
    assert (dx.shape, dc.shape) == (x.shape, c.shape)
    states = LSTM(3, 2, return_state=True)
    states.forward(x)
    with pytest.raises(TypeError, match="a gradient for each of y, h, c, got 1"):
        states.backward(y)


# -- the others ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((20, 20), r"\(400,\) or \(time, 400\), got \(20, 20\); put Flatten\(\) before it"),
        ((2, 3, 400), r"\(400,\) or \(time, 400\), got \(2, 3, 400\)"),
        ((399,), r"got \(399,\)"),
        ((), r"got \(\)"),
    ],
)
def test_dense_takes_rows_and_sequences(shape: tuple[int, ...], message: str) -> None:
    layer = Dense(400, 4)
    assert (layer.output_shape((400,)), layer.output_shape((7, 400))) == ((4,), (7, 4))
    with pytest.raises(ValueError, match=message):
        layer.output_shape(shape)
    with pytest.raises(ValueError, match=r"expects x of shape \(batch, 400\)"):
        layer.forward(np.ones((2, *shape)))


def test_dense_says_what_images_need() -> None:
    with pytest.raises(ValueError, match=r"\(batch, time, 3\).*Flatten\(\).*Conv2D\(\.\.\., 1\)"):
        Dense(3, 2).forward(np.ones((2, 4, 4, 3)))
    layer = Dense(3, 2)
    layer.forward(np.ones((4, 5, 3)))
    with pytest.raises(ValueError, match=r"shape of its output, \(4, 5, 2\), got \(5, 4, 2\)"):
        layer.backward(np.ones((5, 4, 2)))


def test_masks_are_made_of_whole_numbers() -> None:
    layer, x = Mask(-1), np.array([[3, 0, -1], [-1, -1, 0]])
    np.testing.assert_array_equal(layer.forward(x), [[1, 1, 0], [0, 0, 1]])
    np.testing.assert_array_equal(layer.backward(np.ones((2, 3))), np.zeros((2, 3)))
    assert layer.output_shape((3,)) == (3,)
    with pytest.raises(TypeError, match=r"Mask\(-1\) expects x to hold whole numbers"):
        layer.forward(x * 1.0)
    with pytest.raises(RuntimeError, match="needs a forward"):
        Mask().backward(np.zeros((2, 3)))


@pytest.mark.parametrize("dtype", [bool, np.int16])
def test_what_has_no_derivative_is_turned_around(dtype: Any) -> None:
    layer, x = Flip(), np.array([[1, 0, 0], [1, 1, 0]], dtype)
    y = layer.forward(x)
    np.testing.assert_array_equal(y, np.array([[0, 0, 1], [0, 1, 1]], dtype), strict=True)
    np.testing.assert_array_equal(layer.backward(np.ones((2, 3))), np.zeros((2, 3)), strict=True)
    assert Sequential(Flip(), Embedding(3, 4)).predict(x.astype(int)).shape == (2, 3, 4)


def test_positions_beyond_the_sequence_get_no_gradient() -> None:
    layer = Positions(5, 2, rng=0)
    layer.weight.grad = np.full((5, 2), np.nan)
    layer.forward(normal(4, 3, 2))
    layer.backward(np.ones((4, 3, 2)))
    np.testing.assert_array_equal(layer.weight.grad, [[4, 4]] * 3 + [[0, 0]] * 2)
    with pytest.raises(ValueError, match="at most 5 steps, got 6; make it longer"):
        layer.forward(normal(4, 6, 2))
    with pytest.raises(ValueError, match="at most 5 steps, got 6"):
        layer.output_shape((6, 2))


def test_columns_for_an_embedding() -> None:
    table = np.array([[2.0, 0.5, 1.0], [0.0, 7.0, 1.0]])
    both = Columns(0, 2, whole=True)
    np.testing.assert_array_equal(both.forward(table), [[2, 1], [0, 1]])
    assert both.forward(table).dtype == np.intp
    np.testing.assert_array_equal(both.backward(np.ones((2, 2))), np.zeros((2, 3)))
    model = Sequential(Columns(0, whole=True), Embedding(3, 4, rng=0))
    np.testing.assert_array_equal(model(table), model[1].weight.value[[2, 0]])
    np.testing.assert_array_equal(model.backward(np.ones((2, 4))), np.zeros((2, 3)))
    assert (both.output_shape((3,)), model.output_shape((3,))) == ((2,), (4,))


@pytest.mark.parametrize("bad", [0.5, np.nan, np.inf, -np.inf, 1e300])
def test_columns_name_what_is_not_whole(bad: float) -> None:
    table = np.zeros((3, 4))
    table[1, 2] = bad
    with pytest.raises(
        ValueError, match=rf"whole numbers, got {bad} in row 1, column 2".replace("+", r"\+")
    ):
        Columns(0, 2, whole=True).forward(table)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (Columns, ValueError, "at least one column"),
        (lambda: Columns(-1), ValueError, "at least 0"),
        (lambda: Columns(1.0), TypeError, "whole number"),  # type: ignore[arg-type]
        (lambda: Columns(0, whole=1), TypeError, "True or False"),  # type: ignore[arg-type]
        (lambda: Columns(3).forward(normal(2, 3)), ValueError, r"at least 4, got \(3,\)"),
        (lambda: Columns(0).forward(normal(2, 3, 1)), ValueError, r"got \(3, 1\)"),
        (lambda: Columns(0).forward(np.ones((2, 3), int)), TypeError, "float64 or float32"),
        (lambda: UpSample2D(0), ValueError, "at least 1"),
        (lambda: UpSample2D(2).forward(normal(2, 3)), ValueError, "batch, channels, height"),
        (lambda: UpSample2D(2).output_shape((3, 4)), ValueError, "channels, height, width"),
        (lambda: MeanOverTime().forward(normal(2, 3)), ValueError, r"\(batch, time"),
        (lambda: MeanOverTime().output_shape((3,)), ValueError, r"\(time, features\)"),
        (lambda: MultiHeadAttention(4, 2).output_shape((3, 5)), ValueError, r"\(time, 4\)"),
        (lambda: Flip(0), ValueError, "other than 0, which is the batch"),
        (lambda: Flip(-2).forward(normal(2, 3)), ValueError, "an axis -2 besides the batch"),
        (lambda: Mask(0.5), TypeError, "whole number"),  # type: ignore[arg-type]
    ],
)
def test_what_does_not_fit_is_refused(call: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        call()
