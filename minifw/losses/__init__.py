"""The losses: how far predictions are from targets, as one number and its derivative."""

from minifw.core.loss import Loss, Penalty
from minifw.losses.binary import BCELoss, BCEWithLogitsLoss, FocalLoss
from minifw.losses.classification import CategoricalCrossEntropyLoss, CrossEntropyLoss, NLLLoss
from minifw.losses.divergence import KLDivLoss
from minifw.losses.margin import HingeLoss
from minifw.losses.penalty import L1, L2
from minifw.losses.regression import HuberLoss, L1Loss, MSELoss, PinballLoss, PoissonLoss
from minifw.losses.several import MeanLoss, SumLoss
from minifw.losses.similarity import CosineLoss, TripletLoss

__all__ = [
    "L1",
    "L2",
    "BCELoss",
    "BCEWithLogitsLoss",
    "CategoricalCrossEntropyLoss",
    "CosineLoss",
    "CrossEntropyLoss",
    "FocalLoss",
    "HingeLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "Loss",
    "MSELoss",
    "MeanLoss",
    "NLLLoss",
    "Penalty",
    "PinballLoss",
    "PoissonLoss",
    "SumLoss",
    "TripletLoss",
]
