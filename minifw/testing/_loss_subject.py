"""A loss under test: copies of it, and predictions and targets like those given."""

import copy
import math
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from minifw.core.layer import Identity, Layer
from minifw.losses import Loss
from minifw.testing._equal import Results
from minifw.testing._layer_subject import jittered
from minifw.typing import Array

PAIR = ("prediction", "target")  # the arguments that are given by place; any other is weights
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
        target = self.given()["target"]
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
        target = self.given()["target"]
        ends = [[-0.5, -1.5], [1.5, 2.5]]
        at = partial(np.full, self.prediction.shape)
        values = [[self.twin().forward(at(p), target) for p in end] for end in ends]
        return all(near == far for near, far in values)

    def given(self, dtype: type = np.float64) -> Results:
        """Return prediction and target as they were given, in a dtype."""
        return cast({"prediction": self.prediction, "target": self.target}, dtype)

    def inputs(self, rows: int | None = None, *, draw: int = 0) -> Results:
        """Return random rows of those given, with the predictions moved within their range."""
        rng, rows, size = self.rng(draw), rows or BATCH, len(self.target)
        chosen = rng.permutation(np.arange(max(rows, size)) % size)[:rows]
        still = {name: array[chosen] for name, array in self.given().items()}
        moved = jittered(still["prediction"], rng)
        low, high = float(self.prediction.min()), float(self.prediction.max())
        if low < high:
            moved = moved.clip(low, high)
        inputs = {**still, "prediction": moved}
        try:
            self.forward(self.twin(), inputs)
        except ValueError:  # out of a domain that is no box, such as rows that sum to 1
            return still
        return inputs

    def forward(self, loss: Loss, inputs: Results) -> Results:
        """Return the loss."""
        pair = [inputs[name] for name in PAIR]
        weights = {name: array for name, array in inputs.items() if name not in PAIR}
        return {"loss": np.array(loss.forward(*pair, **weights))}

    def backward(self, loss: Loss, _: Results) -> Results:
        """Return the gradient."""
        return {"gradient": loss.backward()}

    def model(self, _: Loss) -> Layer:
        """Return a layer without parameters: see `Subject`."""
        return Identity()

    def rng(self, draw: int) -> np.random.Generator:
        """Return a generator of its own for each draw."""
        return np.random.default_rng([self.seed, draw])


def cast(inputs: Results, dtype: type) -> Results:
    """Return copies, in a dtype; targets that are not of floating point keep theirs."""
    return {
        name: array.astype(dtype) if array.dtype.kind == "f" else array.copy()
        for name, array in inputs.items()
    }
