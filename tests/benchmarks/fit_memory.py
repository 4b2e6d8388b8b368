"""Whether the memory of `Trainer.fit` grows over many epochs; its time is in W9.

.venv/bin/python tests/benchmarks/fit_memory.py
"""

import gc
import tracemalloc

import numpy as np

from minifw import SGD, BCEWithLogitsLoss, Callback, Dense, Sequential, Tanh, Trainer

ROWS, FEATURES = 100, 64
LONG = 1000  # epochs over which memory is watched


class Memory(Callback):
    """Notes how much memory Python holds at some epochs."""

    def __init__(self) -> None:
        self.held: dict[int, int] = {}

    def on_epoch_end(self, trainer: Trainer) -> None:
        if trainer.epoch in (LONG // 10, LONG):
            gc.collect()
            self.held[trainer.epoch] = tracemalloc.get_traced_memory()[0]


def main() -> None:
    """Print what is held after a tenth of the epochs, and after all."""
    model = Sequential(Dense(FEATURES, 16, rng=0), Tanh(), Dense(16, 1, rng=1))
    optimizer = SGD(model.parameters(), lr=0.01)
    x = np.random.default_rng(0).standard_normal((ROWS, FEATURES))
    y = (x[:, :1] > 0).astype(float)
    watch = Memory()
    trainer = Trainer(
        model, BCEWithLogitsLoss(), optimizer, metrics=["accuracy"], callbacks=[watch], rng=5
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


if __name__ == "__main__":
    main()
