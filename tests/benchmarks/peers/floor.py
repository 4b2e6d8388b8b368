"""The floor: the raw matrix products of a step, and nothing else."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from peers.contender import Contender
from peers.workloads import Array, Problem, Workload

__all__ = ["Floor"]

TRIES = 15  # of each form of a product, before the first turn


class Floor(Contender):
    """W x, dW = dy' x and dx = W' dy of each layer, without the first layer's dx.

    Each product in that of its two forms, by rows or by columns, that is quicker here,
    written into an array that is there already. It computes no loss.
    """

    label = "floor: the products alone"
    imports = "import numpy"
    exact = False

    def __init__(self, problem: Problem) -> None:
        rng = np.random.default_rng(0)
        x = problem.batches[0][0]
        self.products: list[Callable[[], Any]] = []
        for index, (w, _) in enumerate(problem.weights):
            dy = rng.standard_normal((len(x), len(w))).astype(w.dtype)
            self.products.append(_quicker(x, w.T))
            if not problem.workload.predicts:
                self.products.append(_quicker(dy.T, x))
                if index:
                    self.products.append(_quicker(dy, w))
            x = np.maximum(x @ w.T, 0)

    @classmethod
    def supports(cls, workload: Workload) -> bool:
        return not workload.image

    def step(self) -> float:
        for product in self.products:
            product()
        return 0.0

    def predict(self) -> None:
        self.step()


def _quicker(a: Array, b: Array) -> Callable[[], Any]:
    """Return a b as a call, by rows or as (b' a')'."""
    forms = []
    for one, other in ((a, b), (b.T, a.T)):
        out = np.empty((one.shape[0], other.shape[1]), a.dtype)
        forms.append(partial(np.dot, one, other, out))
    return min(forms, key=_fastest)


def _fastest(job: Callable[[], Any]) -> float:
    times = []
    for _ in range(TRIES):
        start = time.perf_counter()
        job()
        times.append(time.perf_counter() - start)
    return min(times)
