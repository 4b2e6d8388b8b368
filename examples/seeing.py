"""Seeing a network: its summary, every value of a step, and six pictures.

    python examples/seeing.py [--folder PATH]

It trains the notes' network on the flower, a wider one for the histograms, and attention that
turns words around. The
pictures of docs/seeing.md are its own: it was run with --folder docs/images. Without
matplotlib it prints the two tables, and says how to get the pictures.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from minifw import (
    SGD,
    Adam,
    Array,
    BCELoss,
    CrossEntropyLoss,
    Dense,
    Embedding,
    MultiHeadAttention,
    Objective,
    Positions,
    Sequential,
    Sigmoid,
    Tanh,
    plots,
    summary,
    trace,
)
from minifw.datasets import planar_flower

ITERATIONS, LR = 10_000, 1.2  # as in the notes
EVERY = 100  # iterations for one point of a curve
WIDE_ITERATIONS, WIDE_LR = 1_000, 0.003
WIDE_EVERY = 10  # iterations for one column of the histograms
WORD, WORD_ITERATIONS, WORD_LR = "backward", 200, 0.01


# %%
# Three networks
# --------------
# The network of the notes, a wider one, and attention that writes a word backwards.


def notes_network() -> Sequential:
    """Return the network with the notes' start: seed 3, W1 drawn before W2, times 0.01."""
    model = Sequential(Dense(2, 4), Tanh(), Dense(4, 1), Sigmoid())
    rng = np.random.RandomState(3)
    model[0].weight.value = rng.standard_normal((4, 2)) * 0.01
    model[2].weight.value = rng.standard_normal((1, 4)) * 0.01
    return model


def accuracy(prediction: Array, y: Array) -> float:
    """Return the share of predictions on the right side of 1/2."""
    return float(np.mean((prediction > 0.5) == (y > 0.5)))


def train(model: Sequential, x: Array, y: Array) -> dict[str, list[float]]:
    """Train by gradient descent; return curves of these points and of a second flower."""
    other_x, other_y = planar_flower(rng=2)  # for validation
    objective = Objective(model, BCELoss())
    optimizer = SGD(model.parameters(), lr=LR)
    names = "iteration", "loss", "val_loss", "accuracy", "val_accuracy"
    curves: dict[str, list[float]] = {name: [] for name in names}
    for iteration in range(ITERATIONS):
        if iteration % EVERY == 0:
            val_loss = objective.forward(other_x, other_y)
            val_accuracy = accuracy(objective.prediction, other_y)
        cost = objective.forward(x, y)
        if iteration % EVERY == 0:
            share = accuracy(objective.prediction, y)
            values = iteration, cost, val_loss, share, val_accuracy
            for name, value in zip(names, values, strict=True):
                curves[name].append(value)
        objective.backward()
        optimizer.step()
    return curves


def record_wide(x: Array, y: Array) -> plots.ParameterHistory:
    """Train a wider network, and record how its weights and gradients are spread."""
    model = Sequential(
        Dense(2, 32, rng=1),
        Tanh(),
        Dense(32, 32, rng=2),
        Tanh(),
        Dense(32, 1, rng=3),
        Sigmoid(),
    )
    objective = Objective(model, BCELoss())
    optimizer = Adam(model.parameters(), lr=WIDE_LR)
    record = plots.ParameterHistory(model, every=WIDE_EVERY)
    for _ in range(WIDE_ITERATIONS):
        objective.forward(x, y)
        objective.backward()
        record()
        optimizer.step()
    return record


def turn_around() -> MultiHeadAttention:
    """Train attention to write words backward, and let it read one."""
    attention = MultiHeadAttention(32, 2, rng=1)
    model = Sequential(
        Embedding(26, 32, rng=2),
        Positions(len(WORD), 32, rng=3),
        attention,
        Dense(32, 26, rng=4),
    )
    objective = Objective(model, CrossEntropyLoss())
    optimizer = Adam(model.parameters(), lr=WORD_LR)
    rng = np.random.default_rng(0)
    for _ in range(WORD_ITERATIONS):
        words = rng.integers(0, 26, (32, len(WORD)))
        objective.forward(words, words[:, ::-1])
        objective.backward()
        optimizer.step()
    model.forward(np.array([[ord(letter) - ord("a") for letter in WORD]]))
    return attention


# %%
# The pictures
# ------------
# One call of `minifw.plots` for each.


def draw(folder: Path, x: Array, y: Array) -> None:
    """Train, and write the pictures."""
    model = notes_network()
    curves = train(model, x, y)
    plots.learning_curves(curves, folder / "curves.png")
    plots.decision_boundary(model, x, y, folder / "boundary.png")
    plots.network(model, folder / "network.png")
    names = ["class 0", "class 1"]
    plots.confusion_matrix(y, model.forward(x) > 0.5, names, folder / "confusion.png")
    chosen = ["0.weight", "2.weight", "4.weight"]
    plots.histograms(record_wide(x, y), folder / "histograms.png", names=chosen)
    plots.attention(turn_around(), path=folder / "attention.png", tokens=WORD)
    print(f"Pictures: {', '.join(sorted(path.name for path in folder.glob('*.png')))}")


# %%
# Tables first
# ------------
# `summary` lists the layers; `trace` lists every value of one step.


def main() -> None:
    """Print the tables, then train and draw."""
    parser = argparse.ArgumentParser(description="What can be seen of a network.")
    parser.add_argument("--folder", default=".", help="of the pictures (default: here)")
    folder = Path(parser.parse_args().folder)
    x, y = planar_flower()
    model = notes_network()
    print(summary(model, (2,)), end="\n\n")
    print(trace(Objective(model, BCELoss()), x, y), end="\n\n")
    try:
        draw(folder, x, y)
    except ImportError as error:
        print(f"No pictures: {error}")
    except OSError as error:  # no such folder
        sys.exit(f"The pictures could not be written: {error}")


if __name__ == "__main__":
    main()
