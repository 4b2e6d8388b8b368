"""A loss under test: copies of it, and predictions and targets like those given."""

import copy
import math
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from minifw.core.layer import Identity, Layer
from minifw.losses import Loss
from minifw.testing._equal import Results, cast
from minifw.testing._report import Failure
from minifw.testing.layers._subject import jittered

PAIR = ("prediction", "target")  # the arguments that are given by place; any other is weights
BATCH = 5  # rows of a random batch: a prime, so that a factor of 5 comes from nothing else


@dataclass(frozen=True)
class LossSubject:
    """A loss, a prediction and target that it accepts, and a seed; nothing changes them.

    Of several outputs these two are tuples, and each of `parts` asks about one output: the others
    are held where they were given, at their first row.
    """

    loss: Loss
    prediction: Any
    target: Any
    seed: int = 0
    whole: tuple[Any, ...] = ()  # of a part: all predictions, and all targets
    output: int = 0  # of a part: which one it is

    @cached_property
    def parts(self) -> "list[LossSubject]":
        """One for each output that counts in the loss."""
        if not self.loss.takes_several:
            return [self]
        whole = self.prediction, self.target
        each = [
            replace(self, prediction=p, target=t, whole=whole, output=i)
            for i, (p, t) in enumerate(zip(*whole, strict=True))
        ]
        return [s for s in each if s.value(s.inputs()) != s.value(s.inputs(draw=1))]

    def value(self, inputs: Results) -> float:
        """Return what a new copy gives."""
        return float(self.forward(self.twin(), inputs)["loss"])

    def twin(self) -> Loss:
        """Return a copy of the loss."""
        return copy.deepcopy(self.loss)

    @property
    def alike(self) -> bool:
        """Whether a target has the shape and dtype of its prediction."""
        target, shape = self.target, self.prediction.shape
        return target is not None and target.dtype.kind == "f" and bool(target.shape == shape)

    @cached_property
    def bounded(self) -> bool:
        """Whether the predictions are probabilities: from 0 to 1, and the loss takes no others."""
        if not (self.prediction.min() >= 0 and self.prediction.max() <= 1):
            return False
        for outside in (-0.5, 1.5):
            prediction = np.full(self.prediction.shape, outside)
            try:
                if not math.isfinite(self.value({**self.given(), "prediction": prediction})):
                    return True
            except (ValueError, FloatingPointError):
                return True
        return False

    @cached_property
    def clips(self) -> bool:
        """Whether it takes probabilities, and clips others: it is constant beyond 0 and 1."""
        if self.bounded or not (self.prediction.min() >= 0 and self.prediction.max() <= 1):
            return False
        ends = [[-0.5, -1.5], [1.5, 2.5]]
        at = partial(np.full, self.prediction.shape)
        values = [[self.value({**self.given(), "prediction": at(p)}) for p in end] for end in ends]
        return all(near == far for near, far in values)

    def given(self, dtype: type = np.float64) -> Results:
        """Return prediction and target as they were given, in a dtype."""
        target = {} if self.target is None else {"target": self.target}
        return cast({"prediction": self.prediction, **target}, dtype)

    def inputs(self, rows: int | None = None, *, draw: int = 0) -> Results:
        """Return random rows of those given, with the predictions moved within their range."""
        rng, rows, size = self.rng(draw), rows or BATCH, len(self.prediction)
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
        weights = {name: array for name, array in inputs.items() if name not in PAIR}
        return {"loss": np.array(loss.forward(*self.arguments(inputs), **weights))}

    def arguments(self, inputs: Results) -> tuple[Any, ...]:
        """Return prediction and target; of a part with those of the other outputs around them."""
        mine = tuple(inputs.get(name) for name in PAIR)
        rows, dtype = len(inputs["prediction"]), inputs["prediction"].dtype
        around = [
            [a if a is None else cast({"": a[:1].repeat(rows, axis=0)}, dtype)[""] for a in arrays]
            for arrays in self.whole
        ]
        for arrays, array in zip(around, mine, strict=False):
            arrays[self.output] = array
        return tuple(map(tuple, around)) or mine

    def backward(self, loss: Loss, _: Results) -> Results:
        """Return the gradient."""
        made: Any = loss.backward()
        if self.whole and not (type(made) is tuple and len(made) == len(self.whole[0])):
            raise Failure(
                f"backward must return a tuple of {len(self.whole[0])} arrays, one for each output"
            )
        return {"gradient": made[self.output] if self.whole else made}

    def model(self, _: Loss) -> Layer:
        """Return a layer without parameters: see `Subject`."""
        return Identity()

    def rng(self, draw: int) -> np.random.Generator:
        """Return a generator of its own for each draw."""
        return np.random.default_rng([self.seed, draw])
