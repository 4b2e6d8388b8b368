"""Every layer of the table where the author's kit does not ask, and what all are built of.

The gradients, copies, layouts and dtypes of every layer are in tests/testing/test_layers.py.
"""

import inspect
from typing import Any

import numpy as np
import pytest
from cases import CASES, Case
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import minifw
from minifw import Array, Dense, Layer, Sequential, Sigmoid, Tanh


def test_every_public_layer_is_in_the_table() -> None:
    public = {getattr(minifw, name) for name in vars(minifw)["__all__"]}
    layers = {
        c
        for c in public
        if inspect.isclass(c) and issubclass(c, Layer) and not inspect.isabstract(c)
    }
    layers.remove(minifw.Mask)  # whose output is no array of floats
    assert layers == {type(case.make(np.float64)) for case in CASES}


def test_repr_rebuilds_every_layer() -> None:
    names = {name: getattr(minifw, name) for name in vars(minifw)["__all__"]}
    for case in CASES:
        layer = case.make(np.float64)
        rebuilt = eval(repr(layer), {**names, "float64": np.float64})  # noqa: S307 - our own repr
        x = case.x(3)
        if hasattr(rebuilt, "adapt"):  # what it was fitted to is its state
            rebuilt.load_state_dict(layer.state_dict())
        np.testing.assert_array_equal(rebuilt(x), layer(x), err_msg=case.name)


WRONG_DY: list[tuple[Any, type[Exception]]] = [
    (np.ones((3, 99)), ValueError),
    (np.ones((3, 1), np.float32), TypeError),
    (np.ones((3, 1), int), TypeError),
    ([[1.0]], TypeError),
    (None, TypeError),
]
WRONG_X: list[tuple[Any, type[Exception]]] = [
    ([[1.0, 2.0, 3.0]], TypeError),
    (None, TypeError),
    (1.0, TypeError),
    (np.ones((2, 3), int), TypeError),
    (np.ones((2, 3), bool), TypeError),
    (np.ones((2, 3), np.float16), TypeError),
    (np.ones((2, 3), complex), TypeError),
    (np.array([["a", "b", "c"]]), TypeError),
    (np.ones((0, 3)), ValueError),
]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_wrong_x_and_a_wrong_dy_are_refused_and_change_nothing(case: Case) -> None:
    layer = case.make(np.float64)
    y = layer.forward(case.x(4))
    dx = np.asarray(layer.backward(np.ones_like(y))).copy()
    for parameter in layer.parameters():
        parameter.grad = np.full(parameter.shape, 7.0)
    for x, error in () if case.indices else WRONG_X:
        if layer.takes_whole_numbers is True and getattr(x, "dtype", None) in (int, bool):
            continue
        with pytest.raises(error, match=r"^[^\n]*(expects|computes in)"):
            layer.forward(x)
    for dy, error in WRONG_DY:
        with pytest.raises(error, match="expects dy"):
            layer.backward(dy)
    assert all((p.grad == 7.0).all() for p in layer.parameters())
    np.testing.assert_array_equal(layer.backward(np.ones_like(y)), dx)


def test_dense_is_the_notes_formula() -> None:
    layer = Dense(2, 3)
    w, b = np.array([[1.0, 2], [3, 4], [5, 6]]), np.array([10.0, 20, 30])
    layer.weight.value, layer.bias.value = w, b  # type: ignore[union-attr]
    x = np.array([[1.0, -1], [0.5, 2]])
    np.testing.assert_allclose(layer.forward(x), (w @ x.T + b[:, None]).T, rtol=1e-15)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((0, 1), ValueError),
        ((-2, 1), ValueError),
        ((2, -1), ValueError),
        ((2.0, 1), TypeError),
        (("2", 1), TypeError),
        ((True, 1), TypeError),
        ((None, 1), TypeError),
    ],
)
def test_dense_refuses_bad_sizes(arguments: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"Dense expects (in|out)_features"):
        Dense(*arguments)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"dtype": int}, TypeError),
        ({"dtype": np.float16}, TypeError),
        ({"dtype": "nonsense"}, TypeError),
        ({"dtype": None}, TypeError),
        ({"rng": "a"}, TypeError),
        ({"rng": 1.5}, TypeError),
        ({"rng": True}, TypeError),
        ({"rng": -1}, ValueError),
        ({"rng": np.random.RandomState(1)}, TypeError),
        ({"init": 3}, TypeError),
    ],
)
def test_dense_refuses_bad_options(options: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="Dense expects"):
        Dense(2, 1, **options)


@pytest.mark.parametrize("shape", [(3,), (2,), (1, 2), (1, 4), (3, 4), (1, 3, 2)])
def test_dense_refuses_a_wrong_width_or_rank(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"Dense\(3, 1\) expects x of shape \(batch, 3\)"):
        Dense(3, 1).forward(np.ones(shape))


def test_dense_says_how_to_mend_a_vector_and_a_matrix_of_columns() -> None:
    with pytest.raises(ValueError, match=r"x\[np\.newaxis\]"):
        Dense(3, 1).forward(np.ones(3))
    with pytest.raises(ValueError, match=r"x\.T"):
        Dense(3, 1).forward(np.ones((3, 8)))


def test_dense_computes_in_the_dtype_of_its_parameters() -> None:
    with pytest.raises(TypeError, match=r"computes in float32, .* use x\.astype\(np\.float32\)"):
        Dense(3, 1, dtype=np.float32).forward(np.ones((2, 3)))


finite_floats = st.floats(allow_nan=False, allow_infinity=False)


@given(arrays(np.float64, (4, 3), elements=finite_floats))
def test_tanh_and_sigmoid_are_finite_everywhere(x: Array) -> None:
    for layer, low in ((Tanh(), -1.0), (Sigmoid(), 0.0)):
        y = layer.forward(x)
        dx = layer.backward(np.ones_like(x))
        assert ((low <= y) & (y <= 1)).all()
        assert ((dx >= 0) & (dx <= 1)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmoid_identities_up_to_1e4_and_beyond(dtype: type) -> None:
    """s(-x) = 1 - s(x), s'(x) = s'(-x), and s(-x) = s'(-x) = exp(-x) far out."""
    x: Array = np.array([[0, 1e-3, 1, 15, 40, 80, 1e4, 1e30]], dtype)
    eps = float(np.finfo(dtype).eps)
    layer = Sigmoid()
    below, slope_below = layer.forward(-x), layer.backward(np.ones_like(x))
    above, slope_above = layer.forward(x), layer.backward(np.ones_like(x))
    np.testing.assert_allclose(below, 1 - above, rtol=0, atol=eps)
    np.testing.assert_allclose(slope_below, slope_above, rtol=0, atol=eps)
    far = x[x > 40]
    np.testing.assert_allclose(below[x > 40], np.exp(-far), rtol=4 * eps)
    np.testing.assert_allclose(slope_below[x > 40], np.exp(-far), rtol=4 * eps)


def test_sigmoid_is_half_of_one_plus_tanh_of_half() -> None:
    x = np.linspace(-30, 30, 601).reshape(-1, 1)
    expected = (1 + Tanh().forward(x / 2)) / 2
    np.testing.assert_allclose(Sigmoid().forward(x), expected, atol=1e-15)


@given(
    sizes=st.tuples(*[st.integers(1, 6)] * 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_dense_for_all_sizes(sizes: tuple[int, int, int], seed: int) -> None:
    """Whatever orientation it chooses: y = x W' + b, dx = dy W, dW = dy' x, db = dy' 1."""
    batch, n_in, n_out = sizes
    rng = np.random.default_rng(seed)
    x, w, b, dy = (
        rng.standard_normal(s) for s in ((batch, n_in), (n_out, n_in), (n_out,), (batch, n_out))
    )
    layer = Dense(n_in, n_out)
    weight, bias = layer.parameters()
    weight.value, bias.value = w, b
    np.testing.assert_allclose(layer.forward(x), np.einsum("bi,oi->bo", x, w) + b, atol=1e-13)
    np.testing.assert_allclose(layer.backward(dy), np.einsum("bo,oi->bi", dy, w), atol=1e-13)
    np.testing.assert_allclose(weight.grad, np.einsum("bo,bi->oi", dy, x), atol=1e-13)
    np.testing.assert_allclose(bias.grad, np.einsum("bo->o", dy), atol=1e-13)


def test_a_non_finite_input_goes_through_and_is_seen_at_the_loss() -> None:
    y = Sequential(Dense(2, 1, rng=0), Tanh()).forward(np.array([[np.nan, 1.0]]))
    assert np.isnan(y).all()
