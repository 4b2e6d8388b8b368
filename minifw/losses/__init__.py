"""The losses: how far predictions are from targets, as one number and its derivative."""

from minifw.core.loss import Loss, Penalty
from minifw.losses.binary import BCELoss, BCEWithLogitsLoss
from minifw.losses.classification import CategoricalCrossEntropyLoss, CrossEntropyLoss, NLLLoss
from minifw.losses.margin import HingeLoss
from minifw.losses.penalty import L1, L2
from minifw.losses.regression import HuberLoss, L1Loss, MSELoss
from minifw.losses.several import MeanLoss, SumLoss

__all__ = [
    "L1",
    "L2",
    "BCELoss",
    "BCEWithLogitsLoss",
    "CategoricalCrossEntropyLoss",
    "CrossEntropyLoss",
    "HingeLoss",
    "HuberLoss",
    "L1Loss",
    "Loss",
    "MSELoss",
    "MeanLoss",
    "NLLLoss",
    "Penalty",
    "SumLoss",
]
