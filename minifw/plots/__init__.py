"""Pictures of training, boundaries, networks, weights and attention (extra ``minifw[plot]``).

Each function takes ``ax``, the axes to draw into (None makes a figure), and
``path``, the file to write (None writes none), and returns the figure. None of
them touches pyplot or its global state: ``figure.savefig`` writes it later, and a
notebook shows it, once ``%matplotlib inline`` was run.
"""

from minifw.plots._attention import attention
from minifw.plots._boundary import decision_boundary
from minifw.plots._confusion import confusion_matrix
from minifw.plots._curves import learning_curves
from minifw.plots._histograms import ParameterHistory, histograms
from minifw.plots._network import network

__all__ = [
    "ParameterHistory",
    "attention",
    "confusion_matrix",
    "decision_boundary",
    "histograms",
    "learning_curves",
    "network",
]
