"""Parameters, and the one vector in which an optimizer keeps them: nothing goes stale silently."""

import copy
import gc
import pickle
import warnings
from typing import Any

import numpy as np
import pytest

from minifw import (
    SGD,
    Array,
    BCEWithLogitsLoss,
    Dense,
    Layer,
    Objective,
    Parameter,
    Sequential,
    StaleArrayWarning,
    Tanh,
    clip_grad_norm,
    minimize,
)
from minifw._tools.changes import CHANGES


def network(seed: int = 0) -> Sequential:
    return Sequential(Dense(2, 3, rng=seed), Tanh(), Dense(3, 1, rng=seed + 1))


def set_gradients(model: Sequential, value: float = 1.0) -> None:
    for parameter in model.parameters():
        parameter.grad = np.full(parameter.shape, value)


# -- one parameter -------------------------------------------------------------------


def test_a_parameter_copies_what_it_is_given() -> None:
    array = np.ones(3)
    parameter = Parameter(array)
    array[0] = 5
    np.testing.assert_array_equal(parameter.value, [1, 1, 1])
    parameter.value = array
    array[1] = 6
    np.testing.assert_array_equal(parameter.value, [5, 1, 1])


def test_assignment_copies_in_and_keeps_the_array() -> None:
    parameter = Parameter(np.zeros((2, 2)))
    value, grad = parameter.value, parameter.grad
    parameter.value = np.array([[1.0, 2.0], [3.0, 4.0]])
    parameter.grad = np.ones((2, 2), np.float32)
    parameter.value += 1.0
    assert parameter.value is value
    assert parameter.grad is grad
    np.testing.assert_array_equal(value, [[2, 3], [4, 5]])
    np.testing.assert_array_equal(grad, np.ones((2, 2)))


@pytest.mark.parametrize("name", ["value", "grad"])
@pytest.mark.parametrize(
    ("new", "error"),
    [
        (np.ones((3, 1)), ValueError),
        (np.ones(4), ValueError),
        (1.0, ValueError),  # no broadcast
        (np.ones(3, complex), TypeError),
        (["a", "b", "c"], TypeError),
        (None, TypeError),
    ],
)
def test_a_wrong_assignment_changes_nothing(name: str, new: Any, error: type[Exception]) -> None:
    parameter = Parameter(np.arange(3.0))
    parameter.grad = np.arange(3.0)
    with pytest.raises(error, match=rf"Parameter\.{name}"):
        setattr(parameter, name, new)
    np.testing.assert_array_equal(getattr(parameter, name), [0, 1, 2])


def test_a_misspelt_attribute_is_an_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'values'"):
        Parameter(np.ones(1)).values = np.ones(1)


@pytest.mark.parametrize("value", [[1, 2], np.ones(2, int), np.ones(2, np.float16), "a", None])
def test_a_parameter_holds_float64_or_float32(value: Any) -> None:
    with pytest.raises(TypeError, match="expects float64 or float32"):
        Parameter(value)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 3, 4), (0,)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shapes_and_dtypes(shape: tuple[int, ...], dtype: type) -> None:
    parameter = Parameter(np.ones(shape, dtype))
    assert parameter.shape == parameter.value.shape == parameter.grad.shape == shape
    assert parameter.dtype == parameter.value.dtype == parameter.grad.dtype == dtype
    assert parameter.size == parameter.value.size


# -- the vector -----------------------------------------------------------------------


def test_all_parameters_lie_back_to_back_in_two_vectors() -> None:
    model = network()
    values = np.concatenate([p.value.ravel() for p in model.parameters()])
    received = {}

    class Spy(SGD):
        def update(self, values: Any, grads: Any) -> None:
            received["values"], received["grads"] = values, grads

    optimizer = Spy(model.parameters(), lr=1.0)
    set_gradients(model, 2.0)
    optimizer.step()
    np.testing.assert_array_equal(received["values"], values)
    np.testing.assert_array_equal(received["grads"], np.full(values.size, 2.0))
    start = 0
    for parameter in model.parameters():
        for array, vector in (
            (parameter.value, received["values"]),
            (parameter.grad, received["grads"]),
        ):
            part = vector[start : start + parameter.size]
            assert array.__array_interface__["data"] == part.__array_interface__["data"]
        start += parameter.size


def test_packing_keeps_values_and_gradients() -> None:
    model = network()
    set_gradients(model, 3.0)
    before = model.state_dict()
    SGD(model.parameters(), lr=1.0)
    for name, parameter in model.named_parameters():
        np.testing.assert_array_equal(parameter.value, before[name])
        assert (parameter.grad == 3.0).all()


def test_the_optimizer_sees_assignments_and_writes_in_place() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.5)
    weight = model.parameters()[0]
    weight.value = np.ones((3, 2))
    weight.value[0, 0] = 5.0
    held = weight.value
    set_gradients(model)
    optimizer.step()
    np.testing.assert_array_equal(weight.value, [[4.5, 0.5], [0.5, 0.5], [0.5, 0.5]])
    assert weight.value is held


@pytest.mark.parametrize("take", [lambda p: p.value, lambda p: p.value[0], lambda p: p.grad.T])
def test_an_array_held_from_before_becomes_read_only_and_a_warning_says_so(take: Any) -> None:
    model = network()
    held = take(model.parameters()[0])
    with pytest.warns(StaleArrayWarning, match="take it again") as caught:
        SGD(model.parameters(), lr=1.0)
    assert caught[0].filename == __file__  # the line that builds the optimizer
    with pytest.raises(ValueError, match="read-only"):
        (held if held.base is None else held.base)[...] = 0


def test_nothing_held_no_warning() -> None:
    model = network()
    objective = Objective(model, BCEWithLogitsLoss())
    objective.forward(np.ones((1, 2)), np.ones((1, 1)))
    objective.backward()
    model.state_dict()
    gc.collect()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SGD(model.parameters(), lr=1.0)
        SGD(model.parameters(), lr=1.0)


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copied_model_is_independent_of_the_optimizer(twin: Any) -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=1.0)
    other = twin(model)
    before = other.state_dict()
    set_gradients(model)
    optimizer.step()
    for name, array in other.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    SGD(other.parameters(), lr=1.0)
    set_gradients(model)
    optimizer.step()  # the first still works


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_model_and_optimizer_copied_together_stay_together(twin: Any) -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=1.0)
    other, other_optimizer = twin((model, optimizer))
    set_gradients(other)
    before = other.state_dict()
    other_optimizer.step()
    for name, array in other.state_dict().items():
        np.testing.assert_array_equal(array, before[name] - 1)
        np.testing.assert_array_equal(model.state_dict()[name], before[name])


def test_copy_of_a_parameter_is_independent() -> None:
    parameter = Parameter(np.ones(2))
    twin = copy.copy(parameter)
    twin.value = np.array([5.0, 5.0])
    np.testing.assert_array_equal(parameter.value, [1, 1])


def test_a_second_optimizer_over_the_same_parameters_shares_them() -> None:
    model = network()
    first, second = (SGD(model.parameters(), lr=lr) for lr in (1.0, 0.5))
    before = model.state_dict()
    for optimizer in (first, second, first):
        set_gradients(model)
        optimizer.step()
    for name, array in model.state_dict().items():
        np.testing.assert_allclose(array, before[name] - 2.5)


@pytest.mark.parametrize("order", ["whole first", "part first"])
def test_an_optimizer_over_part_of_the_parameters_moves_only_these(order: str) -> None:
    model = network()
    parameters = model.parameters()
    if order == "whole first":
        SGD(parameters, lr=1.0)
    part = SGD(parameters[2:], lr=1.0)
    before = model.state_dict()
    set_gradients(model)
    part.step()
    after = model.state_dict()
    for name in ("0.weight", "0.bias"):
        np.testing.assert_array_equal(after[name], before[name])
    for name in ("2.weight", "2.bias"):
        np.testing.assert_array_equal(after[name], before[name] - 1)


def test_a_whole_and_a_part_of_it_that_lies_together_both_work() -> None:
    model = network()
    parameters = model.parameters()
    whole, part = SGD(parameters, lr=1.0), SGD(parameters[1:3], lr=1.0)
    before = model.state_dict()
    for optimizer in (whole, part, whole):
        set_gradients(model)
        optimizer.step()
    for index, (name, array) in enumerate(model.state_dict().items()):
        steps = 3 if index in (1, 2) else 2
        np.testing.assert_allclose(array, before[name] - steps)


def test_an_optimizer_whose_parameters_were_taken_raises_and_changes_nothing() -> None:
    model = network()
    parameters = model.parameters()
    whole = SGD(parameters, lr=1.0)
    part = SGD([parameters[0], parameters[2]], lr=1.0)  # not side by side: they move
    before = model.state_dict()
    set_gradients(model)
    with pytest.raises(RuntimeError, match="another optimizer, built later"):
        whole.step()
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    part.step()
    np.testing.assert_array_equal(parameters[0].value, before["0.weight"] - 1)
    np.testing.assert_array_equal(parameters[1].value, before["0.bias"])


def test_an_optimizer_follows_parameters_that_all_moved_together() -> None:
    model, other = network(), network(7)
    first = SGD(model.parameters(), lr=1.0)
    SGD([*model.parameters(), *other.parameters()], lr=1.0)
    before = model.state_dict()
    set_gradients(model)
    first.step()
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name] - 1)


def test_parameters_in_another_order_are_moved_and_stepped() -> None:
    model = network()
    before = model.state_dict()
    optimizer = SGD(model.parameters()[::-1], lr=1.0)
    set_gradients(model)
    optimizer.step()
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name] - 1)


def test_many_rounds_of_building_optimizers_lose_nothing() -> None:
    model = network()
    before = model.state_dict()
    rng = np.random.default_rng(0)
    steps = dict.fromkeys(before, 0)
    named = model.named_parameters()
    for _ in range(50):
        chosen = [named[i] for i in rng.permutation(4)[: rng.integers(1, 5)]]
        optimizer = SGD([parameter for _, parameter in chosen], lr=1.0)
        set_gradients(model)
        optimizer.step()
        for name, _ in chosen:
            steps[name] += 1
    for name, array in model.state_dict().items():
        np.testing.assert_allclose(array, before[name] - steps[name])


def test_a_parameter_taken_for_an_array_says_so() -> None:
    parameter: Any = Parameter(np.ones(3))
    x = np.ones((2, 3))
    for use in (
        lambda: x * parameter,
        lambda: parameter * x,
        lambda: x @ parameter,
        lambda: np.asarray(parameter),
        lambda: np.exp(parameter),
    ):
        with pytest.raises(TypeError, match=r"use its \.value|unsupported operand"):
            use()


def test_a_move_is_counted_as_a_change() -> None:
    model = network()
    before = CHANGES.count
    SGD(model.parameters(), lr=1.0)
    assert CHANGES.count > before


def test_the_warning_of_minimize_names_the_users_line() -> None:
    model = network()
    held = model.parameters()[0].value
    x, y = np.random.default_rng(0).standard_normal((8, 2)), np.eye(8)[:, :1]
    with pytest.warns(StaleArrayWarning, match="minimize moved") as caught:
        minimize(Objective(model, BCEWithLogitsLoss()), x, y)
    assert caught[0].filename == __file__
    assert not held.flags.writeable


# -- parameters that are replaced -----------------------------------------------------


class Holder(Layer):
    """Holds parameters and layers in every way that `named_parameters` finds."""

    def __init__(self) -> None:
        self.weight = Parameter(np.ones(2))
        self.listed = [Parameter(np.ones(2)), Parameter(np.ones(1))]
        self.named = {"a": Parameter(np.ones(1))}
        self.body = Dense(2, 1, rng=0)
        self.layers = (Dense(1, 1, rng=1), Tanh())

    def forward(self, x: Array) -> Array:
        return x

    def backward(self, dy: Array) -> Array:
        return dy


def put(name: str, value: Any) -> Any:
    return lambda holder: setattr(holder, name, value)


REPLACING = {
    "another": ("weight", put("weight", Parameter(np.ones(2)))),
    "none": ("weight", put("weight", None)),
    "deleted": ("weight", lambda holder: delattr(holder, "weight")),
    "in a list": ("listed", lambda h: setattr(h, "listed", [h.listed[0], Parameter(np.ones(1))])),
    "in a dict": ("named", put("named", {})),
    "tied": ("weight", lambda holder: setattr(holder, "weight", holder.listed[0])),
    "a layer": ("body", put("body", Dense(2, 1, rng=2))),
    "layers": ("layers", lambda h: setattr(h, "layers", h.layers[1:])),
}


@pytest.mark.parametrize("way", REPLACING)
@pytest.mark.parametrize("clip", [False, True])
def test_an_optimizer_of_a_replaced_parameter_raises_until_it_is_back(
    way: str, clip: bool
) -> None:
    name, replace = REPLACING[way]
    holder = Holder()
    first, second = (SGD(holder.parameters(), lr=1.0) for _ in range(2))
    held = getattr(holder, name)
    replace(holder)
    before = [p.value.copy() for p in first.parameters]
    for optimizer in (first, second, first):  # whichever looks first, and every time
        with pytest.raises(
            RuntimeError, match=rf"SGD can .*: Holder\.{name} was .* build it again"
        ):
            clip_grad_norm(optimizer, 1.0) if clip else optimizer.step()
    for parameter, value in zip(first.parameters, before, strict=True):
        np.testing.assert_array_equal(parameter.value, value)
    later = SGD(holder.parameters(), lr=1.0)
    later.step()
    setattr(holder, name, held)
    SGD(first.parameters, lr=1.0).step()
    second.step()
    if way in {"another", "in a list", "a layer"}:  # others came, and left
        with pytest.raises(RuntimeError, match="was replaced"):
            later.step()


def test_a_weight_tied_after_an_optimizer_was_built_stops_it() -> None:
    model = Sequential(Dense(3, 3, rng=0), Tanh(), Dense(3, 3, rng=1))
    optimizer = SGD(model.parameters(), lr=1.0)
    other: Any = model[2]
    other.weight = model[0].weight
    with pytest.raises(RuntimeError, match=r"Dense\.weight was replaced or removed after SGD was"):
        optimizer.step()


def test_a_mark_from_before_an_optimizer_was_built_does_not_stop_it() -> None:
    layer, other = Dense(2, 1, rng=0), Dense(2, 1, rng=1)
    lone = layer.weight
    layer.weight = Parameter(np.ones((1, 2)))
    optimizer = SGD([lone], lr=1.0)
    SGD([lone, other.weight], lr=1.0)  # all move, and the first follows
    lone.grad = np.ones((1, 2))
    before = lone.value.copy()
    optimizer.step()
    np.testing.assert_array_equal(lone.value, before - 1)


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_does_not_know_what_was_replaced_but_what_will_be(twin: Any) -> None:
    layer = Dense(2, 1, rng=0)
    optimizer = SGD(layer.parameters(), lr=1.0)
    layer.weight = Parameter(np.ones((1, 2)))
    with pytest.raises(RuntimeError, match="was replaced"):
        optimizer.step()
    twin(optimizer).step()
    other, optimizer = twin((layer, SGD(layer.parameters(), lr=1.0)))
    bias, other.bias = other.bias, None
    with pytest.raises(RuntimeError, match=r"Dense\.bias was replaced"):
        optimizer.step()
    other.bias = bias
    optimizer.step()


def test_minimize_stops_at_a_parameter_that_its_callback_replaced() -> None:
    model = network()
    x, y = np.random.default_rng(0).standard_normal((8, 2)), np.eye(8)[:, :1]

    def replace(_: int, __: float) -> None:
        layer: Any = model[0]
        layer.bias = Parameter(np.ones(3))

    with pytest.raises(RuntimeError, match=r"minimize can .*: Dense\.bias was replaced"):
        minimize(Objective(model, BCEWithLogitsLoss()), x, y, callback=replace)


# -- stepping twice -------------------------------------------------------------------


def batch() -> tuple[Array, Array]:
    rng = np.random.default_rng(1)
    return rng.standard_normal((8, 2)), rng.integers(0, 2, (8, 1)).astype(float)


def test_two_steps_on_the_gradient_of_one_backward_warn_at_the_users_line() -> None:
    model = network()
    objective, optimizer = Objective(model, BCEWithLogitsLoss()), SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        objective.forward(*batch())
        objective.backward()
        optimizer.step()
    with pytest.warns(UserWarning, match=r"SGD stepped twice on .*call objective\.back") as caught:
        optimizer.step()
    assert caught[0].filename == __file__
    objective.backward()
    optimizer.step()


def test_a_loop_by_hand_does_not_warn_also_after_an_objective() -> None:
    """Though a gradient is stepped three times there."""
    model, loss = network(), BCEWithLogitsLoss()
    optimizer = SGD(model.parameters(), lr=0.1)
    x, y = batch()
    objective = Objective(model, loss)
    objective.forward(x, y)
    objective.backward()
    optimizer.step()
    for _ in range(2):
        loss(model.forward(x), y)
        model.backward(loss.backward())
        optimizer.step()
    objective.forward(x, y)
    objective.backward()
    optimizer.step()
    for parameter in model.parameters():
        parameter.grad[...] = 1.0
    optimizer.step()
    for parameter in model.parameters():
        parameter.grad = np.ones(parameter.shape)
    for _ in range(3):
        optimizer.step()


def test_two_optimizers_over_parts_of_one_vector_each_step_once() -> None:
    model = network()
    parameters = model.parameters()
    SGD(parameters, lr=0.1)  # now all lie in one vector
    first, second = SGD(parameters[:2], lr=0.1), SGD(parameters[2:], lr=0.1)
    objective = Objective(model, BCEWithLogitsLoss())
    for _ in range(3):
        objective.forward(*batch())
        objective.backward()
        first.step()
        second.step()
    with pytest.warns(UserWarning, match="stepped twice"):
        second.step()


def test_a_zero_gradient_that_is_stepped_twice_does_not_warn() -> None:
    model = Sequential(Dense(2, 1, rng=0))
    optimizer = SGD(model.parameters(), lr=0.1)
    objective = Objective(model, BCEWithLogitsLoss())
    model[0].weight.value[...], model[0].bias.value[...] = 0.0, 1000.0
    objective.forward(np.ones((2, 2)), np.ones((2, 1)))
    objective.backward()
    optimizer.step()
    optimizer.step()
