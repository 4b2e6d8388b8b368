"""Draw the pictures of the learner's path, docs/learn, in each language of the site.

    python docs/images/make.py

They stand on white, which a dark page inverts. Sphinx takes graph.zh_CN.png for graph.png on a
page in Chinese; those need the font Noto Sans CJK.
"""

# ruff: noqa: RUF001 - labels in Chinese

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.text import Text

from minifw import (
    GELU,
    SGD,
    Adam,
    BCELoss,
    CrossEntropyLoss,
    Dense,
    Embedding,
    MultiHeadAttention,
    Normal,
    Objective,
    Positions,
    Residual,
    Sequential,
    Sigmoid,
    Tanh,
    Zeros,
    plots,
)
from minifw.datasets import blobs, moons, planar_flower

FOLDER = Path(__file__).parent
INK, FORWARD, BACKWARD, PARAMETER, PALE = "#222222", "#0b5fa5", "#c8420b", "#3b7d3b", "#eef3f8"
DPI = 150


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a white figure and axes in units of a tenth of an inch, without a frame."""
    figure = Figure(figsize=(width, height), facecolor="white")
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, 10 * width), ylim=(0, 10 * height))
    ax.set_axis_off()
    return figure, ax


def box(ax: Axes, x: float, y: float, text: str, color: str = FORWARD) -> None:
    """Draw a rounded box around the point (x, y)."""
    size = 7.0
    ax.add_patch(
        FancyBboxPatch(
            (x - size / 2, y - 2.5),
            size,
            5,
            boxstyle="round,pad=0,rounding_size=1.2",
            facecolor=PALE if color == FORWARD else "white",
            edgecolor=color,
            linewidth=1.6,
        )
    )
    ax.text(x, y, text, ha="center", va="center", fontsize=14, color=color)


def arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], color: str) -> None:
    """Draw an arrow between two points."""
    ax.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle="-|>",
            mutation_scale=14,
            color=color,
            linewidth=1.6,
            shrinkA=0,
            shrinkB=0,
        )
    )


def graph() -> Figure:
    """Draw the notes' network: forward in blue, backward in red."""
    figure, ax = canvas(11, 3.6)
    y, step = 16.5, 19.0
    places = {name: 8 + step * i for i, name in enumerate(("X", "Z_1", "A_1", "Z_2", "A_2", "J"))}
    formulas = {
        "Z_1": r"$W_1X+b_1$",
        "A_1": r"$\tanh Z_1$",
        "Z_2": r"$W_2A_1+b_2$",
        "A_2": r"$\sigma(Z_2)$",
        "J": "mean cost",
    }
    names = list(places)
    for name, x in places.items():
        box(ax, x, y, f"${name}$")
        ax.text(x, y - 5.2, formulas.get(name, "data"), ha="center", fontsize=11, color=INK)
    for left, right in pairwise(names):
        arrow(ax, (places[left] + 3.8, y + 1.1), (places[right] - 3.8, y + 1.1), FORWARD)
        if left != "X":
            arrow(ax, (places[right] - 3.8, y - 1.1), (places[left] + 3.8, y - 1.1), BACKWARD)
            middle = (places[left] + places[right]) / 2
            ax.text(middle, y - 4.2, f"$d{left}$", ha="center", fontsize=14, color=BACKWARD)
    for name, index in (("Z_1", 1), ("Z_2", 2)):
        for parameter, shift in (("W", -5.5), ("b", 5.5)):
            x = places[name]
            label = f"{parameter}_{index}"
            box(ax, x + shift, y + 14, f"${label}$", PARAMETER)
            near, far = x + 0.32 * shift, x + 0.8 * shift
            arrow(ax, (far - 0.7, y + 11.2), (near - 0.7, y + 2.9), FORWARD)
            arrow(ax, (near + 1.1, y + 2.9), (far + 1.1, y + 11.2), BACKWARD)
            side = "right" if shift < 0 else "left"
            at = x + (-5.4 if shift < 0 else 5.8)
            ax.text(at, y + 6.5, f"$d{label}$", ha=side, fontsize=14, color=BACKWARD)
    box(ax, places["J"], y + 14, "$Y$")
    arrow(ax, (places["J"], y + 11.2), (places["J"], y + 2.9), FORWARD)
    ax.text(4.5, 3, "forward: values", fontsize=12, color=FORWARD)
    ax.text(24, 3, "backward: derivatives of $J$", fontsize=12, color=BACKWARD)
    ax.text(54, 3, "parameters", fontsize=12, color=PARAMETER)
    return figure


def station() -> Figure:
    """Draw what one layer does in both directions."""
    figure, ax = canvas(8, 3.4)
    ax.add_patch(
        FancyBboxPatch(
            (24, 7),
            32,
            20,
            boxstyle="round,pad=0,rounding_size=2",
            facecolor=PALE,
            edgecolor=INK,
            linewidth=1.6,
        )
    )
    ax.text(40, 29, "one layer", ha="center", fontsize=13, color=INK)
    ax.text(40, 22, r"forward:  $y = f(x,\ \theta)$", ha="center", fontsize=13, color=FORWARD)
    ax.text(40, 16.4, "saves what backward needs", ha="center", fontsize=11, color=INK)
    ax.text(
        40,
        10.6,
        r"backward:  $dx = dy\,\cdot\,\partial y/\partial x$",
        ha="center",
        fontsize=13,
        color=BACKWARD,
    )
    for y, color, start, end, left, right in (
        (22.5, FORWARD, 9, 23.6, "$x$", "$y$"),
        (11.2, BACKWARD, 23.6, 9, "$dx$", "$dy$"),
    ):
        arrow(ax, (start, y), (end, y), color)
        shift = 47.6
        arrow(ax, (start + shift, y), (end + shift, y), color)
        ax.text(6, y, left, ha="center", va="center", fontsize=16, color=color)
        ax.text(74, y, right, ha="center", va="center", fontsize=16, color=color)
    arrow(ax, (40, 6.8), (40, 3.6), BACKWARD)
    ax.text(
        42,
        3.6,
        r"$d\theta = dy\,\cdot\,\partial y/\partial\theta$, left in parameter.grad",
        fontsize=12,
        color=BACKWARD,
    )
    return figure


def grid(ax: Axes, corner: tuple[float, float], rows: int, columns: int, color: str) -> None:
    """Draw a matrix of cells, its upper left corner at `corner`."""
    x, y = corner
    for i in range(rows):
        for k in range(columns):
            ax.add_patch(
                Rectangle(
                    (x + 3 * k, y - 3 * (i + 1)),
                    3,
                    3,
                    facecolor=color,
                    alpha=0.22,
                    edgecolor="none",
                )
            )
            ax.add_patch(
                Rectangle((x + 3 * k, y - 3 * (i + 1)), 3, 3, fill=False, edgecolor=color)
            )


Part: TypeAlias = tuple[
    str, int, int, str, str
]  # a label, rows, columns, colour, and the sign after


def product(ax: Axes, corner: tuple[float, float], title: str, parts: list[Part]) -> None:
    """Draw a product of matrices, its title at `corner`."""
    x, top = corner
    ax.text(x, top, title, fontsize=13, color=INK)
    middle = top - 16.5
    for label, rows, columns, color, sign in parts:
        y = middle + 1.5 * rows
        grid(ax, (x, y), rows, columns, color)
        ax.text(x + 1.5 * columns, y + 1, label, ha="center", fontsize=14, color=color)
        size = f"{rows if rows < 6 else 'm'} x {columns if columns < 6 else 'm'}"
        ax.text(x + 1.5 * columns, y - 3 * rows - 3, size, ha="center", fontsize=10, color=INK)
        x += 3 * columns
        if sign:
            ax.text(x + 2.4, middle - 0.8, sign, ha="center", fontsize=15, color=INK)
            x += 4.8


def matrices() -> Figure:
    """Draw the three products of the second layer, one example per column."""
    figure, ax = canvas(13, 7.2)
    times = r"$\times$"
    forward, weight, back = (
        [("$Z_2$", 1, 6, FORWARD, "="), ("$W_2$", 1, 4, PARAMETER, times),
         ("$A_1$", 4, 6, FORWARD, "")],
        [("$dW_2$", 1, 4, BACKWARD, "="), ("$dZ_2$", 1, 6, BACKWARD, times),
         ("$A_1^T$", 6, 4, FORWARD, "")],
        [("$dA_1$", 4, 6, BACKWARD, "="), ("$W_2^T$", 4, 1, PARAMETER, times),
         ("$dZ_2$", 1, 6, BACKWARD, "")],
    )  # fmt: skip
    product(ax, (3, 67), "forward: a sum over the units", forward)
    product(ax, (74, 67), "to the weight: a sum over the examples", weight)
    product(ax, (3, 32), "to the input: a sum over the outputs (here one)", back)
    for line, text in enumerate(
        ("$m$ examples in columns, here 6", "$n_h$ = 4 units, one output",
         "the factor $1/m$ of $dW_2$ is not drawn")
    ):  # fmt: skip
        ax.text(74, 18 - 4 * line, text, fontsize=11, color=INK)
    return figure


def slopes() -> Figure:
    """Draw sigmoid and tanh with their derivatives, and a tangent each."""
    figure = Figure(figsize=(9, 3.4), facecolor="white", layout="constrained")
    z = np.linspace(-5, 5, 401)
    for ax, name, f, slope, rule in (
        (figure.add_subplot(1, 2, 1), r"$\sigma(z)$", lambda v: 1 / (1 + np.exp(-v)),
         lambda a: a * (1 - a), r"$a\,(1-a)$"),
        (figure.add_subplot(1, 2, 2), r"$\tanh z$", np.tanh, lambda a: 1 - a**2, "$1-a^2$"),
    ):  # fmt: skip
        a = f(z)
        ax.plot(z, a, color=FORWARD, lw=2, label=f"a = {name}")
        ax.plot(z, slope(a), color=BACKWARD, lw=2, label=f"its slope, {rule}")
        at = 0.8
        near = np.array([-1.1, 1.1])
        ax.plot(at + near, f(at) + slope(f(at)) * near, color=INK, lw=1.2, ls="--")
        ax.plot(at, f(at), "o", color=INK, ms=5)
        ax.set_xlabel("z")
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(loc="upper left", fontsize=9, framealpha=0.9)
    return figure


def perceptron() -> Figure:
    """Draw what one unit learns of two clouds, and of the flower."""
    figure = Figure(figsize=(9, 4.2), facecolor="white", layout="constrained")
    for index, (name, (x, y)) in enumerate(
        (("two clouds: a line parts them", blobs(rng=0)),
         ("the flower: no line does", planar_flower())), 1
    ):  # fmt: skip
        model = Sequential(Dense(2, 1, init=Zeros()), Sigmoid())
        objective = Objective(model, BCELoss())
        optimizer = SGD(model.parameters(), lr=0.5)
        for _ in range(1000):
            objective.forward(x, y)
            objective.backward()
            optimizer.step()
        ax = figure.add_subplot(1, 2, index)
        plots.decision_boundary(model, x, y, ax=ax)
        ax.set_aspect("auto")
        ax.set_title(name, pad=26)
    return figure


def playground() -> Figure:
    """Draw what the page of the live network draws: the boundary and the cost of 2000 steps."""
    figure = Figure(figsize=(9, 4.2), facecolor="white", layout="constrained")
    x, y = planar_flower()
    model = Sequential(Dense(2, 4), Tanh(), Dense(4, 1), Sigmoid())
    rng = np.random.RandomState(3)
    model[0].weight.value = rng.standard_normal((4, 2)) * 0.01
    model[2].weight.value = rng.standard_normal((1, 4)) * 0.01
    objective = Objective(model, BCELoss())
    optimizer = SGD(model.parameters(), lr=1.2)
    costs = []
    for _ in range(2000):
        costs.append(objective.forward(x, y))
        objective.backward()
        optimizer.step()
    plots.decision_boundary(model, x, y, ax=figure.add_subplot(1, 2, 1), colorbar=False)
    ax = figure.add_subplot(1, 2, 2)
    ax.plot(costs, color=FORWARD, lw=2)
    ax.set(ylim=(0, 0.8), xlabel="iteration", title="cost")
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    return figure


def differences() -> Figure:
    """Draw a tangent, and the line through two points near to it."""
    figure = Figure(figsize=(7, 3.4), facecolor="white", layout="constrained")
    ax = figure.add_subplot()
    x, at, h = np.linspace(-0.4, 2.6, 301), 1.1, 0.7

    def f(v: float | np.ndarray) -> Any:
        return np.exp(v) / 4

    ax.plot(x, f(x), color=FORWARD, lw=2, label="y = f(x)")
    ax.plot(x, f(at) * (1 + x - at), color=BACKWARD, lw=2, label="tangent at x")
    slope = (f(at + h) - f(at - h)) / (2 * h)
    ends = np.array([at - h, at + h])
    ax.plot(x, f(at - h) + slope * (x - at + h), color=INK, lw=1.4, ls="--",
            label="through x - h and x + h")  # fmt: skip
    ax.plot(ends, f(ends), "o", color=INK, ms=5)
    ax.plot(at, f(at), "o", color=BACKWARD, ms=5)
    ax.set_xticks([at - h, at, at + h], ["x - h", "x", "x + h"])
    ax.set_yticks([])
    ax.set_ylim(-0.4, 2.6)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(loc="upper left", fontsize=9, framealpha=0.9)
    return figure


def logits() -> Figure:
    """Draw cost and derivative of label 0 at large logits, by two formulas."""
    figure = Figure(figsize=(9, 3.4), facecolor="white", layout="constrained")
    z = np.linspace(25, 50, 1001)
    a = 1 / (1 + np.exp(-z))
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = (-np.log(1 - a), a / (a * (1 - a)) * (a * (1 - a)))
    for index, (name, joined, two) in enumerate(
        (("cost of label 0", np.logaddexp(0, z), apart[0]),
         ("its derivative by z", a, apart[1])), 1
    ):  # fmt: skip
        ax = figure.add_subplot(1, 2, index)
        ax.plot(z, joined, color=FORWARD, lw=4, alpha=0.4, label="from z")
        known = np.isfinite(two)
        ax.plot(z[known], two[known], color=BACKWARD, lw=1.4, label=r"from a = $\sigma(z)$")
        ax.plot(z[known][-1], two[known][-1], "x", color=BACKWARD, ms=9, mew=2)
        ax.set_title(name)
        ax.set_xlabel("z")
        ax.set_ylim(*((20, 52) if index == 1 else (-0.1, 1.3)))
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(loc="lower right", fontsize=9)
    return figure


def bigrams() -> Figure:
    """Draw which character follows which in Python's manual."""
    text = "".join(topics.values())
    letters = " etaoinsrlhdcmpufgybwvk.,_x"
    codes = np.array([letters.find(character) for character in text])
    both = (codes[:-1] >= 0) & (codes[1:] >= 0)
    counts = np.zeros((len(letters), len(letters)))
    np.add.at(counts, (codes[:-1][both], codes[1:][both]), 1)
    figure = Figure(figsize=(7, 6), facecolor="white", layout="constrained")
    ax = figure.add_subplot()
    image = ax.imshow(counts / counts.sum(axis=1, keepdims=True), cmap="Blues", vmin=0, vmax=0.5)
    names = ["\u2423", *letters[1:]]  # the sign for a blank
    ax.set_xticks(range(len(names)), names)
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(length=0)
    ax.set(xlabel="next character", ylabel="last character")
    figure.colorbar(image, label="probability of the next character", shrink=0.8, extend="max")
    return figure


def block() -> Figure:
    """Draw a block of a GPT: two branches, each added to what goes straight through."""
    figure, ax = canvas(12, 3.4)
    y, high = 8, 24
    ax.text(3, y, "$x$", ha="center", va="center", fontsize=16, color=FORWARD)
    arrow(ax, (4.5, y), (42.2, y), FORWARD)
    arrow(ax, (45.8, y), (106.2, y), FORWARD)
    arrow(ax, (109.8, y), (115, y), FORWARD)
    ax.text(117.5, y, "$y$", ha="center", va="center", fontsize=16, color=FORWARD)
    for plus, parts in (
        (44, ((12, "norm", 8), (29, "attention", 14))),
        (108, ((56, "norm", 8), (69, "Dense", 9), (82, "GELU", 9), (95, "Dense", 9))),
    ):
        ax.text(plus, y, "+", ha="center", va="center", fontsize=22, color=FORWARD)
        ax.add_patch(Circle((plus, y), 1.8, fill=False, edgecolor=FORWARD, linewidth=1.6))
        start = parts[0][0]
        arrow(ax, (start, y), (start, high - 2.6), FORWARD)
        for x, label, width in parts:
            ax.add_patch(
                FancyBboxPatch(
                    (x - width / 2, high - 2.5),
                    width,
                    5,
                    boxstyle="round,pad=0,rounding_size=1.2",
                    facecolor=PALE,
                    edgecolor=FORWARD,
                    linewidth=1.6,
                )
            )
            ax.text(x, high, label, ha="center", va="center", fontsize=12, color=FORWARD)
        for (x, _, width), (after, _, width2) in pairwise(parts):
            arrow(ax, (x + width / 2, high), (after - width2 / 2 - 0.2, high), FORWARD)
        x, _, width = parts[-1]
        ax.plot((x + width / 2, plus), (high, high), color=FORWARD, linewidth=1.6)
        arrow(ax, (plus, high), (plus, y + 1.9), FORWARD)
    ax.text(21, 30, "what other places tell", ha="center", fontsize=12, color=INK)
    ax.text(76, 30, "what each place makes of it", ha="center", fontsize=12, color=INK)
    ax.text(76, 3, "straight through: the derivative, too", ha="center", fontsize=12, color=INK)
    return figure


def tape() -> Figure:
    """Draw what a tape of a LayerNorm holds: forward in blue, backward in red."""
    figure, ax = canvas(12.6, 3.6)
    y, names = 15, ("$x$", "$c$", "$c^2$", r"$\sigma^2$", r"$1/\sigma$", "$n$", "$y$")
    made_by = ("", "subtract", "square", "mean", "power -1/2", "multiply", r"$w\,n + b$")
    places = [7 + 18.5 * i for i in range(len(names))]
    for x, name, text in zip(places, names, made_by, strict=True):
        box(ax, x, y, name)
        ax.text(x, y - 5.4, text, ha="center", fontsize=11, color=INK)
    for left, right in pairwise(places):
        arrow(ax, (left + 3.8, y + 1.1), (right - 3.8, y + 1.1), FORWARD)
        arrow(ax, (right - 3.8, y - 1.1), (left + 3.8, y - 1.1), BACKWARD)
    for start, end, height, label in (
        (places[0], places[1] - 1.8, 8, "its mean"),
        (places[1] + 1.8, places[5], 12, "$c$, too"),
    ):
        for shift, color in ((0.7, FORWARD), (-0.7, BACKWARD)):
            top, ends = y + height + shift, (start - shift, end + shift)
            a, b = ends if color == FORWARD else ends[::-1]
            ax.plot((a, a, b), (y + 2.6, top, top), color=color, linewidth=1.6)
            arrow(ax, (b, top), (b, y + 2.6), color)
        ax.text((start + end) / 2, y + height + 2, label, ha="center", fontsize=11, color=INK)
    ax.text(4, 3, "forward: values", fontsize=12, color=FORWARD)
    ax.text(24, 3, "the tape in reverse: derivatives, added up", fontsize=12, color=BACKWARD)
    return figure


def copy() -> Figure:
    """Draw where each place looks, in a network that has learned to copy."""
    rng = np.random.default_rng(0)
    layer = MultiHeadAttention(16, 1, causal=True, rng=rng)
    places = Positions(12, 16, init=Normal(1.0), rng=rng)
    objective = Objective(Sequential(Embedding(9, 16, rng=rng), places, layer), CrossEntropyLoss())
    optimizer = Adam(objective.model.parameters(), lr=0.02)
    for _ in range(200):
        symbols = rng.integers(1, 9, (64, 6))
        x, target = np.hstack([symbols, 0 * symbols]), np.hstack([symbols, symbols])
        objective.forward(x, target)
        objective.backward()
        optimizer.step()
    objective.model.eval().forward(x[:1])
    figure = Figure(figsize=(6.4, 5.2), facecolor="white", layout="constrained")
    ax = figure.add_subplot()
    image = ax.imshow(layer.attention_weights()[0, 0], cmap="Blues", vmin=0, vmax=1)
    names = ["\u2423" if k == 0 else str(k) for k in x[0]]
    ax.set_xticks(range(12), names)
    ax.set_yticks(range(12), names)
    ax.tick_params(length=0)
    ax.set(xlabel="asked: its key and value", ylabel="asks: its query")
    figure.colorbar(image, label="weight", shrink=0.8)
    return figure


def classes() -> Figure:
    """Draw the Jacobian of a softmax of five numbers, as colours and numbers."""
    figure = Figure(figsize=(7.2, 3.4), facecolor="white", layout="constrained")
    y = np.array([0.05, 0.6, 0.2, 0.1, 0.05])
    left, right = figure.subplots(1, 2)
    left.barh(range(5), y, color=FORWARD)
    left.invert_yaxis()
    left.set(title="y, the output for one example", ylabel="class")
    left.spines[["top", "right"]].set_visible(False)
    jacobian = np.diag(y) - np.outer(y, y)  # (5, 5)
    right.imshow(jacobian, cmap="RdBu", vmin=-0.3, vmax=0.3)
    for (i, k), value in np.ndenumerate(jacobian):
        right.text(k, i, f"{value:.3f}", ha="center", va="center", fontsize=8, color=INK)
    right.set(title=r"its Jacobian, $\partial y_i / \partial z_k$", xlabel="k", ylabel="i")
    return figure


def norms() -> Figure:
    """Draw histograms of what tanh layers give, with too large weights, by depth."""
    figure = Figure(figsize=(9, 3), facecolor="white", layout="constrained")
    axes = figure.subplots(1, 3, sharey=True)
    titles = ("without a norm", "with LayerNorm", "with BatchNorm")
    for ax, title, axis in zip(axes, titles, (None, 1, 0), strict=True):
        rng = np.random.default_rng(0)
        a = rng.standard_normal((500, 32))
        for _ in range(20):
            z = a @ rng.standard_normal((32, 32))
            if axis is not None:
                z = (z - z.mean(axis, keepdims=True)) / z.std(axis, keepdims=True)
            a = np.tanh(z)
        ax.hist(a.ravel(), bins=np.linspace(-1, 1, 41), color=FORWARD)
        ax.set(title=title, xlabel="tanh", yticks=())
        ax.spines[["top", "right"]].set_visible(False)
    return figure


def depth() -> Figure:
    """Draw the size of the gradient in each of twenty layers, with and without residuals."""
    figure = Figure(figsize=(7, 3.4), facecolor="white", layout="constrained")
    ax = figure.add_subplot()
    for label, color, wrap in (
        ("y = x + f(x)", FORWARD, Residual),
        ("y = f(x)", BACKWARD, lambda layer: layer),
    ):
        rng, denses = np.random.default_rng(0), [Dense(32, 32) for _ in range(20)]
        for dense in denses:
            dense.weight.value = 0.05 * rng.standard_normal((32, 32))
        model = Sequential(*(wrap(Sequential(dense, GELU("tanh"))) for dense in denses))
        model.forward(rng.standard_normal((200, 32)))
        model.backward(np.full((200, 32), 1 / 200))
        norms = [np.linalg.norm(dense.parameters()[1].grad) for dense in denses]  # of b
        ax.semilogy(range(1, 21), norms, "o-", color=color, label=label)
    ax.set(xlabel="layer", ylabel="size of db", xticks=(1, 5, 10, 15, 20))
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend()
    return figure


def windows() -> Figure:
    """Draw an image, a kernel and what the kernel makes of it, with one window marked."""
    figure = Figure(figsize=(9, 3.2), facecolor="white", layout="constrained")
    x = np.zeros((8, 8))
    x[1, 1:7] = x[2, 5:7] = x[3, 4:6] = x[4:7, 3:5] = 1.0  # a seven
    kernel = np.array([[-1.0, 1.0, 0.0]] * 3)
    y = sum(kernel[u, v] * x[u : u + 6, v : v + 6] for u in range(3) for v in range(3))
    shown = ((x, "x", (4, 2, 3)), (kernel, "W", (0, 0, 3)), (y, "y", (4, 2, 1)))
    for ax, (values, title, (row, column, size)) in zip(
        figure.subplots(1, 3, width_ratios=(8, 3, 6)), shown, strict=True
    ):
        ax.imshow(values, cmap="RdBu", vmin=-4, vmax=4)
        for (r, c), value in np.ndenumerate(values):
            ax.text(c, r, f"{value:.0f}", ha="center", va="center", fontsize=9, color=INK)
        corner = (column - 0.5, row - 0.5)
        ax.add_patch(Rectangle(corner, size, size, fill=False, edgecolor=BACKWARD, linewidth=2.5))
        ax.set(title=title, xticks=(), yticks=())
    return figure


def clinic() -> Figure:
    """Draw how large the gradient of each of ten layers is, of sigmoids and of tanh."""
    figure = Figure(figsize=(8, 3.4), facecolor="white", layout="constrained")
    ax = figure.add_subplot()
    x, y = moons(rng=0)
    for layer, color, name in (
        (Sigmoid, BACKWARD, "before: ten layers of sigmoids"),
        (Tanh, FORWARD, "after: ten layers of tanh"),
    ):
        rng = np.random.default_rng(0)
        hidden = [part for i in range(10) for part in (Dense(8 if i else 2, 8, rng=rng), layer())]
        model = Sequential(*hidden, Dense(8, 1, rng=rng), Sigmoid())
        objective = Objective(model, BCELoss())
        objective.forward(x, y)
        objective.backward()
        lengths = [np.linalg.norm(part.weight.grad) for part in model if part.parameters()]
        ax.semilogy(range(1, 12), lengths, "o-", color=color, lw=2, label=name)
    ax.set(xlabel="layer", ylabel="length of its gradient", xticks=range(1, 12))
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(loc="lower right", fontsize=9, framealpha=0.9)
    return figure


PICTURES: dict[str, Callable[[], Figure]] = {
    "differences": differences,
    "bigrams": bigrams,
    "block": block,
    "copy": copy,
    "classes": classes,
    "depth": depth,
    "clinic": clinic,
    "graph": graph,
    "logits": logits,
    "matrices": matrices,
    "norms": norms,
    "perceptron": perceptron,
    "playground": playground,
    "slopes": slopes,
    "station": station,
    "tape": tape,
    "windows": windows,
}


WORDS = {  # of the labels; what is missing is the same in both languages
    "zh_CN": {
        "data": "数据",
        "mean cost": "平均代价",
        "forward: values": "前向：数值",
        "backward: derivatives of $J$": "反向：$J$ 的导数",
        "parameters": "参数",
        "one layer": "一层",
        r"forward:  $y = f(x,\ \theta)$": r"前向：$y = f(x,\ \theta)$",
        "saves what backward needs": "保存反向所需的值",
        r"backward:  $dx = dy\,\cdot\,\partial y/\partial x$": (
            r"反向：$dx = dy\,\cdot\,\partial y/\partial x$"
        ),
        r"$d\theta = dy\,\cdot\,\partial y/\partial\theta$, left in parameter.grad": (
            r"$d\theta = dy\,\cdot\,\partial y/\partial\theta$，存入 parameter.grad"
        ),
        "forward: a sum over the units": "前向：对各单元求和",
        "to the weight: a sum over the examples": "到权重：对各样本求和",
        "to the input: a sum over the outputs (here one)": "到输入：对各输出求和（这里只有一个）",
        "$m$ examples in columns, here 6": "$m$ 个样本，每列一个，这里是 6 个",
        "$n_h$ = 4 units, one output": "$n_h$ = 4 个单元，一个输出",
        "the factor $1/m$ of $dW_2$ is not drawn": "没有画出 $dW_2$ 的因子 $1/m$",
        r"its slope, $a\,(1-a)$": r"斜率 $a\,(1-a)$",
        "its slope, $1-a^2$": "斜率 $1-a^2$",
        "two clouds: a line parts them": "两团点：一条直线就能分开",
        "the flower: no line does": "花形数据：直线分不开",
        "class 0": "类别 0",
        "class 1": "类别 1",
        "before: ten layers of sigmoids": "治疗前：十层 sigmoid",
        "after: ten layers of tanh": "治疗后：十层 tanh",
        "layer": "层",
        "length of its gradient": "梯度的长度",
        "predicted probability of class 1": "类别 1 的预测概率",
        "iteration": "迭代次数",
        "cost": "代价",
        "tangent at x": "x 处的切线",
        "through x - h and x + h": "过 x - h 和 x + h 的直线",
        "cost of label 0": "标签 0 的代价",
        "its derivative by z": "代价对 z 的导数",
        "from z": "由 z 计算",
        r"from a = $\sigma(z)$": r"由 a = $\sigma(z)$ 计算",
        "subtract": "相减",
        "square": "平方",
        "mean": "均值",
        "power -1/2": "-1/2 次幂",
        "multiply": "相乘",
        "its mean": "它的均值",
        "$c$, too": "$c$ 也用到",
        "the tape in reverse: derivatives, added up": "倒着读磁带：导数，逐项相加",
        "norm": "归一化",
        "attention": "注意力",
        "what other places tell": "其他位置说的",
        "what each place makes of it": "每个位置自己的加工",
        "straight through: the derivative, too": "直接相加：导数也直接通过",
        "asked: its key and value": "被问的位置：键与值",
        "asks: its query": "提问的位置：查询",
        "weight": "权重",
        "next character": "下一个字符",
        "last character": "上一个字符",
        "probability of the next character": "下一个字符的概率",
        "y, the output for one example": "y：一个样本的输出",
        "class": "类别",
        "size of db": "db 的大小",
        "without a norm": "没有归一化",
        "with LayerNorm": "用 LayerNorm",
        "with BatchNorm": "用 BatchNorm",
        r"its Jacobian, $\partial y_i / \partial z_k$": (
            r"它的雅可比矩阵 $\partial y_i / \partial z_k$"
        ),
    }
}
FONTS = ["Noto Sans CJK SC", "DejaVu Sans"]


def translate(figure: Figure, words: dict[str, str]) -> None:
    """Put the words of another language in the place of the labels."""
    for label in figure.findobj(Text):
        if isinstance(label, Text) and label.get_text() in words:
            label.set_text(words[label.get_text()])
            label.set_fontfamily(FONTS)


def main() -> None:
    """Write all pictures beside this file."""
    for name, draw in PICTURES.items():
        draw().savefig(FOLDER / f"{name}.png", dpi=DPI)
        for language, words in WORDS.items():
            figure = draw()
            translate(figure, words)
            figure.savefig(FOLDER / f"{name}.{language}.png", dpi=DPI)


if __name__ == "__main__":
    main()
