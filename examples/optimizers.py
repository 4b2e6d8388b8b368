"""Nine optimizers: the cost of the notes' network against gradient evaluations.

    .venv/bin/python examples/optimizers.py
    .venv/bin/python examples/optimizers.py --evaluations 2000 --starts 3

Each method trains the 2-4-1 network on the planar flower from ten starts: small
random weights as the notes draw them, with seeds 0 to 9 (3 is the notes' own). It
may use so many evaluations of the gradient over all 400 examples; a batch of 40
counts as a tenth. The curves are drawn if matplotlib is there; the methods below the
line need SciPy, the extra minifw[scipy].
"""

import argparse
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from minifw import (
    SGD,
    Adam,
    Array,
    BCELoss,
    Dense,
    Objective,
    Optimizer,
    Parameter,
    Sequential,
    Sigmoid,
    Tanh,
    minimize,
)
from minifw.datasets import planar_flower

BATCH = 40  # examples, of 400
EVALUATIONS = 10_000  # the notes' number of iterations
HIDDEN = 4
NOTES_SEED = 3
PICTURE = "optimizers.png"
STARTS = 10
WEIGHT_SCALE = 0.01  # of the notes' initial weights

EXPLANATION = """\
What to see in it (figures of the default run):
- The start lies beside a saddle: with weights near 0 all hidden units do the same. The gradient
  there is 0.005 long, and the Hessian's eigenvalues go from -0.2 to 0.25. Every method first waits
  near log 2 = 0.693 until the units part: some 20 evaluations with quasi-Newton methods, 70 with
  gradient descent, 100 with trust-ncg, 200 with Adam's small steps of 0.01.
- The surface is not convex, and has many flat ends. Which of them a start reaches depends on the
  method and on luck, hence the spread; the best of ten, or one curve, says little of a method.
- Gradient descent follows flat valleys slowly and surely: no start is lost, and after 10,000 steps
  the costs still fall. Mini-batches make ten steps of an evaluation, and so fall sooner.
- BFGS and L-BFGS learn the curvature from the gradients that they meet: they fall in tens of
  evaluations, and end after hundreds, often lower than gradient descent after 10,000. But their
  steps may be long. Where one throws weights into the thousands, tanh is saturated, and the
  gradient gone with little learnt: starts that end near 0.5 are of this kind. (Momentum lost
  one near 0.5, too.) Most of their ends are no strict minima, but flats out there, where the
  Hessian's smallest eigenvalue is about 0 or negative.
- L-BFGS-B with its default tolerances stops as soon as one iteration lowers the cost by less than
  2.2e-9 of 1: from the notes' start at 0.227, with a gradient of 3e-4, in a valley very much
  steeper across than along. Tighter tolerances and a memory of 30 steps help there; elsewhere
  they lead to another flat, not always to a lower one.
- Newton's methods measure the curvature in place of guessing it, at two gradients for each
  product. They lose no start, and Newton-CG has the lowest median of all, but at thousands of
  evaluations. BFGS has its model of 17 parameters for about one evaluation an iteration.
- A lower cost on these points is no better prediction: the accuracy is 91 to 93 % for all.
"""


# %%
# Count evaluations
# -----------------
# One evaluation is one gradient over all examples, so all methods pay the same price.


class Recorder(Objective):
    """An objective that notes the lowest cost after each evaluation of the gradient."""

    def __init__(self, model: Sequential) -> None:
        super().__init__(model, BCELoss())
        self.lowest = np.inf
        self.curve: list[tuple[float, float]] = []  # evaluations, lowest cost

    def forward(self, x: Array, target: Any, sample_weight: Array | None = None) -> float:
        """Return the cost, and keep the lowest."""
        cost = super().forward(x, target, sample_weight)
        self.lowest = min(self.lowest, cost)
        return cost

    def backward(self) -> None:
        """Count an evaluation."""
        super().backward()
        self.curve.append((len(self.curve) + 1.0, self.lowest))


Curve: TypeAlias = list[tuple[float, float]]
Run: TypeAlias = Callable[[Sequential, Array, Array, int], Curve]


# %%
# The network and three kinds of training
# ---------------------------------------
# On all examples, on mini-batches, or by a method of SciPy.


def initialize(seed: int) -> Sequential:
    """Build the network with small random W and zero b, as the notes draw them."""
    hidden, output = Dense(2, HIDDEN), Dense(HIDDEN, 1)
    rng = np.random.RandomState(seed)  # the notes' generator
    hidden.weight.value = rng.standard_normal((HIDDEN, 2)) * WEIGHT_SCALE
    output.weight.value = rng.standard_normal((1, HIDDEN)) * WEIGHT_SCALE
    return Sequential(hidden, Tanh(), output, Sigmoid())


def full_batch(make: Callable[[list[Parameter]], Optimizer]) -> Run:
    """Return a training by an optimizer on all examples in each step."""

    def run(model: Sequential, x: Array, y: Array, evaluations: int) -> Curve:
        objective = Recorder(model)
        optimizer = make(model.parameters())
        for _ in range(evaluations):
            objective.forward(x, y)
            objective.backward()
            optimizer.step()
        return objective.curve

    return run


def mini_batches(make: Callable[[list[Parameter]], Optimizer]) -> Run:
    """Return a training on batches; an epoch of them is one evaluation of all examples."""

    def run(model: Sequential, x: Array, y: Array, evaluations: int) -> Curve:
        objective = Objective(model, BCELoss())
        optimizer = make(model.parameters())
        rng = np.random.default_rng(0)
        curve: Curve = []
        lowest = np.inf
        for epoch in range(evaluations):
            order = rng.permutation(len(x))
            for start in range(0, len(x), BATCH):
                rows = order[start : start + BATCH]
                objective.forward(x[rows], y[rows])
                objective.backward()
                optimizer.step()
            lowest = min(lowest, objective.forward(x, y))  # to be drawn, not counted
            curve.append((epoch + 1.0, lowest))
        return curve

    return run


def scipy_method(method: str, **options: float) -> Run:
    """Return a training by a method of SciPy."""

    def run(model: Sequential, x: Array, y: Array, evaluations: int) -> Curve:
        objective = Recorder(model)
        minimize(
            objective,
            x,
            y,
            method=method,
            options=options,
            callback=lambda _iteration, _cost: len(objective.curve) >= evaluations,
        )
        return objective.curve[:evaluations]

    return run


# %%
# The methods
# -----------
# A name and a training each. The last five need SciPy.


METHODS: dict[str, Run] = {
    "gradient descent, lr 1.2": full_batch(lambda p: SGD(p, lr=1.2)),
    "mini-batch SGD, lr 0.3": mini_batches(lambda p: SGD(p, lr=0.3)),
    "momentum 0.9, lr 0.5": full_batch(lambda p: SGD(p, lr=0.5, momentum=0.9)),
    "Adam, lr 0.01": full_batch(lambda p: Adam(p, lr=0.01)),
}
WITH_SCIPY: dict[str, Run] = {
    "L-BFGS-B, default tolerances": scipy_method("L-BFGS-B"),
    "L-BFGS-B, tight, memory of 30": scipy_method(
        "L-BFGS-B", ftol=1e-15, gtol=1e-8, maxcor=30, maxiter=10**6, maxfun=10**6
    ),
    "BFGS": scipy_method("BFGS", maxiter=10**6),
    "Newton-CG": scipy_method("Newton-CG", maxiter=10**6),
    "trust-ncg": scipy_method("trust-ncg", maxiter=10**6),
}


# %%
# Train from every start
# ----------------------
# Ten starts for each method: the spread says more than one curve.


@dataclass
class Outcome:
    """What one method did from all starts."""

    curves: list[Curve] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)


def train_all(starts: int, evaluations: int) -> dict[str, Outcome]:
    """Train by every method from every start, and print a line for each method."""
    x, y = planar_flower()
    methods = dict(METHODS)
    try:
        import scipy  # noqa: F401, PLC0415 - optional
    except ImportError:
        print("For L-BFGS, BFGS and Newton's methods install the extra minifw[scipy].")
    else:
        methods |= WITH_SCIPY
    print(f"{'':30} {'lowest cost':>13} {'of all starts:':^23} {'median of':>12} {'median':>8}")
    print(
        f"{'':30} {'notes start':>13} {'median':>7} {'lowest':>7} {'highest':>7} "
        f"{'evaluations':>12} accuracy"
    )
    outcomes = {}
    for name, run in methods.items():
        outcome = outcomes[name] = Outcome()
        for seed in range(starts):
            model = initialize(seed)
            outcome.curves.append(run(model, x, y, evaluations))
            outcome.accuracies.append(float(np.mean((model.forward(x) > 0.5) == (y > 0.5))))
        costs = [curve[-1][1] for curve in outcome.curves]
        used = statistics.median(curve[-1][0] for curve in outcome.curves)
        own = f"{costs[NOTES_SEED]:.4f}" if starts > NOTES_SEED else ""
        print(
            f"{name:30} {own:>13} {statistics.median(costs):7.4f} {min(costs):7.4f} "
            f"{max(costs):7.4f} {used:12.0f} {statistics.median(outcome.accuracies):8.1%}",
            flush=True,
        )
    return outcomes


# %%
# The picture
# -----------
# A panel for each method: a thin curve for each start, a thick one for their median.


def draw(outcomes: dict[str, Outcome], evaluations: int, path: str) -> None:
    """Write a picture of cost against evaluations, if matplotlib is there."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - optional
    except ImportError:
        print(f"For the picture, {path}, install the extra minifw[plot].")
        return
    at = np.unique(np.geomspace(1, evaluations, 300).round())
    columns = 3
    rows = -(-len(outcomes) // columns)
    figure = Figure(figsize=(11, 2.7 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=True)
    for index, (panel, (name, outcome)) in enumerate(
        zip(axes.flat, outcomes.items(), strict=False)
    ):
        color = f"C{index}"
        costs = np.array(
            [np.interp(at, *np.transpose(curve)) for curve in outcome.curves]
        )  # (starts, points); constant after a method has stopped
        for row in costs:
            panel.plot(at, row, color=color, lw=0.7, alpha=0.5)
        panel.plot(at, np.median(costs, axis=0), color=color, lw=2)
        panel.set_title(name, fontsize=10)
        panel.set_xscale("log")
        panel.grid(alpha=0.3)
    for panel in list(axes.flat)[len(outcomes) :]:
        panel.set_axis_off()
    figure.supxlabel("gradient evaluations over all examples (thick: the median of the starts)")
    figure.supylabel("lowest cost so far (nats)")
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:  # no such folder, no such format
        sys.exit(f"The picture could not be written: {error}")
    print(f"Picture: {path}")


# %%
# Run it
# ------
# All methods from all starts: a table, and the picture.


def main() -> None:
    """Train, print and draw."""
    parser = argparse.ArgumentParser(description="The notes' methods, compared.")
    parser.add_argument("--evaluations", type=int, default=EVALUATIONS, help="default 10000")
    parser.add_argument("--starts", type=int, default=STARTS, help="default 10")
    parser.add_argument("--picture", metavar="PATH", default=PICTURE, help=f"default {PICTURE}")
    options = parser.parse_args()
    for name in ("evaluations", "starts"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1")
    outcomes = train_all(options.starts, options.evaluations)
    print()
    print(EXPLANATION)
    draw(outcomes, options.evaluations, options.picture)


if __name__ == "__main__":
    main()
