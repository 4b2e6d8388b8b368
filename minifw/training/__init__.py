"""Training: batches, epochs, validation, checkpoints, and the history of it."""

from minifw.training._history import History
from minifw.training._hooks import Callback
from minifw.training._trainer import Trainer

__all__ = ["Callback", "History", "Trainer"]
