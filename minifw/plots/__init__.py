"""Pictures of training, boundaries, networks, weights and confusions (extra ``minifw[plot]``).

Each function takes ``ax``, the axes to draw into (None makes a figure), and
``path``, the file to write (None writes none), and returns the figure. None of
them touches pyplot or its global state: ``figure.savefig`` writes it later, and a
notebook shows it, once ``%matplotlib inline`` was run.
"""

from typing import TYPE_CHECKING

from minifw._core.lazy import lazily

if TYPE_CHECKING:
    from minifw.plots._boundary import *
    from minifw.plots._confusion import *
    from minifw.plots._curves import *
    from minifw.plots._histograms import *
    from minifw.plots._network import *
else:
    __getattr__, __dir__, __all__ = lazily(
        __name__,
        {
            "._boundary": ("decision_boundary",),
            "._confusion": ("confusion_matrix",),
            "._curves": ("learning_curves",),
            "._histograms": ("ParameterHistory", "histograms"),
            "._network": ("network",),
        },
    )
