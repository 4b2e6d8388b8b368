"""What is printed during training."""

import sys
from typing import Any

from minifw._tools.numbers import check_size
from minifw.training import Trainer
from minifw.training._history import shown
from minifw.training._hooks import Callback


class Progress(Callback):
    """Show how far training is: a bar on a terminal, or else a line after every epoch.

    The bar is tqdm's, of the extra ``minifw[progress]``; without it there are lines.

    Parameters
    ----------
    every : int, default 1
        After how many epochs to print a line; the last epoch has one, too.

    Examples
    --------
    >>> from minifw import Dense, MSELoss, Progress, SGD, Trainer
    >>> model = Dense(1, 1, rng=0)
    >>> optimizer = SGD(model.parameters(), lr=0.1)
    >>> trainer = Trainer(model, MSELoss(), optimizer, callbacks=[Progress(every=5)])
    >>> history = trainer.fit([[1.0]], [[1.0]], epochs=10)
    epoch  5/10  loss 0.0046
    epoch 10/10  loss 2.805e-05
    """

    def __init__(self, every: int = 1) -> None:
        self.every = check_size("Progress", "every", every)
        self._tqdm: Any = None
        self._bar: Any = None

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Choose between bar and lines."""
        self._tqdm = _tqdm() if sys.stderr.isatty() and trainer.main else None

    def on_batch_end(self, trainer: Trainer) -> None:
        """Move the bar."""
        if self._tqdm is None:
            return
        if self._bar is None:
            self._bar = self._tqdm(
                total=trainer.batches,
                initial=trainer.batch - 1,
                desc=_epoch(trainer),
                unit="batch",
                leave=False,
            )
        self._bar.set_postfix_str(f"loss {shown(trainer.batch_loss)}", refresh=False)
        self._bar.update()

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Print the line of the epoch."""
        self._close()
        due = trainer.epoch % self.every == 0 or trainer.epoch == trainer.epochs
        if not (due and trainer.main):
            return
        values = (f"{name} {shown(value)}" for name, value in trainer.history.last.items())
        print("  ".join([_epoch(trainer), *values]), flush=True)  # noqa: T201 - its purpose

    def on_fit_end(self, trainer: Trainer) -> None:
        """Say why training ended, if it was before its time."""
        self._close()
        if trainer.history.stopped and trainer.main:
            print(trainer.history.stopped, flush=True)  # noqa: T201 - its purpose

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class CostLines(Callback):
    """Print the notes' lines, "Cost after iteration 1000: 0.258625", every so many steps.

    Iterations count from 0, and the cost is that before the step, as in the notes.

    Parameters
    ----------
    every : int, default 1000

    Examples
    --------
    >>> from minifw import BCELoss, CostLines, Dense, SGD, Sequential, Sigmoid, Tanh, Trainer
    >>> from minifw.datasets import planar_flower
    >>> x, y = planar_flower()
    >>> model = Sequential(Dense(2, 4, rng=3), Tanh(), Dense(4, 1, rng=4), Sigmoid())
    >>> optimizer = SGD(model.parameters(), lr=1.2)
    >>> trainer = Trainer(model, BCELoss(), optimizer, callbacks=[CostLines(every=500)])
    >>> history = trainer.fit(x, y, epochs=1001, batch_size=None, shuffle=False)
    Cost after iteration 0: 0.815659
    Cost after iteration 500: 0.299770
    Cost after iteration 1000: 0.287171
    """

    def __init__(self, every: int = 1000) -> None:
        self.every = check_size("CostLines", "every", every)

    def on_batch_end(self, trainer: Trainer) -> None:
        """Print a line, if it is time."""
        iteration = trainer.step - 1
        if iteration % self.every == 0 and trainer.main:
            print("Cost after iteration %i: %f" % (iteration, trainer.batch_loss))  # noqa: T201, UP031 - the notes' line


def _tqdm() -> Any:
    try:
        from tqdm import tqdm  # noqa: PLC0415 - optional
    except ImportError:
        return None
    return tqdm


def _epoch(trainer: Trainer) -> str:
    total = str(trainer.epochs)
    return f"epoch {trainer.epoch:>{len(total)}}/{total}"
