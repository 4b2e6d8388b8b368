"""Diabetes: a network against a linear model, on a table where that is hard to beat.

    .venv/bin/python examples/diabetes.py
    .venv/bin/python examples/diabetes.py --folds 1 --epochs 20 --picture quick.png

The table of 442 patients comes with scikit-learn, the extra minifw[examples]; nothing is
downloaded. Ten measurements, among them the body mass index and the blood pressure, are to tell
how far the disease has gone a year later, a number from 25 to 346.

Each of five folds is held out once, and looked at when all is decided. Of the other rows three
quarters train, and the validation part says when to stop and which of WEIGHT_DECAYS to take: no
row that is held out has a say in that. (Width, learning rate and no dropout were set once for
all folds, by the validation loss of other cuts of the table.) scikit-learn's LinearRegression
has nothing to choose, and is fitted to the validation part, too.

The two come out alike, and which is ahead differs from fold to fold. Over all folds, the linear
model was ahead with each SPLIT_SEED from 0 to 4, by at most 0.4 in the RMSE of some 55: what
these ten measurements say of the disease is next to linear, and the rest is noise to both. A
network is worth its trouble where there is more to find, or more rows to find it in.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from minifw import (
    AdamW,
    Array,
    Dense,
    EarlyStopping,
    History,
    MSELoss,
    ReLU,
    Sequential,
    Trainer,
    metrics,
    plots,
)

BATCH = 32  # rows
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#666666"  # those of minifw.plots
EPOCHS = 200  # at most
FOLDS = 5
LEARNING_RATE = 0.01
LIMIT = 360  # of the axes of the picture: all that was measured is below
PATIENCE = 20  # epochs
PICTURE = "diabetes.png"
SPLIT_SEED = 0
TICKS = range(0, LIMIT, 100)
VALIDATION = 0.25  # of the rows that are not held out
WEIGHT_DECAYS = (0.01, 0.3, 1.0, 3.0)
WIDTH = 16  # units of the hidden layer

Rows: TypeAlias = npt.NDArray[np.intp]  # which ones, as indices


# %%
# What is kept
# ------------
# The outcome of one training, and the scale of the columns of its training part.


@dataclass
class Run:
    """One training: its model, what it brought, and the validation loss of its best epoch."""

    model: Sequential
    history: History
    decay: float
    epoch: int
    val_loss: float


@dataclass
class Scale:
    """Mean and standard deviation of the columns of a training part."""

    mean: Array
    std: Array

    @classmethod
    def of(cls, columns: Array) -> "Scale":
        """Measure."""
        return cls(columns.mean(axis=0), columns.std(axis=0))

    def shrink(self, columns: Array) -> Array:
        """Return them with mean 0 and variance 1, if they are those that were measured."""
        return (columns - self.mean) / self.std

    def stretch(self, columns: Array) -> Array:
        """Return them in their own units."""
        return columns * self.std + self.mean


# %%
# The data
# --------
# The table in its own units, and five folds of it.


def load() -> tuple[Array, Array]:
    """Return the measurements, (442, 10), and the progression, (442, 1)."""
    try:
        from sklearn.datasets import load_diabetes  # noqa: PLC0415 - optional
    except ImportError:
        sys.exit(
            "The table comes with scikit-learn; install the extra minifw[examples], "
            "in the folder of the clone: python -m pip install --editable '.[examples]'"
        )
    bunch = load_diabetes(scaled=False)  # for it scales by all rows, the held-out ones too
    return bunch.data, bunch.target[:, None]


def folds(rows: int) -> Iterator[tuple[Rows, Rows]]:
    """Yield the indices to learn from and those held out, for each fold."""
    from sklearn.model_selection import KFold  # noqa: PLC0415 - optional

    yield from KFold(FOLDS, shuffle=True, random_state=SPLIT_SEED).split(np.zeros(rows))


# %%
# Two models
# ----------
# The network is trained with each weight decay; the validation loss picks one. The linear model is
# scikit-learn's.


def train(x: Array, y: Array, validation: tuple[Array, Array], decay: float, epochs: int) -> Run:
    """Train with one weight decay, and stop early."""
    model = Sequential(Dense(x.shape[1], WIDTH, rng=0), ReLU(), Dense(WIDTH, 1, rng=1))
    optimizer = AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=decay)
    stopping = EarlyStopping(patience=PATIENCE)  # on val_loss; the best weights come back
    trainer = Trainer(model, MSELoss(), optimizer, callbacks=[stopping], rng=2)
    history = trainer.fit(x, y, epochs=epochs, batch_size=BATCH, validation=validation)
    return Run(model, history, decay, stopping.best_epoch, stopping.best)


def network(x: Array, y: Array, unseen: Array, epochs: int, seed: int) -> tuple[Array, Run]:
    """Choose a network by validation; return what it says of unseen rows, and its training."""
    from sklearn.model_selection import train_test_split  # noqa: PLC0415 - optional

    x_train, x_val, y_train, y_val = train_test_split(
        x, y, test_size=VALIDATION, random_state=seed
    )
    inputs, targets = Scale.of(x_train), Scale.of(y_train)
    validation = inputs.shrink(x_val), targets.shrink(y_val)
    known = inputs.shrink(x_train), targets.shrink(y_train)
    runs = [train(*known, validation, decay, epochs) for decay in WEIGHT_DECAYS]
    best = min(runs, key=lambda run: run.val_loss)
    return targets.stretch(best.model.predict(inputs.shrink(unseen))), best


def linear(x: Array, y: Array, unseen: Array) -> Array:
    """Return what scikit-learn's least squares say of unseen rows."""
    from sklearn.linear_model import LinearRegression  # noqa: PLC0415 - optional

    said: Array = LinearRegression().fit(x, y).predict(unseen)
    return said


# %%
# The comparison
# --------------
# RMSE and R2 of both, and whether their difference is larger than its standard error.


def scores(said: Array, y: Array) -> tuple[float, float]:
    """Return the root of the mean squared error, in the units of y, and R2."""
    return metrics.mse(said, y) ** 0.5, metrics.r2(said, y)


def row(*answers: Array, target: Array) -> str:
    """Return RMSE and R2 of each as columns."""
    return "".join("{:8.1f}{:8.3f}  ".format(*scores(said, target)) for said in answers)


def compare(answers: dict[str, Array], y: Array) -> str:
    """Say in a sentence whether the two differ by more than chance."""
    squares = [(said - y) ** 2 for said in answers.values()]
    difference = squares[0] - squares[1]  # on the same patient
    error = difference.std(ddof=1) / len(y) ** 0.5
    return (
        f"Squared errors, network minus linear regression, over {len(y)} patients: "
        f"{difference.mean():.0f}, with a standard error of {error:.0f}."
    )


# %%
# The picture
# -----------
# One training, and the predictions of both models against the measured values.


def draw(history: History, answers: dict[str, Array], y: Array, path: str) -> None:
    """Write a picture of one training and of what was predicted, if matplotlib is there."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - optional
    except ImportError:
        print(
            f"For the picture, {path}, install the extra minifw[examples]; "
            "in the folder of the clone: python -m pip install --editable '.[examples]'"
        )
        return
    figure: Any = Figure(figsize=(13, 4.3), layout="constrained")
    figure.get_layout_engine().set(wspace=0.05)
    left, *panels = figure.subplots(1, 1 + len(answers), width_ratios=(1.2, 1, 1))
    plots.learning_curves(history, ax=left)
    left.set_ylabel("loss in the first fold")
    for panel, (name, said), color in zip(panels, answers.items(), (BLUE, ORANGE), strict=True):
        error, r2 = scores(said, y)
        panel.axline((0, 0), slope=1, color=GREY, linewidth=1, linestyle=":")
        panel.scatter(y, said, s=16, color=color, alpha=0.55, linewidths=0)
        panel.set(xlim=(0, LIMIT), ylim=(0, LIMIT), xticks=TICKS, yticks=TICKS, aspect="equal")
        panel.set_title(f"{name}: R2 {r2:.3f}, RMSE {error:.1f}", fontsize=11, loc="left")
        panel.set_xlabel("measured", fontsize=11)
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("predicted, when held out", fontsize=11)
    try:
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:  # no such folder, no such format
        sys.exit(f"The picture could not be written: {error}")
    print(f"Picture: {path}")


# %%
# All folds
# ---------
# Each fold is held out once.


def main() -> None:
    """Train, print and draw."""
    parser = argparse.ArgumentParser(description="Diabetes: a network against a linear model.")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=f"at most; default {EPOCHS}")
    parser.add_argument(
        "--folds", type=int, default=FOLDS, help=f"how many of the {FOLDS} (default all)"
    )
    parser.add_argument("--picture", metavar="PATH", default=PICTURE, help=f"default {PICTURE}")
    options = parser.parse_args()
    if options.epochs < 1:
        parser.error("--epochs must be at least 1")
    if not 1 <= options.folds <= FOLDS:
        parser.error(f"--folds must be from 1 to {FOLDS}")
    x, y = load()
    print(f"{'':8}{'network':^18}{'linear regression':^18}{'chosen by validation':>24}")
    print(f"{'fold':8}" + 2 * f"{'RMSE':>8}{'R2':>8}  " + f"{'weight decay':>15}{'epoch':>9}")
    measured, by_network, by_linear, histories = [], [], [], []
    for fold, (seen, unseen) in enumerate(folds(len(x))):
        if fold == options.folds:
            break
        said, run = network(x[seen], y[seen], x[unseen], options.epochs, seed=fold)
        measured.append(y[unseen])
        by_network.append(said)
        by_linear.append(linear(x[seen], y[seen], x[unseen]))
        histories.append(run.history)
        cells = row(by_network[-1], by_linear[-1], target=y[unseen])
        print(f"{fold + 1:<8}{cells}{run.decay:15g}{run.epoch:9d}")
    target = np.concatenate(measured)
    answers = {
        "Network": np.concatenate(by_network),
        "Linear regression": np.concatenate(by_linear),
    }
    print(f"{'all':8}{row(*answers.values(), target=target)}".rstrip())
    print(f"\n{compare(answers, target)}")
    draw(histories[0], answers, target, options.picture)


if __name__ == "__main__":
    main()
