"""A loss under test: copies of it, and predictions and targets like those given."""

import copy
import math
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, TypeAlias

import numpy as np

from minifw.core.layer import Identity, Layer
from minifw.losses import Loss
from minifw.testing._equal import Results
from minifw.testing._layer_subject import jittered
from minifw.typing import Array

__all__ = ["BATCH", "LossSubject", "Pair", "run"]

Pair: TypeAlias = tuple[Array, Any]
"""A prediction and its target; the latter may hold whole numbers."""

BATCH = 5  # rows of a random batch: a prime, so that a factor of 5 comes from nothing else


@dataclass(frozen=True)
class LossSubject:
    """A loss, a prediction and target that it accepts, and a seed; nothing changes them."""

    loss: Loss
    prediction: Array
    target: Any
    seed: int = 0

    def twin(self) -> Loss:
        """Return a copy of the loss."""
        return copy.deepcopy(self.loss)

    @property
    def alike(self) -> bool:
        """Whether a target has the shape and dtype of its prediction."""
        return bool(self.target.dtype.kind == "f" and self.target.shape == self.prediction.shape)

    @cached_property
    def bounded(self) -> bool:
        """Whether the predictions are probabilities: from 0 to 1, and the loss takes no others."""
        if not (self.prediction.min() >= 0 and self.prediction.max() <= 1):
            return False
        _, target = self.given()
        for outside in (-0.5, 1.5):
            prediction = np.full(self.prediction.shape, outside)
            try:
                if not math.isfinite(self.twin().forward(prediction, target)):
                    return True
            except (ValueError, FloatingPointError):
                return True
        return False

    @cached_property
    def clips(self) -> bool:
        """Whether it takes probabilities, and clips others: it is constant beyond 0 and 1."""
        if self.bounded or not (self.prediction.min() >= 0 and self.prediction.max() <= 1):
            return False
        _, target = self.given()
        ends = [[-0.5, -1.5], [1.5, 2.5]]
        at = partial(np.full, self.prediction.shape)
        values = [[self.twin().forward(at(p), target) for p in end] for end in ends]
        return all(near == far for near, far in values)

    def cast(self, prediction: Array, target: Any, dtype: type) -> Pair:
        """Return copies, in a dtype; targets that are not of floating point keep theirs."""
        if target.dtype.kind != "f":
            return prediction.astype(dtype), target.copy()
        return prediction.astype(dtype), target.astype(dtype)

    def given(self, dtype: type = np.float64) -> Pair:
        """Return prediction and target as they were given, in a dtype."""
        return self.cast(self.prediction, self.target, dtype)

    def draw(self, rows: int = BATCH, *, draw: int = 0, dtype: type = np.float64) -> Pair:
        """Return random rows of those given, with the predictions moved within their range."""
        rng = self.rng(draw)
        chosen = rng.permutation(np.arange(max(rows, len(self.target))) % len(self.target))[:rows]
        prediction, target = self.cast(self.prediction[chosen], self.target[chosen], np.float64)
        moved = jittered(prediction, rng)
        low, high = float(self.prediction.min()), float(self.prediction.max())
        if low < high:
            moved = moved.clip(low, high)
        try:
            self.twin().forward(moved, target)
        except ValueError:  # out of a domain that is no box, such as rows that sum to 1
            moved = prediction
        return self.cast(moved, target, dtype)

    def inputs(self, rows: int | None = None, *, draw: int = 0) -> Results:
        """Return a random batch."""
        prediction, target = self.draw(rows or BATCH, draw=draw)
        return {"prediction": prediction, "target": target}

    def forward(self, loss: Loss, inputs: Results) -> Results:
        """Return the loss."""
        return {"loss": np.array(loss.forward(inputs["prediction"], inputs["target"]))}

    def backward(self, loss: Loss, _: Results) -> Results:
        """Return the gradient."""
        return {"gradient": loss.backward()}

    def model(self, _: Loss) -> Layer:
        """Return a layer without parameters: see `Subject`."""
        return Identity()

    def rng(self, draw: int) -> np.random.Generator:
        """Return a generator of its own for each draw."""
        return np.random.default_rng([self.seed, draw])


def run(loss: Loss, pair: Pair, **weights: Array) -> tuple[float, Array]:
    """Return the loss and its gradient; it is given copies, into which it may write."""
    prediction, target = pair
    value = loss.forward(prediction.copy(), target.copy(), **weights)
    return value, loss.backward()
