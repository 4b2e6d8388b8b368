"""The notes' own functions, in plain NumPy; they hold one example per column."""

from typing import Any

import numpy as np

from peers.contender import Contender
from peers.workloads import Array, Problem

__all__ = ["Notes"]


def sigmoid(z: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-z)))


def softmax(z: Array) -> Array:
    """Over the classes, which are the rows; shifted, so that it does not overflow."""
    e = np.exp(z - np.max(z, axis=0, keepdims=True))
    return np.asarray(e / np.sum(e, axis=0, keepdims=True))


class Notes(Contender):
    """The functions of the notes (with A1 in the second layer), for any number of layers.

    Two layers with tanh, as the notes have them, are written out as there. More layers
    are the same functions with a loop over the dictionary's W1, b1, W2, ...; ReLU stands for
    tanh and the softmax with the cross-entropy for the sigmoid where the workload says so.
    """

    label = "the notes' functions"
    imports = "import numpy"

    def __init__(self, problem: Problem) -> None:
        self.workload = problem.workload
        self.layers = len(problem.weights)
        self.parameters: dict[str, Array] = {}
        for i, (w, b) in enumerate(problem.weights, 1):
            self.parameters[f"W{i}"], self.parameters[f"b{i}"] = w.copy(), b.reshape(-1, 1).copy()
        columns = [(np.ascontiguousarray(x.T), self._targets(y)) for x, y in problem.batches]
        self.batches = [*columns]
        self.at = -1
        notes = self.layers == 2 and self.workload.activation == "tanh"
        self.forward = self.forward_of_two if notes else self.forward_of_many
        self.backward = self.backward_of_two if notes else self.backward_of_many

    def _targets(self, y: Array) -> Array:
        if self.workload.binary:
            return np.ascontiguousarray(y.T)
        eye = np.eye(self.workload.sizes[-1], dtype=self.workload.dtype)
        return np.ascontiguousarray(eye[y].T)

    # -- two layers, as printed ------------------------------------------------------

    def forward_of_two(self, x: Array) -> tuple[Array, dict[str, Array]]:
        p = self.parameters
        z1 = np.dot(p["W1"], x) + p["b1"]
        a1 = np.tanh(z1)
        z2 = np.dot(p["W2"], a1) + p["b2"]
        a2 = sigmoid(z2)
        return a2, {"Z1": z1, "A1": a1, "Z2": z2, "A2": a2}

    def backward_of_two(self, cache: dict[str, Array], x: Array, y: Array) -> dict[str, Array]:
        m = x.shape[1]
        a1, a2 = cache["A1"], cache["A2"]
        dz2 = a2 - y
        dw2 = np.dot(dz2, a1.T) / m
        db2 = np.sum(dz2, axis=1, keepdims=True) / m
        dz1 = np.dot(self.parameters["W2"].T, dz2) * (1 - np.power(a1, 2))
        dw1 = np.dot(dz1, x.T) / m
        db1 = np.sum(dz1, axis=1, keepdims=True) / m
        return {"W1": dw1, "b1": db1, "W2": dw2, "b2": db2}

    # -- any number of layers --------------------------------------------------------

    def forward_of_many(self, x: Array) -> tuple[Array, dict[str, Array]]:
        p, a = self.parameters, x
        cache = {"A0": x}
        for i in range(1, self.layers + 1):
            z = np.dot(p[f"W{i}"], a) + p[f"b{i}"]
            if i < self.layers:
                a = np.tanh(z) if self.workload.activation == "tanh" else np.maximum(z, 0)
            else:
                a = sigmoid(z) if self.workload.binary else softmax(z)
            cache[f"A{i}"] = a
        return a, cache

    def backward_of_many(self, cache: dict[str, Array], x: Array, y: Array) -> dict[str, Array]:
        m = x.shape[1]
        grads = {}
        dz = cache[f"A{self.layers}"] - y
        for i in range(self.layers, 0, -1):
            grads[f"W{i}"] = np.dot(dz, cache[f"A{i - 1}"].T) / m
            grads[f"b{i}"] = np.sum(dz, axis=1, keepdims=True) / m
            if i > 1:
                a = cache[f"A{i - 1}"]
                slope = 1 - np.power(a, 2) if self.workload.activation == "tanh" else a > 0
                dz = np.dot(self.parameters[f"W{i}"].T, dz) * slope
        return grads

    # -- and the rest ----------------------------------------------------------------

    def cost(self, a: Array, y: Array) -> float:
        m = y.shape[1]
        if self.workload.binary:
            logprobs = np.multiply(np.log(a), y) + np.multiply(np.log(1 - a), 1 - y)
        else:
            logprobs = np.multiply(np.log(a), y)
        return float(np.squeeze(-np.sum(logprobs) / m))

    def update(self, grads: dict[str, Array]) -> None:
        p, lr = self.parameters, self.workload.lr
        self.parameters = {name: p[name] - lr * grads[name] for name in p}

    def step(self) -> float:
        self.at = (self.at + 1) % len(self.batches)
        x, y = self.batches[self.at]
        a, cache = self.forward(x)
        cost = self.cost(a, y)
        self.update(self.backward(cache, x, y))
        return cost

    def predict(self) -> Any:
        return self.forward(self.batches[0][0])[0].T
