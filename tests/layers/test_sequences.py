"""Embedding, LSTM and GRU against loops over steps and elements, and against what is known."""

import cmath
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from minifw import (
    GRU,
    LSTM,
    SGD,
    Adam,
    Array,
    BCELoss,
    Dense,
    Embedding,
    Layer,
    Objective,
    Parameter,
    Sequential,
    Sigmoid,
)

Weights = dict[str, Any]
"""The four arrays of a recurrent layer, by name."""

EXACT = 1e-10  # what the catalogue promises against independent formulas, in float64
COMPLEX_STEP = 1e-30  # so small that its square is nothing: the derivative is exact
STEPS = 12
FORGET = slice(8, 16)  # the gate f of an LSTM of 8 units


# -- references: one number at a time ----------------------------------------------------


def sums(w: Weights, kind: str, row: int, values: list[complex]) -> complex:
    """Return one row of W v + b."""
    weight, bias = w[f"weight_{kind}_l0"], w[f"bias_{kind}_l0"]
    return sum(
        (complex(weight[row, k]) * v for k, v in enumerate(values)), start=complex(bias[row])
    )


def sigmoid(a: complex) -> complex:
    return 1 / (1 + cmath.exp(-a))


def lstm_step(
    w: Weights, size: int, x: list[complex], h: list[complex], c: list[complex]
) -> tuple[list[complex], list[complex]]:
    """One step as in PyTorch's documentation of LSTM."""
    new_h, new_c = [], []
    for j in range(size):
        a = [sums(w, "ih", k * size + j, x) + sums(w, "hh", k * size + j, h) for k in range(4)]
        i, f, g, o = sigmoid(a[0]), sigmoid(a[1]), cmath.tanh(a[2]), sigmoid(a[3])
        new_c.append(f * c[j] + i * g)
        new_h.append(o * cmath.tanh(new_c[j]))
    return new_h, new_c


def gru_step(
    w: Weights, size: int, x: list[complex], h: list[complex], c: list[complex]
) -> tuple[list[complex], list[complex]]:
    """One step as in PyTorch's documentation of GRU."""
    new_h = []
    for j in range(size):
        a = [sums(w, "ih", k * size + j, x) for k in range(3)]
        q = [sums(w, "hh", k * size + j, h) for k in range(3)]
        r, z = sigmoid(a[0] + q[0]), sigmoid(a[1] + q[1])
        n = cmath.tanh(a[2] + r * q[2])
        new_h.append((1 - z) * n + z * h[j])
    return new_h, c


STEP: dict[type, Callable[..., tuple[list[complex], list[complex]]]] = {
    LSTM: lstm_step,
    GRU: gru_step,
}


def by_hand(kind: type, w: Weights, x: npt.NDArray[Any]) -> npt.NDArray[np.complex128]:
    """Return the states after all steps, (batch, time, hidden)."""
    size = w["weight_hh_l0"].shape[1]
    y = np.zeros((*x.shape[:2], size), complex)
    for b in range(len(x)):
        h, c = [0j] * size, [0j] * size
        for t in range(x.shape[1]):
            h, c = STEP[kind](w, size, [complex(v) for v in x[b, t]], h, c)
            y[b, t] = h
    return y


def complex_step(
    value: Callable[[npt.NDArray[np.complex128]], complex], array: Array
) -> npt.NDArray[Any]:
    """Return the gradient Im f(x + i h) / h, which knows nothing of a chain rule."""
    gradient = np.empty(array.shape)
    for index in np.ndindex(array.shape):
        moved = array.astype(complex)
        moved[index] += COMPLEX_STEP * 1j
        gradient[index] = value(moved).imag / COMPLEX_STEP
    return gradient


def random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


def randomized(layer: Layer) -> Any:
    for seed, parameter in enumerate(layer.parameters()):
        parameter.value = random(*parameter.shape, seed=seed)
    return layer


both = pytest.mark.parametrize("kind", [LSTM, GRU])
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


# -- LSTM and GRU ------------------------------------------------------------------------


@both
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("time", [1, 2, STEPS])
@pytest.mark.parametrize(("inputs", "hidden"), [(1, 1), (2, 3), (4, 2)])
def test_states_are_those_of_loops_over_steps_and_elements(
    kind: Any, batch: int, time: int, inputs: int, hidden: int
) -> None:
    layer = randomized(kind(inputs, hidden))
    x = random(batch, time, inputs, seed=9)
    expected = by_hand(kind, layer.state_dict(), x).real
    np.testing.assert_allclose(layer.forward(x), expected, rtol=0, atol=EXACT)
    last = randomized(kind(inputs, hidden, return_sequences=False))
    np.testing.assert_allclose(last.forward(x), expected[:, -1], rtol=0, atol=EXACT)


@both
@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("time", [1, STEPS])
def test_gradients_are_those_of_the_complex_step(kind: Any, whole: bool, time: int) -> None:
    layer = randomized(kind(2, 3, return_sequences=whole))
    x, w = random(2, time, 2, seed=9), layer.state_dict()
    y = layer.forward(x)
    dy = random(*y.shape, seed=8)

    def value(name: str, array: npt.NDArray[Any]) -> complex:
        states = by_hand(kind, {**w, name: array}, array if name == "x" else x)
        return complex(np.sum(dy * (states if whole else states[:, -1])))

    dx = layer.backward(dy)
    expected = complex_step(lambda array: value("x", array), x)
    np.testing.assert_allclose(dx, expected, rtol=0, atol=EXACT)
    for name, parameter in layer.named_parameters():
        expected = complex_step(lambda array, name=name: value(name, array), parameter.value)  # type: ignore[misc]
        np.testing.assert_allclose(parameter.grad, expected, rtol=0, atol=EXACT)


@both
def test_the_future_has_no_part_in_the_past(kind: Any) -> None:
    layer = randomized(kind(2, 3))
    x = random(2, STEPS, 2)
    y = layer.forward(x)
    dy = random(*y.shape)
    dy[:, 5:] = 0
    dx = layer.backward(dy)
    assert not dx[:, 5:].any()
    np.testing.assert_allclose(layer.forward(x[:, :5]), y[:, :5], rtol=0, atol=1e-14)
    np.testing.assert_allclose(layer.backward(dy[:, :5]), dx[:, :5], rtol=0, atol=1e-13)


@both
def test_parameters_are_named_laid_out_and_loaded_as_those_of_torch(kind: Any) -> None:
    gates = {LSTM: 4, GRU: 3}[kind]
    layer = kind(5, 2)
    shapes = {name: array.shape for name, array in layer.state_dict().items()}
    assert shapes == {
        "weight_ih_l0": (2 * gates, 5),
        "weight_hh_l0": (2 * gates, 2),
        "bias_ih_l0": (2 * gates,),
        "bias_hh_l0": (2 * gates,),
    }
    state = {name: np.full(shape, 0.5, np.float32) for name, shape in shapes.items()}
    layer.load_state_dict(state)
    assert all((p.value == 0.5).all() for p in layer.parameters())


@both
def test_weights_start_uniform_within_one_over_the_root_of_hidden(kind: Any) -> None:
    layer = kind(50, 16, rng=0)
    for parameter in layer.parameters():
        assert np.abs(parameter.value).max() <= 1 / 4
    values = layer.weight_ih_l0.value
    assert values.size >= 2400
    np.testing.assert_allclose(np.std(values), 1 / 4 / math.sqrt(3), rtol=0.03)
    np.testing.assert_array_equal(values, kind(50, 16, rng=0).weight_ih_l0.value)


@both
@each_dtype
@pytest.mark.parametrize("size", [1e4, 1e30])
def test_extreme_inputs_saturate_the_gates_without_a_warning(
    kind: Any, dtype: type, size: float
) -> None:
    """Gates are 0 or 1 and tanh is -1 or 1: no gradient comes through, and nothing overflows."""
    layer = randomized(kind(2, 3, dtype=dtype))
    of_x = layer.weight_ih_l0
    of_x.value = np.sign(of_x.value) * [1.0, 0.25]  # so that no sum is near 0
    gates = len(of_x.value) // 3
    signs: Array = np.sign(random(4, STEPS, 2)).astype(dtype)
    with np.errstate(all="raise", under="ignore"):
        y = layer.forward(signs * dtype(size))
        dx = layer.backward(np.ones_like(y))
    expected = np.zeros(y.shape)
    for b, state in itertools.product(range(4), range(3)):
        h = c = 0.0
        for t in range(STEPS):
            a = [float(of_x.value[k * 3 + state] @ signs[b, t]) for k in range(gates)]
            if kind is LSTM:
                i, f, g, o = a[0] > 0, a[1] > 0, math.copysign(1, a[2]), a[3] > 0
                c = f * c + i * g
                h = o * math.tanh(c)
            else:
                h = h if a[1] > 0 else math.copysign(1, a[2])
            expected[b, t, state] = h
    np.testing.assert_allclose(y, expected, rtol=0, atol=4 * float(np.finfo(dtype).eps))
    assert np.isfinite(dx).all()
    assert np.abs(dx).max() < 1e-30
    assert all(np.isfinite(p.grad).all() for p in layer.parameters())


@each_dtype
def test_a_gate_far_below_zero_keeps_its_digits(dtype: type) -> None:
    """With o = exp(-40), which is not 0, and i = g = 1, h is o tanh(1)."""
    layer = LSTM(1, 1, dtype=dtype)
    for parameter in layer.parameters():
        parameter.value = np.zeros(parameter.shape)
    layer.bias_ih_l0.value = [50.0, 50.0, 50.0, -40.0]
    y = layer.forward(np.ones((1, 1, 1), dtype))
    rounding = 4 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(y, math.exp(-40) * math.tanh(1), rtol=rounding)


def test_an_open_lstm_carries_the_gradient_over_a_thousand_steps() -> None:
    """The error carousel: with f = 1 every step has the same part in the cell."""
    layer = LSTM(1, 1, return_sequences=False)
    for parameter in layer.parameters():
        parameter.value = np.zeros(parameter.shape)
    layer.weight_ih_l0.value = [[0.0], [0.0], [1.0], [0.0]]
    layer.bias_ih_l0.value = [50.0, 50.0, 0.0, 50.0]  # i = f = o = 1
    x = np.full((1, 1000, 1), 1e-6)
    cell = 1000 * math.tanh(1e-6)
    np.testing.assert_allclose(layer.forward(x), [[math.tanh(cell)]], rtol=1e-12)
    slope = (1 - math.tanh(cell) ** 2) * (1 - math.tanh(1e-6) ** 2)
    np.testing.assert_allclose(layer.backward(np.ones((1, 1))), np.full(x.shape, slope), rtol=1e-9)


def test_a_gru_whose_gates_are_shut_is_a_dense_tanh() -> None:
    layer = randomized(GRU(2, 3))
    layer.bias_ih_l0.value[:6] = -200.0  # r = z = 0
    x = random(4, 5, 2)
    weight, bias = layer.weight_ih_l0.value[6:], layer.bias_ih_l0.value[6:]
    expected = np.tanh(np.einsum("bti,oi->bto", x, weight) + bias)
    np.testing.assert_allclose(layer.forward(x), expected, rtol=0, atol=1e-14)


@both
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.ones((2, 3)), ValueError, r"\(batch, time, 3\), got \(2, 3\); .* x\[np\.newaxis\]"),
        (np.ones((2, 4, 2)), ValueError, r"\(batch, time, 3\), got \(2, 4, 2\)$"),
        (np.ones((2, 3, 9)), ValueError, r"x\.swapaxes\(1, 2\)"),
        (np.ones((2, 0, 3)), ValueError, "at least one example"),
        (np.ones((0, 4, 3)), ValueError, "at least one example"),
        (np.ones((2, 4, 3), np.float32), TypeError, r"computes in float64.*astype\(np.float64\)"),
        (np.ones((2, 4, 3), int), TypeError, "computes in float64"),
        ([[[1.0, 2.0, 3.0]]], TypeError, "to be a NumPy array, got a list"),
    ],
)
def test_what_is_no_batch_of_sequences_is_refused(
    kind: Any, x: Any, error: type[Exception], message: str
) -> None:
    layer = kind(3, 2)
    with pytest.raises(error, match=message) as caught:
        layer.forward(x)
    assert str(caught.value).startswith(f"{layer!r} ")


@both
@pytest.mark.parametrize("shape", [(3,), (4, 2), (0, 3), (1, 4, 3), ()])
def test_output_shape_refuses_what_forward_would(kind: Any, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expects examples of shape \(time, 3\), got"):
        kind(3, 2).output_shape(shape)


@both
@pytest.mark.parametrize(
    ("arguments", "options", "error"),
    [
        ((0, 1), {}, ValueError),
        ((1, 0), {}, ValueError),
        ((1.0, 1), {}, TypeError),
        ((1, 1), {"return_sequences": "no"}, TypeError),
        ((1, 1), {"dtype": int}, TypeError),
        ((1, 1), {"rng": "a"}, TypeError),
    ],
)
def test_bad_arguments_are_refused(
    kind: Any, arguments: Any, options: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match=f"{kind.__name__} expects"):
        kind(*arguments, **options)


@both
def test_neighbours_that_do_not_fit_are_named(kind: Any) -> None:
    model = Sequential(Embedding(5, 3), kind(4, 2))
    with pytest.raises(ValueError, match=r"expects examples of shape \(time, 4\), got \(7, 3\)"):
        model.output_shape((7,))
    with pytest.raises(ValueError, match=r"expects x of shape \(batch, time, 4\)") as caught:
        model.forward(np.zeros((2, 7), int))
    assert "in layer 1" in caught.value.__notes__[0]


@both
def test_it_learns_to_remember_the_first_bit_of_ten(kind: Any) -> None:
    """Of 1024 sequences it sees 150; of 300 others it must get every one right."""
    bits = np.random.default_rng(0).integers(0, 2, (450, 10)) * 1.0
    x, first = (2 * bits - 1)[:, :, np.newaxis], bits[:, :1]
    model = Sequential(kind(1, 8, return_sequences=False, rng=6), Dense(8, 1, rng=7), Sigmoid())
    model[0].bias_ih_l0.value[FORGET] = 2.0  # f, of a GRU z: remember, until told otherwise
    objective = Objective(model, BCELoss())
    optimizer = Adam(model.parameters(), lr=0.02)  # from all of 12 starts; plain descent is not
    before = objective.forward(x[150:], first[150:])
    for step in range(200):
        batch = slice(30 * (step % 5), 30 * (step % 5) + 30)
        objective.forward(x[batch], first[batch])
        objective.backward()
        optimizer.step()
    assert before > 0.6
    assert objective.forward(x[150:], first[150:]) < 0.02
    np.testing.assert_array_equal(model.forward(x[150:]) > 0.5, first[150:] > 0.5)


# -- Embedding ---------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1,), (7,), (3, 4), (2, 3, 2), (1, 1)])
@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.int8, np.uint8, np.uint64, ">i4"])
def test_embedding_is_a_loop_over_places(shape: tuple[int, ...], dtype: Any) -> None:
    """Also where place times width is beyond the dtype of x, as 99 * 5 is beyond int8."""
    layer = Embedding(100, 5, rng=0)
    x: Any = np.random.default_rng(1).integers(0, 100, shape).astype(dtype)
    x.flat[0] = 99
    y = layer.forward(x)
    dy = random(*shape, 5)
    dx = layer.backward(dy)
    table, gradient = layer.weight.value, [[0.0] * 5 for _ in range(100)]
    for place in np.ndindex(shape):
        for k in range(5):
            assert y[place][k] == table[int(x[place])][k]
            gradient[int(x[place])][k] += float(dy[place][k])
    np.testing.assert_allclose(layer.weight.grad, gradient, rtol=0, atol=EXACT)
    assert dx.shape == shape
    assert dx.dtype == np.float64
    assert not dx.any()


def test_embedding_is_the_product_with_one_hot_vectors() -> None:
    layer, dense = Embedding(6, 3, rng=0), Dense(6, 3, bias=False)
    dense.weight.value = layer.weight.value.T
    x: Any = np.array([0, 5, 5, 2, 0, 0, 1])
    dy = random(7, 3)
    np.testing.assert_allclose(layer.forward(x), dense.forward(np.eye(6)[x]), rtol=1e-15)
    layer.backward(dy)
    dense.backward(dy)
    np.testing.assert_allclose(layer.weight.grad, dense.weight.grad.T, rtol=0, atol=1e-14)


def test_one_row_may_be_looked_up_by_all() -> None:
    layer = Embedding(2, 3, rng=0)
    layer.forward(np.ones((50, 20), int))
    layer.backward(np.ones((50, 20, 3)))
    np.testing.assert_array_equal(layer.weight.grad, [[0.0] * 3, [1000.0] * 3])


@pytest.mark.parametrize("padding_idx", [1, -3])
def test_padding_starts_at_zero_and_is_not_trained(padding_idx: int) -> None:
    layer = Embedding(4, 2, padding_idx, rng=0)
    other = Embedding(4, 2, rng=0)
    assert layer.padding_idx == 1
    x: Any = np.array([[1, 3], [1, 0]])
    assert not layer.weight.value[1].any()
    y = layer.forward(x)
    assert not y[:, 0].any()
    layer.backward(np.ones((2, 2, 2)))
    np.testing.assert_array_equal(layer.weight.grad, [[1, 1], [0, 0], [0, 0], [1, 1]])
    np.testing.assert_array_equal(layer.weight.value[[0, 2, 3]], other.weight.value[[0, 2, 3]])


def test_a_padding_row_that_was_loaded_is_used_as_it_is() -> None:
    layer = Embedding(3, 2, padding_idx=0)
    layer.load_state_dict({"weight": np.full((3, 2), 7.0)})
    np.testing.assert_array_equal(layer.forward(np.array([0])), [[7.0, 7.0]])


def test_embedding_starts_as_a_standard_normal() -> None:
    values = Embedding(1000, 100, rng=0).weight.value
    np.testing.assert_array_equal(values, np.random.default_rng(0).standard_normal((1000, 100)))


def test_writing_into_x_after_forward_does_not_change_the_gradient() -> None:
    layer = Embedding(3, 1, rng=0)
    x: Any = np.array([0, 1])
    layer.forward(x)
    x[...] = 2
    layer.backward(np.ones((2, 1)))
    np.testing.assert_array_equal(layer.weight.grad, [[1.0], [1.0], [0.0]])


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.array([[0, 1], [2, 3]]), ValueError, r"from 0 to 2 in x, got 3 at index \(1, 1\)"),
        (np.array([0, -1]), ValueError, r"from 0 to 2 in x, got -1 at index \(1,\)"),
        (np.array([2**64 - 1], np.uint64), ValueError, r"got 18446744073709551615 at index"),
        (np.array([[1.0]]), TypeError, r"integer dtype, got a float64 array of shape \(1, 1\)"),
        (np.array([True]), TypeError, "whole numbers of an integer dtype, got a bool array"),
        (np.array(["a"]), TypeError, "whole numbers of an integer dtype"),
        (np.array([1], object), TypeError, "whole numbers of an integer dtype"),
        ([[1]], TypeError, r"got a list; use np\.asarray\(x, dtype=np\.intp\)"),
        (1, TypeError, "got an int"),
        (np.zeros((0, 3), int), ValueError, "at least one example"),
        (np.array(1), ValueError, "at least one example"),
    ],
)
def test_what_names_no_row_is_refused(x: Any, error: type[Exception], message: str) -> None:
    layer = Embedding(3, 2)
    layer.forward(np.array([1, 1]))
    with pytest.raises(error, match=message) as caught:
        layer.forward(x)
    assert str(caught.value).startswith("Embedding(3, 2) expects")
    layer.backward(np.ones((2, 2)))  # nothing was changed
    np.testing.assert_array_equal(layer.weight.grad, [[0, 0], [2, 2], [0, 0]])


@pytest.mark.parametrize(
    ("arguments", "options", "error"),
    [
        ((0, 1), {}, ValueError),
        ((1, 0), {}, ValueError),
        ((2.0, 1), {}, TypeError),
        ((3, 1, 3), {}, ValueError),
        ((3, 1, -4), {}, ValueError),
        ((3, 1, 1.0), {}, TypeError),
        ((3, 1, True), {}, TypeError),
        ((3, 1), {"init": 3}, TypeError),
        ((3, 1), {"dtype": int}, TypeError),
        ((3, 1), {"rng": 0.5}, TypeError),
    ],
)
def test_embedding_refuses_bad_arguments(
    arguments: Any, options: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match="Embedding expects"):
        Embedding(*arguments, **options)


def test_a_model_of_words_trains_through_the_objective() -> None:
    """Whether word 1 comes before word 2: order matters, so that a bag of words cannot tell."""
    rng = np.random.default_rng(0)
    x = np.zeros((60, 5), int)
    for row in x:
        places = sorted(rng.choice(5, 2, replace=False))
        row[places] = rng.permutation([1, 2])
    target = np.array([[float(list(row).index(1) < list(row).index(2))] for row in x])
    model = Sequential(
        Embedding(3, 4, padding_idx=0, rng=1),
        GRU(4, 6, return_sequences=False, rng=2),
        Dense(6, 1, rng=3),
        Sigmoid(),
    )
    assert model.output_shape((5,)) == (1,)
    objective = Objective(model, BCELoss())
    for _ in range(200):
        objective.forward(x, target)
        objective.backward()
        for parameter in model.parameters():
            parameter.value -= 1.0 * parameter.grad
    assert objective.forward(x, target) < 0.05
    assert not model[0].weight.value[0].any()


def test_gradients_are_written_where_the_optimizer_looks() -> None:
    """Parameters that were moved into one vector are contiguous views, as np.add.at needs."""
    layer = Embedding(3, 2, rng=0)
    before = layer.weight.value.copy()
    bias = Parameter(np.zeros(1))
    optimizer = SGD([bias, *layer.parameters()], lr=1.0)
    layer.forward(np.array([2, 2]))
    layer.backward(np.ones((2, 2)))
    optimizer.step()
    np.testing.assert_array_equal(layer.weight.value, before - [[0], [0], [2]])


@both
def test_the_last_state_alone_does_not_keep_the_others(kind: Any) -> None:
    y = kind(2, 3, return_sequences=False).forward(np.ones((4, 50, 2)))
    assert y.base is None or y.base.nbytes == y.nbytes


@pytest.mark.parametrize("layer", [LSTM(3, 4), GRU(3, 4), Embedding(5, 2)], ids=repr)
def test_sizes_are_derived_or_fixed(layer: Any) -> None:
    names: dict[str, Any] = {"input_size": 3, "hidden_size": 4, "return_sequences": True}
    if isinstance(layer, Embedding):
        names = {"num_embeddings": 5, "embedding_dim": 2, "padding_idx": None}
    for name, value in names.items():
        assert getattr(layer, name) == value
        with pytest.raises(AttributeError):
            setattr(layer, name, 1)


@pytest.mark.parametrize(("index", "message"), [(5, "below 5"), (-6, "at least -5")])
def test_a_padding_that_is_no_row_is_refused(index: int, message: str) -> None:
    with pytest.raises(ValueError, match=f"Embedding expects padding_idx to be {message}"):
        Embedding(5, 2, padding_idx=index)
