"""What is refused at every door: weights below 0, and labels that are no class.

A batch whose weights add up to 0 is left out, and its rows are looked at all the same.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minifw import (
    SGD,
    BCELoss,
    CrossEntropyLoss,
    Dense,
    Graph,
    Loss,
    MSELoss,
    NLLLoss,
    ReduceOnPlateau,
    Scheduled,
    Sequential,
    Sigmoid,
    SumLoss,
    Trainer,
)
from minifw.layers import LogSoftmax

ROWS, SIZE = 12, 2
X = np.random.default_rng(0).standard_normal((ROWS, 2))
STEPS = np.random.default_rng(1).standard_normal((ROWS, 3, 2))
LABELS = np.arange(ROWS) % 3
PAIR = slice(4, 6)  # the rows of the batch that adds up to 0


def trainer(loss: Loss, *last: Any) -> Trainer:
    model: Any = Sequential(Dense(2, 3, rng=0), *last)
    if isinstance(loss, SumLoss):
        first, second = Dense(2, 3, rng=0), Dense(2, 3, rng=1)
        model = Graph("x", a=(first, "x"), b=(second, "x"), outputs=("a", "b"))
    return Trainer(model, loss, SGD(model.parameters(), lr=0.1), rng=0)


def batches(x: Any, y: Any, weight: Any) -> list[Any]:
    """Return the batches of `SIZE` rows, as an iterable gives them."""

    def rows(data: Any, part: slice) -> Any:
        if isinstance(data, tuple):
            return tuple(rows(one, part) for one in data)
        return None if data is None else data[part]

    parts = [slice(start, start + SIZE) for start in range(0, ROWS, SIZE)]
    if weight is None:
        return [(x[part], rows(y, part)) for part in parts]
    return [(x[part], rows(y, part), rows(weight, part)) for part in parts]


def doors(one: Trainer, x: Any, good: Any, y: Any, weight: Any) -> list[Callable[[], Any]]:
    """Return the calls that take y and weight; in the batch of `PAIR` they are wrong."""
    cut = batches(x, y, weight)
    short: Any = {"batch_size": SIZE, "sample_weight": weight}
    return [
        lambda: one.fit(x, y, epochs=1, shuffle=False, **short),
        lambda: one.evaluate(x, y, **short),
        lambda: one.fit(cut, epochs=1),
        lambda: one.evaluate(cut),
        lambda: one.fit(x, good, epochs=1, validation=(x, y, weight)),
        lambda: one.fit(x, good, epochs=1, validation=cut),
    ]


WEIGHTED = {
    "rows": (MSELoss(), X, np.ones((ROWS, 3)), np.ones(ROWS)),
    "steps": (MSELoss(), STEPS, np.ones((ROWS, 3, 3)), np.ones((ROWS, 3))),
    "labels": (CrossEntropyLoss(), X, LABELS, np.ones(ROWS)),
    "class weights": (CrossEntropyLoss([1.0, 2.0, 2.0]), X, LABELS, np.ones(ROWS)),
    "labels of steps": (CrossEntropyLoss(), STEPS, np.ones((ROWS, 3), int), np.ones((ROWS, 3))),
    "a sum": (SumLoss(MSELoss(), CrossEntropyLoss()), X, (X[:, [0, 0, 1]], LABELS), np.ones(ROWS)),
}


@pytest.mark.parametrize("name", WEIGHTED)
@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_a_weight_that_is_none(name: str, bad: float) -> None:
    loss, x, y, weight = WEIGHTED[name]
    weight = weight.copy()
    weight[PAIR] = 0
    weight.reshape(ROWS, -1)[PAIR, 0] = [1.0, bad]  # of which -1 adds up to 0
    one = trainer(loss)
    index = "5" if weight.ndim == 1 else r"\(5, 0\)"
    for number, call in enumerate(doors(one, x, y, y, weight)):
        in_batch = number in (2, 3, 5)
        place = f"{bad} at index {index.replace('5', '1') if in_batch else index}"
        with pytest.raises(ValueError, match=f"to be finite and at least 0, got {place}"):
            call()


def test_weights_in_memory_are_looked_at_before_the_first_step() -> None:
    one = trainer(MSELoss())
    before = one.model.state_dict()
    weight = np.ones(ROWS)
    weight[-1] = -1
    message = r"^Trainer.fit expects every sample_weight to be finite .*, got -1.0 at index 11$"
    with pytest.raises(ValueError, match=message):
        one.fit(X, np.ones((ROWS, 3)), epochs=1, batch_size=SIZE, sample_weight=weight)
    assert one.step == 0
    assert all(np.array_equal(before[name], new) for name, new in one.model.state_dict().items())
    of_second = np.ones(ROWS), weight
    one = trainer(SumLoss(MSELoss(), MSELoss()))
    with pytest.raises(
        ValueError, match=r"every weight b to be finite and at least 0, got -1.0 at"
    ):
        one.fit(X, (np.ones((ROWS, 3)),) * 2, epochs=1, sample_weight=of_second)


def test_the_row_of_a_weight_in_a_file_is_named(tmp_path: Path) -> None:
    weight: Any = np.memmap(tmp_path / "weights", np.float64, "w+", shape=(ROWS,))
    weight[:] = 1
    weight[5] = -1
    with pytest.raises(
        ValueError, match=r"MSELoss\(\) expects .* got -1.0 at index \d\n"
    ) as caught:
        trainer(MSELoss()).fit(
            X, np.ones((ROWS, 3)), epochs=1, batch_size=SIZE, sample_weight=weight
        )
    (note,) = caught.value.__notes__
    assert note.startswith("in epoch 1, batch ")
    assert note.endswith(" of 6, row 5 of the data")


NOTHING = np.ones(ROWS)
NOTHING[PAIR] = 0
LABELLED = {  # a loss, the label of the rows in PAIR, and the weights that let nothing count
    "the first class": (CrossEntropyLoss([0.0, 1.0, 1.0]), -100, None),
    "the last class": (CrossEntropyLoss([1.0, 1.0, 0.0]), 3, None),
    "log-probabilities": (NLLLoss([1.0, 1.0, 0.0]), 7, None),
    "rows": (CrossEntropyLoss(), -1, NOTHING),
    "rows and classes": (CrossEntropyLoss([1.0, 1.0, 2.0]), 3, NOTHING),
    "all that count": (CrossEntropyLoss(), 3, None),
}


@pytest.mark.parametrize("name", LABELLED)
def test_a_label_that_is_no_class(name: str) -> None:
    loss, label, weight = LABELLED[name]
    y = LABELS.copy()
    y[PAIR] = label
    one = trainer(loss, *(LogSoftmax(),) * isinstance(loss, NLLLoss))
    good = np.where(loss.weight[LABELS] > 0, LABELS, 1) if loss.weight is not None else LABELS
    y = np.where(np.arange(ROWS) // SIZE == PAIR.start // SIZE, y, good)
    for number, call in enumerate(doors(one, X, good, y, weight)):
        with pytest.raises(
            ValueError, match=rf"label to be .*, got {label} at index \d"
        ) as caught:
            call()
        notes = " ".join(getattr(caught.value, "__notes__", []))
        assert ("row 4 of the data" in notes) == (number not in (2, 3, 5))


def test_a_part_of_a_sum_that_counts_nothing_is_looked_at() -> None:
    y, none = LABELS.copy(), np.zeros(ROWS)
    y[3] = -100
    one = trainer(SumLoss(MSELoss(), CrossEntropyLoss()))
    for call in doors(one, X, (np.ones((ROWS, 3)), LABELS), (np.ones((ROWS, 3)), y), (None, none)):
        with pytest.raises(ValueError, match="every label to be at least 0, got -100 at index"):
            call()


def test_what_counts_nothing_passes_if_it_is_right(tmp_path: Path) -> None:
    one = trainer(CrossEntropyLoss([0.0, 1.0, 1.0]))
    y = np.where(np.arange(ROWS) // SIZE % 3 == 2, 0, 1)  # of two batches, the last one too
    one.fit(X, y, epochs=1, batch_size=SIZE, shuffle=False)
    assert one.step == ROWS // SIZE - 2
    one.save_checkpoint(tmp_path / "run.npz")
    assert one.evaluate(X, y, batch_size=SIZE)["loss"] == pytest.approx(one.evaluate(X, y)["loss"])


def test_a_column_that_is_no_number_is_named() -> None:
    model = Sequential(Dense(2, 1, rng=0), Sigmoid())
    optimizer = SGD(model.parameters(), lr=0.1)
    watching = Scheduled(ReduceOnPlateau(optimizer, mode="max"), monitor="val_roc_auc")
    one = Trainer(model, BCELoss(), optimizer, metrics=["roc_auc"], callbacks=[watching])
    y = np.arange(ROWS)[:, np.newaxis] % 2
    message = "^Scheduled expects val_roc_auc to be finite, got nan in epoch 1; monitor another "
    with pytest.raises(ValueError, match=message):
        one.fit(X, y, epochs=2, validation=(X, np.ones((ROWS, 1))))


@pytest.mark.parametrize("weight", [5e-324, 1e-310])
def test_weights_that_are_next_to_0_are_refused(weight: float) -> None:
    """Times them, a loss would lose its digits."""
    model = Sequential(Dense(2, 1, rng=0), Sigmoid())
    one = Trainer(model, BCELoss(), SGD(model.parameters(), lr=0.1))
    y = np.ones((ROWS, 1))
    expected = one.evaluate(X, y)["loss"]
    with pytest.raises(ValueError, match="are 0, or next to it"):
        one.evaluate(X, y, sample_weight=np.full(ROWS, weight))
    assert one.evaluate(X, y, sample_weight=np.full(ROWS, 1e-300))["loss"] == pytest.approx(
        expected
    )
