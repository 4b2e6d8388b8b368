"""Training: batches, epochs, validation, checkpoints, and the history of it."""

from typing import TYPE_CHECKING

from minifw._core.lazy import lazily

if TYPE_CHECKING:  # what the table below says, for tools that read and do not run
    from minifw.training._history import History as History
    from minifw.training._trainer import *
else:
    __getattr__, __dir__, __all__ = lazily(
        __name__, {"._history": ("History",), "._trainer": ("Trainer",)}
    )
