"""Looks for what makes a network learn nothing, and warns."""

import math

import numpy as np

from minifw._engine.flow import neighbours
from minifw._engine.listening import inner_outputs
from minifw._tools.numbers import check_size
from minifw._tools.options import Option
from minifw._tools.rows import cut
from minifw.training import Callback, Trainer
from minifw.typing import Array

ROWS = 256  # of the latest batch that are looked at
MANY = 0.5  # the part of a layer from which on a warning is due
STEEP = 0.01  # a slope below this part of the steepest lets next to no gradient through


class Watch(Callback):
    """Warn of what makes a network learn nothing.

    - Dead units: outputs of a `ReLU` (of images, channels) that are 0 for every example of
      a batch. They have no gradient.
    - Saturated units: outputs of a `Sigmoid` or `Tanh` inside the network that are so near
      to their ends that next to no gradient comes through.
    - A sigmoid or a softmax of a sigmoid or a softmax.
    - A loss that does not move.

    Each is a `TrainingWarning`, once a run and layer.

    Parameters
    ----------
    every : int, default 1
        After how many epochs to look.
    patience : int, default 5
        For how many epochs the loss has to stand still.

    Notes
    -----
    It runs a copy of the model on up to 256 rows of the latest batch, in eval mode. A
    warning is due when half of the units of a layer, or of its outputs, are affected. What
    `Trainer` tells with ``watch=True`` is not told twice.

    Examples
    --------
    >>> import warnings
    >>> from minifw import Dense, MSELoss, ReLU, SGD, Sequential, Trainer, Watch
    >>> model = Sequential(Dense(1, 8, rng=0), ReLU(), Dense(8, 1, rng=1))
    >>> model[0].bias.value = [-100.0] * 8
    >>> optimizer = SGD(model.parameters(), lr=0.1)
    >>> trainer = Trainer(model, MSELoss(), optimizer, callbacks=[Watch()])
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     history = trainer.fit([[1.0]], [[1.0]], epochs=1)
    >>> print(caught[0].message)
    after epoch 1: 8 of 8 units of layer 1, ReLU(), are 0 for every example, and no gradient \
comes through; try a lower lr, another init, or LeakyReLU
    """

    every = Option(check_size)
    patience = Option(check_size)

    def __init__(self, every: int = 1, patience: int = 5) -> None:
        self.every, self.patience = every, patience

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Look at the layers."""
        for place, one, two, _ in neighbours(trainer.model):
            if one.probabilities and two.probabilities:
                trainer._signs.tell(
                    f"doubled {place}",
                    f"layer {place}, {two!r}, takes the output of another sigmoid or softmax, "
                    "which leaves it little to choose from; leave one out",
                )

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Look at the outputs of the layers, and at the loss."""
        if trainer.epoch % self.every == 0 and trainer.batch_x is not None:
            self._look(trainer)
        losses = trainer.history["loss"][-self.patience - 1 :]
        if len(losses) > self.patience:
            trainer._signs.still(trainer, losses)

    def _look(self, trainer: Trainer) -> None:
        rows = cut(trainer.batch_x, slice(ROWS))
        for name, layer, y in inner_outputs(trainer.model, rows):
            place = f"layer {name}, {layer!r}," if name else f"{layer!r}"
            units = _by_unit(y)  # (..., units)
            low, high = layer.saturation
            if math.isinf(high):  # flat on one side, where half of the outputs may well be
                sign, idle = "dead", (units == low).all(axis=0)
                found = (
                    f"{idle.sum()} of {idle.size} units of {place} are {low:g} for every example, "
                    "and no gradient comes through; try a lower lr, another init, or LeakyReLU"
                )
            else:
                # The slope of sigmoid and tanh as a part of the steepest, which is in the middle.
                slope = 4 * (units - low) * (high - units) / (high - low) ** 2
                sign, idle = "saturated", slope < STEEP
                found = (
                    f"{idle.mean():.0%} of the outputs of {place} are saturated, and next to no "
                    "gradient comes through; try inputs of mean 0 and variance 1, or a lower lr"
                )
            if idle.mean() >= MANY:
                trainer._signs.tell(f"{sign} {name}", f"after epoch {trainer.epoch}: {found}")


def _by_unit(y: Array) -> Array:
    """Return the outputs with an axis for the units: channels of images, else the last axis."""
    images = y.ndim == 4  # (batch, channels, height, width)
    units = np.moveaxis(y, 1, -1) if images else y
    return units.reshape(-1, units.shape[-1])
