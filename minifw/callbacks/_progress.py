"""What is printed during training."""

import sys
import time
import warnings
from datetime import timedelta
from typing import Any

from minifw._tools.numbers import check_size
from minifw._tools.options import Option
from minifw._tools.tables import shown
from minifw.training import Callback, Trainer

SLOW = 1.0  # seconds from line to line; of quicker runs nobody needs the times


class Progress(Callback):
    """Show how far training is: a bar on a terminal and in a notebook, and a line an epoch.

    The bar is tqdm's, of the extra ``minifw[progress]``, with the time that is left; in a
    notebook it takes ipywidgets. Without them there are the lines alone. Where these are a second
    or more apart, they end in the time of an epoch and the time that is left:
    "epoch  40/100  loss 0.1234  2.1 s/epoch, 0:02:07 left".

    Parameters
    ----------
    every : int, default 1
        After how many epochs to print a line; the last epoch has one, too.

    Attributes
    ----------
    every
        As given; it may be assigned later.

    Notes
    -----
    A letter that the encoding of the output does not have is written as its number in Unicode.

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

    every = Option(check_size)
    foreign_attributes = ("_bar",)  # in which no checkpoint looks for generators

    def __init__(self, every: int = 1) -> None:
        self.every = every
        self._bar: Any = None
        # When this run began, and its latest line came; and after how many epochs.
        self._begun = self._last = 0.0, 0

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Choose between bar and lines, and look at the clock."""
        self._begun = self._last = time.perf_counter(), len(trainer.history)
        total = trainer.batches and trainer.batches * trainer.epochs
        self._bar = _bar(total=total, initial=trainer.step) if trainer.main else None

    def on_batch_end(self, trainer: Trainer) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.set_description_str(_epoch(trainer), refresh=False)
            self._bar.set_postfix_str(f"loss {shown(trainer.batch_loss)}", refresh=False)
            self._bar.update()

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Print the line of the epoch."""
        due = trainer.epoch % self.every == 0 or trainer.epoch == trainer.epochs
        if due and trainer.main:
            values = (f"{name} {shown(value)}" for name, value in trainer.history.last.items())
            self._say("  ".join([_epoch(trainer), *values, *self._times(trainer)]))

    def _times(self, trainer: Trainer) -> list[str]:
        """Return the time of an epoch since the latest line, and what is left; if it matters."""
        now, done = time.perf_counter(), len(trainer.history)
        (begun, before), (last, line) = self._begun, self._last
        self._last = now, done
        if now - last < SLOW or done == line:  # a run that goes on may begin between two epochs
            return []
        spent, left = now - begun, trainer.epochs - trainer.epoch
        end = f"{_time(spent / (done - before) * left)} left" if left else f"{_time(spent)} in all"
        return [f"{_time((now - last) / (done - line))}/epoch, {end}"]

    def on_fit_end(self, trainer: Trainer) -> None:
        """Say why training ended, if it was before its time."""
        if self._bar is not None:
            self._bar.close()
            if hasattr(self._bar, "place"):  # of a notebook, which would keep the bar of the start
                self._bar.place.update({"text/plain": ""}, raw=True)
            self._bar = None
        if trainer.history.stopped and trainer.main:
            self._say(trainer.history.stopped)

    def _say(self, text: str) -> None:
        """Print a line: above the bar, and with letters that the output has."""
        code = getattr(sys.stdout, "encoding", None) or "utf-8"
        text = text.encode(code, "backslashreplace").decode(code)
        if self._bar is not None:
            self._bar.write(text)
        else:
            print(text, flush=True)  # noqa: T201 - its purpose


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

    every = Option(check_size)

    def __init__(self, every: int = 1000) -> None:
        self.every = every

    def on_batch_end(self, trainer: Trainer) -> None:
        """Print a line, if it is time."""
        iteration = trainer.step - 1
        if iteration % self.every == 0 and trainer.main:
            print("Cost after iteration %i: %f" % (iteration, trainer.batch_loss))  # noqa: T201, UP031 - the notes' line


def _bar(**options: Any) -> Any:
    """Return a bar of tqdm, if there is one for here."""
    terminal = sys.stderr.isatty()
    if not (terminal or "ipykernel" in sys.modules):
        return None
    try:
        from tqdm.notebook import tqdm as widget  # noqa: PLC0415 - optional

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a notebook without ipywidgets
            from tqdm.auto import tqdm  # noqa: PLC0415
    except ImportError:
        return None
    if terminal:
        return tqdm(unit="batch", leave=False, **options)
    if not issubclass(tqdm, widget):
        return None
    from IPython.display import display  # noqa: PLC0415 - it is there, in a notebook

    bar = tqdm(unit="batch", leave=False, display=False, **options)
    bar.place = display(bar.container, display_id=True)
    return bar


def _time(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < 99.5 else str(timedelta(seconds=round(seconds)))


def _epoch(trainer: Trainer) -> str:
    total = str(trainer.epochs)
    return f"epoch {trainer.epoch:>{len(total)}}/{total}"
