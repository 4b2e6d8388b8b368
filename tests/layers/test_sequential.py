"""The chain of layers: composition, slices, nesting, and where an error came from."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minifw import Array, Constant, Dense, Layer, Parameter, Sequential, Sigmoid, Tanh


def four_layers() -> Sequential:
    return Sequential(Dense(2, 4, rng=3), Tanh(), Dense(4, 1, rng=4), Sigmoid())


@pytest.mark.parametrize("path", ["model.npz", Path("model.npz")])
def test_a_model_is_not_written_by_its_own_save(path: Any) -> None:
    with pytest.raises(TypeError, match=r"it got a path; .* use minifw\.save\(model, path\)"):
        Sequential(Tanh()).save(path)


def test_it_has_a_length_iterates_and_slices_like_a_tuple() -> None:
    model = four_layers()
    layers = list(model)
    assert len(model) == 4
    assert model.layers == tuple(model)
    assert model[0] is layers[0]
    assert model[-1] is layers[3]
    part = model[1:3]
    assert isinstance(part, Sequential)
    assert list(part) == layers[1:3]
    with pytest.raises(IndexError):
        model[4]
    with pytest.raises(ValueError, match="at least one layer"):
        model[2:2]


def test_a_slice_shares_its_layers_and_computes_the_intermediate_value() -> None:
    model = four_layers()
    x = np.ones((3, 2))
    a1 = model[:2].forward(x)
    np.testing.assert_array_equal(a1, np.tanh(x @ model.parameters()[0].value.T))
    np.testing.assert_array_equal(model[2:].forward(a1), model.forward(x))


def test_nesting_changes_nothing_but_names() -> None:
    flat = four_layers()
    nested = Sequential(Sequential(Dense(2, 4, rng=3), Tanh()), Sequential(Dense(4, 1, rng=4)))
    x, dy = np.linspace(-1, 1, 6).reshape(3, 2), np.ones((3, 1))
    np.testing.assert_array_equal(nested.forward(x), flat[:3].forward(x))
    np.testing.assert_array_equal(nested.backward(dy), flat[:3].backward(dy))
    assert [n for n, _ in nested.named_parameters()] == [
        "0.0.weight",
        "0.0.bias",
        "1.0.weight",
        "1.0.bias",
    ]


def test_neighbours_that_do_not_fit_are_named_with_index_repr_and_shapes() -> None:
    with pytest.raises(ValueError) as caught:
        Sequential(Dense(2, 4), Tanh(), Dense(3, 1))
    assert str(caught.value) == (
        "Sequential: layer 2, Dense(3, 1), expects examples of shape (3,), "
        "but layer 1, Tanh(), gives (4,)"
    )


def test_shapes_are_followed_through_nested_and_custom_layers() -> None:
    class Pair(Layer):
        """Joins neighbouring features; says nothing of its shapes."""

        def forward(self, x: Array) -> Array:
            return np.repeat(x, 2, axis=1)

        def backward(self, dy: Array) -> Array:
            return dy[:, ::2] + dy[:, 1::2]

    Sequential(Dense(2, 3), Pair(), Dense(6, 1))
    Sequential(Tanh(), Sequential(Pair(), Tanh()), Dense(6, 1))  # the first shape is open
    with pytest.raises(ValueError, match=r"layer 2, Dense\(3, 1\), expects .*\(3,\), .*\(6,\)"):
        Sequential(Dense(2, 3), Pair(), Dense(3, 1))
    with pytest.raises(ValueError, match=r"layer 1, Sequential\(Tanh\(\), Dense\(5, 1\)\),"):
        Sequential(Dense(2, 3), Sequential(Tanh(), Dense(5, 1)))


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        ((), ValueError, "at least one layer"),
        ((Tanh,), TypeError, r"write Tanh\(\.\.\.\)"),
        (([Tanh()],), TypeError, r"write Sequential\(\*layers\)"),
        ((Tanh(), 3), TypeError, "got 3 at index 1"),
        ((None,), TypeError, "got None at index 0"),
        ((np.tanh,), TypeError, "expects layers"),
    ],
)
def test_what_is_not_a_layer_is_refused(layers: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Sequential(*layers)


def test_the_same_layer_twice_is_refused_also_inside_a_nested_one() -> None:
    tanh = Tanh()
    with pytest.raises(ValueError, match=r"0 and 2 are the same Tanh\(\); .* make a second one"):
        Sequential(tanh, Sigmoid(), tanh)
    with pytest.raises(ValueError, match=r"0 and 1\.1 are the same Tanh\(\)"):
        Sequential(tanh, Sequential(Sigmoid(), tanh))


def test_layers_of_two_dtypes_are_refused() -> None:
    with pytest.raises(TypeError, match=r"layer 0, .* float64, but layer 2, .* float32"):
        Sequential(Dense(2, 2), Tanh(), Dense(2, 1, dtype=np.float32))


def test_an_error_says_which_layer_of_which_container_it_came_from() -> None:
    class Fragile(Tanh):
        def forward(self, x: Array) -> Array:
            if x.any():  # the zeros of output_shape pass
                raise ArithmeticError("broken")
            return super().forward(x)

        def backward(self, dy: Array) -> Array:  # noqa: ARG002
            raise ArithmeticError("broken backwards")

    model = Sequential(Dense(2, 2, rng=0), Sequential(Tanh(), Fragile()))
    with pytest.raises(ArithmeticError, match="broken") as caught:
        model.forward(np.ones((1, 2)))
    assert caught.value.__notes__ == [
        "in layer 1, Fragile(), of Sequential",
        "in layer 1, Sequential(Tanh(), Fragile()), of Sequential",
    ]
    model.forward(np.zeros((1, 2)))
    for backward in (model.backward, model.backward_parameters):
        with pytest.raises(ArithmeticError, match="broken backwards") as caught:
            backward(np.ones((1, 2)))
        assert caught.value.__notes__[0] == "in layer 1, Fragile(), of Sequential"


def test_a_wrong_input_names_the_layer_that_refused_it() -> None:
    with pytest.raises(ValueError, match=r"expects x of shape \(batch, 2\)") as caught:
        four_layers().forward(np.ones((5, 3)))
    assert caught.value.__notes__ == ["in layer 0, Dense(2, 4, rng=3), of Sequential"]


def test_backward_parameters_stops_at_the_first_layer_with_parameters() -> None:
    calls = []

    class Recorder(Tanh):
        def backward(self, dy: Array) -> Array:
            calls.append("backward")
            return super().backward(dy)

    class Last(Dense):
        def backward(self, dy: Array) -> Array:
            calls.append("dense backward")
            return super().backward(dy)

    model = Sequential(Recorder(), Last(2, 1, rng=0))
    model.forward(np.ones((3, 2)))
    model.backward_parameters(np.ones((3, 1)))
    assert calls == []
    np.testing.assert_allclose(model.parameters()[0].grad, np.full((1, 2), 3 * np.tanh(1.0)))


def test_backward_parameters_of_a_chain_without_parameters() -> None:
    model = Sequential(Tanh(), Sigmoid())
    model.forward(np.ones((3, 2)))
    model.backward_parameters(np.ones((3, 2)))


def test_parameters_made_in_forward_are_found() -> None:
    class Lazy(Layer):
        """Learns its width from its first input."""

        inner: Dense | None = None

        def forward(self, x: Array) -> Array:
            if self.inner is None:
                self.inner = Dense(x.shape[1], 1, rng=0)
            return self.inner.forward(x)

        def backward(self, dy: Array) -> Array:
            return self.inner.backward(dy)  # type: ignore[union-attr]

    model = Sequential(Lazy(), Tanh())
    model.forward(np.ones((2, 3)))
    model.backward_parameters(np.ones((2, 1)))
    assert [name for name, _ in model.named_parameters()] == ["0.inner.weight", "0.inner.bias"]
    assert all(p.grad.any() for p in model.parameters())


def test_split_last_takes_only_a_plain_chain_apart() -> None:
    model = Sequential(Dense(2, 2), Sequential(Tanh(), Sigmoid()))
    body, last = model.split_last()
    assert repr(body) == "Sequential(Dense(2, 2), Sequential(Tanh()))"
    assert isinstance(last, Sigmoid)

    class Doubled(Sequential):
        def forward(self, x: Array) -> Array:
            return 2 * super().forward(x)

        def backward(self, dy: Array) -> Array:
            return super().backward(2 * dy)

    doubled = Doubled(Dense(2, 2), Sigmoid())
    assert doubled.split_last() == (None, doubled)


def test_a_subclass_may_hold_more_and_override_any_pass() -> None:
    class Net(Sequential):
        def __init__(self) -> None:
            super().__init__(Dense(2, 2, rng=0), Sigmoid())
            self.scale = Parameter(np.ones(2))
            self.extra = [Dense(2, 2, rng=1)]

        def backward_parameters(self, dy: Array) -> None:
            super().backward_parameters(dy)

    net = Net()
    names = [name for name, _ in net.named_parameters()]
    assert names == ["0.weight", "0.bias", "scale", "extra.0.weight", "extra.0.bias"]
    assert net.split_last() == (None, net)


def test_the_layer_of_an_error_is_found_by_identity() -> None:
    class Alike(Tanh):
        def __init__(self, fragile: bool = False) -> None:
            self.fragile = fragile

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Alike)

        __hash__ = None  # type: ignore[assignment]

        def forward(self, x: Array) -> Array:
            if self.fragile:
                raise ArithmeticError("broken")
            return super().forward(x)

    with pytest.raises(ArithmeticError, match="broken") as caught:
        Sequential(Alike(), Alike(fragile=True)).forward(np.ones((1, 2)))
    assert caught.value.__notes__ == ["in layer 1, Alike(fragile=True), of Sequential"]


def test_a_forward_that_failed_halfway_is_not_differentiated() -> None:
    class Picky(Tanh):
        def forward(self, x: Array) -> Array:
            if x.max() > 1:
                raise ValueError("too large")
            return super().forward(x)

    model = Sequential(Dense(1, 1, init=Constant(1.0)), Picky())
    model.forward(np.array([[0.5]]))
    with pytest.raises(ValueError, match="too large"):
        model.forward(np.array([[5.0]]))
    for backward in (model.backward, model.backward_parameters):
        with pytest.raises(RuntimeError, match="the latest forward failed"):
            backward(np.ones((1, 1)))
    model.forward(np.array([[0.5]]))
    model.backward(np.ones((1, 1)))
