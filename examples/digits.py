"""Handwritten digits: a multilayer perceptron and a small convolutional network.

    .venv/bin/python examples/digits.py
    .venv/bin/python examples/digits.py --splits 1 --epochs 5 --picture quick.png

The 1,797 images of 8 x 8 pixels come with scikit-learn, the extra minifw[examples];
nothing is downloaded. Each network is trained five times, on four fifths of the images,
and reads the fifth that it has not seen; the five splits are stratified, so that in the end
every image was held out once. The table has the share that was read right, and the picture the
images that the convolutional network misread, if matplotlib is there.

Widths, depth, dropout, learning rate, batch and epochs were chosen by what they did on other
splits of the same images, from other weights (SPLITS_SEED 101, 102 and 103), before anything
was run on the splits of the table.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from minifw import (
    Adam,
    Array,
    Conv2D,
    CrossEntropyLoss,
    Dense,
    Dropout,
    Flatten,
    HeNormal,
    MaxPool2D,
    Objective,
    OneCycleLR,
    ReLU,
    Sequential,
    Softmax,
)

BATCH = 64  # images
CLASSES = 10
COLUMNS = 6  # of misread images in the picture
DTYPE = np.float32  # the noise of a batch is far above its rounding
EPOCHS = 20
LEARNING_RATE = 0.01  # of Adam, at the top of its one cycle
PICTURE = "digits.png"
PIXELS = 8  # in a row and in a column
ROWS = 3  # of misread images
SPLITS = 5
SPLITS_SEED = 0
WHITE = 16.0  # the largest value of a pixel

Build: TypeAlias = Callable[[np.random.Generator], Sequential]
Rows: TypeAlias = npt.NDArray[np.intp]  # which ones, as indices


# %%
# Two networks
# ------------
# A multilayer perceptron with 50,826 parameters, and a convolutional network with 9,930.


def perceptron(rng: np.random.Generator) -> Sequential:
    """Build a multilayer perceptron: every unit of a layer looks at all of the one before."""
    return Sequential(
        Flatten(),  # (batch, 1, 8, 8) becomes (batch, 64)
        Dense(PIXELS * PIXELS, 256, init=HeNormal(), dtype=DTYPE, rng=rng),
        ReLU(),
        Dropout(0.5, rng=rng),
        Dense(256, 128, init=HeNormal(), dtype=DTYPE, rng=rng),
        ReLU(),
        Dense(128, CLASSES, dtype=DTYPE, rng=rng),  # logits
    )


def convolutional(rng: np.random.Generator) -> Sequential:
    """Build a convolutional network: a unit looks at 3 x 3 pixels, and the same everywhere."""
    return Sequential(
        Conv2D(1, 16, 3, padding=1, init=HeNormal(), dtype=DTYPE, rng=rng),  # (batch, 16, 8, 8)
        ReLU(),
        Conv2D(16, 32, 3, padding=1, init=HeNormal(), dtype=DTYPE, rng=rng),  # (batch, 32, 8, 8)
        ReLU(),
        MaxPool2D(2),  # (batch, 32, 4, 4)
        Flatten(),  # (batch, 512)
        Dropout(0.5, rng=rng),
        Dense(512, CLASSES, dtype=DTYPE, rng=rng),  # logits
    )


NETWORKS: dict[str, Build] = {
    "multilayer perceptron": perceptron,
    "convolutional network": convolutional,
}


# %%
# The data and its splits
# -----------------------
# The images come with scikit-learn. Five stratified splits hold out each image once.


@dataclass
class Outcome:
    """What one network did: the model of the last split, and what all said to held-out images."""

    model: Sequential
    held_out: Rows  # (images,), which ones
    probabilities: Array  # (images, classes)


def load() -> tuple[Array, Array]:
    """Return the images, (1797, 1, 8, 8) from 0 to 1, and their digits, (1797,)."""
    try:
        from sklearn.datasets import load_digits  # noqa: PLC0415 - optional
    except ImportError:
        sys.exit(
            "The images come with scikit-learn; install the extra minifw[examples], "
            "in the folder of the clone: python -m pip install --editable '.[examples]'"
        )
    bunch = load_digits()
    images: Array = bunch.images[:, None] / WHITE
    digits: Array = bunch.target
    return images.astype(DTYPE), digits


def folds(digits: Array) -> Iterator[tuple[Rows, Rows]]:
    """Yield the indices to train on and those held out, for each split."""
    from sklearn.model_selection import StratifiedKFold  # noqa: PLC0415 - optional

    splitter = StratifiedKFold(SPLITS, shuffle=True, random_state=SPLITS_SEED)
    yield from splitter.split(digits, digits)


# %%
# Training and prediction
# -----------------------
# A loop over mini-batches: forward, backward, a step of Adam, a step of the schedule.


def train(model: Sequential, x: Array, y: Array, epochs: int, rng: np.random.Generator) -> None:
    """Train by Adam on mini-batches, the learning rate going up and down once."""
    objective = Objective(model, CrossEntropyLoss())
    optimizer = Adam(model.parameters(), lr=LEARNING_RATE)
    batches = -(-len(x) // BATCH)  # rounded up
    schedule = OneCycleLR(optimizer, max_lr=LEARNING_RATE, total_steps=epochs * batches)
    for _ in range(epochs):
        for rows in np.array_split(rng.permutation(len(x)), batches):
            objective.forward(x[rows], y[rows])
            objective.backward()
            optimizer.step()
            schedule.step()


def predict(model: Sequential, x: Array) -> Array:
    """Return the probability of each class, (images, classes)."""
    logits = model.eval().forward(x)  # eval: no dropout
    return Softmax().forward(logits)


def cross_validate(build: Build, x: Array, y: Array, *, epochs: int, splits: int) -> Outcome:
    """Train on each split anew, and print the accuracies as they come."""
    start = time.perf_counter()
    held_out, probabilities, accuracies = [], [], []
    for split, (seen, unseen) in enumerate(folds(y)):
        if split == splits:
            break
        rng = np.random.default_rng([SPLITS_SEED, split])  # weights, dropout, order
        model = build(rng)
        if split == 0:
            print(f"{model.count_params():>10,}", end="", flush=True)
        train(model, x[seen], y[seen], epochs, rng)
        held_out.append(unseen)
        probabilities.append(predict(model, x[unseen]))
        accuracies.append(np.mean(probabilities[-1].argmax(axis=1) == y[unseen]))
        print(f"{accuracies[-1]:9.2%}", end="", flush=True)
    print(f"{np.mean(accuracies):10.2%}{time.perf_counter() - start:9.1f}")
    return Outcome(model, np.concatenate(held_out), np.concatenate(probabilities))


# %%
# The picture
# -----------
# The misread images, the surest mistakes first, and the filters of the first layer.


def draw(outcomes: dict[str, Outcome], x: Array, y: Array, path: str) -> None:
    """Write a picture of mistakes and of first layers, if matplotlib is there."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - optional
    except ImportError:
        print(
            f"For the picture, {path}, install the extra minifw[examples]; "
            "in the folder of the clone: python -m pip install --editable '.[examples]'"
        )
        return
    outcome = outcomes["convolutional network"]
    figure: Any = Figure(figsize=(12, 4.6), layout="constrained")
    left, right = figure.subfigures(1, 2, wspace=0.04)
    draw_mistakes(left, outcome, x, y)
    draw_filters(right, outcome.model, x[y == 0][:1])  # a 0 has edges in all directions
    try:
        figure.savefig(path, dpi=150, format=Path(path).suffix[1:] or "png")
    except (OSError, ValueError) as error:  # no such folder, no such format
        sys.exit(f"The picture could not be written: {error}")
    print(f"Picture: {path}")


def draw_mistakes(figure: Any, outcome: Outcome, x: Array, y: Array) -> None:
    """Draw the images that were misread, the surest mistakes first."""
    said, sure = outcome.probabilities.argmax(axis=1), outcome.probabilities.max(axis=1)
    wrong = np.flatnonzero(said != y[outcome.held_out])
    wrong = wrong[np.argsort(-sure[wrong])]
    surest = f" (the surest {ROWS * COLUMNS})" if len(wrong) > ROWS * COLUMNS else ""
    figure.suptitle(
        f"The convolutional network misread {len(wrong)} of {len(said):,} images{surest}"
    )
    panels = list(figure.subplots(ROWS, COLUMNS).flat)
    for panel, index in zip(panels, wrong, strict=False):
        image = outcome.held_out[index]
        show(panel, x[image, 0], cmap="gray_r", vmin=0, vmax=1)
        panel.set_title(f"{y[image]} read as {said[index]}", fontsize=9)
        panel.set_xlabel(f"p = {sure[index]:.2f}", fontsize=8)
    for panel in panels[len(wrong) :]:
        panel.set_axis_off()


def draw_filters(figure: Any, model: Sequential, image: Array) -> None:
    """Draw the filters of the first layer, and below each what it sees in the image of a 0."""
    filters = model[0].parameters()[0].value[:, 0]  # (16, 3, 3): the weight
    maps = model[:2].forward(image)[0]  # (16, 8, 8): after the ReLU
    figure.suptitle(f"The {len(filters)} filters of its first layer, and what each sees in a 0")
    half = len(filters) // 2
    for part, rows in zip(figure.subfigures(2, 1), (slice(half), slice(half, None)), strict=True):
        panels = part.subplots(2, half)
        for upper, lower, weight, seen in zip(*panels, filters[rows], maps[rows], strict=True):
            largest = np.abs(weight).max()
            show(upper, weight, cmap="RdBu_r", vmin=-largest, vmax=largest)  # blue is below 0
            show(lower, seen, cmap="gray_r", vmin=0)
            upper.set_anchor("S")  # close together
            lower.set_anchor("N")


def show(panel: Any, image: Array, **colors: Any) -> None:
    """Draw one small image, without ticks and in a thin frame."""
    panel.imshow(image, **colors)
    panel.set(xticks=[], yticks=[])
    panel.spines[:].set(color="0.7", linewidth=0.5)


# %%
# Cross-validate both
# -------------------
# The table has the accuracy of each split, and the mean.


def main() -> None:
    """Train, print and draw."""
    parser = argparse.ArgumentParser(description="Handwritten digits, read by two networks.")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=f"default {EPOCHS}")
    parser.add_argument(
        "--splits", type=int, default=SPLITS, help=f"how many of the {SPLITS} (default all)"
    )
    parser.add_argument("--picture", metavar="PATH", default=PICTURE, help=f"default {PICTURE}")
    options = parser.parse_args()
    if options.epochs < 1:
        parser.error("--epochs must be at least 1")
    if not 1 <= options.splits <= SPLITS:
        parser.error(f"--splits must be from 1 to {SPLITS}")
    x, y = load()
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 - comes with scikit-learn

    names = "".join(f"{f'split {split}':>9}" for split in range(1, options.splits + 1))
    print(f"{'':21}{'parameters':>11}{names}{'mean':>9}{'seconds':>9}")
    outcomes = {}
    for name, build in NETWORKS.items():
        print(f"{name:21}", end="", flush=True)
        with threadpool_limits(limits=1):  # threads wait for each other in products so small
            outcomes[name] = cross_validate(
                build, x, y, epochs=options.epochs, splits=options.splits
            )
    draw(outcomes, x, y, options.picture)


if __name__ == "__main__":
    main()
