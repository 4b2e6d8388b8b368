"""Several inputs and outputs, penalties and frozen parts at the doors for data."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from minifw import (
    L2,
    SGD,
    Adam,
    Add,
    Array,
    BCELoss,
    BCEWithLogitsLoss,
    Callback,
    Checkpoint,
    CrossEntropyLoss,
    Dense,
    EarlyStopping,
    Embedding,
    Flatten,
    Graph,
    Join,
    Layer,
    Loss,
    MeanLoss,
    MSELoss,
    NonFiniteError,
    Objective,
    Predictor,
    ReLU,
    Sequential,
    Sigmoid,
    SumLoss,
    Tanh,
    Trainer,
    Watch,
    metrics,
    minimize,
)

RNG = np.random.default_rng(0)
A, B = RNG.standard_normal((50, 3)), RNG.standard_normal((50, 2))
SIZE, KIND = A[:, :1] * 2, np.argmax(A, axis=1)
X, Y = (A, B), (SIZE, KIND)


def two(*, seed: int = 0) -> Graph:
    return Graph(
        "a",
        "b",
        h=(Sequential(Dense(3, 8, rng=seed), Tanh()), "a"),
        both=(Join(), "h", "b"),
        size=(Dense(10, 1, rng=1), "both"),
        kind=(Dense(10, 3, rng=2), "both"),
        outputs=("size", "kind"),
    )


def loss_of_two() -> SumLoss:
    return SumLoss(MSELoss(), CrossEntropyLoss(weight=[1.0, 2.0, 4.0]), weights=(1.0, 0.5))


def trainer_of(model: Graph, **options: Any) -> Trainer:
    return Trainer(model, loss_of_two(), Adam(model.parameters(), lr=0.02), rng=0, **options)


def flat(model: Layer) -> bytes:
    return b"".join(array.tobytes() for array in model.state_dict().values())


def mae(prediction: Any, target: Any) -> float:
    return float(np.abs(prediction[0] - target[0]).mean())


# -- training ----------------------------------------------------------------------------------

W = RNG.random(50)
SECOND = np.where(np.arange(50) < 32, 0.0, 1.0)  # a first batch without a kind
CLASSES = np.array([1.0, 2.0, 4.0])


def rows_of(data: Any, rows: slice) -> Any:
    return tuple(rows_of(one, rows) for one in data) if isinstance(data, tuple) else data[rows]


@pytest.mark.parametrize("weights", [(W, W), (W, SECOND)])
def test_it_is_the_loop_of_objective_and_optimizer(weights: tuple[Array, Array]) -> None:
    model, other = two(), two()
    loss, penalty = loss_of_two(), L2(other, 0.01)
    trainer = trainer_of(model, penalties=[L2(model, 0.01)])
    arguments: Any = {"epochs": 1, "batch_size": 32, "shuffle": False}
    history = trainer.fit(X, Y, sample_weight=weights, **arguments)
    objective = Objective(other, loss, penalties=[penalty])
    adam = Adam(other.parameters(), lr=0.02)
    counts, parts, penalties = [], [], []
    for rows in (slice(32), slice(32, 50)):
        objective.forward(*rows_of((X, Y, weights), rows))
        parts.append(loss.parts)
        penalties.append(penalty.forward())
        first, second = rows_of(weights, rows)
        counts.append([first.sum(), (second * CLASSES[KIND[rows]]).sum()])
        objective.backward()
        adam.step()
    assert flat(model) == flat(other)
    c = np.array(counts)
    means = (c * parts).sum(axis=0) / c.sum(axis=0)
    wanted = means[0] + 0.5 * means[1] + np.dot(penalties, c.sum(axis=1)) / c.sum()
    assert history.columns == ["loss", "loss_size", "loss_kind"]
    assert np.allclose(list(history.last.values()), [wanted, *means], rtol=1e-13)


def test_evaluate_counts_each_part_over_all_rows_and_adds_penalties() -> None:
    model = two()
    trainer = trainer_of(model, penalties=[L2(model, 0.1)], metrics=[metrics.mae.of(0)])
    found = trainer.evaluate(X, Y, batch_size=7)
    loss = loss_of_two()
    whole = Objective(model, loss).forward(X, Y)
    squares = sum(float((p.value**2).sum()) for p in model.parameters() if p.value.ndim > 1)
    assert [found["loss_size"], found["loss_kind"]] == pytest.approx(loss.parts, rel=1e-13)
    assert found["loss"] == pytest.approx(whole + 0.1 / 2 * squares, rel=1e-13)
    assert found["mae"] == pytest.approx(np.abs(model.predict(X)[0] - SIZE).mean(), rel=1e-13)


def test_all_forms_of_the_data_are_the_same() -> None:
    cuts = [slice(start, start + 10) for start in range(0, 50, 10)]
    forms: list[dict[str, Any]] = [
        {"x": X, "y": Y, "sample_weight": W},
        {"x": {"b": B, "a": A.tolist()}, "y": Y, "sample_weight": (W, W)},
        {"x": X, "y": {"kind": KIND, "size": SIZE}, "sample_weight": W},
        {"x": [rows_of((X, Y, W), rows) for rows in cuts]},
    ]
    found = []
    for form in forms:
        model = two()
        measures: Any = {"accuracy": metrics.accuracy.of(1), "mae": mae}
        history = trainer_of(model, metrics=measures).fit(
            **form, epochs=2, batch_size=10, shuffle=False, validation=(X, Y)
        )
        found.append((flat(model), history))
    assert all(one == found[0] for one in found)
    size, kind = model.predict(X)
    assert history.last["val_mae"] == np.abs(size - SIZE).mean()
    assert history.last["val_accuracy"] == (kind.argmax(axis=1) == KIND).mean()


class Seen(Layer):
    """y = a; it notes what it was given."""

    takes_whole_numbers: ClassVar[tuple[str, ...]] = ("mask",)
    given: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.scale = Dense(3, 3, rng=0, dtype=np.float32)

    def forward(self, a: Array, b: Any, mask: Any = None) -> Array:
        given = [np.asarray(one).dtype.kind for one in (a, b, mask)]
        type(self).given = tuple(given)
        return np.asarray(self.scale(a))

    def backward(self, dy: Array) -> Any:
        return self.scale.backward(dy), None, None


@pytest.mark.parametrize("inside", [False, True])
def test_each_input_is_cast_by_itself(*, inside: bool) -> None:
    whole = np.ones((50, 3), int)
    layer: Layer = Seen()
    if inside:
        layer = Graph("a", "b", "mask", y=(layer, "a", "b", "mask=mask"))
    doors: list[Callable[[Any], Any]] = [layer.predict, Predictor(layer)]
    doors += [lambda x: Trainer(layer, MSELoss(), SGD(layer.parameters(), lr=0.1)).evaluate(x, A)]
    for door in doors:
        for x, kinds in (
            ((whole, whole, whole), "ffi"),
            ({"b": whole > 0, "a": A}, "fbO"),
            ((A, A, whole > 0), "ffb"),
            ((A, A), "ffO"),
        ):
            if inside and "O" in kinds:  # all inputs of a Graph are needed
                continue
            door(x)
            assert "".join(Seen.given) == kinds
    codes = Graph(
        "codes",
        "numbers",
        code=(Sequential(Embedding(4, 2, rng=0), Flatten()), "codes"),
        both=(Join(), "code", "numbers"),
        y=Dense(9, 1, rng=0),
    )
    x = np.ones((5, 3), int), np.ones((5, 3), int)
    assert np.array_equal(codes.predict(x), codes.predict((x[0], x[1] * 1.0)))


def test_labels_and_truth_values_of_targets_are_cast_by_their_losses() -> None:
    model = two()
    trainer = trainer_of(model)
    one = trainer.evaluate(X, (SIZE > 0, KIND))
    assert one == trainer.evaluate(X, ((SIZE > 0).astype(float), KIND.astype(np.int32)))


class Far(Loss):
    """The mean distance of two outputs, of which a target says whether to hold them near."""

    takes_several: ClassVar[bool] = True

    def forward(self, prediction: Any, target: Any) -> float:
        a, b = prediction
        self.save(a - b, target[0])
        return self.finite(float((target[0] * (a - b) ** 2).mean()))

    def backward(self) -> tuple[Array, Array]:
        d, t = self.saved()
        return 2 * t * d / d.size, -2 * t * d / d.size


def test_an_authors_loss_of_several_outputs_counts_its_rows() -> None:
    half = Dense(3, 2, rng=0)
    model = Graph("a", "b", h=(half, "a"), k=(half, "b"), outputs=("h", "k"))
    trainer = Trainer(model, Far(), SGD(model.parameters(), lr=0.1))
    x, near = (A, A[::-1].copy()), np.sign(SIZE)
    whole = trainer.evaluate(x, (near,))
    assert list(whole) == ["loss"]
    assert trainer.evaluate(x, (near,), batch_size=7) == pytest.approx(whole, rel=1e-12)


def test_targets_that_no_loss_takes_are_left_out() -> None:
    model = two()
    loss = SumLoss(MSELoss(), MeanLoss())
    trainer = Trainer(model, loss, SGD(model.parameters(), lr=0.01))
    assert trainer.evaluate(X, (SIZE,)) == trainer.evaluate(X, (SIZE, None))
    alone = Dense(3, 1, rng=0)
    trainer = Trainer(alone, MeanLoss(), SGD(alone.parameters(), lr=0.1))
    assert trainer.fit(A, epochs=1)["loss"][0] != 0
    assert trainer.evaluate(A)["loss"] == pytest.approx(alone.predict(A).mean(), rel=1e-12)
    with pytest.raises(ValueError, match=r"Dense.* expects x"):
        trainer.evaluate(B)
    loss = SumLoss(MeanLoss(), None)
    free = Trainer(model, loss, SGD(model.parameters(), lr=0.1))
    assert free.evaluate(X) == free.evaluate({"a": A, "b": B}, ())
    with pytest.raises(TypeError, match="without y"):
        trainer_of(model).fit(X, epochs=1)


def test_each_output_has_the_midpoint_of_its_loss() -> None:
    model = Graph("a", h=Dense(3, 1, rng=0), p=(Sigmoid(), "h"), outputs=("h", "p"))
    loss = SumLoss(BCEWithLogitsLoss(), BCELoss())
    both: Any = {"logits": metrics.accuracy.of(0), "p": metrics.accuracy.of(1)}
    trainer = Trainer(model, loss, SGD(model.parameters(), lr=0.1), metrics=both)
    yes = SIZE > 0
    found = trainer.evaluate(A, (yes, yes))
    assert found["logits"] == found["p"] == ((model["h"](A) > 0) == yes).mean()


@pytest.mark.parametrize("form", ["table", "batches"])
def test_weights_of_more_axes(form: str) -> None:
    model = Dense(3, 3, rng=0)
    weight = RNG.random((50, 3))
    trainer = Trainer(model, MSELoss(), SGD(model.parameters(), lr=0.1), metrics=["mae"])
    data: Any = [rows_of((A, 2 * A, weight), slice(i, i + 9)) for i in range(0, 50, 9)]
    if form == "table":
        found = trainer.evaluate(A, 2 * A, sample_weight=weight, batch_size=9)
    else:
        found = trainer.evaluate(data)
    error = model.predict(A) - 2 * A
    assert found["loss"] == pytest.approx(np.average(error**2, weights=weight), rel=1e-12)
    assert found["mae"] == pytest.approx(np.average(np.abs(error), weights=weight), rel=1e-12)


# -- predictions -------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 50, 256, 600])
def test_predictions_of_several_outputs_go_in_blocks(rows: int) -> None:
    model = two()
    x = (RNG.standard_normal((rows, 3)), RNG.standard_normal((rows, 2)))
    wanted = model.forward(*x)
    for found in (model.predict(x), Predictor(model)(x), Predictor(model)({"b": x[1], "a": x[0]})):
        assert all(
            np.allclose(f, w, rtol=1e-12, atol=1e-14) for f, w in zip(found, wanted, strict=True)
        )
    heads = Graph("x", h=Dense(3, 2, rng=0), k=(Tanh(), "h"), m=(ReLU(), "h"), outputs=("k", "m"))
    predictor = Predictor(heads)
    kept = [predictor(x[0]) for _ in range(5)]
    assert all(np.array_equal(one[0], np.tanh(heads["h"](x[0]))) for one in kept)
    assert not any(np.shares_memory(one[i], kept[0][i]) for one in kept[1:] for i in (0, 1))


@pytest.mark.parametrize("door", [lambda m: m.predict, Predictor])
def test_nan_names_the_output_and_the_row(door: Callable[[Layer], Any]) -> None:
    b = np.concatenate([B] * 6)
    b[290, 0] = np.nan
    a = np.concatenate([A] * 6)
    with pytest.raises(
        NonFiniteError, match=r"row 290 of output size .* row of x holds some, too"
    ):
        door(two())((a, b))
    model = two()
    model["kind"].weight.value[...] = np.inf
    with pytest.raises(NonFiniteError, match=r"row 0 of output kind .* of x is finite"):
        door(model)(X)
    assert np.isnan(door(model)(X, allow_nan=True)[1]).any()


class Short(Layer):
    """Of two outputs, the second has a row too few."""

    output_names: ClassVar[tuple[str, ...]] = ("y", "rest")

    def forward(self, x: Array) -> tuple[Array, Array]:
        return x * 1, x[1:] * 1

    def backward(self, *dys: Array) -> Array:
        return dys[0]


def test_wrong_data_are_named() -> None:
    model = two()
    trainer = trainer_of(model)
    for call, message in (
        (
            lambda: trainer.fit((A, B[:9]), Y, epochs=1),
            "input b for each row of input a, got 9 and 50",
        ),
        (lambda: trainer.fit(X, (SIZE, KIND[:9]), epochs=1), "target kind .* got 9 and 50"),
        (
            lambda: trainer.fit(X, Y, epochs=1, sample_weight=(None, W[:9])),
            "weight kind .* 9 and 50",
        ),
        (lambda: trainer.fit([((A, B[:9]), Y)], epochs=1), "input b .* got 9 and 50 in batch 1"),
        (
            lambda: trainer.fit(X, SIZE, epochs=1),
            r"y to be a tuple of arrays, \(size, kind\), got a f",
        ),
        (lambda: trainer.fit(X, (SIZE,), epochs=1), r"\(size, kind\), got \(array\)"),
        (lambda: trainer.fit({"a": A, "c": B}, Y, epochs=1), r"names \(a, b\), got 'c'"),
        (lambda: trainer.fit(X, Y, epochs=1, validation=((A, B[:, :1]), Y)), "input b of shape"),
        (lambda: model.predict((A, B[:9])), "input b for each row of input a, got 9 and 50"),
        (lambda: model.predict((A, None)), r"tuple of arrays, \(a, b\), got \(array, None\)"),
        (lambda: model.predict([A, B]), "x to be a tuple of arrays"),
        (lambda: model.predict(A), "x to be a tuple of arrays"),
        (lambda: Predictor(model)((A, B, B)), r"got \(array, array, array\)"),
        (lambda: Short().predict(A), "one row of output rest .* gave"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    assert np.array_equal(Dense(3, 1, rng=0).predict(tuple(A)), Dense(3, 1, rng=0).predict(A))


def test_the_rows_to_blame_are_named() -> None:
    a = A.copy()
    a[7] = np.inf
    with pytest.raises(NonFiniteError, match=r"; row 7 of x\[0\] holds NaN"):
        trainer_of(two()).fit((a, B), Y, epochs=1, shuffle=False)
    with pytest.raises(ValueError, match="every label"):
        trainer_of(two()).fit(X, (SIZE, KIND + 2), epochs=1)


# -- runs --------------------------------------------------------------------------------------


class Interrupted(Callback):
    """Stops once in the middle of an epoch."""

    def on_batch_end(self, trainer: Trainer) -> None:
        if trainer.step == 7:
            raise KeyboardInterrupt


def test_a_run_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    measures: Any = {"accuracy": metrics.accuracy.of(1), "mae": mae}
    arguments: Any = {"epochs": 3, "batch_size": 11, "validation": (X, Y)}
    whole = two()
    wanted = trainer_of(whole, metrics=measures).fit(X, Y, **arguments)
    broken = trainer_of(two(), metrics=measures, callbacks=[Interrupted()])
    broken.fit(X, Y, **arguments)
    broken.save_checkpoint(tmp_path / "run.npz")
    model = two(seed=9)
    trainer = trainer_of(model, metrics=measures)
    trainer.load_checkpoint(tmp_path / "run.npz")
    assert trainer.fit(X, Y, **arguments) == wanted
    assert flat(model) == flat(whole)
    frozen = two()
    frozen["h"].freeze()
    with pytest.raises(ValueError, match=r"frozen parameters .* h.0.weight is not in"):
        trainer_of(frozen, metrics=measures).load_checkpoint(tmp_path / "run.npz")


def test_callbacks_work_with_several(tmp_path: Path) -> None:
    model = two()
    best = EarlyStopping(monitor="val_loss_kind", patience=2)
    callbacks = [best, Checkpoint(tmp_path / "c.npz"), Watch()]
    history = trainer_of(model, callbacks=callbacks).fit(X, Y, epochs=4, validation=(X, Y))
    assert len(history) == 4
    assert (tmp_path / "c.npz").exists()
    dead = Graph(
        "a",
        "b",
        s=(Add(), "a", "b"),
        d=Dense(3, 4, rng=0),
        r=ReLU(),
        y=(Sequential(Dense(4, 1, rng=0), ReLU()), "r"),
    )
    dead["d"].bias.value[...] = -100.0
    optimizer = SGD(dead.parameters(), lr=0.1)
    with pytest.warns(UserWarning, match=r"4 of 4 units of layer r, ReLU\(\)"):
        Trainer(dead, MSELoss(), optimizer, callbacks=[Watch()]).fit(
            (A, A), np.abs(SIZE), epochs=1
        )


def test_the_optimizer_has_all_that_is_trained() -> None:
    model = two()
    trainer = trainer_of(model)
    model["kind"] = Dense(10, 3, rng=5)
    with pytest.raises(ValueError, match=r"Adam\(.* has not kind\.weight"):
        trainer.fit(X, Y, epochs=1)
    trainer.optimizer = SGD(model.parameters(), lr=0.1)
    before = flat(model)
    trainer.fit(X, Y, epochs=1)
    assert flat(model) != before
    for name in ("model", "loss"):
        with pytest.raises(AttributeError):
            setattr(trainer, name, getattr(trainer, name))
    with pytest.raises(ValueError, match="optimizer of this model's parameters"):
        trainer.optimizer = SGD(two().parameters(), lr=0.1)


class Swap(Callback):
    """Assigns another optimizer after the first batch."""

    def on_batch_end(self, trainer: Trainer) -> None:
        if trainer.batch == 1:
            self.before = flat(trainer.model)
            trainer.optimizer = SGD(trainer.model.parameters(), lr=1e-300)


def test_another_optimizer_makes_the_next_step() -> None:
    model, swap = two(), Swap()
    trainer_of(model, callbacks=[swap]).fit(X, Y, epochs=1, batch_size=25)
    assert flat(model) == swap.before


def test_names_of_parts_are_taken() -> None:
    with pytest.raises(ValueError, match="'loss_size' of a metric is taken"):
        trainer_of(two(), metrics={"loss_size": metrics.mae.of(0)})
    with pytest.raises(ValueError, match=r"say of which output it is: accuracy.of\(0\)"):
        trainer_of(two(), metrics=["accuracy"]).fit(X, Y, epochs=1)


def test_minimize_takes_several() -> None:
    model = Graph("a", "b", both=(Join(), "a", "b"), y=Dense(5, 1, bias=False, rng=0))
    objective = Objective(model, MSELoss(), penalties=[L2(model, 0.1)])
    minimize(objective, X, SIZE, "trust-exact")
    both = np.hstack(X)
    exact = np.linalg.solve(2 / 50 * both.T @ both + 0.1 * np.eye(5), 2 / 50 * both.T @ SIZE).T
    assert np.allclose(model["y"].weight.value, exact, rtol=1e-7, atol=1e-9)
