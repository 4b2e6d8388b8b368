"""Keras 3, on the backend that `KERAS_BACKEND` names; `compare.py` takes JAX."""

from itertools import cycle
from typing import Any

import jax
import keras
import numpy as np

from peers.contender import Contender
from peers.workloads import Problem, Workload

__all__ = ["Keras"]

jax.config.update("jax_enable_x64", True)  # for W1


class Keras(Contender):
    """`Sequential`, `compile` and `train_on_batch`, which returns a running mean of the loss.

    The mean is not reset within a turn. `run` therefore gives the loss of a last step before
    which it was reset.
    """

    label = "Keras (on JAX)"
    imports = "import keras"
    tolerance = 1e-7  # it keeps the learning rate in float32

    def __init__(self, problem: Problem) -> None:
        workload = problem.workload
        keras.config.set_floatx(workload.dtype)
        keras.config.set_dtype_policy(workload.dtype)  # which does not follow the line above
        *hidden, out = workload.sizes[1:]
        inputs: Any = keras.Input((workload.sizes[0],), dtype=workload.dtype)
        layers = [keras.layers.Dense(n, activation=workload.activation) for n in hidden]
        self.logits: Any = keras.Sequential([inputs, *layers, keras.layers.Dense(out)])
        self.logits.set_weights([a for w, b in problem.weights for a in (w.T, b)])
        last = keras.layers.Activation("sigmoid" if workload.binary else "softmax")
        self.model: Any = keras.Sequential([self.logits, last])
        kind = keras.optimizers.SGD if workload.optimizer == "sgd" else keras.optimizers.Adam
        options = {} if workload.optimizer == "sgd" else {"epsilon": 1e-8}
        loss = (
            keras.losses.BinaryCrossentropy(from_logits=True)
            if workload.binary
            else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        )
        self.logits.compile(optimizer=kind(workload.lr, **options), loss=loss)
        self.batches = cycle(problem.batches)
        self.x = problem.batches[0][0]

    @classmethod
    def supports(cls, workload: Workload) -> bool:
        return not workload.image

    def step(self) -> Any:
        return self.logits.train_on_batch(*next(self.batches))

    def run(self, count: int) -> float:
        for _ in range(count - 1):
            self.step()
        self.logits.reset_metrics()
        return float(self.step())

    def predict(self) -> Any:
        return np.asarray(self.model.predict_on_batch(self.x))
