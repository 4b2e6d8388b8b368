"""What a callback may do, and which of it each one does."""

from collections.abc import Callable, Container, Iterable
from typing import Any, TypeAlias

from minifw._tools.checks import check_is, describe
from minifw._tools.options import Kept
from minifw.schedules import ReduceOnPlateau, Schedule

EVENTS = (
    "fit_begin",
    "epoch_begin",
    "backward_end",
    "batch_end",
    "validation_begin",
    "epoch_end",
    "fit_end",
)

Hook: TypeAlias = Callable[[Any], None]


class Callback(Kept):
    """Does something between the steps of training: a subclass writes the hooks it needs.

    Every hook receives the trainer, whose attributes say where training is: ``epoch``,
    ``batch``, ``step``, ``batch_loss``, ``history``, and so on. ``trainer.stop(why)`` ends it.
    Hooks that are not written cost nothing.

    A callback that must continue after a checkpoint as if there had been none returns what it
    knows from ``state_dict``, as numbers, text, arrays and containers of them, and
    takes it in ``load_state_dict``; that is called after ``on_fit_begin``. Random generators
    in its attributes are kept without that.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Callback, Dense, MSELoss, SGD, Trainer
    >>> class Norm(Callback):
    ...     '''Prints the norm of a weight after every epoch.'''
    ...     def on_epoch_end(self, trainer):
    ...         norm = np.linalg.norm(trainer.model.weight.value)
    ...         print(f"epoch {trainer.epoch}: {norm:.3f}")
    >>> model = Dense(1, 1, rng=0)
    >>> optimizer = SGD(model.parameters(), lr=0.1)
    >>> trainer = Trainer(model, MSELoss(), optimizer, callbacks=[Norm()])
    >>> history = trainer.fit([[1.0], [2.0]], [[2.0], [4.0]], epochs=2, shuffle=False)
    epoch 1: 1.237
    epoch 2: 1.481
    """

    def _resumed(self, trainer: Any) -> None:
        """After what was loaded was put back: forget what does not fit the run that continues."""

    def on_fit_begin(self, trainer: Any) -> None:
        """Before the first epoch; after a checkpoint was loaded, before training continues."""

    def on_epoch_begin(self, trainer: Any) -> None:
        """Before the first batch of an epoch."""

    def on_backward_end(self, trainer: Any) -> None:
        """Between the gradients and the step of the optimizer."""

    def on_batch_end(self, trainer: Any) -> None:
        """After the step of a batch."""

    def on_validation_begin(self, trainer: Any) -> None:
        """Between the last batch of an epoch and its validation; also where there is none."""

    def on_epoch_end(self, trainer: Any) -> None:
        """After an epoch, its validation included; ``trainer.history.last`` has its values."""

    def on_fit_end(self, trainer: Any) -> None:
        """At the end, also after an error; ``trainer.history.stopped`` says why.

        It is not called if ``on_fit_begin`` of this callback, or of one before it, raised.
        """

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def _has_state(callback: Callback) -> bool:
    own = type(callback).state_dict is not Callback.state_dict
    return own or len(callback._in_checkpoint) > 0


def check_callbacks(owner: str, callbacks: Any) -> list[Callback]:
    """Return the callbacks as a list, or raise unless they are some."""
    if isinstance(callbacks, Callback) or not isinstance(callbacks, Iterable):
        raise TypeError(f"{owner} expects a list of callbacks, got {describe(callbacks)}")
    found = list(callbacks)
    for callback in found:
        kind = callback if isinstance(callback, type) else type(callback)
        hint = "; derive it from minifw.Callback"
        if issubclass(kind, Schedule | ReduceOnPlateau):
            hint = "; write Scheduled(schedule)"
        check_is(owner, "callbacks", callback, Callback, call="()", hint=hint)
        for name in dir(callback):
            if not name.startswith("on_") or name.removeprefix("on_") in EVENTS:
                continue
            if callable(getattr(callback, name)):  # no setting, such as on_disk=True
                raise TypeError(
                    f"{owner}: {type(callback).__name__}.{name} is no hook; there are "
                    f"{', '.join(f'on_{event}' for event in EVENTS)}"
                )
    return found


def keys_of(callbacks: Iterable[Callback]) -> list[str]:
    """Return a name for each callback that a checkpoint finds again: its class and its number."""
    counts: dict[str, int] = {}
    keys = []
    for callback in callbacks:
        name = type(callback).__name__
        counts[name] = counts.get(name, 0) + 1
        keys.append(name if counts[name] == 1 else f"{name} {counts[name]}")
    return keys


class Hooks:
    """The hooks of callbacks: calls the hooks of an event, and knows which are still due.

    ``on_fit_end`` is for the callbacks whose ``on_fit_begin`` returned: one that has begun nothing
    in this run would end an earlier one.

    Attributes
    ----------
    heard : set of str
        The events at which a callback does something.
    event : str or None
        The event whose hooks are being called; it stays where one of them raised.
    """

    def __init__(self, callbacks: Iterable[Callback]) -> None:
        callbacks = list(callbacks)
        self._keys = keys = keys_of(callbacks)
        self._of: dict[str, list[tuple[str, Hook]]] = {}
        for event in EVENTS:
            idle = getattr(Callback, f"on_{event}")  # which does nothing
            hooks = [getattr(callback, f"on_{event}") for callback in callbacks]
            pairs = zip(keys, hooks, strict=True)
            self._of[event] = [p for p in pairs if getattr(p[1], "__func__", None) is not idle]
        self.heard = {event for event, pairs in self._of.items() if pairs}
        pairs_of_all = zip(keys, callbacks, strict=True)
        self._stateful = {key for key, one in pairs_of_all if _has_state(one)}
        self.event: str | None = None
        self._left: list[tuple[str, Hook]] = []
        self._begun: set[str] = set()  # the callbacks that are to hear of the end

    def call(self, event: str, trainer: Any, only: Container[str] | None = None) -> None:
        """Call the hooks of an event in turn, of all callbacks or of some."""
        pairs, run = self._of[event], trainer.run
        if not pairs and event not in ("fit_begin", "fit_end"):  # as mostly, in short epochs
            run.torn = event == "backward_end"
            return
        if event == "fit_end":
            only = self._begun
        if only is not None:
            pairs = [pair for pair in pairs if pair[0] in only]
        # Between two hooks nobody knows which one is next; in a hook the run can be saved.
        inside = run.torn and event in ("backward_end", "fit_end")
        run.torn = True
        self.event = event
        for index, (key, hook) in enumerate(pairs, 1):
            self._left = pairs[index:]
            if event == "fit_begin":
                self._begun.update(self._keys[: self._keys.index(key)])  # those before it
            try:
                run.torn = inside
                hook(trainer)
            except BaseException:  # the state of its callback may be half changed
                run.torn |= event != "fit_begin" and key in self._stateful
                raise
            run.torn = True
        if event == "fit_begin":
            self._begun.update(self._keys)
        self.event = None
        run.torn = inside

    def due(self) -> dict[str, Any] | None:
        """Return the current event, and the keys of the callbacks that have yet to hear of it.

        A checkpoint that a callback makes is one in the middle of an event. None, if there is
        no event under way, or the last one.
        """
        if self.event in (None, "fit_end"):
            return None
        return {"event": self.event, "callbacks": [key for key, _ in self._left]}
