"""The same nets written out by hand in NumPy: nothing allocated, nothing checked.

What a patient person writes for one net of fixed sizes: every array is made before
the first step and written into afterwards, and each formula is shortened. There is no
check, no layer and no loss to exchange, so it is what the convenience is measured against.
"""

from itertools import cycle
from typing import Any

import numpy as np

from peers.contender import Contender
from peers.workloads import Array, Problem, Workload

__all__ = ["ByHand"]


class ByHand(Contender):
    """Chooses the layout by the shape, as minifw does: long batches of few features in columns."""

    label = "by hand, arrays reused"
    imports = "import numpy"

    def __init__(self, problem: Problem) -> None:
        workload = problem.workload
        two = len(problem.weights) == 2 and workload.binary and workload.activation == "tanh"
        net = _TwoLayers(problem) if two else _Rows(problem)
        self.step = net.step  # type: ignore[method-assign]  # no call more than need be
        self.predict = net.predict  # type: ignore[method-assign]

    @classmethod
    def supports(cls, workload: Workload) -> bool:
        return not workload.image

    def step(self) -> float:
        raise NotImplementedError

    def predict(self) -> Any:
        raise NotImplementedError


class _TwoLayers:
    """The notes' net, one example a column.

    With s = sigmoid(z), log(1 - s) = log s - z, so that the cost of an example is
    (1 - y) z - log s. The gradients lack 1/m, which is in the step.
    """

    def __init__(self, problem: Problem) -> None:
        ((w1, b1), (w2, b2)) = problem.weights
        ((x, y),) = problem.batches
        m, n, k = len(x), len(w1), x.shape[1]
        self.m = m
        self.x = np.ascontiguousarray(x.T)  # (2, m)
        self.xt = self.x.T
        self.y = y[:, 0].copy()  # (m,)
        self.not_y = 1 - self.y
        self.ones = np.ones(m)
        self.parameters, self.gradients = np.empty(n * k + 2 * n + 1), np.empty(n * k + 2 * n + 1)
        self.w1, self.b1, self.w2, self.b2 = _parts(self.parameters, n, k)
        self.dw1, self.db1, self.dw2, self.db2 = _parts(self.gradients, n, k)
        self.w1[...], self.b1[...], self.w2[...], self.b2[...] = w1, b1, w2[0], b2
        self.b1_column, self.w2_column = self.b1.reshape(-1, 1), self.w2.reshape(-1, 1)
        self.b2 = self.b2.reshape(())
        self.db2 = self.db2.reshape(())
        self.a1, self.dz1 = np.empty((n, m)), np.empty((n, m))
        self.z2, self.s, self.log_s = np.empty(m), np.empty(m), np.empty(m)
        self.one = np.array(1.0)
        self.rate = np.array(problem.workload.lr / m)

    def _forward(self) -> Array:
        a1, z2, s = self.a1, self.z2, self.s
        np.dot(self.w1, self.x, a1)
        np.add(a1, self.b1_column, a1)
        np.tanh(a1, a1)
        np.dot(self.w2, a1, z2)
        np.add(z2, self.b2, z2)
        np.negative(z2, s)
        np.exp(s, s)
        np.add(s, self.one, s)
        np.divide(self.one, s, s)
        return s

    def step(self) -> float:
        s, a1, dz1 = self._forward(), self.a1, self.dz1
        log_s = np.log(s, self.log_s)
        cost = (self.not_y.dot(self.z2) - log_s.dot(self.ones)) / self.m
        dz2 = np.subtract(s, self.y, s)
        np.dot(a1, dz2, self.dw2)
        np.dot(dz2, self.ones, self.db2)
        np.multiply(a1, a1, a1)
        np.subtract(self.one, a1, a1)
        np.multiply(self.w2_column, dz2, dz1)
        np.multiply(dz1, a1, dz1)
        np.dot(dz1, self.xt, self.dw1)
        np.dot(dz1, self.ones, self.db1)
        np.multiply(self.gradients, self.rate, self.gradients)
        np.subtract(self.parameters, self.gradients, self.parameters)
        return float(cost)

    def predict(self) -> Array:
        return self._forward()


def _parts(vector: Array, n: int, k: int) -> tuple[Array, Array, Array, Array]:
    """Return views: W1 (n, k), b1 (n,), W2 (n,) and b2 (1,)."""
    w1, b1, w2, b2 = np.split(vector, [n * k, n * k + n, n * k + 2 * n])
    return w1.reshape(n, k), b1, w2, b2


class _Rows:
    """Any number of layers, one example a row."""

    def __init__(self, problem: Problem) -> None:
        self.workload = workload = problem.workload
        dtype, m = np.dtype(workload.dtype), workload.batch
        size = sum(w.size + b.size for w, b in problem.weights)
        self.values, self.gradients = np.empty(size, dtype), np.empty(size, dtype)
        self.layers, at = [], 0
        for w, b in problem.weights:
            places = slice(at, at + w.size), slice(at + w.size, at + w.size + b.size)
            at = places[1].stop
            views = []
            for vector in (self.values, self.gradients):
                views += [vector[places[0]].reshape(w.shape), vector[places[1]]]
            views[0][...], views[1][...] = w, b
            outputs = [np.empty((m, len(b)), dtype) for _ in range(2)]  # a and dz
            self.layers.append((*views, *outputs))
        classes = workload.sizes[-1]
        self.truth = [
            (x, y if workload.binary else np.eye(classes, dtype=dtype)[y])
            for x, y in problem.batches
        ]
        self.batches = cycle(self.truth)
        self.ones = np.ones(m, dtype)
        self.one, self.zero = np.ones((), dtype), np.zeros((), dtype)
        self.rate = np.array(workload.lr, dtype)
        self.scale = np.array(1 / m, dtype)
        self.tanh = workload.activation == "tanh"
        self.column = np.empty((m, 1), dtype)
        self.last = np.empty((m, classes), dtype)
        self.adam = _Adam(self.values, workload.lr) if workload.optimizer == "adam" else None

    def _logits(self, x: Array) -> Array:
        for w, b, _, _, a, _ in self.layers:
            np.dot(x, w.T, a)
            np.add(a, b, a)
            if a is not self.layers[-1][4]:
                x = np.tanh(a, a) if self.tanh else np.maximum(a, self.zero, a)
        return a

    def step(self) -> float:
        x, y = next(self.batches)
        z = self._logits(x)
        dz = self.layers[-1][5]
        cost = self._sigmoid(z, y, dz) if self.workload.binary else self._softmax(z, y, dz)
        np.multiply(dz, self.scale, dz)
        for i in range(len(self.layers) - 1, -1, -1):
            w, _, dw, db, _, _ = self.layers[i]
            below = x if i == 0 else self.layers[i - 1][4]
            np.dot(dz.T, below, dw)
            np.dot(self.ones, dz, db)
            if i:
                da = self.layers[i - 1][5]
                np.dot(dz, w, da)
                if self.tanh:
                    np.multiply(below, below, below)
                    np.subtract(self.one, below, below)
                else:
                    np.greater(below, self.zero, below, casting="unsafe")
                dz = np.multiply(da, below, da)
        if self.adam:
            self.adam.update(self.values, self.gradients)
        else:
            np.multiply(self.gradients, self.rate, self.gradients)
            np.subtract(self.values, self.gradients, self.values)
        return cost

    def _sigmoid(self, z: Array, y: Array, dz: Array) -> float:
        np.negative(z, dz)
        np.exp(dz, dz)
        np.add(dz, self.one, dz)
        np.divide(self.one, dz, dz)
        np.log(dz, self.last)
        cost = z.sum() - z[:, 0].dot(y[:, 0]) - self.last.sum()
        np.subtract(dz, y, dz)
        return float(cost) / len(z)

    def _softmax(self, z: Array, y: Array, dz: Array) -> float:
        np.max(z, axis=1, keepdims=True, out=self.column)
        np.subtract(z, self.column, z)
        np.exp(z, dz)
        np.sum(dz, axis=1, keepdims=True, out=self.column)
        np.divide(dz, self.column, dz)
        cost = np.log(self.column).sum() - z.ravel().dot(y.ravel())
        np.subtract(dz, y, dz)
        return float(cost) / len(z)

    def predict(self) -> Array:
        z = self._logits(self.truth[0][0])
        if not self.workload.binary:
            np.subtract(z, z.max(axis=1, keepdims=True), z)
            np.exp(z, z)
            return np.asarray(np.divide(z, z.sum(axis=1, keepdims=True), z))
        np.negative(z, z)
        np.exp(z, z)
        np.add(z, self.one, z)
        np.divide(self.one, z, z)
        return z


class _Adam:
    """As the paper's algorithm 1, over one vector."""

    def __init__(self, values: Array, lr: float) -> None:
        self.lr, self.steps = lr, 0
        self.m, self.v, self.scratch = (np.zeros_like(values) for _ in range(3))

    def update(self, values: Array, g: Array) -> None:
        self.steps += 1
        root = (1 - 0.999**self.steps) ** 0.5
        m, v, s = self.m, self.v, self.scratch
        np.multiply(g, 0.1, s)
        m *= 0.9
        m += s
        np.multiply(g, g, s)
        s *= 0.001
        v *= 0.999
        v += s
        np.sqrt(v, s)
        s += 1e-8 * root
        np.divide(m, s, s)
        s *= self.lr * root / (1 - 0.9**self.steps)
        values -= s
