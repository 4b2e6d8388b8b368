"""What a layer gets for writing two methods."""

import copy
import pickle
import time
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import LAYER_CASES, LOSS_CASES

from minifw import (
    SGD,
    Array,
    BatchNorm,
    BCELoss,
    BCEWithLogitsLoss,
    Dense,
    HeNormal,
    Layer,
    MSELoss,
    Objective,
    Parameter,
    Residual,
    Sequential,
    Sigmoid,
    Tanh,
)


class Scale(Layer):
    """The design's example, to the letter: y = x * scale, one factor per feature."""

    def __init__(self, features: int) -> None:
        self.scale = Parameter(np.ones(features))

    def forward(self, x: Array) -> Array:
        self.save(x)
        return x * self.scale.value

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        self.scale.grad[...] = (dy * x).sum(axis=0)
        return dy * self.scale.value


class Branches(Layer):
    """A container of one's own, with layers in every place where they are looked for."""

    def __init__(self) -> None:
        self.first = Dense(2, 2, rng=0)
        self.many = [Dense(2, 2, rng=1), (Tanh(), Dense(2, 2, rng=2))]
        self.named = {"left": Dense(2, 2, rng=3), "right": [Dense(2, 2, rng=4)]}
        self.shift = Parameter(np.zeros(2))
        self.other = [1, "two", None, np.ones(3)]

    def forward(self, x: Array) -> Array:
        return self.first(x) + self.shift.value

    def backward(self, dy: Array) -> Array:
        self.shift.grad[...] = dy.sum(axis=0)
        return self.first.backward(dy)


def test_a_layer_of_two_methods_has_everything() -> None:
    layer = Scale(3)
    x = np.arange(6.0).reshape(2, 3)
    assert repr(layer) == "Scale(3)"
    assert [name for name, _ in layer.named_parameters()] == ["scale"]
    np.testing.assert_array_equal(layer(x), x)
    np.testing.assert_array_equal(layer.backward(np.ones((2, 3))), np.ones((2, 3)))
    np.testing.assert_array_equal(layer.scale.grad, [3, 5, 7])
    assert layer.output_shape((3,)) == (3,)
    assert layer.training
    assert layer.eval() is layer
    assert not layer.training
    assert layer.train().training
    assert list(layer.state_dict()) == ["scale"]
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert repr(twin) == "Scale(3)"
        twin.scale.value = [5.0, 5.0, 5.0]
    np.testing.assert_array_equal(layer.scale.value, [1, 1, 1])


def test_a_layer_of_two_methods_trains_in_a_sequential() -> None:
    model = Sequential(Scale(2), Dense(2, 1, rng=0))
    objective = Objective(model, BCEWithLogitsLoss())
    optimizer = SGD(model.parameters(), lr=1.0)
    x, y = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[1.0], [0.0]])
    costs = []
    for _ in range(50):
        costs.append(objective.forward(x, y))
        objective.backward()
        optimizer.step()
    assert costs[-1] < 0.1 < costs[0]


def test_the_default_backward_parameters_calls_backward() -> None:
    layer = Scale(2)
    layer.forward(np.array([[1.0, 2.0]]))
    layer.backward_parameters(np.array([[3.0, 4.0]]))
    np.testing.assert_array_equal(layer.scale.grad, [3, 8])


def test_parameters_are_found_in_definition_order_wherever_they_are() -> None:
    names = [name for name, _ in Branches().named_parameters()]
    assert names == [
        "first.weight",
        "first.bias",
        "many.0.weight",
        "many.0.bias",
        "many.1.1.weight",
        "many.1.1.bias",
        "named.left.weight",
        "named.left.bias",
        "named.right.0.weight",
        "named.right.0.bias",
        "shift",
    ]
    assert [name for name, _ in Branches().named_layers()] == [
        "first",
        "many.0",
        "many.1.0",
        "many.1.1",
        "named.left",
        "named.right.0",
    ]


def test_names_inside_a_sequential_are_those_of_pytorch() -> None:
    model = Sequential(Dense(2, 2), Sequential(Tanh(), Dense(2, 2)), Branches())
    names = [name for name, _ in model.named_parameters()]
    assert names[:5] == ["0.weight", "0.bias", "1.1.weight", "1.1.bias", "2.first.weight"]


def test_modes_reach_every_nested_layer() -> None:
    layer = Sequential(Branches(), Tanh())
    layer.eval()
    assert not any(nested.training for _, nested in layer.named_layers())
    layer.train()
    assert all(nested.training for _, nested in layer.named_layers())


def test_a_parameter_reached_twice_is_listed_once() -> None:
    layer = Branches()
    layer.alias = layer.first  # type: ignore[attr-defined]
    layer.again = layer.shift  # type: ignore[attr-defined]
    assert len(layer.parameters()) == 11


def test_a_layer_that_points_back_at_its_parent_is_no_endless_loop() -> None:
    layer = Branches()
    layer.first.parent = layer  # type: ignore[attr-defined]
    assert len(layer.parameters()) == 11


def test_layers_in_a_set_are_an_error_and_not_missed() -> None:
    layer = Scale(2)
    layer.inner = {Tanh()}  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match=r"Scale\.inner holds layers or parameters in a set"):
        layer.parameters()


def test_the_constructor_arguments_are_in_the_repr() -> None:
    def ramp(shape: tuple[int, ...], _rng: object) -> Array:
        return np.ones(shape)

    assert repr(Dense(2, 4)) == "Dense(2, 4)"
    assert repr(Dense(2, out_features=4, rng=3)) == "Dense(2, out_features=4, rng=3)"
    assert repr(Dense(2, 4, init=ramp)) == "Dense(2, 4, init=ramp)"
    assert repr(Dense(2, 4, dtype=np.float32)) == "Dense(2, 4, dtype=float32)"
    model = Sequential(Dense(2, 4), Tanh())
    assert repr(model) == "Sequential(Dense(2, 4), Tanh())"


@pytest.mark.parametrize("make", [Tanh, Sigmoid, BCELoss, HeNormal])
def test_an_argument_that_nobody_takes_is_refused(make: Any) -> None:
    with pytest.raises(TypeError, match=rf"{make.__name__} takes no arguments"):
        make(5)
    with pytest.raises(TypeError, match="takes no arguments"):
        make(reduction="sum")


def test_arguments_are_kept_as_they_were_at_the_call() -> None:
    class Stack(Layer):
        def __init__(self, sizes: list[int], layers: Iterable[Any] = ()) -> None:
            self.sizes, self.layers = list(sizes), list(layers)

        def forward(self, x: Array) -> Array:
            for layer in self.layers:
                x = layer.forward(x)
            return x

        def backward(self, dy: Array) -> Array:
            for layer in reversed(self.layers):
                dy = layer.backward(dy)
            return dy

    sizes = [2, 3]
    stack = Stack(sizes, (Tanh() for _ in range(2)))
    sizes.append(7)
    assert repr(stack) == "Stack([2, 3], <generator>)"
    assert repr(copy.deepcopy(stack)) == repr(stack)
    assert stack.output_shape((2,)) == (2,)
    assert len(Sequential(Dense(2, 2), stack).named_layers()) == 4


def test_a_local_function_among_the_arguments_does_not_hinder_a_pickle() -> None:
    layer = Dense(2, 2, init=lambda shape, _rng: np.ones(shape))
    for twin in (pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer)):
        assert repr(twin) == "Dense(2, 2, init=<lambda>)"
        np.testing.assert_array_equal(twin.weight.value, np.ones((2, 2)))


def test_a_layer_that_writes_into_its_input_is_found_at_composition() -> None:
    class InPlace(Tanh):
        def forward(self, x: Array) -> Array:
            x *= 0.5
            return super().forward(x)

        def output_shape(self, input_shape: tuple[int, ...]) -> Any:
            return Layer.output_shape(self, input_shape)

    with pytest.raises(ValueError, match="read-only"):
        Sequential(Dense(2, 2), InPlace())


def test_a_deque_of_layers_is_looked_into() -> None:
    layer = Scale(2)
    layer.inner = deque([Dense(2, 2), Tanh()])  # type: ignore[attr-defined]
    assert [name for name, _ in layer.named_parameters()] == [
        "scale",
        "inner.0.weight",
        "inner.0.bias",
    ]


def test_a_layer_is_abstract_until_both_methods_are_written() -> None:
    class Half(Layer):
        def forward(self, x: Array) -> Array:
            return x

    with pytest.raises(TypeError, match="abstract"):
        Half()  # type: ignore[abstract]


def test_a_layer_that_forgets_to_return_is_told_so() -> None:
    class Forgetful(Scale):
        def forward(self, x: Array) -> Array:
            super().forward(x)
            return None  # type: ignore[return-value]

    x = np.ones((2, 3))
    with pytest.raises(TypeError, match=r"Forgetful\(3\)\.forward must return an array"):
        Forgetful(3)(x)
    with pytest.raises(TypeError, match=r"Forgetful\(3\)\.forward must return an array"):
        Sequential(Tanh(), Forgetful(3)).forward(x)


def test_a_backward_that_forgets_to_return_is_told_so() -> None:
    class Forgetful(Scale):
        def backward(self, dy: Array) -> Array:
            super().backward(dy)
            return None  # type: ignore[return-value]

    model = Sequential(Dense(3, 3, rng=0), Forgetful(3), Tanh())
    model.forward(np.ones((2, 3)))
    for backward in (model.backward, model.backward_parameters):
        with pytest.raises(TypeError, match=r"Forgetful\(3\)\.backward must return an array"):
            backward(np.ones((2, 3)))


def test_output_shape_asks_a_copy_of_the_layer() -> None:
    layer = Scale(3)
    layer.forward(np.full((1, 3), 5.0))
    assert layer.output_shape((3,)) == (3,)
    layer.backward(np.ones((1, 3)))
    np.testing.assert_array_equal(layer.scale.grad, [5, 5, 5])  # of the forward before


def test_output_shape_refuses_what_the_layer_refuses() -> None:
    with pytest.raises(ValueError, match=r"Dense\(3, 1\) expects examples of shape \(3,\)"):
        Dense(3, 1).output_shape((4,))
    with pytest.raises(ValueError, match="broadcast"):
        Scale(3).output_shape((4,))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("0.bias"), "0.bias is missing"),
        (lambda state: state.update(extra=np.ones(1)), "extra is unexpected"),
        (
            lambda state: state.update({"0.weight": np.ones((3, 2))}),
            r"0.weight has shape \(3, 2\), not \(2, 3\)",
        ),
        (lambda state: state.update({"0.weight": np.ones((2, 3), complex)}), "complex128"),
        (lambda state: state.update({"0.weight": np.full((2, 3), "a")}), "expects float64"),
    ],
)
def test_a_wrong_state_dict_changes_nothing(change: Any, message: str) -> None:
    model = Sequential(Dense(3, 2, rng=0), Tanh())
    before = model.state_dict()
    state = {name: array + 1 for name, array in before.items()}
    change(state)
    with pytest.raises((ValueError, TypeError), match=message):
        model.load_state_dict(state)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_all_faults_of_a_state_dict_are_named_at_once() -> None:
    model = Sequential(Dense(3, 2, rng=0))
    with pytest.raises(ValueError, match=r"0\.weight is missing; 0\.bias is missing; x is unexp"):
        model.load_state_dict({"x": np.ones(1)})


def test_a_part_of_a_state_is_loaded_on_request() -> None:
    model = Sequential(Dense(3, 2, rng=0), BatchNorm(2))
    before, weight = model.state_dict(), np.ones((2, 3))
    found = model.load_state_dict({"0.weight": weight, "head.bias": np.ones(9)}, strict=False)
    kept = [name for name in before if name != "0.weight"]
    assert (found.missing_keys, found.unexpected_keys) == (kept, ["head.bias"])
    after = model.state_dict()
    np.testing.assert_array_equal(after["0.weight"], weight)
    assert all((after[name] == before[name]).all() for name in kept)
    assert repr(model.load_state_dict(before)) == "<All keys matched successfully>"
    for bad in ({"0.bias": np.ones(3)}, {"1.running_var": np.full(2, -1.0)}):
        with pytest.raises(ValueError, match=next(iter(bad)).rpartition(".")[2]):
            model.load_state_dict({"0.weight": weight, **bad}, strict=False)
    assert (model[0].weight.value == before["0.weight"]).all()
    with pytest.raises(TypeError, match="strict to be True or False, got a str"):
        model.load_state_dict(before, strict="no")  # type: ignore[arg-type]


def test_saved_arrays_are_those_of_the_latest_forward() -> None:
    layer = Sigmoid()
    layer.forward(np.zeros((1, 1)))
    layer.forward(np.full((1, 1), np.log(3.0)))  # a sigmoid of 3/4
    np.testing.assert_allclose(layer.backward(np.ones((1, 1))), [[3 / 16]], rtol=1e-15)


class Counting(Layer):
    """Counts its forwards, in a buffer."""

    buffers = ("count",)

    def __init__(self) -> None:
        self.count = np.zeros(1)
        self.scale = Parameter(np.ones(1))

    def forward(self, x: Array) -> Array:
        self.count += 1
        self.save(x)
        return x * self.scale.value

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        self.scale.grad[...] = (dy * x).sum()
        return dy * self.scale.value


def test_buffers_are_state_and_no_parameters() -> None:
    model, other = (Sequential(Tanh(), Sequential(Counting())) for _ in range(2))
    for _ in range(3):
        model.forward(np.ones((1, 1)))
    assert [name for name, _ in model.named_parameters()] == ["1.0.scale"]
    state = model.state_dict()
    assert state.keys() == {"1.0.scale", "1.0.count"}
    other.load_state_dict(state)
    model.forward(np.ones((1, 1)))
    assert dict(other.named_buffers())["1.0.count"] == [3.0]
    assert dict(model.named_buffers())["1.0.count"] == [4.0]
    with pytest.raises(ValueError, match=r"1\.0\.count has shape \(2,\), not \(1,\)"):
        other.load_state_dict({**state, "1.0.count": np.zeros(2)})


# -- arrays of other classes -----------------------------------------------------------------


class Plain(np.ndarray[Any, Any]):
    """A subclass that computes as an array does, as a memory map."""


MATRIX: Any = np.matrix


def masked(x: Any) -> Any:
    return np.ma.array(x, mask=np.arange(x.size).reshape(x.shape) % 2)


def matrix(x: Any) -> Any:
    return x.view(MATRIX) if x.ndim == 2 else masked(x)


class Sparse:
    """What SciPy's sparse arrays have in common."""

    nnz = 1

    def __init__(self, x: Any) -> None:
        self.x, self.shape, self.dtype, self.ndim, self.size = x, x.shape, x.dtype, x.ndim, x.size

    def toarray(self) -> Any:
        return self.x


each_other_class = pytest.mark.parametrize(
    ("other", "message"),
    [
        (masked, r"{0} without a mask, got a masked array; use {0}.filled\("),
        (matrix, r"{0} (to be an array, got a matrix; use np.asarray\({0}\)|without a mask)"),
        (Sparse, r"{0} with all its zeros, got a Sparse; use {0}.toarray\(\)"),
    ],
)


@each_other_class
def test_every_layer_refuses_what_computes_in_another_way(other: Any, message: str) -> None:
    for layer, x in copy.deepcopy(list(LAYER_CASES.values())):
        with pytest.raises(TypeError, match=message.format("x")):
            layer(other(x))
        y = layer(x.view(Plain))
        if other is not Sparse:
            with pytest.raises(TypeError, match=message.format("dy")):
                layer.backward(other(np.ones_like(y)))
        layer.backward(np.ones_like(y).view(Plain))


@each_other_class
def test_every_loss_refuses_what_computes_in_another_way(other: Any, message: str) -> None:
    for loss, prediction, target in copy.deepcopy(list(LOSS_CASES.values())):
        weight = np.ones(len(target))
        arguments: dict[str, Any] = {"prediction": prediction, "target": target}
        arguments["sample_weight"] = weight
        for argument, array in arguments.items():
            if argument == "target" and not loss.takes_target:
                continue
            with pytest.raises(TypeError, match=message.format(argument)):
                loss(**{**arguments, argument: other(array)})
        value = loss(prediction, target)
        found = loss(prediction.view(Plain), target.view(Plain), weight.view(Plain))
        assert found == pytest.approx(value)


def test_numpy_itself_gives_another_mean_of_a_masked_array() -> None:
    """Why they are refused: it divides a sum of what is left by the number of all."""
    x = np.ma.array([[1.0], [1e9]], mask=[[False], [True]])
    assert np.mean(x) == 1.0
    assert np.sum(x * (1 / x.size)) == 0.5


PAUSE = 0.1  # seconds; far longer than a thread takes to start


class Slow(Layer):
    """y = 2 x in train mode, and x in eval mode, after a while in which others may run."""

    def forward(self, x: Array) -> Array:
        factor = 2.0 if self.training else 1.0
        time.sleep(PAUSE)
        assert factor == (2.0 if self.training else 1.0)
        return x * factor

    def backward(self, dy: Array) -> Array:
        return 2 * dy


def test_threads_may_predict_at_once() -> None:
    layer = Slow()
    x = np.ones((3, 1))

    def later(delay: float) -> Any:
        time.sleep(delay)
        return layer.predict(x)

    with ThreadPoolExecutor(2) as pool:  # the second begins while the first is inside
        found = list(pool.map(later, (0.0, PAUSE / 2)))
    assert all(np.array_equal(y, x) for y in found)
    assert layer.training


def test_threads_may_predict_while_one_evaluates() -> None:
    layer = Slow()
    with layer.evaluating(), ThreadPoolExecutor(2) as pool:
        found = list(pool.map(layer.predict, [np.ones((1, 1))] * 4))
    assert all(np.array_equal(y, [[1.0]]) for y in found)


@pytest.mark.parametrize("value", [np.ones((1, 2)), [[1.0, 2.0]], 3.0])
def test_an_array_in_the_place_of_a_parameter_is_refused(value: Any) -> None:
    layer = Dense(2, 1)
    with pytest.raises(TypeError, match=r"Dense.weight is a Parameter, .* layer.weight.value = "):
        layer.weight = value
    layer.weight = Parameter(np.ones((1, 2)))
    layer.bias = None
    assert [name for name, _ in layer.named_parameters()] == ["weight"]


@pytest.mark.parametrize("layer", [Dense(1, 1), Sequential(Tanh()), Residual(Tanh()), MSELoss()])
@pytest.mark.parametrize("path", ["model.npz", Path("model.npz")])
def test_save_with_a_path_is_refused(layer: Any, path: Any) -> None:
    with pytest.raises(TypeError, match=r"use minifw.save\(model, path\)"):
        layer.save(path)
