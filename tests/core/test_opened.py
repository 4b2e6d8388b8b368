"""Frozen parts, memories, gradients of inputs, penalties, groups: what the contract adds."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from minifw import (
    L1,
    L2,
    SGD,
    Adam,
    AdamW,
    Array,
    BatchNorm,
    BCELoss,
    CosineLR,
    Dense,
    Dropout,
    Embedding,
    Graph,
    Join,
    Layer,
    MSELoss,
    Objective,
    Parameter,
    Sequential,
    Sigmoid,
    Tanh,
)

RNG = np.random.default_rng(5)
X, T = RNG.standard_normal((6, 3)), RNG.standard_normal((6, 2))


def net() -> Any:
    body = Sequential(Dense(3, 4, rng=0), BatchNorm(4), Tanh(), Dropout(0.5, rng=1))
    return Sequential(body, Dense(4, 2, rng=2))


def slopes(cost: Any, value: Array) -> Array:
    """Return five-point differences."""
    found = np.zeros_like(value)
    for place in np.ndindex(*value.shape):
        kept, costs = value[place], []
        for shift in (1e-4, -1e-4, 2e-4, -2e-4):
            value[place] = kept + shift
            costs.append(cost())
        value[place] = kept
        found[place] = (8 * (costs[0] - costs[1]) - (costs[2] - costs[3])) / 12e-4
    return found


# -- frozen ----------------------------------------------------------------------------------


@pytest.mark.parametrize("replay", [True, False])
def test_what_is_frozen_stays_as_it_is_and_the_rest_is_trained(replay: bool) -> None:
    model = net()
    model[0].forward(X)
    before = model.state_dict()
    model[0].freeze()
    objective = Objective(model.train(), MSELoss(), replay=replay)
    optimizer = SGD(model.parameters(), lr=0.1)
    for _ in range(6):
        objective.forward(X, T)
        objective.backward()
        optimizer.step()
    changed = {name for name, new in model.state_dict().items() if (new != before[name]).any()}
    assert changed == {"1.weight", "1.bias"}
    assert [name for name, _ in model.named_parameters()] == [*before][:6]
    objective.forward(X, T)
    objective.backward()
    weight = model[1].weight
    right = slopes(lambda: MSELoss().forward(model.forward(X), T), weight.value)
    assert_allclose(weight.grad, right, atol=1e-9)


def test_modes_of_what_is_frozen() -> None:
    model = net()
    model[0].freeze()
    assert [layer.training for _, layer in model.train().named_layers()] == [False] * 5 + [True]
    model[0].freeze(False)
    assert not model[0].training  # until train() says so
    assert all(layer.training for _, layer in model.train().named_layers())
    with pytest.raises(TypeError, match="expects freeze to be True or False, got a str"):
        model.freeze("yes")


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_frozen_and_tied_as_the_original(copied: Any) -> None:
    model = net()
    model[0].freeze()
    model[1].bias.frozen = True
    twin = copied(model)
    assert [p.frozen for _, p in twin.named_parameters()] == [True] * 4 + [False, True]
    assert not twin.train()[0][1].training
    tied = Sequential(Dense(3, 3, rng=0), Dense(3, 3, rng=1))
    tied[1].weight = tied[0].weight
    twin = copied(tied)
    assert twin[0].weight is twin[1].weight


@pytest.mark.parametrize(
    "change", [lambda m: m[0].freeze(), lambda m: setattr(m[1].bias, "frozen", True)]
)
def test_an_optimizer_built_before_raises(change: Any) -> None:
    model = net()
    objective, optimizer = Objective(model, MSELoss()), Adam(model.parameters())
    objective.forward(X, T)
    objective.backward()
    change(model)
    with pytest.raises(RuntimeError, match="was frozen after Adam was built; build it again"):
        optimizer.step()
    with pytest.raises(ValueError, match=r"parameter \d, of shape .*, is frozen"):
        SGD([p for _, p in model.named_parameters()], lr=0.1)


# -- memories --------------------------------------------------------------------------------


class Scan(Layer):
    """h_t = tanh(cell([x_t, h])), by the loop that an author writes."""

    def __init__(self, cell: Layer) -> None:
        self.cell = cell

    def forward(self, x: Array) -> Array:
        h: Array = np.zeros((len(x), 2), x.dtype)
        self._saved_memories = []
        for t in range(x.shape[1]):
            h = self.cell(x[:, t], h)
            self._saved_memories.append(self.cell.memory())
        self.save(x)
        return h

    def backward(self, dy: Array) -> Array:
        dh: Any = dy
        dxs: list[Array] = []
        back: Any = self.cell.backward
        for memory in reversed(self._saved_memories):
            self.cell.recall(memory)
            dx, dh = back(dh)
            dxs.insert(0, dx)
            back = self.cell.backward_adding
        return np.stack(dxs, axis=1)


def scan() -> Scan:
    return Scan(Graph("x", "h", both=(Join(), "x", "h"), y=Sequential(Dense(5, 2, rng=0), Tanh())))


def test_a_loop_of_memories_has_the_gradient_of_the_loop() -> None:
    model, x = scan(), RNG.standard_normal((6, 4, 3))
    objective = Objective(model, MSELoss())
    for _ in range(2):  # the objective may go back twice
        objective.forward(x, T)
        objective.backward()
        objective.backward()
    for _, parameter in model.named_parameters():
        right = slopes(lambda: MSELoss().forward(model.forward(x), T), parameter.value)
        assert_allclose(parameter.grad, right, atol=1e-9)


def test_a_memory_of_another_layer_is_refused() -> None:
    layer, other = Dense(3, 2, rng=0), Dense(3, 2, rng=0)
    other.forward(X)
    with pytest.raises(ValueError, match=r"Dense.*\.recall expects what its own memory\(\)"):
        layer.recall(other.memory())


def test_the_gradient_of_a_memory_is_of_its_forward() -> None:
    layer, dy = Dense(3, 2, rng=0), RNG.standard_normal((6, 2))
    layer.forward(X)
    memory = layer.memory()
    layer.forward(2 * X)
    layer.recall(memory)
    layer.backward(dy)
    assert_array_equal(layer.weight.grad, dy.T.dot(X))
    layer.backward_adding(dy)
    assert_array_equal(layer.weight.grad, 2 * dy.T.dot(X))


# -- gradients of inputs ---------------------------------------------------------------------


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("steps", [1, 6])
def test_input_gradient_is_the_slope_of_the_loss_and_leaves_the_others(
    frozen: bool, steps: int
) -> None:
    model = Graph(
        "a", "words", e=(Embedding(5, 2, rng=3), "words"), j=(Join(), "a", "e"),
        y=Sequential(Dense(5, 2, rng=0), Tanh(), Dense(2, 1, rng=1), Sigmoid()),
    )  # fmt: skip
    a, words = X.copy(), np.array([0, 1, 2, 3, 4, 0])
    target = (T[:, :1] > 0).astype(float)
    model.freeze(frozen)
    objective = Objective(model, BCELoss(), penalties=[] if frozen else [L2(model, 0.5)])
    for _ in range(steps):
        cost = objective.forward((a, words), target)
        objective.backward()
    grads = [p.grad.copy() for p in model.parameters()]
    da, dwords = objective.input_gradient()
    assert dwords is None
    assert all(map(np.array_equal, grads, [p.grad for p in model.parameters()]))
    assert cost == objective.forward((a, words), target)
    assert_allclose(da, slopes(lambda: objective.forward((a, words), target), a), atol=1e-9)


def test_input_gradient_needs_a_forward() -> None:
    with pytest.raises(RuntimeError, match=r"Objective\.input_gradient needs a forward"):
        Objective(Tanh(), MSELoss()).input_gradient()


# -- penalties -------------------------------------------------------------------------------


@pytest.mark.parametrize("replay", [True, False])
@pytest.mark.parametrize("penalty", [L1, L2])
def test_penalties_are_in_the_loss_and_in_its_gradient(penalty: Any, replay: bool) -> None:
    model = Sequential(Dense(3, 4, rng=0), Tanh(), Dense(4, 2, rng=1))
    for parameter in model.parameters():
        parameter.value = RNG.standard_normal(parameter.shape)  # none of them 0
    penalties = [penalty(model, 0.3, biases=True), L2(model[0], 0.1)]
    objective = Objective(model, MSELoss(), penalties=penalties, replay=replay)
    optimizer = SGD(model.parameters(), lr=0.01)
    for _ in range(6):
        cost = objective.forward(X, T)
        objective.backward()
        for parameter in model.parameters():
            right = slopes(lambda: objective.forward(X, T), parameter.value)
            assert_allclose(parameter.grad, right, atol=1e-8)
        objective.forward(X, T)
        objective.backward()
        optimizer.step()
    plain = MSELoss().forward(model.forward(X), T)
    assert objective.forward(X, T) == pytest.approx(plain + sum(p.forward() for p in penalties))
    assert cost > plain


def test_what_is_no_penalty_of_the_model_is_refused() -> None:
    model = Dense(3, 2)
    with pytest.raises(TypeError, match="Objective expects penalties, got a float"):
        Objective(model, MSELoss(), penalties=[0.1])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="of a parameter that the model does not have"):
        Objective(model, MSELoss(), penalties=[L2(Dense(3, 2), 0.1)])


# -- groups ----------------------------------------------------------------------------------

OPTIMIZERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "SGD": (SGD, {"momentum": 0.9, "weight_decay": 0.1}),
    "Adam": (Adam, {"weight_decay": 0.1}),
    "AdamW": (AdamW, {"weight_decay": 0.1}),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_groups_step_as_an_optimizer_of_each(name: str) -> None:
    kind, options = OPTIMIZERS[name]
    values = [RNG.standard_normal(shape) for shape in ((3, 2), (4,), (2, 2))]
    mine, other = ([Parameter(value) for value in values] for _ in range(2))
    optimizer = kind([{"params": mine[:1], "lr": 0.5}, {"params": mine[1:]}], lr=0.05, **options)
    schedule = CosineLR(optimizer, total_steps=8)
    apart = [kind(other[:1], lr=0.5, **options), kind(other[1:], lr=0.05, **options)]
    schedules = [CosineLR(one, total_steps=8) for one in apart]
    for _ in range(6):
        for p, q in zip(mine, other, strict=True):
            p.grad = q.grad = RNG.standard_normal(p.shape)
        for one in (optimizer, *apart, schedule, *schedules):
            one.step()
        for p, q in zip(mine, other, strict=True):
            assert_allclose(p.value, q.value, rtol=1e-12, atol=1e-14)
    state = optimizer.state_dict()
    assert state["lr_factors"].tolist() == [10.0] * 6 + [1.0] * 8
    with pytest.raises(ValueError, match="lr_factors is unexpected"):
        kind(mine, lr=0.05, **options).load_state_dict(state)


@pytest.mark.parametrize(
    ("groups", "error", "message"),
    [
        ([{"lr": 0.1}], TypeError, "expects groups of parameters, such as"),
        ([{"params": [], "lr": 0.1}], ValueError, "at least one parameter"),
        ([{"params": "a", "momentum": 0.1}], ValueError, "to say params and lr, got momentum"),
        ([{"params": "a", "lr": -0.1}], ValueError, "lr of a group to be finite and above 0"),
        ([{"params": "a"}, {"params": "a"}], ValueError, "one of them twice"),
        ([{"params": "a"}, "a"], TypeError, "expects groups"),
    ],
)
def test_what_groups_refuse(groups: Any, error: Any, message: str) -> None:
    parameter = Parameter(np.ones(2))
    for group in groups:
        if isinstance(group, dict) and group.get("params") == "a":
            group["params"] = parameter
    with pytest.raises(error, match=message):
        SGD(groups, lr=0.1)
