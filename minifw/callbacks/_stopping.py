"""Watches a value of the history, and stops training when it no longer gets better."""

import math
from typing import ClassVar

from minifw._tools.numbers import (
    check_choice,
    check_count,
    check_non_negative,
    check_number,
    check_size,
    or_none,
)
from minifw._tools.options import Kept, Option, delegated, is_a
from minifw._tools.tables import counted, shown
from minifw.metrics import Metric
from minifw.training import Callback, Trainer
from minifw.typing import Array


class BestOf(Kept):
    """What has a best value. One of another column, mode, loss or data is not comparable."""

    _in_checkpoint: ClassVar = {"_best_of": is_a(str, type(None))}
    _best_of: str | None = None  # nobody knows it of an old file
    _measured: str | None = None  # what this run measures

    def _compare(self, trainer: Trainer, column: str, mode: str) -> None:
        """Note what the values of a run are."""
        plan, name = trainer.run.plan, column.removeprefix("val_")
        loss = "" if name in trainer.metrics else plan.get("loss")
        data = plan.get("data" if name == column else "validation")
        self._best_of = self._measured = f"{mode} of {column} {loss} {data}"

    def _goes_on(self) -> bool:
        """Return whether a best value that was loaded is of what this run measures."""
        loaded, self._best_of = self._best_of, self._measured
        return loaded in ("", None, self._measured)


class Monitor(BestOf):
    """Remembers the best value of a column and its epoch."""

    _in_checkpoint: ClassVar = BestOf._in_checkpoint | {"best": check_number, "epoch": check_count}

    def __init__(self, owner: str, column: str, mode: str | None, min_delta: float = 0.0) -> None:
        self._owner, self.column = owner, column
        self._mode = check_choice("min", "max", None)(owner, "mode", mode)
        self._min_delta = check_non_negative(owner, "min_delta", min_delta)
        self._sign = 1.0
        self.best = math.nan  # before the first
        self.epoch = 0

    def begin(self, trainer: Trainer) -> None:
        """Forget all, and learn what is better; raise if there will be no such column."""
        check_column(self._owner, self.column, trainer)
        mode = self._mode or better(self.column, trainer)
        if mode is None:
            raise ValueError(
                f"{self._owner} expects to be told whether a lower or a higher "
                f"{self.column.removeprefix('val_')!r} is better; use mode='min' or mode='max'"
            )
        self._sign = 1.0 if mode == "min" else -1.0
        self._compare(trainer, self.column, mode)
        self.best, self.epoch = math.nan, 0

    def improved(self, trainer: Trainer, *, equal: bool = False) -> bool:
        """Return whether the latest epoch was better than all before; if so, remember it.

        If an `equal` one counts, it is the last of the best epochs that is remembered.
        """
        value = trainer.history.last[self.column]
        gain = math.inf if math.isnan(self.best) else self._sign * (self.best - value)
        if math.isnan(value) or not (gain > self._min_delta or (equal and gain == 0)):
            return False
        self.best, self.epoch = value, trainer.epoch
        return True

    def why(self, waited: int) -> str:
        """Return why a run is over in which the value was no better for so many epochs."""
        if math.isnan(self.best):
            return f"{self.column} was never a number"
        verb, epochs = "fall" if self._sign > 0 else "rise", counted(waited, "epoch")
        best = f"epoch {self.epoch} ({self.column} {shown(self.best)})"
        return f"{self.column} did not {verb} for {epochs}; the weights are from {best}"


def better(column: str, trainer: Trainer) -> str | None:
    """Return "min" or "max", whichever is better of a column; None of an author's function."""
    metric = trainer.metrics.get(column.removeprefix("val_"))
    if metric is None:  # the loss, or a part of it
        return "min"
    return ("max" if metric.higher_is_better else "min") if isinstance(metric, Metric) else None


def check_column(owner: str, column: str, trainer: Trainer) -> None:
    """Raise if the history will have no such column."""
    if column in trainer.columns:
        return
    fix = ""
    if column.startswith("val_") and "val_loss" not in trainer.columns:
        fix = f"; {trainer._validation_fix}"
    raise ValueError(
        f"{owner} monitors {column!r}, but the history will have {', '.join(trainer.columns)}{fix}"
    )


class EarlyStopping(Callback):
    """Stop when a value has not got better for some epochs; leave the weights of the best.

    However training ends, the model has the parameters and buffers of the epoch in which
    the value was best.

    Parameters
    ----------
    monitor : str, default "val_loss"
        A column of the history.
    patience : int or None, default 10
        After how many epochs without a better value to stop. None never stops: the best epoch
        of the whole run is kept, of equal ones the last.
    min_delta : float, default 0.0
        By how much a value has to be better.
    mode : {"min", "max"} or None, default None
        Whether lower or higher is better; None knows it of the loss and of minifw's metrics.

    Attributes
    ----------
    best : float
        The best value; NaN before the first.
    best_epoch : int
        Its epoch; 0 before the first.

    Raises
    ------
    ValueError
        At the start of training, if the history will have no such column.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Dense, EarlyStopping, MSELoss, SGD, Trainer
    >>> x, noise = np.eye(4), np.array([[1.0], [-1.0], [1.0], [-1.0]])
    >>> model = Dense(4, 1, rng=0)
    >>> stopping = EarlyStopping(patience=3)
    >>> optimizer = SGD(model.parameters(), lr=0.1)
    >>> trainer = Trainer(model, MSELoss(), optimizer, callbacks=[stopping], rng=0)
    >>> history = trainer.fit(x, noise, epochs=100, validation=(x, -noise))
    >>> print(history.stopped)
    stopped after epoch 5: val_loss did not fall for 3 epochs; the weights are from epoch 2 \
(val_loss 1.9737)
    """

    patience = Option(or_none(check_size))
    best: float = delegated("_monitor", fixed=True)
    best_epoch: int = delegated("_monitor.epoch", fixed=True)
    _in_checkpoint: ClassVar = {
        "_monitor": None,
        "_waited": check_count,
        "_weights": is_a(dict, type(None)),
    }

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int | None = 10,
        min_delta: float = 0.0,
        mode: str | None = None,
    ) -> None:
        self.patience = patience
        self._monitor = Monitor("EarlyStopping", monitor, mode, min_delta)
        self._waited = 0
        self._weights: dict[str, Array] | None = None

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Forget an earlier run."""
        self._waited, self._weights = 0, None  # before anything that may raise
        self._monitor.begin(trainer)

    def _resumed(self, trainer: Trainer) -> None:
        if not self._monitor._goes_on():
            self.on_fit_begin(trainer)

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Keep the weights if they are the best, or count."""
        monitor, patience = self._monitor, self.patience
        if monitor.improved(trainer, equal=patience is None):
            self._waited, self._weights = 0, trainer.model.state_dict()
        elif patience is not None:
            # At its end it has stopped a run, which goes on with more epochs.
            self._waited = 1 if self._waited >= patience else self._waited + 1
            if self._waited >= patience:
                trainer.stop(f"stopped after epoch {trainer.epoch}: {monitor.why(self._waited)}")

    def on_fit_end(self, trainer: Trainer) -> None:
        """Put back the weights of the best epoch."""
        if self._weights is not None:
            trainer.model.load_state_dict(self._weights)

    def __repr__(self) -> str:
        return f"EarlyStopping({self._monitor.column!r}, patience={self.patience})"
