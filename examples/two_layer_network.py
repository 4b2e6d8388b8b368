"""The two-layer network of the notes: trained on the planar flower, step by step.

    .venv/bin/python examples/two_layer_network.py
    .venv/bin/python examples/two_layer_network.py --hidden 20 --lr 0.5 --iterations 5000
    .venv/bin/python examples/two_layer_network.py --table

It prints the notes' cost lines and the accuracy, and writes a picture if
matplotlib is there. The notes hold one example per column; here every example
is a row, and their W1 and W2 go in unchanged.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from minifw import SGD, Array, BCELoss, Dense, Objective, Sequential, Sigmoid, Tanh, plots
from minifw.datasets import planar_flower

DEFAULTS = {"hidden": 4, "iterations": 10_000, "picture": "two_layer_network.png"}
TABLE_SIZES = (1, 2, 3, 4, 5, 20, 50)  # the hidden sizes that the notes compare
TABLE_ITERATIONS = 5000  # and for how long they train each


# %%
# The network
# -----------
# The notes' weights: small and random, from the same generator and seed.


def initialize(n_x: int, n_h: int, n_y: int, seed: int) -> Sequential:
    """Build the network with the notes' initial parameters: small random W, zero b."""
    hidden, output = Dense(n_x, n_h), Dense(n_h, n_y)
    rng = np.random.RandomState(seed)  # the notes' generator; W1 is drawn before W2
    hidden.weight.value = rng.standard_normal((n_h, n_x)) * 0.01  # W1
    output.weight.value = rng.standard_normal((n_y, n_h)) * 0.01  # W2
    return Sequential(hidden, Tanh(), output, Sigmoid())


# %%
# Training
# --------
# The four steps of the notes: forward, cost, backward, update.


def train(
    model: Sequential, x: Array, y: Array, lr: float, iterations: int, *, quiet: bool = False
) -> list[float]:
    """Train by full-batch gradient descent; return the cost of every iteration."""
    objective = Objective(model, BCELoss())
    optimizer = SGD(model.parameters(), lr=lr)
    costs = []
    for iteration in range(iterations):
        cost = objective.forward(x, y)  # forward propagation: Z1, A1, Z2, A2, then J
        objective.backward()  # backward propagation: dZ2, dW2, db2, dZ1, dW1, db1
        optimizer.step()  # update: theta <- theta - lr dtheta
        costs.append(cost)
        if iteration % 1000 == 0 and not quiet:
            print(f"Cost after iteration {iteration:d}: {cost:f}")
    return costs


# %%
# Accuracy
# --------
# The notes compare hidden layers of 1 to 50 units.


def accuracy(model: Sequential, x: Array, y: Array) -> float:
    """Return the share of examples, in percent, on whose side of 1/2 the prediction is."""
    return float(np.mean((model.predict(x) > 0.5) == y)) * 100


def print_table(x: Array, y: Array, lr: float, seed: int) -> None:
    """Print the accuracy for each of the notes' hidden sizes."""
    for n_h in TABLE_SIZES:
        model = initialize(x.shape[1], n_h, y.shape[1], seed)
        train(model, x, y, lr, TABLE_ITERATIONS, quiet=True)
        print(f"Accuracy for {n_h:2d} hidden units: {accuracy(model, x, y):.2f} %")


# %%
# The picture
# -----------
# The decision boundary and the cost of each iteration.


def draw(model: Sequential, x: Array, y: Array, costs: list[float], path: str) -> None:
    """Write a picture of the decision boundary and the cost, if matplotlib is there."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - optional
    except ImportError:
        print(
            f"For the picture, {path}, install the extra minifw[plot]; "
            "in the folder of the clone: python -m pip install --editable '.[plot]'"
        )
        return
    figure = Figure(figsize=(11, 4.8))
    figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.1)  # inches
    plane, curve = figure.subplots(1, 2)
    plots.decision_boundary(model, x, y, ax=plane)
    plots.learning_curves(costs, ax=curve)
    plane.set_title("Boundary: p = 1/2", loc="left")
    curve.set_title("Learning", loc="left")
    curve.set_ylabel("cost $J$ (nats)")
    try:
        figure.savefig(path, dpi=150, format=Path(path).suffix[1:] or "png")
    except (OSError, ValueError) as error:  # no such folder, no such format
        sys.exit(f"The picture could not be written: {error}")
    print(f"Picture: {path}")


# %%
# Run it
# ------
# A wrong option and a training that diverges end in one sentence.


def read_options() -> argparse.Namespace:
    """Return the options of the command line; those that are wrong end the program."""
    parser = argparse.ArgumentParser(description="The notes' two-layer network.")
    parser.add_argument("--hidden", type=int, help=f"hidden units (default {DEFAULTS['hidden']})")
    parser.add_argument("--lr", type=float, default=1.2, help="learning rate (default 1.2)")
    parser.add_argument("--iterations", type=int, help=f"default {DEFAULTS['iterations']}")
    parser.add_argument("--seed", type=int, default=3, help="of the weights (default 3)")
    parser.add_argument("--picture", metavar="PATH", help=f"default {DEFAULTS['picture']}")
    parser.add_argument("--table", action="store_true", help="accuracies for many hidden sizes")
    options = parser.parse_args()
    for name, default in DEFAULTS.items():
        if getattr(options, name) is None:
            setattr(options, name, default)
        elif options.table:
            parser.error(
                f"--table trains {len(TABLE_SIZES)} hidden sizes for {TABLE_ITERATIONS} "
                f"iterations each, without a picture: leave out --{name}"
            )
    if options.hidden < 1 or options.iterations < 1:
        parser.error("--hidden and --iterations must be at least 1")
    if not 0 < options.lr < np.inf:
        parser.error("--lr must be finite and above 0")
    if not 0 <= options.seed < 2**32:
        parser.error("--seed must be from 0 to 2**32 - 1")
    return options


def main() -> None:
    """Train, and show what came out; a training that diverges ends in one sentence."""
    options = read_options()
    x, y = planar_flower()  # (400, 2) and (400, 1)
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # minifw itself says where it arose
            if options.table:
                print_table(x, y, options.lr, options.seed)
                return
            model = initialize(x.shape[1], options.hidden, y.shape[1], options.seed)
            costs = train(model, x, y, options.lr, options.iterations)
    except FloatingPointError as error:  # a NonFiniteError
        sys.exit(f"Training diverged, try an --lr smaller than {options.lr:g}: {error}")
    print(f"Accuracy: {accuracy(model, x, y):.1f} %")
    draw(model, x, y, costs, options.picture)


if __name__ == "__main__":
    main()
