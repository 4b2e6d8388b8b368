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
from minifw.layers import (
    ELU,
    GELU,
    SELU,
    Concat,
    Dense,
    HardTanh,
    Layer,
    LeakyReLU,
    LogSoftmax,
    PReLU,
    ReLU,
    Residual,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from minifw.losses import BCELoss, BCEWithLogitsLoss, Loss
from minifw.objective import Objective
from minifw.optimizers import SGD, Optimizer

__version__ = "0.1.0"

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "SGD",
    "Array",
    "BCELoss",
    "BCEWithLogitsLoss",
    "Concat",
    "Constant",
    "Dense",
    "GlorotNormal",
    "GlorotUniform",
    "HardTanh",
    "HeNormal",
    "HeUniform",
    "Initializer",
    "Layer",
    "LeakyReLU",
    "LecunNormal",
    "LogSoftmax",
    "Loss",
    "NonFiniteError",
    "Normal",
    "Objective",
    "Ones",
    "Optimizer",
    "PReLU",
    "Parameter",
    "ReLU",
    "Residual",
    "SaturationWarning",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "StaleArrayWarning",
    "Tanh",
    "Uniform",
    "Zeros",
    "__version__",
    "datasets",
]
