"""The trainer: resumption bit by bit, metrics against scikit-learn, data of several kinds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minifw
from minifw import (
    BCEWithLogitsLoss,
    Dense,
    Dropout,
    MSELoss,
    NonFiniteError,
    Sequential,
    Trainer,
    metrics,
)

RNG = np.random.default_rng(0)
X = RNG.standard_normal((50, 3))
Y = (X[:, :1] + 0.5 * RNG.standard_normal((50, 1)) > 0).astype(float)


@pytest.mark.parametrize("batch_size", [7, 16, 50])
def test_evaluate_is_the_metric_of_the_whole(batch_size: int) -> None:
    sk = pytest.importorskip("sklearn.metrics")
    model = Sequential(Dense(3, 1, rng=1))
    names = ["accuracy", "binary_accuracy", "precision", "recall", "f1", "roc_auc", "mse", "r2"]
    optimizer = minifw.SGD(model.parameters(), lr=0.1)
    one = Trainer(model, BCEWithLogitsLoss(), optimizer, metrics=names)
    weight = np.random.default_rng(1).random(50)
    found = one.evaluate(X, Y, batch_size=batch_size, sample_weight=weight)
    logits, said = model.predict(X), model.predict(X) > 0
    expected = {
        "loss": BCEWithLogitsLoss()(logits, Y, weight),
        "accuracy": sk.accuracy_score(Y, said, sample_weight=weight),
        "binary_accuracy": sk.accuracy_score(Y, said, sample_weight=weight),
        "precision": sk.precision_score(Y, said, sample_weight=weight),
        "recall": sk.recall_score(Y, said, sample_weight=weight),
        "f1": sk.f1_score(Y, said, sample_weight=weight),
        "roc_auc": sk.roc_auc_score(Y, logits, sample_weight=weight),
        "mse": sk.mean_squared_error(Y, logits, sample_weight=weight),
        "r2": sk.r2_score(Y, logits, sample_weight=weight),
    }
    assert found == pytest.approx(expected, rel=1e-12)


def linear(**kwargs: Any) -> Trainer:
    model = Dense(3, 1, rng=0)
    return Trainer(model, MSELoss(), minifw.SGD(model.parameters(), lr=0.1), rng=1, **kwargs)


def test_a_memory_map_trains_as_the_array_does(tmp_path: Path) -> None:
    for name, array in (("x", X.astype(np.float32)), ("y", Y.astype(np.int8))):
        np.save(tmp_path / f"{name}.npy", array)
    x, y = (np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "xy")
    assert linear().fit(x, y, epochs=3) == linear().fit(X.astype(np.float32), Y, epochs=3)


def test_an_iterable_of_batches_trains_as_the_array_does() -> None:
    batches = [(X[i : i + 16], Y[i : i + 16]) for i in range(0, 50, 16)]
    arrays = linear().fit(X, Y, epochs=3, batch_size=16, shuffle=False)
    assert linear().fit(batches, epochs=3) == arrays
    with pytest.raises(ValueError, match="which gives them once"):
        linear().fit(iter(batches), epochs=2)


def test_a_target_without_its_axis_is_an_error_with_the_fix() -> None:
    with pytest.raises(ValueError, match=r"\(examples, 1\), got \(examples,\); use y\[:, np.newa"):
        linear().fit(X, Y.ravel(), epochs=1)


def test_a_row_that_is_not_finite_is_named() -> None:
    bad = X.copy()
    bad[33, 1] = np.nan
    with pytest.raises(NonFiniteError, match=r"in epoch 1, batch \d of 7; row 33 of x hold"):
        linear().fit(bad, Y, epochs=1, batch_size=8)


def test_a_metric_of_ones_own_gets_the_whole() -> None:
    sizes = []

    def rows(prediction: Any, target: Any) -> float:
        sizes.append((len(prediction), len(target)))
        return 1.0

    linear(metrics=[rows]).fit(X, Y, epochs=2)
    assert sizes == [(50, 50)] * 2


def test_predict_restores_modes_and_keeps_no_caches() -> None:
    model = Sequential(Dense(3, 4, rng=0), Dropout(0.5), Dense(4, 1, rng=1))
    model[1].eval()
    assert model.predict(X, batch_size=7).shape == (50, 1)
    assert [layer.training for layer in model] == [True, False, True]
    with pytest.raises(RuntimeError, match="call forward first"):
        model.backward(np.ones((1, 1)))


def test_accuracy_decides_at_the_midpoint_of_the_loss() -> None:
    logits, target = np.array([[0.2], [-0.2]]), np.array([[1.0], [0.0]])
    assert metrics.accuracy(logits, target) == 0.5
    assert metrics.accuracy.at(0.0)(logits, target) == 1.0
