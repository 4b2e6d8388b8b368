"""A training step of the notes' network: minifw against the notes' own functions.

    .venv/bin/python tests/benchmarks/notes_step.py

Both train the 2-4-1 network on the 400 points of the flower, full batch, in
float64, from the same weights, and compute the cost of every step. They take
turns in one run, a block of steps each; what counts is the ratio of the two
times of a turn, and its median.
"""

import os
import platform
import statistics
import time

import numpy as np

from minifw import SGD, Array, BCELoss, Dense, Objective, Sequential, Sigmoid, Tanh, __version__
from minifw.datasets import planar_flower

TURNS = 100  # enough that the quartiles of the ratio are stable to about 1 %
STEPS = 400  # a turn, some 15 ms: long beside the clock, short beside the machine's moods
LEARNING_RATE = 1.2


class Notes:
    """The notes' functions as they print them (with A1 in the second layer), in plain NumPy."""

    def __init__(self, x: Array, y: Array, w1: Array, w2: Array) -> None:
        self.x, self.y = np.ascontiguousarray(x.T), np.ascontiguousarray(y.T)
        self.parameters = {
            "W1": w1.copy(),
            "b1": np.zeros((len(w1), 1)),
            "W2": w2.copy(),
            "b2": np.zeros((len(w2), 1)),
        }

    def forward_propagation(self) -> tuple[Array, dict[str, Array]]:
        p = self.parameters
        z1 = np.dot(p["W1"], self.x) + p["b1"]
        a1 = np.tanh(z1)
        z2 = np.dot(p["W2"], a1) + p["b2"]
        a2 = 1 / (1 + np.exp(-z2))
        return a2, {"Z1": z1, "A1": a1, "Z2": z2, "A2": a2}

    def compute_cost(self, a2: Array) -> float:
        m = self.y.shape[1]
        logprobs = np.multiply(np.log(a2), self.y) + np.multiply(np.log(1 - a2), 1 - self.y)
        return float(np.squeeze(-np.sum(logprobs) / m))

    def backward_propagation(self, cache: dict[str, Array]) -> dict[str, Array]:
        m = self.x.shape[1]
        a1, a2 = cache["A1"], cache["A2"]
        dz2 = a2 - self.y
        dw2 = np.dot(dz2, a1.T) / m
        db2 = np.sum(dz2, axis=1, keepdims=True) / m
        dz1 = np.dot(self.parameters["W2"].T, dz2) * (1 - np.power(a1, 2))
        dw1 = np.dot(dz1, self.x.T) / m
        db1 = np.sum(dz1, axis=1, keepdims=True) / m
        return {"W1": dw1, "b1": db1, "W2": dw2, "b2": db2}

    def update_parameters(self, grads: dict[str, Array]) -> None:
        p = self.parameters
        self.parameters = {name: p[name] - LEARNING_RATE * grads[name] for name in p}

    def step(self) -> float:
        a2, cache = self.forward_propagation()
        cost = self.compute_cost(a2)
        self.update_parameters(self.backward_propagation(cache))
        return cost


class Minifw:
    """The same through minifw's public interface."""

    def __init__(self, x: Array, y: Array, w1: Array, w2: Array) -> None:
        hidden, output = Dense(2, len(w1)), Dense(len(w1), 1)
        hidden.weight.value, output.weight.value = w1, w2
        model = Sequential(hidden, Tanh(), output, Sigmoid())
        self.x, self.y = x, y
        self.objective = Objective(model, BCELoss())
        self.optimizer = SGD(model.parameters(), lr=LEARNING_RATE)

    def step(self) -> float:
        cost = self.objective.forward(self.x, self.y)
        self.objective.backward()
        self.optimizer.step()
        return cost


def timed(contender: Notes | Minifw) -> tuple[float, float]:
    """Return the microseconds of a step, and the last cost."""
    start = time.perf_counter()
    for _ in range(STEPS):
        cost = contender.step()
    return (time.perf_counter() - start) / STEPS * 1e6, cost


def main() -> None:
    x, y = planar_flower()
    rng = np.random.RandomState(3)
    w1, w2 = rng.standard_normal((4, 2)) * 0.01, rng.standard_normal((1, 4)) * 0.01
    notes_times, our_times = [], []
    for turn in range(TURNS):
        first, second = Notes(x, y, w1, w2), Minifw(x, y, w1, w2)
        pair: list[Notes | Minifw] = [first, second] if turn % 2 else [second, first]
        results = {id(contender): timed(contender) for contender in pair}
        (notes_time, notes_cost), (our_time, our_cost) = results[id(first)], results[id(second)]
        if not np.isclose(notes_cost, our_cost, rtol=1e-9):
            message = f"the costs differ: {notes_cost} and {our_cost}"
            raise RuntimeError(message)
        notes_times.append(notes_time)
        our_times.append(our_time)
    ratios = [a / b for a, b in zip(notes_times, our_times, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(
        f"minifw {__version__}, NumPy {np.__version__}, Python {platform.python_version()}, "
        f"{platform.machine()}, {os.cpu_count()} processors"
    )
    print(f"notes  {statistics.median(notes_times):6.1f} us a step")
    print(f"minifw {statistics.median(our_times):6.1f} us a step")
    print(f"minifw is {middle:.2f} times faster (quartiles {low:.2f} and {high:.2f})")


if __name__ == "__main__":
    main()
