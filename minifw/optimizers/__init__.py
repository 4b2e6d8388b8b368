"""The optimizers: how parameters change, given their gradients."""

from typing import TYPE_CHECKING

from minifw._core.lazy import lazily

if TYPE_CHECKING:  # what the table below says, for tools that read and do not run
    from minifw.optimizers._adam import *
    from minifw.optimizers._adaptive import *
    from minifw.optimizers._clipping import *
    from minifw.optimizers._decay import biases_and_norms as biases_and_norms
    from minifw.optimizers._optimizer import *
    from minifw.optimizers._sgd import *
else:
    __getattr__, __dir__, __all__ = lazily(
        __name__,
        {
            "._adam": ("Adam", "AdamW"),
            "._adaptive": ("Adagrad", "RMSprop"),
            "._clipping": ("clip_grad_norm", "clip_grad_value"),
            "._decay": ("biases_and_norms",),
            "._optimizer": ("Optimizer",),
            "._sgd": ("SGD",),
        },
    )
