"""The perceptron of the first note: one unit with a sigmoid, on two clouds of points.

    .venv/bin/python examples/perceptron.py

On the planar flower the same unit fails: no line parts its petals. Its accuracy
may even be below 50 %, since training minimises the cost and not the number of
errors. That is why the second note adds a hidden layer (two_layer_network.py).
"""

import argparse

import numpy as np

from minifw import SGD, Array, BCELoss, Dense, Objective, Sequential, Sigmoid, Zeros
from minifw.datasets import blobs, planar_flower

ITERATIONS = 1000
PRINT_EVERY = 100
LEARNING_RATE = 0.5


# %%
# One unit
# --------
# Full-batch gradient descent from weights of zero.


def train(x: Array, y: Array) -> Sequential:
    """Train a perceptron by full-batch gradient descent, from weights of zero, and return it."""
    unit = Dense(x.shape[1], 1, init=Zeros())  # z = w x + b
    model = Sequential(unit, Sigmoid())  # a = sigmoid(z)
    objective = Objective(model, BCELoss())
    optimizer = SGD(model.parameters(), lr=LEARNING_RATE)
    for iteration in range(ITERATIONS):
        cost = objective.forward(x, y)
        objective.backward()
        optimizer.step()
        if iteration % PRINT_EVERY == 0:
            print(f"Cost after iteration {iteration:d}: {cost:f}")
    weight, bias = (parameter.value.ravel() for parameter in model.parameters())
    print(f"The line: {weight[0]:+.3f} x1 {weight[1]:+.3f} x2 {bias[0]:+.3f} = 0")
    return model


# %%
# Two data sets
# -------------
# A line separates the two clouds. No line separates the petals of the flower.


def accuracy(model: Sequential, x: Array, y: Array) -> float:
    """Return the share of examples, in percent, that are on the right side."""
    return float(np.mean((model.forward(x) > 0.5) == (y > 0.5))) * 100


def main() -> None:
    """Train on two clouds, then on the flower."""
    argparse.ArgumentParser(description="The first note's perceptron.").parse_args()
    for name, (x, y) in (("two clouds", blobs(rng=0)), ("the flower", planar_flower())):
        print(f"A perceptron on {name}:")
        model = train(x, y)
        percent = accuracy(model, x, y)
        print(f"Accuracy: {percent:.1f} %")
        if percent < 50:
            print("(Below 50 % is possible: training minimises the cost, not the errors.)")
        print()


if __name__ == "__main__":
    main()
