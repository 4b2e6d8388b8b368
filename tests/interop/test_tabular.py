"""The estimators on tables as they come: targets, categories, gaps, a recipe, honest chances."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris, make_classification
from sklearn.metrics import d2_pinball_score, log_loss
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import minifw
from minifw import Dense, HuberLoss, PinballLoss, RobustScale, Sequential, Sigmoid, Softplus
from minifw.interop import onnx
from minifw.interop.sklearn import ConformalRegressor, NetworkClassifier, NetworkRegressor

SMALL: dict[str, Any] = {"hidden_layers": (16,), "max_epochs": 12, "tol": None, "random_state": 0}


def people(n: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": rng.integers(20, 70, n).astype(float),
            "city": rng.choice(["Rome", "Oslo", "Bonn"], n),
            "size": pd.Categorical(rng.choice([1, 2, 3, 4], n)),
            "member": rng.random(n) < 0.5,
            "income": np.exp(rng.standard_normal(n)),
        }
    )


def spending(table: pd.DataFrame) -> Any:
    city = table["city"].map({"Rome": 5000.0, "Oslo": 9000.0, "Bonn": 7000.0})
    return np.asarray(city + 10 * table["age"] + 500 * table["size"].astype(float))


# -- targets -------------------------------------------------------------------------------


def test_a_target_far_from_0_is_learned_and_given_back(tmp_path: Path) -> None:
    x, y = load_diabetes(return_X_y=True)
    fitted = NetworkRegressor(random_state=0, tol=None).fit(x, y)
    assert fitted.score(x, y) > 0.5
    minifw.save(fitted.model_, tmp_path / "model.npz")
    again = minifw.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(again.predict(x)[:, 0], fitted.predict(x))


def test_units_of_the_target_change_nothing() -> None:
    x, y = load_iris().data[:, :3], load_iris().data
    one = NetworkRegressor(**SMALL).fit(x, y)
    other = NetworkRegressor(**SMALL).fit(x, y * 1000 + [1e5, -1e5, 0, 3])
    np.testing.assert_allclose(
        other.predict(x), one.predict(x) * 1000 + [1e5, -1e5, 0, 3], rtol=1e-9
    )
    constant = NetworkRegressor(**SMALL).fit(x, np.full(150, 3e7))
    np.testing.assert_allclose(constant.predict(x), 3e7, rtol=1e-7)


def test_what_the_user_gives_is_trained_on_y_as_it_is() -> None:
    x, y = load_iris().data[:, :3], load_iris().data[:, 3]
    own = {"loss": HuberLoss()}
    positive = {
        "network": lambda n, k, rng: Sequential(Dense(n, k, rng=rng), Softplus()),
        "hidden_layers": (100,),
    }
    for options in (own, positive, {"normalize_target": False}):
        fitted = NetworkRegressor(**SMALL | options).fit(x, y)
        assert fitted.model_ is fitted._learner
    with pytest.raises(TypeError, match="normalize_target to be True or False"):
        NetworkRegressor(normalize_target="yes").fit(x, y)  # type: ignore[arg-type]


def test_a_warm_start_keeps_the_units() -> None:
    x, y = load_iris().data[:, :3], 100 * load_iris().data[:, 3]
    fitted = NetworkRegressor(**SMALL | {"max_epochs": 200}, warm_start=True, lr=0.01).fit(x, y)
    before = fitted.score(x, y)
    fitted.set_params(max_epochs=1, tol=None).fit(x, y + 3)
    assert fitted.score(x, y) > before - 0.05
    with pytest.raises(ValueError, match="cannot go on with another normalize_target"):
        fitted.set_params(normalize_target=False).fit(x, y)


@pytest.mark.parametrize("preset", [None, "realmlp"])
def test_quantiles_hold_their_shares_far_from_0(preset: str | None, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (1500, 1))
    y = 1e4 + 300 * (x[:, 0] + (0.2 + 0.5 * np.abs(x[:, 0])) * rng.standard_normal(1500))
    fitted: Any = NetworkRegressor(
        (32,), preset=preset, loss=PinballLoss((0.1, 0.5, 0.9)), lr=0.01, max_epochs=100,
        tol=None, random_state=0, early_stopping=True,
    ).fit(x, y)  # fmt: skip
    quantiles = fitted.predict(x)
    assert quantiles.shape == (1500, 3)
    np.testing.assert_allclose((y[:, None] < quantiles).mean(axis=0), (0.1, 0.5, 0.9), atol=0.04)
    assert (np.diff(quantiles, axis=1) > 0).all()
    pairs = zip(quantiles.T, (0.1, 0.5, 0.9), strict=True)
    levels = [d2_pinball_score(y, q, alpha=a) for q, a in pairs]
    assert fitted.score(x, y) == pytest.approx(np.mean(levels))
    assert fitted.history_.columns == ["loss", "val_loss"]
    minifw.save(fitted.model_, tmp_path / "model.npz")
    again = minifw.load(tmp_path / "model.npz")
    dtype = np.float32 if preset else np.float64
    np.testing.assert_allclose(again.predict(x.astype(dtype)), quantiles, rtol=1e-6)
    held = ConformalRegressor(fitted).conformalize(x[:500], y[:500])
    assert held.predict_interval(x)[1].shape == (1500, 2, 1)
    with pytest.raises(ValueError, match="expects one column of y for PinballLoss"):
        clone(fitted).fit(x, np.c_[y, y])


# -- categories and gaps -------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda table: table, pl.from_pandas], ids=["pandas", "polars"])
def test_words_are_taken_as_they_are(make: Any) -> None:
    table = people()
    y = spending(table)
    rate: dict[str, Any] = {"lr": 0.02, "max_epochs": 150}
    table["age"] = StandardScaler().fit_transform(table[["age"]])
    fitted = NetworkRegressor(**SMALL | rate).fit(make(table), y)
    assert fitted.score(make(table), y) > 0.95
    assert list(fitted.feature_names_in_) == list(table.columns)
    assert fitted.categories_["city"] == ["Bonn", "Oslo", "Rome"]
    np.testing.assert_array_equal(
        fitted.as_numbers(make(table))[:, 2], table["size"].astype(float)
    )
    new = table[:3].copy()
    new["city"] = ["Paris", None, "Rome"]  # unknown and missing count alike
    got = fitted.predict(make(new))
    assert np.isfinite(got).all()
    new["city"] = [None, "Lima", "Rome"]
    np.testing.assert_array_equal(fitted.predict(make(new)), got)
    shuffled = table[::-1]
    np.testing.assert_allclose(fitted.predict(make(shuffled)), fitted.predict(make(table))[::-1])
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict(make(table)), fitted.predict(make(table)))


def test_a_table_of_words_alone_and_classes_of_words() -> None:
    table = people()[["city", "size"]]
    fitted = NetworkClassifier(**SMALL | {"max_epochs": 60, "lr": 0.05}).fit(table, table["city"])
    assert fitted.score(table, table["city"]) == 1.0


def test_a_recipe_fills_and_marks_gaps() -> None:
    table = people()
    y = spending(table)
    table.loc[::7, "age"] = np.nan
    short: dict[str, Any] = {"hidden_layers": (32,), "max_epochs": 64, "random_state": 0}
    with pytest.raises(ValueError, match="NaN"):
        NetworkRegressor(**short).fit(table, y)
    fitted = NetworkRegressor(preset="realmlp", **short).fit(table, y)
    assert fitted.score(table, y) > 0.8
    assert fitted.predict(table).dtype == np.float64


@pytest.mark.parametrize("encoding", ["piecewise", "periodic"])
@pytest.mark.parametrize("preset", [None, "realmlp"])
def test_numbers_become_vectors(encoding: str, preset: str | None, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"x": rng.uniform(-2, 2, 500), "word": rng.choice(["a", "b"], 500)})
    y = np.sin(6 * table["x"]) + (table["word"] == "a")
    options: dict[str, Any] = {"hidden_layers": (16,), "max_epochs": 60, "tol": None, "lr": 0.02}
    scores = []
    for number_encoding in (None, encoding):
        fitted = NetworkRegressor(
            **options, preset=preset, number_encoding=number_encoding, random_state=0
        ).fit(table, y)
        scores.append(fitted.score(table, y))
    assert scores[1] > scores[0] + 0.05
    minifw.save(fitted.model_, tmp_path / "model.npz")
    again = minifw.load(tmp_path / "model.npz")
    x = fitted.as_numbers(table)
    np.testing.assert_array_equal(again.predict(x), fitted.model_.predict(x))
    with pytest.raises(ValueError, match="number_encoding to be 'piecewise', 'periodic' or None"):
        NetworkRegressor(number_encoding="ple").fit(table, y)


@pytest.mark.parametrize("encoding", [None, "piecewise", "periodic"])
def test_a_table_travels_in_onnx(encoding: str | None, tmp_path: Path) -> None:
    table = people()
    y = spending(table)
    table.loc[::7, "age"] = np.nan
    fitted = NetworkRegressor(
        (16,), preset="realmlp", number_encoding=encoding, max_epochs=20, random_state=0
    ).fit(table, y)
    x = fitted.as_numbers(table)  # with codes for the words
    onnx.export(fitted.model_, tmp_path / "model.onnx", input_shape=(5,))
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (got,) = session.run(None, {"x": x})
    np.testing.assert_allclose(got[:, 0], fitted.predict(table), rtol=1e-5)


def test_gaps_may_come_after_the_training() -> None:
    table = people()
    y, holed = spending(table), table.assign(age=np.nan)
    fitted = NetworkRegressor((16,), preset="realmlp", max_epochs=4, random_state=0)
    fitted.fit(table, y, X_val=holed, y_val=y)
    filled = table.assign(age=table["age"].median())
    np.testing.assert_array_equal(fitted.predict(holed), fitted.predict(filled))
    assert np.isfinite(fitted.fit(holed, y).predict(table)).all()  # a column of gaps alone


@pytest.mark.parametrize("make", [lambda table: table, pl.from_pandas], ids=["pandas", "polars"])
def test_what_is_neither_number_nor_word_is_refused(make: Any) -> None:
    table = people()
    y = spending(table)
    dated = make(table.assign(born=pd.date_range("2000-01-01", periods=len(table))))
    with pytest.raises(TypeError, match=r"numbers or words, 'born' holds [dD]atetime"):
        NetworkRegressor(**SMALL).fit(dated, y)
    with pytest.raises(TypeError, match=r"X in memory, got a LazyFrame; use X.collect\(\)"):
        NetworkRegressor(**SMALL).fit(pl.from_pandas(table).lazy(), y)
    fitted = NetworkRegressor(**SMALL).fit(make(table[["city"]]), y)
    with pytest.raises(TypeError, match=r"a table of pandas or polars.*; got a float64 array"):
        fitted.predict(np.ones((3, 1)))  # which would be codes of words
    fitted.fit(pl.from_pandas(table[["age"]]).to_arrow(), y)  # as scikit-learn takes it


# -- the recipe ----------------------------------------------------------------------------


def test_a_cell_far_out_moves_no_prediction_far() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 3))
    y = x[:, 0] + 0.1 * rng.standard_normal(400)
    fitted = NetworkRegressor(preset="realmlp", max_epochs=64, random_state=0).fit(x, y)
    far = x[:50].copy()
    far[:, 2] = 1e4  # a column that does not count
    moved = np.abs(fitted.predict(far) - fitted.predict(x[:50]))
    assert moved.max() < 1.0


def test_what_is_given_holds_against_the_recipe() -> None:
    x, y = load_iris(return_X_y=True)
    given = NetworkClassifier(preset="realmlp", hidden_layers=(8,), max_epochs=5, lr=0.01)
    fitted = given.fit(x, y)
    assert fitted.n_iter_ == 5
    assert fitted._use.lr == 0.01
    assert fitted._use.validation_fraction == 0.2
    assert [p.shape for p in fitted.model_.parameters()][1] == (8, 4)
    assert given.get_params()["batch_size"] == "auto"
    assert clone(given).get_params() == given.get_params()
    with pytest.raises(ValueError, match="preset to be 'realmlp' or None, got 'tabm'"):
        NetworkClassifier(preset="tabm").fit(x, y)


def test_rows_of_weight_0_measure_nothing() -> None:
    x, y = load_diabetes(return_X_y=True)
    options: dict[str, Any] = {"hidden_layers": (8,), "max_epochs": 3, "random_state": 0}
    weight = np.repeat([1.0, 0.0], len(x))
    held = {"X_val": x, "y_val": y}
    one = NetworkRegressor(preset="realmlp", **options).fit(x, y, **held)
    two = NetworkRegressor(preset="realmlp", **options)
    two.fit(np.r_[x, x + 9], np.r_[y, y + 9], sample_weight=weight, **held)
    models: Any = one.model_, two.model_
    for layer in (0, 1):
        for name, buffer in models[0][layer].named_buffers():
            np.testing.assert_array_equal(getattr(models[1][layer], name), buffer)
    np.testing.assert_array_equal(one._spread, two._spread)
    for weight in np.eye(4):  # the row that counts is in one part, and none in the other
        with pytest.raises(
            ValueError, match=r"one of the [13] rows of the (training|valid).* count"
        ):
            two.fit(x[:4], y[:4], sample_weight=weight)


def test_a_recipe_predicts_all_digits_of_a_far_target() -> None:
    x, y = load_diabetes(return_X_y=True)
    fitted = NetworkRegressor(preset="realmlp", max_epochs=32, random_state=0).fit(x, y + 1e10)
    assert fitted.score(x, y + 1e10) > 0.3


def test_a_partial_fit_after_the_cycles_learns() -> None:
    x, y = load_iris(return_X_y=True)
    fitted = NetworkClassifier(preset="realmlp", hidden_layers=(8,), max_epochs=2).fit(x, y)
    before = fitted.predict_proba(x)
    fitted.partial_fit(x, y)
    assert fitted.optimizer_.lr == 0.04
    assert np.abs(fitted.predict_proba(x) - before).max() > 1e-3


def test_a_layer_that_only_measures_says_the_dtype() -> None:
    x, y = load_iris(return_X_y=True)
    fitted = NetworkClassifier([RobustScale(4), 8], max_epochs=2, tol=None)
    fitted.fit(x.astype(np.float32), y)
    assert {p.dtype for p in fitted.model_.parameters()} == {np.dtype(np.float64)}


def test_the_learning_rates_of_the_recipe() -> None:
    x, y = load_iris(return_X_y=True)
    fitted = NetworkClassifier(preset="realmlp", hidden_layers=(8,), max_epochs=2).fit(x, y)
    optimizer: Any = fitted.optimizer_
    sizes = [p.size for p in optimizer.parameters]
    factors = np.split(optimizer.lr_factors, np.cumsum(sizes)[:-1])
    assert [float(f[0]) for f in factors] == pytest.approx([6.0, 1.0, 0.1, 1.0, 0.1])
    assert fitted._base_lr == 0.04
    assert optimizer.lr < 1e-6  # at the end of the last cycle


@pytest.mark.slow
@pytest.mark.parametrize("kind", [NetworkClassifier, NetworkRegressor])
def test_scikit_learns_checks_of_the_recipe(kind: Any) -> None:
    estimator = kind(preset="realmlp", hidden_layers=(16,), max_epochs=40, random_state=0)
    expected = {
        "check_sample_weight_equivalence_on_dense_data": "medians and parts go by rows",
        "check_sample_weight_equivalence_on_sparse_data": "medians and parts go by rows",
        "check_methods_subset_invariance": "it computes in float32",
        "check_methods_sample_order_invariance": "it computes in float32",
    }
    check_estimator(estimator, expected_failed_checks=expected, on_skip=None, on_fail="raise")


# -- chances -------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 3])
def test_the_temperature_is_that_of_the_lowest_cross_entropy(classes: int) -> None:
    x, y = make_classification(
        600, 10, n_informative=6, n_classes=classes, flip_y=0.2, random_state=0
    )
    options: dict[str, Any] = {"hidden_layers": (64,), "max_epochs": 60, "lr": 0.01, "tol": None}
    plain = NetworkClassifier(**options, random_state=0)
    plain.fit(x[:300], y[:300], X_val=x[300:450], y_val=y[300:450])
    fitted = NetworkClassifier(**options, random_state=0, calibrate="temperature")
    fitted.fit(x[:300], y[:300], X_val=x[300:450], y_val=y[300:450])
    logs = plain.predict_log_proba(x[300:450])

    def loss_at(temperature: float, share: float = 0.0) -> float:
        p = np.exp(logs / temperature)
        p /= p.sum(axis=1, keepdims=True)
        return float((1 - share) * log_loss(y[300:450], p) - share * np.log(p).mean())

    best = fitted.temperature_
    assert best > 1  # it was too sure
    one = 1 / 151  # row of all classes alike
    assert loss_at(best, one) <= min(loss_at(best * 1.001, one), loss_at(best / 1.001, one))
    p = fitted.predict_proba(x[300:450])
    assert log_loss(y[300:450], p) == pytest.approx(loss_at(best), rel=1e-9)
    np.testing.assert_allclose(np.exp(fitted.predict_log_proba(x)), fitted.predict_proba(x))
    assert log_loss(y[450:], fitted.predict_proba(x[450:])) < log_loss(
        y[450:], plain.predict_proba(x[450:])
    )
    np.testing.assert_array_equal(fitted.predict(x), plain.predict(x))
    with pytest.raises(ValueError, match="calibrates on a validation part"):
        NetworkClassifier(**options, calibrate="temperature").fit(x, y)
    with pytest.raises(ValueError, match="calibrate to be None or 'temperature', got 'platt'"):
        NetworkClassifier(**options, calibrate="platt").fit(x, y)


@pytest.mark.parametrize("preset", [None, "realmlp"])
def test_a_validation_part_without_a_mistake_leaves_doubt(preset: str | None) -> None:
    x, y = load_iris(return_X_y=True)
    fitted = NetworkClassifier(
        (32,),
        preset=preset,
        max_epochs=32,
        tol=None,
        lr=0.02,
        random_state=0,
        calibrate="temperature",
    ).fit(x, y > 0, X_val=x[:1], y_val=y[:1] > 0)
    # Of one row of a class, and one of both alike: 1.5 of 2.
    np.testing.assert_allclose(fitted.predict_proba(x[:1]), [[0.75, 0.25]], rtol=1e-6)


def test_a_temperature_weighs_the_rows() -> None:
    x, y = make_classification(400, 5, flip_y=0.2, random_state=0)
    options: dict[str, Any] = {"hidden_layers": (16,), "max_epochs": 20, "lr": 0.01, "tol": None}

    def found(rows: Any, weight: Any) -> float:
        fitted = NetworkClassifier(**options, random_state=0, calibrate="temperature")
        fitted.fit(x[:200], y[:200], X_val=x[rows], y_val=y[rows], sample_weight_val=weight)
        return float(fitted.temperature_)

    rows = np.arange(200, 400)
    weight = np.repeat([0.0, 1.0, 2.0], [50, 100, 50])
    assert found(rows, weight) == pytest.approx(found(np.repeat(rows, weight.astype(int)), None))


def test_labels_are_smoothed() -> None:
    x, y = load_iris(return_X_y=True)
    for labels in (y, y > 0):
        options = SMALL | {"max_epochs": 400, "lr": 0.05, "tol": None}
        fitted = NetworkClassifier(**options, label_smoothing=0.3).fit(x, labels)
        k = len(fitted.classes_)
        limit = 1 - 0.3 + 0.3 / k  # what the loss asks of the true class
        assert np.median(fitted.predict_proba(x).max(axis=1)) == pytest.approx(limit, abs=0.02)
    NetworkClassifier(  # whose labels the recipe does not smooth
        network=lambda n, k, rng: Sequential(Dense(n, k, rng=rng), Sigmoid()),
        preset="realmlp",
        max_epochs=2,
    ).fit(x, y > 0)
    with pytest.raises(ValueError, match="leave label_smoothing out"):
        NetworkClassifier(label_smoothing=0.1).fit(x, np.c_[y > 0, y > 1].astype(int))
