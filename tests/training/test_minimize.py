"""minimize: every method finds a known minimum, counts, reports, and leaves the best point."""

import math
import sys
from typing import Any

import numpy as np
import pytest

from minifw import (
    SGD,
    Array,
    BatchNorm,
    BCELoss,
    Dense,
    Dropout,
    Layer,
    Loss,
    MSELoss,
    NonFiniteError,
    Objective,
    Parameter,
    Sequential,
    Sigmoid,
    StaleArrayWarning,
    Tanh,
    minimize,
)
from minifw.datasets import planar_flower
from minifw.training.minimize import METHODS, _Search

CONVEX_ONLY = ("dogleg",)
LIMIT = {"TNC": "maxfun"}  # the name of its limit, where it is not maxiter
FROM_THE_START = ("SLSQP", "trust-constr")  # they report where they start, too
each_method = pytest.mark.parametrize("method", METHODS)


class Squares(Loss):
    """L = mean((p - t)^2)."""

    def forward(self, prediction: Array, target: Array) -> float:
        self.check(prediction, target)
        self.save(prediction - target)
        return self.finite(float(np.mean((prediction - target) ** 2)))

    def backward(self) -> Array:
        (error,) = self.saved()
        return 2 * error / error.size


def regression() -> tuple[Objective, Array, Array]:
    """Return a linear model: its minimum is that of linear least squares."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((30, 3))
    target = x @ np.array([[1.0], [-2.0], [0.5]]) + 0.7 + 0.1 * rng.standard_normal((30, 1))
    return Objective(Dense(3, 1, rng=0), Squares()), x, target


def network(seed: int = 3) -> Sequential:
    """Build the notes' network from the notes' start."""
    rng = np.random.RandomState(seed)
    hidden, output = Dense(2, 4), Dense(4, 1)
    hidden.weight.value = rng.standard_normal((4, 2)) * 0.01
    output.weight.value = rng.standard_normal((1, 4)) * 0.01
    return Sequential(hidden, Tanh(), output, Sigmoid())


def flat(objective: Objective) -> Array:
    return np.concatenate([p.value.ravel() for p in objective.model.parameters()])


@each_method
def test_a_linear_model_reaches_least_squares(method: str) -> None:
    objective, x, target = regression()
    options: dict[str, float] = {LIMIT.get(method, "maxiter"): 1000}
    if method == "trust-constr":
        options["gtol"] = 1e-8  # its own default is loose
    result = minimize(objective, x, target, method=method, options=options)
    matrix = np.hstack([x, np.ones((30, 1))])
    best, squares, *_ = np.linalg.lstsq(matrix, target, rcond=None)
    np.testing.assert_allclose(flat(objective), best.ravel(), atol=2e-3)
    assert result.cost == pytest.approx(squares[0] / 30, rel=1e-4)
    assert result.success
    assert result.message
    assert result.method == method
    assert result.gradient_norm < 1e-3


@pytest.mark.parametrize("method", [m for m in METHODS if m not in CONVEX_ONLY])
def test_the_notes_network_gets_better_and_is_left_at_the_best_point(method: str) -> None:
    x, y = planar_flower()
    objective = Objective(network(), BCELoss())
    seen: list[tuple[int, float]] = []
    lowest = [math.inf]

    class Watched(Objective):
        def forward(self, x: Array, target: Any, sample_weight: Array | None = None) -> float:
            cost = super().forward(x, target, sample_weight)
            count[0] += 1
            lowest[0] = min(lowest[0], cost)
            return cost

    count = [0]
    objective = Watched(network(), BCELoss())
    result = minimize(
        objective,
        x,
        y,
        method=method,
        options={LIMIT.get(method, "maxiter"): 20},
        callback=lambda iteration, cost: seen.append((iteration, cost)),
    )
    assert result.cost < 0.694
    assert objective.forward(x, y) == result.cost
    assert [iteration for iteration, _ in seen] == list(range(1, len(seen) + 1))
    assert result.iterations == len(seen) >= 1
    costs = [cost for _, cost in seen]
    assert costs == sorted(costs, reverse=True)
    assert result.evaluations == count[0] - 4  # two of a copy, the first, and the one above
    assert (result.products > 0) == (method not in METHODS[:5])
    assert objective.prediction.shape == y.shape


def test_bfgs_from_the_notes_start_comes_far_below_gradient_descent() -> None:
    """10,000 steps of gradient descent end near 0.218."""
    x, y = planar_flower()
    result = minimize(Objective(network(), BCELoss()), x, y, "BFGS", options={"maxiter": 2000})
    assert result.cost < 0.2
    assert result.evaluations < 1500


def test_whole_weights_are_as_many_rows() -> None:
    _, x, target = regression()
    weighted, repeated = (Objective(Dense(3, 1, rng=0), MSELoss()) for _ in range(2))
    weight = np.arange(30) % 3
    minimize(weighted, x, target, sample_weight=weight.astype(float))
    minimize(repeated, x.repeat(weight, axis=0), target.repeat(weight, axis=0))
    for mine, other in zip(weighted.model.parameters(), repeated.model.parameters(), strict=True):
        np.testing.assert_allclose(mine.value, other.value, rtol=1e-5)


def test_hessian_products_are_right() -> None:
    """Of least squares H = 2 X'X / n; of the notes' network against differences of the cost."""
    objective, x, target = regression()
    search = _Search(objective, (x, target, None), None)
    matrix = np.hstack([x, np.ones((30, 1))])
    exact = 2 * matrix.T @ matrix / 30
    for p in (np.array([1.0, 2.0, -1.0, 0.5]), np.array([0, 0, 1e-8, 0]), np.full(4, 1e8)):
        product = search.product(search.start, p)
        np.testing.assert_allclose(product, exact @ p, rtol=1e-9, atol=1e-9 * np.abs(p).max())
    np.testing.assert_array_equal(search.product(search.start, np.zeros(4)), 0)
    np.testing.assert_allclose(search.matrix(search.start), exact, rtol=1e-9, atol=1e-9)

    x, y = planar_flower()
    model = Sequential(Dense(2, 4, rng=0), Tanh(), Dense(4, 1, rng=1), Sigmoid())
    search = _Search(Objective(model, BCELoss()), (x, y, None), None)
    rng = np.random.default_rng(0)
    p, h = rng.standard_normal(search.start.size), 1e-4
    costs = [search.evaluate(search.start + k * h * p)[0] for k in (-2, -1, 0, 1, 2)]
    curvature = np.dot([-1, 16, -30, 16, -1], costs) / (12 * h * h)  # of fourth order
    assert p @ search.product(search.start, p) == pytest.approx(curvature, rel=1e-6)


@each_method
def test_a_callback_stops_it_at_the_best_point(method: str) -> None:
    objective, x, target = regression()
    before = objective.forward(x, target)
    result = minimize(objective, x, target, method, callback=lambda i, _: i >= 1)
    assert result.message == "the callback asked to stop"
    assert not result.success
    assert result.iterations == 1
    assert objective.forward(x, target) == result.cost
    assert result.cost < before or method in FROM_THE_START


def test_a_callback_stops_it_by_a_bool_of_numpy_and_by_nothing_else() -> None:
    objective, x, target = regression()
    costs: list[float] = []

    def below(_iteration: int, cost: float) -> object:
        costs.append(cost)
        return cost < np.array([1e9, 1e9]).mean()  # always, and an np.bool

    result = minimize(objective, x, target, "BFGS", callback=below)
    assert (result.message, result.iterations) == ("the callback asked to stop", 1)
    for other in (1, "a text", [1], np.True_.astype(int)):
        objective, x, target = regression()
        assert minimize(objective, x, target, "BFGS", callback=lambda *_, o=other: o).success


@pytest.mark.parametrize("layer", [Dropout(0.5, rng=0), BatchNorm(4)])
def test_a_cost_that_is_no_function_of_the_parameters_is_refused(layer: Layer) -> None:
    x, y = planar_flower()
    model = Sequential(Dense(2, 4, rng=0), layer, Tanh(), Dense(4, 1, rng=1), Sigmoid())
    objective = Objective(model, BCELoss())
    state = model.state_dict()
    what = "moves 1.running_mean" if isinstance(layer, BatchNorm) else r"gives 0\.\d+ once and 0"
    with pytest.raises(ValueError, match=rf"{what}.*put the model into eval mode: model.eval\(\)"):
        minimize(objective, x, y)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, state[name])
    model.eval()
    result = minimize(objective, x, y, options={"maxiter": 20})
    prediction = model.predict(x)
    cost = -np.mean(y * np.log(prediction) + (1 - y) * np.log(1 - prediction))
    assert result.cost == pytest.approx(cost)


def test_it_says_why_it_stopped() -> None:
    objective, x, target = regression()
    result = minimize(objective, x, target, "BFGS", options={"maxiter": 1})
    assert not result.success
    assert "iterations" in result.message.lower()


def test_the_method_is_named_in_any_case_and_checked() -> None:
    objective, x, target = regression()
    assert minimize(objective, x, target, "l-bfgs-b").method == "L-BFGS-B"
    for bad in ("Nelder-Mead", "adam", 3):
        with pytest.raises(ValueError, match="method to be one of L-BFGS-B, BFGS"):
            minimize(objective, x, target, bad)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="expects an objective, got a Dense"):
        minimize(objective.model, x, target)  # type: ignore[arg-type]


def test_float32_works_to_its_precision() -> None:
    _, x, target = regression()
    objective = Objective(Dense(3, 1, rng=0, dtype=np.float32), Squares())
    for method in ("L-BFGS-B", "Newton-CG"):
        minimize(objective, x.astype(np.float32), target.astype(np.float32), method)
        best = np.linalg.lstsq(np.hstack([x, np.ones((30, 1))]), target, rcond=None)[0]
        assert flat(objective).dtype == np.float32
        np.testing.assert_allclose(flat(objective), best.ravel(), atol=5e-3)


class Cliff(Layer):
    """y = x w, but NaN where w is above 2; or its gradient is."""

    def __init__(self, *, gradient: bool) -> None:
        self.w = Parameter(np.zeros((1, 1)))
        self.gradient = gradient

    def forward(self, x: Array) -> Array:
        self.save(x)
        beyond = self.w.value[0, 0] > 2 and not self.gradient
        return x * (math.nan if beyond else self.w.value)

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        beyond = self.w.value[0, 0] > 2 and self.gradient
        self.w.grad[...] = math.nan if beyond else (dy * x).sum()
        return dy * self.w.value


@pytest.mark.parametrize("gradient", [False, True])
def test_what_is_not_finite_raises_and_leaves_the_best_point(gradient: bool) -> None:
    layer = Cliff(gradient=gradient)
    x, target = np.ones((4, 1)), np.full((4, 1), 5.0)
    objective = Objective(layer, Squares())
    with pytest.raises(NonFiniteError, match="Cliff"):
        minimize(objective, x, target, "BFGS")
    assert math.isfinite(layer.w.value[0, 0])
    assert layer.w.value[0, 0] > 0


def test_a_stale_array_is_announced_at_the_line_of_the_call() -> None:
    objective, x, target = regression()
    held = objective.model.parameters()[0].value
    with pytest.warns(StaleArrayWarning, match="minimize moved") as caught:
        minimize(objective, x, target)
    assert caught[0].filename == __file__
    assert not held.flags.writeable


def test_an_optimizer_before_within_and_after_works_on() -> None:
    objective, x, target = regression()
    parameters = objective.model.parameters()
    first = SGD(parameters, lr=0.01)
    made: list[Any] = []

    def build(_iteration: int, _cost: float) -> None:
        if not made:
            made.append(SGD(parameters[::-1][:1], lr=0.01))

    result = minimize(objective, x, target, "BFGS", callback=build)
    for optimizer in (first, made[0]):
        objective.forward(x, target)
        objective.backward()
        optimizer.step()
    assert objective.forward(x, target) <= result.cost * (1 + 1e-9)


def test_without_scipy_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    objective, x, target = regression()
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(ImportError, match=r"minifw\[scipy\]"):
        minimize(objective, x, target)
