"""Step by step: `Layer.step` and `Predictor.step` against the forward of the whole sequence."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minifw import (
    GELU,
    GRU,
    LSTM,
    Add,
    Array,
    BatchNorm,
    Concat,
    Conv1D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Flip,
    Graph,
    Join,
    Layer,
    LayerNorm,
    Mask,
    MeanOverTime,
    MSELoss,
    MultiHeadAttention,
    NonFiniteError,
    Objective,
    Positions,
    Predictor,
    PReLU,
    Residual,
    Scale,
    Sequential,
    SinusoidalPositions,
    Softmax,
    Tanh,
)

TIME, WIDTH = 19, 4  # longer than the first room that attention makes


def in_steps(layer: Any, xs: Any, state: Any = None) -> Any:
    """Return the outputs of all places, (batch, time, ...), one after the other."""
    made = []
    for place in range(xs.shape[1]):
        y, state = layer.step(xs[:, place], state)
        made.append(y)
    return np.stack(made, axis=1)


def block(features: int) -> Graph:
    return Graph(
        "x",
        n=(LayerNorm(features), "x"),
        a=MultiHeadAttention(features, 2, causal=True, rng=1),
        r=(Add(), "x", "a"),
        y=Residual(Sequential(LayerNorm(features), Dense(features, features, rng=2), GELU())),
    )


def one_layer_twice() -> Graph:
    shared = MultiHeadAttention(WIDTH, 1, causal=True, rng=0)
    return Graph("x", a=(shared, "x"), b=Tanh(), c=(shared, "b"), y=(Add(), "a", "c"))


MODELS: dict[str, Callable[[], Layer]] = {
    "LSTM": lambda: LSTM(WIDTH, 3, rng=0),
    "GRU": lambda: GRU(WIDTH, 3, rng=0),
    "attention": lambda: MultiHeadAttention(WIDTH, 2, causal=True, rng=0),
    "positions": lambda: Sequential(Positions(TIME, WIDTH), SinusoidalPositions(WIDTH)),
    "blocks": lambda: Sequential(Positions(TIME, WIDTH), block(WIDTH), block(WIDTH)),
    "convolutions": lambda: Sequential(
        Conv1D(WIDTH, 6, 3, padding="causal", dilation=2, groups=2, rng=0),
        Scale(6, 2.0),
        Conv1D(6, 2, 2, padding="causal", rng=1),
    ),
    "branches": lambda: Concat(Tanh(), LSTM(WIDTH, 2, rng=0), Sequential(Dropout(0.5), GRU(4, 1))),
    "joined": lambda: Graph(
        "x", a=(LSTM(WIDTH, 3), "x"), b=(Dense(WIDTH, 3), "x"), y=(Join(), "a", "b")
    ),
    "one layer twice": one_layer_twice,
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("batch", [1, 3])
def test_step_by_step_is_forward_at_once(name: str, batch: int) -> None:
    model, x = MODELS[name](), np.random.default_rng(0).normal(size=(batch, TIME, WIDTH))
    expected = model.eval().forward(x)
    predictor = Predictor(model)
    served = np.stack([predictor.step(x[:, place]) for place in range(TIME)], axis=1)

    model.train()
    assert np.abs(in_steps(model, x) - expected).max() < 1e-14
    assert np.abs(served - expected).max() < 1e-14


def test_a_graph_takes_a_memory_whole_and_masks_place_by_place() -> None:
    model = Graph(
        "x",
        "keep",
        "told",
        "told_keep",
        a=(MultiHeadAttention(WIDTH, 2, causal=True, rng=0), "x", "mask=keep"),
        b=(MultiHeadAttention(WIDTH, 2, rng=1), "a", "told", "told_keep"),
        c=(LSTM(WIDTH, WIDTH, rng=2), "b", "keep"),
    )
    rng = np.random.default_rng(0)
    x, told = rng.normal(size=(3, TIME, WIDTH)), rng.normal(size=(3, 5, WIDTH))
    keep, told_keep = rng.random((3, TIME)) < 0.7, rng.random((3, 5)) < 0.7
    keep[0], keep[:, 0] = False, True  # almost nothing counts, from the second place on
    expected = model.forward(x, keep, told, told_keep)
    predictor = Predictor(model)
    for place in range(TIME):
        y = predictor.step((x[:, place], keep[:, place], told, told_keep))
        assert np.abs(y - expected[:, place]).max() < 1e-14


def test_a_mask_may_come_late() -> None:
    layer, x = MultiHeadAttention(WIDTH, 1, causal=True, rng=0), np.ones((2, 3, WIDTH)).cumsum(1)
    keep = np.array([[True, True, False], [True, True, True]])
    state = None
    for place in range(3):
        one = x[:, place] if place < 2 else (x[:, place], None, keep[:, place])
        y, state = layer.step(one, state)
    assert np.abs(y - layer.forward(x, None, keep)[:, -1]).max() < 1e-15


def test_a_memory_that_changes_is_asked_as_it_is() -> None:
    layer, x = MultiHeadAttention(2, 1, rng=0), np.array([[1.0, -1.0]])
    told = np.zeros((1, 3, 2))
    _, state = layer.step((x, told))
    told[...] = 1.0
    y, _ = layer.step((x, told), state)
    assert np.array_equal(y, layer(x[:, None], told)[:, 0])


def test_states_are_returned_beside_the_outputs() -> None:
    layer, x = LSTM(WIDTH, 3, return_state=True, rng=0), np.ones((2, 4, WIDTH))
    h = np.full((2, 3), 0.5)
    state = None
    for place in range(4):
        ys, state = layer.step((x[:, place], None, h, -h), state)
    y, *last = layer(x, None, h, -h)
    assert all(map(np.allclose, ys, (y[:, -1], *last)))


def test_a_state_is_used_up_and_branches_by_a_copy() -> None:
    layer, x = GRU(2, 3, rng=0), np.random.default_rng(0).normal(size=(1, 3, 2))
    _, state = layer.step(x[:, 0])
    branch = copy.deepcopy(state)
    first, _ = layer.step(x[:, 1], state)
    again, _ = layer.step(x[:, 1], pickle.loads(pickle.dumps(branch)))
    other, _ = layer.step(x[:, 2], branch)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    with pytest.raises(RuntimeError, match="used up"):
        layer.step(x[:, 1], state)


@pytest.mark.parametrize("name", MODELS)
def test_who_gets_y_may_write_into_it(name: str) -> None:
    model, x = MODELS[name](), np.random.default_rng(0).normal(size=(2, 5, WIDTH))
    expected = model.eval().forward(x)
    predictor = Predictor(model)
    for place in range(5):
        y = predictor.step(x[:, place])
        assert np.abs(y - np.asarray(expected)[:, place]).max() < 1e-14
        y[...] = np.nan


def test_a_step_that_is_refused_does_not_count() -> None:
    model = Graph(
        "x", "told", r=(GRU(3, 3, rng=0), "x"), y=(MultiHeadAttention(3, 1), "r", "told")
    )
    x, told = np.random.default_rng(0).normal(size=(2, 2, 3)), np.ones((2, 4, 3))
    expected = model(x, told)
    predictor = Predictor(model)
    predictor.step((x[:, 0], told))
    with pytest.raises(ValueError, match="expects memory of shape"):  # after the GRU has gone on
        predictor.step((x[:, 1], told[..., :2]))
    with pytest.raises(NonFiniteError):
        predictor.step((x[:, 1] * np.nan, told))
    with pytest.raises(ValueError, match="expects 2 rows, as at the places before, got 1"):
        predictor.step((x[:1, 1], told[:1]))
    assert np.abs(predictor.step((x[:, 1], told)) - expected[:, 1]).max() < 1e-14


def test_masks_of_one_place_are_checked() -> None:
    x: Any = np.ones((2, 3))
    with pytest.raises(TypeError, match="expects mask to be bool"):
        GRU(3, 3).step((x, [True, True]))
    with pytest.raises(ValueError, match=r"expects mask of shape \(batch,\), here \(2,\)"):
        MultiHeadAttention(3, 1, causal=True).step((x, None, np.ones((2, 1), bool)))


def test_a_step_that_fails_leaves_the_state() -> None:
    model, x = MODELS["blocks"](), np.ones((1, 2, WIDTH))
    expected = model.eval()(x)
    _, state = model.step(x[:, 0])
    with pytest.raises(ValueError, match="one place of a sequence"):
        model.step(x, state)
    assert np.abs(model.step(x[:, 1], state)[0] - expected[:, 1]).max() < 1e-14


def test_a_step_runs_in_eval_mode_and_saves_nothing() -> None:
    model = Sequential(Dense(2, 8, rng=0), Dropout(0.5, rng=0), LSTM(8, 1, rng=0))
    x, target = np.ones((1, 3, 2)), np.zeros((1, 3, 1))
    objective = Objective(model, MSELoss())
    objective.forward(x, target)
    objective.backward()
    expected = [p.grad.copy() for p in model.parameters()]
    before = model[1].rng.bit_generator.state

    in_steps(model, np.full((2, 5, 2), 7.0))
    objective.backward()

    assert model.training
    assert model[1].rng.bit_generator.state == before
    assert all(map(np.array_equal, expected, [p.grad for p in model.parameters()]))


class Later(Dense):
    """Dense, turned around in time: it inherits no step."""

    def forward(self, x: Array) -> Array:
        return super().forward(x[:, ::-1])


class Chain(Sequential):
    """Another forward than that of the chain."""

    def forward(self, x: Array) -> Array:
        return super().forward(x[:, ::-1])


@pytest.mark.parametrize(
    "make",
    [
        Flatten,
        Flip,
        MeanOverTime,
        lambda: BatchNorm(2),
        lambda: Later(2, 2),
        lambda: Chain(Dense(2, 2)),
        lambda: Sequential(Dense(2, 2), MeanOverTime()),
        lambda: Residual(Later(2, 2)),
        lambda: MultiHeadAttention(2, 1),
        lambda: Conv1D(2, 2, 2),
        lambda: Conv1D(2, 2, 2, padding="same"),
        lambda: Conv1D(2, 2, 2, 2, "causal"),
        lambda: Softmax(1),
        lambda: PReLU(2),
        lambda: Concat(Tanh(), axis=1),
        lambda: Graph("x", a=(Tanh(), "x"), y=(Join(axis=1), "x", "a")),
    ],
)
def test_what_may_depend_on_other_places_refuses(make: Callable[[], Any]) -> None:
    with pytest.raises(TypeError, match="cannot go on by one place of time"):
        make().step(np.ones((1, 2)))


@pytest.mark.parametrize("layer", [LSTM(2, 1), Positions(4, 2), MultiHeadAttention(2, 1, True)])
def test_one_place_has_no_axis_of_time(layer: Layer) -> None:
    with pytest.raises(ValueError, match=r"x\[:, 0\]"):
        layer.step(np.ones((1, 1, 2)))
    with pytest.raises(TypeError, match="float32"):
        layer.step(np.ones((1, 2), np.float32))


def test_what_does_not_go_on_from_a_state_is_refused() -> None:
    layer, x = MultiHeadAttention(2, 1, causal=True), np.ones((2, 2))
    _, state = layer.step(x)
    convolution = Conv1D(2, 1, 2, padding="causal")
    with pytest.raises(ValueError, match="as many rows as at the places before"):
        convolution.step(x[:1], convolution.step(x)[1])
    with pytest.raises(ValueError, match="and its own state"):
        Conv1D(2, 1, 3, padding="causal").step(x, convolution.step(x)[1])
    with pytest.raises(ValueError, match="and its own state"):
        MultiHeadAttention(2, 2, causal=True).step(x, layer.step(x)[1])
    with pytest.raises(ValueError, match="expects a state of 1 layers, its own"):
        Sequential(GRU(2, 2)).step(x, Sequential(GRU(2, 2), Tanh()).step(x)[1])
    for given, wrong in ((x[:1], state), ((x, x[:, None]), state)):
        with pytest.raises(ValueError, match="as many rows as at the places before"):
            layer.step(given, wrong)
    for other in (LSTM(2, 1).step(x)[1], "state", 0):
        with pytest.raises(TypeError, match="that its own step returned"):
            layer.step(x, other)
    with pytest.raises(ValueError, match="at most 1 steps, got 2"):
        in_steps(Positions(1, 2), np.ones((1, 2, 2)))


def test_a_predictor_keeps_one_conversation() -> None:
    words: Any = np.random.default_rng(0).integers(1, 9, (2, TIME))
    model = Sequential(Embedding(9, WIDTH, rng=0), MODELS["blocks"]())
    expected = model.eval().forward(words)
    predictor = Predictor(model)
    for place in range(TIME):
        if place == 7:
            branch, stored = copy.deepcopy(predictor), pickle.loads(pickle.dumps(predictor))
        y = predictor.step(words[:, place])
        predictor(words)  # disturbs nothing
        assert np.abs(y - expected[:, place]).max() < 1e-13
    for other in (branch, stored):
        assert np.abs(other.step(words[:, 7]) - expected[:, 7]).max() < 1e-13
    predictor.reset()
    assert np.abs(predictor.step(words[:, 0].tolist()) - expected[:, 0]).max() < 1e-13


def test_a_predictor_judges_what_a_step_gives() -> None:
    predictor = Predictor(Dense(1, 1))
    with pytest.raises(NonFiniteError, match="row 1 of the output"):
        predictor.step([[0.0], [np.inf]])
    assert not np.isfinite(predictor.step([[0.0], [np.inf]], allow_nan=True)).all()


def test_a_mask_of_words_is_made_place_by_place() -> None:
    words = np.array([[3, 1, 0, 2]])
    assert in_steps(Mask(), words).tolist() == Mask().forward(words).tolist()


def test_sines_are_those_of_the_paper() -> None:
    places = SinusoidalPositions(6).forward(np.zeros((1, 40, 6)))[0]
    for t in range(40):
        for i in range(3):
            angle = t / 10000 ** (2 * i / 6)
            assert np.allclose(places[t, 2 * i : 2 * i + 2], [np.sin(angle), np.cos(angle)])
