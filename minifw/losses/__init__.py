"""The losses: how far predictions are from targets, as one number and its derivative."""

from typing import TYPE_CHECKING

from minifw._core.lazy import lazily

if TYPE_CHECKING:  # what the table below says, for tools that read and do not run
    from minifw.losses._binary import *
    from minifw.losses._classification import *
    from minifw.losses._loss import Loss as Loss
    from minifw.losses._margin import *
    from minifw.losses._regression import *
else:
    __getattr__, __dir__, __all__ = lazily(
        __name__,
        {
            "._binary": ("BCELoss", "BCEWithLogitsLoss"),
            "._classification": ("CategoricalCrossEntropyLoss", "CrossEntropyLoss", "NLLLoss"),
            "._loss": ("Loss",),
            "._margin": ("HingeLoss",),
            "._regression": ("HuberLoss", "L1Loss", "MSELoss"),
        },
    )
