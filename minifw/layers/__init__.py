"""The layers: every one has its forward and its backward side by side."""

from minifw.core.layer import Identity, Layer
from minifw.layers.activations import Sigmoid, Tanh
from minifw.layers.attention import MultiHeadAttention
from minifw.layers.batchnorm import BatchNorm
from minifw.layers.branches import Concat, Residual
from minifw.layers.columns import Columns
from minifw.layers.convolution import Conv1D, Conv2D
from minifw.layers.dense import Dense
from minifw.layers.dropout import Dropout
from minifw.layers.embedding import Embedding
from minifw.layers.encodings import PeriodicEncoding, PiecewiseLinearEncoding
from minifw.layers.graph import Graph
from minifw.layers.joining import Add, Join, Multiply
from minifw.layers.normalization import GroupNorm, LayerNorm, RMSNorm
from minifw.layers.padding import Pad2D
from minifw.layers.pooling import AvgPool2D, GlobalAvgPool2D, MaxPool2D, UpSample2D
from minifw.layers.rectifiers import ELU, SELU, Clamp, HardTanh, LeakyReLU, PReLU, ReLU
from minifw.layers.recurrent import GRU, LSTM
from minifw.layers.scaling import GradientReversal, NTKDense, Rescaling, Scale, StopGradient
from minifw.layers.sequences import Flip, Mask, MeanOverTime, Positions, SinusoidalPositions
from minifw.layers.sequential import Sequential
from minifw.layers.shape import Flatten, Permute, Reshape
from minifw.layers.smooth import GELU, Mish, SiLU, Softplus
from minifw.layers.softmax import Increasing, LogSoftmax, Softmax
from minifw.layers.tables import Impute, RobustScale, Standardize, adapt
from minifw.layers.transposed import Conv2DTranspose

__all__ = [
    "ELU",
    "GELU",
    "GRU",
    "LSTM",
    "SELU",
    "Add",
    "AvgPool2D",
    "BatchNorm",
    "Clamp",
    "Columns",
    "Concat",
    "Conv1D",
    "Conv2D",
    "Conv2DTranspose",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "Flip",
    "GlobalAvgPool2D",
    "GradientReversal",
    "Graph",
    "GroupNorm",
    "HardTanh",
    "Identity",
    "Impute",
    "Increasing",
    "Join",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "LogSoftmax",
    "Mask",
    "MaxPool2D",
    "MeanOverTime",
    "Mish",
    "MultiHeadAttention",
    "Multiply",
    "NTKDense",
    "PReLU",
    "Pad2D",
    "PeriodicEncoding",
    "Permute",
    "PiecewiseLinearEncoding",
    "Positions",
    "RMSNorm",
    "ReLU",
    "Rescaling",
    "Reshape",
    "Residual",
    "RobustScale",
    "Scale",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "SinusoidalPositions",
    "Softmax",
    "Softplus",
    "Standardize",
    "StopGradient",
    "Tanh",
    "UpSample2D",
    "adapt",
]
