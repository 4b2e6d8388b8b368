"""The layers that are fitted to a table, against scikit-learn and NumPy's interpolation."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import RobustScaler, StandardScaler

import minifw
from minifw import (
    Columns,
    Concat,
    Dense,
    Embedding,
    Impute,
    PeriodicEncoding,
    PiecewiseLinearEncoding,
    RobustScale,
    Sequential,
    Standardize,
    adapt,
)
from minifw.testing import check_layer

LAYERS = [Standardize, RobustScale, Impute, PiecewiseLinearEncoding]


def table(gaps: bool = False) -> Any:
    rng = np.random.default_rng(0)
    x = rng.standard_t(2, (60, 4)) * (1, 50, 1e-3, 1) + (0, 1e3, 5, 0)
    x[:, 3] = rng.integers(0, 2, 60) * (rng.random(60) < 0.3)  # its quartiles are equal
    if gaps:
        x[rng.random(x.shape) < 0.1] = np.nan
    return x


def test_scales_are_those_of_scikit_learn() -> None:
    x, new = table(gaps=True), table() + 1
    scaler = StandardScaler().fit(x)
    np.testing.assert_allclose(
        Standardize(4).adapt(x).forward(new), scaler.transform(new), 1e-12, 1e-12
    )
    s = RobustScaler().fit(x[:, :3]).transform(new[:, :3])
    got = RobustScale(4).adapt(x).forward(new)
    np.testing.assert_allclose(got[:, :3], s / np.sqrt(1 + (s / 3) ** 2), 1e-12, 1e-12)
    s = (new[:, 3] - 0) / 0.5  # by half of the range, where the quartiles are equal
    np.testing.assert_allclose(got[:, 3], s / np.sqrt(1 + (s / 3) ** 2), 1e-12)


@pytest.mark.parametrize("marked", [False, True])
def test_gaps_are_filled_and_marked_as_scikit_learn_does(marked: bool) -> None:
    x = table(gaps=True)
    imputer = SimpleImputer(strategy="median", add_indicator=marked).fit(x)
    layer = Impute(4, add_indicator=marked).adapt(x)
    np.testing.assert_array_equal(layer.forward(x[:20]), imputer.transform(x[:20]))
    dx = layer.backward(np.ones((20, 8 if marked else 4)))
    np.testing.assert_array_equal(dx, ~np.isnan(x[:20]))


def test_pieces_add_up_to_the_place_between_the_edges() -> None:
    x, new = table(), table() * 0.5
    layer = PiecewiseLinearEncoding(4, bins=6).adapt(x)
    y = layer.forward(new)
    for column, edges in enumerate(layer.edges):
        own = np.unique(edges)
        inside = np.clip(y[:, column], 0, 1).sum(axis=1)
        places = np.interp(new[:, column], own, np.arange(len(own)))
        np.testing.assert_allclose(inside, places, atol=1e-12)
    beyond = layer.forward(np.full((1, 4), 1e6))[0]
    np.testing.assert_allclose(
        beyond[0, -1], (1e6 - layer.edges[0, -2]) / np.diff(layer.edges[0])[-1]
    )
    assert (beyond[3] == [1e6 / 1.0, 0, 0, 0, 0, 0]).all()  # one bin, from 0 to 1


def test_no_cell_moves_a_robust_scale_by_more_than_three() -> None:
    for dtype in (np.float64, np.float32):
        layer = RobustScale(1, dtype=dtype).adapt(np.arange(9.0)[:, None])
        far: Any = np.array([[-1e30], [1e4], [np.finfo(dtype).max]], dtype)
        layer.factor *= 8  # times which the largest number overflows
        y = layer.forward(far)
        np.testing.assert_allclose(y, [[-3], [3], [3]], rtol=1e-6)
        assert np.isfinite(layer.backward(np.ones_like(far))).all()


@pytest.mark.parametrize("kind", LAYERS)
def test_forward_waits_for_the_training_rows(kind: Any, tmp_path: Path) -> None:
    x, layer = table(), kind(4)
    with pytest.raises(RuntimeError, match=r"needs the training rows first; call its adapt\(x\)"):
        layer.forward(x)
    minifw.save(layer, tmp_path / "unknown.npz")
    with pytest.raises(RuntimeError, match="adapt"):
        minifw.load(tmp_path / "unknown.npz").forward(x)
    assert layer.adapt(x) is layer
    minifw.save(layer, tmp_path / "known.npz")
    again = minifw.load(tmp_path / "known.npz")
    np.testing.assert_array_equal(again.forward(x), layer.forward(x))
    other = kind(4)
    other.load_state_dict(layer.state_dict())
    np.testing.assert_array_equal(other.forward(x), layer.forward(x))


@pytest.mark.parametrize("kind", [*LAYERS, PeriodicEncoding])
def test_sequences_are_refused(kind: Any) -> None:
    x, layer = table(), kind(4)
    if kind is not PeriodicEncoding:
        layer.adapt(x)
    with pytest.raises(ValueError, match=r"x of shape \(batch, features\), got \(3, 20, 4\)"):
        layer.forward(x.reshape(3, 20, 4))


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x.__setitem__((2, 1), np.inf), r"x to be finite, got inf at index \(2, 1\)"),
        (lambda x: x.__setitem__((2, 1), -np.inf), r"x to be finite, got -inf at index \(2, 1\)"),
    ],
)
def test_what_cannot_be_measured_is_refused(kind: Any, change: Any, message: str) -> None:
    x = table()
    layer = kind(4).adapt(x)
    before = [buffer.copy() for _, buffer in layer.named_buffers()]
    change(x)
    with pytest.raises(ValueError, match=message):
        layer.adapt(x)
    with pytest.raises(ValueError, match=r"expects x of shape \(batch, 4\)"):
        layer.adapt(x[:, :3])
    for old, (_, buffer) in zip(before, layer.named_buffers(), strict=True):
        np.testing.assert_array_equal(buffer, old)


@pytest.mark.parametrize("value", [7.0, 0.1, 1e8 + 0.1])  # the mean of 0.1 three times is not 0.1
def test_a_constant_column_gives_nothing(value: float) -> None:
    x = np.full((5, 1), value)
    assert np.std(np.full(3, 0.1)) > 0
    assert Standardize(1).adapt(np.full((3, 1), 0.1)).factor == 0
    for kind in (Standardize, RobustScale, PiecewiseLinearEncoding):
        layer = kind(1).adapt(x)
        assert not layer.forward(x + np.array([[0.0], [1], [-3], [1e9], [0]])).any()
        check_layer(layer, x)


@pytest.mark.parametrize("kind", [Standardize, RobustScale, PiecewiseLinearEncoding])
def test_a_spread_whose_inverse_overflows_counts_as_none(kind: Any) -> None:
    for dtype, tiny in ((np.float64, 5e-324), (np.float32, 1e-45)):
        layer = kind(1, dtype=dtype).adapt(np.arange(4.0)[:, None] * tiny)
        assert not layer.forward(np.array([[0], [tiny], [1]], dtype)).any()
    mixed = RobustScale(1).adapt(np.array([[0.0], [0], [5e-324], [5e-324], [2]]))
    assert mixed.factor == 1  # by half of the range


def test_a_column_of_gaps_alone_gives_nothing() -> None:
    x = table()
    x[:, 2] = np.nan
    model = Sequential(Impute(4), RobustScale(4))
    adapt(model, x)
    assert not model.forward(table())[:, 2].any()
    with pytest.raises(TypeError, match="adapt expects model to be a layer, got a list"):
        adapt([model], x)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="x to hold real numbers, got a complex128"):
        Impute(4).adapt(x * 1j)


def test_a_model_is_adapted_in_the_order_of_its_forward() -> None:
    x = table(gaps=True)
    x[:, 3] = np.arange(60) % 3
    numbers = Sequential(Columns(0, 1, 2), Impute(3, True), Standardize(6))
    model = Sequential(
        Concat(numbers, Sequential(Columns(3, whole=True), Embedding(3, 2, rng=0))),
        Dense(8, 1, rng=1),
    )
    model.train()
    adapt(model, x)
    assert model.training
    filled = SimpleImputer(strategy="median", add_indicator=True).fit_transform(x[:, :3])
    expected = StandardScaler().fit_transform(filled)
    np.testing.assert_allclose(numbers.forward(x), expected, atol=1e-12)
    alone = RobustScale(3)
    adapt(alone, x[:, :3])  # a model of one layer
    np.testing.assert_array_equal(alone.center, np.nanmedian(x[:, :3], axis=0))


def test_all_rows_of_a_large_table_count_and_nothing_behind_runs() -> None:
    x = np.random.default_rng(0).standard_normal((1800, 2)) * np.linspace(0.1, 5, 1800)[:, None]
    behind = Dense(2, 1, rng=0)
    behind.forward = None  # type: ignore[method-assign, assignment]
    model = Sequential(Standardize(2), RobustScale(2), behind)
    adapt(model, x)
    first = Standardize(2).adapt(x)
    np.testing.assert_array_equal(model[0].state_dict()["center"], first.center)
    second = RobustScale(2).adapt(first.forward(x))
    np.testing.assert_array_equal(model[1].state_dict()["factor"], second.factor)


def test_a_model_without_such_a_layer_does_not_run() -> None:
    alone = Dense(2, 1, rng=0)
    alone.forward = None  # type: ignore[method-assign, assignment]
    adapt(Sequential(alone), np.ones((3, 2)))


def test_pandas_tables_are_measured_as_they_come() -> None:
    x = table(gaps=True)
    frame = pd.DataFrame(x, columns=list("abcd"))
    np.testing.assert_array_equal(Impute(4).adapt(frame).fill, np.nanmedian(x, axis=0))
