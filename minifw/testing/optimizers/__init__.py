"""The questions to an optimizer."""

from minifw.testing.optimizers._check import check_optimizer

__all__ = ["check_optimizer"]
