"""Data-parallel training: one batch on several processes or machines at once.

    mpirun -n 4 python data_parallel.py

It needs the extra ``minifw[mpi]``, which brings an MPI and its ``mpirun``. Without ``mpirun`` the
same script trains in one process, and ends with the same cost: the batches are the same, and
only their rows are shared out. ``docs/scaling.md`` says when that pays.
"""

import argparse
import sys
import time

from minifw import Adam, BCELoss, Dense, Progress, Sequential, Sigmoid, Tanh, Trainer
from minifw.datasets import planar_flower
from minifw.interop.mpi import DataParallel

# %%
# Wrap the optimizer
# ------------------
# `DataParallel` adds up the gradients of all processes before each step. The rest is a training
# as in one process.


def main() -> None:
    """Train on the flower, and print what rank 0 has seen."""
    parser = argparse.ArgumentParser(description="Data-parallel training on MPI.")
    parser.add_argument("--epochs", type=int, default=50)
    epochs = parser.parse_args().epochs
    if epochs < 1:
        parser.error("--epochs must be at least 1")

    x, y = planar_flower()  # every rank has all rows, and works on its own of each batch
    model = Sequential(
        Dense(2, 64, rng=0), Tanh(), Dense(64, 64, rng=1), Tanh(), Dense(64, 1, rng=2), Sigmoid()
    )
    try:
        parallel = DataParallel(Adam(model.parameters(), lr=0.01))
    except ImportError as error:
        sys.exit(str(error))
    trainer = Trainer(
        model,
        BCELoss(),
        parallel,
        metrics=["accuracy"],
        callbacks=[Progress(every=max(1, epochs // 4))],  # it prints on rank 0 alone
        rng=3,
    )
    start = time.perf_counter()
    history = trainer.fit(
        x[::2], y[::2], epochs=epochs, batch_size=50, validation=(x[1::2], y[1::2])
    )
    seconds = time.perf_counter() - start
    if parallel.main:
        print(f"Ranks: {parallel.size}, seconds: {seconds:.2f}")
        print(f"Loss: {history.last['loss']:.6f}")


if __name__ == "__main__":
    main()
