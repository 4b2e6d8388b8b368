"""The optimizers: how parameters change, given their gradients."""

from minifw.optimizers._adam import Adam, AdamW
from minifw.optimizers._adaptive import Adagrad, RMSprop
from minifw.optimizers._clipping import clip_grad_norm, clip_grad_value
from minifw.optimizers._decay import biases_and_norms
from minifw.optimizers._optimizer import Optimizer
from minifw.optimizers._sgd import SGD

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Optimizer",
    "RMSprop",
    "biases_and_norms",
    "clip_grad_norm",
    "clip_grad_value",
]
