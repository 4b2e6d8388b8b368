"""Intervals and prediction sets: against MAPIE's numbers, and how often they hold the truth."""

from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.datasets import make_friedman1
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks

from minifw import Adam, Array, Dense, Increasing, PinballLoss, Sequential, Tanh, Trainer
from minifw.interop.sklearn import ConformalClassifier, ConformalRegressor, NetworkClassifier


class Columns(RegressorMixin, BaseEstimator):  # type: ignore[misc] # no types
    """Predicts some of its columns."""

    def __init__(self, columns: Any) -> None:
        self.columns = columns

    def predict(self, x: Any) -> Array:
        taken: Array = x[:, self.columns]
        return taken


class Table(ClassifierMixin, BaseEstimator):  # type: ignore[misc] # no types
    """Predicts the probabilities that are its columns."""

    classes_ = np.array(["no", "some", "yes"])

    def predict_proba(self, x: Any) -> Any:
        return x

    def predict(self, x: Any) -> Any:
        return self.classes_[np.argmax(x, axis=1)]


def rows() -> tuple[Array, Array, Array, Any]:
    r = np.random.default_rng(0)
    x = np.sort(r.standard_normal((50, 3)), axis=1)
    y = x[:, 1] + r.standard_normal(50)
    p = r.dirichlet([1, 1, 1], 55)
    return x, y, p, Table.classes_[[r.choice(3, p=row) for row in p]]


X, Y, P, LABELS = rows()


# -- MAPIE 1.6.0 ---------------------------------------------------------------

# SplitConformalRegressor, of the levels 0.5, 0.8 and 0.95
ABSOLUTE = [
    [
        [-0.40377243640249116, -1.3646082505641453, -2.2889531679199573],
        [0.6223318313581189, 1.583167645519773, 2.5075125628755854],
    ],
    [
        [0.18111980282670315, -0.7797160113349509, -1.704060928690763],
        [1.2072240705873132, 2.1680598847489674, 3.0924048021047796],
    ],
]
# ConformalizedQuantileRegressor(symmetric_correction=True); of 0.5 the first one is empty.
QUANTILES = [
    [
        [0.09751805542861207, -0.7292444233251356, -1.4101248955756283],
        [0.028894813394524682, 0.8556572921482724, 1.536537764398765],
    ],
    [
        [-0.585150169248974, -1.4119126480027218, -2.0927931202532144],
        [1.247762440662481, 2.0745249194162287, 2.7554053916667214],
    ],
]
# SplitConformalClassifier, of 0.5, 0.7 and 0.9. For each class: a digit with 1 for the level 0.5,
# 2 for 0.7, 4 for 0.9.
SETS = {
    "lac": "700 077 740 707 700 707 707 770 467 467 700 070 700 467 070",
    "aps": "704 477 760 747 704 707 747 774 477 677 744 074 744 677 674",
}


@pytest.mark.parametrize(
    ("columns", "levels", "expected"),
    [(1, (0.5, 0.8, 0.95), ABSOLUTE), ([0, 1, 2], [0.5, 0.8, 0.9], QUANTILES)],
)
def test_intervals_are_mapies(columns: Any, levels: Any, expected: Any) -> None:
    conformal = ConformalRegressor(Columns(columns), confidence_level=levels)
    points, intervals = conformal.conformalize(X[:37], Y[:37]).predict_interval(X[37:39])
    np.testing.assert_allclose(intervals, expected, rtol=1e-14)
    np.testing.assert_array_equal(points, X[37:39, 1])
    np.testing.assert_array_equal(points, conformal.predict(X[37:39]))


@pytest.mark.parametrize("score", SETS)
def test_sets_are_mapies(score: str) -> None:
    conformal = ConformalClassifier(
        Table(), confidence_level=[0.5, 0.7, 0.9], conformity_score=score, random_state=7
    ).conformalize(P[:40], LABELS[:40])
    labels, sets = conformal.predict_set(P[40:])
    digits = (sets * [1, 2, 4]).sum(axis=2)
    assert " ".join("".join(map(str, row)) for row in digits) == SETS[score]
    np.testing.assert_array_equal(labels, Table().predict(P[40:]))


# -- the promise ---------------------------------------------------------------


def share_inside(intervals: Array, y: Array) -> float:
    return float(((intervals[:, 0, 0] <= y) & (y <= intervals[:, 1, 0])).mean())


def friedman(seed: int) -> tuple[Array, Array]:
    x, y = make_friedman1(3000, noise=1.0, random_state=seed)
    return (x - 0.5) * np.sqrt(12), y


def test_the_coverage_is_what_is_promised() -> None:
    found = []
    for seed in range(20):
        x, y = friedman(seed)
        fitted = LinearRegression().fit(x[:1000], y[:1000])
        conformal = ConformalRegressor(fitted).conformalize(x[1000:2000], y[1000:2000])
        found.append(share_inside(conformal.predict_interval(x[2000:])[1], y[2000:]))
    assert abs(np.mean(found) - 0.9) <= 0.01


@pytest.mark.slow
def test_the_coverage_of_a_network_of_quantiles_is_what_is_promised() -> None:
    plain, found = [], []
    for seed in range(20):
        x, y = friedman(seed)
        target = y[:, np.newaxis]
        model = Sequential(Dense(10, 32, rng=seed), Tanh(), Dense(32, 3, rng=seed), Increasing())
        trainer = Trainer(model, PinballLoss(), Adam(model.parameters(), lr=0.02), rng=seed)
        trainer.fit(x[:1500], target[:1500], epochs=15, batch_size=64)
        conformal = ConformalRegressor(model).conformalize(x[1500:2250], target[1500:2250])
        low, _, high = model.predict(x[2250:]).T
        plain.append(np.mean((low <= y[2250:]) & (y[2250:] <= high)))
        found.append(share_inside(conformal.predict_interval(x[2250:])[1], y[2250:]))
    assert np.mean(plain) < 0.885  # else there were nothing to mend
    assert abs(np.mean(found) - 0.9) <= 0.01


def test_sets_cover_with_random_scores_of_any_worth() -> None:
    r = np.random.default_rng(1)
    p = r.dirichlet([0.5, 0.5, 0.5, 0.5], 4000)
    true = np.array([r.choice(4, p=row) for row in p])
    table = Table()
    table.classes_ = np.arange(4)
    wrong = np.sqrt(p) / np.sqrt(p).sum(axis=1, keepdims=True)  # less sure than it may be
    for score, most in (("lac", 0.92), ("aps", 1.0)):
        conformal = ConformalClassifier(table, conformity_score=score, random_state=0)
        sets = conformal.conformalize(wrong[:2000], true[:2000]).predict_set(wrong[2000:])[1]
        inside = sets[np.arange(2000), true[2000:], 0]
        assert 0.88 < inside.mean() < most
        assert score == "lac" or sets.any(axis=1).all()  # "aps": none is empty


@pytest.mark.parametrize(("level", "n"), [(0.9, 9), (0.07, 1), (0.95, 19), (0.99, 99)])
def test_too_few_rows_are_refused(level: float, n: int) -> None:
    x = np.arange(float(n))[:, np.newaxis]
    enough = ConformalRegressor(Columns(0), confidence_level=level).conformalize(x, x[:, 0])
    assert enough.predict_interval(x)[1].shape == (n, 2, 1)
    if n > 1:
        with pytest.raises(ValueError, match=f"expects {n} rows or more for {level}, got {n - 1}"):
            enough.conformalize(x[1:], x[1:, 0])


def test_a_rank_is_not_pushed_up_by_rounding() -> None:
    x = np.zeros((99, 1))
    conformal = ConformalRegressor(Columns(0), confidence_level=0.07)  # 100 * 0.07 > 7
    intervals = conformal.conformalize(x, np.arange(1.0, 100.0)).predict_interval(x[:1])[1]
    assert intervals[0, 1, 0] == 7.0


# -- in scikit-learn's hands ---------------------------------------------------


@pytest.mark.slow
@parametrize_with_checks(  # type: ignore[untyped-decorator]
    [
        ConformalRegressor(Ridge(), prefit=False),
        ConformalClassifier(LogisticRegression(), prefit=False, conformity_score="aps"),
    ]
)
def test_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def test_clones_and_searches_go_on() -> None:
    frozen = FrozenEstimator(Ridge().fit(X, Y))
    conformal = clone(ConformalRegressor(frozen)).conformalize(X, Y)
    wide = np.ptp(conformal.predict_interval(X)[1][0])
    narrow = np.ptp(conformal.set_params(confidence_level=0.5).predict_interval(X)[1][0])
    assert narrow < wide  # the level is read at each use
    search = GridSearchCV(
        ConformalRegressor(Ridge(), prefit=False), {"estimator__alpha": [1e-3, 1e6]}
    )
    assert search.fit(X, Y).best_params_ == {"estimator__alpha": 1e-3}


def test_a_network_that_classifies_gets_its_validation_part() -> None:
    network = NetworkClassifier((8,), max_epochs=3, early_stopping=True, random_state=0)
    conformal = ConformalClassifier(network, prefit=False, confidence_level=0.6)
    conformal.fit(P[:20], LABELS[:20], {"X_val": P[20:30], "y_val": LABELS[20:30]})
    assert conformal.classes_.tolist() == ["no", "some", "yes"]
    assert conformal.conformalize(P[30:40], LABELS[30:40]).predict_set(P)[1].shape == (55, 3, 1)


def test_scores_belong_to_the_estimator_and_the_kind_that_made_them() -> None:
    conformal = ConformalClassifier(Table(), confidence_level=0.7).conformalize(
        P[:40], LABELS[:40]
    )
    before = conformal.predict_set(P)[1]
    conformal.set_params(conformity_score="aps", estimator=LogisticRegression())
    np.testing.assert_array_equal(conformal.predict_set(P)[1], before)
    fitted = ConformalRegressor(Ridge(), prefit=False).fit(X, Y).conformalize(X, Y).fit(X, Y)
    with pytest.raises(NotFittedError, match=r"call conformalize\(X, y\) first"):
        fitted.predict_interval(X)


def test_what_does_not_serve_is_said() -> None:
    conformal = ConformalRegressor(Columns(0))
    with pytest.raises(RuntimeError, match="nothing to fit with prefit=True"):
        conformal.fit(X, Y)
    with pytest.raises(NotFittedError, match="not fitted"):
        ConformalRegressor(Ridge(), prefit=False).conformalize(X, Y)
    with pytest.raises(ValueError, match="1d array"):
        conformal.conformalize(X, X)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        conformal.conformalize(X, Y[1:])
    with pytest.raises(ValueError, match="y contains NaN"):
        conformal.conformalize(X, Y * np.nan)
    with pytest.raises(ValueError, match="predict contains NaN"):
        conformal.conformalize(X * np.nan, Y)
    for level in (0.0, 1.0, np.nan, [0.5, 2.0]):
        conformal.set_params(confidence_level=level)
        with pytest.raises(ValueError, match="confidence_level between 0 and 1"):
            conformal.conformalize(X, Y)
    with pytest.raises(AttributeError, match="predict_proba"):
        ConformalClassifier(Columns(0)).conformalize(X, Y)
    with pytest.raises(ValueError, match="conformity_score to be 'lac' or 'aps', got 'raps'"):
        ConformalClassifier(Table(), conformity_score="raps").conformalize(P, LABELS)
    with pytest.raises(ValueError, match="previously unseen labels"):
        ConformalClassifier(Table()).conformalize(P, np.full(55, "never"))
