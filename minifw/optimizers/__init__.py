"""The optimizers: how parameters change, given their gradients."""

from minifw.core.optimizer import Optimizer
from minifw.optimizers.adam import Adam, AdamW, NAdam
from minifw.optimizers.adaptive import Adagrad, RMSprop
from minifw.optimizers.clipping import clip_grad_norm, clip_grad_value
from minifw.optimizers.decay import biases_and_norms
from minifw.optimizers.sgd import SGD
from minifw.optimizers.signs import Lion, Rprop
from minifw.optimizers.wrappers import Accumulate, Averaged, Lookahead

__all__ = [
    "SGD",
    "Accumulate",
    "Adagrad",
    "Adam",
    "AdamW",
    "Averaged",
    "Lion",
    "Lookahead",
    "NAdam",
    "Optimizer",
    "RMSprop",
    "Rprop",
    "biases_and_norms",
    "clip_grad_norm",
    "clip_grad_value",
]
