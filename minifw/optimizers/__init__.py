"""The optimizers: how parameters change, given their gradients."""

from minifw.optimizers._optimizer import Optimizer
from minifw.optimizers._sgd import SGD

__all__ = [
    "SGD",
    "Optimizer",
]
