"""The questions to a loss, and to an objective."""

from minifw.testing.losses._check import check_loss
from minifw.testing.losses._objective import check_objective

__all__ = ["check_loss", "check_objective"]
