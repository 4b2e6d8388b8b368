"""Planned predictions against those of the layers: the same bits, and nothing shared."""

import copy
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from cases import LAYER_CASES
from hypothesis import given, settings
from hypothesis import strategies as st

from minifw import (
    Adam,
    Array,
    BatchNorm,
    Dense,
    Dropout,
    Flatten,
    Layer,
    MSELoss,
    Objective,
    Predictor,
    ReLU,
    Sequential,
    Sigmoid,
    Softmax,
    Tanh,
)

ENDS: dict[str, Any] = {"none": None, "sigmoid": Sigmoid, "softmax": Softmax, "relu": ReLU}


def network(end: str = "sigmoid", dtype: Any = np.float64, *, bias: bool = True) -> Any:
    layers: list[Layer] = [
        Dense(3, 5, rng=0, dtype=dtype, bias=bias),
        Dropout(0.5, rng=1),
        Tanh(),
        Sequential(Dense(5, 4, rng=1, dtype=dtype), ReLU(), Dropout(0.5, rng=2)),
        Dense(4, 2, rng=2, dtype=dtype, bias=bias),
    ]
    kind = ENDS[end]
    return Sequential(*layers, *([kind()] if kind else []))


def rows_of(count: int, dtype: Any = np.float64, *, seed: int = 0) -> Array:
    numbers: Array = np.random.default_rng(seed).standard_normal((count, 3)).astype(dtype)
    return numbers


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@settings(max_examples=8)
@given(rows=st.integers(1, 9), scale=st.sampled_from([1.0, 1e4]), bias=st.booleans())
def test_it_predicts_the_same_bits(
    end: str, dtype: Any, rows: int, scale: float, bias: bool
) -> None:
    model = network(end, dtype, bias=bias)
    predict = Predictor(model)
    assert predict.planned
    for seed in range(3):  # of one plan
        x = (scale * rows_of(rows, dtype, seed=seed)).astype(dtype)
        assert np.array_equal(predict(x), model.predict(x))
        assert predict(x).dtype == dtype


@pytest.mark.parametrize("rows", [255, 256, 257, 1000])
def test_many_rows_go_in_blocks(rows: int) -> None:
    model, x = network(), rows_of(rows)
    assert np.array_equal(Predictor(model)(x), model.predict(x))


@pytest.mark.parametrize("case", LAYER_CASES)
def test_every_layer_predicts(case: str) -> None:
    layer, x = copy.deepcopy(LAYER_CASES[case])
    before = copy.deepcopy(layer).predict(x)
    predict = Predictor(layer)
    assert np.array_equal(predict(x), before)
    assert np.array_equal(predict(x), before)


def test_results_share_nothing() -> None:
    predict, x = Predictor(network()), rows_of(2)
    first = predict(x)
    kept = first.copy()
    second = predict(rows_of(2, seed=1))
    assert not np.shares_memory(first, second)
    assert np.array_equal(first, kept)
    first[...] = 0  # writable, and nobody else's
    assert np.array_equal(predict(x), kept)
    whole = Predictor(Flatten())(x)
    assert not np.shares_memory(whole, x)


@pytest.mark.parametrize("layer", [Tanh(), BatchNorm(64)], ids=["planned", "not planned"])
def test_threads_may_share_it(layer: Layer) -> None:
    predict = Predictor(Sequential(Dense(3, 64, rng=0), layer, Dense(64, 5, rng=1)))
    xs = [rows_of(1, seed=seed) for seed in range(8)]
    expected = [predict(x) for x in xs]

    def serve(index: int) -> bool:
        return all(np.array_equal(predict(xs[index]), expected[index]) for _ in range(500))

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(serve, range(8)))
    finally:
        sys.setswitchinterval(before)


def test_the_model_may_be_trained_on() -> None:
    model, x = network("none"), rows_of(4)
    predict = Predictor(model)
    before = predict(x)
    optimizer = Adam(model.parameters(), lr=0.1)
    objective = Objective(model, MSELoss())
    for _ in range(3):
        objective.forward(x, np.ones((4, 2)))
        objective.backward()
        optimizer.step()
    assert np.array_equal(predict(x), before)
    assert not np.array_equal(Predictor(model)(x), before)
    assert model.training


@pytest.mark.parametrize(
    "x", [rows_of(4)[::2], np.asfortranarray(rows_of(4)), rows_of(8)[:, ::-1]]
)
def test_any_memory_order(x: Array) -> None:
    x.flags.writeable = False
    model = network()
    assert np.allclose(Predictor(model)(x), model.predict(np.ascontiguousarray(x)), rtol=1e-14)


def test_data_are_cast() -> None:
    model = network(dtype=np.float32)
    predict = Predictor(model)
    lists = [[1, 2, 3], [4, 5, 6]]
    assert predict(lists).dtype == np.float32
    assert np.array_equal(predict(lists), predict(np.array(lists, np.float64)))


def test_copies_are_of_their_own() -> None:
    predict, x = Predictor(network()), rows_of(2)
    y = predict(x)
    for twin in (copy.deepcopy(predict), pickle.loads(pickle.dumps(predict))):
        assert np.array_equal(twin(x), y)
        assert twin._model is not predict._model
        assert twin.planned


def test_a_changed_layer_is_not_planned() -> None:
    model = network()
    subclass = type("Other", (Tanh,), {})
    assert Predictor(Sequential(Dense(3, 2), Tanh())).planned
    assert not Predictor(Sequential(Dense(3, 2), subclass())).planned
    model[2].forward = lambda x: 2 * x
    assert not Predictor(model).planned


def test_what_it_refuses() -> None:
    predict = Predictor(network())
    predict(rows_of(2))
    with pytest.raises(TypeError, match=r"Predictor expects model to be a layer, got"):
        Predictor(Dense)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"expects x of shape \(batch, 3\), got \(2, 4\)"):
        predict(np.ones((2, 4)))
    with pytest.raises(ValueError, match=r"one example is a batch of one"):
        predict(np.ones(3))
    with pytest.raises(ValueError, match="at least one example"):
        predict(np.ones((0, 3)))
    with pytest.raises(TypeError, match="real numbers"):
        predict(np.ones((1, 3), complex))


def test_it_shows_its_model() -> None:
    assert repr(Predictor(Dense(2, 1))) == "Predictor(Dense(2, 1))"
