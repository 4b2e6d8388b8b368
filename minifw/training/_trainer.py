"""Training for real work: batches, epochs, validation, callbacks and checkpoints."""

import math
from collections.abc import Iterable, Mapping
from os import PathLike
from typing import Any

import numpy as np

from minifw._engine.prediction import inputs, keeping_modes, survey
from minifw._tools.checks import describe
from minifw._tools.generators import load_state, state_of
from minifw._tools.numbers import check_flag, check_rng, check_size
from minifw._tools.rows import WHOLE, Fields, first
from minifw._tools.warn import warn_user
from minifw.core.layer import Layer
from minifw.core.loss import Penalty
from minifw.core.objective import Objective
from minifw.errors import NonFiniteError
from minifw.losses import Loss
from minifw.optimizers import Optimizer
from minifw.training._checkpoint import apply, capture, check_plan, read, write
from minifw.training._data import Batch, Casting, Source, held_out, source
from minifw.training._evaluation import measure
from minifw.training._history import History
from minifw.training._hooks import Callback, Hooks, check_callbacks
from minifw.training._interrupt import Interrupt, interruptible
from minifw.training._reasons import Place, explain
from minifw.training._team import Team, agreed, gather, joined, own_part
from minifw.training._totals import AnyMetric, Totals, named_metrics, part_columns
from minifw.typing import RNG, Array

NOTHING_DUE: dict[str, Any] = {"event": None, "callbacks": []}
EVALUATION_ROWS = 256  # as in `Layer.predict`


class Trainer:
    """Trains a model: it cuts data into batches and steps through them, epoch by epoch.

    Parameters
    ----------
    model : Layer
    loss : Loss
    optimizer : Optimizer
        Built over the model's parameters.
    penalties : sequence of Penalty, default ()
        What is added to the loss, such as ``L2(model, 0.01)``. They count in "loss", of the
        training and of the validation, and in `evaluate`, as in Keras; not in the parts.
    metrics : list, or dict by name, default ()
        Of `minifw.metrics`, or their names, or functions (prediction, target) -> float. Of
        several outputs these are tuples, and ``metrics.accuracy.of(1)`` is that of one.
    callbacks : list of Callback, default ()
        Their hooks are called in this order.
    rng : numpy.random.Generator, int or None, default None
        The source of the order of the examples, or its seed.
    replay : bool, default True
        Whether small steps are recorded and made again; see `Objective`.

    Attributes
    ----------
    model, loss, optimizer, metrics, callbacks, rng
        As given. Another optimizer may be assigned, and makes the next step.
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
    batch_loss, batch_x : float, array, tuple or None
        The loss and the inputs of the latest batch.
    columns : list of str
        The names of the values that each epoch of this run brings.
    main : bool
        Whether this process is the one that prints and writes; of several that train together
        (`minifw.interop.mpi`) it is the first.

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

    # What a callback that asks for validation says; another door has other words for it.
    _validation_fix = "give fit validation=(x, y)"

    def __init__(
        self,
        model: Layer,
        loss: Loss,
        optimizer: Optimizer,
        *,
        penalties: Iterable[Penalty] = (),
        metrics: Iterable[AnyMetric] | Mapping[str, AnyMetric] = (),
        callbacks: Iterable[Callback] = (),
        rng: RNG = None,
        replay: bool = True,
    ) -> None:
        self.objective = Objective(model, loss, penalties=penalties, replay=replay)
        self.optimizer = optimizer
        self._loss_columns = ["loss", *part_columns(self.objective)]
        self.metrics = named_metrics("Trainer", metrics, self._loss_columns)
        self.callbacks = check_callbacks("Trainer", callbacks)
        self.rng = check_rng("Trainer", rng)
        self.epochs = 0
        self.batches: int | None = None
        self.columns: list[str] = [*self._loss_columns, *self.metrics]
        self._resuming = False
        self._start()

    @property
    def model(self) -> Layer:
        """The model."""
        return self.objective.model

    @property
    def loss(self) -> Loss:
        """The loss."""
        return self.objective.loss

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer."""
        return self._optimizer

    @optimizer.setter
    def optimizer(self, optimizer: Optimizer) -> None:
        self._optimizer = _checked_optimizer(self.model, optimizer)
        self._team = optimizer if isinstance(optimizer, Team) else None
        self.main = self._team is None or self._team.main
        if self._team is not None:
            self._team.prepare(self.model)

    def _start(self) -> None:
        """Begin a run."""
        self.history = History()
        self.epoch = self.batch = self.step = self.objective.steps = 0
        self.batch_loss = math.nan
        self.batch_x: Array | None = None
        self._hooks = Hooks(self.callbacks)
        self._totals = self._no_totals()
        self._plan: dict[str, Any] = {}  # what an epoch must have in common with its resumption
        self._begun = False  # whether an epoch is under way
        self._torn = False  # whether a step is, or was when training ended
        self._order_state: dict[str, Any] | None = None  # of rng, when its order was drawn
        self._stop: str | None = None  # why
        self._due = NOTHING_DUE  # the hooks that a loaded run still owes
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
            triples (x, y, weight), and is gone through once an epoch. Of several inputs x is
            a tuple of arrays, or a dict by name, and truth values in it stay what they are; of
            several outputs y is one.
        epochs : int
            How many times to go through the data; in a run that was loaded, all in all. A run
            that was stopped stays so with the number that it was given, and goes on with a
            larger one.
        batch_size : int or None, default 32
            How many examples make a step; None for all of them. The last batch of an
            epoch has the rest.
        validation : (x, y), (x, y, weight) or an iterable of batches, optional
            Evaluated at the end of every epoch.
        shuffle : bool, default True
            Whether to draw a new order of the examples for every epoch; an iterable keeps
            its own.
        sample_weight : array of shape (examples,), optional
            What each example counts in the loss and in the metrics; or, with more of the
            output's axes, as (examples, time), each step. Of several outputs it may be a tuple.

        Returns
        -------
        History

        Raises
        ------
        TypeError, ValueError
            If the data do not fit each other, the model or the loss; or a generator, which
            can be run through once, is to serve for several epochs.
            If ranks that train together (`minifw.interop.mpi`) have other data or arguments.
        RuntimeError
            If another rank raised an error, in a callback too: this one then ends as well.
        NonFiniteError
            At the first loss or gradient that is not finite: where it arose, in which epoch
            and batch, and which rows are to blame, where single ones are.

        Notes
        -----
        All layers are put into train mode, and afterwards into the mode that they had.

        A first Ctrl-C ends training after the batch under way, and ``history.stopped`` says
        so; the epoch under way is not in the history. A second one is raised.
        """
        arguments = x, y, epochs, batch_size, validation, shuffle, sample_weight
        if self._team is None:
            train, held, plan = self._checked(*arguments)
        else:
            team = self._team
            found: list[tuple[Source, Source | None, dict[str, Any]]] = []
            team.together(lambda: found.append(self._checked(*arguments)))
            train, held, plan = found[0]
            agreed("Trainer.fit", team, self._facts(train, held, plan, epochs))
        columns = self._columns(held)
        resuming = self._resuming
        if not resuming:
            self._start()
        elif self._stop:
            self._go_on_or_warn(int(epochs))
        self._hooks = Hooks(self.callbacks)
        self._resuming, self._interrupted, self._torn = False, None, False
        self._plan, self.columns = {**plan, "epochs": int(epochs)}, columns
        self.epochs, self.batches = int(epochs), train.count(plan["batch_size"])
        with keeping_modes(survey(self.model).layers), interruptible() as interrupt:
            self.model.train()
            self._run(train, held, interrupt, resuming=resuming)
        return self.history

    def _go_on_or_warn(self, epochs: int) -> None:
        """Forget what stopped the run that was loaded, unless it is to be that same run."""
        if epochs != self._plan.get("epochs"):
            self._stop = None
        elif self._due == NOTHING_DUE:
            warn_user(
                f"Trainer.fit makes no step, for the run that was loaded is over ({self._stop}); "
                f"it goes on with more epochs than {epochs}"
            )

    def _checked(  # noqa: PLR0917 - those of `fit`
        self,
        x: Any,
        y: Any,
        epochs: int,
        batch_size: int | None,
        validation: Any,
        shuffle: bool,
        sample_weight: Any,
    ) -> tuple[Source, Source | None, dict[str, Any]]:
        """Return the data, those of the validation, and the plan; or raise, and change nothing."""
        owner = "Trainer.fit"
        epochs = check_size(owner, "epochs", epochs)
        shuffle = check_flag(owner, "shuffle", shuffle)
        self._check_trained(owner)
        casting = self._casting()
        train = source(owner, x, y, sample_weight, casting)
        if train.one_shot and epochs > 1:
            raise ValueError(
                f"{owner} expects batches that it can go through {epochs} times, got "
                f"{describe(x)}, which gives them once; pass a list, or an object whose __iter__ "
                "starts anew"
            )
        size = train.rows or 1
        if batch_size is not None:
            size = check_size(owner, "batch_size", batch_size)
        held = held_out(owner, validation, casting, train, epochs)
        plan = {"rows": train.rows, "batch_size": size, "shuffle": shuffle}
        if self._resuming and epochs < self.epoch:
            raise ValueError(
                f"{owner} expects epochs to be all of the run that was loaded, which is in epoch "
                f"{self.epoch}, got {epochs}"
            )
        if self._resuming:
            check_plan(owner, self, plan, self._columns(held))
        return train, held, plan

    def _columns(self, held: Source | None) -> list[str]:
        columns = [*self._loss_columns, *self.metrics]
        return columns if held is None else [*columns, *(f"val_{name}" for name in columns)]

    def _facts(
        self, train: Source, held: Source | None, plan: Mapping[str, Any], epochs: int
    ) -> dict[str, Any]:
        """Return what has to be the same on all ranks, or they train on other rows, or wait."""
        validation = {} if held is None else held.facts()
        return {
            **plan,
            **train.facts(),
            "epochs": int(epochs),
            "columns": self._columns(held),
            **{f"validation {name}": fact for name, fact in validation.items()},
            "resumed": (self.epoch, self.batch) if self._resuming else None,
        }

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
                self._hooks.call("fit_begin", self)
            while not self._ending(interrupt):
                if not self._begun and self.epoch >= self.epochs:
                    break
                self._run_epoch(train, held, interrupt)
            why = self._stop
            if interrupt.asked and not why:
                why = self._interruption("interrupted")
        except KeyboardInterrupt as error:
            self._tell(error)
            self._torn |= interrupt.asked  # the second one may have come anywhere
            why = self._interruption("interrupted")
            if self._torn:
                raise
        except BaseException as error:
            self._tell(error)
            why = self._interruption(f"ended by {type(error).__name__}")
            raise
        finally:
            self.history.stopped = why
            if self._team is None or self._team.torn:
                self._hooks.call("fit_end", self)
            else:  # all ranks come here, for they were told of errors
                self._team.together(lambda: self._hooks.call("fit_end", self))

    def _tell(self, error: BaseException) -> None:
        """Let the ranks that go on, and would wait for this one, raise an error too."""
        if self._team is not None:
            self._team.tell(error)

    def _run_epoch(self, train: Source, held: Source | None, interrupt: Interrupt) -> None:
        order = self._order(train)
        if not self._begun:
            self.epoch, self.batch = self.epoch + 1, 0
            self._totals = self._no_totals()
            self._begun = True
            self._hooks.call("epoch_begin", self)
        self._run_batches(train, order, interrupt)
        if self._ending(interrupt):
            return  # the epoch is left where it is
        if self._team is not None:
            gather(self._team, self._totals)
        values = self._totals.values()
        if held is not None:
            found = measure(
                "Trainer.fit",
                self.objective,
                held,
                EVALUATION_ROWS,
                self._no_totals(),
                where=f"; in the validation of epoch {self.epoch}",
                team=self._team,
            )
            values |= {f"val_{name}": value for name, value in found.items()}
        self.history.append(values)
        self._begun = False
        self._hooks.call("epoch_end", self)

    def _run_batches(self, train: Source, order: Any, interrupt: Interrupt) -> None:
        """Do what training is, with the batches that are left: forward, backward, step."""
        objective, totals, hooks, team = self.objective, self._totals, self._hooks, self._team
        forward, backward = objective.forward, objective.backward
        # Calls that do nothing are left out: together they were a hundredth of a small step.
        after_backward, after_batch = "backward_end" in hooks.heard, "batch_end" in hooks.heard
        loss_of = self.loss
        by_rows = type(loss_of).total_weight is Loss.total_weight and not loss_of.takes_several
        batch: Batch | None = None
        try:
            for batch in train.batches(self._plan["batch_size"], order, self.batch):
                x, y, weight = batch
                plain = by_rows and weight is None and type(x) is np.ndarray
                count = len(x) if plain else sum(loss_of.total_weights(first(x), y, weight))
                if not count:  # it counts nothing
                    self.batch += 1
                    continue
                self._torn = True
                if team is None:
                    loss = forward(x, y, weight)
                    if totals.measured:  # now, for a callback may run another forward
                        totals.measure(objective.prediction, y, weight)
                    backward()
                else:
                    asked = interrupt.asked
                    measures = totals.measure if totals.measured else None
                    loss = team.gradient(objective, x, y, weight, measure=measures, asked=asked)
                if after_backward:
                    hooks.call("backward_end", self)
                self._optimizer.step()
                self.batch += 1
                self.step += 1
                self.batch_loss, self.batch_x = loss, x
                totals.loss += loss * count
                totals.weight += count
                self._torn = False
                if after_batch:
                    hooks.call("batch_end", self)
                if (interrupt.asked if team is None else team.asked) or self._stop:
                    return
        except (NonFiniteError, ValueError) as error:
            if batch is None or not self._torn:  # of a callback, or of the iterable
                raise
            place = Place("Trainer.fit", f"; in {self._where(1)}", self._rows(train, order, batch))
            explain(error, self.model, batch, place)

    def _order(self, train: Source) -> Any:
        """Return the order of the rows in this epoch: a new one, or again that of its start."""
        if train.rows is None or not self._plan["shuffle"]:
            return None
        if not self._begun:
            if self._team is not None:
                load_state(self.rng, self._team.together(lambda: state_of(self.rng))[0])
            self._order_state = state_of(self.rng)
            return self.rng.permutation(train.rows)
        now = state_of(self.rng)
        load_state(self.rng, self._order_state or now)
        order = self.rng.permutation(train.rows)
        load_state(self.rng, now)
        return order

    def _ending(self, interrupt: Interrupt) -> bool:
        """Return whether training is to end here: on all ranks alike, if there are several."""
        if self._team is not None:
            answers = self._team.together(lambda: (self._stop, interrupt.asked))
            interrupt.asked = any(asked for _, asked in answers)
            self._stop = next((why for why, _ in answers if why), None)
        return interrupt.asked or bool(self._stop)

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
        if not self._torn and self._interrupted is None:
            # Now, for at the end a callback may leave other parameters: those of the best epoch.
            self._interrupted = capture(self)
        return f"{how} {f'in {self._where()}' if self._begun else f'after epoch {self.epoch}'}"

    def _where(self, under_way: int = 0) -> str:
        of = f" of {self.batches}" if self.batches else ""
        which = "batch" if under_way else "after batch"
        return f"epoch {self.epoch}, {which} {self.batch + under_way}{of}"

    def _rows(self, train: Source, order: Any, batch: Batch) -> Any:
        """Return the numbers of the rows of the batch under way, if they have any."""
        if train.rows is None:
            return None
        start = self.batch * self._plan["batch_size"]
        rows = slice(start, start + len(first(batch[0])))
        return np.arange(rows.start, rows.stop) if order is None else order[rows]

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

        A callback may call it in every hook. Between a forward and a backward of `objective` that
        one makes oneself, `Layer.predict` may be called, and this not.

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
            "loss" with the penalties, its parts if there are several outputs, as "loss_kind",
            and each metric by its name.

        Raises
        ------
        TypeError, ValueError, NonFiniteError
            As in `fit`.
        """
        owner = "Trainer.evaluate"
        size = check_size(owner, "batch_size", batch_size)
        data = source(owner, x, y, sample_weight, self._casting())
        return measure(owner, self.objective, data, size, self._no_totals())

    # -- checkpoints -------------------------------------------------------------

    def save_checkpoint(self, path: str | PathLike[str]) -> None:
        """Write all that training goes on from into one file.

        That is: parameters and buffers, the optimizer, the callbacks with their schedules,
        every random generator, the place in the epoch and its sums so far, and the history.
        It may be called at any time, by a callback too, but not in the middle of a step. Of a
        run that was interrupted it is the state in which that was.

        Parameters
        ----------
        path : str or path-like

        Raises
        ------
        RuntimeError
            By a callback in ``on_backward_end``; or after an error in the middle of a step, or
            a second Ctrl-C.
        """
        if self._team is None:
            write(path, self._tree())
            return
        self._team.together(self._check_whole)  # an error of one rank leaves others in a step
        tree = self._tree()
        parts = self._team.together(lambda: own_part(tree))
        tree = {**tree, "totals": joined(self._no_totals(), tree["totals"], parts), "ranks": parts}
        self._team.together(lambda: write(path, tree) if self.main else None)

    def _check_whole(self) -> None:
        if self._torn:
            raise RuntimeError(
                "Trainer.save_checkpoint cannot save the middle of a step: a callback calls it in "
                "on_batch_end; after an error in a step, or a second Ctrl-C, go on from an "
                "earlier checkpoint"
            )

    def _tree(self) -> dict[str, Any]:
        """Return all that training goes on from."""
        self._check_whole()
        return capture(self) if self._interrupted is None else self._interrupted

    def load_checkpoint(self, path: str | PathLike[str]) -> None:
        """Take over what `save_checkpoint` wrote; the next `fit` goes on with that run.

        Called with the arguments of the first `fit`, it ends with the same bytes in
        parameters, optimizer and history as if there had been no interruption. An iterable of
        batches has to yield the same ones; those that are done are passed by.

        A run that has ended, by itself or by a callback's `stop`, goes on where it is given more
        epochs than before.

        Parameters
        ----------
        path : str or path-like

        Raises
        ------
        ValueError, TypeError
            If the file is no checkpoint, or that of another model, optimizer, or other
            callbacks; nothing is changed.
        """
        if self._team is None:
            tree, ranks = read(path), []
        else:
            tree = self._team.together(lambda: read(path) if self.main else {})[0]
            ranks = tree.get("ranks", [])
            if len(ranks) == self._team.size:
                tree = {**tree, **ranks[self._team.rank]}
            elif not self.main:  # the sums so far are those of rank 0
                tree = {**tree, "totals": {**tree["totals"], "sums": {}, "kept": []}}
        before = capture(self)
        try:
            apply(self, tree)
        except BaseException:
            apply(self, before)
            raise
        if self._team is not None and len(ranks) != self._team.size:
            self._team.scatter(self.model)
        self._interrupted, self._torn = None, False
        self._resuming = True

    def _call_again(self) -> None:
        """Let the callbacks begin, put back what they changed, and call the hooks still due."""
        self._interrupted = loaded = capture(self)  # what a callback saves, should one do so now
        self._hooks.call("fit_begin", self)
        apply(self, loaded)
        due, self._due, self._interrupted = self._due, NOTHING_DUE, None
        if due["event"] is not None:
            self._hooks.call(due["event"], self, due["callbacks"])

    # -- data --------------------------------------------------------------------

    def _check_trained(self, owner: str) -> None:
        """Raise unless the optimizer has all parameters that are trained."""
        held = {id(parameter) for parameter in self.optimizer.parameters}
        for name, parameter in self.model.named_parameters():
            if not parameter.frozen and id(parameter) not in held:
                raise ValueError(
                    f"{owner} expects an optimizer of all that is trained, {self.optimizer!r} has "
                    f"not {name}; assign a new one to trainer.optimizer, or freeze that layer"
                )

    def _casting(self) -> Casting:
        loss, targets, labels = self.loss, [], []
        names = self.model.output_names
        for name, one in zip(names, getattr(loss, "losses", (loss,) * len(names)), strict=False):
            # Of an author's loss of several outputs nobody knows how many targets it takes.
            needed = one is not None and one.takes_target and not one.takes_several
            targets.append(name if needed else f"{name}?")
            labels.append(WHOLE * (one is not None and one.takes_labels))
        y = Fields("y", "target", tuple(targets), tuple(labels), not loss.takes_several)
        optional = tuple([f"{name}?" for name in names])
        weight = Fields("sample_weight", "weight", optional, ("",) * len(names))
        return Casting(survey(self.model).dtype, inputs(self.model), y, weight)

    def _no_totals(self) -> Totals:
        return Totals(self.metrics, self.objective)

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
