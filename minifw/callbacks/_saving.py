"""What is written to files during training."""

import csv
from contextlib import suppress
from os import PathLike, fspath
from pathlib import Path
from typing import ClassVar

from minifw._tools.numbers import check_flag, check_size
from minifw._tools.options import Option
from minifw.callbacks._stopping import Monitor
from minifw.training import Callback, Trainer


class Checkpoint(Callback):
    """Write a checkpoint after every so many epochs, or after each best epoch so far.

    `Trainer.load_checkpoint` reads it.

    Parameters
    ----------
    path : str or path-like
        The file, which is replaced each time. It is formatted as by `str.format` with the number
        of the epoch and its values in the history: "run-{epoch:03d}-{val_loss:.3f}.npz". A brace
        of the name itself is doubled.
    every : int, default 1
        After how many epochs.
    best : bool, default False
        Whether to write only if `monitor` is better than ever before; then not with `every`.
    monitor : str, default "val_loss"
        A column of the history; looked at with ``best=True`` alone.
    mode : {"min", "max"} or None, default None
        As in `EarlyStopping`.

    Raises
    ------
    ValueError
        At the start of training, if the path names a value that the history will not have.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from minifw import Checkpoint, Dense, MSELoss, SGD, Trainer
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> model = Dense(1, 1, rng=0)
    >>> optimizer = SGD(model.parameters(), lr=0.1)
    >>> saving = Checkpoint(folder / "epoch-{epoch}.npz", every=2)
    >>> trainer = Trainer(model, MSELoss(), optimizer, callbacks=[saving])
    >>> history = trainer.fit([[1.0]], [[1.0]], epochs=4)
    >>> sorted(path.name for path in folder.iterdir())
    ['epoch-2.npz', 'epoch-4.npz']
    """

    every = Option(check_size)
    _in_checkpoint: ClassVar = {"_monitor": None}
    _monitor: Monitor | None = None

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        every: int = 1,
        best: bool = False,
        monitor: str = "val_loss",
        mode: str | None = None,
    ) -> None:
        self.path = fspath(path)
        self.every = every
        if check_flag("Checkpoint", "best", best):
            if self.every != 1:
                raise ValueError(
                    f"Checkpoint expects every={every} or best=True, got both; make two, with "
                    "a path each"
                )
            self._monitor = Monitor("Checkpoint", monitor, mode)

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Forget an earlier run; raise if there is no such folder, or value in its path."""
        values = {"epoch": 1, **dict.fromkeys(trainer.columns, 0.0)}
        try:
            self.path.format_map(values)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{self!r} expects a path of the fields {', '.join(values)}, as in "
                f"'run-{{epoch:03d}}.npz', with other braces doubled; got {self.path!r}"
            ) from error
        if trainer.main:
            with suppress(LookupError):  # of a folder with fields, which no one knows yet
                _check_folder(self, Path(str(Path(self.path).parent).format()))
        if self._monitor is not None:
            self._monitor.begin(trainer)

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Write, if it is time."""
        monitor = self._monitor
        due = monitor.improved(trainer) if monitor else trainer.epoch % self.every == 0
        if due:
            values = {"epoch": trainer.epoch, **trainer.history.last}
            trainer.save_checkpoint(self.path.format_map(values))

    def _resumed(self, trainer: Trainer) -> None:
        if self._monitor is not None and not self._monitor._goes_on():
            self._monitor.begin(trainer)

    def __repr__(self) -> str:
        return f"Checkpoint({self.path!r})"


class CSVLog(Callback):
    """Write the history into a table of comma-separated values, a line after every epoch.

    Parameters
    ----------
    path : str or path-like
        The file, which each run overwrites; a run that continues from a checkpoint writes the
        epochs before it as well.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from minifw import CSVLog, Dense, MSELoss, SGD, Trainer
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "log.csv"
    >>> model = Dense(1, 1, rng=0)
    >>> optimizer = SGD(model.parameters(), lr=0.1)
    >>> trainer = Trainer(model, MSELoss(), optimizer, callbacks=[CSVLog(path)])
    >>> history = trainer.fit([[1.0]], [[1.0]], epochs=1)
    >>> print(path.read_text().replace(str(history["loss"][0]), "..."))
    epoch,loss
    1,...
    <BLANKLINE>
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)
        self._begun = False

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Begin a new file; raise if there is no such folder."""
        if trainer.main:
            _check_folder(self, self.path.parent)
        self._begun = False

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Write the line of this epoch, and before the first all that is missing."""
        if not trainer.main:
            return
        history = trainer.history
        with self.path.open("a" if self._begun else "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            if not self._begun:
                writer.writerow(["epoch", *history.columns])
            for epoch in range(len(history) if self._begun else 1, len(history) + 1):
                writer.writerow([epoch, *history.at(epoch).values()])
        self._begun = True

    def __repr__(self) -> str:
        return f"CSVLog({str(self.path)!r})"


def _check_folder(owner: Callback, folder: Path) -> None:
    """Raise now, not after the first epoch."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{owner!r} expects the folder {str(folder)!r} to be there")
