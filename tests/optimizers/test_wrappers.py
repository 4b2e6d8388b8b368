"""Optimizers around another: groups, states, schedules, and the block of an average."""

import copy
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minifw import (
    L2,
    SGD,
    Accumulate,
    Adam,
    Array,
    Averaged,
    BatchNorm,
    ClipGradNorm,
    Conv2D,
    CrossEntropyLoss,
    Dense,
    Flatten,
    Graph,
    Lion,
    Lookahead,
    MSELoss,
    NAdam,
    NonFiniteError,
    Objective,
    OneCycleLR,
    Optimizer,
    Parameter,
    ReLU,
    Rprop,
    Scheduled,
    Sequential,
    StepLR,
    SumLoss,
    Tanh,
    Trainer,
    save,
)

WRAPPERS: dict[str, Callable[[Optimizer], Any]] = {
    "Lookahead": lambda optimizer: Lookahead(optimizer, k=2),
    "Averaged": lambda optimizer: Averaged(optimizer, decay=0.5),
    "both": lambda optimizer: Averaged(Lookahead(optimizer, k=3)),
}


def walk(optimizer: Optimizer, steps: int = 6, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        for p in optimizer.parameters:
            p.grad = rng.standard_normal(p.shape)
        optimizer.step()


def same(one: Any, other: Any) -> bool:
    """Return whether two states are equal in every bit."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return np.array_equal(one, other)


GROUPED: dict[str, Callable[[Any, float], Optimizer]] = {
    "NAdam": lambda p, lr: NAdam(p, lr, weight_decay=0.1),
    "Lion": lambda p, lr: Lion(p, lr, weight_decay=0.1),
    "Rprop": lambda p, lr: Rprop(p, lr, step_sizes=(0.02, 0.55)),  # no group scales these
    **{
        name: lambda p, lr, wrap=wrap: wrap(SGD(p, lr, momentum=0.5))  # type: ignore[misc]
        for name, wrap in WRAPPERS.items()
    },
}


@pytest.mark.parametrize("name", GROUPED)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_groups_step_as_an_optimizer_of_each(name: str, dtype: type) -> None:
    make, rng = GROUPED[name], np.random.default_rng(1)
    values: list[Any] = [rng.standard_normal(shape).astype(dtype) for shape in ((3, 2), (4,))]
    mine, other = ([Parameter(value) for value in values] for _ in range(2))
    whole = make([{"params": mine[:1], "lr": 0.5}, {"params": mine[1:]}], 0.05)
    apart = [make(other[:1], 0.5), make(other[1:], 0.05)]
    for _ in range(6):
        for p, q in zip(mine, other, strict=True):
            p.grad = q.grad = rng.standard_normal(p.shape)
        for one in (whole, *apart):
            one.step()
    for p, q in zip(mine, other, strict=True):
        np.testing.assert_allclose(
            p.value, q.value, rtol=0, atol=1e-14 if dtype is np.float64 else 1e-5
        )


@pytest.mark.parametrize("name", WRAPPERS)
def test_the_lr_is_that_of_the_optimizer(name: str) -> None:
    inner = SGD([Parameter(np.ones(2))], lr=0.1, weight_decay=0.5)
    optimizer = WRAPPERS[name](inner)
    StepLR(optimizer, 1, gamma=0.5).step()
    assert (inner.lr, optimizer.lr) == (0.05, 0.05)
    optimizer.weight_decay = 0.25
    walk(optimizer, steps=2)
    assert (inner.steps, optimizer.steps, inner.weight_decay) == (2, 2, 0.25)


@pytest.mark.parametrize("name", WRAPPERS)
@pytest.mark.parametrize("change", ["optimizer", "outer", "missing"])
def test_a_wrong_state_changes_neither(name: str, change: str) -> None:
    optimizer = WRAPPERS[name](Adam([Parameter(np.ones(2))]))
    walk(optimizer, steps=3)
    other = WRAPPERS[name](Adam([Parameter(np.ones(2))]))
    walk(other, steps=4, seed=1)
    state, before = other.state_dict(), copy.deepcopy(optimizer.state_dict())
    if change == "optimizer":
        inner = state["optimizer"]
        (inner.get("optimizer") or inner)["eps"] = -1.0
    elif change == "outer":
        state["count" if "count" in state else "k"] = -1
    else:
        del state["optimizer"]
    says = {"optimizer": "eps", "outer": "at least", "missing": "optimizer is missing"}
    with pytest.raises(ValueError, match=says[change]):
        optimizer.load_state_dict(state)
    assert same(optimizer.state_dict(), before)


def test_what_is_no_optimizer_is_refused() -> None:
    p = Parameter(np.ones(2))
    with pytest.raises(TypeError, match=r"Lookahead expects an optimizer, such as SGD, got"):
        Lookahead([p])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"write Adam\(parameters\)"):
        Averaged(Adam)  # type: ignore[arg-type]
    for bad in ({"k": 0}, {"alpha": 1.5}):
        with pytest.raises(ValueError, match="Lookahead expects"):
            Lookahead(SGD([p], 0.1), **bad)
    with pytest.raises(ValueError, match="Averaged expects decay"):
        Averaged(SGD([p], 0.1), decay=1.0)


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_parameter_that_left_raises(name: str) -> None:
    model = Sequential(Dense(2, 3, rng=0), Dense(3, 1, rng=1))
    optimizer = WRAPPERS[name](SGD(model.parameters(), 0.1))
    walk(optimizer, steps=1)
    model[0].freeze()
    with pytest.raises(RuntimeError, match="frozen after SGD was built"):
        optimizer.step()


def test_weights_that_are_loaded_before_a_return_begins_are_its_start() -> None:
    p = Parameter(np.zeros(1))
    optimizer = Lookahead(SGD([p], 1.0), k=2)
    for start in (10.0, 20.0):
        p.value = [start]
        for _ in range(2):
            p.grad = [-1.0]
            optimizer.step()
        assert p.value == [start + 1.0]


def test_an_average_is_in_place_inside_its_block_only() -> None:
    p, q = Parameter(np.zeros((2, 2))), Parameter(np.zeros(1))
    optimizer = Averaged(SGD([p, q], 1.0), start=1)
    with optimizer.averaged():
        assert not p.value.any()  # nothing counts yet
    for _ in range(3):  # to 1, 2, 3
        p.grad, q.grad = np.full((2, 2), -1.0), [-1.0]
        optimizer.step()
    with pytest.raises(KeyError), optimizer.averaged():
        np.testing.assert_array_equal(p.value, 2.5)
        np.testing.assert_array_equal(q.value, 2.5)
        raise KeyError
    np.testing.assert_array_equal(p.value, 3)
    assert optimizer.count == 2
    with pytest.raises(RuntimeError, match="no step and no assign"), optimizer.averaged():
        optimizer.step()
    with pytest.raises(RuntimeError, match="no step and no assign"), optimizer.averaged():
        p.value = np.zeros((2, 2))
    with pytest.raises(RuntimeError, match="so no checkpoint"), optimizer.averaged():
        optimizer.state_dict()
    np.testing.assert_array_equal(p.value, 3)
    assert optimizer.state_dict()["count"] == 3


def test_a_return_goes_to_where_its_steps_began_though_k_changes() -> None:
    p = Parameter(np.zeros(1))
    optimizer = Lookahead(SGD([p], 1.0), k=4, alpha=0.0)
    found = []
    for place in range(6):
        optimizer.k = 2 if place == 2 else optimizer.k
        p.grad = [-1.0]
        optimizer.step()
        found.append(p.value.item())
    assert found == [1, 2, 3, 0, 1, 0]


def test_a_trainer_trains_saves_and_goes_on(tmp_path: Path) -> None:
    """Of weights and of averages; and the training is that of the optimizer inside."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 3)), rng.standard_normal((40, 1))

    def trainer(wrap: Callable[[Optimizer], Any]) -> Trainer:
        model = Sequential(Dense(3, 8, rng=0), Tanh(), Dense(8, 1, rng=1))
        return Trainer(model, MSELoss(), wrap(Adam(model.parameters(), 0.01)), rng=2)

    whole, first, second, plain = (
        trainer(wrap) for wrap in (*[WRAPPERS["Averaged"]] * 3, lambda optimizer: optimizer)
    )
    for one in (whole, plain):
        one.fit(x, y, epochs=4, batch_size=8)
    first.fit(x, y, epochs=2, batch_size=8)
    first.save_checkpoint(tmp_path / "run.npz")
    second.load_checkpoint(tmp_path / "run.npz")
    second.fit(x, y, epochs=4, batch_size=8)
    assert same(whole.optimizer.state_dict(), second.optimizer.state_dict())
    assert same(whole.model.state_dict(), plain.model.state_dict())
    averaged: Any = whole.optimizer
    with averaged.averaged():
        save(whole.model, tmp_path / "averaged.npz")
        inside = Objective(whole.model, MSELoss()).forward(x, y)
    assert inside != Objective(whole.model, MSELoss()).forward(x, y)


# -- a batch in pieces -------------------------------------------------------------------------

RNG = np.random.default_rng(0)
X = RNG.standard_normal((107, 5))
Y = RNG.standard_normal((107, 3))
WEIGHT = RNG.random(107) * (np.arange(107) % 9 > 1)  # two in nine count nothing
LABEL = np.argmax(Y, axis=1)


def accumulated(wrap: Callable[[Optimizer], Any], loss: Any, y: Any, weight: Any) -> Trainer:
    """Train with everything that looks at a step: in batches of 48, 48 and 11."""
    model = Sequential(Dense(5, 16, rng=0), Tanh(), Dense(16, 3, rng=1))
    optimizer = wrap(SGD(model.parameters(), lr=0.01, momentum=0.9))
    by_step = Scheduled(OneCycleLR(optimizer, 0.1, total_steps=12), per="batch")
    trainer = Trainer(
        model,
        loss,
        optimizer,
        penalties=[L2(model, 0.01)],
        metrics=["accuracy" if y is LABEL else "mae"],
        callbacks=[by_step, ClipGradNorm(0.5)],
        rng=2,
    )
    trainer.fit(X, y, epochs=4, batch_size=48, sample_weight=weight)
    return trainer


@pytest.mark.parametrize("size", [1, 7, 16, 48, 100])
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["", "weights"])
@pytest.mark.parametrize(
    ("loss", "y"), [(MSELoss(), Y), (CrossEntropyLoss(weight=[1.0, 3.0, 0.5]), LABEL)]
)
def test_pieces_are_the_whole_batch(size: int, weight: Any, loss: Any, y: Any) -> None:
    whole = accumulated(lambda optimizer: optimizer, loss, y, weight)
    parts = accumulated(lambda optimizer: Accumulate(optimizer, size), loss, y, weight)
    for p, q in zip(whole.model.parameters(), parts.model.parameters(), strict=True):
        np.testing.assert_allclose(p.value, q.value, rtol=0, atol=1e-15)
    for name in whole.history.columns:
        np.testing.assert_allclose(whole.history[name], parts.history[name], rtol=1e-14)
    assert parts.step == parts.optimizer.steps == parts.objective.steps == 12
    assert parts.optimizer.lr == whole.optimizer.lr


def test_pieces_of_several_inputs_and_outputs() -> None:
    def ends(wrap: Callable[[Optimizer], Any], weight: Any) -> list[Any]:
        model = Graph(
            "a", "b", h=(Dense(5, 8, rng=0), "a"), y=Tanh(), z=(Dense(5, 3, rng=1), "b"),
            outputs=("y", "z"),
        )  # fmt: skip
        loss = SumLoss(MSELoss(), CrossEntropyLoss(), weights=(0.3, 2.0))
        one = Trainer(model, loss, wrap(Adam(model.parameters())), rng=2)
        one.fit((X, X), (X[:, :1] * np.ones(8), LABEL), epochs=2, sample_weight=weight)
        return [p.value for p in model.parameters()] + list(one.history.last.values())

    for weight in (None, WEIGHT, (WEIGHT, WEIGHT)):
        found = ends(lambda optimizer: Accumulate(optimizer, 10), weight)
        for one, other in zip(ends(lambda optimizer: optimizer, weight), found, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-13, atol=1e-15)
    with pytest.raises(ValueError, match=r"all parts of SumLoss.* to count the same in a piece"):
        ends(lambda optimizer: Accumulate(optimizer, 10), (WEIGHT, np.ones(107)))


def test_pieces_take_the_memory_of_one() -> None:
    def peak(wrap: Callable[[Optimizer], Any]) -> int:
        layers = [Conv2D(1, 8, 3, rng=0), ReLU(), Conv2D(8, 8, 3, rng=1), ReLU(), Flatten()]
        model = Sequential(*layers, Dense(8 * 64, 3, rng=2))
        x, y = RNG.standard_normal((128, 1, 12, 12)), RNG.integers(3, size=128)
        one = Trainer(model, CrossEntropyLoss(), wrap(Adam(model.parameters())), rng=0)
        tracemalloc.start()
        one.fit(x, y, epochs=1, batch_size=128)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(lambda optimizer: Accumulate(optimizer, 16)) < peak(lambda one: one) / 2.5


def test_a_rest_of_too_few_rows_for_a_layer_joins_the_piece_before() -> None:
    seen = []

    class Note(BatchNorm):
        def forward(self, x: Array) -> Array:
            seen.append(len(x))
            return super().forward(x)

    model = Sequential(Dense(5, 4, rng=0), Note(4), Dense(4, 3, rng=1))
    optimizer = Accumulate(SGD(model.parameters(), lr=0.1), micro_batch_size=2)
    Trainer(model, MSELoss(), optimizer).fit(X[:9], Y[:9], epochs=1, batch_size=4)
    assert seen == [2, 2, 2, 3]


def test_a_loop_of_ones_own_and_what_is_refused() -> None:
    model = Sequential(Dense(5, 4, rng=0), BatchNorm(4), Dense(4, 3, rng=1))
    optimizer = Accumulate(Averaged(SGD(model.parameters(), lr=0.1)), micro_batch_size=20)
    objective = Objective(model, MSELoss())
    losses = []
    for _ in range(3):
        losses.append(optimizer.gradient(objective, X, Y))
        optimizer.step()
    assert losses == sorted(losses, reverse=True)
    assert objective.steps == optimizer.steps == 3
    with pytest.raises(ValueError, match=r"write Accumulate\(Averaged\(\.\.\.\)\)"):
        Averaged(optimizer)
    with pytest.raises(ValueError, match="above 0"):
        optimizer.gradient(objective, X, Y, np.zeros(107))
    bad = X.copy()
    bad[50] = np.nan  # in the third piece
    with pytest.raises(NonFiniteError, match="not finite at step 3"):
        optimizer.gradient(objective, bad, Y)
    with pytest.raises(ValueError, match="Accumulate expects micro_batch_size"):
        optimizer.micro_batch_size = 0
