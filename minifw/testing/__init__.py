"""The author's kit: one call that proves a layer, a loss or an optimizer right.

Or that says what is wrong with it. It needs NumPy alone; `layer_checks` and its
like turn every verdict into a test of its own under pytest.
"""

from minifw.testing._layer import check_layer
from minifw.testing._loss import check_loss
from minifw.testing._numeric import numerical_gradient
from minifw.testing._objective import check_objective
from minifw.testing._optimizer import check_optimizer
from minifw.testing._pytest import Check, layer_checks, loss_checks, optimizer_checks
from minifw.testing._report import CheckError, Report, Verdict

__all__ = [
    "Check",
    "CheckError",
    "Report",
    "Verdict",
    "check_layer",
    "check_loss",
    "check_objective",
    "check_optimizer",
    "layer_checks",
    "loss_checks",
    "numerical_gradient",
    "optimizer_checks",
]
