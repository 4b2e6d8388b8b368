"""What an all-reduce takes, and a step of data-parallel training, against the cost model.

``mpirun -n 2 python tests/benchmarks/all_reduce.py``: rank 0 prints the tables that
``docs/scaling.md`` shows. Every time is the least of many, for other work on the machine
makes some of them longer and none shorter.
"""

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from mpi4py import MPI

from minifw import SGD, CrossEntropyLoss, Dense, Objective, ReLU, Sequential
from minifw.interop.mpi import DataParallel

LENGTHS = (10, 100, 1000, 10_000, 100_000, 1_000_000)
BATCHES = (16, 64, 256, 1024)
SECONDS = 0.5  # for each figure


def least(work: Callable[[], object]) -> float:
    """Return the least time of a call over all repetitions, of the slowest rank."""
    comm = MPI.COMM_WORLD
    work()
    comm.Barrier()
    start = time.perf_counter()
    work()
    once = comm.allreduce(time.perf_counter() - start, op=MPI.MAX)
    best = math.inf
    for _ in range(max(5, min(1000, int(SECONDS / once)))):
        comm.Barrier()
        start = time.perf_counter()
        work()
        best = min(best, comm.allreduce(time.perf_counter() - start, op=MPI.MAX))
    return best


def main() -> None:
    """Measure, fit latency and bandwidth, and print both beside each other."""
    comm = MPI.COMM_WORLD
    ranks = comm.size
    rounds, share = math.ceil(math.log2(ranks)), 2 * (ranks - 1) / ranks
    times = [least(partial(comm.Allreduce, MPI.IN_PLACE, np.zeros(n))) for n in LENGTHS]
    if comm.rank == 0 and ranks > 1:
        # relative errors count alike, so that the short vectors tell the latency
        sizes = np.array([8.0 * share * n for n in LENGTHS])
        columns = np.stack([np.full(len(sizes), float(rounds)), sizes], axis=1)
        weights = 1 / np.array(times)
        (alpha, beta), *_ = np.linalg.lstsq(columns * weights[:, None], np.ones(len(sizes)))
        print(f"{ranks} ranks: alpha {alpha * 1e6:.1f} us, 1/beta {1e-9 / beta:.2f} GB/s")
        print(f"{'numbers':>10} {'measured us':>12} {'model us':>10}")
        for length, taken, model in zip(LENGTHS, times, columns @ [alpha, beta], strict=True):
            print(f"{length:10,} {taken * 1e6:12.1f} {model * 1e6:10.1f}")
    rng = np.random.default_rng(0)
    network = Sequential(
        Dense(784, 256, rng=0), ReLU(), Dense(256, 128, rng=1), ReLU(), Dense(128, 10, rng=2)
    )
    objective = Objective(network, CrossEntropyLoss())
    parallel = DataParallel(SGD(network.parameters(), lr=1e-6))
    gradient = sum(p.size for p in network.parameters())
    buffer = np.zeros(gradient + 5)
    reduce = least(lambda: comm.Allreduce(MPI.IN_PLACE, buffer)) if ranks > 1 else 0.0
    if comm.rank == 0:
        print(f"784-256-128-10, {gradient:,} numbers: all-reduce {reduce * 1e3:.2f} ms")
        print(f"{'batch':>6} {'step ms':>8}")
    for batch in BATCHES:
        x, y = rng.standard_normal((batch, 784)), rng.integers(0, 10, batch)

        def step(x: Any = x, y: Any = y) -> None:
            parallel.gradient(objective, x, y)
            parallel.step()

        taken = least(step)
        if comm.rank == 0:
            print(f"{batch:6} {taken * 1e3:8.2f}", flush=True)


if __name__ == "__main__":
    main()
