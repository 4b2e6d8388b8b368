"""minifw: a neural-network framework in pure NumPy, every derivative written by hand."""

from typing import TYPE_CHECKING

from minifw._tools.lazy import lazily

__version__ = "0.1.0"

if TYPE_CHECKING:  # what the table below says, for tools that read and do not run
    from minifw import datasets as datasets
    from minifw import metrics as metrics
    from minifw import plots as plots
    from minifw._engine.summary import *
    from minifw.callbacks import *
    from minifw.core.objective import *
    from minifw.core.parameter import Parameter as Parameter
    from minifw.errors import *
    from minifw.initializers import *
    from minifw.layers import *
    from minifw.losses import *
    from minifw.optimizers import *
    from minifw.predictor import *
    from minifw.schedules import *
    from minifw.storage import *
    from minifw.tracing import *
    from minifw.training import *
    from minifw.training.minimize import *
    from minifw.typing import Array as Array
else:
    __getattr__, __dir__, __all__ = lazily(
        __name__,
        {
            ".errors": (
                "FileFormatError",
                "NonFiniteError",
                "SaturationWarning",
                "StaleArrayWarning",
                "TrainingWarning",
            ),
            ".typing": ("Array",),
            ".core.parameter": ("Parameter",),
            ".core.objective": ("Objective",),
            "._engine.summary": ("LayerSummary", "Summary", "summary"),
            ".predictor": ("Predictor",),
            ".callbacks": (
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
                "Watch",
            ),
            ".tracing": ("Trace", "TracedValue", "trace"),
            ".initializers": (
                "Constant",
                "GlorotNormal",
                "GlorotUniform",
                "HeNormal",
                "HeUniform",
                "Initializer",
                "LecunNormal",
                "Normal",
                "Ones",
                "Uniform",
                "Zeros",
            ),
            ".layers": (
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
                "ELU",
                "Embedding",
                "Flatten",
                "Flip",
                "GELU",
                "GRU",
                "GlobalAvgPool2D",
                "GradientReversal",
                "Graph",
                "GroupNorm",
                "HardTanh",
                "Identity",
                "Impute",
                "Increasing",
                "Join",
                "LSTM",
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
                "SELU",
                "Sequential",
                "SiLU",
                "SinusoidalPositions",
                "Sigmoid",
                "Softmax",
                "Softplus",
                "Standardize",
                "StopGradient",
                "Tanh",
                "UpSample2D",
                "adapt",
            ),
            ".losses": (
                "BCELoss",
                "BCEWithLogitsLoss",
                "CategoricalCrossEntropyLoss",
                "CosineLoss",
                "CrossEntropyLoss",
                "FocalLoss",
                "HingeLoss",
                "HuberLoss",
                "KLDivLoss",
                "L1",
                "L1Loss",
                "L2",
                "Loss",
                "MSELoss",
                "MeanLoss",
                "NLLLoss",
                "Penalty",
                "PinballLoss",
                "PoissonLoss",
                "SumLoss",
                "TripletLoss",
            ),
            ".optimizers": (
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
                "SGD",
                "biases_and_norms",
                "clip_grad_norm",
                "clip_grad_value",
            ),
            ".schedules": (
                "CosineCyclesLR",
                "CosineLR",
                "ExponentialLR",
                "LinearWarmup",
                "OneCycleLR",
                "ReduceOnPlateau",
                "Schedule",
                "StepLR",
            ),
            ".storage": ("load", "save"),
            ".training": ("History", "Trainer"),
            ".training.minimize": ("MinimizeResult", "minimize"),
            ".datasets": (),
            ".metrics": (),
            ".plots": (),
            ".testing": (),
        },
    )
    __all__ += ["__version__", "datasets", "metrics", "plots"]
