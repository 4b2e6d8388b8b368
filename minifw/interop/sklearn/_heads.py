"""How the outputs of a classifying network are read, and the loss that goes with them."""

from typing import NamedTuple

import numpy as np

from minifw import losses
from minifw.core.layer import Layer
from minifw.layers import LogSoftmax, Sigmoid, Softmax
from minifw.typing import Array


class Head(NamedTuple):
    """A loss, and whether there is a yes or no in each column, or one choice among all.

    `ends_in` is the activation in which the network ends, or None if it ends in logits.
    """

    loss: losses.Loss
    yes_or_no: bool
    ends_in: type[Layer] | None

    def probabilities(self, output: Array) -> Array:
        """Return the probabilities of the columns, (rows, columns)."""
        if self.ends_in is None:
            return (Sigmoid() if self.yes_or_no else Softmax()).forward(output)
        return np.exp(output) if self.ends_in is LogSoftmax else output

    def logits_of(self, model: Layer) -> Layer:
        """Return the part of the network that gives the logits."""
        before = model.split_last()[0]  # None only of a lone activation, which learns nothing
        return model if self.ends_in is None or before is None else before

    def log_probabilities(self, logits: Array) -> Array:
        """Return their logarithms, exact where the probabilities round to 0."""
        if self.yes_or_no:
            return -np.logaddexp(0, -logits)
        return LogSoftmax().forward(logits)

    def log_complements(self, logits: Array) -> Array:
        """Return the logarithms of what the probabilities lack of 1, of columns of yes or no."""
        return -np.logaddexp(0, logits)


def head_of(
    owner: str,
    model: Layer,
    outputs: int,
    classes: int,
    *,
    multilabel: bool,
    smoothing: float = 0.0,
) -> Head:
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
    by_end: dict[type[Layer], losses.Loss] = {
        Sigmoid: losses.BCELoss(),
        Softmax: losses.CategoricalCrossEntropyLoss(label_smoothing=smoothing),
        LogSoftmax: losses.NLLLoss(),
    }
    if smoothing and (yes_or_no or kind is LogSoftmax):
        raise ValueError(
            f"{owner} smooths labels of one choice among classes alone, in logits or Softmax(); "
            "leave label_smoothing out"
        )
    if kind in by_end:
        return Head(by_end[kind], yes_or_no, kind)
    choice = losses.CrossEntropyLoss(label_smoothing=smoothing)
    return Head(losses.BCEWithLogitsLoss() if yes_or_no else choice, yes_or_no, None)
