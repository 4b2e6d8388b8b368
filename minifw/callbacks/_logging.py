"""Hands the values of each epoch to a log."""

from collections.abc import Callable, Mapping
from typing import Any

from minifw._tools.checks import check_is
from minifw.training import Callback, Trainer


class Log(Callback):
    """Call a function with the number of each epoch and its values.

    That is one line for MLflow, Weights & Biases, TensorBoard, or a list.

    Parameters
    ----------
    function : callable
        ``function(epoch, values)``: the number, from 1, and a dict of name to float, the loss and
        the metrics in the order of the history. It is called after each epoch; of several
        processes that train together, in the first one alone.

    Notes
    -----
    A run that continues after a checkpoint calls it for the epochs that are left.

    Examples
    --------
    >>> from minifw import Dense, Log, MSELoss, SGD, Trainer
    >>> rows = []
    >>> model = Dense(1, 1, rng=0)
    >>> optimizer = SGD(model.parameters(), lr=0.1)
    >>> keep = Log(lambda epoch, values: rows.append((epoch, sorted(values))))
    >>> trainer = Trainer(model, MSELoss(), optimizer, metrics=["mae"], callbacks=[keep])
    >>> history = trainer.fit([[1.0]], [[1.0]], epochs=2)
    >>> rows
    [(1, ['loss', 'mae']), (2, ['loss', 'mae'])]
    """

    foreign_attributes = ("function",)  # in which no checkpoint looks for generators

    def __init__(self, function: Callable[[int, Mapping[str, float]], Any]) -> None:
        check_is("Log", "a function of the epoch and its values", function, Callable)
        self.function = function

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Call the function."""
        if trainer.main:
            self.function(trainer.epoch, trainer.history.last)

    def __repr__(self) -> str:
        return f"Log({getattr(self.function, '__name__', self.function)})"
