"""The losses: how far predictions are from targets, as one number and its derivative."""

from minifw.losses._binary import BCELoss, BCEWithLogitsLoss
from minifw.losses._loss import Loss

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "Loss",
]
