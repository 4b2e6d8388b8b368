"""A training step planned once: the NumPy calls of forward and backward, into arrays of its own.

From the second batch of one shape on, an `Objective` need not go through the layers again to
know what will be called. The plan is a list of those calls with their arguments: the same
functions on the same numbers in the same order as in the layers, with two differences. Results
go into arrays that the plan owns, and what every call would check anew is checked once. Hence a
planned step gives the same bits, only sooner; a test holds both against each other.

What is known here are the layers of `LAYERS`, and the binary cross-entropy. Any other loss runs
as it stands, after the planned layers; a model with any other layer is not planned at all, for
an author's layer may keep what it is given, and the arrays here are written into again. They
are never handed out. The layers and the loss find in their caches what they would have saved.
"""

from minifw._planning.plan import Plan, Plans

__all__ = ["Plan", "Plans"]
