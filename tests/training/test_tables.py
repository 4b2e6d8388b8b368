"""Tables and columns of pandas and polars, as they come, against the same numbers as arrays."""

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from minifw import (
    SGD,
    BCELoss,
    CrossEntropyLoss,
    Dense,
    Embedding,
    Flatten,
    MSELoss,
    NonFiniteError,
    Predictor,
    Sequential,
    Sigmoid,
    Trainer,
    metrics,
)
from minifw.interop.sklearn import NetworkClassifier

RNG = np.random.default_rng(0)
SIZE, ROOMS, CITY = RNG.standard_normal(30), RNG.integers(1, 5, 30), RNG.choice(list("uvw"), 30)
SOLD = SIZE + 0.1 * ROOMS > 0.2
NAMES = ["size", "rooms", "city_u", "city_v", "city_w"]
X = np.stack([SIZE, ROOMS, *[one == CITY for one in "uvw"]]).T  # laid out as in a table
Y, WEIGHT = SOLD[:, np.newaxis].astype(float), np.arange(1.0, 31.0)

COLUMNS = {"size": SIZE, "rooms": ROOMS, "city": CITY}
PANDAS = pd.get_dummies(pd.DataFrame(COLUMNS, index=RNG.permutation(30)), columns=["city"])
POLARS = pl.DataFrame(COLUMNS).to_dummies("city").select(NAMES)
TABLES: dict[str, Callable[[Any], Any]] = {  # of an array of one or two axes
    "get_dummies": pd.DataFrame,
    "nullable": lambda a: pd.DataFrame(a).convert_dtypes(),
    "arrow": lambda a: pd.DataFrame(a).convert_dtypes(dtype_backend="pyarrow"),
    "polars": pl.DataFrame,
}
WHOLE = {
    "get_dummies": PANDAS,
    "nullable": PANDAS.convert_dtypes(),
    "arrow": PANDAS.convert_dtypes(dtype_backend="pyarrow"),
    "polars": POLARS,
}
GAPS = {
    "nullable": pd.DataFrame({"a": [1.0, 2.0], "b": pd.array([1, None], "Int64")}),
    "truth": pd.DataFrame({"a": [1.0, 2.0], "b": pd.array([True, None], "boolean")}),
    "arrow": pd.DataFrame({"a": [1.0, 2.0], "b": pd.array([1, None], "int64[pyarrow]")}),
    "polars": pl.DataFrame({"a": [1.0, 2.0], "b": [1, None]}),
    "polars truth": pl.DataFrame({"a": [1.0, 2.0], "b": [True, None]}),
}
DAY = date(2020, 1, 1)
OTHERS = {
    "pandas": pd.DataFrame(
        {
            "a": [1, 2],
            "city": ["u", None],
            "kind": pd.Categorical([1, 2]),
            "day": pd.to_datetime([DAY, DAY]).astype("datetime64[ns]"),
            "price": [Decimal(1), Decimal(2)],
        }
    ),
    "polars": pl.DataFrame(
        {
            "a": [1, 2],
            "city": ["u", None],
            "kind": pl.Series(["r", "s"], dtype=pl.Categorical),
            "day": [DAY, DAY],
            "price": [Decimal(1), Decimal(2)],
        }
    ),
}


def build() -> Trainer:
    model = Sequential(Dense(5, 1, rng=0), Sigmoid())
    optimizer = SGD(model.parameters(), lr=0.1)
    return Trainer(model, BCELoss(), optimizer, metrics=["accuracy"], rng=1)


def results(x: Any, y: Any, weight: Any) -> list[Any]:
    """Return what comes of training, evaluating and predicting, by every door."""
    trainer = build()
    held = (x, y, weight)
    history = trainer.fit(x, y, epochs=2, batch_size=8, sample_weight=weight, validation=held)
    trainer.fit([(x, y), (x, y, weight)], epochs=1)
    found = trainer.evaluate(x, y, sample_weight=weight)
    model = trainer.model
    return [
        *history.last.values(),
        *found.values(),
        *model.predict(x).ravel(),
        *Predictor(model)(x).ravel(),
    ]


def fixed(message: str, x: Any) -> Any:
    """Return the value of the fix that a message gives for `x`."""
    code = re.split("; use |, as ", message)[-1].partition(" does, ")[0]
    return eval(code, {"x": x, "y": x, "pd": pd, "np": np})  # noqa: S307


@pytest.mark.parametrize("kind", WHOLE)
def test_a_table_trains_and_predicts_as_its_array(kind: str) -> None:
    wanted = results(X, Y, WEIGHT)
    weight = TABLES[kind](WEIGHT.astype(int))
    column = weight[:, 0] if kind == "polars" else weight.iloc[:, 0]
    assert results(WHOLE[kind], TABLES[kind](SOLD[:, np.newaxis]), column) == wanted


@pytest.mark.parametrize("kind", TABLES)
def test_whole_numbers_stay_whole_and_a_column_is_labels(kind: str) -> None:
    model = Sequential(Embedding(5, 3, rng=0), Flatten(), Dense(3, 2, rng=1))
    trainer = Trainer(model, CrossEntropyLoss(), SGD(model.parameters(), lr=0.1))
    table, labels = TABLES[kind](ROOMS[:, np.newaxis]), TABLES[kind](SOLD.astype(int))
    with pytest.raises(ValueError, match=r"use np.ravel\(y\)") as info:
        trainer.fit(table, labels, epochs=1)
    assert len(trainer.fit(table, fixed(str(info.value), labels), epochs=1)) == 1
    trainer.fit(table, labels[:, 0] if kind == "polars" else labels.iloc[:, 0], epochs=1)
    np.testing.assert_array_equal(model.predict(table), model.predict(ROOMS[:, np.newaxis]))


@pytest.mark.parametrize(
    "column", [pd.Series(SOLD), pl.Series(SOLD), SOLD, SOLD.tolist()], ids=type
)
def test_a_column_as_y_has_a_fix_that_works(column: Any) -> None:
    trainer = build()
    with pytest.raises(ValueError, match=r"got \(examples,\); use np.reshape") as info:
        trainer.fit(X, column, epochs=1)
    trainer.fit(X, fixed(str(info.value), column), epochs=1)


@pytest.mark.parametrize("kind", GAPS)
def test_a_gap_is_named_by_column_and_row(kind: str) -> None:
    with pytest.raises(ValueError, match="column 'b' has a gap in row 1; fill it") as info:
        Dense(2, 1).predict(GAPS[kind])
    x = fixed(str(info.value), GAPS[kind])
    layer = Dense(2, 1)
    np.testing.assert_array_equal(layer.predict(x), layer.predict([[1.0, 1.0], [2.0, 0.0]]))
    with pytest.raises(ValueError, match="y to hold a number in every row, got a gap in row 1"):
        Trainer(layer, BCELoss(), SGD(layer.parameters(), lr=0.1)).fit(
            np.ones((2, 2)), GAPS[kind]["b"], epochs=1
        )


def test_nan_goes_through_as_in_an_array() -> None:
    for table in (
        pd.DataFrame({"a": [np.nan], "b": [1]}),
        pl.DataFrame({"a": [np.nan], "b": [1]}),
    ):
        assert np.isnan(Dense(2, 1).predict(table, allow_nan=True)).all()


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_the_columns_of_a_table_that_hold_nan_are_named(frame: Any) -> None:
    x = np.random.default_rng(0).standard_normal((20, 3))
    x[3, 0] = x[4:, 2] = np.nan
    table = frame({"age": x[:, 0], "size": x[:, 1], "income": x[:, 2]})
    layer = Dense(3, 1, rng=0)
    trainer = Trainer(layer, MSELoss(), SGD(layer.parameters(), lr=0.1), rng=0)
    with pytest.raises(NonFiniteError, match=r"in how many rows: 'age' \(1\), 'income' \(16\)$"):
        trainer.fit(table, np.ones((20, 1)), epochs=1)


def test_a_column_that_is_nan_in_every_row_was_divided_by_0() -> None:
    x = np.random.default_rng(0).standard_normal((20, 3))
    x[:, 1] = np.nan
    layer = Dense(3, 1, rng=0)
    trainer = Trainer(layer, MSELoss(), SGD(layer.parameters(), lr=0.1), rng=0)
    with pytest.raises(NonFiniteError, match="infinity, all in column 1; was it divided by a std"):
        trainer.fit(x, np.ones((20, 1)), epochs=1)
    x[:, 1], x[3, 1] = 0, np.nan
    with pytest.raises(NonFiniteError, match=r"row 3 of x holds NaN or infinity$"):
        trainer.fit(x, np.ones((20, 1)), epochs=1)


@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_no_number_is_named_with_a_fix_that_works(kind: str) -> None:
    table = OTHERS[kind]
    with pytest.raises(TypeError, match="x to hold numbers, columns 'city', 'kind', ") as info:
        Dense(2, 1).predict(table)
    found = fixed(str(info.value), table)
    layer = Dense(found.shape[1], 1)
    assert layer.predict(found).shape == (2, 1)
    assert "columns 'city', 'kind', 'day', 'price' hold " in str(info.value)
    for name, fix in {"kind": "use p", "price": "use p", "day": "take numbers of it"}.items():
        with pytest.raises(TypeError, match=rf"got a Series of .*; {fix}") as info:
            metrics.accuracy(table[name], [0, 1])
    with pytest.raises(TypeError, match=r"y to hold numbers, got a Series of .*; use y") as info:
        Trainer(layer, CrossEntropyLoss(), SGD(layer.parameters(), lr=0.1)).fit(
            np.ones((2, 2)), table["kind"], epochs=1
        )
    assert sorted(fixed(str(info.value), table["kind"]).to_numpy()) == [0, 1]


def test_a_lazy_table_is_to_be_collected() -> None:
    lazy = POLARS.lazy()
    with pytest.raises(
        TypeError, match=r"x in memory, got a LazyFrame; use x.collect\(\)"
    ) as info:
        build().fit(lazy, Y, epochs=1)
    assert fixed(str(info.value), lazy).shape == X.shape


def test_labels_of_an_index_are_no_attributes_of_a_table() -> None:
    column = pd.Series([1, True], index=["columns", "dtypes"], dtype="Int64")
    assert metrics.accuracy(column, [1, 0]) == 0.5


def test_columns_of_one_name_and_of_a_transposed_table() -> None:
    twice = pd.DataFrame([[1, True]], columns=["a", "a"])
    assert Dense(2, 1, rng=0).predict(twice) == Dense(2, 1, rng=0).predict([[1, 1]])
    with pytest.raises(TypeError, match=r"columns .*, ... hold object; use x.astype") as info:
        build().fit(PANDAS.T, Y.T, epochs=1)
    with pytest.raises(ValueError, match=r"got 1 and 5; one example per row: np.transpose"):
        build().fit(fixed(str(info.value), PANDAS.T), Y.T, epochs=1)


@pytest.mark.parametrize("kind", WHOLE)
def test_an_estimator_takes_the_same_table(kind: str) -> None:
    def fitted(x: Any, y: Any) -> Any:
        estimator = NetworkClassifier(max_epochs=2, tol=None, random_state=0)
        return estimator.fit(x, y, sample_weight=pd.Series(WEIGHT)).predict_proba(x)

    of = pl.Series if kind == "polars" else pd.Series
    np.testing.assert_array_equal(fitted(WHOLE[kind], of(SOLD)), fitted(X, SOLD))
