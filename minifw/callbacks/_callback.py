"""The contract of a callback."""

from typing import Any

from minifw._tools.warn import warn_user
from minifw.training import Trainer
from minifw.training._hooks import nothing

__all__ = ["Callback", "TrainingWarning"]


class TrainingWarning(UserWarning):
    """Something keeps the network from learning, or may.

    Examples
    --------
    >>> import warnings
    >>> from minifw import TrainingWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", TrainingWarning)  # a training in here ends at once
    """


def warn(message: str) -> None:
    """Give a `TrainingWarning` that names the user's line, in every run."""
    warn_user(message, TrainingWarning, every_time=True)


class Callback:
    """Does something between the steps of training: a subclass writes the hooks it needs.

    Every hook receives the trainer, whose attributes say where training is: ``epoch``,
    ``batch``, ``step``, ``batch_loss``, ``history``, and so on. ``trainer.stop(why)`` ends it.
    Hooks that do nothing cost nothing.

    A callback that must go on after a checkpoint as if there had been none returns what it
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

    @nothing
    def on_fit_begin(self, trainer: Trainer) -> None:
        """Before the first epoch; after a checkpoint was loaded, before training goes on."""

    @nothing
    def on_epoch_begin(self, trainer: Trainer) -> None:
        """Before the first batch of an epoch."""

    @nothing
    def on_backward_end(self, trainer: Trainer) -> None:
        """Between the gradients and the step of the optimizer."""

    @nothing
    def on_batch_end(self, trainer: Trainer) -> None:
        """After the step of a batch."""

    @nothing
    def on_epoch_end(self, trainer: Trainer) -> None:
        """After an epoch, its validation included; ``trainer.history.last`` has its values."""

    @nothing
    def on_fit_end(self, trainer: Trainer) -> None:
        """At the end, be it by an error, too; ``trainer.history.stopped`` says why.

        It is not called if ``on_fit_begin`` of this callback, or of one before it, raised.
        """

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint has to hold; nothing, by default."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        del state

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"
