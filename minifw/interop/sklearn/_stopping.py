"""Between the epochs of `fit`: the rate is set, the best kept, and training ends."""

import copy
import math
from types import SimpleNamespace
from typing import Any, ClassVar

from minifw._tools.checks import describe
from minifw._tools.numbers import check_count, check_number
from minifw.callbacks import Callback, EarlyStopping, Scheduled
from minifw.core.optimizer import Optimizer
from minifw.interop.sklearn._building import call
from minifw.interop.sklearn._presets import CYCLES
from minifw.schedules import CosineCyclesLR
from minifw.training import Trainer

LOWERED = 5.0  # by which "adaptive" divides the rate: scikit-learn's number, as the next one
LEAST = 1e-6  # a rate below which there is nothing to lower


def own_copy(owner: str, name: str, given: Any, trainer: Trainer) -> Any:
    """Return a callback of this fit alone: a copy, or what the function makes."""
    if callable(given):
        return call(owner, f"{name}(trainer)", given, trainer)
    try:
        return copy.deepcopy(given)
    except Exception as error:
        raise TypeError(
            f"{owner} copies the callbacks for each fit, and {name}, {describe(given)}, cannot "
            f"be copied ({error}); pass a function that makes it, or that returns it: "
            "lambda trainer: callback"
        ) from error


def between_epochs(
    owner: str,
    use: SimpleNamespace,
    optimizer: Optimizer,
    metric: str,
    steps: int,
    *,
    measured: bool,
) -> list[Callback]:
    """Return the callbacks that the parameters stand for; `steps` is how many there will be."""
    found: list[Callback] = []
    tol, patience = use.tol, use.n_iter_no_change
    adaptive = isinstance(use.schedule, str) and use.schedule == "adaptive"
    if callable(use.schedule):
        schedule = call(owner, "schedule(optimizer)", use.schedule, optimizer)
        found.append(Scheduled(schedule, monitor="val_loss" if measured else "loss"))
    elif use.schedule is not None and not adaptive:
        raise TypeError(
            f"{owner} expects schedule to be 'adaptive', or a class or function called as "
            f"schedule(optimizer), got {use.schedule!r}"
        )
    elif use.preset is not None and not adaptive:
        found.append(Scheduled(CosineCyclesLR(optimizer, steps, CYCLES), per="batch"))
    if use.early_stopping:
        column = f"val_{metric or 'loss'}" if use.preset else "val_loss"
        found.append(EarlyStopping(column, None if adaptive else patience, min_delta=tol or 0.0))
    if adaptive or not (use.early_stopping or tol is None or patience is None):
        column = "val_loss" if use.early_stopping else "loss"
        found.append(Plateau(tol or 0.0, patience or math.inf, column, adaptive=adaptive))
    return found


class Plateau(Callback):
    """Stop when the loss has not been `tol` below the lowest so far for `patience` epochs.

    If it is `adaptive`, first divide the learning rate by 5, and wait again, until the rate is
    at 1e-6. `EarlyStopping` differs: it counts from the last epoch that was better by
    `min_delta`, so it continues while the loss creeps down by less in each epoch; and it
    copies the weights of the best.
    """

    _in_checkpoint: ClassVar = {"_lowest": check_number, "_waited": check_count}

    def __init__(self, tol: float, patience: float, column: str, *, adaptive: bool) -> None:
        self.tol, self.patience, self.column, self.adaptive = tol, patience, column, adaptive
        self._lowest, self._waited = math.inf, 0

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Forget an earlier run."""
        del trainer
        self._lowest, self._waited = math.inf, 0

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Count, or start to count again."""
        loss = trainer.history.last[self.column]
        self._waited = self._waited + 1 if loss > self._lowest - self.tol else 0
        self._lowest = min(self._lowest, loss)
        if self._waited < self.patience:
            return
        if self.adaptive and trainer.optimizer.lr > LEAST:
            trainer.optimizer.lr /= LOWERED
            self._waited = 0
            return
        trainer.stop(
            f"stopped after epoch {trainer.epoch}: the loss did not fall by tol={self.tol:g} "
            f"for {self._waited} epochs"
        )
