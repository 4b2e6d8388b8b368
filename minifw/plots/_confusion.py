"""The confusion matrix."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minifw.plots._drawing import INK, Axes, Figure, Path, axes_for, bar, finish

AnyArray = np.ndarray[Any, Any]

DARK = 0.5  # the share from which on the ground is so dark that text is white
NUMBERS = 20  # classes up to which each cell has its number written in


def confusion_matrix(
    target: Any,
    predicted: Any,
    labels: Sequence[str] | None = None,
    path: Path = None,
    *,
    ax: "Axes | None" = None,
) -> "Figure":
    """Draw how many examples of each class were taken for which.

    Parameters
    ----------
    target, predicted : array of shape (examples,) or (examples, 1)
        The class of each example, from 0; or (examples, classes), of which the
        largest counts. The target comes first, as in scikit-learn.
    labels : sequence of str, optional
        The names of the classes.
    path : str or path, optional
        The file to write.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If the two differ in length, hold what is not a class, or more classes than
        there are labels.

    Notes
    -----
    A row is a true class, and the shade of a cell its share of that row.

    Examples
    --------
    >>> from minifw import plots
    >>> figure = plots.confusion_matrix([0, 0, 1, 1], [0, 1, 1, 1])  # doctest: +SKIP
    """
    true = _classes("target", target)
    guess = _classes("predicted", predicted)
    if len(true) != len(guess):
        raise ValueError(
            "plots.confusion_matrix expects as many predictions as targets, got "
            f"{len(guess)} and {len(true)}"
        )
    size = 1 + int(max(true.max(), guess.max()))
    if labels is not None:
        if len(labels) < size:
            raise ValueError(
                f"plots.confusion_matrix expects a label for each of {size} classes, got "
                f"{len(labels)}"
            )
        size = len(labels)
    names = [str(k) for k in range(size)] if labels is None else [str(name) for name in labels]
    counts = np.zeros((size, size), np.int64)
    np.add.at(counts, (true, guess), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    side = min(9.0, 3.0 + 0.45 * size)
    figure, (plane,) = axes_for("confusion_matrix", ax, (side + 0.9, side))
    image = plane.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if size <= NUMBERS:
        letters = float(np.clip(90 / size, 7, 13))
        for row, column in np.ndindex(size, size):
            color = "white" if shares[row, column] > DARK else INK
            text = f"{counts[row, column]:,}"
            plane.text(column, row, text, ha="center", va="center", color=color, size=letters)
    long = max(map(len, names)) > 3
    plane.set_xticks(range(size), names, rotation=45 if long and size > 3 else 0)
    if long and size > 3:
        for tick in plane.get_xticklabels():
            tick.set(ha="right", rotation_mode="anchor")
    plane.set_yticks(range(size), names)
    plane.set_xticks(np.arange(size + 1) - 0.5, minor=True)
    plane.set_yticks(np.arange(size + 1) - 0.5, minor=True)
    plane.grid(which="minor", color="white", linewidth=1.5)
    plane.tick_params(which="both", length=0)
    for spine in plane.spines.values():
        spine.set_visible(False)
    right = int(np.trace(counts))
    plane.set(xlabel="predicted", ylabel="true")
    plane.set_title(f"{right:,} of {len(true):,} right: {right / len(true):.1%}")
    style: dict[str, Any] = {"ticks": [0, 0.5, 1], "format": "{x:.0%}", "shrink": 0.75}
    bar(figure, image, plane, "share of the true class", **style)
    return finish(figure, path)


def _classes(name: str, given: Any) -> AnyArray:
    """Return the class of each example, (examples,)."""
    array = np.asarray(given)
    if array.ndim == 2:
        array = array[:, 0] if array.shape[1] == 1 else array.argmax(axis=1)
    if array.ndim != 1 or not array.size:
        raise ValueError(
            f"plots.confusion_matrix expects {name} of shape (examples,) or (examples, classes), "
            f"got {np.shape(given)}"
        )
    whole = array.dtype.kind in "biuf" and bool((array == np.floor(array)).all())
    if not whole or not 0 <= array.min() <= array.max() < np.inf:
        fix = "; of probabilities, pass predicted > 0.5" if name == "predicted" else ""
        raise ValueError(
            f"plots.confusion_matrix expects {name} to hold classes, whole numbers from 0{fix}"
        )
    return array.astype(np.int64)
