"""A replayed step against the text of the layers: the same bits, and no trace of it."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from cases import BATCH, CASES, LOSS_CASES, Case
from hypothesis import given, settings
from hypothesis import strategies as st

from minifw import (
    SGD,
    Array,
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    Dense,
    Identity,
    Layer,
    Loss,
    MSELoss,
    NonFiniteError,
    Objective,
    ReLU,
    Sequential,
    Sigmoid,
    Tanh,
)
from minifw._engine.recording import Recording
from minifw._engine.replay import COST, KEPT

STEPS = 7  # text, recorded, both ways, backward recorded, both ways, and twice alone

ACTIVATIONS: dict[str, type[Layer]] = {kind.__name__: kind for kind in (ReLU, Sigmoid, Tanh)}
HEADS: dict[str, Any] = {
    "BCELoss": BCELoss,
    "BCEWithLogitsLoss, weighted": lambda: BCEWithLogitsLoss(pos_weight=2.0),
    "MSELoss": MSELoss,
    "CrossEntropyLoss": CrossEntropyLoss,
}


def network(activation: type[Layer], out: int, dtype: Any, *, final: bool, bias: bool) -> Any:
    """Return a network of three dense layers, one of them nested, and two activations in a row."""
    layers: list[Layer] = [
        Dense(3, 5, rng=0, dtype=dtype, bias=bias),
        activation(),
        Sequential(Dense(5, 4, rng=1, dtype=dtype), activation(), activation()),
        Dense(4, out, rng=2, dtype=dtype, bias=bias),
    ]
    return Sequential(*layers, *([Sigmoid()] if final else []))


def target_like(loss: Loss, rows: int, out: int, dtype: Any, *, soft: bool) -> Any:
    rng = np.random.default_rng(rows)
    if isinstance(loss, CrossEntropyLoss):
        return rng.integers(0, out, rows)
    numbers = rng.random((rows, out)).astype(dtype)
    return numbers if soft else np.round(numbers)


def by_text(objective: Objective) -> Objective:
    """Return a copy that goes through the layers at every step."""
    model, loss = copy.deepcopy((objective.model, objective.loss))
    return Objective(model, loss, replay=False)


def in_use(objective: Objective) -> list[Recording]:
    """Return the recordings that are used alone."""
    return [one for one in objective._step._recordings if one.agrees]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_declares_it_is_replayed(case: Case) -> None:
    layer = case.make(np.float64)
    objective = Objective(layer, MSELoss())
    if layer.parameters():
        SGD(layer.parameters(), lr=0.01)
    for seed in range(STEPS):
        x = case.x(BATCH, seed=seed)
        objective.forward(x, np.zeros(layer(x).shape))
        objective.backward()
    assert bool(in_use(objective)) == objective._step.possible
    assert objective._step.possible == all(part.replayable for part in objective._step.parts)


@pytest.mark.parametrize("name", LOSS_CASES)
def test_a_loss_that_declares_it_is_replayed(name: str) -> None:
    loss, prediction, target = LOSS_CASES[name]
    objective = Objective(Identity(), copy.deepcopy(loss))
    for _ in range(STEPS):
        objective.forward(prediction, target)
        objective.backward()
    assert bool(in_use(objective)) == loss.replayable


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@settings(max_examples=3)  # of 24 combinations each
@given(
    rows=st.integers(1, 12),
    out=st.integers(1, 3),
    soft=st.booleans(),
    bias=st.booleans(),
    fortran=st.booleans(),
)
def test_a_replayed_step_gives_the_same_bits(  # noqa: PLR0917 - pytest's and Hypothesis'
    activation: str,
    head: str,
    dtype: Any,
    rows: int,
    out: int,
    soft: bool,
    bias: bool,
    fortran: bool,
) -> None:
    loss = HEADS[head]()
    out += isinstance(loss, CrossEntropyLoss)  # of two classes or more
    model = network(ACTIVATIONS[activation], out, dtype, final=head == "BCELoss", bias=bias)
    first = Objective(model, loss)
    second = by_text(first)
    optimizers = [SGD(o.model.parameters(), lr=0.5) for o in (first, second)]
    for step in range(STEPS):
        x = np.random.default_rng(step).standard_normal((rows, 3)).astype(dtype)
        x = np.asfortranarray(x) if fortran else x
        target = target_like(loss, rows, out, dtype, soft=soft and step != 2)
        for objective, optimizer in zip((first, second), optimizers, strict=True):
            objective.forward(x, target)
            for _ in range(2):  # a second backward gives the same
                objective.backward()
            optimizer.step()
        values = first.forward(x, target), second.forward(x, target)
        assert np.float64(values[0]).tobytes() == np.float64(values[1]).tobytes()
        assert np.array_equal(first.prediction, second.prediction)
        for p, q in zip(first.model.parameters(), second.model.parameters(), strict=True):
            assert p.value.tobytes() == q.value.tobytes()
            assert p.grad.tobytes() == q.grad.tobytes()
    assert len(in_use(first)) == 1


def flower_like(rows: int = 20) -> tuple[Array, Array]:
    rng = np.random.default_rng(rows)
    x = rng.standard_normal((rows, 3))
    return x, np.round(rng.random((rows, 1)))


def trained(steps: int = STEPS) -> tuple[Objective, SGD]:
    objective = Objective(network(Tanh, 1, np.float64, final=True, bias=True), BCELoss())
    optimizer = SGD(objective.model.parameters(), lr=0.5)
    x, y = flower_like()
    for _ in range(steps):
        objective.forward(x, y)
        objective.backward()
        optimizer.step()
    return objective, optimizer


def test_a_shape_that_comes_once_is_not_recorded() -> None:
    objective, _ = trained(1)
    for expected in (0, 1, 2):
        objective.forward(*flower_like(7))  # the last batch of an epoch
        objective.forward(*flower_like(20))
        assert len(in_use(objective)) == expected


def same_as_the_layers(objective: Objective) -> None:
    """Hold a step of this objective against one through the layers."""
    x, y = flower_like()
    other = by_text(objective)
    assert objective.forward(x, y) == other.forward(x, y)
    objective.backward()
    other.backward()
    for p, q in zip(objective.model.parameters(), other.model.parameters(), strict=True):
        assert p.grad.tobytes() == q.grad.tobytes()


def test_parameters_that_moved_are_followed() -> None:
    objective, _ = trained()
    parameters = objective.model.parameters()
    for some in (parameters[::-1], parameters[::2], parameters[1::2]):
        before = in_use(objective)
        SGD(some, lr=0.1)
        for _ in range(STEPS):
            same_as_the_layers(objective)
        assert in_use(objective)
        assert not set(map(id, before)) & set(map(id, in_use(objective)))


def test_a_parameter_that_was_replaced_is_used() -> None:
    objective, _ = trained()
    model: Any = objective.model
    model[0].weight = Dense(3, 5, rng=9).weight
    same_as_the_layers(objective)
    model[3].bias = None
    same_as_the_layers(objective)


def test_a_method_put_into_a_layer_is_called() -> None:
    objective, _ = trained()
    layer: Any = objective.model[1]  # type: ignore[index]
    plain, seen = layer.forward, list[Array]()

    def watched(x: Array) -> Array:
        seen.append(x)
        result: Array = plain(x)
        return result

    layer.forward = watched
    x, y = flower_like()
    for _ in range(2):
        objective.forward(x, y)
    assert len(seen) == 2
    assert not np.shares_memory(seen[0], seen[1])
    del layer.forward
    same_as_the_layers(objective)


def test_a_prediction_stays_as_it_was() -> None:
    x, y = flower_like()
    for model, loss in (
        (Sequential(Dense(3, 1, rng=0), Sigmoid()), BCELoss()),
        (Sequential(Dense(3, 1, rng=0)), MSELoss()),
    ):
        objective = Objective(model, loss)
        for _ in range(STEPS):
            objective.forward(x, y)
        handed_out = objective.prediction
        kept = handed_out.copy()
        objective.forward(2 * x, y)
        assert np.array_equal(handed_out, kept)
        assert not np.array_equal(handed_out, objective.prediction)


def test_the_layers_hold_what_they_would_have_saved() -> None:
    objective, _ = trained()
    x, y = flower_like()
    model = objective.model
    objective.forward(x, y)
    dy = np.asarray(np.random.default_rng(5).standard_normal(y.shape))
    body, other = Sequential(*list(model)[:-1]), copy.deepcopy(model)  # type: ignore[call-overload]
    dx = body.backward(dy)
    apart = Sequential(*list(other)[:-1])  # type: ignore[call-overload]
    apart.forward(x)
    assert np.array_equal(dx, apart.backward(dy))


def test_a_forward_of_the_model_in_between_is_found_out() -> None:
    objective, _ = trained()
    x, y = flower_like()
    objective.forward(x, y)
    objective.model.forward(x)
    with pytest.raises(RuntimeError, match="another forward since"):
        objective.backward()
    second = Objective(objective.model, BCELoss())
    for _ in range(STEPS):
        second.forward(x, y)
    objective.forward(x, y)
    second.forward(x, y)
    with pytest.raises(RuntimeError, match="another forward since"):
        objective.backward()


class Keeps(Loss):
    """A loss that keeps every prediction, as one that draws them would."""

    def __init__(self) -> None:
        self.predictions: list[Array] = []

    def forward(self, prediction: Array, target: Array) -> float:
        self.check(prediction, target)
        self.predictions.append(prediction)
        self.save(prediction - target)
        return float(np.mean((prediction - target) ** 2) / 2)

    def backward(self) -> Array:
        (error,) = self.saved()
        slope: Array = error / error.size
        return slope


class KeepsToo(Tanh):
    """A layer of an author: what it is given is its own for ever."""

    def forward(self, x: Array) -> Array:
        self.inputs = [*getattr(self, "inputs", []), x]
        return super().forward(x)


def test_what_an_author_is_given_is_not_written_into_again() -> None:
    x, y = flower_like()
    loss, layer = Keeps(), KeepsToo()
    for model in (Sequential(Dense(3, 1, rng=0)), Sequential(Dense(3, 1, rng=0), layer)):
        objective = Objective(model, loss)
        optimizer = SGD(model.parameters(), lr=0.1)
        for _ in range(STEPS):
            objective.forward(x, y)
            objective.backward()
            optimizer.step()
    for kept in (loss.predictions, layer.inputs):
        assert len({array.tobytes() for array in kept}) == len(kept)


def test_copies_and_pickles_plan_for_themselves() -> None:
    objective, _ = trained()
    before = [p.grad.copy() for p in objective.model.parameters()]
    for twin in (copy.deepcopy(objective), pickle.loads(pickle.dumps(objective))):
        assert not in_use(twin)
        for _ in range(STEPS):
            twin.forward(*flower_like(20))
            twin.backward()
        same_as_the_layers(twin)
        model: Any = twin.model
        model[0].weight.value = np.ones((5, 3))
    for array, p in zip(before, objective.model.parameters(), strict=True):
        assert np.array_equal(array, p.grad)
    same_as_the_layers(objective)


def test_errors_are_those_of_the_layers() -> None:
    objective, optimizer = trained()
    x, y = flower_like()
    with pytest.raises(ValueError, match=r"every target to be in \[0, 1\], got 3"):
        objective.forward(x, 3 * y)
    with pytest.raises(TypeError, match="computes in float64"):
        objective.forward(x.astype(np.float32), y)
    with pytest.raises(RuntimeError, match="needs a forward"):
        objective.backward()
    x[3, 1] = np.nan
    with pytest.raises(NonFiniteError, match=r"at step 7: .*input"):
        objective.forward(x, y)
    x, y = flower_like()
    objective.forward(x, y)
    objective.backward()
    model: Any = objective.model
    model[0].weight.grad[0, 0] = np.inf
    with pytest.raises(NonFiniteError):
        optimizer.step()
    same_as_the_layers(objective)


def test_after_a_forward_that_failed_the_layers_run_again() -> None:
    objective, _ = trained()
    x, _ = flower_like()
    model: Any = objective.model
    with pytest.raises(ValueError, match="expects"):
        model.forward(x[:, :2])
    same_as_the_layers(objective)


def test_batches_out_of_a_pickle_share_a_recording() -> None:
    """Each has a dtype object of its own."""
    objective, optimizer = trained()
    (before,) = in_use(objective)
    for _ in range(STEPS):
        x, y = pickle.loads(pickle.dumps(flower_like()))
        objective.forward(x, y)
        objective.backward()
        optimizer.step()
    assert in_use(objective) == [before]


def test_modes_keep_their_recordings() -> None:
    """A fit with validation records nothing in its second epoch."""
    objective, _ = trained()
    x, y = flower_like()
    for _ in range(4):
        objective.forward(x, y)
        objective.backward()
        objective.model.eval()
        objective.forward(x, y)
        objective.model.train()
    found = in_use(objective)
    for mode in (False, True):
        objective.model.train(mode)
        objective.forward(x, y)
    assert in_use(objective) == found
    assert len(found) == 2


def test_shapes_that_change_all_the_time_are_rarely_recorded() -> None:
    objective, _ = trained()
    x, y = flower_like()
    made = 0
    for rows in [2, 3, 4, 5, 6] * (2 * COST // 5):  # one more than are kept, each twice
        for _ in range(2):
            objective.forward(x[:rows], y[:rows])
        made += objective._step._recordings[0].calls is not None
    assert KEPT <= made + 1 <= 2 * KEPT + 1  # one was made before
