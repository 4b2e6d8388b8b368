"""MyGrad: automatic differentiation of NumPy expressions."""

from itertools import cycle
from typing import Any

import mygrad as mg
import numpy as np
from mygrad.nnet.losses import softmax_crossentropy

from peers.contender import Contender
from peers.workloads import Problem

__all__ = ["MyGrad"]


class MyGrad(Contender):
    """The formulas of the forward pass; the update is NumPy, as in MyGrad's own examples."""

    label = "MyGrad"
    imports = "import mygrad"

    def __init__(self, problem: Problem) -> None:
        self.workload = problem.workload
        mg.turn_memory_guarding_off()  # its advice for speed
        self.params: list[tuple[Any, Any]] = [
            (mg.tensor(w), mg.tensor(b)) for w, b in problem.weights
        ]
        self.batches = cycle(problem.batches)
        self.zero = np.zeros((), self.workload.dtype)  # 0 would turn float32 into float64
        self.x = problem.batches[0][0]

    def _logits(self, x: Any) -> Any:
        for index, (w, b) in enumerate(self.params):
            x = mg.matmul(x, w.T) + b
            if index < len(self.params) - 1:
                x = mg.tanh(x) if self.workload.activation == "tanh" else mg.maximum(x, self.zero)
        return x

    def step(self) -> Any:
        x, y = next(self.batches)
        z = self._logits(x)
        if self.workload.binary:
            loss = mg.mean(mg.logaddexp(z, self.zero) - y * z)
        else:
            loss = softmax_crossentropy(z, y)
        loss.backward()
        for pair in self.params:
            for p in pair:
                p.data -= self.workload.lr * p.grad
        return loss

    def value(self, loss: Any) -> float:
        return float(loss.item())

    def predict(self) -> Any:
        with mg.no_autodiff:
            z = self._logits(self.x).data
        if self.workload.binary:
            return 1 / (1 + np.exp(-z))
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)
