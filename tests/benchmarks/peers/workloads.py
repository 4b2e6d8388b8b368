"""The workloads: sizes, data and starting weights, the same for every contender."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import cycle, pairwise
from typing import Any, TypeAlias

import numpy as np

__all__ = ["WORKLOADS", "Array", "Problem", "Workload", "make_problem"]

Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"

FILTERS = (8, 16)  # of the convolutional net, each 3 x 3 with padding 1, then a pool of 2 x 2
CLASSES = 10
RANDOM_BATCHES = 16  # that follow each other, so that no one gains by seeing one batch only


@dataclass(frozen=True)
class Workload:
    """A net, its data and its optimizer.

    With one output it ends in a sigmoid and the binary cross-entropy, else in a
    softmax and the cross-entropy. `image` is the side of a square image, for the
    convolutional net; its `sizes` are then those of the dense end.
    """

    name: str
    title: str
    sizes: tuple[int, ...]
    batch: int
    lr: float
    activation: str = "tanh"
    dtype: str = "float32"
    optimizer: str = "sgd"
    image: int = 0
    predicts: bool = False  # instead of training
    batches: int = RANDOM_BATCHES
    turns: int = 21
    check_steps: int = 20  # after which the losses must agree: more than there are batches

    @property
    def binary(self) -> bool:
        return self.sizes[-1] == 1


@dataclass(frozen=True)
class Problem:
    """A workload with numbers.

    `batches` has x, (batch, features) or (batch, 1, side, side), and y, (batch, 1)
    of zeros and ones or (batch,) of labels. `weights` has (out, in) and (out,) for
    each layer, and for a convolution first (out, in, 3, 3) and (out,).
    """

    workload: Workload
    batches: tuple[tuple[Array, Array], ...]
    weights: tuple[tuple[Array, Array], ...]

    def cycle(self) -> Iterator[tuple[Array, Array]]:
        """Yield the batches for ever."""
        return cycle(self.batches)


def _image_net(name: str, side: int, batch: int) -> Workload:
    flat = FILTERS[-1] * (side // 4) ** 2
    title = f"1-8-16 convolutional net, {side} x {side} images, batch {batch}, float32"
    return Workload(name, title, (flat, CLASSES), batch, 0.01, "relu", image=side)


_TWO = Workload(
    "W1", "2-4-1 tanh, 400 rows, full batch, float64", (2, 4, 1), 400, 1.2, dtype="float64"
)
_SMALL = Workload("W2", "64-128-64-1 tanh, batch 32, float32", (64, 128, 64, 1), 32, 0.05)
_DIGITS = Workload(
    "W3", "784-256-128-10 ReLU, batch 128, float32, SGD", (784, 256, 128, 10), 128, 0.01, "relu"
)
_WIDE = Workload(
    "W4",
    "1024-2048-2048-10 ReLU, batch 512, float32, SGD",
    (1024, 2048, 2048, 10),
    512,
    0.01,
    "relu",
    batches=2,
    turns=9,
    check_steps=4,
)


def _predicting(name: str, net: Workload, batch: int) -> Workload:
    title = f"prediction with the net of {net.name}, batch {batch}, float32"
    return replace(net, name=name, title=title, batch=batch, predicts=True, batches=1)


WORKLOADS = {
    workload.name: workload
    for workload in (
        replace(_TWO, batches=1),
        _SMALL,
        _DIGITS,
        replace(
            _DIGITS,
            name="W3-Adam",
            title="784-256-128-10 ReLU, batch 128, float32, Adam",
            optimizer="adam",
            lr=1e-3,
        ),
        _WIDE,
        _predicting("W5-W2-1", _SMALL, 1),
        _predicting("W5-W2-1024", _SMALL, 1024),
        _predicting("W5-W3-1", _DIGITS, 1),
        _predicting("W5-W3-1024", _DIGITS, 1024),
        _image_net("W6-8", 8, 64),
        _image_net("W6-28", 28, 64),
    )
}


def make_problem(workload: Workload) -> Problem:
    """Return the numbers of a workload."""
    return _notes_problem(workload) if workload.name == "W1" else _random_problem(workload)


def _notes_problem(workload: Workload) -> Problem:
    """Return the notes' flower and their start; they draw with NumPy's legacy generator."""
    rng = np.random.RandomState(1)
    points, labels = [], []
    for j in range(2):
        t = np.linspace(j * 3.12, (j + 1) * 3.12, 200) + 0.2 * rng.standard_normal(200)
        r = 4 * np.sin(4 * t) + 0.2 * rng.standard_normal(200)
        points.append(np.column_stack([r * np.sin(t), r * np.cos(t)]))
        labels.append(np.full((200, 1), float(j)))
    rng = np.random.RandomState(3)
    weights = tuple(
        (rng.standard_normal((n, k)) * 0.01, np.zeros(n)) for k, n in pairwise(workload.sizes)
    )
    return Problem(workload, ((np.concatenate(points), np.concatenate(labels)),), weights)


def _random_problem(workload: Workload) -> Problem:
    """Return noise with labels that are noise: the loss then stays away from 0."""
    rng = np.random.default_rng(0)
    dtype = np.dtype(workload.dtype)
    side = workload.image
    shape = (workload.batch, 1, side, side) if side else (workload.batch, workload.sizes[0])

    def batch() -> tuple[Array, Array]:
        x = rng.standard_normal(shape).astype(dtype)
        if workload.binary:
            return x, rng.integers(0, 2, (workload.batch, 1)).astype(dtype)
        return x, rng.integers(0, workload.sizes[-1], workload.batch)

    def layer(*shape: int) -> tuple[Array, Array]:
        fan_in = int(np.prod(shape[1:]))
        w = rng.standard_normal(shape) * np.sqrt(
            (2 if workload.activation == "relu" else 1) / fan_in
        )
        return w.astype(dtype), np.zeros(shape[0], dtype)

    convolutions = [layer(n, k, 3, 3) for k, n in pairwise((1, *FILTERS))] if side else []
    dense = [layer(n, k) for k, n in pairwise(workload.sizes)]
    batches = tuple(batch() for _ in range(workload.batches))
    return Problem(workload, batches, (*convolutions, *dense))
