"""Callbacks of the step: the learning rate, and the size of the gradients."""

import math
from functools import cached_property
from typing import Any, TypeAlias

from minifw._tools.checks import check_is
from minifw._tools.numbers import check_choice, check_positive
from minifw._tools.options import Option, options_of, same, settled
from minifw._tools.warn import warn_of_run
from minifw.callbacks._stopping import BestOf, better, check_column
from minifw.optimizers import clip_grad_norm
from minifw.schedules import LinearWarmup, ReduceOnPlateau, Schedule
from minifw.training import Callback, Trainer

# A run that comes to this part of its schedule, or less, has likely steps of another kind: where
# per="batch" is forgotten, and an epoch has two batches, it is a half.
CUT = 0.5

AnySchedule: TypeAlias = Schedule | ReduceOnPlateau


class Scheduled(BestOf, Callback):
    """Let a schedule set the learning rate, once a batch or once an epoch.

    Parameters
    ----------
    schedule : Schedule or ReduceOnPlateau
        Built over the trainer's optimizer.
    per : {"epoch", "batch"}, default "epoch"
        What its steps are.
    monitor : str, default "val_loss"
        The column that `ReduceOnPlateau` looks at.

    Notes
    -----
    Each new run starts the schedule again at the step where it was given here.
    `ReduceOnPlateau` forgets the values that it has seen, and keeps the rate that it has come to.
    A run that was loaded continues at its step; a setting that is new holds.

    Warns
    -----
    TrainingWarning
        If the schedule ends before the run does: the rest has the last rate, which may be 0. If
        the run ends before the first half of the schedule does: likely its steps are batches.

    Examples
    --------
    >>> from minifw import Dense, MSELoss, SGD, Scheduled, StepLR, Trainer
    >>> model = Dense(1, 1, rng=0)
    >>> optimizer = SGD(model.parameters(), lr=0.1)
    >>> halved = Scheduled(StepLR(optimizer, step_size=2, gamma=0.5))
    >>> trainer = Trainer(model, MSELoss(), optimizer, callbacks=[halved])
    >>> history = trainer.fit([[1.0]], [[1.0]], epochs=4)
    >>> optimizer.lr
    0.025
    """

    per = Option(check_choice("epoch", "batch"))

    def __init__(
        self, schedule: AnySchedule, per: str = "epoch", *, monitor: str = "val_loss"
    ) -> None:
        check_is("Scheduled", "a schedule", schedule, AnySchedule)
        self.per = per
        if isinstance(schedule, ReduceOnPlateau) and per != "epoch":
            raise ValueError("Scheduled expects per='epoch' for ReduceOnPlateau, got 'batch'")
        self.schedule, self.monitor = schedule, monitor
        counts = [name for name, one in options_of(type(schedule)).items() if one.counts]
        self._start = {name: getattr(schedule, name) for name in counts}

    @cached_property
    def _given(self) -> dict[str, Any]:
        """The settings of the schedule, as they were before its first run."""
        state = self.schedule.state_dict().items()
        return {name: value for name, value in state if name not in self._start}

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Restart the schedule; raise if it is another optimizer's, or looks at no column."""
        if self.schedule.optimizer is not trainer.optimizer:
            raise ValueError(
                "Scheduled expects a schedule of the trainer's optimizer, got one of another; "
                "build both over the same, of several the outermost"
            )
        if any(one is not self and isinstance(one, Scheduled) for one in trainer.callbacks):
            raise ValueError(
                "Scheduled expects to be the only one over an optimizer, got two, of which each "
                "would undo the other; join them: LinearWarmup(optimizer, 5, then=CosineLR(...))"
            )
        _ = self._given  # now, before the run changes it
        if isinstance(self.schedule, Schedule):
            self.schedule.go_to(self._start["steps"])
            self._warn_of_length(trainer)
            return
        mode = self.schedule.mode
        check_column("Scheduled", self.monitor, trainer)
        if better(self.monitor, trainer) not in (mode, None):
            raise ValueError(
                f"Scheduled monitors {self.monitor!r}, which is better the other way than "
                f"mode={mode!r} of its schedule; write ReduceOnPlateau(optimizer, mode="
                f"{better(self.monitor, trainer)!r})"
            )
        self._compare(trainer, self.monitor, mode)
        self._forget()

    def _forget(self) -> None:
        """Let `ReduceOnPlateau` begin again: its best value was that of other data."""
        self.schedule.load_state_dict({**self.schedule.state_dict(), **self._start})

    def _resumed(self, trainer: Trainer) -> None:
        del trainer
        if isinstance(self.schedule, ReduceOnPlateau) and not self._goes_on():
            self._forget()

    def _warn_of_length(self, trainer: Trainer) -> None:
        """Warn if schedule and run are of lengths that nobody would choose."""
        total, steps = _length(self.schedule), trainer.epochs
        if self.per == "batch":  # of a run that was loaded, those done may be of another size
            batches = trainer.batches or 0  # which may be unknown
            steps = trainer.step + (steps - trainer.epoch) * batches if batches else 0
        fix = f"total_steps={steps}"
        if isinstance(self.schedule, LinearWarmup):
            fix = f"{steps} as the sum of the total_steps of both"
        if 0 < total < steps:
            warn_of_run(
                f"{self!r} ends after {total} steps of the {steps} of this run, and the rest has "
                f"its last learning rate; pass {fix}"
            )
        elif 0 < steps <= CUT * total:
            hint = "per='batch' if its steps are batches, or " if self.per == "epoch" else ""
            warn_of_run(
                f"{self!r} has {total} steps, and this run comes to {steps} of them; "
                f"pass {hint}{fix}"
            )

    def on_batch_end(self, trainer: Trainer) -> None:
        """Set the rate of the next batch."""
        del trainer
        if self.per == "batch" and isinstance(self.schedule, Schedule):
            self.schedule.step()

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Set the rate of the next epoch."""
        if isinstance(self.schedule, ReduceOnPlateau):
            value = trainer.history.last[self.monitor]
            if not math.isfinite(value):
                raise ValueError(
                    f"Scheduled expects {self.monitor} to be finite, got {value} in epoch "
                    f"{trainer.epoch}; monitor another column, or give data that have it"
                )
            self.schedule.step(value)
        elif self.per == "epoch":
            self.schedule.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the schedule, and the settings that it was given."""
        own = {"schedule": self.schedule.state_dict(), "given": self._given, "per": self.per}
        return {**super().state_dict(), **own}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned, but for settings that were given otherwise."""
        super().load_state_dict(state)
        if state.get("per", self.per) != self.per:
            raise ValueError(
                f"Scheduled expects the schedule of a run that steps per {self.per!r}, got per "
                f"{state['per']!r}; the same number of steps would be another time"
            )
        saved, mine = state["schedule"], self._given
        settings = {name: value for name, value in saved.items() if name not in self._start}
        found = saved | settled(settings, state.get("given", mine), mine)
        self.schedule.load_state_dict(found)
        if isinstance(self.schedule, Schedule) and not same(found, saved):
            self.schedule.go_to(saved["steps"])  # the rate of this step, by the new settings

    def __repr__(self) -> str:
        return f"Scheduled({self.schedule!r}, per={self.per!r})"


class ClipGradNorm(Callback):
    """Scale the gradients before each step, so their joint norm is at most `max_norm`.

    Parameters
    ----------
    max_norm : float
        Above 0.

    Attributes
    ----------
    norm : float or None
        The norm of the latest gradients, before scaling.

    Examples
    --------
    >>> from minifw import ClipGradNorm, Dense, MSELoss, SGD, Trainer
    >>> model = Dense(1, 1, bias=False, rng=0)
    >>> model.weight.value = [[0.0]]
    >>> clip = ClipGradNorm(1.0)
    >>> optimizer = SGD(model.parameters(), lr=0.5)
    >>> trainer = Trainer(model, MSELoss(), optimizer, callbacks=[clip])
    >>> history = trainer.fit([[1.0]], [[100.0]], epochs=1)
    >>> clip.norm, model.weight.value
    (200.0, array([[0.5]]))
    """

    max_norm = Option(check_positive)

    def __init__(self, max_norm: float) -> None:
        self.max_norm = max_norm
        self.norm: float | None = None

    def on_backward_end(self, trainer: Trainer) -> None:
        """Scale the gradients."""
        self.norm = clip_grad_norm(trainer.optimizer, self.max_norm)

    def __repr__(self) -> str:
        return f"ClipGradNorm({self.max_norm})"


def _length(schedule: Any) -> int:
    """Return after how many steps a schedule has come to its end; 0 if it never ends."""
    if isinstance(schedule, LinearWarmup):
        left = _length(schedule.then)
        return schedule.total_steps + left if left else 0
    return schedule.total_steps if getattr(schedule, "_ends", False) else 0
