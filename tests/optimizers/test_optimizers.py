"""The optimizers' contract, and gradient descent against its closed form."""

import copy
import math
from typing import Any

import numpy as np
import pytest

from minifw import SGD, Array, Dense, NonFiniteError, Optimizer, Parameter, Sequential, Tanh


class Momentum(Optimizer):
    """An author's optimizer with a state."""

    def __init__(self, parameters: Any, lr: float, momentum: float = 0.9) -> None:
        super().__init__(parameters, lr)
        self.momentum = momentum
        self.velocity = self.zeros()

    def update(self, values: Array, grads: Array) -> None:
        self.velocity *= self.momentum
        self.velocity += grads
        values -= self.lr * self.velocity


def parameter(*values: float, dtype: type = np.float64) -> Parameter:
    return Parameter(np.array(values, dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sgd_is_the_notes_update(dtype: type) -> None:
    p = parameter(1.0, 2.0, dtype=dtype)
    optimizer = SGD([p], lr=1.2)
    p.grad = np.array([0.5, -1.0])
    optimizer.step()
    np.testing.assert_allclose(p.value, [1 - 0.6, 2 + 1.2], rtol=1e-6)
    assert p.value.dtype == dtype
    assert optimizer.steps == 1


def test_sgd_on_a_quadratic_shrinks_by_the_known_factor() -> None:
    """On a/2 theta^2 the step multiplies theta by 1 - lr a: diverging above 2 / a."""
    for lr, a, steps in ((0.1, 1.0, 100), (0.5, 3.0, 40), (0.7, 3.0, 20)):
        p = parameter(1.0)
        optimizer = SGD([p], lr=lr)
        for _ in range(steps):
            p.grad = a * p.value
            optimizer.step()
        np.testing.assert_allclose(p.value, [(1 - lr * a) ** steps], rtol=1e-12)


def test_the_learning_rate_can_be_assigned() -> None:
    p = parameter(0.0)
    optimizer = SGD([p], lr=1.0)
    optimizer.lr = 0.25
    p.grad = np.ones(1)
    optimizer.step()
    np.testing.assert_array_equal(p.value, [-0.25])
    assert "lr=0.25" in repr(optimizer)


@pytest.mark.parametrize(
    ("lr", "error"),
    [
        (0, ValueError),
        (-1.0, ValueError),
        (math.nan, ValueError),
        (math.inf, ValueError),
        ("1", TypeError),
        (None, TypeError),
        (True, TypeError),
        ([0.1], TypeError),
    ],
)
def test_a_bad_learning_rate_is_refused_and_changes_nothing(
    lr: Any, error: type[Exception]
) -> None:
    p = parameter(1.0)
    held = p.value
    with pytest.raises(error, match="SGD expects lr"):
        SGD([p], lr=lr)
    assert p.value is held  # it was not moved
    optimizer = SGD([parameter(1.0)], lr=0.5)
    with pytest.raises(error, match="SGD expects lr"):
        optimizer.lr = lr
    assert optimizer.lr == 0.5


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ([], ValueError, "at least one parameter"),
        (Dense(2, 1), TypeError, r"pass its \.parameters\(\)"),
        ([Dense(2, 1)], TypeError, r"pass its \.parameters\(\)"),
        ([np.ones(2)], TypeError, "expects parameters, got a float64 array"),
        (None, TypeError, "expects parameters, got a NoneType"),
        (Sequential(Dense(2, 1)), TypeError, r"got a Sequential; pass its \.parameters\(\)"),
        (Dense(2, 1).parameters, TypeError, r"call it: model\.parameters\(\)"),
        (Dense(2, 1).state_dict(), TypeError, r"got a dict; pass model\.parameters\(\)"),
        (Dense(2, 1).named_parameters(), TypeError, r"a tuple; pass model\.parameters\(\)"),
        (Parameter(np.ones(2)), TypeError, "put it in a list"),
        (Tanh().parameters(), ValueError, "at least one parameter"),
    ],
)
def test_bad_parameters_are_refused(parameters: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        SGD(parameters, lr=0.1)


def test_one_parameter_twice_and_two_dtypes_are_refused_before_any_is_moved() -> None:
    p, q = parameter(1.0), parameter(2.0, dtype=np.float32)
    held = p.value
    with pytest.raises(ValueError, match="got one of them twice"):
        SGD([p, p], lr=0.1)
    with pytest.raises(TypeError, match="of one dtype, got float32 and float64"):
        SGD([p, q], lr=0.1)
    assert p.value is held


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_non_finite_gradient_is_refused_and_changes_nothing(bad: float) -> None:
    p, q = parameter(1.0, 2.0), parameter(3.0)
    optimizer = SGD([p, q], lr=0.1)
    p.grad, q.grad = np.ones(2), np.array([bad])
    with pytest.raises(NonFiniteError, match=r"gradient of parameter 1, .* 1 of 1 .* step 0"):
        optimizer.step()
    np.testing.assert_array_equal(p.value, [1, 2])
    np.testing.assert_array_equal(q.value, [3])
    assert optimizer.steps == 0


def test_a_huge_but_finite_gradient_is_accepted() -> None:
    p = parameter(0.0)
    optimizer = SGD([p], lr=1e-200)
    p.grad = np.array([1e200])  # its square overflows
    optimizer.step()
    np.testing.assert_allclose(p.value, [-1.0])


def test_a_zero_gradient_leaves_the_parameter_alone() -> None:
    p = parameter(1.0, -3.0)
    optimizer = SGD([p], lr=0.1)
    optimizer.step()
    np.testing.assert_array_equal(p.value, [1.0, -3.0])


def test_an_author_writes_one_method_and_has_a_resumable_state() -> None:
    p, q = parameter(1.0, 2.0), parameter(1.0, 2.0)
    first, second = Momentum([p], lr=0.1), Momentum([q], lr=0.7, momentum=0.1)
    for _ in range(3):
        p.grad = p.value
        first.step()
    state = copy.deepcopy(first.state_dict())
    assert set(state) == {"lr", "steps", "momentum", "velocity"}
    q.value = p.value
    second.load_state_dict(state)
    for _ in range(3):
        for x, optimizer in ((p, first), (q, second)):
            x.grad = x.value
            optimizer.step()
    np.testing.assert_array_equal(p.value, q.value)
    assert second.steps == 6


def test_the_state_dict_is_a_copy_both_ways() -> None:
    p = parameter(1.0)
    optimizer = Momentum([p], lr=0.1)
    state = optimizer.state_dict()
    state["velocity"][...] = 5.0
    assert optimizer.velocity[0] == 0.0
    optimizer.load_state_dict(state)
    state["velocity"][...] = 6.0
    assert optimizer.velocity[0] == 5.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"velocity": None}, "velocity is missing"),
        ({"extra": 1.0}, "extra is unexpected"),
        ({"velocity": np.zeros(3)}, r"velocity has shape \(3,\), not \(1,\)"),
        ({"lr": -1.0}, "expects lr"),
    ],
)
def test_a_wrong_state_is_refused_and_changes_nothing(
    change: dict[str, Any], message: str
) -> None:
    optimizer = Momentum([parameter(1.0)], lr=0.1)
    state = {**optimizer.state_dict(), "momentum": 0.5, "steps": 9, **change}
    state = {name: value for name, value in state.items() if value is not None}
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(state)
    assert (optimizer.lr, optimizer.momentum, optimizer.steps) == (0.1, 0.9, 0)


def test_an_optimizer_without_update_is_abstract() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Optimizer([parameter(1.0)], lr=0.1)  # type: ignore[abstract]


def test_an_update_that_returns_its_result_in_place_of_changing_it_is_told_so() -> None:
    class Functional(SGD):
        def update(self, values: Array, grads: Array) -> None:
            return values - self.lr * grads  # type: ignore[return-value]

    p = parameter(1.0)
    optimizer = Functional([p], lr=0.1)
    with pytest.raises(TypeError, match=r"Functional\.update must change values in place"):
        optimizer.step()


def test_a_learning_rate_that_float32_cannot_hold_is_refused() -> None:
    for lr in (1e39, 1e-60):
        with pytest.raises(ValueError, match="a normal number of float32"):
            SGD([parameter(1.0, dtype=np.float32)], lr=lr)


def test_state_that_is_a_list_is_copied_and_state_made_at_the_first_update_is_loaded() -> None:
    class History(SGD):
        def __init__(self, parameters: Any, lr: float) -> None:
            super().__init__(parameters, lr)
            self.seen: list[float] = []
            self.lazy: Array | None = None

        def update(self, values: Array, grads: Array) -> None:
            self.seen.append(float(grads[0]))
            self.lazy = grads.copy() if self.lazy is None else self.lazy + grads
            super().update(values, grads)

    p, q = parameter(1.0), parameter(1.0)
    first, second = History([p], lr=0.1), History([q], lr=0.1)
    p.grad = np.ones(1)
    first.step()
    state = first.state_dict()
    first.step()
    assert state["seen"] == [1.0]
    second.load_state_dict(state)
    assert second.seen == [1.0]
    assert second.lazy == [1.0]


@pytest.mark.parametrize("velocity", [np.array(["a"]), np.array([1j])])
def test_state_of_a_wrong_kind_changes_nothing(velocity: Any) -> None:
    optimizer = Momentum([parameter(1.0)], lr=0.1)
    state = {**optimizer.state_dict(), "lr": 0.7, "velocity": velocity}
    with pytest.raises(ValueError, match="velocity is"):
        optimizer.load_state_dict(state)
    with pytest.raises(ValueError, match="steps is 'abc'"):
        optimizer.load_state_dict({**optimizer.state_dict(), "lr": 0.7, "steps": "abc"})
    with pytest.raises(TypeError, match="expects a dict, got a NoneType"):
        optimizer.load_state_dict(None)  # type: ignore[arg-type]
    assert optimizer.lr == 0.1
