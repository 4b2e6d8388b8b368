"""minifw: a neural-network framework in pure NumPy, every derivative written by hand."""

from minifw import datasets
from minifw._core.errors import NonFiniteError, SaturationWarning, StaleArrayWarning
from minifw._core.parameter import Parameter
from minifw._core.typing import Array
from minifw.initializers import (
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Initializer,
    LecunNormal,
    Normal,
    Ones,
    Uniform,
    Zeros,
)
from minifw.layers import Concat, Dense, Layer, Residual, Sequential, Sigmoid, Tanh
from minifw.losses import BCELoss, BCEWithLogitsLoss, Loss
from minifw.objective import Objective
from minifw.optimizers import SGD, Optimizer

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "Array",
    "BCELoss",
    "BCEWithLogitsLoss",
    "Concat",
    "Constant",
    "Dense",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Initializer",
    "Layer",
    "LecunNormal",
    "Loss",
    "NonFiniteError",
    "Normal",
    "Objective",
    "Ones",
    "Optimizer",
    "Parameter",
    "Residual",
    "SaturationWarning",
    "Sequential",
    "Sigmoid",
    "StaleArrayWarning",
    "Tanh",
    "Uniform",
    "Zeros",
    "__version__",
    "datasets",
]
