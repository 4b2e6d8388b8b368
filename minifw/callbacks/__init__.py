"""Callbacks: what happens between the steps of training."""

from minifw.callbacks._average import Average
from minifw.callbacks._logging import Log
from minifw.callbacks._progress import CostLines, Progress
from minifw.callbacks._range_test import LearningRateTest
from minifw.callbacks._saving import Checkpoint, CSVLog
from minifw.callbacks._steps import ClipGradNorm, Scheduled
from minifw.callbacks._stopping import EarlyStopping
from minifw.callbacks._watch import Watch
from minifw.errors import TrainingWarning
from minifw.training import Callback

__all__ = [
    "Average",
    "CSVLog",
    "Callback",
    "Checkpoint",
    "ClipGradNorm",
    "CostLines",
    "EarlyStopping",
    "LearningRateTest",
    "Log",
    "Progress",
    "Scheduled",
    "TrainingWarning",
    "Watch",
]
