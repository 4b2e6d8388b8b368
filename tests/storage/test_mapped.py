"""Models whose arrays joblib maps read-only from a file: they predict, and training copies."""

import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

from minifw import (
    LSTM,
    SGD,
    Adam,
    Averaged,
    BatchNorm,
    BCELoss,
    Dense,
    Layer,
    MSELoss,
    Objective,
    Optimizer,
    Sequential,
    Sigmoid,
    Tanh,
    Trainer,
)
from minifw.interop.sklearn import NetworkClassifier, NetworkRegressor

RNG = np.random.default_rng(0)
X = RNG.standard_normal((32, 4))
Y = (X[:, :1] > 0).astype(float)


def mapped(one: Any, folder: Path) -> Any:
    joblib.dump(one, folder / "one.joblib")
    return joblib.load(folder / "one.joblib", mmap_mode="r")


def normalized() -> Sequential:
    return Sequential(Dense(4, 8, rng=0), BatchNorm(8), Tanh(), Dense(8, 1, rng=1), Sigmoid())


def tied() -> Sequential:
    first, second = Dense(4, 4, rng=0), Dense(4, 4, rng=1)
    model = Sequential(first, Tanh(), second, Tanh(), Dense(4, 1, rng=2))
    model[2].weight = model[0].weight
    return model


MODELS = {"BatchNorm": normalized, "tied": tied, "LSTM": lambda: LSTM(4, 1, rng=0)}
OPTIMIZERS = {
    "Adam": lambda parameters: Adam(parameters, lr=0.1),
    "momentum": lambda parameters: SGD(parameters, lr=0.1, momentum=0.9),
    "Averaged": lambda parameters: Averaged(SGD(parameters, lr=0.1)),
}


def trained(model: Layer, optimizer: Optimizer) -> list[bytes]:
    """Return the numbers after a fit."""
    x, y = (X, Y) if not isinstance(model, LSTM) else (X[:, np.newaxis], Y[:, np.newaxis])
    Trainer(model, MSELoss(), optimizer, rng=0).fit(x, y, epochs=2, batch_size=8)
    return [array.tobytes() for array in (*model.state_dict().values(), model.predict(x))]


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)
def test_a_mapped_model_trains_on_as_the_model_itself(
    build: Any, optimizer: Any, tmp_path: Path
) -> None:
    model = build()
    steps = optimizer(model.parameters())
    trained(model, steps)
    twin, twin_steps = mapped((model, steps), tmp_path)
    if isinstance(model, Sequential):
        np.testing.assert_array_equal(twin.predict(X), model.predict(X))
    assert trained(twin, twin_steps) == trained(model, steps)


def test_a_mapped_model_loads_a_state_and_runs_an_authors_loop(tmp_path: Path) -> None:
    model = normalized()
    twin, optimizer = mapped((model, SGD(model.parameters(), lr=0.1)), tmp_path)
    objective = Objective(twin, BCELoss())
    objective.forward(X, Y)
    objective.backward()
    optimizer.step()
    twin.load_state_dict(mapped(model.state_dict(), tmp_path))
    optimizer.load_state_dict(optimizer.state_dict())
    np.testing.assert_array_equal(twin.predict(X), model.predict(X))
    assert all(array.flags.writeable for _, array in twin.named_buffers())


@pytest.mark.parametrize("kind", [NetworkClassifier, NetworkRegressor])
def test_a_mapped_estimator_learns_on(kind: Any, tmp_path: Path) -> None:
    estimator = kind(hidden_layers=(8,), max_epochs=2, tol=None, random_state=0)
    estimator.fit(X, Y.ravel())
    twin = mapped(estimator, tmp_path)
    np.testing.assert_array_equal(twin.predict(X), estimator.predict(X))
    again = twin.partial_fit(X, Y.ravel()).predict(X)
    np.testing.assert_array_equal(again, estimator.partial_fit(X, Y.ravel()).predict(X))


def test_arrays_of_shared_memory_are_copied_once_and_containers_stay() -> None:
    layer, members, shared = Dense(1, 1), [1, 2], np.zeros(2)
    layer.first, layer.more = shared, {"second": [shared]}  # type: ignore[attr-defined]
    layer.members = members  # type: ignore[attr-defined]
    buffers: list[pickle.PickleBuffer] = []
    text = pickle.dumps((layer, members), protocol=5, buffer_callback=buffers.append)
    twin, other = pickle.loads(text, buffers=[bytes(one) for one in buffers])
    assert twin.first.flags.writeable
    assert twin.first is twin.more["second"][0]
    assert twin.members is other
