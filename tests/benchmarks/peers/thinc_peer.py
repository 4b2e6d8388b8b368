"""thinc, with its own loop: `begin_update`, the callback, `finish_update`."""

from collections.abc import Callable
from itertools import cycle
from typing import Any

import numpy as np
from thinc.api import SGD, Adam, Linear, Model, NumpyOps, chain, set_current_ops

from peers.contender import Contender
from peers.workloads import Array, Problem, Workload

__all__ = ["Thinc"]

set_current_ops(NumpyOps())


class Thinc(Contender):
    """thinc keeps its parameters in float32, so that W1 is other maths there.

    It has no tanh and no ReLU without weights; those are layers of its own kind here.
    """

    label = "thinc"
    imports = "import thinc.api"

    def __init__(self, problem: Problem) -> None:
        self.workload = workload = problem.workload
        activation = _tanh if workload.activation == "tanh" else _relu
        layers: list[Any] = []
        dense = []
        for w, _ in problem.weights:
            layer: Any = Linear(w.shape[0], w.shape[1])
            dense.append(layer)
            layers += [layer, Model("activation", activation)]
        self.model: Any = chain(*layers[:-1])
        data = [(x.astype(np.float32), self._target(y)) for x, y in problem.batches]
        self.model.initialize(X=data[0][0])
        for layer, (w, b) in zip(dense, problem.weights, strict=True):
            layer.set_param("W", w.astype(np.float32))
            layer.set_param("b", b.astype(np.float32))
        kind = SGD if workload.optimizer == "sgd" else Adam
        options: dict[str, Any] = {"L2": 0.0, "grad_clip": 0.0, "use_averages": False}
        self.optimizer: Any = kind(workload.lr, **options)
        self.batches = cycle(data)
        self.x = data[0][0]

    def _target(self, y: Array) -> Array:
        if self.workload.binary:
            return y.astype(np.float32)
        return np.eye(self.workload.sizes[-1], dtype=np.float32)[y]

    @classmethod
    def supports(cls, workload: Workload) -> bool:
        return not workload.image and workload.dtype == "float32"

    def step(self) -> float:
        x, y = next(self.batches)
        z, backprop = self.model.begin_update(x)
        if self.workload.binary:
            p = _sigmoid(z)
            cost = float(np.mean(np.logaddexp(0, z) - y * z))
        else:
            p = _softmax(z)
            cost = -float(np.log(p[y != 0]).mean())
        backprop((p - y) / np.float32(len(x)))
        self.model.finish_update(self.optimizer)
        return cost

    def predict(self) -> Any:
        z = self.model.predict(self.x)
        return _sigmoid(z) if self.workload.binary else _softmax(z)


def _sigmoid(z: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-z)))


def _softmax(z: Array) -> Array:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def _tanh(_model: Any, x: Array, **_: bool) -> tuple[Array, Callable[[Array], Array]]:
    y = np.tanh(x)
    return y, lambda dy: dy * (1 - y * y)


def _relu(_model: Any, x: Array, **_: bool) -> tuple[Array, Callable[[Array], Array]]:
    y = np.maximum(x, 0)
    return y, lambda dy: dy * (y > 0)
