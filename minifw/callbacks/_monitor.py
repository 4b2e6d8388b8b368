"""A value of the history that is watched: which it is, and when it got better."""

import math

from minifw.metrics import Metric
from minifw.training import Trainer


class Monitor:
    """Remembers the best value of a column and its epoch."""

    def __init__(self, owner: str, column: str, mode: str | None, min_delta: float = 0.0) -> None:
        if mode not in (None, "min", "max"):
            raise ValueError(f"{owner} expects mode to be 'min', 'max' or None, got {mode!r}")
        self._owner, self.column, self._mode, self._min_delta = owner, column, mode, min_delta
        self._sign = 1.0
        self.best = math.nan  # before the first
        self.epoch = 0

    def begin(self, trainer: Trainer) -> None:
        """Forget all, and learn what is better; raise if there will be no such column."""
        if self.column not in trainer.columns:
            fix = ""
            if self.column.startswith("val_") and "val_loss" not in trainer.columns:
                fix = f"; {trainer._validation_fix}"
            raise ValueError(
                f"{self._owner} monitors {self.column!r}, but the history will have "
                f"{', '.join(trainer.columns)}{fix}"
            )
        self._sign = 1.0 if (self._mode or self._better(trainer)) == "min" else -1.0
        self.best, self.epoch = math.nan, 0

    def _better(self, trainer: Trainer) -> str:
        name = self.column.removeprefix("val_")
        if name == "loss":
            return "min"
        metric = trainer.metrics[name]
        if not isinstance(metric, Metric):
            raise ValueError(  # noqa: TRY004 - of mode, not of the metric's type
                f"{self._owner} expects to be told whether a lower or a higher {name!r} is "
                "better; use mode='min' or mode='max'"
            )
        return "max" if metric.higher_is_better else "min"

    def improved(self, trainer: Trainer) -> bool:
        """Return whether the latest epoch was better than all before; if so, remember it."""
        value = trainer.history.last[self.column]
        first = math.isnan(self.best)
        if math.isnan(value) or not (first or self._sign * (self.best - value) > self._min_delta):
            return False
        self.best, self.epoch = value, trainer.epoch
        return True

    @property
    def verb(self) -> str:
        """What a value that gets better does."""
        return "fall" if self._sign > 0 else "rise"

    def state_dict(self) -> dict[str, float]:
        """Return the best value and its epoch."""
        return {"best": self.best, "epoch": self.epoch}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Take over what `state_dict` returned."""
        self.best, self.epoch = state["best"], int(state["epoch"])
