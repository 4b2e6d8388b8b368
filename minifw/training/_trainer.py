"""Training for real work: batches, epochs, validation, callbacks and checkpoints."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from os import PathLike
from typing import Any, NoReturn

import numpy as np

from minifw._core.checks import check_flag, check_rng, check_size, describe
from minifw._core.errors import NonFiniteError
from minifw._core.layer import Layer
from minifw._core.typing import RNG, Array
from minifw.losses import Loss
from minifw.objective import Objective
from minifw.optimizers import Optimizer
from minifw.training._checkpoint import apply, capture, read, write
from minifw.training._data import Batch, Casting, Source, Stream, source
from minifw.training._generators import find_generators, load_state, state_of
from minifw.training._history import History
from minifw.training._hooks import EVENTS, HasHooks, Hook, check_callbacks, hooks_of
from minifw.training._interrupt import Interrupt
from minifw.training._reasons import bad_rows, wrong_target
from minifw.training._totals import Totals, named_metrics

__all__ = ["Trainer"]

EVALUATION_ROWS = 256  # as in `Layer.predict`


class Trainer:
    """Trains a model: it cuts data into batches and steps through them, epoch by epoch.

    Parameters
    ----------
    model : Layer
    loss : Loss
    optimizer : Optimizer
        Built over the model's parameters.
    metrics : list, or dict by name, default ()
        Of `minifw.metrics`, or their names, or functions (prediction, target) -> float.
    callbacks : list of Callback, default ()
        Their hooks are called in this order.
    rng : numpy.random.Generator, int or None, default None
        The source of the order of the examples, or its seed.

    Attributes
    ----------
    model, loss, optimizer, metrics, callbacks, rng
        As given.
    objective : Objective
        What is minimised.
    history : History
        That of the latest run.
    epoch, epochs : int
        The number of the epoch under way, or of the last one, from 1; how many there will be.
    batch, batches : int
        How many batches of this epoch are done; how many it has, or None if that is unknown.
    step : int
        How many batches of the run are done.
    batch_loss : float
        The loss of the latest batch.
    columns : list of str
        The names of the values that each epoch of this run brings.

    Notes
    -----
    `fit` starts a new run with every call, from the parameters as they are. After
    `load_checkpoint` it goes on with the run that was saved.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Adam, BCELoss, Dense, Sequential, Sigmoid, Tanh, Trainer
    >>> from minifw.datasets import planar_flower
    >>> x, y = planar_flower()
    >>> model = Sequential(Dense(2, 8, rng=0), Tanh(), Dense(8, 1, rng=1), Sigmoid())
    >>> optimizer = Adam(model.parameters(), lr=0.05)
    >>> trainer = Trainer(model, BCELoss(), optimizer, metrics=["accuracy"], rng=2)
    >>> history = trainer.fit(x, y, epochs=40)
    >>> history.columns, len(history), history.last["accuracy"] > 0.85
    (['loss', 'accuracy'], 40, True)
    """

    def __init__(
        self,
        model: Layer,
        loss: Loss,
        optimizer: Optimizer,
        *,
        metrics: Any = (),
        callbacks: Iterable[HasHooks] = (),
        rng: RNG = None,
    ) -> None:
        self.objective = Objective(model, loss)
        self.model, self.loss = model, loss
        self.optimizer = _checked_optimizer(model, optimizer)
        self.metrics = named_metrics("Trainer", metrics)
        self.callbacks = check_callbacks("Trainer", callbacks)
        self.rng = check_rng("Trainer", rng)
        self.epochs = 0
        self.batches: int | None = None
        self.columns: list[str] = ["loss", *self.metrics]
        self._hooks = {event: hooks_of(self.callbacks, event) for event in EVENTS}
        self._resuming = False
        self._start()

    def _start(self) -> None:
        """Begin a run."""
        self.history = History()
        self.epoch = self.batch = self.step = 0
        self.batch_loss = math.nan
        self._batch_x: Array | None = None  # of the latest batch
        self._begun = False  # whether an epoch is under way
        self._order_state: dict[str, Any] | None = None  # of rng, when its order was drawn
        self._totals = self._no_totals()
        self._stop: str | None = None
        self._event: str | None = None  # under way, and how many of its hooks were called
        self._called_hooks: list[tuple[str, Hook]] = []
        self._called = 0
        self._due: tuple[str | None, list[str]] = (None, [])  # the hooks that a checkpoint owes
        self._plan: dict[str, Any] = {}  # what an epoch must have in common with its resumption
        self._interrupted: dict[str, Any] | None = None  # the state at an interruption

    # -- training ----------------------------------------------------------------

    def fit(
        self,
        x: Any,
        y: Any = None,
        *,
        epochs: int,
        batch_size: int | None = 32,
        validation: Any = None,
        shuffle: bool = True,
        sample_weight: Any = None,
    ) -> History:
        """Train, and return what each epoch brought.

        Parameters
        ----------
        x, y : array of shape (examples, ...); or x alone, an iterable of batches
            Arrays in memory are cast to the model's dtype once; arrays mapped from files
            are read and cast batch by batch. Whole numbers stay what they are where the
            model takes them (`Embedding`), and as labels. An iterable yields pairs (x, y) or
            triples (x, y, weight), and is gone through once an epoch.
        epochs : int
            How many times to go through the data; in a run that was loaded, all in all.
        batch_size : int or None, default 32
            How many examples make a step; None for all of them. The last batch of an
            epoch has the rest.
        validation : (x, y), (x, y, weight) or an iterable of batches, optional
            Evaluated at the end of every epoch.
        shuffle : bool, default True
            Whether to draw a new order of the examples for every epoch; an iterable keeps
            its own.
        sample_weight : array of shape (examples,), optional
            What each example counts in the loss and in the metrics.

        Returns
        -------
        History

        Raises
        ------
        TypeError, ValueError
            If the data do not fit each other, the model or the loss; or a generator, which
            can be run through once, is to serve for several epochs.
        NonFiniteError
            At the first loss or gradient that is not finite: where it arose, in which epoch
            and batch, and which rows are to blame, where single ones are.

        Notes
        -----
        All layers are put into train mode, and afterwards into the mode that they had.

        A first Ctrl-C ends training after the batch under way, and ``history.stopped`` says
        so; the epoch under way is not in the history. A second one is raised.
        """
        owner = "Trainer.fit"
        epochs = check_size(owner, "epochs", epochs)
        shuffle = check_flag(owner, "shuffle", shuffle)
        train = self._source(owner, x, y, sample_weight)
        if train.one_shot and epochs > 1:
            raise ValueError(
                f"{owner} expects batches that it can go through {epochs} times, got "
                f"{describe(x)}, which gives them once; pass a list, or an object whose __iter__ "
                "starts anew"
            )
        if batch_size is None:
            size = train.rows or 1
        else:
            size = check_size(owner, "batch_size", batch_size)
        held = self._held_out(owner, validation, train, epochs)
        plan = {"rows": train.rows, "batch_size": size, "shuffle": shuffle}
        names = ["loss", *self.metrics]
        columns = names if held is None else [*names, *(f"val_{name}" for name in names)]
        resuming = self._resuming
        if resuming:
            self._check_plan(owner, plan, columns)
        else:
            self._start()
        self._resuming, self._interrupted = False, None
        self._plan, self.columns = plan, columns
        self.epochs, self.batches = epochs, train.count(size)
        self._hooks = {event: hooks_of(self.callbacks, event) for event in EVENTS}
        with self._train_mode(), Interrupt() as interrupt:
            self._run(train, held, interrupt, resuming=resuming)
        return self.history

    def _run(
        self, train: Source, held: Source | None, interrupt: Interrupt, *, resuming: bool
    ) -> None:
        """Run the epochs that are left, with the hooks around them."""
        why = self._stop
        self.history.stopped = None
        try:
            if resuming:
                self._call_again()
            else:
                self._call("fit_begin")
            while not (self._stop or interrupt.asked):
                if not self._begun and self.epoch >= self.epochs:
                    break
                self._run_epoch(train, held, interrupt)
            why = self._stop
            if interrupt.asked and not why:
                why = self._interruption("interrupted")
        except KeyboardInterrupt:
            why = self._interruption("interrupted")
            if interrupt.asked:  # the second
                raise
        except BaseException as error:
            why = self._interruption(f"ended by {type(error).__name__}")
            raise
        finally:
            self.history.stopped = why
            self._call("fit_end")

    def _run_epoch(  # noqa: C901 - the loop, in one piece: calls would cost time in every batch
        self, train: Source, held: Source | None, interrupt: Interrupt
    ) -> None:
        order = self._order(train)
        if not self._begun:
            self.epoch, self.batch = self.epoch + 1, 0
            self._totals = self._no_totals()
            self._begun = True
            self._call("epoch_begin")
        objective, head, totals = self.objective, self.objective._head, self._totals
        forward, backward, step = objective.forward, objective.backward, self.optimizer.step
        after_backward, after_batch = self._hooks["backward_end"], self._hooks["batch_end"]
        by_rows = type(head).total_weight is Loss.total_weight
        measured = bool(self.metrics)
        batch: Batch | None = None
        try:
            for batch in train.batches(self._plan["batch_size"], order, self.batch):
                x, y, weight = batch
                if weight is None:
                    count = len(x) if by_rows else head.total_weight(y)
                    loss = forward(x, y)
                else:
                    count = head.total_weight(y, weight)
                    if not count:  # it counts nothing
                        self.batch += 1
                        continue
                    loss = forward(x, y, weight)
                backward()
                if after_backward:
                    self._call("backward_end")
                step()
                self.batch += 1
                self.step += 1
                self.batch_loss = loss
                self._batch_x = x
                totals.loss += loss * count
                totals.weight += count
                if measured:
                    totals.add(objective.prediction, y, weight)
                if after_batch:
                    self._call("batch_end")
                if interrupt.asked or self._stop:
                    return
        except (NonFiniteError, ValueError) as error:
            self._explain("Trainer.fit", error, batch, order)
        values = totals.values()
        if held is not None:
            found = self._measure("Trainer.fit", held, EVALUATION_ROWS)
            values |= {f"val_{name}": value for name, value in found.items()}
        self.history.append(values)
        self._begun = False
        self._call("epoch_end")

    def _order(self, train: Source) -> Any:
        """Return the order of the rows in this epoch: a new one, or again that of its start."""
        if train.rows is None or not self._plan["shuffle"]:
            return None
        if not self._begun:
            self._order_state = state_of(self.rng)
            return self.rng.permutation(train.rows)
        now = state_of(self.rng)
        load_state(self.rng, self._order_state or now)
        order = self.rng.permutation(train.rows)
        load_state(self.rng, now)
        return order

    def stop(self, why: str) -> None:
        """End training after the batch or the epoch under way; a callback calls it.

        Parameters
        ----------
        why : str
            A sentence, for ``history.stopped``.
        """
        self._stop = str(why)

    def _interruption(self, how: str) -> str:
        """Keep what the run would go on from, and return what happened and where."""
        # Kept, for at the end a callback may leave other parameters: those of the best epoch.
        self._interrupted = capture(self)
        if self._begun:
            of = f" of {self.batches}" if self.batches else ""
            return f"{how} in epoch {self.epoch}, after batch {self.batch}{of}"
        return f"{how} after epoch {self.epoch}"

    # -- evaluation --------------------------------------------------------------

    def evaluate(
        self,
        x: Any,
        y: Any = None,
        *,
        batch_size: int = EVALUATION_ROWS,
        sample_weight: Any = None,
    ) -> dict[str, float]:
        """Return the loss and the metrics of the data, in eval mode; nothing is changed.

        Parameters
        ----------
        x, y : array of shape (examples, ...); or x alone, an iterable of batches
            As in `fit`.
        batch_size : int, default 256
            How many examples go through the model at once. The values do not depend on it.
        sample_weight : array of shape (examples,), optional

        Returns
        -------
        dict of str to float
            "loss", and each metric by its name.

        Raises
        ------
        TypeError, ValueError, NonFiniteError
            As in `fit`.
        """
        owner = "Trainer.evaluate"
        size = check_size(owner, "batch_size", batch_size)
        return self._measure(owner, self._source(owner, x, y, sample_weight), size)

    def _measure(self, owner: str, data: Source, size: int) -> dict[str, float]:
        totals, objective = self._no_totals(), self.objective
        batch: Batch | None = None
        try:
            with self.model.evaluating():
                for batch in data.batches(size):
                    x, y, weight = batch
                    count = objective._head.total_weight(y, weight)
                    if not count:
                        continue
                    totals.loss += objective.forward(x, y, weight) * count
                    totals.weight += count
                    if self.metrics:
                        totals.add(objective.prediction, y, weight)
        except (NonFiniteError, ValueError) as error:
            self._explain(owner, error, batch, None)
        finally:
            objective._latest = None  # no gradient is asked of an evaluation
        return totals.values()

    # -- checkpoints -------------------------------------------------------------

    def save_checkpoint(self, path: str | PathLike[str]) -> None:
        """Write all that training goes on from into one file.

        That is: parameters and buffers, the optimizer, the callbacks with their schedules,
        every random generator, the place in the epoch and its sums so far, and the history.
        It may be called at any time, by a callback too, but for ``on_backward_end``. Of a run
        that was interrupted it is the state in which that was.

        Parameters
        ----------
        path : str or path-like

        Raises
        ------
        RuntimeError
            By a callback in ``on_backward_end``, in the middle of a step.
        """
        if self._event == "backward_end":
            raise RuntimeError(
                "Trainer.save_checkpoint cannot save the middle of a step; call it in on_batch_end"
            )
        write(path, capture(self) if self._interrupted is None else self._interrupted)

    def load_checkpoint(self, path: str | PathLike[str]) -> None:
        """Take over what `save_checkpoint` wrote; the next `fit` goes on with that run.

        Called with the arguments of the first `fit`, it ends with the same bytes in
        parameters, optimizer and history as if there had been no interruption. An iterable of
        batches has to yield the same ones; those that are done are passed by.

        Parameters
        ----------
        path : str or path-like

        Raises
        ------
        ValueError, TypeError
            If the file is no checkpoint, or that of another model, optimizer, or other
            callbacks; nothing is changed.
        """
        tree = read(path)
        before = capture(self)
        try:
            apply(self, tree)
        except BaseException:
            apply(self, before)
            raise
        self._interrupted = None
        self._resuming = True

    def _check_plan(self, owner: str, plan: dict[str, Any], columns: list[str]) -> None:
        """Raise unless a run is gone on with as it was begun."""
        if len(self.history) and self.history.columns != columns:
            raise ValueError(
                f"{owner} goes on with a run whose history has {', '.join(self.history.columns)}, "
                f"got arguments that give {', '.join(columns)}"
            )
        changed = [name for name in plan if plan[name] != self._plan[name]]
        if self._begun and changed:
            raise ValueError(
                f"{owner} goes on in the middle of epoch {self.epoch}, which was begun with "
                f"{', '.join(f'{name}={self._plan[name]}' for name in changed)}; got "
                f"{', '.join(f'{name}={plan[name]}' for name in changed)}"
            )

    # -- callbacks ---------------------------------------------------------------

    def _call(self, event: str, hooks: list[tuple[str, Hook]] | None = None) -> None:
        """Call the hooks of an event, and keep count, for a checkpoint made by one of them."""
        self._called_hooks = self._hooks[event] if hooks is None else hooks
        self._event = event
        for index, (_, hook) in enumerate(self._called_hooks, 1):
            self._called = index
            hook(self)
        self._event = None

    def _call_again(self) -> None:
        """Let the callbacks begin, give them back their state, and call the hooks still due."""
        event, due = self._due
        self._due = (None, [])
        states = [callback.state_dict() for callback in self.callbacks]
        found = find_generators({"trainer": self}, set())
        bits = {name: state_of(generator) for name, generator in found.items()}
        self._call("fit_begin")
        for callback, state in zip(self.callbacks, states, strict=True):
            callback.load_state_dict(state)
        for name, generator in found.items():
            load_state(generator, bits[name])
        if event is not None:
            hooks = self._hooks[event]
            self._call(event, [pair for pair in hooks if pair[0] in due])

    # -- data --------------------------------------------------------------------

    def _source(self, owner: str, x: Any, y: Any, weight: Any) -> Source:
        casting = Casting(self.model._dtype(), self.model._whole_numbers(), self.loss.takes_labels)
        return source(owner, x, y, weight, casting)

    def _held_out(self, owner: str, validation: Any, train: Source, epochs: int) -> Source | None:
        if validation is None:
            return None
        owner = f"{owner}(validation=...)"
        if isinstance(validation, int | float):
            raise TypeError(
                f"{owner} expects data (x, y), got {validation!r}; split the data first"
            )
        pair = isinstance(validation, tuple) and len(validation) in (2, 3)
        x, y, *weight = validation if pair else (validation, None)
        held = self._source(owner, x, y, weight[0] if weight else None)
        if held.one_shot and epochs > 1:
            raise ValueError(
                f"{owner} expects batches that it can go through after every epoch, got "
                f"{describe(x)}, which gives them once"
            )
        if not isinstance(held, Stream) and not isinstance(train, Stream):
            for name in ("x", "y"):
                shape, like = getattr(held, name).shape, getattr(train, name).shape
                if name == "y" and len(shape) > 1 and shape[1:] == like[1:]:
                    continue
                if shape[1:] != like[1:]:
                    raise ValueError(
                        f"{owner} expects {name} of shape (examples, "
                        f"{', '.join(map(str, like[1:]))}), as in training, got {shape}"
                    )
        return held

    def _no_totals(self) -> Totals:
        return Totals(self.metrics, self.loss.midpoint)

    @contextmanager
    def _train_mode(self) -> Iterator[None]:
        layers = [self.model, *(layer for _, layer in self.model.named_layers())]
        modes = [layer.training for layer in layers]
        self.model.train()
        try:
            yield
        finally:
            for layer, mode in zip(layers, modes, strict=True):
                layer.training = mode

    def _explain(self, owner: str, error: ValueError, batch: Batch | None, order: Any) -> NoReturn:
        """Raise the error again, with what only the trainer knows."""
        if batch is None or (self._event and not isinstance(error, NonFiniteError)):
            raise error
        if isinstance(error, NonFiniteError):
            where = ""
            if owner == "Trainer.fit" and self._begun:
                of = f" of {self.batches}" if self.batches else ""
                where = f"; in epoch {self.epoch}, batch {self.batch + 1}{of}"
            start = self.batch * self._plan["batch_size"] if where else 0
            rows = np.arange(start, start + len(batch[0])) if order is None else None
            if rows is None:
                rows = order[start : start + len(batch[0])]
            error.args = (f"{error}{where}{bad_rows(self.model, batch, rows)}",)
            raise error
        fix = wrong_target(owner, self.model, batch)
        if fix is not None:
            raise ValueError(fix) from error
        raise error

    def __repr__(self) -> str:
        return f"Trainer({self.model!r}, {self.loss!r}, {self.optimizer!r})"


def _checked_optimizer(model: Layer, optimizer: Optimizer) -> Optimizer:
    if not isinstance(optimizer, Optimizer):
        hint = ""
        if isinstance(optimizer, type):
            hint = f"; write {optimizer.__name__}(model.parameters(), lr=...)"
        raise TypeError(f"Trainer expects an optimizer, got {describe(optimizer)}{hint}")
    own = {id(parameter) for parameter in model.parameters()}
    if not own & {id(parameter) for parameter in optimizer.parameters}:
        raise ValueError(
            "Trainer expects an optimizer of this model's parameters, got one of others; build "
            "it with model.parameters()"
        )
    return optimizer
