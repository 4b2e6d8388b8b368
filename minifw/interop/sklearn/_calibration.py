"""Temperature: one number by which logits are divided, so that probabilities are honest."""

from typing import ClassVar

import numpy as np

from minifw.core.layer import Layer
from minifw.core.objective import Objective
from minifw.core.parameter import Parameter
from minifw.losses import Loss
from minifw.training.minimize import minimize
from minifw.typing import Array, Target


class _Temperature(Layer):
    """y = x e^t: dx = dy e^t, dt = sum of dy y. The temperature is e^-t."""

    replayable: ClassVar[bool] = True

    def __init__(self) -> None:
        self.t = Parameter(np.zeros(1))

    def forward(self, x: Array) -> Array:
        y: Array = x * np.exp(self.t.value)
        self.save(y)
        return y

    def backward(self, dy: Array) -> Array:
        (y,) = self.saved()
        self.t.grad[...] = (dy * y).sum()
        dx: Array = dy * np.exp(self.t.value)
        return dx


def temperature(logits: Array, target: Target, loss: Loss) -> float:
    """Return the temperature at which the loss of these logits, of rows held out, is lowest."""
    layer = _Temperature()
    minimize(Objective(layer, loss), logits.astype(np.float64), target, "BFGS")
    return float(np.exp(-layer.t.value[0]))
