"""What training minimises: exact at saturation, loud at the first value that is not finite."""

import copy
import math
import pickle
import warnings
import weakref
from typing import Any, ClassVar

import numpy as np
import pytest

from minifw import (
    SGD,
    Array,
    BCELoss,
    BCEWithLogitsLoss,
    Dense,
    Layer,
    Loss,
    MSELoss,
    NonFiniteError,
    Objective,
    Parameter,
    SaturationWarning,
    Sequential,
    Sigmoid,
    Tanh,
)

LOGITS = [20.0, 40.0, 1000.0, 1e4]


def one_unit(dtype: type = np.float64) -> Sequential:
    """Return a network whose logit is its input, and whose dL/dlogit is the bias's gradient."""
    unit = Dense(1, 1, dtype=dtype)
    unit.weight.value = np.ones((1, 1))
    return Sequential(unit, Sigmoid())


def flower_network(seed: int = 0) -> Sequential:
    return Sequential(Dense(2, 4, rng=seed), Tanh(), Dense(4, 1, rng=seed + 1), Sigmoid())


def batch(n: int = 6) -> tuple[Array, Array]:
    rng = np.random.default_rng(3)
    return rng.standard_normal((n, 2)), np.asarray(rng.integers(0, 2, (n, 1)), np.float64)


class Explode(Layer):
    """Passes its input on; turns it or its gradient into infinity when told to."""

    def __init__(self) -> None:
        self.forward_bad = self.backward_bad = False

    def forward(self, x: Array) -> Array:
        self.save(x)
        return x * np.inf if self.forward_bad else x.copy()

    def backward(self, dy: Array) -> Array:
        return dy * np.inf if self.backward_bad else dy.copy()


# -- saturation -------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("logit", LOGITS)
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_a_confidently_wrong_example_costs_its_logit_and_has_gradient_1(
    logit: float, label: float, dtype: type
) -> None:
    model = one_unit(dtype)
    objective = Objective(model, BCELoss())
    sign = 1 - 2 * label  # the wrong side
    cost = objective.forward(np.array([[sign * logit]], dtype), np.array([[label]], dtype))
    objective.backward()
    assert cost == pytest.approx(logit, rel=1e-7 if dtype is np.float32 else 1e-8)
    if logit >= 40:
        assert cost == logit
        assert model.parameters()[1].grad[0] == sign
    assert model.parameters()[1].grad[0] == pytest.approx(sign, rel=1e-8)


@pytest.mark.parametrize("logit", LOGITS)
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_a_confidently_right_example_keeps_its_digits(logit: float, label: float) -> None:
    model = one_unit()
    objective = Objective(model, BCELoss())
    sign = 2 * label - 1  # the right side
    cost = objective.forward(np.array([[sign * logit]]), np.array([[label]]))
    objective.backward()
    assert cost == pytest.approx(math.log1p(math.exp(-logit)), rel=1e-14, abs=0)
    assert model.parameters()[1].grad[0] == pytest.approx(
        -sign * math.exp(-logit) / (1 + math.exp(-logit)), rel=1e-14, abs=0
    )


def test_the_joint_form_is_the_two_apart_where_they_are_exact() -> None:
    x, y = batch(20)
    model, twin = flower_network(), flower_network()
    objective, loss = Objective(model, BCELoss()), BCELoss()
    cost = objective.forward(x, y)
    objective.backward()
    assert cost == pytest.approx(loss.forward(twin.forward(x), y), rel=1e-14)
    twin.backward(loss.backward())
    for one, other in zip(model.parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(one.grad, other.grad, rtol=1e-12, atol=1e-17)
    np.testing.assert_array_equal(objective.prediction, twin.forward(x))


def test_apart_the_two_stay_finite_and_warn() -> None:
    model, loss = one_unit(), BCELoss()
    with pytest.warns(SaturationWarning, match=r"use Objective\(model, BCELoss\(\)\)"):
        cost = loss.forward(model.forward(np.array([[1000.0]])), np.array([[0.0]]))
    model.backward(loss.backward())
    assert math.isfinite(cost)
    assert np.isfinite(model.parameters()[1].grad).all()


@pytest.mark.parametrize(("dtype", "logit"), [(np.float64, 36.0), (np.float32, 16.0)])
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_apart_the_gradient_is_right_until_the_probability_rounds(
    dtype: type, logit: float, label: float
) -> None:
    model, loss = one_unit(dtype), BCELoss()
    sign = 1 - 2 * label
    x: Array = np.array([[sign * logit]], dtype)
    y: Array = np.array([[label]], dtype)
    loss.forward(model.forward(x), y)
    model.backward(loss.backward())
    assert model.parameters()[1].grad[0] == pytest.approx(sign, rel=1e-6)


def test_it_joins_inside_a_nested_chain_and_a_bare_activation() -> None:
    nested = Sequential(one_unit()[:1], Sequential(Tanh(), Sigmoid()))
    x, y = np.array([[1e6]]), np.array([[0.0]])
    assert Objective(nested, BCELoss()).forward(x, y) == pytest.approx(np.log(1 + math.e))
    for bare in (Sigmoid(), Sequential(Sigmoid()), Sequential(Sequential(Sigmoid()))):
        objective = Objective(bare, BCELoss())
        assert objective.forward(x, y) == 1e6
        objective.backward()
        np.testing.assert_array_equal(objective.prediction, [[1.0]])


def test_a_sigmoid_too_many_is_warned_of() -> None:
    with pytest.warns(UserWarning, match="applies Sigmoid itself") as caught:
        Objective(flower_network(), BCEWithLogitsLoss())
    assert caught[0].filename == __file__


def test_a_loss_that_declares_no_pair_is_left_as_it_is() -> None:
    x, y = batch()
    model = flower_network()[:3]
    expected = BCEWithLogitsLoss().forward(model.forward(x), y)
    assert Objective(model, BCEWithLogitsLoss()).forward(x, y) == expected


class Exponential(Layer):
    """y = exp(x): an author's activation that overflows."""

    def forward(self, x: Array) -> Array:
        with np.errstate(over="ignore"):
            y: Array = np.exp(x)
        self.save(y)
        return y

    def backward(self, dy: Array) -> Array:
        (y,) = self.saved()
        return dy * y


class LogError(Loss):
    """L = mean((log p - log t)^2): an author's loss."""

    joins: ClassVar[Any] = {Exponential: lambda _loss, _activation: LogErrorOfLog()}

    def forward(self, prediction: Array, target: Array) -> float:
        self.check(prediction, target)
        self.save(np.log(prediction) - np.log(target), prediction)
        return self.finite(float(np.mean(self.saved()[0] ** 2)))

    def backward(self) -> Array:
        error, prediction = self.saved()
        return 2 * error / prediction / error.size


class LogErrorOfLog(Loss):
    """The joint form: L = mean((z - log t)^2)."""

    def forward(self, prediction: Array, target: Array) -> float:
        self.check(prediction, target)
        self.save(prediction - np.log(target))
        return self.finite(float(np.mean(self.saved()[0] ** 2)))

    def backward(self) -> Array:
        (error,) = self.saved()
        return 2 * error / error.size


def test_an_author_adds_a_pair() -> None:
    model = Sequential(one_unit()[0], Exponential())
    objective = Objective(model, LogError())
    assert objective.forward(np.array([[2000.0]]), np.array([[1.0]])) == 4e6
    objective.backward()
    assert model.parameters()[1].grad[0] == 4000
    assert np.isinf(objective.prediction).all()


def test_a_pair_can_be_added_to_a_loss_that_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    class Shifted(Sigmoid):
        """An activation of an author's: the sigmoid of x, by another name."""

    pairs: dict[type[Layer], Any] = {Shifted: lambda _loss, _activation: BCEWithLogitsLoss()}
    x, y = np.array([[1000.0]]), np.array([[0.0]])
    model = Sequential(one_unit()[0], Shifted())
    with pytest.warns(SaturationWarning):  # a subclass is another activation: not joined
        Objective(model, BCELoss()).forward(x, y)
    monkeypatch.setattr(BCELoss, "joins", pairs)
    assert Objective(model, BCELoss()).forward(x, y) == 1000


# -- the loop ---------------------------------------------------------------------------


def test_it_skips_the_gradient_with_respect_to_the_input() -> None:
    class First(Dense):
        def backward(self, dy: Array) -> Array:  # noqa: ARG002
            raise AssertionError("dL/dx of the first layer was asked for")

    x, y = batch()
    model = Sequential(First(2, 3, rng=0), Tanh(), Dense(3, 1, rng=1), Sigmoid())
    objective = Objective(model, BCELoss())
    objective.forward(x, y)
    objective.backward()
    assert all(p.grad.any() for p in model.parameters())


def test_the_loop_of_the_design_and_the_loop_with_every_part_visible_agree() -> None:
    x, y = batch(30)
    model, twin = flower_network(), flower_network()
    objective, loss = Objective(model, BCELoss()), BCELoss()
    optimizer, twin_optimizer = SGD(model.parameters(), lr=0.5), SGD(twin.parameters(), lr=0.5)
    for _ in range(200):
        cost = objective.forward(x, y)
        objective.backward()
        optimizer.step()

        prediction = twin.forward(x)
        twin_cost = loss.forward(prediction, y)
        twin.backward(loss.backward())
        twin_optimizer.step()
        assert cost == pytest.approx(twin_cost, rel=1e-10)
    assert cost < 0.5


def test_gradients_are_those_of_the_number_that_it_returns() -> None:
    x, y = batch()
    model = flower_network()
    objective = Objective(model, BCELoss())
    objective.forward(x, y)
    objective.backward()
    step = 1e-6
    for parameter in model.parameters():
        found = parameter.grad.copy()
        for index in np.ndindex(parameter.shape):
            kept = parameter.value[index]
            parameter.value[index] = kept + step
            above = objective.forward(x, y)
            parameter.value[index] = kept - step
            below = objective.forward(x, y)
            parameter.value[index] = kept
            assert found[index] == pytest.approx((above - below) / (2 * step), abs=1e-9)


def test_order_of_calls() -> None:
    objective = Objective(flower_network(), BCELoss())
    for act in (objective.backward, lambda: objective.prediction):
        with pytest.raises(RuntimeError, match="call forward first"):
            act()
    x, y = batch()
    objective.forward(x, y)
    with pytest.raises(ValueError, match="expects x"):
        objective.forward(x[:, :1], y)
    with pytest.raises(RuntimeError, match="call forward first"):
        objective.backward()  # not of the forward before the refused one


@pytest.mark.parametrize(
    ("model", "loss", "message"),
    [
        (None, BCELoss(), "expects model to be a layer, got a NoneType"),
        (BCELoss(), flower_network(), "expects model to be a layer, got a BCELoss"),
        (flower_network(), BCELoss, r"write BCELoss\(\)"),
        (flower_network(), "bce", "expects loss to be a loss, got a str"),
    ],
)
def test_wrong_parts_are_refused(model: Any, loss: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Objective(model, loss)


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        (lambda y: y[:, 0], ValueError, r"use target\.reshape\(\(6, 1\)\)"),
        (lambda y: y[:3], ValueError, "expects target in the shape"),
        (lambda y: y.astype(int), TypeError, "expects target in the dtype"),
        (lambda y: y.astype(bool), TypeError, "expects target in the dtype"),
        (lambda y: y.tolist(), TypeError, "expects target in the dtype"),
        (lambda y: y + 0.5, ValueError, r"in \[0, 1\], got 1.5"),
        (lambda y: y - 1e-9, ValueError, r"in \[0, 1\]"),
        (lambda y: y * np.nan, ValueError, r"in \[0, 1\], got nan"),
        (lambda _: None, TypeError, "got a NoneType"),
    ],
)
def test_wrong_targets_are_refused_and_the_next_step_is_right(
    target: Any, error: type[Exception], message: str
) -> None:
    x, y = batch()
    model = flower_network()
    objective = Objective(model, BCELoss())
    expected = objective.forward(x, y)
    with pytest.raises(error, match=message) as caught:
        objective.forward(x, target(y))
    assert caught.value.__notes__ == ["in the joint form of Sigmoid() and BCELoss()"]
    assert objective.forward(x, y) == expected


# -- the first value that is not finite -------------------------------------------------


def test_a_bad_input_is_named() -> None:
    x, y = batch()
    x[4, 1] = np.nan
    objective = Objective(flower_network(), BCELoss())
    with pytest.raises(NonFiniteError, match=r"at step 0: the input x holds .* first at \(4, 1\)"):
        objective.forward(x, y)


def test_a_bad_target_is_named() -> None:
    class Squared(Loss):
        def forward(self, prediction: Array, target: Array) -> float:
            self.save(prediction - target)
            return float(np.mean(self.saved()[0] ** 2))  # no check of its own

        def backward(self) -> Array:
            return 2 * self.saved()[0] / self.saved()[0].size

    x, y = batch()
    y[2, 0] = np.inf
    with pytest.raises(NonFiniteError, match=r"the target holds .* first at \(2, 0\)"):
        Objective(flower_network(), Squared()).forward(x, y)


@pytest.mark.parametrize("steps", [0, 3])
def test_the_layer_the_pass_and_the_step_of_a_bad_forward(steps: int) -> None:
    explode = Explode()
    model = Sequential(Dense(2, 3, rng=0), Sequential(Tanh(), explode), Dense(3, 1, rng=1))
    objective = Objective(model, BCEWithLogitsLoss())
    optimizer = SGD(model.parameters(), lr=0.1)
    x, y = batch()
    for _ in range(steps):
        objective.forward(x, y)
        objective.backward()
        optimizer.step()
    explode.forward_bad = True
    before = model.state_dict()
    message = rf"at step {steps}: it arose in layer 1\.1, Explode\(\), in the forward pass"
    with pytest.raises(NonFiniteError, match=message):
        objective.forward(x, y)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("packed", [True, False])
def test_the_layer_the_pass_and_the_step_of_a_bad_backward(packed: bool) -> None:
    explode = Explode()
    model = Sequential(Dense(2, 3, rng=0), explode, Dense(3, 1, rng=1), Sigmoid())
    objective = Objective(model, BCELoss())
    optimizer = SGD(model.parameters(), lr=0.1) if packed else None
    x, y = batch()
    objective.forward(x, y)
    objective.backward()
    if optimizer:
        optimizer.step()
    explode.backward_bad = True
    objective.forward(x, y)
    before = model.state_dict()
    message = r"at step 1: it arose in layer 1, Explode\(\), in the backward pass"
    with pytest.raises(NonFiniteError, match=message):
        objective.backward()
        if optimizer:
            optimizer.step()
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_a_parameter_that_diverged_is_named_with_the_step_before() -> None:
    model = flower_network()
    objective = Objective(model, BCELoss())
    x, y = batch()
    objective.forward(x, y)
    objective.backward()
    model.parameters()[2].value[0, 1] = np.inf
    message = r"parameter 2\.weight of layer 2, Dense\(4, 1, rng=1\), holds 1 NaN or infinite.* lr"
    with pytest.raises(NonFiniteError, match=message):
        objective.forward(x, y)


@pytest.mark.parametrize("numpys_own", ["ignore", "error"])
def test_training_that_diverges_ends_in_one_sentence(numpys_own: Any) -> None:
    """A learning rate beyond all measure overflows; the message says where."""

    class Square(Layer):
        def forward(self, x: Array) -> Array:
            self.save(x)
            return x**2

        def backward(self, dy: Array) -> Array:
            return 2 * dy * self.saved()[0]

    model = Sequential(Dense(2, 3, rng=0), Square(), Dense(3, 1, rng=1))
    objective = Objective(model, BCEWithLogitsLoss())
    optimizer = SGD(model.parameters(), lr=1e30)
    x, y = batch()
    with warnings.catch_warnings(), pytest.raises(NonFiniteError, match="at step") as caught:
        warnings.simplefilter(numpys_own, RuntimeWarning)  # "overflow encountered in ..."
        for _ in range(100):
            objective.forward(x, y)
            objective.backward()
            optimizer.step()
    assert "layer" in str(caught.value)


def test_a_warning_of_something_else_is_passed_on() -> None:
    class Grumbling(Explode):
        def forward(self, x: Array) -> Array:
            warnings.warn("something else", RuntimeWarning, stacklevel=1)
            return super().forward(x)

    model = Sequential(Grumbling(), Dense(2, 1, rng=0))
    with pytest.raises(RuntimeWarning, match="something else"):  # warnings are errors here
        Objective(model, BCEWithLogitsLoss()).forward(*batch())


def test_gradients_of_another_model_in_the_same_memory_do_not_matter() -> None:
    model, other = flower_network(), flower_network(5)
    SGD([*model.parameters(), *other.parameters()], lr=0.1)
    other.parameters()[0].grad = np.full((4, 2), np.nan)
    objective = Objective(model, BCELoss())
    objective.forward(*batch())
    objective.backward()


@pytest.mark.parametrize("stepped", [True, False])
def test_a_gradient_spoilt_after_backward_is_found_by_the_optimizer(stepped: bool) -> None:
    model = flower_network()
    objective = Objective(model, BCELoss())
    optimizer = SGD(model.parameters(), lr=0.1)
    objective.forward(*batch())
    objective.backward()
    if stepped:
        optimizer.step()
    before = model.state_dict()
    model.parameters()[1].grad[0] = np.nan
    with pytest.raises(NonFiniteError, match="gradient of parameter 1"):
        optimizer.step()
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_parameters_that_no_optimizer_steps_are_looked_at_as_well() -> None:
    explode = Explode()
    model = Sequential(Dense(2, 3, rng=0), explode, Dense(3, 1, rng=1), Sigmoid())
    SGD(model[2].parameters(), lr=0.1)
    objective = Objective(model, BCELoss())
    explode.backward_bad = True
    objective.forward(*batch())
    with pytest.raises(NonFiniteError, match=r"it arose in layer 1, Explode\(\)"):
        objective.backward()


def test_a_container_that_spoils_a_value_is_named() -> None:
    class Wild(Layer):
        def __init__(self) -> None:
            self.inner = Dense(2, 2, rng=0)

        def forward(self, x: Array) -> Array:
            return self.inner.forward(x) * np.inf

        def backward(self, dy: Array) -> Array:
            return self.inner.backward(dy)

    model = Sequential(Wild(), Dense(2, 1, rng=0))
    with pytest.raises(NonFiniteError, match=r"it arose in layer 0, Wild\(\), in the forward"):
        Objective(model, BCEWithLogitsLoss()).forward(*batch())


def test_a_parameter_that_was_bad_from_the_start_is_named_without_a_step_before() -> None:
    model = flower_network()
    model.parameters()[0].value[0, 0] = np.nan
    message = r"at step 0: parameter 0\.weight of layer 0, .* first at \(0, 0\)$"
    with pytest.raises(NonFiniteError, match=message):
        Objective(model, BCELoss()).forward(*batch())


def test_what_a_random_layer_did_may_not_show_again() -> None:
    class Lottery(Layer):
        def __init__(self) -> None:
            self.draws = 0

        def __deepcopy__(self, memo: dict[int, Any]) -> "Lottery":
            return Lottery()

        def forward(self, x: Array) -> Array:
            self.draws += 1
            return x * (np.inf if self.draws == 2 else 1.0)

        def backward(self, dy: Array) -> Array:
            return dy.copy()

    objective = Objective(Sequential(Dense(2, 1, rng=0), Lottery()), BCEWithLogitsLoss())
    objective.forward(*batch())
    with pytest.raises(NonFiniteError, match="did not show when the step was done again"):
        objective.forward(*batch())


def test_another_forward_before_backward_is_refused() -> None:
    model = flower_network()
    objective = Objective(model, BCELoss())
    x, y = batch()
    objective.forward(x, y)
    model.forward(x[::-1].copy())
    with pytest.raises(RuntimeError, match="another forward since"):
        objective.backward()
    objective.forward(x, y)
    assert objective.prediction.shape == y.shape
    objective.backward()


@pytest.mark.parametrize("planned", [False, True])
def test_backward_after_a_forward_of_a_part_is_refused(planned: bool) -> None:
    model = Sequential(Dense(3, 2, rng=0), Tanh(), Dense(2, 1, rng=1))
    loss = MSELoss()
    objective = Objective(model, loss)
    optimizer = SGD(model.parameters(), lr=0.1)
    x, y = np.ones((6, 3)), np.zeros((6, 1))
    for _ in range(3 if planned else 0):
        objective.forward(x, y)
        objective.backward()
        optimizer.step()
    for part, name in (
        (lambda: model[0](2 * x), r"Dense\(3, 2, rng=0\), which is in the model,"),
        (lambda: loss(y + 1, y), r"MSELoss\(\)"),
        (lambda: model(2 * x), r"Dense\(3, 2, rng=0\), which is in the model,"),
    ):
        objective.forward(x, y)
        part()
        with pytest.raises(RuntimeError, match=f"but {name} ran another forward since"):
            objective.backward()
        objective.forward(x, y)
        model.predict(2 * x)  # leaves no trace
        objective.backward()


@pytest.mark.parametrize("planned", [False, True])
def test_the_prediction_may_be_written_to(planned: bool) -> None:
    model = Sequential(Dense(3, 2, rng=0), Tanh())
    objective = Objective(model, MSELoss())
    SGD(model.parameters(), lr=0.1)
    x, y = np.ones((6, 3)), np.zeros((6, 2))
    for _ in range(3 if planned else 1):
        objective.forward(x, y)
        objective.backward()
    expected = model[0].weight.grad.copy()
    objective.forward(x, y)
    objective.prediction[...] = 7.0
    objective.backward()
    np.testing.assert_array_equal(model[0].weight.grad, expected)


@pytest.mark.parametrize("value", [None, np.ones((6, 1)), "a"])
def test_a_loss_that_returns_no_number_is_told_so(value: Any) -> None:
    class Forgetful(BCEWithLogitsLoss):
        def forward(
            self, prediction: Array, target: Array, sample_weight: Array | None = None
        ) -> float:
            super().forward(prediction, target, sample_weight)
            return value  # type: ignore[no-any-return]

    with pytest.raises(TypeError, match=r"Forgetful\(\)\.forward must return a float"):
        Objective(flower_network()[:3], Forgetful()).forward(*batch())


@pytest.mark.parametrize("value", [None, np.ones((6,)), np.ones((6, 6))])
def test_a_loss_that_returns_a_wrong_derivative_is_told_so(value: Any) -> None:
    class Forgetful(BCEWithLogitsLoss):
        def backward(self) -> Array:
            return value  # type: ignore[no-any-return]

    objective = Objective(flower_network()[:3], Forgetful())
    objective.forward(*batch())
    with pytest.raises(TypeError, match=r"Forgetful\(\)\.backward must return an array of the"):
        objective.backward()


def test_what_a_step_saved_goes_before_the_next_forward() -> None:
    saved: list[Any] = []
    gone: list[bool] = []

    class Look(Layer):
        def forward(self, x: Array) -> Array:
            self.save(x.shape)
            gone.extend(one() is None for one in saved)
            return x.copy()

        def backward(self, dy: Array) -> Array:
            return dy.copy()

    model = Sequential(Look(), Tanh(), Tanh())
    objective = Objective(model, MSELoss(), replay=False)
    objective.forward(batch()[0], batch()[0])
    objective.backward()
    saved.append(weakref.ref(model[1].saved()[0]))
    objective.forward(batch()[0], batch()[0])
    assert gone == [True]


# -- copies -----------------------------------------------------------------------------


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_an_objective_can_be_copied(twin: Any) -> None:
    x, y = batch()
    objective = Objective(flower_network(), BCELoss())
    objective.forward(x, y)
    objective.backward()
    other = twin(objective)
    assert other.forward(x, y) == objective.forward(x, y)
    other.backward()
    other.model.parameters()[0].value = np.zeros((4, 2))
    assert objective.model.parameters()[0].value.any()
    assert repr(other) == repr(objective)


def test_a_model_that_is_one_layer() -> None:
    layer = Dense(2, 1, rng=0)
    objective = Objective(layer, BCEWithLogitsLoss())
    objective.forward(*batch())
    objective.backward()
    assert isinstance(layer.weight, Parameter)
    assert layer.weight.grad.any()
