"""A layer of your own: from its formula to a checked part of a network that trains.

    .venv/bin/python examples/custom_layer.py

The layer is Swish with a learnable slope (docs/writing-a-layer.md derives it).
The script checks it, shows what the kit answers to a deliberate mistake, and
trains a network with it.
"""

import argparse

import numpy as np

from minifw import SGD, Array, BCELoss, Dense, Layer, Objective, Parameter, Sequential, Sigmoid
from minifw.datasets import moons
from minifw.testing import CheckError, check_layer

STEPS = 2000
LEARNING_RATE = 1.0


# %%
# The layer
# ---------
# `forward` saves what `backward` needs. `backward` returns dx and writes the gradient of the
# parameter into `.grad`.


class Swish(Layer):
    """y = x s with s = 1 / (1 + exp(-b x)), b being a slope for each feature.

    With t = x s (1 - s): dx = dy (s + b t), and db is the sum of dy x t over the batch.
    """

    def __init__(self, features: int) -> None:
        self.slope = Parameter(np.ones(features))  # b

    def forward(self, x: Array) -> Array:
        """Return x s."""
        s: Array = 1 / (1 + np.exp(-self.slope.value * x))  # (batch, features)
        self.save(x, s)
        return x * s

    def backward(self, dy: Array) -> Array:
        """Return dx, and set db."""
        x, s = self.saved()
        t = x * s * (1 - s)  # (batch, features)
        self.slope.grad[...] = (dy * x * t).sum(axis=0)  # (features,)
        return dy * (s + self.slope.value * t)


# %%
# The same layer with a mistake
# -----------------------------
# The kit should find it: a mean over the batch where a sum belongs.


class MistakenSwish(Swish):
    """The same with a mistake: the mean over the batch, where the sum belongs."""

    def backward(self, dy: Array) -> Array:
        """Return dx, and set a wrong db."""
        dx = super().backward(dy)
        self.slope.grad /= len(dy)
        return dx


# %%
# Check both, then train
# ----------------------
# `check_layer` compares every derivative with central differences. Then the right layer is part of
# a network.


def main() -> None:
    """Check the layer, then the mistaken one, then train."""
    argparse.ArgumentParser(description="A layer of one's own, checked.").parse_args()
    x = np.random.default_rng(0).standard_normal((4, 3))
    print(check_layer(Swish(3), x))

    print("\nWith a mistake:")
    try:
        check_layer(MistakenSwish(3), x)
    except CheckError as error:
        for verdict in error.report.failures:
            print(f"{verdict.name}: {verdict.message}")

    points, labels = moons(rng=0)
    model = Sequential(Dense(2, 8, rng=0), Swish(8), Dense(8, 1, rng=1), Sigmoid())
    objective = Objective(model, BCELoss())
    optimizer = SGD(model.parameters(), lr=LEARNING_RATE)
    for _ in range(STEPS):
        cost = objective.forward(points, labels)
        objective.backward()
        optimizer.step()
    accuracy = np.mean((objective.prediction > 0.5) == (labels > 0.5)) * 100
    slopes = model.parameters()[2].value.round(2).tolist()
    print(f"\nTrained on two moons: cost {cost:.4f}, accuracy {accuracy:.1f} %, slopes {slopes}")


if __name__ == "__main__":
    main()
