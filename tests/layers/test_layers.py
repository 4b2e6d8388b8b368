"""Every layer of the table against central differences, and against the contract."""

import copy
import inspect
import pickle
from typing import Any

import numpy as np
import pytest
from cases import CASES, Case
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import minifw
from minifw import Array, Dense, Layer, Sequential, Sigmoid, Tanh

STEP = 1e-6  # about the cube root of the machine epsilon, where a central difference is best
GRADIENT_TOLERANCE = 1e-8  # of functions whose third derivatives are of the order of 1

each_case = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
each_real_case = pytest.mark.parametrize(
    "case", [c for c in CASES if not c.indices], ids=[c.name for c in CASES if not c.indices]
)
each_batch = pytest.mark.parametrize("batch", [1, 2, pytest.param(6, marks=pytest.mark.slow)])


def random_layer(case: Case, dtype: type = np.float64) -> Any:
    """Return the layer with random parameters: those of the start hide faults (a bias of 0)."""
    layer = case.make(dtype)
    rng = np.random.default_rng(5)
    for parameter in layer.parameters():
        parameter.value = rng.standard_normal(parameter.shape)
    return layer


def forward(layer: Layer, x: Array) -> Any:
    """Return ``layer.forward(x)``, with the same random draws each time."""
    for one in (layer, *(nested for _, nested in layer.named_layers())):
        if hasattr(one, "rng"):
            one.rng = np.random.default_rng(7)
    return layer.forward(x)


def slope(layer: Layer, x: Array, dy: Array, array: Array) -> Array:
    """Return d sum(dy * layer(x)) / d array by central differences."""
    gradient = np.empty_like(array)
    for index in np.ndindex(array.shape):
        kept = array[index]
        array[index] = kept + STEP
        above = forward(layer, x)
        array[index] = kept - STEP
        below = forward(layer, x)
        array[index] = kept
        gradient[index] = np.sum(dy * (above - below)) / (2 * STEP)
    return gradient


def cotangent(layer: Layer, x: Array) -> Array:
    y = forward(layer, x)
    return np.asarray(np.random.default_rng(9).standard_normal(y.shape), y.dtype)


def gradients(layer: Layer) -> list[Array]:
    return [parameter.grad.copy() for parameter in layer.parameters()]


def test_every_public_layer_is_in_the_table() -> None:
    public = {getattr(minifw, name) for name in vars(minifw)["__all__"]}
    layers = {
        c
        for c in public
        if inspect.isclass(c) and issubclass(c, Layer) and not inspect.isabstract(c)
    }
    layers.remove(minifw.Mask)  # whose output is no array of floats
    assert layers == {type(case.make(np.float64)) for case in CASES}


@each_case
@each_batch
@pytest.mark.parametrize("training", [True, False])
def test_gradients_are_central_differences(case: Case, batch: int, training: bool) -> None:
    layer = random_layer(case).train(training)
    x = case.x(max(batch, case.least_batch) if training else batch)
    dy = cotangent(layer, x)
    forward(layer, x)
    for parameter in layer.parameters():
        parameter.grad = np.full(parameter.shape, np.nan)  # to be overwritten
    dx = layer.backward(dy)
    found = gradients(layer)
    if case.indices:
        np.testing.assert_array_equal(dx, np.zeros(x.shape))
    else:
        expected = slope(layer, x, dy, x)
        np.testing.assert_allclose(dx, expected, atol=GRADIENT_TOLERANCE, rtol=1e-7)
    for parameter, gradient in zip(layer.parameters(), found, strict=True):
        expected = slope(layer, x, dy, parameter.value)
        np.testing.assert_allclose(gradient, expected, atol=GRADIENT_TOLERANCE, rtol=1e-7)


@each_case
def test_backward_parameters_gives_the_same_gradients(case: Case) -> None:
    layer = random_layer(case)
    x = case.x(4)
    dy = cotangent(layer, x)
    layer.backward(dy)
    expected = gradients(layer)
    for parameter in layer.parameters():
        parameter.grad = np.full(parameter.shape, np.nan)
    layer.backward_parameters(dy)
    for gradient, one in zip(gradients(layer), expected, strict=True):
        np.testing.assert_array_equal(gradient, one)


@each_case
def test_backward_twice_gives_the_same(case: Case) -> None:
    layer = random_layer(case)
    dy = cotangent(layer, case.x(4))
    first, first_gradients = layer.backward(dy), gradients(layer)
    np.testing.assert_array_equal(layer.backward(dy), first)
    for gradient, one in zip(gradients(layer), first_gradients, strict=True):
        np.testing.assert_array_equal(gradient, one)


@each_case
def test_backward_follows_the_latest_forward(case: Case) -> None:
    layer, other = random_layer(case), random_layer(case)
    dy = cotangent(layer, case.x(4))
    layer.forward(case.x(4, seed=1))
    forward(layer, case.x(4, seed=2))
    forward(other, case.x(4, seed=2))
    np.testing.assert_array_equal(layer.backward(dy), other.backward(dy))


@each_case
def test_rows_are_treated_alone(case: Case) -> None:
    layer = random_layer(case).train(case.rows_alone)
    x = case.x(5)
    single = np.concatenate([layer.forward(x[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(layer.forward(x), single, rtol=1e-13, atol=1e-15)


@each_case
@pytest.mark.parametrize("layout", ["fortran", "strided", "reversed", "read-only"])
def test_memory_layout_does_not_matter(case: Case, layout: str) -> None:
    layer = random_layer(case)
    x = case.x(5)
    dy = cotangent(layer, x)
    y, dx, grads = forward(layer, x), layer.backward(dy), gradients(layer)

    def laid_out(array: Array) -> Array:
        if layout == "fortran":
            return np.asfortranarray(array)
        if layout == "strided":
            return np.repeat(array, 2, axis=0)[::2]
        if layout == "reversed":
            return np.ascontiguousarray(array[::-1])[::-1]
        array = array.copy()
        array.flags.writeable = False
        return array

    np.testing.assert_allclose(forward(layer, laid_out(x)), y, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(layer.backward(laid_out(dy)), dx, rtol=1e-13, atol=1e-15)
    for one, other in zip(gradients(layer), grads, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-13, atol=1e-15)


@each_case
def test_nothing_handed_in_or_out_is_written_to(case: Case) -> None:
    layer = random_layer(case)
    x1, x2 = case.x(4, seed=1), case.x(4, seed=2)
    y1 = layer.forward(x1)
    dy1 = cotangent(layer, x1)
    dx1 = layer.backward(dy1)
    arrays = {"x1": x1, "y1": y1, "dy1": dy1, "dx1": dx1}
    kept = {name: array.copy() for name, array in arrays.items()}
    y2 = layer.forward(x2)
    dx2 = layer.backward(np.ones_like(y2))
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, kept[name], err_msg=name)
    assert not np.shares_memory(y1, y2)
    assert not np.shares_memory(dx1, dx2)
    assert not np.shares_memory(y1, x1)
    assert not np.shares_memory(dx1, dy1)


@each_case
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept(case: Case, dtype: type) -> None:
    layer = random_layer(case, dtype)
    x = case.x(4, dtype)
    y = layer.forward(x)
    assert y.dtype == dtype
    assert layer.backward(np.ones_like(y)).dtype == dtype
    assert all(p.grad.dtype == dtype for p in layer.parameters())


@each_case
def test_output_shape_is_the_shape_of_the_output(case: Case) -> None:
    layer = case.make(np.float64)
    expected = layer(case.x(3)).shape[1:]
    assert layer.output_shape(case.example_shape) == expected
    if not case.indices:
        assert Layer.output_shape(layer, case.example_shape) == expected  # the default, too


def pickled(layer: Layer) -> Any:
    return pickle.loads(pickle.dumps(layer))


@each_case
@pytest.mark.parametrize("twin", [copy.deepcopy, pickled])
def test_copies_are_equal_and_independent(case: Case, twin: Any) -> None:
    layer = random_layer(case)
    x = case.x(4)
    dy = cotangent(layer, x)
    other = twin(layer)
    with pytest.raises(RuntimeError, match="call forward first"):
        other.backward(dy)  # what was saved stays behind
    np.testing.assert_array_equal(other.forward(x), layer.forward(x))
    np.testing.assert_array_equal(other.backward(dy), layer.backward(dy))
    assert repr(other) == repr(layer)
    before = gradients(layer)
    for parameter in other.parameters():
        parameter.value = np.zeros(parameter.shape)
        parameter.grad = np.zeros(parameter.shape)
    assert all(p.value.any() for p in layer.parameters())
    for one, gradient in zip(gradients(layer), before, strict=True):
        np.testing.assert_array_equal(one, gradient)


@each_case
def test_state_dict_round_trip(case: Case) -> None:
    layer, other = random_layer(case), case.make(np.float64)
    other.load_state_dict(layer.state_dict())
    x = case.x(4)
    np.testing.assert_array_equal(other.forward(x), layer.forward(x))
    state = layer.state_dict()
    for array in state.values():
        array[...] = 0
    assert all(p.value.any() for p in layer.parameters())


@each_case
def test_repr_rebuilds_the_layer(case: Case) -> None:
    layer = case.make(np.float64)
    names = {name: getattr(minifw, name) for name in vars(minifw)["__all__"]}
    rebuilt = eval(repr(layer), {**names, "float64": np.float64})  # noqa: S307 - our own repr
    np.testing.assert_array_equal(rebuilt.forward(case.x(3)), layer.forward(case.x(3)))


@each_case
def test_backward_before_forward_raises(case: Case) -> None:
    layer = case.make(np.float64)
    dy = np.ones((2, *layer.output_shape(case.example_shape)))
    for backward in (layer.backward, layer.backward_parameters):
        with pytest.raises(RuntimeError, match="call forward first"):
            backward(dy)


@each_case
@pytest.mark.parametrize(
    ("dy", "error"),
    [
        (np.ones((3, 99)), ValueError),
        (np.ones((3, 1), np.float32), TypeError),
        (np.ones((3, 1), int), TypeError),
        ([[1.0]], TypeError),
        (None, TypeError),
    ],
    ids=["shape", "float32", "int", "list", "None"],
)
def test_a_wrong_dy_is_refused(case: Case, dy: Any, error: type[Exception]) -> None:
    layer = case.make(np.float64)
    layer.forward(case.x(3))
    for parameter in layer.parameters():
        parameter.grad = np.full(parameter.shape, 7.0)
    with pytest.raises(error, match="expects dy"):
        layer.backward(dy)
    assert all((p.grad == 7.0).all() for p in layer.parameters())


@each_real_case
@pytest.mark.parametrize(
    ("x", "error"),
    [
        ([[1.0, 2.0, 3.0]], TypeError),
        (None, TypeError),
        (1.0, TypeError),
        (np.ones((2, 3), int), TypeError),
        (np.ones((2, 3), bool), TypeError),
        (np.ones((2, 3), np.float16), TypeError),
        (np.ones((2, 3), complex), TypeError),
        (np.array([["a", "b", "c"]]), TypeError),
        (np.ones((0, 3)), ValueError),
    ],
    ids=["list", "None", "float", "int", "bool", "float16", "complex", "text", "empty"],
)
def test_a_wrong_input_is_refused(case: Case, x: Any, error: type[Exception]) -> None:
    layer = random_layer(case)
    good = case.x(4)
    dy = cotangent(layer, good)
    expected = layer.backward(dy)
    with pytest.raises(error) as caught:
        layer.forward(x)
    assert "expects" in str(caught.value) or "computes in" in str(caught.value)
    assert "\n" not in str(caught.value)
    np.testing.assert_array_equal(layer.backward(dy), expected)  # nothing was changed


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
