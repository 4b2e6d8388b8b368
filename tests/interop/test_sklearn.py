"""The estimators in scikit-learn's hands: its own checks, its tools, and its networks beside."""

import functools
import io
import pickle
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array, csc_matrix, csr_array, issparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_iris,
    make_multilabel_classification,
)
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import minifw
from minifw import (
    SGD,
    AdamW,
    Array,
    BatchNorm,
    CosineLR,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    HuberLoss,
    Layer,
    LogSoftmax,
    ReLU,
    Scheduled,
    Sequential,
    Sigmoid,
    Softmax,
    Tanh,
    Trainer,
    minimize,
)
from minifw.interop.onnx import export
from minifw.interop.sklearn import NetworkClassifier, NetworkRegressor

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def scaled(x: Any) -> Array:
    result: Array = StandardScaler().fit_transform(x)
    return result


X_IRIS, Y_IRIS = load_iris(return_X_y=True)
X_IRIS = scaled(X_IRIS)
X_CANCER, Y_CANCER = load_breast_cancer(return_X_y=True)
X_CANCER = scaled(X_CANCER)
X_DIABETES, Y_DIABETES = load_diabetes(return_X_y=True)
X_DIABETES, Y_DIABETES = scaled(X_DIABETES), scaled(Y_DIABETES[:, None])[:, 0]


def quick(**options: Any) -> Any:
    return NetworkClassifier(
        **{
            "hidden_layers": (8,),
            "lr": 0.02,
            "max_epochs": 10,
            "tol": None,
            "random_state": 0,
            **options,
        }
    )


def weights(estimator: Any) -> bytes:
    return b"".join(p.value.tobytes() for p in estimator.model_.parameters())


class Locked(minifw.Callback):
    """Cannot be copied, as a writer of TensorBoard cannot."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


def through_skops(value: Any) -> Any:
    data = skops.io.dumps(value)
    return skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data))


def two_branches(in_features: int, out_features: int, rng: np.random.Generator) -> Layer:
    """Build what a module-level factory builds: it can be pickled."""
    return Sequential(
        Dense(in_features, 6, rng=rng),
        Tanh(),
        Dropout(0.1, rng=rng),
        Dense(6, out_features, rng=rng),
    )


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Let the checks of scikit-learn end training where they like."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


# With the defaults, and nothing that is expected to fail. What it skips: the check for arrays of
# other frameworks, which SCIPY_ARRAY_API=1 turns on, and that of decision_function, which there is
# not (as in MLPClassifier).
@parametrize_with_checks([NetworkClassifier(), NetworkRegressor()])  # type: ignore[untyped-decorator]
def test_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


# -- its tools -----------------------------------------------------------------


def test_in_pipelines_and_searches() -> None:
    pipeline = make_pipeline(StandardScaler(), quick(max_epochs=30))
    grid = {
        "networkclassifier__hidden_layers": [(4,), [8, Dropout(0.1)]],
        "networkclassifier__lr": [0.003, 0.03],
    }
    search = GridSearchCV(pipeline, grid, cv=3).fit(X_IRIS, Y_IRIS)
    assert search.best_score_ > 0.93
    assert search.best_params_["networkclassifier__lr"] == 0.03
    with joblib.parallel_backend("threading"):  # processes would each import scikit-learn
        assert cross_val_score(pipeline, X_IRIS, Y_IRIS, cv=3, n_jobs=2).min() > 0.85
    regressor = NetworkRegressor((8,), lr=0.01, max_epochs=50, tol=None, random_state=0)
    assert cross_val_score(regressor, X_DIABETES, Y_DIABETES).mean() > 0.4


@pytest.mark.parametrize("make", [NetworkClassifier, NetworkRegressor])
def test_a_clone_is_unfitted_and_trains_alike(make: Any) -> None:
    options = {"network": two_branches, "optimizer": functools.partial(SGD, momentum=0.9)}
    fitted = make(max_epochs=3, lr=0.01, random_state=1, **options).fit(X_CANCER, Y_CANCER)
    twin = clone(fitted)
    assert not hasattr(twin, "model_")
    assert repr(twin.get_params()) == repr(fitted.get_params())
    assert weights(twin.fit(X_CANCER, Y_CANCER)) == weights(fitted)


@pytest.mark.parametrize("how", ["pickle", "joblib", "skops"])
@pytest.mark.parametrize("network", [None, two_branches])
def test_copies_predict_alike_and_go_on_alike(how: str, network: Any) -> None:
    fitted = quick(network=network, early_stopping=True).fit(X_IRIS, Y_IRIS)
    file = io.BytesIO()
    if how == "skops":
        twin = through_skops(fitted)
    else:
        module: Any = pickle if how == "pickle" else joblib
        module.dump(fitted, file)
        file.seek(0)
        twin = module.load(file)
    assert np.array_equal(twin.predict_proba(X_IRIS), fitted.predict_proba(X_IRIS))
    for one in (twin, fitted):
        one.partial_fit(X_IRIS, Y_IRIS)
    assert weights(twin) == weights(fitted)


def test_skops_takes_models_with_their_optimizers_and_schedules() -> None:
    """They still belong together: the schedule sets the rate, and the step moves the model."""
    model = Sequential(Dense(4, 3, rng=0), BatchNorm(3), Dropout(0.5, rng=0), Dense(3, 1, rng=0))
    model[0].freeze()
    optimizer = AdamW(model.parameters(), lr=0.1)
    kept: list[Any] = [model, optimizer, CosineLR(optimizer, total_steps=4)]
    found = []
    for one, its_optimizer, its_schedule in (through_skops(kept), kept):
        objective = minifw.Objective(one, minifw.MSELoss())
        for _ in range(3):
            objective.forward(X_IRIS, X_IRIS[:, :1])
            objective.backward()
            its_optimizer.step()
            its_schedule.step()
        frozen = [p.frozen for p in one.parameters()]
        found.append((one.predict(X_IRIS).tobytes(), its_optimizer.lr, frozen))
    assert found[0] == found[1]


def test_tables_of_pandas() -> None:
    table = pd.DataFrame(X_IRIS, columns=["a", "b", "c", "d"])
    names = pd.Series(Y_IRIS).map({0: "setosa", 1: "versicolor", 2: "virginica"})
    fitted = quick(max_epochs=60).fit(table, names)
    assert list(fitted.feature_names_in_) == ["a", "b", "c", "d"]
    assert list(fitted.classes_) == ["setosa", "versicolor", "virginica"]
    assert np.mean(fitted.predict(table) == names) > 0.9
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(table[["d", "c", "b", "a"]])
    columns = pd.DataFrame({"u": Y_DIABETES, "v": -Y_DIABETES})
    several = NetworkRegressor((8,), lr=0.01, tol=None, random_state=0).fit(X_DIABETES, columns)
    assert several.predict(X_DIABETES).shape == (442, 2)
    assert several.score(X_DIABETES, columns) > 0.4


@pytest.mark.parametrize("make", [NetworkClassifier, NetworkRegressor])
@pytest.mark.parametrize(
    "options",
    [
        {"early_stopping": True, "batch_size": 32},
        {"number_encoding": "piecewise"},
        {"preset": "realmlp", "hidden_layers": (8,)},
        {"hidden_layers": [Embedding(9, 2), Flatten()]},
    ],
)
def test_sparse_tables_are_tables(make: Any, options: dict[str, Any]) -> None:
    x = (np.arange(600).reshape(-1, 6) % 7 == 0) * 2.0
    y = np.arange(100) % 2
    options = {"max_epochs": 3, "random_state": 0, **options}
    dense, sparse = make(**options).fit(x, y), make(**options).fit(csr_array(x), y)
    for _ in range(2):
        assert weights(dense) == weights(sparse)
        assert np.array_equal(dense.predict(x), sparse.predict(csc_matrix(x)))
        dense.partial_fit(x, y)
        sparse.partial_fit(coo_array(x), y)


def test_words_that_a_pipeline_makes_sparse() -> None:
    table = pd.DataFrame({"kind": [f"k{i % 30}" for i in range(300)], "size": np.arange(300.0)})
    y = np.arange(300) % 30 % 2
    encoder = ColumnTransformer(
        [("words", OneHotEncoder(), ["kind"]), ("numbers", StandardScaler(), ["size"])]
    )
    pipeline = make_pipeline(encoder, quick(max_epochs=60)).fit(table, y)
    assert issparse(encoder.fit_transform(table))
    assert pipeline.score(table, y) == 1.0


# -- what the parameters mean --------------------------------------------------


@settings(max_examples=10)
@given(st.lists(st.integers(0, 3), min_size=30, max_size=30), st.sampled_from([1, 2]))
def test_a_weight_is_that_many_rows(counts: list[int], classes: int) -> None:
    x, y = X_IRIS[35:125:3], np.minimum(Y_IRIS[35:125:3], classes)
    weight = np.array(counts)
    if len(set(np.repeat(y, weight))) <= classes:
        return
    options = {"class_weight": "balanced", "batch_size": None}
    weighted = quick(**options).fit(x, y, weight)
    repeated = quick(**options).fit(np.repeat(x, weight, axis=0), np.repeat(y, weight))
    assert np.allclose(weighted.predict_proba(x), repeated.predict_proba(x), rtol=1e-9)


def test_class_weights_are_weights_of_the_rows() -> None:
    factors = {0: 0.5, 1: 3.0, 2: 1.0}
    by_class = quick(class_weight=factors).fit(X_IRIS, Y_IRIS)
    by_row = quick().fit(X_IRIS, Y_IRIS, [factors[label] for label in Y_IRIS])
    assert np.array_equal(by_class.predict_proba(X_IRIS), by_row.predict_proba(X_IRIS))
    rare = np.concatenate([np.arange(50, 100), [101, 102]])
    plain, balanced = (
        quick(class_weight=given).fit(X_IRIS[rare], Y_IRIS[rare]) for given in (None, "balanced")
    )
    found = [np.mean(one.predict(X_IRIS[100:]) == 2) for one in (plain, balanced)]
    assert found[0] < 0.5 < found[1]


def test_the_seed_is_all_that_is_random() -> None:
    np.random.seed(0)
    state = np.random.get_state()[1].copy()  # type: ignore[index]
    layers = [8, Dropout(0.3), BatchNorm(8)]
    runs = [
        quick(hidden_layers=layers, batch_size=16, random_state=seed, early_stopping=True).fit(
            X_IRIS, Y_IRIS
        )
        for seed in (3, 3, np.random.RandomState(3), 4)
    ]
    assert weights(runs[0]) == weights(runs[1]) == weights(runs[2]) != weights(runs[3])
    assert weights(runs[0].fit(X_IRIS, Y_IRIS)) == weights(runs[1])  # again, from the start
    assert np.array_equal(np.random.get_state()[1], state)  # type: ignore[index]


@pytest.mark.parametrize("make", [NetworkClassifier, NetworkRegressor])
def test_early_stopping_takes_the_best_weights(make: Any) -> None:
    x, y = (X_CANCER, Y_CANCER) if make is NetworkClassifier else (X_DIABETES, Y_DIABETES)
    held = {"X_val": x[::3], "y_val": y[::3]}
    rows = np.arange(len(x)) % 3 > 0
    options = {"lr": 0.05, "early_stopping": True, "n_iter_no_change": 4, "random_state": 0}
    fitted = make((32,), **options).fit(x[rows], y[rows], **held)
    losses = fitted.history_["val_loss"]
    assert fitted.best_epoch_ == int(np.argmin(losses)) + 1 == fitted.n_iter_ - 4
    scores = fitted.validation_scores_
    assert len(scores) == len(fitted.loss_curve_) == fitted.n_iter_
    assert fitted.score(x[::3], y[::3]) == pytest.approx(scores[fitted.best_epoch_ - 1])
    own = make((32,), **options).fit(x, y)  # a part of its own
    assert own.n_iter_ < 200
    assert len(own.validation_scores_) == own.n_iter_
    assert "best" not in repr(own)


def test_the_curve_is_recorded_without_stopping_too() -> None:
    fitted = quick().fit(X_IRIS, Y_IRIS, X_val=X_IRIS, y_val=Y_IRIS, sample_weight_val=Y_IRIS + 1)
    assert fitted.history_.columns == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert fitted.n_iter_ == fitted.best_epoch_ == 10
    assert fitted.validation_scores_[-1] == fitted.score(X_IRIS, Y_IRIS, Y_IRIS + 1)
    assert quick().fit(X_IRIS, Y_IRIS).validation_scores_ is None


def test_it_stops_where_the_loss_stands_still_or_says_that_it_did_not() -> None:
    stopped = quick(tol=1e-3, max_epochs=1000, n_iter_no_change=5).fit(X_IRIS, Y_IRIS)
    loss = stopped.loss_curve_
    assert stopped.n_iter_ == len(loss) < 1000
    lowest = np.minimum.accumulate([np.inf, *loss[:-1]])
    assert (np.array(loss) > lowest - 1e-3)[-5:].all()
    assert "the loss did not fall by tol=0.001 for 5 epochs" in stopped.history_.stopped
    with pytest.warns(ConvergenceWarning, match=r"NetworkClassifier.fit: .* after all 3 epochs"):
        quick(tol=1e-9, max_epochs=3).fit(X_IRIS, Y_IRIS)


def test_partial_fits_are_the_epochs_of_a_fit() -> None:
    whole = quick(batch_size=32, max_epochs=4).fit(X_IRIS, Y_IRIS)
    parts = quick(batch_size=32)
    for _ in range(4):
        parts.partial_fit(X_IRIS, Y_IRIS, classes=[0, 1, 2])
    assert weights(parts) == weights(whole)
    assert parts.loss_curve_ == whole.loss_curve_
    assert parts.n_iter_ == 4
    one_class = parts.partial_fit(X_IRIS[:5], Y_IRIS[:5])  # the others came before
    assert one_class.predict(X_IRIS).shape == (150,)
    fit = NetworkRegressor((4,), max_epochs=2, tol=None, random_state=0)
    two = NetworkRegressor((4,), random_state=0)
    fit.fit(X_DIABETES, Y_DIABETES)
    two.partial_fit(X_DIABETES, Y_DIABETES).partial_fit(X_DIABETES, Y_DIABETES)
    assert weights(fit) == weights(two)


def test_a_warm_start_goes_on() -> None:
    whole = quick(max_epochs=6).fit(X_IRIS, Y_IRIS)
    warm = quick(max_epochs=2, warm_start=True)
    for _ in range(3):
        warm.fit(X_IRIS, Y_IRIS)
    assert weights(warm) == weights(whole)


def test_a_warm_start_begins_its_schedule_at_the_learning_rate() -> None:
    """The second of two fits with a cosine is as if it began with the weights of the first."""

    def falling(trainer: Trainer) -> minifw.Callback:
        return Scheduled(CosineLR(trainer.optimizer, total_steps=4))

    warm = quick(optimizer="sgd", max_epochs=4, warm_start=True, callbacks=[falling])
    warm.fit(X_IRIS, Y_IRIS)
    before = weights(warm)
    assert warm.optimizer_.lr < 1e-300
    rates: list[float] = []

    class Rates(minifw.Callback):
        def on_epoch_begin(self, trainer: Trainer) -> None:
            rates.append(trainer.optimizer.lr)

    warm.set_params(callbacks=[falling, Rates()]).fit(X_IRIS, Y_IRIS)
    assert weights(warm) != before
    np.testing.assert_allclose(rates, 0.02 * (1 + np.cos(np.pi * np.arange(4) / 4)) / 2)


def test_callbacks_and_optimizers_of_ones_own() -> None:
    rates: list[float] = []

    class Rates(minifw.Callback):
        def on_batch_end(self, trainer: Trainer) -> None:
            rates.append(trainer.optimizer.lr)

    def falling(trainer: Trainer) -> minifw.Callback:
        return Scheduled(CosineLR(trainer.optimizer, total_steps=10))

    fitted = quick(
        optimizer=functools.partial(AdamW, weight_decay=0.1), callbacks=[falling, Rates()]
    ).fit(X_IRIS, Y_IRIS)
    assert rates[0] == 0.02 > rates[5] > rates[9]
    assert fitted.optimizer_.weight_decay == 0.1
    assert [type(one).__name__ for one in fitted.callbacks_] == ["Scheduled", "Rates"]
    decayed = quick(optimizer="sgd", weight_decay=0.5).fit(X_IRIS, Y_IRIS)
    assert decayed.optimizer_.weight_decay == 0.5


def test_ctrl_c_leaves_the_network_so_far() -> None:
    class Press(minifw.Callback):
        def on_batch_end(self, trainer: Trainer) -> None:
            if trainer.step == 7:
                signal.raise_signal(signal.SIGINT)

    estimator = quick(batch_size=50, callbacks=[Press()])
    with pytest.warns(
        UserWarning, match="NetworkClassifier: interrupted in epoch 3, after batch 1"
    ):
        estimator.fit(X_IRIS, Y_IRIS)
    assert estimator.n_iter_ == 2
    assert estimator.predict(X_IRIS).shape == (150,)


def test_verbose_prints(capsys: pytest.CaptureFixture[str]) -> None:
    quick(verbose=True, max_epochs=2).fit(X_IRIS, Y_IRIS)
    assert capsys.readouterr().out.startswith("epoch 1/2  loss ")


def test_the_rate_is_lowered_where_the_loss_stands_still() -> None:
    rates: list[float] = []

    class Rates(minifw.Callback):
        def on_epoch_end(self, trainer: Trainer) -> None:
            rates.append(trainer.optimizer.lr)

    options = {"schedule": "adaptive", "tol": 0.3, "n_iter_no_change": 2, "max_epochs": 200}
    for early in (False, True):
        rates.clear()
        fitted = quick(early_stopping=early, callbacks=[Rates()], **options).fit(X_IRIS, Y_IRIS)
        steps = np.flatnonzero(np.diff(rates))
        assert np.allclose(np.unique(rates)[::-1], 0.02 / 5.0 ** np.arange(8))
        assert (np.diff(steps)[1:] == 2).all()  # the loss moves too little for this tol
        assert fitted.optimizer_.lr < 1e-6 < rates[steps[-1]]
        assert fitted.n_iter_ == steps[-1] + 3
        assert "the loss did not fall by tol=0.3" in fitted.history_.stopped


def test_a_schedule_is_a_function_of_the_optimizer() -> None:
    falling = functools.partial(CosineLR, total_steps=10)
    fitted = quick(schedule=falling).fit(X_IRIS, Y_IRIS)
    own = quick(callbacks=[lambda trainer: Scheduled(falling(trainer.optimizer))])
    assert weights(fitted) == weights(own.fit(X_IRIS, Y_IRIS))
    assert weights(pickle.loads(pickle.dumps(fitted)).fit(X_IRIS, Y_IRIS)) == weights(fitted)
    lowered = functools.partial(minifw.ReduceOnPlateau, patience=0, threshold=0.5)
    for held in ({}, {"X_val": X_IRIS, "y_val": Y_IRIS}):
        assert quick(schedule=lowered).fit(X_IRIS, Y_IRIS, **held).optimizer_.lr < 0.02


def test_no_patience_is_infinite() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # all epochs were asked for: none is too few
        assert quick(tol=1e9, n_iter_no_change=np.inf).fit(X_IRIS, Y_IRIS).n_iter_ == 10


def test_lbfgs_takes_all_rows_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    fitted = quick(optimizer="lbfgs", tol=1e-3, max_epochs=500, weight_decay=0.01)
    fitted.fit(X_IRIS, Y_IRIS)
    assert "CONVERGENCE" in fitted.history_.stopped
    assert fitted.score(X_IRIS, Y_IRIS) > 0.97
    assert not hasattr(fitted, "partial_fit")
    assert (np.diff(fitted.loss_curve_) <= 0).all()
    twin = quick(optimizer=minimize, max_epochs=500, weight_decay=0.01).fit(X_IRIS, Y_IRIS)
    assert twin.loss_curve_[-1] == pytest.approx(fitted.loss_curve_[-1], rel=0.02)
    short = quick(optimizer="lbfgs", tol=1e-3, max_epochs=3, warm_start=True, verbose=True)
    with pytest.warns(ConvergenceWarning, match="after epoch 3, before .* raise max_epochs"):
        short.fit(X_IRIS, Y_IRIS)
    assert capsys.readouterr().out.startswith("iteration 1/3  loss ")
    lowest = short.loss_curve_[-1]
    short.set_params(weight_decay=1e-5, lr=3.0, verbose=False).fit(X_IRIS, Y_IRIS)
    assert short.loss_curve_[0] < lowest
    with pytest.raises(ValueError, match="another optimizer"):
        short.set_params(optimizer="adam").fit(X_IRIS, Y_IRIS)
    before = weights(short)
    with pytest.raises(minifw.NonFiniteError):
        short.set_params(optimizer="lbfgs").fit(X_IRIS * 1e200, Y_IRIS)
    assert weights(short) == before
    evaluations = functools.partial(minimize, options={"maxfun": 5})
    with pytest.warns(ConvergenceWarning, match="EXCEEDS LIMIT"):
        quick(optimizer=evaluations, tol=1e-3).fit(csr_array(X_IRIS), Y_IRIS)
    weight = Y_IRIS + 1
    rows = np.repeat(np.arange(150), weight)
    weighted = quick(optimizer="lbfgs").fit(X_IRIS, Y_IRIS, weight)
    repeated = quick(optimizer="lbfgs").fit(X_IRIS[rows], Y_IRIS[rows])
    assert np.allclose(weighted.predict_proba(X_IRIS), repeated.predict_proba(X_IRIS), rtol=1e-6)


def test_ctrl_c_leaves_lbfgs_at_its_lowest_cost() -> None:
    class Press(minifw.CrossEntropyLoss):
        calls = 0

        def forward(self, *args: Any, **kwargs: Any) -> float:
            Press.calls += 1
            if Press.calls == 12:
                signal.raise_signal(signal.SIGINT)
            return super().forward(*args, **kwargs)

    regressor = NetworkRegressor((4,), loss=Press(), optimizer="lbfgs", random_state=0)
    with pytest.warns(UserWarning, match=r"NetworkRegressor: interrupted after epoch \d"):
        regressor.fit(X_IRIS, np.eye(3)[Y_IRIS])
    assert 1 < regressor.n_iter_ < 12


# -- networks of all kinds -----------------------------------------------------


@pytest.mark.parametrize("last", [None, Sigmoid(), Softmax(), LogSoftmax()])
def test_what_a_network_ends_in_is_read_right(last: Layer | None) -> None:
    """Whatever the last layer is, it is the same network."""
    outputs = 1 if isinstance(last, Sigmoid) else 2
    layers = [Dense(30, outputs, rng=0), *([] if last is None else [last])]
    plain = Sequential(Dense(30, outputs, rng=0))
    fitted, logits = (
        quick(network=network).fit(X_CANCER, Y_CANCER) for network in (Sequential(*layers), plain)
    )
    p = fitted.predict_proba(X_CANCER)
    assert p.shape == (569, 2)
    assert np.allclose(p, logits.predict_proba(X_CANCER), rtol=1e-9, atol=1e-300)
    assert np.allclose(p.sum(axis=1), 1)
    assert np.allclose(np.exp(fitted.predict_log_proba(X_CANCER)), p)
    assert np.array_equal(fitted.predict(X_CANCER), p.argmax(axis=1))
    assert fitted.score(X_CANCER, Y_CANCER) > 0.9


def test_log_probabilities_do_not_round_to_minus_infinity() -> None:
    for y in (Y_IRIS, Y_IRIS > 0):
        logs = quick().fit(X_IRIS, y).predict_log_proba(X_IRIS * 1e5)
        assert np.isfinite(logs).all()
        assert logs.min() < -750  # whose exponential is 0


@pytest.mark.parametrize("last", [None, Sigmoid(), Softmax(), LogSoftmax()])
def test_log_probabilities_are_exact_whatever_the_network_ends_in(last: Layer | None) -> None:
    """Of two logits whose difference is 800: log p is -800 - log(1 + exp(-800)), so -800."""
    outputs = 1 if isinstance(last, Sigmoid) else 2
    layers = [Dense(30, outputs, rng=0), *([] if last is None else [last])]
    for training in (False, True):
        fitted = quick(network=Sequential(*layers)).fit(X_CANCER, Y_CANCER)
        fitted.model_[0].weight.value = np.zeros((outputs, 30))
        fitted.model_[0].bias.value = [-800.0] if outputs == 1 else [0.0, -800.0]
        fitted.model_.train(training)
        assert fitted.predict_log_proba(X_CANCER[:1]).tolist() == [[0.0, -800.0]]
        fitted.model_[0].bias.value = [800.0] if outputs == 1 else [0.0, 800.0]
        assert fitted.predict_log_proba(X_CANCER[:1]).tolist() == [[-800.0, 0.0]]
        assert fitted.predict_proba(X_CANCER[:1]).tolist() == [[0.0, 1.0]]
    with pytest.raises(NotFittedError):
        quick(network=Sequential(*layers)).predict_log_proba(X_CANCER)


def test_layers_among_the_hidden_ones() -> None:
    images = X_IRIS[:, [0, 1, 2, 3]]
    layers = [
        minifw.Reshape((1, 2, 2)),
        minifw.Conv2D(1, 4, 2),
        Flatten(),
        ReLU(),
        8,
        Dropout(0.1),
    ]
    fitted = quick(hidden_layers=layers, max_epochs=60).fit(images, Y_IRIS)
    assert fitted.score(images, Y_IRIS) > 0.9
    names = [type(layer).__name__ for layer in fitted.model_]
    assert names[-4:] == ["Dense", "ReLU", "Dropout", "Dense"]
    no_layer = quick(hidden_layers=()).fit(X_IRIS, Y_IRIS)
    assert len(no_layer.model_) == 1
    nested = quick(hidden_layers=[minifw.Residual(Dense(4, 4)), 4]).fit(X_IRIS, Y_IRIS)
    assert weights(nested.fit(X_IRIS, Y_IRIS)) == weights(clone(nested).fit(X_IRIS, Y_IRIS))


def test_float32_and_whole_numbers() -> None:
    narrow = quick().fit(X_IRIS.astype(np.float32), Y_IRIS)
    assert narrow.predict_proba(X_IRIS).dtype == np.float32
    other = quick(hidden_layers=[Dense(4, 8, dtype=np.float32), Tanh(), 4]).fit(X_IRIS, Y_IRIS)
    assert other.predict_proba(X_IRIS).dtype == np.float32
    codes = np.arange(60).reshape(-1, 2) % 5
    words = quick(hidden_layers=[Embedding(5, 3), Flatten()], max_epochs=200)
    words.fit(codes, codes[:, 0] > 2)
    assert words.score(codes, codes[:, 0] > 2) == 1
    with pytest.raises(ValueError, match="NetworkClassifier: the network takes whole numbers"):
        words.predict(codes + 0.5)


def test_several_labels() -> None:
    x, y = make_multilabel_classification(n_samples=150, n_classes=4, random_state=0)
    x = scaled(x)
    fitted = quick(max_epochs=100).fit(x, y, X_val=x[:9], y_val=y[:9])
    p = fitted.predict_proba(x)
    assert p.shape == (150, 4)
    assert np.array_equal(fitted.predict(x), p > 0.5)
    assert np.mean(fitted.predict(x) == y) > 0.8
    assert fitted.validation_scores_[-1] == np.mean(fitted.predict(x[:9]) == y[:9])
    assert quick(early_stopping=True).fit(x, y).n_iter_ > 0
    assert fitted.predict_log_proba(x).shape == (150, 4)
    quick(class_weight="balanced").fit(x, y)
    with pytest.raises(ValueError, match="columns of 0 and 1 of 4 classes"):
        fitted.partial_fit(x, y[:, 0])


def test_another_loss_of_the_regressor() -> None:
    y = Y_DIABETES.copy()
    y[::20] += 100
    fits = [
        NetworkRegressor((), loss=loss, lr=0.05, tol=None, random_state=0).fit(X_DIABETES, y)
        for loss in (None, HuberLoss())
    ]
    square, huber = (one.score(X_DIABETES, Y_DIABETES) for one in fits)
    assert square < 0 < huber


# -- scikit-learn's networks beside ---------------------------------------------


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_it_learns_what_mlp_learns_from_the_same_start(optimizer: str) -> None:
    """Full batches and equal weights: after 30 epochs both say the same.

    But for eps, which scikit-learn adds to sqrt(v), not to sqrt(v').
    """
    theirs: Any
    for y, classes in ((Y_IRIS, 3), (Y_IRIS > 0, 1), (X_IRIS[:, 0] * 2 + 1, 0)):
        make: Any = MLPClassifier if classes else MLPRegressor
        options = {"hidden_layer_sizes": (6,), "batch_size": 150, "alpha": 0.3, "random_state": 0}
        theirs = make(max_iter=1, learning_rate_init=1e-300, **options).fit(X_IRIS, y)
        pairs = list(zip(theirs.coefs_, theirs.intercepts_, strict=True))
        theirs = make(max_iter=30, learning_rate_init=0.01, warm_start=True, **options)
        theirs.set_params(tol=0, n_iter_no_change=100, solver=optimizer)
        theirs.fit(X_IRIS, y)

        def network(
            _in: int, _out: int, _rng: object, pairs: list[tuple[Array, Array]] = pairs
        ) -> Layer:
            dense = [Dense(*w.shape) for w, _ in pairs]
            for layer, (w, b) in zip(dense, pairs, strict=True):
                layer.weight.value, layer.bias.value = w.T, b  # type: ignore[union-attr]
            return Sequential(dense[0], ReLU(), dense[1])

        ours: Any = NetworkClassifier if classes else NetworkRegressor
        decay = (1 if classes else 2) * 0.3 / 150
        own = {} if classes else {"normalize_target": False}
        fitted = ours(network=network, tol=None, lr=0.01, weight_decay=decay, **own)
        fitted.set_params(optimizer=optimizer, max_epochs=30).fit(X_IRIS, y)
        method = "predict_proba" if classes else "predict"
        mine, other = (getattr(one, method)(X_IRIS) for one in (fitted, theirs))
        assert np.allclose(mine, other, rtol=1e-3 if optimizer == "adam" else 1e-8, atol=1e-9)


# -- what is refused ------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"hidden_layers": 8}, TypeError, r"NetworkClassifier.fit expects hidden_layers .*\(8,\)"),
        ({"hidden_layers": (0,)}, ValueError, r"hidden_layers\[0\] to be at least 1"),
        ({"hidden_layers": [Tanh]}, TypeError, r"hidden_layers\[0\].*write Tanh\(\.\.\.\)"),
        ({"hidden_layers": [Dense(5, 2)]}, ValueError, r"of shape \(5,\), but gets \(4,\)"),
        ({"hidden_layers": [minifw.Reshape((2, 2)), 3]}, ValueError, r"put Flatten\(\) there"),
        ({"activation": "rely"}, ValueError, "activation to be one of relu, tanh"),
        ({"activation": 3}, TypeError, "activation to be a name"),
        ({"network": 3}, TypeError, "network to be a function"),
        ({"network": lambda *_: 3}, TypeError, "to return a layer, it returned an int"),
        ({"network": Dense(4, 2)}, ValueError, "to give 3 numbers for 3 classes, it gives 2"),
        ({"network": Sequential(Dense(4, 3), Sigmoid())}, ValueError, r"end it in Softmax\(\)"),
        (
            {"network": minifw.Reshape((2, 2))},
            ValueError,
            r"a row of numbers .*Dense\(\.\.\., 3\)",
        ),
        ({"optimizer": "bfgs"}, ValueError, "one of adam, .*adagrad, lbfgs, or a class"),
        ({"optimizer": "lbfgs", "early_stopping": True}, ValueError, "leave out early_stopping"),
        ({"optimizer": "lbfgs", "preset": "realmlp"}, ValueError, "leave out .* and preset"),
        ({"optimizer": "lbfgs", "hidden_layers": [4, Dropout(0.5)]}, ValueError, "leave out Drop"),
        ({"schedule": "invscaling"}, TypeError, "schedule to be 'adaptive', or a class"),
        ({"schedule": lambda: 3}, TypeError, r"calls schedule\(optimizer\), but"),
        ({"callbacks": [Locked()]}, TypeError, r"callbacks\[0\], a Locked, .*lambda trainer"),
        ({"optimizer": 3}, TypeError, "optimizer to be a name, or a class"),
        ({"optimizer": lambda *_, **__: 3}, TypeError, "to return an optimizer, it returned"),
        ({"lr": 0}, ValueError, "lr to be finite and above 0"),
        ({"weight_decay": -1}, ValueError, "weight_decay to be finite and at least 0"),
        ({"batch_size": "all"}, ValueError, "batch_size to be 'auto', a whole number or None"),
        ({"batch_size": 0}, ValueError, "batch_size to be at least 1"),
        ({"max_epochs": 0}, ValueError, "NetworkClassifier.fit expects max_epochs"),
        ({"tol": -1}, ValueError, "tol to be finite and at least 0"),
        ({"n_iter_no_change": 0}, ValueError, "n_iter_no_change to be at least 1"),
        ({"shuffle": 1}, TypeError, "shuffle to be True or False"),
        ({"early_stopping": 1}, TypeError, "early_stopping to be True or False"),
        ({"early_stopping": True, "validation_fraction": 1}, ValueError, "between 0 and 1"),
        ({"early_stopping": True, "validation_fraction": 0.999}, ValueError, "of 150 rows"),
        ({"callbacks": "Watch"}, TypeError, "a list of callbacks"),
        ({"callbacks": [3]}, TypeError, "expects callbacks, got an int"),
        ({"class_weight": {7: 1.0}}, ValueError, "class"),
    ],
)
def test_wrong_parameters(options: dict[str, Any], error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        quick(**options).fit(X_IRIS, Y_IRIS)


def test_wrong_data() -> None:
    classifier = quick()
    with pytest.raises(NotFittedError):
        classifier.predict(X_IRIS)
    with pytest.raises(ValueError, match="2 classes or more, got 1 class"):
        classifier.fit(X_IRIS[:50], Y_IRIS[:50])
    with pytest.raises(ValueError, match="sample_weight to be at least 0"):
        classifier.fit(X_IRIS, Y_IRIS, -np.ones(150))
    with pytest.raises(ValueError, match="both X_val and y_val"):
        classifier.fit(X_IRIS, Y_IRIS, X_val=X_IRIS)
    with pytest.raises(ValueError, match=r"among the classes \[0, 1, 2\], got .*3"):
        classifier.fit(X_IRIS, Y_IRIS, X_val=X_IRIS, y_val=Y_IRIS + 1)
    classifier.fit(X_IRIS, Y_IRIS)
    for text in (np.array(["a"] * 150), np.array(["a"] * 150, object)):
        with pytest.raises(ValueError, match=r"among the classes \[0, 1, 2\], got .*a"):
            classifier.partial_fit(X_IRIS, text)
    with pytest.raises(ValueError, match="expects classes in its first call"):
        quick().partial_fit(X_IRIS, Y_IRIS)
    with pytest.raises(ValueError, match=r"of its first call, \[0, 1, 2\], got \[0, 1\]"):
        classifier.fit(X_IRIS, Y_IRIS).partial_fit(X_IRIS, Y_IRIS, classes=[0, 1])
    with pytest.raises(ValueError, match="cannot balance classes"):
        quick(class_weight="balanced").partial_fit(X_IRIS, Y_IRIS, classes=[0, 1, 2])
    regressor = NetworkRegressor((4,), max_epochs=1, tol=None).fit(X_IRIS, X_IRIS[:, :2])
    with pytest.raises(ValueError, match="y to have 2 columns, as in the first fit, got 3"):
        regressor.partial_fit(X_IRIS, X_IRIS[:, :3])
    with pytest.raises(ValueError, match="to give 1 numbers, as y has, it gives 2"):
        NetworkRegressor(network=Dense(4, 2)).fit(X_IRIS, Y_IRIS)
    with pytest.raises(TypeError, match=r"loss to be a loss, .*write HuberLoss\(\)"):
        NetworkRegressor(loss=HuberLoss).fit(X_IRIS, Y_IRIS)
    for name, fix in (
        ("squared_error", "MSELoss"),
        ("huber", "HuberLoss"),
        ("mse", "such as MSE"),
    ):
        with pytest.raises(TypeError, match=f"got '{name}'; write .*{fix}"):
            NetworkRegressor(loss=name).fit(X_IRIS, Y_IRIS)
    with pytest.raises(TypeError, match='got a NoneType; for none at all write "identity"'):
        quick(activation=None).fit(X_IRIS, Y_IRIS)
    with pytest.raises(TypeError, match=r"calls activation\(\), but Dense.*'in_features'"):
        quick(activation=Dense).fit(X_IRIS, Y_IRIS)
    with (
        pytest.warns(minifw.TrainingWarning, match="loss has grown"),
        pytest.raises(minifw.NonFiniteError, match=r"not finite.*; take a smaller lr than 1e"),
    ):
        NetworkRegressor((4,), optimizer="sgd", lr=1e9).fit(X_IRIS, Y_IRIS)


def test_what_keeps_a_network_from_learning_is_told_once() -> None:
    x = X_IRIS * [1, 1e5, 1, 1]
    with pytest.warns(minifw.TrainingWarning, match="columns of x differ in scale"):
        quick(max_epochs=1).fit(x, Y_IRIS)
    fitted = quick()
    with pytest.warns(minifw.TrainingWarning, match="columns of x differ in scale"):
        fitted.partial_fit(x, Y_IRIS, classes=[0, 1, 2])
    fitted.partial_fit(x, Y_IRIS)
    assert (
        quick(hidden_layers=(8, 8), activation="identity").fit(X_IRIS, Y_IRIS).n_iter_ > 1
    )  # it is meant


def test_to_export_an_estimator_is_to_export_its_network() -> None:
    with pytest.raises(TypeError, match=r"expects a layer, got a NetworkClassifier; .* \.model_"):
        export(quick().fit(X_IRIS, Y_IRIS), "iris.onnx")


def test_without_scikit_learn_it_names_the_extra() -> None:
    code = "import sys; sys.modules['sklearn'] = None; import minifw.interop.sklearn"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert "ImportError: minifw.interop.sklearn needs scikit-learn; " in result.stderr
    assert "minifw[sklearn]" in result.stderr.splitlines()[-1]


# -- found by fresh eyes ----------------------------------------------------------


@pytest.mark.parametrize(("n", "size"), [(141, "auto"), (141, 20), (7, 3), (9, 2), (3, 2), (5, 4)])
def test_no_batch_of_one_row_where_batch_norm_would_refuse_it(n: int, size: Any) -> None:
    class Sizes(minifw.Callback):
        sizes: ClassVar[list[int]] = []

        def on_batch_end(self, trainer: Trainer) -> None:
            self.sizes.append(len(trainer.batch_x))

    y = np.arange(n) % 2
    layers = [4, BatchNorm(4)]
    Sizes.sizes.clear()
    quick(hidden_layers=layers, batch_size=size, max_epochs=1, callbacks=[Sizes()]).fit(
        X_IRIS[:n], y
    )
    assert sum(Sizes.sizes) == n
    assert min(Sizes.sizes) > 1
    quick(hidden_layers=layers).fit(X_CANCER[:201, :4], Y_CANCER[:201])  # the default, 200


def test_a_warm_start_sees_what_was_changed() -> None:
    warm = quick(warm_start=True, hidden_layers=[8, Dropout(0.1)]).fit(X_IRIS, Y_IRIS)
    warm.set_params(lr=0.5, weight_decay=0.1, hidden_layers=(np.int64(8), Dropout(0.1)))
    warm.fit(X_IRIS, Y_IRIS)
    assert (warm.optimizer_.lr, warm.optimizer_.weight_decay) == (0.5, 0.1)
    assert warm.set_params(lr=0.1).partial_fit(X_IRIS, Y_IRIS).optimizer_.lr == 0.1
    for name, value in {
        "optimizer": "sgd",
        "hidden_layers": (5,),
        "activation": "tanh",
        "network": two_branches,
    }.items():
        old = warm.get_params()[name]
        with pytest.raises(ValueError, match=f"another {name} than .*; fit without warm_start"):
            warm.set_params(**{name: value}).fit(X_IRIS, Y_IRIS)
        warm.set_params(**{name: old})
    own = quick(warm_start=True, optimizer=functools.partial(SGD, momentum=0.9))
    own.fit(X_IRIS, Y_IRIS).set_params(optimizer=functools.partial(SGD, momentum=0.9))
    own.fit(X_IRIS, Y_IRIS)
    with pytest.raises(ValueError, match="another weight_decay"):
        own.set_params(weight_decay=0.1).fit(X_IRIS, Y_IRIS)
    regressor = NetworkRegressor((4,), max_epochs=2, tol=None, warm_start=True, random_state=0)
    regressor.fit(X_DIABETES, Y_DIABETES).set_params(loss=HuberLoss()).fit(X_DIABETES, Y_DIABETES)
    assert isinstance(regressor._loss, HuberLoss)


def test_a_class_that_counts_nothing_is_balanced_with_0() -> None:
    weight = (Y_IRIS > 0).astype(float)
    balanced = quick(class_weight="balanced").fit(X_IRIS, Y_IRIS, weight)
    plain = quick().fit(X_IRIS, Y_IRIS, weight)  # the two that count are as many
    assert np.allclose(balanced.predict_proba(X_IRIS), plain.predict_proba(X_IRIS))


def test_early_stopping_takes_few_rows_and_many_classes() -> None:
    y = np.arange(60) % 12
    assert len(quick(early_stopping=True).fit(X_IRIS[:60], y).classes_) == 12
    for n in (4, 5):
        assert quick(early_stopping=True).fit(X_IRIS[:n], np.arange(n) % 2).n_iter_ > 0


def test_a_part_without_weight_is_named() -> None:
    for part, count in (("validation", 1), ("training", 0)):
        found = []
        for seed in range(20):
            weight = np.zeros(10)
            weight[3] = 1
            fraction = 0.1 if count else 0.9
            estimator = quick(early_stopping=True, random_state=seed, validation_fraction=fraction)
            try:
                estimator.fit(X_IRIS[46:56], Y_IRIS[46:56], weight)
            except ValueError as error:
                found.append(str(error))
        assert any(f"rows of the {part} part to count" in text for text in found)
    with pytest.raises(ValueError, match="fit cannot take sample_weight_val"):
        quick().fit(X_IRIS, Y_IRIS, X_val=X_IRIS, y_val=Y_IRIS, sample_weight_val=0 * Y_IRIS)
    with pytest.raises(ValueError, match="of the 150 rows to count"):
        quick(class_weight={0: 0, 1: 0, 2: 0}).fit(X_IRIS, Y_IRIS)


def test_after_an_error_it_is_what_it_was() -> None:
    x = X_IRIS.copy()
    bad = {"optimizer": "sgd", "lr": 1e200, "batch_size": 20}
    new = quick(**bad)
    with pytest.raises(minifw.NonFiniteError):
        new.fit(x * 1e100, Y_IRIS)
    with pytest.raises(NotFittedError):
        new.predict(x)
    with pytest.raises(minifw.NonFiniteError):
        new.partial_fit(x * 1e100, Y_IRIS, classes=[0, 1, 2])
    with pytest.raises(NotFittedError):
        new.predict(x)
    layers = [8, Dropout(0.3), BatchNorm(8)]
    fitted, twin = (quick(hidden_layers=layers).fit(x, Y_IRIS) for _ in range(2))
    old, before, history = fitted.get_params(), weights(fitted), fitted.history_
    with pytest.raises(ValueError, match="scale the data"):  # by BatchNorm
        fitted.set_params(**bad).fit(x[:, :3] * 1e100, Y_IRIS)
    assert weights(fitted) == before
    assert fitted.n_features_in_ == 4
    fitted.set_params(**old)

    class Fail(minifw.Callback):
        def on_epoch_end(self, trainer: Trainer) -> None:
            del trainer
            raise OSError("no space left")

    for warm in (True, False):
        fitted.set_params(callbacks=[Fail()], warm_start=warm, lr=0.5)
        with pytest.raises(OSError, match="no space"):
            fitted.fit(x, Y_IRIS) if warm else fitted.partial_fit(x, Y_IRIS)
        assert weights(fitted) == before
        assert fitted.history_ is history
    fitted.set_params(**old).partial_fit(x, Y_IRIS)
    assert weights(fitted) == weights(twin.partial_fit(x, Y_IRIS))  # the noise goes on alike


def test_weights_that_overflow_are_refused() -> None:
    huge = np.full(150, 1e308)
    with pytest.raises(ValueError, match="fit expects the sum of sample_weight to be finite"):
        quick().fit(X_IRIS, Y_IRIS, huge)
    with pytest.raises(ValueError, match="sample_weight times class_weight"):
        quick(class_weight={0: 1e10, 1: 1, 2: 1}).fit(X_IRIS, Y_IRIS, huge / 1e4)
    model = Dense(4, 1, rng=0)
    trainer = Trainer(model, minifw.MSELoss(), SGD(model.parameters(), lr=1e-3), rng=0)
    with pytest.raises(minifw.NonFiniteError, match="scale sample_weight"):
        target = 1e4 * np.ones((150, 1))
        trainer.fit(X_IRIS, target, epochs=1, sample_weight=huge / 1e3)


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"callbacks": [minifw.EarlyStopping()]}, ValueError, "give fit X_val and y_val"),
        ({"random_state": np.random.default_rng(0)}, TypeError, r"pass int\(rng\.integers"),
        ({"random_state": -1}, ValueError, "random_state=-1"),
        ({"random_state": "a"}, TypeError, "random_state to be an int, a RandomState or None"),
        (
            {"network": lambda a, b: Dense(a, b + 0)},
            TypeError,
            r"calls network\(in_features",
        ),
        ({"optimizer": lambda p: SGD(p, 0.1)}, TypeError, r"optimizer\(parameters, lr=\.\.\.\)"),
        (
            {"optimizer": lambda p, lr: SGD(p, lr + 0), "weight_decay": 0.1},
            TypeError,
            r"lr=\.\.\., weight_decay=\.\.\., no_decay=\.\.\.\), but <lambda>\(p, lr\) does not",
        ),
        ({"callbacks": [lambda: None]}, TypeError, r"calls callbacks\[0\]\(trainer\)"),
        ({"class_weight": {0: -1, 1: 1, 2: 1}}, ValueError, "every class_weight to be finite"),
        (
            {"network": minifw.Graph("a", "b", s=(minifw.Add(), "a", "b"), y=Dense(4, 3))},
            TypeError,
            r"one table .* has the inputs \(a, b\); train it with minifw\.Trainer",
        ),
        (
            {
                "network": minifw.Graph(
                    "x", h=Dense(4, 3), k=(Dense(4, 3), "x"), outputs=("h", "k")
                )
            },
            TypeError,
            r"gives one prediction, .* has the outputs \(h, k\)",
        ),
        (
            {"hidden_layers": [minifw.Graph("a", "b", s=(minifw.Add(), "a", "b"))]},
            TypeError,
            "one t",
        ),
        ({"class_weight": {0: np.nan, 1: 1, 2: 1}}, ValueError, "every class_weight to be"),
    ],
)
def test_what_else_is_refused(
    options: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        quick(**options).fit(X_IRIS, Y_IRIS)


def test_targets_and_weights_of_several_columns() -> None:
    with pytest.raises(ValueError, match=r"multiclass-multioutput.*MultiOutputClassifier"):
        quick().fit(X_IRIS, np.c_[Y_IRIS, Y_IRIS])
    labels = np.c_[Y_IRIS > 0, Y_IRIS > 1].astype(int)
    listed = quick(class_weight=[{0: 1, 1: 3}, {0: 2, 1: 1}]).fit(X_IRIS, labels)
    rows = np.where(labels[:, 0], 3.0, 1.0) * np.where(labels[:, 1], 1.0, 2.0)
    assert weights(listed) == weights(quick().fit(X_IRIS, labels, rows))
