"""Layers whose gradient is meant not to be the derivative, inside of what holds them."""

from typing import Any

import numpy as np
import pytest

from minifw import (
    Add,
    Dense,
    GradientReversal,
    Graph,
    Identity,
    Layer,
    MSELoss,
    Objective,
    Sequential,
    StopGradient,
    Tanh,
    trace,
)

X = np.random.default_rng(0).standard_normal((6, 3))
TARGET = np.random.default_rng(1).standard_normal((6, 2))


def chain(between: Layer | None) -> Objective:
    inside = [] if between is None else [between]
    model = Sequential(Dense(3, 4, rng=0), Tanh(), *inside, Dense(4, 2, rng=1))
    return Objective(model, MSELoss())


def gradients(objective: Objective) -> list[Any]:
    """Return loss, gradients in the order of the layers, and dL/dx."""
    for _ in range(4):  # the last one by a recording
        loss = objective.forward(X, TARGET)
        objective.backward()
    grads = [p.grad.copy() for p in objective.model.parameters()]
    return [loss, *grads, objective.input_gradient()]


@pytest.mark.parametrize(
    ("layer", "factor"), [(StopGradient(), 0.0), (GradientReversal(0.25), -0.25)]
)
def test_what_comes_before_gets_a_multiple_of_the_gradient(layer: Layer, factor: float) -> None:
    loss, w1, b1, w2, b2, dx = gradients(chain(None))
    found = gradients(chain(layer))
    wanted = [loss, factor * w1, factor * b1, w2, b2, factor * dx]
    for one, expected in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-14)
    frozen = chain(layer)
    dict(frozen.model.named_layers())["0"].freeze()
    for one, expected in zip(gradients(frozen), [loss, w2, b2, factor * dx], strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-14)


def test_the_weight_of_a_reversal_is_read_live() -> None:
    layer = GradientReversal()
    objective = chain(layer)
    first = gradients(objective)[1]
    layer.weight = 0.5
    np.testing.assert_array_equal(gradients(objective)[1], first / 2)
    with pytest.raises(ValueError, match="GradientReversal expects weight to be finite and at"):
        layer.weight = -1.0


def test_one_branch_of_a_graph_is_stopped() -> None:
    def slope(**lines: Any) -> Any:
        objective = Objective(Graph("x", h=Dense(3, 2, rng=0), **lines), MSELoss())
        objective.forward(X, TARGET)
        return objective.input_gradient()

    both = slope(k=(Identity(), "h"), y=(Add(), "h", "k"))
    np.testing.assert_allclose(slope(k=StopGradient(), y=(Add(), "h", "k")), both / 2, rtol=1e-14)


def test_a_trace_says_what_is_meant() -> None:
    for layer, formula in ((StopGradient(), "0"), (GradientReversal(0.5), "-0.5 * dA1b")):
        rows = trace(chain(layer), X, TARGET).rows
        assert formula in [row.formula.partition(" = ")[2] for row in rows]
