"""How the outputs of a classifying network are read, and the loss that goes with them."""

from typing import NamedTuple

import numpy as np

from minifw._core.layer import Layer
from minifw._core.typing import Array
from minifw.layers import LogSoftmax, Sigmoid, Softmax
from minifw.losses import (
    BCELoss,
    BCEWithLogitsLoss,
    CategoricalCrossEntropyLoss,
    CrossEntropyLoss,
    Loss,
    NLLLoss,
)

__all__ = ["Head", "head_of"]


class Head(NamedTuple):
    """A loss, and whether there is a yes or no in each column, or one choice among all."""

    loss: Loss
    yes_or_no: bool

    def probabilities(self, output: Array) -> Array:
        """Return the probabilities of the columns, (rows, columns)."""
        if isinstance(self.loss, BCEWithLogitsLoss):
            return Sigmoid().forward(output)
        if isinstance(self.loss, CrossEntropyLoss):
            return Softmax().forward(output)
        return np.exp(output) if isinstance(self.loss, NLLLoss) else output

    def log_probabilities(self, output: Array) -> Array:
        """Return their logarithms, exact where the probabilities round to 0."""
        if isinstance(self.loss, BCEWithLogitsLoss):
            return -np.logaddexp(0, -output)
        if isinstance(self.loss, CrossEntropyLoss):
            return LogSoftmax().forward(output)
        if isinstance(self.loss, NLLLoss):
            return output
        with np.errstate(divide="ignore"):
            return np.log(output)

    def log_complements(self, output: Array) -> Array:
        """Return the logarithms of what the probabilities lack of 1, of columns of yes or no."""
        if isinstance(self.loss, BCEWithLogitsLoss):
            return -np.logaddexp(0, output)
        with np.errstate(divide="ignore"):
            return np.log1p(-output)


def head_of(owner: str, model: Layer, outputs: int, classes: int, *, multilabel: bool) -> Head:
    """Return how to read this network for so many classes, or raise if it cannot be."""
    last = model.split_last()[1]
    wanted = {classes} if multilabel or classes > 2 else {1, 2}
    if outputs not in wanted:
        raise ValueError(
            f"{owner} expects the network to give {' or '.join(map(str, sorted(wanted)))} numbers "
            f"for {classes} {'labels' if multilabel else 'classes'}, it gives {outputs}"
        )
    yes_or_no = multilabel or outputs == 1
    kind = type(last)
    if kind in ((Softmax, LogSoftmax) if yes_or_no else (Sigmoid,)):
        fix = "Sigmoid()" if yes_or_no else "Softmax()"
        raise ValueError(
            f"{owner}: a network of {outputs} outputs for {classes} "
            f"{'labels' if multilabel else 'classes'} cannot end in {last!r}; end it in {fix}, or "
            "leave that out"
        )
    losses: dict[type[Layer], Loss]
    if yes_or_no:
        losses = {Sigmoid: BCELoss()}
        return Head(losses.get(kind, BCEWithLogitsLoss()), yes_or_no)
    losses = {Softmax: CategoricalCrossEntropyLoss(), LogSoftmax: NLLLoss()}
    return Head(losses.get(kind, CrossEntropyLoss()), yes_or_no)
