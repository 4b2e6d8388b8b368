"""Runs of tests/training/test_resumption.py, interrupted and gone on with in two processes.

    python tests/support/resumption.py FOLDER NAME...

goes on from FOLDER/NAME.npz with each run, and prints what it ends with, as JSON.
"""

import hashlib
import json
import sys
import zlib
from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from cases import OPTIMIZER_CASES

from minifw import (
    Array,
    Average,
    BatchNorm,
    BCEWithLogitsLoss,
    Callback,
    CosineCyclesLR,
    CosineLR,
    Dense,
    Dropout,
    EarlyStopping,
    ExponentialLR,
    History,
    LinearWarmup,
    OneCycleLR,
    Optimizer,
    ReduceOnPlateau,
    Scheduled,
    Sequential,
    StepLR,
    Tanh,
    Trainer,
)

SCHEDULES: dict[str, Callable[[Optimizer], Scheduled]] = {
    "StepLR": lambda optimizer: Scheduled(StepLR(optimizer, 2)),
    "ExponentialLR": lambda optimizer: Scheduled(ExponentialLR(optimizer, 0.9), per="batch"),
    "CosineCyclesLR": lambda optimizer: Scheduled(
        CosineCyclesLR(optimizer, 16, cycles=2), per="batch"
    ),
    "CosineLR": lambda optimizer: Scheduled(CosineLR(optimizer, 16), per="batch"),
    "LinearWarmup": lambda optimizer: Scheduled(
        LinearWarmup(optimizer, 6, then=CosineLR(optimizer, 10)), per="batch"
    ),
    "OneCycleLR": lambda optimizer: Scheduled(OneCycleLR(optimizer, 0.05, 16), per="batch"),
    "ReduceOnPlateau": lambda optimizer: Scheduled(ReduceOnPlateau(optimizer, patience=0)),
}
# Every optimizer, and every schedule with two or more of them.
NAMES = [f"{one} with {by}" for one, by in zip(OPTIMIZER_CASES, cycle(SCHEDULES), strict=False)]
EVENTS = ["fit_begin", "epoch_begin", "batch_end", "validation_begin", "epoch_end"]

EPOCHS, BATCHES = 4, 4
_RNG = np.random.default_rng(0)
X = _RNG.standard_normal((50, 3))
Y = (X[:, :1] + 0.5 * _RNG.standard_normal((50, 1)) > 0).astype(float)
WEIGHT = _RNG.random(50)


class Halt(Exception):  # noqa: N818 - no error
    """What ends a run that is to be gone on with elsewhere."""


class Save(Callback):
    """Saves a checkpoint in one of the hooks, the `count`-th time, and ends the run."""

    def __init__(self, path: Path, event: str, count: int) -> None:
        self.path, self.event, self.count = path, event, count

    def _heard(self, event: str, trainer: Trainer) -> None:
        if event == self.event:
            self.count -= 1
            if not self.count:
                trainer.save_checkpoint(self.path)
                raise Halt

    def on_fit_begin(self, trainer: Trainer) -> None:
        self._heard("fit_begin", trainer)

    def on_epoch_begin(self, trainer: Trainer) -> None:
        self._heard("epoch_begin", trainer)

    def on_batch_end(self, trainer: Trainer) -> None:
        self._heard("batch_end", trainer)

    def on_validation_begin(self, trainer: Trainer) -> None:
        self._heard("validation_begin", trainer)

    def on_epoch_end(self, trainer: Trainer) -> None:
        self._heard("epoch_end", trainer)


class Noise(Callback):
    """Moves the weights a little before every step, by a generator of its own."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(11)

    def on_epoch_begin(self, trainer: Trainer) -> None:
        for parameter in trainer.model.parameters():
            parameter.value += 1e-3 * self.rng.standard_normal(parameter.shape)


def spread(prediction: Array, target: Array) -> float:
    """Return a metric of one's own, which needs all examples at once."""
    return float(np.std(prediction - target))


def trainer(
    name: str, *, before: Sequence[Callback] = (), after: Sequence[Callback] = (), seed: int = 0
) -> Trainer:
    """Return the trainer of a run, with callbacks before and after its own."""
    optimizer, schedule = name.split(" with ")
    model = Sequential(
        Dense(3, 8, rng=seed),
        BatchNorm(8),
        Tanh(),
        Dropout(0.3, rng=seed + 7),
        Dense(8, 1, rng=seed + 1),
    )
    stepper = OPTIMIZER_CASES[optimizer](model.parameters())
    own = [Average(0.5, start=1), Noise(), SCHEDULES[schedule](stepper), EarlyStopping(patience=3)]
    return Trainer(
        model,
        BCEWithLogitsLoss(),
        stepper,
        metrics=["accuracy", "roc_auc", "r2", spread],
        callbacks=[*before, *own, *after],
        rng=seed + 5,
    )


def fit(one: Trainer) -> History:
    return one.fit(
        X, Y, epochs=EPOCHS, batch_size=16, validation=(X[:20], Y[:20]), sample_weight=WEIGHT
    )


def resumed(name: str, path: Path) -> str:
    """Return the end of a run that goes on from a checkpoint, in a trainer of other numbers."""
    one = trainer(name, seed=99)
    one.load_checkpoint(path)
    fit(one)
    return digest(one)


def digest(one: Trainer) -> str:
    """Return a digest of every byte that a run ends with."""
    found = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, dict):
            for key in sorted(value):
                found.update(str(key).encode())
                add(value[key])
        elif isinstance(value, np.ndarray):
            found.update(f"{value.dtype}{value.shape}".encode())
            found.update(value.tobytes())
        elif isinstance(value, list | tuple):
            for item in value:
                add(item)
        else:
            found.update(repr(value).encode())

    add(one.model.state_dict())
    add(one.optimizer.state_dict())
    add(one.history.state_dict())
    add([callback.state_dict() for callback in one.callbacks if callback.state_dict()])
    add(
        [
            one.rng.bit_generator.state,
            vars(dict(one.model.named_layers())["3"])["rng"].bit_generator.state,
        ]
    )
    add(next(c for c in one.callbacks if isinstance(c, Noise)).rng.bit_generator.state)
    return found.hexdigest()


def luck(name: str) -> np.random.Generator:
    """Return a generator of its own for each run, the same in every process."""
    return np.random.default_rng(zlib.crc32(name.encode()))


if __name__ == "__main__":
    folder, *names = sys.argv[1:]
    ends = {name: resumed(name, Path(folder) / f"{name}.npz") for name in names}
    print(json.dumps(ends))
