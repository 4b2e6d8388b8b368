"""Draw the cards of the gallery for the examples without a picture, or with a wide one.

python docs/images/cards.py

They need the extra minifw[examples]. site_gallery takes card-NAME.png for examples/NAME.py.
"""

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from minifw import (
    SGD,
    Adam,
    Array,
    BCELoss,
    CrossEntropyLoss,
    Dense,
    Objective,
    OneCycleLR,
    Optimizer,
    Sequential,
    Sigmoid,
    Tanh,
    Zeros,
    plots,
)
from minifw.datasets import blobs, moons

FOLDER = Path(__file__).parent
BLUE, ORANGE, GREEN, INK = "#0b5fa5", "#c8420b", "#3b7d3b", "#222222"
SIZE, DPI = (4.0, 2.8), 100


def canvas() -> tuple[Figure, Any]:
    """Return a figure in the form of a card, and its axes."""
    figure = Figure(figsize=SIZE, facecolor="white", layout="constrained")
    ax = figure.subplots()
    ax.spines[["top", "right"]].set_visible(False)
    return figure, ax


def example(name: str) -> dict[str, Any]:
    """Return what a script of examples/ defines."""
    return runpy.run_path(str(FOLDER.parents[1] / "examples" / f"{name}.py"))


def custom_layer() -> Figure:
    """Draw Swish with three slopes."""
    figure, ax = canvas()
    x = np.linspace(-5, 3, 200)
    for slope, color in ((0.5, GREEN), (1.0, BLUE), (4.0, ORANGE)):
        ax.plot(x, x / (1 + np.exp(-slope * x)), color=color, lw=2.5, label=f"b = {slope:g}")
    ax.set_title(r"$y = x\,/\,(1 + e^{-bx})$", fontsize=15)
    ax.legend(fontsize=13, frameon=False)
    ax.grid(alpha=0.3)
    return figure


def data_parallel() -> Figure:
    """Draw a batch whose rows go to four ranks, and the gradient that they add up to."""
    figure, ax = canvas()
    ax.set(xlim=(0, 10), ylim=(0, 7))
    ax.set_axis_off()
    arrow = {"arrowstyle": "-|>", "color": INK, "lw": 1.4}
    for rank in range(4):
        y = 5.7 - 1.6 * rank
        color = (BLUE, GREEN, ORANGE, "#7b4fa0")[rank]
        box = {"boxstyle": "round,pad=0.35", "fc": "white", "ec": color, "lw": 2}
        ax.bar(1, 1.2, 1.6, y - 0.6, color=color, alpha=0.35, edgecolor=color)
        ax.text(5, y, f"rank {rank}", ha="center", va="center", fontsize=13, bbox=box)
        ax.annotate("", (3.8, y), (1.9, y), arrowprops=arrow)
        ax.annotate("", (8.2, 3.4), (6.2, y), arrowprops=arrow)
    ax.text(1, 6.5, "batch", ha="center", fontsize=13)
    ax.text(9, 3.3, r"$\Sigma\,d\theta$", ha="center", va="center", fontsize=20, color=INK)
    return figure


def boundary(model: Sequential, optimizer: Optimizer, x: Array, y: Array, steps: int) -> Figure:
    """Draw where a trained network decides."""
    figure, ax = canvas()
    objective = Objective(model, BCELoss())
    for _ in range(steps):
        objective.forward(x, y)
        objective.backward()
        optimizer.step()
    plots.decision_boundary(model, x, y, ax=ax, colorbar=False)
    ax.get_legend().remove()
    ax.set(aspect="auto", xlabel="", ylabel="", xticks=[], yticks=[])
    return figure


def perceptron() -> Figure:
    """Draw the line between two clouds."""
    model = Sequential(Dense(2, 1, init=Zeros()), Sigmoid())
    return boundary(model, SGD(model.parameters(), lr=0.5), *blobs(rng=0), steps=1000)


def moon() -> Figure:
    """Draw the curve between two moons."""
    model = Sequential(Dense(2, 16, rng=1), Tanh(), Dense(16, 1, rng=2), Sigmoid())
    return boundary(model, Adam(model.parameters(), lr=0.02), *moons(noise=0.15, rng=0), steps=500)


def pipeline() -> Figure:
    """Draw the log loss of the candidates of a search."""
    from sklearn.datasets import load_wine  # noqa: PLC0415 - optional
    from sklearn.model_selection import GridSearchCV  # noqa: PLC0415
    from sklearn.pipeline import Pipeline  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    from minifw.interop.sklearn import NetworkClassifier  # noqa: PLC0415 - needs scikit-learn

    network = NetworkClassifier(batch_size=32, max_epochs=20, tol=None, random_state=0)
    steps = Pipeline([("scale", StandardScaler()), ("network", network)])
    search = GridSearchCV(steps, example("pipeline")["GRID"], cv=3, scoring="neg_log_loss")
    search.fit(*load_wine(return_X_y=True))
    losses = np.sort(-search.cv_results_["mean_test_score"])
    figure, ax = canvas()
    ax.barh(range(len(losses)), losses, color=[ORANGE] + [BLUE] * (len(losses) - 1), alpha=0.8)
    ax.invert_yaxis()
    ax.set_yticks([])
    ax.set_ylabel("candidates", fontsize=13)
    ax.set_xlabel("log loss", fontsize=13)
    return figure


def seq2seq() -> Figure:
    """Draw where the decoder looks while it writes a word backwards."""
    script, rng = example("seq2seq"), np.random.default_rng(0)
    _, decoder, whole = script["build"](rng)
    objective = Objective(whole, CrossEntropyLoss())
    optimizer = Adam(whole.parameters(), lr=0.01)
    schedule = OneCycleLR(optimizer, 0.01, 500)
    for _ in range(500):
        word, target = script["words"](64, rng)
        before = np.insert(target[:, :-1], 0, script["START"], axis=1)
        objective.forward((word, before), target, (target != 0).astype(np.float32))
        objective.backward()
        optimizer.step()
        schedule.step()
    letters = "backward"
    word = np.array([[script["LETTERS"].index(letter) + 1 for letter in letters]])
    before = np.insert(word[:, :0:-1], 0, script["START"], axis=1)
    whole.eval().forward(word, before)
    figure, ax = canvas()
    plots.attention(decoder["seen"], ax=ax)
    ax.set_xticks(range(len(letters)), letters, fontsize=13)
    ax.set_yticks(range(len(letters)), letters[::-1], fontsize=13)
    ax.set(title="", xlabel="reads", ylabel="writes")
    for axes in figure.axes[1:]:
        axes.remove()
    return figure


CARDS: dict[str, Callable[[], Figure]] = {
    "custom_layer": custom_layer,
    "data_parallel": data_parallel,
    "moons": moon,
    "perceptron": perceptron,
    "pipeline": pipeline,
    "seq2seq": seq2seq,
}


def main() -> None:
    """Write all cards beside this file."""
    for name, draw in CARDS.items():
        draw().savefig(FOLDER / f"card-{name}.png", dpi=DPI)


if __name__ == "__main__":
    main()
