"""The losses: how far predictions are from targets, as one number and its derivative."""

from minifw.losses._binary import BCELoss, BCEWithLogitsLoss
from minifw.losses._classification import CategoricalCrossEntropyLoss, CrossEntropyLoss, NLLLoss
from minifw.losses._loss import Loss
from minifw.losses._margin import HingeLoss
from minifw.losses._regression import HuberLoss, L1Loss, MSELoss

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CategoricalCrossEntropyLoss",
    "CrossEntropyLoss",
    "HingeLoss",
    "HuberLoss",
    "L1Loss",
    "Loss",
    "MSELoss",
    "NLLLoss",
]
