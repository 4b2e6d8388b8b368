"""Training for real work: batches, epochs, validation, callbacks and checkpoints."""

from collections.abc import Iterable, Mapping
from os import PathLike
from typing import Any

import numpy as np

from minifw._engine.prediction import keeping_modes, survey
from minifw._engine.reasons import Place, explain
from minifw._engine.team import Team
from minifw._tools.checks import check_is
from minifw._tools.generators import load_states
from minifw._tools.interrupt import Interrupt, interruptible
from minifw._tools.numbers import check_flag, check_rng, check_size
from minifw._tools.options import delegated
from minifw._tools.rows import first
from minifw._tools.warn import warn_user
from minifw.core.layer import Layer
from minifw.core.loss import Penalty
from minifw.core.objective import Objective
from minifw.errors import NonFiniteError
from minifw.losses import Loss
from minifw.metrics.naming import AnyMetric, named_metrics
from minifw.optimizers import Optimizer
from minifw.training._checkpoint import apply, capture, generators, options, read, write
from minifw.training._data import Batch, source
from minifw.training._evaluation import measure
from minifw.training._feed import Feed
from minifw.training._history import History
from minifw.training._hooks import Callback, Hooks, check_callbacks
from minifw.training._plan import How, Plan, casting_of, check_trained
from minifw.training._run import Run
from minifw.training._signs import Signs
from minifw.training._step import Step
from minifw.training._team import ALONE, agreed, gather, joined, parted
from minifw.training._totals import Totals, part_columns
from minifw.typing import RNG

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
        Of `minifw.metrics`, or their names, or functions (prediction, target) -> float. With
        several outputs these are tuples, and ``metrics.accuracy.of(1)`` measures one.
    callbacks : list of Callback, default ()
        Their hooks are called in this order.
    rng : numpy.random.Generator, int or None, default None
        The source of the order of the examples, or its seed.
    replay : bool, default True
        Whether small steps are recorded and made again; see `Objective`.
    watch : bool, default True
        Whether to look, at next to no cost, for signs that the network does not learn, such as
        columns of other scales or gradients that vanish; each is a `TrainingWarning`, once.

    Attributes
    ----------
    model, loss, optimizer, metrics, callbacks, rng
        As given. Another optimizer may be assigned, and makes the next step.
    objective : Objective
        What is minimised.
    run : Run
        The state of the latest run, which a checkpoint holds.
    history : History
        The history of the latest run.
    epoch, epochs : int
        The current epoch, counted from 1, and the number requested.
    batch, batches : int
        How many batches of this epoch are done; how many it has, or None if that is unknown.
    step : int
        How many batches of the run are done; called, as ``trainer.step(x, y, weight)``, it makes
        one step. See `step`.
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
    `load_checkpoint` it continues with the run that was saved.

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

    # What a callback that asks for validation says; an estimator has other words for it.
    _validation_fix = "give fit validation=(x, y)"

    model: Layer = delegated("objective", fixed=True)
    loss: Loss = delegated("objective", fixed=True)
    penalties: tuple[Penalty, ...] = delegated("objective._penalties", fixed=True)
    # Whether this process is the one that prints and writes.
    main: bool = delegated("_team", fixed=True)
    epoch: int = delegated("run")
    batch: int = delegated("run")
    batch_loss: float = delegated("run")
    batch_x: Any = delegated("run")
    history: History = delegated("run")

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
        watch: bool = True,
    ) -> None:
        before = set(vars(self))  # of a subclass
        self.objective = Objective(model, loss, penalties=penalties, replay=replay)
        self.optimizer = optimizer
        self._loss_columns = ["loss", *part_columns(self.objective)]
        self.metrics = named_metrics("Trainer", metrics, self._loss_columns)
        self.callbacks: list[Callback] = check_callbacks("Trainer", callbacks)
        self.rng = check_rng("Trainer", rng)
        self.epochs = 0
        self.batches: int | None = None
        self.columns: list[str] = [*self._loss_columns, *self.metrics]
        self._signs = Signs(check_flag("Trainer", "watch", watch))
        self._resuming = self._fitting = False
        self._interrupt = Interrupt()
        self._streams: dict[str, Any] = {}  # the iterables of a fit, which may hold generators
        self._given: dict[str, Any] | None = None  # the options before anything was trained
        self._start()
        self._own = {*vars(self), "_own"} - before

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer."""
        return self._optimizer

    @optimizer.setter
    def optimizer(self, optimizer: Optimizer) -> None:
        self._optimizer = _checked_optimizer(self.model, optimizer)
        self._team: Team = optimizer if isinstance(optimizer, Team) else ALONE
        self._team.prepare(self.model)
        self._given = None

    def _start(self) -> None:
        """Begin a run."""
        self.run = Run(self._no_totals())
        self.objective.steps = 0
        self._hooks = Hooks(self.callbacks)

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
        steps_per_epoch: int | None = None,
        drop_last: bool = False,
    ) -> History:
        """Train, and return the values of each epoch.

        Parameters
        ----------
        x, y : array of shape (examples, ...); or x alone, an iterable of batches
            Arrays in memory are cast to the model's dtype once; arrays mapped from files
            are read and cast batch by batch; SciPy's sparse arrays are made dense batch by batch.
            Whole numbers stay whole where the model takes them (`Embedding`), and as labels. An
            iterable yields pairs (x, y) or triples (x, y, weight), and is read once an epoch. With
            several inputs, x is a tuple of arrays, or a dict by name, and truth values in it stay
            what they are; with several outputs y is one.
        epochs : int
            How many times to go through the data; for a loaded run, in total. A stopped run
            continues only with a larger number.
        batch_size : int or None, default 32
            How many examples make a step; None for all of them. The last batch of an epoch has the
            remaining rows. A single remaining row joins the batch before it if a layer needs two,
            such as `BatchNorm`.
        validation : (x, y), (x, y, weight) or an iterable of batches, optional
            Evaluated at the end of every epoch.
        shuffle : bool, default True
            Whether to draw a new order of the examples for every epoch; an iterable keeps its own.
        sample_weight : array of shape (examples,), optional
            What each example counts in the loss and in the metrics; or, with more of the
            output's axes, as (examples, time), each step. With several outputs, it may be a tuple.
        steps_per_epoch : int, optional
            How many batches make an epoch, instead of one pass through the data: for an iterable
            that never ends. The next epoch continues where this one ended.
        drop_last : bool, default False
            Whether to leave out a last batch with fewer rows than `batch_size`.

        Returns
        -------
        History

        Raises
        ------
        TypeError, ValueError
            If the data do not fit each other, the model or the loss; or if a generator, which can
            be read once, should serve for several epochs. If ranks that train together
            (`minifw.interop.mpi`) have other data or arguments.
        RuntimeError
            If a callback calls it.
            If another rank raised an error, in a callback too: this one then ends as well.
        NonFiniteError
            At the first loss or gradient that is not finite: where it arose, in which epoch
            and batch, and which rows are to blame, where single ones are.

        Notes
        -----
        All layers are put into train mode, and afterwards into the mode that they had.

        A first Ctrl-C ends training after the current batch, and ``history.stopped`` says
        so; the current epoch is not in the history. A second one is raised.
        """
        self._check_outside("fit")
        check_callbacks("Trainer.fit", self.callbacks)  # which may have been assigned since
        self.metrics = named_metrics("Trainer.fit", self.metrics, self._loss_columns)
        self.rng = check_rng("Trainer.fit", self.rng)
        team, plans = self._team, list[Plan]()
        how = How(batch_size, shuffle, steps_per_epoch, drop_last, epochs)
        team.together(lambda: plans.append(self._planned((x, y, sample_weight), validation, how)))
        (plan,) = plans
        columns, resuming = self._columns(plan), self._resuming
        resumed = (self.epoch, self.batch) if resuming else None
        for facts in ({"columns": columns, "resumed": resumed, **plan.facts()}, plan.checksums):
            agreed("Trainer.fit", team, facts)
        if not resuming:
            self._start()
        elif self.run.why:
            self._go_on_or_warn(plan.how.epochs)
        run = self.run
        if self._given is None:
            self._given = options(self)
        self._hooks, self._streams = Hooks(self.callbacks), plan.streams
        run.plan = {**plan.to_dict(), "loss": self._minimised()}
        self._resuming, run.kept, run.torn = False, None, False
        self.columns, self.epochs, self.batches = columns, plan.how.epochs, plan.batches
        if run.owed:
            load_states(generators(self), run.owed)
            run.owed = {}
        with keeping_modes(survey(self.model).layers), interruptible() as self._interrupt:
            self._fitting = True
            try:
                self.model.train()
                self._run(plan, resuming=resuming)
            finally:
                self._fitting = False
        return self.history

    def _check_outside(self, name: str) -> None:
        if self._fitting:
            raise RuntimeError(
                f"Trainer.{name} expects that no fit of this trainer is under way, but a callback "
                "called it; call it after fit, or build another Trainer"
            )

    def _go_on_or_warn(self, epochs: int) -> None:
        """Forget what stopped the run that was loaded, unless it is to be that same run."""
        run = self.run
        if epochs != run.plan.get("epochs"):
            run.why = None
        elif run.due is None:
            warn_user(
                f"Trainer.fit makes no step, for the run that was loaded is over ({run.why}); "
                f"it goes on with more epochs than {epochs}"
            )

    def _planned(self, data: tuple[Any, Any, Any], validation: Any, how: How) -> Plan:
        """Return the checked arguments of a fit; or raise, and change nothing."""
        owner, model = "Trainer.fit", self.model
        check_trained(owner, model, self.optimizer)
        least = max([int(layer.least_rows) for layer in survey(model).layers])
        casting = casting_of(model, self.loss)
        plan = Plan(owner, casting, data, validation, how, least=least)
        if self._resuming:
            plan.check_resumes(owner, self.run, self._columns(plan))
        return plan

    def _minimised(self) -> str:
        """Return what makes losses comparable: the loss and the penalties, as they were given."""
        kinds = [type(one).__name__ for one in (self.loss, *self.penalties)]
        given = (self._given or {}).items()
        options = {k: v for k, v in given if k.startswith(("loss", "penalties"))}
        return f"{', '.join(kinds)} {options}"

    def _others(self) -> dict[str, Any]:
        """Return the attributes that only a subclass has."""
        own = self._own
        return {f"trainer.{name}": one for name, one in vars(self).items() if name not in own}

    def _columns(self, plan: Plan) -> list[str]:
        columns = [*self._loss_columns, *self.metrics]
        return columns if plan.held is None else [*columns, *(f"val_{name}" for name in columns)]

    def _run(self, plan: Plan, *, resuming: bool) -> None:
        """Run the epochs that are left, with the hooks around them."""
        run, interrupt = self.run, self._interrupt
        why = run.why
        run.history.stopped = None
        try:
            if resuming:
                self._call_again()
                run = self.run
            else:
                self._signs.begin(self, plan.train)
                self._hooks.call("fit_begin", self)
            own = generators(self) if resuming and plan.train.stream is not None else {}
            others = {id(one) for name, one in own.items() if name.startswith(("model", "callb"))}
            feed = Feed(plan, run, self.rng, self._team, others)
            while not self._ending() and (run.begun or run.epoch < self.epochs):
                self._run_epoch(plan, feed)
            why = run.why
            if interrupt.asked and not why:
                why = self._interruption("interrupted")
            elif run.begun:  # stopped in an epoch: it is gone on with as it is now
                run.kept = capture(self)
        except KeyboardInterrupt as error:
            self._team.tell(error)
            self.run.torn |= interrupt.asked  # the second one may have come anywhere
            why = self._interruption("interrupted")
            if self.run.torn:
                raise
        except BaseException as error:
            self._team.tell(error)
            why = self._interruption(f"ended by {type(error).__name__}")
            raise
        finally:
            self.history.stopped = why
            if self._team.torn:
                self._hooks.call("fit_end", self)
            else:  # all ranks come here, because they were told of errors
                self._team.together(lambda: self._hooks.call("fit_end", self))

    def _run_epoch(self, plan: Plan, feed: Feed) -> None:
        run, team, held = self.run, self._team, plan.held
        if not run.begun:
            run.torn = True
            feed.begin()
            run.epoch, run.batch, run.totals = run.epoch + 1, 0, self._no_totals()
            run.begun = True
            self._hooks.call("epoch_begin", self)
        self._run_batches(feed)
        if self._ending():
            return  # the epoch is left where it is
        if not run.validating:  # else a loaded run did it
            run.torn = run.validating = True
            self._hooks.call("validation_begin", self)
        # Sums of all ranks would be added up again, and generators of an iterable be half way.
        run.torn = team.size > 1 or "validation" in self._streams
        gather(team, run.totals)
        values = run.totals.values()
        if held is not None:
            where = f"; in the validation of epoch {run.epoch}"
            totals = self._no_totals()
            found = measure(self.objective, held, EVALUATION_ROWS, totals, where=where, team=team)
            values |= {f"val_{name}": value for name, value in found.items()}
        run.torn = True
        run.history.append(values)
        feed.end()
        run.begun = run.validating = False
        self._hooks.call("epoch_end", self)
        self._signs.epoch(self)

    def _run_batches(self, feed: Feed) -> None:
        """Make the steps of the batches that are left in this epoch."""
        run, team, hooks, interrupt = self.run, self._team, self._hooks, self._interrupt
        totals, loss = run.totals, self.loss
        # What nobody overrides checks its loss itself: the call was a hundredth of a small step.
        step = self._make_step if type(self).step is Trainer.step else self.step
        after_batch = "batch_end" in hooks.heard
        by_rows = type(loss).total_weight is Loss.total_weight and not loss.takes_several
        batch: Batch | None = None
        try:
            for batch in feed.epoch():
                run.torn = True
                x, y, weight = batch
                plain = by_rows and weight is None and type(x) is np.ndarray
                count = len(x) if plain else sum(loss.total_weights(first(x), y, weight))
                if count:  # else it counts nothing
                    run.batch_loss = value = step(x, y, weight)
                    run.step += 1
                    if run.step == 1:
                        self._signs.first = value
                    totals.loss += value * count
                    totals.weight += count
                run.latest = batch
                run.batch += 1
                run.place += 1
                if after_batch and count:
                    hooks.call("batch_end", self)
                run.torn = False
                if team.heard(interrupt.asked) or run.why:
                    return
        except (NonFiniteError, ValueError) as error:
            if batch is None or not run.torn or hooks.event == "batch_end":
                raise  # of a callback, or of the iterable
            rows, growth = feed.rows(batch), self._signs.growth(self)
            place = Place("Trainer.fit", f"; in {self._where(1)}", rows, growth)
            explain(error, self.model, batch, place)

    def _make_step(self, x: Any, y: Any, weight: Any = None) -> float:
        """Make a step on one batch, and return its loss: forward, backward, update.

        A subclass overrides it, for two losses or two networks in turn. It returns a number;
        calls `measure` if there are metrics, and `update` where the gradients are made.
        """
        totals = self.run.totals
        measures = totals.measure if totals.measured else None
        asked = self._interrupt.asked
        value = self._team.gradient(self.objective, x, y, weight, measure=measures, asked=asked)
        self.update()
        return value

    step: Any = Step(_make_step)  # of any type, for a subclass writes a method

    def measure(self, prediction: Any, target: Any, weight: Any = None) -> None:
        """Add a batch to the metrics of the epoch; `step` of a subclass calls it."""
        self.run.totals.measure(prediction, target, weight)

    def update(self) -> None:
        """Call ``on_backward_end`` of the callbacks, and let the optimizer make its step."""
        if "backward_end" in self._hooks.heard:
            self._hooks.call("backward_end", self)
        self._optimizer.step()

    def _ending(self) -> bool:
        """Return whether training is to end here: on all ranks alike, if there are several."""
        run, interrupt = self.run, self._interrupt
        if self._team.size > 1:
            answers = self._team.together(lambda: (run.why, interrupt.asked))
            interrupt.asked = any(asked for _, asked in answers)
            run.why = next((why for why, _ in answers if why), None)
        return interrupt.asked or bool(run.why)

    def stop(self, why: str) -> None:
        """End training after the batch or the current epoch; a callback calls it.

        Parameters
        ----------
        why : str
            A sentence, for ``history.stopped``.
        """
        self.run.why = str(why)

    def _interruption(self, how: str) -> str:
        """Keep what the run would continue from, and return what happened and where."""
        run = self.run
        if not run.torn and run.kept is None:
            # Now: at the end a callback may leave other parameters, such as the best epoch's.
            run.kept = capture(self)
        return f"{how} {f'in {self._where()}' if run.begun else f'after epoch {run.epoch}'}"

    def _where(self, under_way: int = 0) -> str:
        of = f" of {self.batches}" if self.batches else ""
        which = "batch" if under_way else "after batch"
        return f"epoch {self.epoch}, {which} {self.batch + under_way}{of}"

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

        A callback may call it in every hook. Between your own forward and backward of `objective`,
        call `Layer.predict` and not this.

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
        data = source(owner, x, y, sample_weight, casting_of(self.model, self.loss))
        return measure(self.objective, data, size, self._no_totals())

    # -- checkpoints -------------------------------------------------------------

    def save_checkpoint(self, path: str | PathLike[str]) -> None:
        """Write everything that training needs to continue into one file.

        That is: parameters and buffers, the optimizer, the callbacks with their schedules,
        every random generator, the options that may change in a run, and the state of the `run`.
        It may be called at any time, also by a callback, but not in the middle of a step. After an
        interruption it writes the state at the interruption.

        Parameters
        ----------
        path : str or path-like

        Raises
        ------
        RuntimeError
            By a callback in ``on_backward_end``; or after an error in the middle of a step or in
            the hook of a callback that has a state, or a second Ctrl-C.
        """
        team = self._team
        team.together(self._check_whole)  # an error of one rank leaves others in a step
        tree = capture(self) if self.run.kept is None else self.run.kept
        tree = joined(team, tree, self._no_totals())
        team.together(lambda: write(path, tree) if self.main else None)

    def _check_whole(self) -> None:
        if self.run.kept is None and self.run.torn:
            raise RuntimeError(
                "Trainer.save_checkpoint cannot save the middle of a step: a callback calls it in "
                "on_batch_end; after an error in a step or in a callback that has a state, or a "
                "second Ctrl-C, go on from an earlier checkpoint"
            )

    def load_checkpoint(self, path: str | PathLike[str]) -> None:
        """Load what `save_checkpoint` wrote; the next `fit` continues that run.

        With the arguments of the first `fit`, the run ends with the same bytes in parameters,
        optimizer and history as a run without interruption. If an option of the optimizer, a
        schedule, a callback or a layer has a new value, the new value holds.

        An iterable of batches has to yield the same ones; finished ones are skipped, and the
        generators in it are put back. There is a warning if the last one of them is another.

        A run that has ended, or that a callback's `stop` has ended, continues if it is given more
        epochs than before.

        Parameters
        ----------
        path : str or path-like

        Raises
        ------
        ValueError, TypeError
            If the file is not a checkpoint, or is of another model, optimizer, other metrics or
            other callbacks; nothing is changed.
        RuntimeError
            If a callback calls it.
        """
        self._check_outside("load_checkpoint")
        team = self._team
        tree = team.together(lambda: read(path) if self.main else {})[0]
        if self._given is None:
            self._given = options(self)
        before, run = capture(self), self.run
        try:
            apply(self, parted(team, tree))
        except BaseException as error:
            apply(self, before)
            self.run = run
            if isinstance(error, LookupError | AttributeError):
                text = f"{path} is no checkpoint of this run: {error!r}"
                raise ValueError(text) from error  # noqa: TRY004 - of the file, not of a type
            raise
        if len(tree.get("ranks", [0])) != team.size:
            team.scatter(self.model)
        self._hooks = Hooks(self.callbacks)
        self._resuming = True

    def _call_again(self) -> None:
        """Let the callbacks begin, put back what they changed, and call the hooks still due."""
        self.run.kept = loaded = capture(self)  # what a callback saves, should one do so now
        try:
            self._hooks.call("fit_begin", self)
        except BaseException:  # the next fit goes on with the run all the same
            apply(self, loaded)
            self.run.kept, self._resuming = loaded, True
            raise
        apply(self, loaded)
        for callback in self.callbacks:
            callback._resumed(self)
        due, self.run.due = self.run.due, None
        if due is not None:
            self._hooks.call(due["event"], self, due["callbacks"])
            if due["event"] == "epoch_end":
                self._signs.epoch(self)

    # -- data --------------------------------------------------------------------

    def _no_totals(self) -> Totals:
        return Totals(self.metrics, self.objective)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "step" in vars(cls):
            cls.step = Step(vars(cls)["step"])  # the number is there as well

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_fitting": False}  # a copy that is made in a fit is in none

    def __repr__(self) -> str:
        return f"Trainer({self.model!r}, {self.loss!r}, {self.optimizer!r})"


def _checked_optimizer(model: Layer, optimizer: Optimizer) -> Optimizer:
    call = "(model.parameters(), lr=...)"
    check_is("Trainer", "an optimizer", optimizer, Optimizer, call=call)
    own = {id(parameter) for parameter in model.parameters()}
    if not own & {id(parameter) for parameter in optimizer.parameters}:
        raise ValueError(
            "Trainer expects an optimizer of this model's parameters, got one of others; build "
            "it with model.parameters()"
        )
    return optimizer
