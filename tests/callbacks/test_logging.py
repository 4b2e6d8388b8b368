"""What is handed to other software, and what is written: Log, and the cost of CSVLog."""

import csv
import struct
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np
import pytest
from tensorboardX import SummaryWriter
from tensorboardX.proto.event_pb2 import Event

from minifw import (
    SGD,
    Callback,
    Checkpoint,
    CostLines,
    CSVLog,
    Dense,
    History,
    Log,
    MSELoss,
    Progress,
    Trainer,
    Watch,
)

X = np.random.default_rng(0).standard_normal((20, 3))
Y = X[:, :1]


def trainer(*callbacks: Callback) -> Trainer:
    model = Dense(3, 1, rng=0)
    optimizer = SGD(model.parameters(), lr=0.1)
    return Trainer(model, MSELoss(), optimizer, metrics=["mae"], callbacks=callbacks, rng=1)


def events(path: Path) -> Iterator[Any]:
    """Yield the events of a file of TensorBoard: each has its length before it."""
    data = path.read_bytes()
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        yield Event.FromString(data[12 : 12 + length])  # behind a checksum of the length
        data = data[16 + length :]


def test_log_hands_each_epoch_to_tensorboard(tmp_path: Path) -> None:
    with SummaryWriter(str(tmp_path)) as writer:
        log = Log(lambda epoch, row: [writer.add_scalar(n, v, epoch) for n, v in row.items()])
        history = trainer(log).fit(X, Y, epochs=3, validation=(X, Y))
    (path,) = tmp_path.iterdir()
    found = [(e.step, v.tag, v.simple_value) for e in events(path) for v in e.summary.value]
    names = history.columns
    assert [row[:2] for row in found] == [(epoch, n) for epoch in (1, 2, 3) for n in names]
    expected = [value for epoch in (1, 2, 3) for value in history.at(epoch).values()]
    np.testing.assert_allclose([row[2] for row in found], expected, rtol=1e-6)  # of float32


def test_log_hands_over_plain_values_once_an_epoch_on_one_rank() -> None:
    rows: list[Any] = []
    log = Log(lambda *row: rows.append(row))
    history = trainer(log).fit(X, Y, epochs=2)
    assert rows == [(1, history.at(1)), (2, history.at(2))]
    assert {type(value) for _, row in rows for value in row.values()} == {float}
    other: Any = SimpleNamespace(main=False, epoch=3, history=history)
    log.on_epoch_end(other)
    assert len(rows) == 2
    with pytest.raises(TypeError, match="Log expects a function of the epoch and its values, got"):
        Log(3)  # type: ignore[arg-type]
    assert repr(Log(print)) == "Log(print)"


def test_a_checkpoint_does_not_look_into_the_function(tmp_path: Path) -> None:
    class Software:
        """An object of other software, which lets nobody look into it."""

        def __getattribute__(self, name: str) -> NoReturn:
            raise RuntimeError(name)

    run = Software()
    saving = Checkpoint(tmp_path / "run.npz")
    trainer(Log(lambda epoch, values: (run, epoch, values)), saving).fit(X, Y, epochs=1)
    assert (tmp_path / "run.npz").exists()


def test_a_checkpoint_passes_by_what_is_gone(tmp_path: Path) -> None:
    """A bar or a widget may hold weak references; a dead one raises whatever it is asked."""
    one = trainer(Checkpoint(tmp_path / "run.npz"))
    held = Checkpoint(tmp_path / "other.npz")
    vars(held)["gone"] = weakref.proxy(History())
    one.callbacks.append(held)
    one.fit(X, Y, epochs=1)
    assert (tmp_path / "other.npz").exists()


def test_csv_log_reads_one_row_an_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would copy a column of all epochs for every value."""

    def whole(_: History, name: str) -> NoReturn:
        raise AssertionError(name)

    monkeypatch.setattr(History, "__getitem__", whole)
    trainer(CSVLog(tmp_path / "log.csv")).fit(X, Y, epochs=3)
    with (tmp_path / "log.csv").open(newline="", encoding="utf-8") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("kind", "name"),
    [(Watch, "every"), (Watch, "patience"), (CostLines, "every"), (Progress, "every")],
)
def test_a_number_that_is_assigned_later_is_checked(kind: Any, name: str) -> None:
    one = kind()
    with pytest.raises(
        ValueError, match=f"{kind.__name__} expects {name} to be at least 1, got 0"
    ):
        setattr(one, name, 0)
    assert getattr(one, name) >= 1
