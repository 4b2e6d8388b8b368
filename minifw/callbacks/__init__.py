"""Callbacks: what happens between the steps of training."""

from minifw.callbacks._callback import Callback, TrainingWarning
from minifw.callbacks._progress import CostLines, Progress
from minifw.callbacks._saving import Checkpoint, CSVLog
from minifw.callbacks._steps import ClipGradNorm, Scheduled
from minifw.callbacks._stopping import EarlyStopping
from minifw.callbacks._watch import Watch

__all__ = [
    "CSVLog",
    "Callback",
    "Checkpoint",
    "ClipGradNorm",
    "CostLines",
    "EarlyStopping",
    "Progress",
    "Scheduled",
    "TrainingWarning",
    "Watch",
]
