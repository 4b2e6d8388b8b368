"""Two moons, and how the decision boundary finds its way between them.

    python examples/moons.py [--picture PATH]

A network of two hidden layers is trained by Adam on mini-batches. The picture is a strip
of frames, one for each of the epochs in FRAMES.
"""

import argparse
import sys
from typing import Any

import numpy as np

from minifw import Adam, BCELoss, Dense, Objective, Sequential, Sigmoid, Tanh, plots
from minifw.datasets import moons

FRAMES = (0, 5, 20, 40)  # the epochs that are shown
BATCH, LR = 32, 0.01
PICTURE = "moons.png"


# %%
# An empty strip of frames
# ------------------------
# One axes for each epoch that is shown.


def frames() -> Any:
    """Return a figure with axes in a row, one for each frame; None without matplotlib."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - optional
    except ImportError:
        return None
    figure = Figure(figsize=(3.4 * len(FRAMES), 2.8), layout="constrained")
    figure.subplots(1, len(FRAMES))
    return figure


# %%
# Train, and draw on the way
# --------------------------
# Two hidden layers of 16 units, trained by Adam on mini-batches of 32.


def run(figure: Any) -> None:
    """Train, print how it goes, and draw the frames."""
    x, y = moons(400, noise=0.15, rng=0)  # (400, 2) and (400, 1)
    model = Sequential(
        Dense(2, 16, rng=1),
        Tanh(),
        Dense(16, 16, rng=2),
        Tanh(),
        Dense(16, 1, rng=3),
        Sigmoid(),
    )
    objective = Objective(model, BCELoss())
    optimizer = Adam(model.parameters(), lr=LR)
    rng = np.random.default_rng(0)  # of the order
    shown = iter(figure.axes if figure else ())
    for epoch in range(FRAMES[-1] + 1):
        if epoch in FRAMES:
            cost = objective.forward(x, y)
            share = float(np.mean((objective.prediction > 0.5) == y))
            print(f"epoch {epoch:2d}: cost {cost:.4f}, accuracy {100 * share:.1f} %")
            if figure:
                plane = next(shown)
                plots.decision_boundary(model, x, y, ax=plane, colorbar=False)
                if epoch > FRAMES[0]:
                    plane.get_legend().remove()  # the first says it
                    plane.set_ylabel("")
                plane.set_title(f"epoch {epoch}", loc="left")
        order = rng.permutation(len(x))
        for first in range(0, len(x), BATCH):
            rows = order[first : first + BATCH]
            objective.forward(x[rows], y[rows])
            objective.backward()
            optimizer.step()


# %%
# Run it
# ------
# The one option is where the picture goes.


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description="Two moons, and the boundary between them.")
    parser.add_argument("--picture", metavar="PATH", default=PICTURE, help=f"default {PICTURE}")
    options = parser.parse_args()
    figure = frames()
    run(figure)
    if figure is None:
        print("For the picture install the extra minifw[plot]")
        return
    try:
        figure.savefig(options.picture, dpi=110)
    except (OSError, ValueError) as error:  # no such folder, no such format
        sys.exit(f"The picture could not be written: {error}")
    print(f"Picture: {options.picture}")


if __name__ == "__main__":
    main()
