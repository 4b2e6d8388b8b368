"""The layers: every one has its forward and its backward side by side."""

from typing import TYPE_CHECKING

from minifw._core.lazy import lazily

if TYPE_CHECKING:  # what the table below says, for tools that read and do not run
    from minifw._core.layer import *
    from minifw.layers._activations import *
    from minifw.layers._branches import *
    from minifw.layers._convolution import *
    from minifw.layers._dense import *
    from minifw.layers._dropout import *
    from minifw.layers._embedding import *
    from minifw.layers._normalization import *
    from minifw.layers._pooling import *
    from minifw.layers._rectifiers import *
    from minifw.layers._recurrent import *
    from minifw.layers._sequential import *
    from minifw.layers._shape import *
    from minifw.layers._smooth import *
    from minifw.layers._softmax import *
else:
    __getattr__, __dir__, __all__ = lazily(
        __name__,
        {
            ".._core.layer": ("Layer",),
            "._activations": ("Sigmoid", "Tanh"),
            "._branches": ("Concat", "Residual"),
            "._convolution": ("Conv2D",),
            "._dense": ("Dense",),
            "._dropout": ("Dropout",),
            "._embedding": ("Embedding",),
            "._normalization": ("BatchNorm", "LayerNorm", "RMSNorm"),
            "._pooling": ("AvgPool2D", "GlobalAvgPool2D", "MaxPool2D"),
            "._rectifiers": ("ELU", "SELU", "HardTanh", "LeakyReLU", "PReLU", "ReLU"),
            "._recurrent": ("GRU", "LSTM"),
            "._sequential": ("Sequential",),
            "._shape": ("Flatten", "Reshape"),
            "._smooth": ("GELU", "SiLU", "Softplus"),
            "._softmax": ("LogSoftmax", "Softmax"),
        },
    )
