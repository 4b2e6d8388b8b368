"""What `Trainer.fit` costs beyond the bare loop, and whether its memory grows.

    OPENBLAS_NUM_THREADS=1 .venv/bin/python tests/benchmarks/fit_overhead.py

A 64-128-64-1 network with tanh, float32, batches of 32, no metrics. The bare loop
draws the same orders and takes the same rows, ``forward``, ``backward``, ``step``; or,
in the second line, finds its batches cut before the clock starts. Both start from the
same weights and take turns in one run; what counts is the ratio of the two times of a
turn, and its median. They must end with the same bytes. Times are processor times, so
that other work on the machine disturbs them less.
"""

import gc
import os
import platform
import statistics
import time
import tracemalloc
from collections.abc import Callable

import numpy as np

from minifw import (
    SGD,
    Array,
    BCEWithLogitsLoss,
    Callback,
    Dense,
    Objective,
    Sequential,
    Tanh,
    Trainer,
    __version__,
)

ROWS, FEATURES, BATCH = 8000, 64, 32  # 250 steps an epoch
TURNS = 40  # enough that the quartiles of the ratio are stable to about 1 %
EPOCHS = 5  # a turn, some 100 ms: long beside the clock, short beside the machine's moods
LONG = 1000  # epochs over which memory is watched
SEED = 5


def network() -> tuple[Sequential, SGD]:
    f32 = np.float32
    model = Sequential(
        Dense(FEATURES, 128, rng=0, dtype=f32),
        Tanh(),
        Dense(128, 64, rng=1, dtype=f32),
        Tanh(),
        Dense(64, 1, rng=2, dtype=f32),
    )
    return model, SGD(model.parameters(), lr=0.01)


def parameters(model: Sequential) -> bytes:
    return b"".join(array.tobytes() for array in model.state_dict().values())


def data(rows: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, FEATURES)).astype(np.float32)
    return x, (x[:, :1] > 0).astype(np.float32)


def timed(run: Callable[[], object]) -> float:
    """Return the microseconds of a step."""
    start = time.process_time()
    run()
    return (time.process_time() - start) / (EPOCHS * -(-ROWS // BATCH)) * 1e6


def bare(x: Array, y: Array) -> tuple[float, bytes]:
    model, optimizer = network()
    objective, rng = Objective(model, BCEWithLogitsLoss()), np.random.default_rng(SEED)

    def run() -> None:
        for _ in range(EPOCHS):
            order = rng.permutation(len(x))
            for start in range(0, len(x), BATCH):
                rows = order[start : start + BATCH]
                objective.forward(x[rows], y[rows])
                objective.backward()
                optimizer.step()

    return timed(run), parameters(model)


def cut(x: Array, y: Array) -> tuple[float, bytes]:
    model, optimizer = network()
    objective, rng = Objective(model, BCEWithLogitsLoss()), np.random.default_rng(SEED)
    batches = []
    for _ in range(EPOCHS):
        order = rng.permutation(len(x))
        for start in range(0, len(x), BATCH):
            rows = order[start : start + BATCH]
            batches.append((x[rows], y[rows]))

    def run() -> None:
        for one_x, one_y in batches:
            objective.forward(one_x, one_y)
            objective.backward()
            optimizer.step()

    return timed(run), parameters(model)


def fit(x: Array, y: Array) -> tuple[float, bytes]:
    model, optimizer = network()
    trainer = Trainer(model, BCEWithLogitsLoss(), optimizer, rng=SEED)
    spent = timed(lambda: trainer.fit(x, y, epochs=EPOCHS, batch_size=BATCH))
    return spent, parameters(model)


def compare(name: str, loop: Callable[[Array, Array], tuple[float, bytes]]) -> None:
    x, y = data(ROWS)
    pairs = []
    for turn in range(TURNS):
        if turn % 2:
            (ours, end), (theirs, other) = fit(x, y), loop(x, y)
        else:
            (theirs, other), (ours, end) = loop(x, y), fit(x, y)
        if end != other:
            message = "fit and the bare loop end with different parameters"
            raise RuntimeError(message)
        pairs.append((ours, theirs))
    low, middle, high = statistics.quantiles([a / b for a, b in pairs], n=4)
    ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    print(
        f"{name}: {theirs:.1f} us a step; fit: {ours:.1f} us; "
        f"overhead {100 * (middle - 1):+.1f} % "
        f"(quartiles {100 * (low - 1):+.1f} and {100 * (high - 1):+.1f})"
    )


class Memory(Callback):
    """Notes how much memory Python holds at some epochs."""

    def __init__(self) -> None:
        self.held: dict[int, int] = {}

    def on_epoch_end(self, trainer: Trainer) -> None:
        if trainer.epoch in (LONG // 10, LONG):
            gc.collect()
            self.held[trainer.epoch] = tracemalloc.get_traced_memory()[0]


def memory() -> None:
    model, optimizer = network()
    x, y = data(100)
    watch = Memory()
    trainer = Trainer(
        model, BCEWithLogitsLoss(), optimizer, metrics=["accuracy"], callbacks=[watch], rng=SEED
    )
    tracemalloc.start()
    trainer.fit(x, y, epochs=LONG, validation=(x, y))
    tracemalloc.stop()
    first, last = watch.held[LONG // 10], watch.held[LONG]
    values = len(trainer.history.columns)
    print(
        f"memory after {LONG // 10} epochs {first / 1e6:.3f} MB, after {LONG} "
        f"{last / 1e6:.3f} MB: {(last - first) / (LONG - LONG // 10):.0f} bytes an epoch, "
        f"for {values} numbers of the history"
    )


def main() -> None:
    print(
        f"minifw {__version__}, NumPy {np.__version__}, Python {platform.python_version()}, "
        f"{platform.machine()}, {os.cpu_count()} processors"
    )
    compare("the bare loop", bare)
    compare("with batches cut before", cut)
    memory()


if __name__ == "__main__":
    main()
