"""Stops when the training loss stands still, as scikit-learn's networks do."""

import math
from typing import Any

from minifw.callbacks import Callback
from minifw.training import Trainer


class Plateau(Callback):
    """Stop when the loss has not been `tol` below the lowest so far for `patience` epochs.

    `EarlyStopping` differs: it counts from the last epoch that was better by `min_delta`, so
    that it goes on while the loss creeps down by less in each epoch; and it copies the weights
    of the best.
    """

    def __init__(self, tol: float, patience: int) -> None:
        self.tol, self.patience = tol, patience
        self._lowest, self._waited = math.inf, 0

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Forget an earlier run."""
        del trainer
        self._lowest, self._waited = math.inf, 0

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Count, or start to count anew."""
        loss = trainer.history.last["loss"]
        self._waited = self._waited + 1 if loss > self._lowest - self.tol else 0
        self._lowest = min(self._lowest, loss)
        if self._waited >= self.patience:
            trainer.stop(
                f"stopped after epoch {trainer.epoch}: the loss did not fall by tol={self.tol:g} "
                f"for {self._waited} epochs"
            )

    def state_dict(self) -> dict[str, Any]:
        """Return the lowest loss, and the epochs since it fell."""
        return {"lowest": self._lowest, "waited": self._waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self._lowest, self._waited = state["lowest"], state["waited"]
