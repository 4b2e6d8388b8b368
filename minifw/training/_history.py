"""The history of a training: the values of each epoch."""

from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from minifw._tools.tables import aligned, shown
from minifw.plots import learning_curves

SHOWN = 24  # rows of a printed table: a screen's height


class History:
    """The values of each epoch: the loss and the metrics, of training and of validation.

    ``history["loss"]`` is a list, one value an epoch; ``print(history)`` shows a table.

    Attributes
    ----------
    stopped : str or None
        Why training ended before its last epoch, in words; None if it did not.

    Examples
    --------
    >>> from minifw import History
    >>> history = History()
    >>> history.append({"loss": 0.5, "val_loss": 0.75})
    >>> history.append({"loss": 0.25, "val_loss": 0.5})
    >>> print(history)
    epoch    loss  val_loss
        1  0.5000    0.7500
        2  0.2500    0.5000
    >>> history["loss"], len(history), history.last["val_loss"]
    ([0.5, 0.25], 2, 0.5)
    """

    def __init__(self) -> None:
        self.stopped: str | None = None
        self._columns: dict[str, list[float]] = {}
        self._length = 0

    def append(self, values: Mapping[str, float]) -> None:
        """Add the values of the next epoch, which have the names of those before.

        Raises
        ------
        ValueError
            If the names differ.
        """
        if self._length and set(values) != set(self._columns):
            raise ValueError(
                f"History has the columns {', '.join(self._columns)}, got "
                f"{', '.join(values)}; every epoch has the same"
            )
        for name, value in values.items():
            self._columns.setdefault(name, []).append(float(value))
        self._length += 1

    @property
    def columns(self) -> list[str]:
        """The names of the values."""
        return list(self._columns)

    @property
    def last(self) -> dict[str, float]:
        """The values of the latest epoch; none before the first."""
        return {name: values[-1] for name, values in self._columns.items()}

    def at(self, epoch: int) -> dict[str, float]:
        """Return the values of an epoch, counted from 1, as `EarlyStopping.best_epoch` is.

        Raises
        ------
        ValueError
            If the history does not reach there.
        """
        if not 1 <= epoch <= self._length:
            raise ValueError(f"History has the epochs 1 to {self._length}, got {epoch!r}")
        return {name: values[epoch - 1] for name, values in self._columns.items()}

    def keys(self) -> list[str]:
        """Return "epoch" and the names of the values: all that has a column."""
        return list(self)

    def to_dict(self) -> dict[str, npt.NDArray[Any]]:
        """Return an array for each column, and "epoch", which counts from 1.

        ``pandas.DataFrame(history.to_dict())`` is a table of it.
        """
        epochs = {"epoch": np.arange(1, self._length + 1)}
        return epochs | {n: np.array(v, np.float64) for n, v in self._columns.items()}

    def plot(
        self,
        path: str | PathLike[str] | None = None,
        *,
        columns: Sequence[str] | None = None,
        log: bool = False,
    ) -> Any:
        """Draw the curves over the epochs, as `minifw.plots.learning_curves` does.

        Parameters
        ----------
        path : str or path-like, optional
            Where to save the picture.
        columns : sequence of str, optional
            Which curves, such as ``["loss"]``; all by default.
        log : bool, default False
            Whether the y axis is logarithmic.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        return learning_curves(self, path, columns=columns, log=log)

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of all columns and of `stopped`."""
        columns = {name: np.array(values) for name, values in self._columns.items()}
        return {"stopped": self.stopped, "length": self._length, "columns": columns}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        stopped, length, columns = state["stopped"], state["length"], state["columns"]
        if not isinstance(stopped, str | None) or not isinstance(columns, dict):
            raise TypeError("History.load_state_dict expects what state_dict returned")
        found = {str(name): np.asarray(values, np.float64) for name, values in columns.items()}
        if any(values.shape != (length,) for values in found.values()):
            raise ValueError(f"History.load_state_dict expects columns of {length} values")
        self.stopped, self._length = stopped, length
        self._columns = {name: values.tolist() for name, values in found.items()}

    def __getitem__(self, name: str) -> list[float]:
        if name == "epoch":
            return [float(epoch) for epoch in range(1, self._length + 1)]
        if name not in self._columns:
            raise KeyError(f"History has no column {name!r}; it has {', '.join(self)}")
        return list(self._columns[name])

    def __iter__(self) -> Iterator[str]:
        return iter(["epoch", *self._columns])

    def __len__(self) -> int:
        return self._length

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, History):
            return NotImplemented
        return (
            self.stopped == other.stopped
            and list(self) == list(other)
            and all(np.array_equal(self[name], other[name], equal_nan=True) for name in self)
        )

    def __hash__(self) -> int:
        raise TypeError("a History changes, and has no hash")

    def __repr__(self) -> str:
        if not self._length:
            return "History(no epochs)"
        values = ", ".join(f"{name}={value:.4g}" for name, value in self.last.items())
        return f"History({self._length} epochs; the last: {values})"

    def __str__(self) -> str:
        lines = self._table() if self._length else ["no epoch was completed"]
        return "\n".join([*lines, self.stopped] if self.stopped else lines)

    def _table(self) -> list[str]:
        """Return the rows, aligned; those in the middle of a long table are left out."""
        rows = [
            [str(index + 1), *(shown(values[index]) for values in self._columns.values())]
            for index in range(self._length)
        ]
        if self._length > SHOWN:
            rows[SHOWN // 2 : -(SHOWN // 2)] = [["..."] * len(rows[0])]
        return aligned([list(self), *rows])
