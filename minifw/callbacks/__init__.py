"""Callbacks: what happens between the steps of training."""

from typing import TYPE_CHECKING

from minifw._core.lazy import lazily

if TYPE_CHECKING:  # what the table below says, for tools that read and do not run
    from minifw.callbacks._callback import *
    from minifw.callbacks._progress import *
    from minifw.callbacks._saving import *
    from minifw.callbacks._steps import *
    from minifw.callbacks._stopping import *
    from minifw.callbacks._watch import *
else:
    __getattr__, __dir__, __all__ = lazily(
        __name__,
        {
            "._callback": ("Callback", "TrainingWarning"),
            "._progress": ("CostLines", "Progress"),
            "._saving": ("CSVLog", "Checkpoint"),
            "._steps": ("ClipGradNorm", "Scheduled"),
            "._stopping": ("EarlyStopping",),
            "._watch": ("Watch",),
        },
    )
