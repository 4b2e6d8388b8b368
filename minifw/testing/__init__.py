"""The author's kit: one call that proves a layer, a loss or an optimizer right.

Or that says what is wrong with it. It needs NumPy alone; `layer_checks` and its
like turn every verdict into a test of its own under pytest.
"""

from minifw.testing._numeric import numerical_gradient
from minifw.testing._pytest import Check, layer_checks, loss_checks, optimizer_checks
from minifw.testing._report import CheckError, Report, Verdict
from minifw.testing.layers._check import check_layer
from minifw.testing.losses._check import check_loss
from minifw.testing.losses._objective import check_objective
from minifw.testing.optimizers._check import check_optimizer

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
