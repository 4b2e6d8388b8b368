"""Penalties against closed forms and central differences."""

import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest

from minifw import (
    L1,
    L2,
    SGD,
    BatchNorm,
    Dense,
    Layer,
    MSELoss,
    NonFiniteError,
    Parameter,
    Penalty,
    Sequential,
    Tanh,
)

RNG = np.random.default_rng(0)
PARAMETER: Any = Parameter([1.0])
ONE: Any = 1
TOLERANCE: dict[Any, float] = {np.float64: 1e-12, np.float32: 1e-4}
X, T = RNG.standard_normal((40, 3)), RNG.standard_normal((40, 1))


def network(dtype: type = np.float64) -> Sequential:
    return Sequential(Dense(3, 4, rng=0, dtype=dtype), Tanh(), Dense(4, 1, rng=1, dtype=dtype))


def test_ridge_regression_in_the_loop_with_every_part_visible() -> None:
    model, loss = Dense(3, 1, bias=False, rng=0), MSELoss()
    penalty, optimizer = L2(model, 0.1), SGD(model.parameters(), lr=0.2)
    costs = []
    for _ in range(300):
        costs.append(loss.forward(model.forward(X), T) + penalty.forward())
        model.backward(loss.backward())
        penalty.backward()
        optimizer.step()
    exact = np.linalg.solve(2 / 40 * X.T @ X + 0.1 * np.eye(3), 2 / 40 * X.T @ T).T
    np.testing.assert_allclose(model.weight.value, exact, rtol=1e-12)
    least = np.mean((X @ exact.T - T) ** 2) + 0.05 * np.sum(exact**2)
    assert costs[-1] == pytest.approx(least, rel=1e-14)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("kind", [L1, L2])
def test_the_derivative_against_central_differences(kind: Any, biases: Any, dtype: Any) -> None:
    model = network(dtype)
    for p in model.parameters():
        p.value = RNG.standard_normal(p.shape)
        p.grad = np.ones(p.shape)
    penalty, h = kind(model, 0.3, biases=biases), 2.0**-8
    value = penalty.forward()
    penalty.backward()
    assert value == penalty.forward()
    for p in model.parameters():
        assert p.grad.dtype == dtype
        for i in np.ndindex(p.shape):
            old, costs = p.value[i], []
            for step in (h, -h):
                p.value[i] = old + step
                costs.append(penalty.forward())
            p.value[i] = old
            slope = (costs[0] - costs[1]) / (2 * h)
            counts = biases or p.value.ndim > 1
            assert (slope != 0) == counts
            assert p.grad[i] - 1 == pytest.approx(
                slope, abs=1e-4 if dtype == np.float32 else 1e-12
            )


def test_the_values_and_the_kink() -> None:
    weight, bias = Parameter([[3.0, 0.0], [-4.0, 0.0]]), Parameter([2.0])
    assert (L1([weight, bias], 0.5).forward(), L2([weight, bias], 0.5).forward()) == (3.5, 6.25)
    assert L2([weight, bias], 0.5, biases=True).forward() == 7.25
    L1([weight], 0.5).backward()
    np.testing.assert_array_equal(weight.grad, [[0.5, 0.0], [-0.5, 0.0]])


def test_frozen_parameters_are_left_out() -> None:
    model = network()
    whole, penalty = L2(model[0], 1.0).forward(), L2(model, 1.0)
    model[2].freeze()
    assert penalty.forward() == pytest.approx(whole, rel=1e-15)
    penalty.backward()
    assert not model[2].weight.grad.any()
    model[0].freeze()
    assert penalty.forward() == 0.0


class Tied(Layer):
    """x W W, W in two layers."""

    def __init__(self) -> None:
        self.first = Dense(2, 2, bias=False, rng=0)
        self.second = Dense(2, 2, bias=False, rng=1)
        self.second.weight = self.first.weight

    def forward(self, x: Any) -> Any:
        return self.second.forward(self.first.forward(x))

    def backward(self, dy: Any) -> Any:
        return self.first.backward(self.second.backward(dy))


def test_shared_and_replaced_parameters() -> None:
    tied = Tied()
    penalty = L2(tied, 2.0)
    shared = tied.first.weight
    assert penalty.forward() == pytest.approx(np.sum(shared.value**2))
    penalty.backward()
    np.testing.assert_array_equal(shared.grad, 2 * shared.value)
    tied.second.weight = Parameter([[1.0, 0.0], [0.0, 2.0]])
    assert penalty.forward() == pytest.approx(np.sum(shared.value**2) + 5)
    penalty.rate = 0.0
    assert penalty.forward() == 0
    assert repr(penalty) == "L2(Tied(), 0.0)"


def test_copies_are_of_the_copied_model() -> None:
    model = network()
    penalty = L2(model, 1.0)
    for twin, of in (
        copy.deepcopy((penalty, model)),
        pickle.loads(pickle.dumps((penalty, model))),
    ):
        of[0].weight.value[...] = of[2].weight.value[...] = 0
        assert (twin.forward(), twin.rate) == (0.0, 1.0)
    assert penalty.forward() > 0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: L2(network(), -1), ValueError, "L2 expects rate to be finite and at least 0"),
        (lambda: L1(network(), math.nan), ValueError, "L1 expects rate to be finite"),
        (lambda: L2([], 1), ValueError, "L2 expects at least one parameter, got none"),
        (lambda: L2(np.ones(3), 1), TypeError, "L2 expects parameters, got"),
        (lambda: L2(PARAMETER, 1), TypeError, "alone; put it in a list"),
        (lambda: L2(network(), 1, biases=ONE), TypeError, "biases to be True or False"),
        (
            lambda: L2(BatchNorm(3), 1).forward(),
            ValueError,
            "weight of two or more axes, got none",
        ),
        (Penalty, TypeError, "abstract"),
        (
            lambda: L2([Parameter([[1e200]])], 1).forward(),
            NonFiniteError,
            r"L2\(\[Parameter.*\], 1\): the penalty is inf",
        ),
    ],
)
def test_what_is_refused(call: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        call()
