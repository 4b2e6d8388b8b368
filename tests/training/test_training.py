"""The trainer: what it computes, data of every kind, and the history."""

import re
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from scipy.sparse import coo_array, csr_array, csr_matrix, dok_array

from minifw import (
    GRU,
    SGD,
    Adam,
    Array,
    BatchNorm,
    BCELoss,
    BCEWithLogitsLoss,
    CategoricalCrossEntropyLoss,
    CrossEntropyLoss,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    HingeLoss,
    History,
    Layer,
    LogSoftmax,
    Loss,
    MSELoss,
    NLLLoss,
    Objective,
    Predictor,
    Reshape,
    Sequential,
    Sigmoid,
    Softmax,
    Trainer,
    metrics,
)

RNG = np.random.default_rng(0)
X = RNG.standard_normal((50, 3))
Y = (X[:, :1] + 0.5 * RNG.standard_normal((50, 1)) > 0).astype(float)


def linear(dtype: Any = np.float64, **kwargs: Any) -> Trainer:
    model = Dense(3, 1, rng=0, dtype=dtype)
    return Trainer(model, MSELoss(), SGD(model.parameters(), lr=0.1), rng=1, **kwargs)


def values(trainer: Trainer) -> bytes:
    return b"".join(array.tobytes() for array in trainer.model.state_dict().values())


# -- what is computed --------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 50, None])
def test_fit_is_the_bare_loop(size: int | None) -> None:
    """Batch by batch, in the order that the generator gives."""
    trainer, twin = linear(), linear()
    history = trainer.fit(X, Y, epochs=3, batch_size=size)
    objective, order, step = twin.objective, np.random.default_rng(1), size or 50
    for epoch in range(3):
        rows, total = order.permutation(50), 0.0
        for start in range(0, 50, step):
            batch = rows[start : start + step]
            total += objective.forward(X[batch], Y[batch]) * len(batch)
            objective.backward()
            twin.optimizer.step()
        assert history["loss"][epoch] == total / 50
    assert values(trainer) == values(twin)
    assert (trainer.epoch, trainer.batch, trainer.batches) == (3, -(-50 // step), -(-50 // step))


def test_every_fit_is_a_new_run() -> None:
    trainer = linear()
    first = trainer.fit(X, Y, epochs=2)
    second = trainer.fit(X, Y, epochs=3)
    assert (len(first), len(second), trainer.epoch) == (2, 3, 3)
    assert second["loss"][0] < first["loss"][0]


def test_modes_come_back_and_buffers_are_of_training_alone() -> None:
    model = Sequential(Dense(3, 4, rng=0), BatchNorm(4), Dropout(0.5, rng=1), Dense(4, 1, rng=2))
    model[1].eval()  # it is in train mode during fit none the less
    trainer = Trainer(model, BCEWithLogitsLoss(), Adam(model.parameters()))
    before = model.state_dict()
    trainer.evaluate(X, Y)
    after = model.state_dict()
    assert all(np.array_equal(after[name], before[name]) for name in before)
    trainer.fit(X, Y, epochs=1, validation=(X, Y))
    assert [layer.training for layer in model] == [True, False, True, True]
    moved = [name for name in before if not np.array_equal(model.state_dict()[name], before[name])]
    assert "1.running_mean" in moved


def test_validation_is_evaluate() -> None:
    model = Sequential(Dense(3, 4, rng=0), Dropout(0.5, rng=1), Dense(4, 1, rng=2))
    trainer = Trainer(model, MSELoss(), SGD(model.parameters(), lr=0.1), metrics=["r2"])
    weight = RNG.random(20)
    history = trainer.fit(X, Y, epochs=2, validation=(X[:20], Y[:20], weight))
    assert history.columns == ["loss", "r2", "val_loss", "val_r2"]
    found = trainer.evaluate(X[:20], Y[:20], sample_weight=weight)
    assert found == {"loss": history.last["val_loss"], "r2": history.last["val_r2"]}
    batches = [(X[:7], Y[:7], weight[:7]), (X[7:20], Y[7:20], weight[7:])]
    history = linear().fit(X, Y, epochs=1, validation=batches)
    assert history.last == pytest.approx(
        linear().fit(X, Y, epochs=1, validation=(X[:20], Y[:20], weight)).last
    )


def test_whole_weights_are_as_many_rows() -> None:
    weight = np.random.default_rng(3).integers(0, 4, 50)
    trainer, twin = linear(metrics=["r2"]), linear(metrics=["r2"])
    x, y = X.repeat(weight, axis=0), Y.repeat(weight, axis=0)
    kwargs: dict[str, Any] = {"epochs": 3, "batch_size": None, "shuffle": False}
    history = trainer.fit(X, Y, sample_weight=weight, **kwargs)
    expected = twin.fit(x, y, **kwargs)
    for name in ("loss", "r2"):
        assert history[name] == pytest.approx(expected[name], rel=1e-12)
    assert trainer.evaluate(X, Y, sample_weight=weight, batch_size=7) == pytest.approx(
        twin.evaluate(x, y), rel=1e-12
    )


def test_batches_that_count_nothing_are_passed_by() -> None:
    weight = np.zeros(50)
    weight[3] = 2.0
    trainer = linear()
    history = trainer.fit(X, Y, epochs=2, batch_size=10, sample_weight=weight)
    assert (trainer.step, trainer.batch) == (2, 5)
    assert history["loss"][0] == pytest.approx(linear().evaluate(X[3:4], Y[3:4])["loss"])
    for call in (
        lambda: linear().evaluate(X, Y, sample_weight=np.zeros(50)),
        lambda: linear().fit(X, Y, epochs=1, sample_weight=np.zeros(50)),
    ):
        with pytest.raises(ValueError, match="no example counts: all of sample_weight"):
            call()
    with pytest.raises(ValueError, match=r"negative|at least 0|below 0"):
        linear().evaluate(X, Y, sample_weight=-np.ones(50))


def test_a_loss_without_weights_says_so() -> None:
    class Plain(Loss):
        def forward(self, prediction: Array, target: Any) -> float:
            self.save(prediction - target)
            return float(np.mean((prediction - target) ** 2))

        def backward(self) -> Array:
            (error,) = self.saved()
            gradient: Array = 2 * error / error.size
            return gradient

    model = Dense(3, 1, rng=0)
    trainer = Trainer(model, Plain(), SGD(model.parameters(), lr=0.1), rng=1)
    found, expected = trainer.fit(X, Y, epochs=2), linear().fit(X, Y, epochs=2)
    assert found["loss"] == pytest.approx(expected["loss"])
    with pytest.raises(TypeError, match="sample_weight"):
        trainer.fit(X, Y, epochs=1, sample_weight=np.ones(50))


# -- data --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "as_data",
    [
        lambda a: a.tolist(),
        lambda a: a.astype(np.float32),
        lambda a: a.astype(">f8"),
        np.asfortranarray,
        lambda a: a[::-1][::-1],
    ],
)
def test_data_are_cast_to_the_model(dtype: Any, as_data: Callable[[Any], Any]) -> None:
    x = np.round(X, 2).astype(np.float32).astype(float)  # the same in each of them
    trainer, twin = linear(dtype), linear(dtype)
    history = trainer.fit(as_data(x), as_data(Y), epochs=2)
    assert history == twin.fit(x.astype(dtype), Y.astype(dtype), epochs=2)
    assert values(trainer) == values(twin)
    assert trainer.model.predict(as_data(x)).dtype == dtype


def test_whole_numbers_and_truth_values_are_cast_too() -> None:
    x = RNG.integers(-5, 5, (50, 3))
    expected = linear().fit(x.astype(float), Y, epochs=1)
    assert linear().fit(x.astype(np.int16), Y > 0, epochs=1) == expected
    assert linear().fit(x, Y.astype(np.uint8), epochs=1) == expected


def test_an_embedding_takes_whole_numbers_as_they_are() -> None:
    words = RNG.integers(0, 9, (50, 2)).astype(np.int32)
    model = Sequential(Embedding(9, 3, rng=0), Flatten(), Dense(6, 4, rng=1))
    trainer = Trainer(
        model, CrossEntropyLoss(), Adam(model.parameters(), lr=0.1), metrics=["accuracy"], rng=2
    )
    label = words[:, 0] % 4
    history = trainer.fit(words, label, epochs=60, validation=(words, label))
    assert history.last["val_accuracy"] > 0.8 > history["val_accuracy"][0]
    np.testing.assert_allclose(  # sums of a product may depend on the batch, in the last digit
        model.predict(words.tolist(), batch_size=7), model.predict(words), rtol=1e-12
    )
    batches = [(words[:30], label[:30]), (words[30:], label[30:])]
    assert trainer.evaluate(batches) == pytest.approx(trainer.evaluate(words, label))


def test_a_memory_map_trains_as_the_array_does(tmp_path: Path) -> None:
    for name, array in (("x", X.astype(np.float32)), ("y", Y.astype(np.int8))):
        np.save(tmp_path / f"{name}.npy", array)
    x, y = (np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "xy")
    for shuffle in (True, False):
        mapped, plain = linear(metrics=["r2"]), linear(metrics=["r2"])
        kwargs: dict[str, Any] = {"epochs": 3, "batch_size": 16, "shuffle": shuffle}
        history = mapped.fit(x, y, validation=(x, y), **kwargs)
        x32 = X.astype(np.float32)
        assert history == plain.fit(x32, Y, validation=(x32, Y), **kwargs)
        assert values(mapped) == values(plain)
    assert np.array_equal(mapped.model.predict(x), mapped.model.predict(x32))


def test_data_in_a_file_are_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    rows = 400_000  # of 3 float32s: 4.8 MB, and 9.6 MB when cast
    x = np.memmap(tmp_path / "x", np.float32, "w+", shape=(rows, 3))
    y = np.memmap(tmp_path / "y", np.float32, "w+", shape=(rows, 1))
    trainer = linear(replay=False)  # a recording takes up to 1 MB more, whatever the data
    tracemalloc.start()
    trainer.fit(x, y, epochs=1, batch_size=10_000, shuffle=False, validation=(x[:9], y[:9]))
    trainer.evaluate(x[::2], y[::2])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert trainer.step == 40
    assert peak < 2e6


def test_sparse_data_get_their_zeros_batch_by_batch() -> None:
    x = np.where(X > 0.5, X, 0.0)
    trainer, twin = linear(), linear()
    for kind in (csr_array, csr_matrix, coo_array, dok_array):
        sparse, held = kind(x), (kind(x[:9]), Y[:9])
        history = trainer.fit(sparse, kind(Y), epochs=2, batch_size=16, validation=held)
        assert history == twin.fit(x, Y, epochs=2, batch_size=16, validation=(x[:9], Y[:9]))
        assert values(trainer) == values(twin)
        assert trainer.evaluate(sparse, Y) == twin.evaluate(x, Y)
        assert np.array_equal(trainer.model.predict(sparse), twin.model.predict(x))
    wide = csr_array(([1.0], ([0], [0])), (4000, 1000))  # 32 MB with its zeros
    model = Dense(1000, 1, rng=0)
    tracemalloc.start()
    Trainer(model, MSELoss(), SGD(model.parameters(), 0.1)).fit(wide, np.ones((4000, 1)), epochs=1)
    model.predict(wide)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6e6


class Slices:
    """What h5py's data sets are like: indexed by slices and by rising rows."""

    def __init__(self, array: Any) -> None:
        self.array, self.shape, self.dtype, self.ndim = array, array.shape, array.dtype, array.ndim
        self.reads: list[int] = []

    def __getitem__(self, rows: Any) -> Any:
        if not isinstance(rows, slice):
            assert np.all(np.diff(rows) > 0)
        part = self.array[rows]
        self.reads.append(len(part))
        return part

    def __len__(self) -> int:
        return len(self.array)


def test_what_can_be_indexed_by_rows_is_read_batch_by_batch() -> None:
    x, y = Slices(X), Slices(Y)
    trainer, twin = linear(), linear()
    assert trainer.fit(x, y, epochs=2, batch_size=16) == twin.fit(X, Y, epochs=2, batch_size=16)
    assert values(trainer) == values(twin)
    assert max(x.reads) == 16
    assert np.array_equal(
        trainer.model.predict(cast("Any", x), batch_size=16), twin.model.predict(X)
    )


def test_nobody_may_write_into_the_data() -> None:
    class Careless(Layer):
        def forward(self, x: Array) -> Array:
            x *= 2
            return x

        def backward(self, dy: Array) -> Array:
            return dy

    before = X.copy()
    model = Sequential(Careless(), Dense(3, 1))
    trainer = Trainer(model, MSELoss(), SGD(model.parameters(), lr=0.1))
    with pytest.raises(ValueError, match="read-only"):
        trainer.fit(X, Y, epochs=1, shuffle=False)
    with pytest.raises(ValueError, match="read-only"):
        model.predict(X)
    assert np.array_equal(X, before)


def test_an_iterable_of_batches_trains_as_the_array_does() -> None:
    batches = [(X[i : i + 16], Y[i : i + 16]) for i in range(0, 50, 16)]
    arrays = linear().fit(X, Y, epochs=3, batch_size=16, shuffle=False)

    class Anew:
        def __iter__(self) -> Iterator[Any]:
            return iter([(x.tolist(), y.astype(np.float32), None) for x, y in batches])

    for data, count in ((batches, 4), (Anew(), None)):
        trainer = linear()
        assert trainer.fit(data, epochs=3) == arrays
        assert trainer.batches == count
    once = (batch for batch in batches)
    expected = linear().fit(X, Y, epochs=1, batch_size=16, shuffle=False)
    assert linear().fit(once, epochs=1) == expected


def iter_batches() -> Iterator[Any]:
    yield X, Y


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: t.fit(iter([(X, Y)]), epochs=2), "go through 2 times, got .* gives them once"),
        (lambda t: t.fit(X, epochs=1), "x and y, or an iterable of batches .* without y"),
        (lambda t: t.fit([X, Y], epochs=1), r"pair \(x, y\) or a triple .* as batch 1"),
        (lambda t: t.fit([], epochs=1), "at least one batch, but the iterable gave none"),
        (lambda t: t.fit([(X, Y)], epochs=1, sample_weight=Y[:, 0]), "yields it in its batches"),
        (lambda t: t.fit([(X, Y[:3])], epochs=1), "row of y for each row of x, got 3 and 50 in"),
        (lambda t: t.fit([(X, ["a"] * 50)], epochs=1), "y of every batch to hold real numbers"),
        (lambda t: t.fit(X, Y[:3], epochs=1), "one row of y for each row of x, got 3 and 50"),
        (
            lambda t: t.fit(X.T, Y.T, epochs=1),
            "one example per row: np.transpose.x., np.transpose.y.",
        ),
        (lambda t: t.fit(X[:0], Y[:0], epochs=1), "x to hold at least one example"),
        (lambda t: t.fit(X.astype(str), Y, epochs=1), "x to hold real numbers"),
        (lambda t: t.fit(X + 1j, Y, epochs=1), "x to hold real numbers"),
        (
            lambda t: t.fit([[1.0], [1.0, 2.0]], Y, epochs=1),
            r"x to hold rows of one length, .*\(1,\) in row 0 and \(2,\) in row 1; pad",
        ),
        (lambda t: t.fit(np.ma.array(X, mask=X > 0), Y, epochs=1), "x without a mask"),
        (lambda t: t.fit([(X, np.ma.array(Y, mask=Y > 0))], epochs=1), "y without a mask"),
        (lambda t: t.fit(csr_array(X), epochs=1), "got a csr_array without y"),
        (lambda t: t.fit([(csr_matrix(X), Y)], epochs=1), r"a csr_matrix; use x.toarray\(\)"),
        (
            lambda t: t.fit(X, Y, epochs=1, sample_weight=Y[..., np.newaxis]),
            r"use sample_weight.ravel\(\)",
        ),
        (lambda t: t.fit(X, Y, epochs=0), "epochs"),
        (lambda t: t.fit(X, Y, epochs=1, batch_size=0), "batch_size"),
        (lambda t: t.fit(X, Y, epochs=1, shuffle="yes"), "shuffle"),
        (
            lambda t: t.fit(X, Y, epochs=1, validation=0.2),
            "got 0.2; split the data first, with minifw",
        ),
        (lambda t: t.fit(X, Y, epochs=1, validation=(X[:, :2], Y)), r"x of shape \(examples, 3\)"),
        (
            lambda t: t.fit(X, Y, epochs=1, validation=(X, Y[:, 0])),
            r"y of shape \(examples, 1\), as in training, got \(examples,\); use np.reshape\(y, ",
        ),
        (
            lambda t: t.fit(X, Y, epochs=1, validation=[(X, Y[:, 0])]),
            r"^Trainer.fit\(validation=...\) expects y .*\(examples,\); use np.reshape\(y, ",
        ),
        (lambda t: t.fit(iter_batches, epochs=1), r"without y; call it: iter_batches\(\)$"),
        (lambda t: t.fit(X, Y, epochs=2, validation=iter([(X, Y)])), "which gives them once"),
        (
            lambda t: t.fit(X, Y.ravel(), epochs=1),
            r"\(examples, 1\), got \(examples,\); use np.reshape\(y, \(-1, 1\)\)",
        ),
        (
            lambda t: t.evaluate(X, Y[..., np.newaxis]),
            r"\(examples, 1, 1\); use np.squeeze\(y, -1\)",
        ),
        (lambda t: t.evaluate(X, Y, batch_size=1.5), "batch_size"),
    ],
)
def test_wrong_data(call: Callable[[Trainer], object], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        call(linear())


def classifier(last: Layer | None, loss: Loss, outputs: int) -> Trainer:
    layers = [Dense(3, outputs, rng=0), *([] if last is None else [last])]
    model = Sequential(*layers)
    return Trainer(model, loss, SGD(model.parameters(), lr=0.1), rng=1)


@pytest.mark.parametrize(
    ("last", "loss"),
    [
        (None, CrossEntropyLoss()),
        (Softmax(), CategoricalCrossEntropyLoss()),
        (LogSoftmax(), NLLLoss()),
    ],
)
def test_truth_values_are_no_labels(last: Layer | None, loss: Loss) -> None:
    one, both = classifier(last, loss, 2), np.hstack([Y > 0, Y <= 0])
    with pytest.raises(TypeError, match=r"got truth values; use np.asarray\(y, int\)"):
        one.fit(X, Y[:, 0] > 0, epochs=1)
    if not isinstance(loss, NLLLoss):
        one.fit(X, both, epochs=1)  # probabilities


@pytest.mark.parametrize(
    ("last", "loss"),
    [
        (None, CrossEntropyLoss()),
        (Softmax(), CategoricalCrossEntropyLoss()),
        (LogSoftmax(), NLLLoss()),
    ],
)
def test_a_column_of_labels_has_a_fix_that_works(last: Layer | None, loss: Loss) -> None:
    y = Y.astype(int)
    calls: list[Callable[[Trainer, Any], object]] = [
        lambda t, y: t.fit(X, y, epochs=1),
        lambda t, y: t.fit([(X, y)], epochs=1),
        lambda t, y: t.evaluate(X, y),
    ]
    for call in calls:
        trainer = classifier(last, loss, 2)
        with pytest.raises(
            ValueError, match=r"\(examples,\), got \(examples, 1\); use np.ravel\(y\)"
        ):
            call(trainer, y)
        call(trainer, y.ravel())
    trainer = Trainer(
        model := Sequential(Reshape((3, 1)), Dropout(0.0), GRU(1, 2, rng=0)),
        CrossEntropyLoss(),
        SGD(model.parameters(), lr=0.1),
    )
    steps = np.ones((50, 3, 1), int)
    with pytest.raises(
        ValueError, match=r"\(examples, 3\), got .* 3, 1\); use np.squeeze\(y, -1\)"
    ):
        trainer.fit(X, steps, epochs=1)
    trainer.fit(X, steps[..., 0], epochs=1)


@pytest.mark.parametrize(
    ("last", "loss", "outputs"),
    [
        (Sigmoid(), BCELoss(), 1),
        (None, BCEWithLogitsLoss(), 1),
        (None, MSELoss(), 1),
        (None, HingeLoss(), 1),
        (None, CrossEntropyLoss(), 2),
        (Softmax(), CategoricalCrossEntropyLoss(), 2),
    ],
)
def test_the_row_of_a_target_that_is_not_finite_is_named(
    last: Layer | None, loss: Loss, outputs: int
) -> None:
    y = np.hstack([Y, 1 - Y])[:, :outputs]
    if isinstance(loss, HingeLoss):
        y = 2 * y - 1
    bad = y.copy()
    bad[37] = np.nan
    trainer = classifier(last, loss, outputs)
    with pytest.raises(ValueError, match=r"in epoch 1, batch \d of 5; row 37 of y holds NaN"):
        trainer.fit(X, bad, epochs=1, batch_size=10)
    with pytest.raises(ValueError, match="row 37 of y holds NaN"):
        trainer.evaluate(X, bad)
    with pytest.raises(ValueError, match="row 37 of y, counted in the batch, holds NaN"):
        trainer.evaluate([(X, bad)])
    weight = np.ones(50)
    weight[[3, 41]] = np.inf
    with pytest.raises(ValueError, match=r"every sample_weight to be finite .* inf at index 3"):
        trainer.evaluate(X, y, sample_weight=weight)


def test_a_trainer_of_other_parts() -> None:
    model, other = Dense(3, 1), Dense(3, 1)
    with pytest.raises(TypeError, match=r"write SGD\(model.parameters\(\), lr=...\)"):
        Trainer(model, MSELoss(), SGD)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="an optimizer of this model's parameters"):
        Trainer(model, MSELoss(), SGD(other.parameters(), lr=0.1))


# -- predict and evaluate ------------------------------------------------------------------------


class Rowless(Layer):
    """A layer whose output has other rows than its input, as `how` makes them."""

    def __init__(self, how: Callable[[Array], Array]) -> None:
        self.how = how

    def forward(self, x: Array) -> Array:
        return self.how(x)

    def backward(self, dy: Array) -> Array:
        return dy


def first_block_wide(x: Array) -> Array:
    return x if x[0, 0] == X[0, 0] else x[:, :1]


@pytest.mark.parametrize(
    ("how", "size", "message"),
    [
        (
            lambda x: x.mean(0, keepdims=True),
            50,
            "(50, 3), the layer gave (1, 3) for 50 rows",
        ),
        (lambda x: x.mean(0, keepdims=True), 4, "(4, 3), the layer gave (1, 3) for 4 rows"),
        (lambda x: np.concatenate([x, x]), 50, "(50, 3), the layer gave (100, 3) for 50 rows"),
        (lambda x: np.concatenate([x, x]), 25, "(25, 3), the layer gave (50, 3) for 25 rows"),
        (lambda x: x[:7], 30, "(30, 3), the layer gave (7, 3) for 30 rows"),
        (lambda x: np.array(x.sum()), 50, "(50,), the layer gave () for 50 rows"),
        (first_block_wide, 40, "(10, 3), the layer gave (10, 1) for 10 rows"),
    ],
)
def test_predict_invents_no_rows(how: Any, size: int, message: str) -> None:
    """A broadcast would spread a mean over the rows, and one column over three."""
    model = Rowless(how)
    sentence = f"expects one row of output for each row of x, of shape {message}"
    with pytest.raises(ValueError, match=re.escape(f"Rowless.predict {sentence}")):
        model.predict(X, batch_size=size)
    if size == len(X):
        with pytest.raises(ValueError, match=re.escape(f"Predictor {sentence}")):
            Predictor(model)(X)


def test_predict_restores_modes_and_keeps_no_caches() -> None:
    model = Sequential(Dense(3, 4, rng=0), Dropout(0.5), Dense(4, 1, rng=1))
    model[1].eval()
    assert model.predict(X, batch_size=7).shape == (50, 1)
    assert [layer.training for layer in model] == [True, False, True]
    with pytest.raises(RuntimeError, match="call forward first"):
        model.backward(np.ones((1, 1)))
    objective = Objective(model, MSELoss())
    objective.forward(X[:2], Y[:2])
    objective.backward()
    gradient = model[0].weight.grad.copy()
    objective.forward(X[:2], Y[:2])
    model.predict(X)  # between a forward and its backward
    objective.backward()
    assert np.array_equal(model[0].weight.grad, gradient)


def test_evaluate_leaves_everything_as_it_was() -> None:
    trainer = linear(metrics=["r2"])
    trainer.fit(X, Y, epochs=1)
    before = values(trainer)
    assert trainer.evaluate(X, Y, batch_size=3) == pytest.approx(trainer.evaluate(X, Y))
    assert values(trainer) == before
    assert len(trainer.history) == 1


@pytest.mark.parametrize("batch_size", [7, 16, 50])
def test_evaluate_is_the_metric_of_all_rows(batch_size: int) -> None:
    names = [name for name in metrics.__all__ if name != "Metric"]
    model = Sequential(Dense(3, 1, rng=1))
    trainer = Trainer(model, BCEWithLogitsLoss(), SGD(model.parameters(), lr=0.1), metrics=names)
    weight = np.random.default_rng(1).random(50)
    found = trainer.evaluate(X, Y, batch_size=batch_size, sample_weight=weight)
    logits = model.predict(X)
    expected = {"loss": BCEWithLogitsLoss()(logits, Y, weight)}
    for name in names:
        metric = getattr(metrics, name).at(0.0)
        expected[name] = metric(logits, Y, weight)
    assert found == pytest.approx(expected, rel=1e-12)


def test_a_metric_of_ones_own_gets_the_whole() -> None:
    sizes = []

    def rows(prediction: Any, target: Any) -> float:
        sizes.append((len(prediction), len(target)))
        return 1.0

    linear(metrics=[rows]).fit(X, Y, epochs=2)
    assert sizes == [(50, 50)] * 2


# -- the history -------------------------------------------------------------------------------


def test_a_history_is_a_table_and_arrays() -> None:
    history = linear(metrics=["r2"]).fit(X, Y, epochs=30, validation=(X, Y))
    lines = str(history).splitlines()
    assert lines[0].split() == ["epoch", "loss", "r2", "val_loss", "val_r2"]
    assert len({len(line) for line in lines}) == 1
    assert [line.split()[0] for line in lines[12:15]] == ["12", "...", "19"]
    arrays = history.to_dict()
    assert list(arrays) == list(history) == ["epoch", "loss", "r2", "val_loss", "val_r2"]
    assert arrays["epoch"].tolist() == list(range(1, 31))
    assert arrays["val_loss"].tolist() == history["val_loss"]
    assert dict(history) == {name: history[name] for name in arrays}
    assert history.keys() == list(arrays)
    assert "val_r2" in history
    assert repr(history).startswith("History(30 epochs; the last: loss=")
    with pytest.raises(KeyError, match="no column 'acc'; it has epoch, loss, r2"):
        history["acc"]
    with pytest.raises(ValueError, match="every epoch has the same"):
        history.append({"loss": 1.0})
    assert str(History()) == "no epoch was completed"


def test_a_history_draws_itself(tmp_path: Path) -> None:
    history = linear().fit(X, Y, validation=(X, Y), epochs=3)
    figure = history.plot(tmp_path / "curves.png")
    (panel,) = figure.axes
    drawn = [line.get_ydata().tolist() for line in panel.get_lines()]
    assert history["loss"] in drawn
    assert history["val_loss"] in drawn
    assert (tmp_path / "curves.png").stat().st_size > 0


def test_a_history_draws_some_of_its_columns_and_knows_each_epoch() -> None:
    history = linear(metrics=["r2", "mse"]).fit(X, Y, epochs=3)
    assert len(history.plot().axes) == 3
    figure = history.plot(columns=["mse", "loss"], log=True)
    assert [panel.get_ylabel() for panel in figure.axes] == ["mse", "loss"]
    assert figure.axes[0].get_yscale() == "log"
    for columns in (["accuracy"], "loss", []):
        with pytest.raises(ValueError, match="a list of some of loss, r2, mse, got"):
            history.plot(columns=columns)
    assert history.at(3) == history.last
    assert history.at(1)["loss"] == history["loss"][0]
    for epoch in (0, 4):
        with pytest.raises(ValueError, match=f"has the epochs 1 to 3, got {epoch}"):
            history.at(epoch)


def test_an_evaluation_takes_the_place_of_a_forward_and_a_prediction_does_not() -> None:
    trainer = linear()
    trainer.objective.forward(X, Y)
    trainer.model.predict(X)
    trainer.objective.backward()
    trainer.objective.forward(X, Y)
    trainer.evaluate(X, Y)
    with pytest.raises(RuntimeError, match="needs a forward before it"):
        trainer.objective.backward()
