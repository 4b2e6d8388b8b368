"""minifw: a neural-network framework in pure NumPy, every derivative written by hand."""

from typing import TYPE_CHECKING

from minifw._core.lazy import lazily

__version__ = "0.1.0"

if TYPE_CHECKING:  # what the table below says, for tools that read and do not run
    from minifw import datasets as datasets
    from minifw import metrics as metrics
    from minifw import plots as plots
    from minifw._core.errors import *
    from minifw._core.parameter import Parameter as Parameter
    from minifw._core.summary import *
    from minifw._core.typing import Array as Array
    from minifw._minimize import *
    from minifw._planning.predictor import *
    from minifw._trace import *
    from minifw.callbacks import *
    from minifw.initializers import *
    from minifw.layers import *
    from minifw.losses import *
    from minifw.objective import *
    from minifw.optimizers import *
    from minifw.schedules import *
    from minifw.storage import *
    from minifw.training import *
else:
    from minifw import layers, losses, optimizers

    __getattr__, __dir__, __all__ = lazily(
        __name__,
        {
            "._core.errors": (
                "FileFormatError",
                "NonFiniteError",
                "SaturationWarning",
                "StaleArrayWarning",
            ),
            "._core.parameter": ("Parameter",),
            "._core.summary": ("LayerSummary", "Summary", "summary"),
            "._core.typing": ("Array",),
            "._minimize": ("MinimizeResult", "minimize"),
            "._planning.predictor": ("Predictor",),
            ".callbacks": (
                "CSVLog",
                "Callback",
                "Checkpoint",
                "ClipGradNorm",
                "CostLines",
                "EarlyStopping",
                "Progress",
                "Scheduled",
                "TrainingWarning",
                "Watch",
            ),
            "._trace": ("Trace", "TracedValue", "trace"),
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
            ".layers": layers.__all__,
            ".losses": losses.__all__,
            ".objective": ("Objective",),
            ".optimizers": optimizers.__all__,
            ".schedules": (
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
            ".datasets": (),
            ".metrics": (),
            ".plots": (),
            ".testing": (),
        },
    )
    __all__ += ["__version__", "datasets", "metrics", "plots"]
