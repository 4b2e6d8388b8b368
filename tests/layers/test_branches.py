"""Data that go two ways and more: around a layer, and through branches side by side."""

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minifw import (
    SGD,
    Array,
    BCELoss,
    Concat,
    Dense,
    Layer,
    Objective,
    Parameter,
    Residual,
    Sequential,
    Sigmoid,
    Tanh,
    load,
    save,
)

STEP = 1e-6  # about the cube root of the machine epsilon, where a central difference is best


def rows(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


class Custom(Layer):
    """What an author may do wrong: a layer that says nothing of its shapes and checks nothing."""

    def __init__(self, forward: Any = np.copy, backward: Any = np.copy) -> None:
        self.f, self.b = forward, backward

    def forward(self, x: Array) -> Array:
        result: Array = self.f(x)
        return result

    def backward(self, dy: Array) -> Array:
        result: Array = self.b(dy)
        return result


def shaped(*shape: int, dtype: type = np.float64) -> Any:
    """Return a function that gives an array of a shape, whatever it is given."""
    return lambda _: np.ones(shape, dtype)


class Fragile(Tanh):
    """Breaks where it is told to."""

    broken = ""

    def forward(self, x: Array) -> Array:
        if self.broken == "forward":
            raise ArithmeticError("broken")
        return super().forward(x)

    def backward(self, dy: Array) -> Array:
        if self.broken == "backward":
            raise ArithmeticError("broken")
        return super().backward(dy)

    def backward_parameters(self, dy: Array) -> None:
        if self.broken == "backward_parameters":
            raise ArithmeticError("broken")
        super().backward_parameters(dy)


# -- closed forms -----------------------------------------------------------------------


def test_a_residual_dense_is_a_dense_whose_weight_is_the_identity_more() -> None:
    inner, plain = Dense(3, 3, rng=0), Dense(3, 3)
    plain.weight.value = inner.weight.value + np.eye(3)
    layer, x, dy = Residual(inner), rows(5, 3), rows(5, 3, seed=1)
    np.testing.assert_allclose(layer.forward(x), plain.forward(x), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(layer.backward(dy), plain.backward(dy), rtol=1e-13, atol=1e-15)
    for one, other in zip(layer.parameters(), plain.parameters(), strict=True):
        np.testing.assert_array_equal(one.grad, other.grad)


def test_a_residual_of_a_layer_that_gives_zero_changes_nothing() -> None:
    inner = Dense(3, 3)
    inner.weight.value = np.zeros((3, 3))
    layer, x, dy = Residual(inner), rows(4, 3), rows(4, 3, seed=1)
    np.testing.assert_array_equal(layer.forward(x), x)
    np.testing.assert_array_equal(layer.backward(dy), dy)


def test_a_hundred_residuals_that_start_small_let_the_gradient_through() -> None:
    """Without the way around, a hundred slopes of about 1/500 are multiplied."""

    def small(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        return 1e-3 * rng.standard_normal(shape)

    blocks = [Sequential(Dense(4, 4, init=small, rng=i), Tanh()) for i in range(100)]
    deep = Sequential(*[Residual(block) for block in blocks])
    x, dy = rows(3, 4), rows(3, 4, seed=1)
    deep.forward(x)
    np.testing.assert_allclose(deep.backward(dy), dy, atol=0.1)
    plain = Sequential(*blocks)
    plain.forward(x)
    assert np.abs(plain.backward(dy)).max() < 1e-200


def test_dense_branches_are_one_dense_with_their_weights_stacked() -> None:
    widths = (2, 1, 3)
    branches = [Dense(4, width, rng=width) for width in widths]
    layer, whole = Concat(*branches), Dense(4, sum(widths))
    whole.weight.value = np.vstack([branch.weight.value for branch in branches])
    x, dy = rows(5, 4), rows(5, 6, seed=1)
    np.testing.assert_allclose(layer.forward(x), whole.forward(x), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(layer.backward(dy), whole.backward(dy), rtol=1e-13, atol=1e-15)
    grads = np.vstack([branch.weight.grad for branch in branches])
    np.testing.assert_allclose(grads, whole.weight.grad, rtol=1e-13, atol=1e-15)


def test_concat_keeps_the_order_of_its_branches() -> None:
    layer, x = Concat(Tanh(), Custom(np.negative), Sigmoid()), rows(5, 2)
    expected = np.hstack([np.tanh(x), -x, 1 / (1 + np.exp(-x))])
    np.testing.assert_allclose(layer.forward(x), expected, rtol=1e-14)
    assert layer.output_shape((2,)) == (6,)


def test_images_are_joined_along_their_last_axis() -> None:
    x = rows(5, 2, 3)
    y = Concat(Tanh(), Tanh()).forward(x)
    assert y.shape == (5, 2, 6)
    np.testing.assert_array_equal(y[..., :3], y[..., 3:])


def test_concat_of_one_branch_is_that_branch() -> None:
    layer, plain, x = Concat(Dense(2, 3, rng=0)), Dense(2, 3, rng=0), rows(4, 2)
    np.testing.assert_array_equal(layer.forward(x), plain.forward(x))
    np.testing.assert_array_equal(layer.backward(rows(4, 3)), plain.backward(rows(4, 3)))


# -- what is inside ---------------------------------------------------------------------


def test_parameters_have_the_names_of_pytorch() -> None:
    layer = Concat(Residual(Dense(2, 2)), Tanh(), Sequential(Dense(2, 1)))
    names = [name for name, _ in layer.named_parameters()]
    assert names == ["0.layer.weight", "0.layer.bias", "2.0.weight", "2.0.bias"]
    assert list(layer.state_dict()) == names
    assert [name for name, _ in layer.named_layers()] == ["0", "0.layer", "1", "2", "2.0"]


def test_the_layers_inside_can_be_reached_and_replaced() -> None:
    dense, tanh, sigmoid = Dense(2, 3, rng=0), Tanh(), Sigmoid()
    layer = Concat(dense, tanh)
    assert list(layer.layers) == [dense, tanh]
    layer[1] = sigmoid
    assert list(layer.layers) == [dense, sigmoid]
    around = Residual(tanh)
    assert around.layer is tanh
    around.layer = sigmoid
    np.testing.assert_array_equal(around.forward(np.zeros((1, 2))), [[0.5, 0.5]])


@pytest.mark.parametrize("model", [Sequential(Tanh()), Concat(Tanh()), Residual(Tanh())], ids=repr)
def test_a_layer_is_exchanged_by_its_index(model: Any, tmp_path: Path) -> None:
    name, new = type(model).__name__, Dense(3, 3, rng=1)
    model[0] = new
    optimizer = SGD(model.parameters(), lr=0.1)
    model[0] = Dense(3, 3, bias=False, rng=0)
    assert repr(model) == f"{name}(Dense(3, 3, bias=False, rng=0))"
    assert len(model.parameters()) == 1
    with pytest.raises(RuntimeError, match=rf"{name}\.layers? was replaced or removed after SGD"):
        optimizer.step()
    with pytest.raises(TypeError, match=f"{name} expects"):
        model[0] = Tanh
    x = np.ones((2, 3))
    save(model, tmp_path / "model.npz")
    np.testing.assert_array_equal(load(tmp_path / "model.npz").forward(x), model.forward(x))


def test_an_exchange_that_does_not_fit_changes_nothing() -> None:
    model = Residual(Dense(3, 3))
    with pytest.raises(ValueError, match="keeps the shape"):
        model[0] = Dense(3, 2)
    assert repr(model) == "Residual(Dense(3, 3))"
    assert repr(model[0]) == "Dense(3, 3)"


def test_modes_reach_the_layers_inside() -> None:
    layer = Concat(Residual(Tanh()), Sigmoid()).eval()
    assert not any(inner.training for _, inner in layer.named_layers())


def test_containers_say_which_shape_they_accept() -> None:
    assert Residual(Dense(3, 3)).input_shape == (3,)
    assert Residual(Tanh()).input_shape is None
    assert Concat(Tanh(), Dense(3, 2)).input_shape == (3,)
    assert Concat(Tanh(), Sigmoid()).input_shape is None


def test_a_sequential_follows_the_shapes_through_them() -> None:
    Sequential(Dense(2, 3), Concat(Residual(Tanh()), Sigmoid()), Dense(6, 1))
    with pytest.raises(ValueError, match=r"layer 1, Dense\(5, 1\), expects .*\(5,\), .*\(6,\)"):
        Sequential(Concat(Dense(3, 3), Tanh()), Dense(5, 1))
    with pytest.raises(ValueError, match=r"Residual expects a layer that keeps the shape"):
        Sequential(Dense(2, 3), Residual(Sequential(Tanh(), Dense(3, 1))))


# -- refused at once --------------------------------------------------------------------


def test_a_residual_that_would_change_the_shape_is_refused_with_both_shapes() -> None:
    with pytest.raises(ValueError) as caught:
        Residual(Sequential(Dense(3, 4), Tanh()))
    assert str(caught.value) == (
        "Residual expects a layer that keeps the shape of its input, but "
        "Sequential(Dense(3, 4), Tanh()) makes (4,) of (3,)"
    )


def test_branches_that_expect_different_inputs_are_named_with_index_and_repr() -> None:
    with pytest.raises(ValueError) as caught:
        Concat(Tanh(), Dense(2, 3), Sigmoid(), Dense(4, 3))
    assert str(caught.value) == (
        "Concat: layer 1, Dense(2, 3), expects examples of shape (2,), but layer 3, "
        "Dense(4, 3), expects examples of shape (4,); every branch gets the same x"
    )


def test_a_branch_that_cannot_take_what_another_expects_is_refused() -> None:
    open_ = Sequential(Tanh(), Dense(5, 1))
    with pytest.raises(
        ValueError, match=r"Dense\(5, 1\) expects .*\(5,\) .*, got \(2,\)"
    ) as caught:
        Concat(Dense(2, 3), open_)
    assert caught.value.__notes__ == [
        "in layer 1, Dense(5, 1), of Sequential",
        "in layer 1, Sequential(Tanh(), Dense(5, 1)), of Concat",
    ]


def test_outputs_that_do_not_join_are_refused_with_both_shapes() -> None:
    pair = Custom(lambda x: np.stack([x, x], axis=1))
    with pytest.raises(
        ValueError, match=r"layer 0, .* gives the shape \(3,\), but layer 1, Custom"
    ):
        Concat(Dense(2, 3), pair)
    with pytest.raises(
        ValueError, match=r"layer 1, Custom.* gives the shape \(\), without an axis"
    ):
        Concat(Dense(2, 3), Custom(lambda x: x.sum(axis=1)))


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        ((), ValueError, "Concat expects at least one layer, got none"),
        ((Tanh,), TypeError, r"Concat expects layers, .* write Tanh\(\.\.\.\)"),
        (([Tanh()],), TypeError, r"write Concat\(\*layers\)"),
        ((Tanh(), 3), TypeError, "Concat expects layers, got 3 at index 1"),
        ((None,), TypeError, "got None at index 0"),
        ((Dense(2, 1), Dense(2, 1, dtype=np.float32)), TypeError, "Concat: .* give both one"),
    ],
)
def test_what_concat_refuses(layers: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Concat(*layers)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (3, "Residual expects a layer, got 3$"),
        (None, "got None$"),
        (Tanh, r"write Tanh\(\.\.\.\)"),
        ([Tanh()], r"write Residual\(Sequential\(\*layers\)\)"),
    ],
)
def test_what_residual_refuses(layer: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Residual(layer)


def test_the_same_layer_in_two_branches_is_refused() -> None:
    tanh = Tanh()
    with pytest.raises(ValueError, match=r"Concat: 0 and 1\.layer are the same Tanh\(\); .* one$"):
        Concat(tanh, Residual(tanh))


# -- refused by forward and backward ----------------------------------------------------


@pytest.mark.parametrize("shape", [(4, 1), (1, 3), (1, 1), (3,), (1,), (4, 4), (2, 4, 3)])
def test_residual_never_broadcasts(shape: tuple[int, ...]) -> None:
    """All but (4, 4) NumPy would add to (4, 3) without a word."""
    layer = Residual(Custom(shaped(*shape)))
    message = rf"Custom.*\.forward to keep the shape of x, \(4, 3\), it returned \({shape[0]},"
    with pytest.raises(ValueError, match=message) as caught:
        layer.forward(np.ones((4, 3)))
    assert "\n" not in str(caught.value)
    layer = Residual(Custom(backward=shaped(*shape)))
    layer.forward(np.ones((4, 3)))
    with pytest.raises(ValueError, match=r"\.backward to keep the shape of dy, \(4, 3\), it ret"):
        layer.backward(np.ones((4, 3)))


def test_residual_does_not_mix_dtypes() -> None:
    x = np.ones((4, 3), np.float32)
    with pytest.raises(TypeError, match=r"forward to keep the dtype of x, float32, it .* float64"):
        Residual(Custom(shaped(4, 3))).forward(x)
    layer = Residual(Custom(backward=shaped(4, 3)))
    layer.forward(x)
    with pytest.raises(
        TypeError, match=r"backward to keep the dtype of dy, float32, it .* float64"
    ):
        layer.backward(x)


def test_residual_checks_x_and_dy_where_its_layer_does_not() -> None:
    layer: Any = Residual(Custom())
    for x, error in (([[1.0]], TypeError), (np.ones((2, 3), int), TypeError)):
        with pytest.raises(error, match=r"Residual\(Custom\(\)\) expects x"):
            layer.forward(x)
    layer.forward(np.ones((4, 3)))
    for backward in (layer.backward, layer.backward_parameters):
        with pytest.raises(ValueError, match=r"expects dy of the shape .* \(4, 3\), got \(4, 1\)"):
            backward(np.ones((4, 1)))


@pytest.mark.parametrize(
    ("output", "error", "message"),
    [
        (shaped(4), ValueError, r"layer 1, Custom.* gives the shape \(4,\), without an axis of"),
        (
            shaped(1, 3),
            ValueError,
            r"the shape \(4, 3\), but layer 1, .* the shape \(1, 3\); only",
        ),
        (shaped(4, 1, 3), ValueError, r"\(4, 3\), but layer 1, .* the shape \(4, 1, 3\)"),
        (shaped(4, 3, dtype=np.float32), TypeError, "y in float64, but .* float32; give both"),
    ],
)
def test_concat_refuses_outputs_that_do_not_join(
    output: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        Concat(Tanh(), Custom(output)).forward(np.ones((4, 3)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(4, 1), (3,), (1, 3)])
def test_concat_never_broadcasts_dx(shape: tuple[int, ...]) -> None:
    layer = Concat(Tanh(), Custom(backward=shaped(*shape)))
    layer.forward(np.ones((4, 3)))
    with pytest.raises(
        ValueError, match=r"dx of shape \(4, 3\), but layer 1, .*; x has one shape"
    ):
        layer.backward(np.ones((4, 6)))


def test_concat_does_not_mix_dtypes_in_dx() -> None:
    layer = Concat(Tanh(), Custom(backward=shaped(4, 3)))
    layer.forward(np.ones((4, 3), np.float32))
    with pytest.raises(
        TypeError, match=r"dx in float32, but layer 1, .* dx in float64; give both"
    ):
        layer.backward(np.ones((4, 6), np.float32))


def forget(_: Array) -> None:
    """Return nothing."""


@pytest.mark.parametrize("make", [Residual, lambda layer: Concat(Tanh(), layer)])
def test_a_layer_that_forgets_to_return_is_told_so(make: Any) -> None:
    x = np.ones((4, 3))
    with pytest.raises(TypeError, match=r"Custom\(.*\)\.forward must return an array") as caught:
        make(Custom(forget)).forward(x)
    assert len(caught.value.__notes__) == 1
    layer = make(Custom(backward=forget))
    y = layer.forward(x)
    with pytest.raises(TypeError, match=r"Custom\(.*\)\.backward must return an array") as caught:
        layer.backward(y)
    assert len(caught.value.__notes__) == 1


@pytest.mark.parametrize("method", ["forward", "backward", "backward_parameters"])
def test_an_error_says_which_layer_of_which_container_it_came_from(method: str) -> None:
    fragile = Fragile()
    layer = Concat(Dense(2, 3, rng=0), Residual(Sequential(Tanh(), fragile)))
    y = layer.forward(np.ones((1, 2)))
    fragile.broken = method
    with pytest.raises(ArithmeticError, match="broken") as caught:
        getattr(layer, method)(np.ones((1, 2)) if method == "forward" else y)
    assert caught.value.__notes__ == [
        "in layer 1, Fragile(), of Sequential",
        "in the layer, Sequential(Tanh(), Fragile()), of Residual",
        "in layer 1, Residual(Sequential(Tanh(), Fragile())), of Concat",
    ]


@pytest.mark.parametrize("make", [Residual, lambda layer: Concat(Sigmoid(), layer)])
def test_backward_needs_a_forward_of_the_container_itself(make: Any) -> None:
    inner = Tanh()
    layer = make(inner)
    x = np.ones((2, 3))
    inner.forward(x)  # by somebody else
    dy = np.ones((2, *layer.output_shape((3,))))
    for backward in (layer.backward, layer.backward_parameters):
        with pytest.raises(RuntimeError, match="call forward first"):
            backward(dy)


def test_after_a_forward_that_failed_halfway_there_is_no_backward() -> None:
    """The first branch would be at the second x, and the second at the first."""
    fragile = Fragile()
    layer = Concat(Dense(3, 3, rng=0), fragile)
    y = layer.forward(rows(2, 3))
    fragile.broken = "forward"
    with pytest.raises(ArithmeticError):
        layer.forward(rows(2, 3, seed=1))
    for backward in (layer.backward, layer.backward_parameters):
        with pytest.raises(RuntimeError, match="the latest forward failed; call forward first"):
            backward(y)
    fragile.broken = ""
    layer.forward(rows(2, 3))
    layer.backward(y)


def test_after_a_residual_whose_layer_changed_the_shape_there_is_no_backward() -> None:
    inner = Custom()
    layer = Residual(inner)
    x = np.ones((2, 3))
    layer.forward(x)
    inner.f = shaped(2, 1)
    with pytest.raises(ValueError, match="to keep the shape of x"):
        layer.forward(x)
    with pytest.raises(RuntimeError, match="the latest forward failed; call forward first"):
        layer.backward(x)


# -- whose memory -----------------------------------------------------------------------


def hand_on(array: Array) -> Array:
    """Return the very array: what a layer should not do, and a container survives."""
    return array


@pytest.mark.parametrize("make", [Residual, Concat, lambda layer: Concat(layer, Tanh())])
def test_results_are_new_arrays_whatever_the_layers_inside_hand_on(make: Any) -> None:
    layer = make(Custom(hand_on, hand_on))
    x = rows(4, 3)
    first, second = layer.forward(x), layer.forward(x)
    dy = rows(*first.shape, seed=1)
    kept = dy.copy()
    dx, again = layer.backward(dy), layer.backward(dy)
    for one, other in ((first, second), (first, x), (dx, dy), (dx, again)):
        assert not np.shares_memory(one, other)
    np.testing.assert_array_equal(dx, again)
    np.testing.assert_array_equal(dy, kept)


def test_backward_parameters_asks_no_layer_inside_for_dx() -> None:
    class First(Dense):
        def backward(self, dy: Array) -> Array:  # noqa: ARG002
            raise AssertionError("dL/dx was asked for")

    layer = Concat(First(2, 3, rng=0), Residual(First(2, 2, rng=1)))
    y = layer.forward(rows(4, 2))
    layer.backward_parameters(y)
    assert all(parameter.grad.any() for parameter in layer.parameters())


# -- training ---------------------------------------------------------------------------


def residual_network() -> Sequential:
    blocks = [
        Residual(Sequential(Dense(6, 4, rng=i), Tanh(), Dense(4, 6, rng=i + 10))) for i in range(2)
    ]
    wide = Concat(Dense(2, 4, rng=20), Tanh())
    return Sequential(wide, *blocks, Dense(6, 1, rng=21), Sigmoid())


def crossed(n: int = 60) -> tuple[Array, Array]:
    """Return points and whether their coordinates agree in sign: no line parts the two."""
    x = rows(n, 2, seed=3)
    return x, np.asarray(x[:, :1] * x[:, 1:] > 0, np.float64)


def slope(objective: Objective, x: Array, y: Array, parameter: Parameter) -> Array:
    """Return dL/dparameter by central differences."""
    gradient = np.empty(parameter.shape)
    for index in np.ndindex(parameter.shape):
        kept = parameter.value[index]
        parameter.value[index] = kept + STEP
        above = objective.forward(x, y)
        parameter.value[index] = kept - STEP
        below = objective.forward(x, y)
        parameter.value[index] = kept
        gradient[index] = (above - below) / (2 * STEP)
    return gradient


def train(model: Layer, steps: int, lr: float = 0.5) -> list[float]:
    x, y = crossed()
    objective, optimizer = Objective(model, BCELoss()), SGD(model.parameters(), lr=lr)
    costs = []
    for _ in range(steps):
        costs.append(objective.forward(x, y))
        objective.backward()
        optimizer.step()
    return costs


@pytest.mark.parametrize("steps", [0, 100])
def test_gradients_of_a_residual_network_before_and_after_training(steps: int) -> None:
    model = residual_network()
    train(model, steps)
    x, y = crossed()
    objective = Objective(model, BCELoss())
    objective.forward(x, y)
    objective.backward()
    found = [parameter.grad.copy() for parameter in model.parameters()]
    for parameter, gradient in zip(model.parameters(), found, strict=True):
        np.testing.assert_allclose(gradient, slope(objective, x, y, parameter), atol=1e-9)


def test_a_residual_network_learns_what_no_line_parts() -> None:
    costs = train(residual_network(), 600)
    assert costs[0] > 0.6
    assert costs[-1] < 0.1


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_of_a_packed_network_trains_alike_and_apart(twin: Any) -> None:
    model = residual_network()
    train(model, 10)  # which packs the parameters into one vector
    other = twin(model)
    before = other.state_dict()
    costs = train(model, 20)
    for name, value in other.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    assert train(other, 20) == costs


def test_a_value_that_is_not_finite_is_found_inside() -> None:
    overflow = Custom(lambda x: x * np.inf)
    model = Sequential(Residual(Sequential(Dense(2, 2, rng=0), overflow)), Dense(2, 1), Sigmoid())
    with pytest.raises(ValueError, match=r"it arose in layer 0\.layer\.1, Custom\("):
        Objective(model, BCELoss()).forward(*crossed())
