"""The layers: every one has its forward and its backward side by side."""

from minifw._core.layer import Layer
from minifw.layers._activations import Sigmoid, Tanh
from minifw.layers._branches import Concat, Residual
from minifw.layers._convolution import Conv2D
from minifw.layers._dense import Dense
from minifw.layers._dropout import Dropout
from minifw.layers._embedding import Embedding
from minifw.layers._normalization import BatchNorm, LayerNorm, RMSNorm
from minifw.layers._pooling import AvgPool2D, GlobalAvgPool2D, MaxPool2D
from minifw.layers._rectifiers import ELU, SELU, HardTanh, LeakyReLU, PReLU, ReLU
from minifw.layers._recurrent import GRU, LSTM
from minifw.layers._sequential import Sequential
from minifw.layers._shape import Flatten, Reshape
from minifw.layers._smooth import GELU, SiLU, Softplus
from minifw.layers._softmax import LogSoftmax, Softmax

__all__ = [
    "ELU",
    "GELU",
    "GRU",
    "LSTM",
    "SELU",
    "AvgPool2D",
    "BatchNorm",
    "Concat",
    "Conv2D",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "GlobalAvgPool2D",
    "HardTanh",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "LogSoftmax",
    "MaxPool2D",
    "PReLU",
    "RMSNorm",
    "ReLU",
    "Reshape",
    "Residual",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
]
