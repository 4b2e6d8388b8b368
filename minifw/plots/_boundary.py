"""A model's predictions over the plane."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minifw._tools.checks import check_is, describe
from minifw._tools.numbers import check_size
from minifw.core.layer import Layer
from minifw.layers import Sigmoid
from minifw.plots._drawing import (
    CLASS_COLORS,
    DIVERGING,
    INK,
    LEGEND,
    Axes,
    Figure,
    Path,
    axes_for,
    bar,
    finish,
)
from minifw.typing import Array

MARGIN = 0.08  # around the data, as a part of their extent
SIDE = 4.6  # inches of the plane across
STRETCH = 2.5  # up to which a unit of one feature is drawn as long as one of the other
ROWS = 8192  # of the plane that go through the model at once
CLASSES = len(CLASS_COLORS)
SHADING: Any = {"origin": "lower", "interpolation": "bilinear", "aspect": "auto", "alpha": 0.65}
DOTS: dict[str, Any] = {"s": 22, "edgecolors": "white", "linewidths": 0.6, "zorder": 3}

AnyArray = np.ndarray[Any, Any]


def decision_boundary(
    model: Layer | Callable[[Array], Array],
    x: AnyArray,
    y: AnyArray,
    path: Path = None,
    *,
    ax: "Axes | None" = None,
    threshold: float | None = None,
    resolution: int = 301,
    colorbar: bool = True,
) -> "Figure":
    """Draw what a model says of the plane, with its boundary and the data.

    Parameters
    ----------
    model : Layer, or a function
        From (points, 2) to (points, 1) or (points, classes). A layer is asked in eval
        mode, in its dtype, and is left as it is.
    x : array of shape (examples, 2)
    y : array
        The classes: (examples,) or (examples, 1), of two or more numbers or names; or
        (examples, classes), of which the largest counts.
    path : str or path, optional
        The file to write.
    ax : Axes, optional
        Where to draw.
    threshold : float, optional
        Where the boundary of one output lies. Default: 0.5 for a model that ends in a
        `Sigmoid` and for a function, 0 for one that gives logits or scores.
    resolution : int, default 301
        Points of the plane along each side.
    colorbar : bool, default True
        Whether to explain the shading beside it.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError
        If x is not in the plane, y does not fit, or the model's output is neither one
        number a point nor one for each class.

    Examples
    --------
    >>> from minifw import Dense, Sequential, Sigmoid, plots
    >>> from minifw.datasets import blobs
    >>> x, y = blobs(40, rng=0)
    >>> model = Sequential(Dense(2, 1, rng=0), Sigmoid())
    >>> figure = plots.decision_boundary(model, x, y)  # doctest: +SKIP
    """
    owner = "plots.decision_boundary"
    x, classes = _checked(owner, x, y)
    points = check_size(owner, "resolution", resolution, least=2)
    low, high = x.min(axis=0), x.max(axis=0)
    reach = MARGIN * np.maximum(high - low, 1e-3 * (1 + np.abs(high)))  # (2,); one point has none
    width, height = high - low + 2 * reach
    alike = 1 / STRETCH <= height / width <= STRETCH  # else the two have other units
    tall = SIDE * (height / width if alike else 0.8)
    size = (SIDE + (1.8 if colorbar else 0.8), tall + 0.8)
    figure, (plane,) = axes_for("decision_boundary", ax, size)
    across, up = np.meshgrid(
        np.linspace(low[0] - reach[0], high[0] + reach[0], points),
        np.linspace(low[1] - reach[1], high[1] + reach[1], points),
    )
    output = _ask(owner, model, np.stack([across.ravel(), up.ravel()], axis=1))
    if output.shape[1] == 1:
        field = output.reshape(across.shape)
        limit = _threshold(model) if threshold is None else float(threshold)
        _shade_one(figure, plane, (across, up, field), limit, colorbar=colorbar)
    else:
        if output.shape[1] > CLASSES:
            raise ValueError(f"{owner} draws up to {CLASSES} classes, got {output.shape[1]}")
        _shade_classes(plane, (across, up), output)
    kinds = output.shape[1] if output.shape[1] > 1 else 0
    _scatter(plane, x, classes, kinds)
    plane.set(xlabel="$x_1$", ylabel="$x_2$")
    plane.set_aspect("equal" if alike else "auto", adjustable="box")
    plane.set(xlim=(across[0, 0], across[0, -1]), ylim=(up[0, 0], up[-1, 0]))
    return finish(figure, path)


def _shade_one(
    figure: "Figure",
    plane: "Axes",
    field: tuple[Array, Array, Array],
    limit: float,
    *,
    colorbar: bool,
) -> None:
    """Shade the two sides of one output, the boundary between them in black."""
    across, up, values = field
    finite = values[np.isfinite(values)]
    reach = float(np.abs(finite - limit).max()) if finite.size else 1.0
    probability = limit == 0.5 and reach <= 0.5
    reach = 0.5 if probability else reach or 1.0
    shades = plane.imshow(values, extent=_extent(across, up), cmap=DIVERGING, **SHADING)
    shades.set_clim(limit - reach, limit + reach)
    if finite.size and finite.min() < limit < finite.max():
        plane.contour(across, up, values, [limit], colors=INK, linewidths=1.4)
    if colorbar:
        what = "predicted probability of class 1" if probability else "output of the model"
        ticks = [limit - reach, limit, limit + reach]
        bar(figure, shades, plane, what, ticks=ticks, format="%.3g")


def _shade_classes(plane: "Axes", grid: tuple[Array, Array], scores: Array) -> None:
    """Shade the region of each class, with lines between them; scores: (points, classes)."""
    from matplotlib.colors import to_rgb  # noqa: PLC0415 - optional

    colors = np.array([to_rgb(color) for color in CLASS_COLORS])  # (10, 3)
    shape = grid[0].shape
    winner = scores.argmax(axis=1).reshape(shape)
    plane.imshow(colors[winner], extent=_extent(*grid), **{**SHADING, "alpha": 0.3})
    scores = np.nan_to_num(scores)  # of log-probabilities, which may be -inf
    for k in np.unique(winner):
        others = np.delete(scores, k, axis=1).max(axis=1)
        ahead = (scores[:, k] - others).reshape(shape)
        if ahead.min() < 0 < ahead.max():
            plane.contour(*grid, ahead, [0], colors=INK, linewidths=1.2)


def _extent(across: Array, up: Array) -> tuple[float, float, float, float]:
    return across[0, 0], across[0, -1], up[0, 0], up[-1, 0]


def _scatter(plane: "Axes", x: Array, classes: AnyArray, kinds: int) -> None:
    """Draw the data; with `kinds` classes of the model in their colours, else from blue to red."""
    from matplotlib import colormaps  # noqa: PLC0415 - optional

    names = np.unique(classes)
    for index, name in enumerate(names):
        color: Any = colormaps[DIVERGING](0.04 + 0.92 * index / max(1, len(names) - 1))
        if kinds:
            known = not isinstance(name, str) and float(name).is_integer() and 0 <= name < kinds
            color = CLASS_COLORS[int(name) if known else index]
        points = x[classes == name]
        label = name if isinstance(name, str) else f"class {name:g}"
        plane.scatter(*points.T, color=[color], label=label, **DOTS)
    columns = min(5, len(names))
    plane.legend(ncols=columns, handletextpad=0.1, columnspacing=1.2, fontsize=10, **LEGEND)


def _ask(owner: str, model: Any, grid: Array) -> Array:
    """Return the outputs for all points of the plane, (points, outputs)."""
    check_is(owner, "model to be a layer or a function", model, Callable)
    if isinstance(model, Layer):
        output = model.predict(grid, batch_size=ROWS, allow_nan=True)
    else:
        parts = [np.asarray(model(grid[i : i + ROWS])) for i in range(0, len(grid), ROWS)]
        output = np.concatenate(parts)
    if output.ndim == 1:
        output = output[:, np.newaxis]
    if output.ndim != 2 or len(output) != len(grid):
        raise ValueError(
            f"{owner} expects one output for each point, or one for each class, "
            f"got shape {output.shape} for {len(grid)} points"
        )
    return np.asarray(output)


def _threshold(model: Any) -> float:
    ends = model.split_last()[1] if isinstance(model, Layer) else None
    return 0.5 if ends is None or isinstance(ends, Sigmoid) else 0.0


def _checked(owner: str, x: Any, y: Any) -> tuple[Array, AnyArray]:
    """Return x, and the class of each row as a number or a name."""
    x, y = np.asarray(x), np.asarray(y)
    if x.ndim != 2 or x.shape[1] != 2 or not len(x):
        raise ValueError(f"{owner} expects x of shape (examples, 2), got {x.shape}")
    if y.dtype.kind == "O" and all(isinstance(name, str) for name in y.flat):
        y = y.astype(str)
    if y.dtype.kind not in "fiubU":
        raise TypeError(f"{owner} expects y to hold numbers or names, got {describe(y)}")
    if y.ndim == 2:
        y = y[:, 0] if y.shape[1] == 1 else y.argmax(axis=1)
    if y.shape != (len(x),):
        raise ValueError(
            f"{owner} expects y with one class for each of {len(x)} rows, got {y.shape}"
        )
    if len(np.unique(y)) > CLASSES:
        raise ValueError(f"{owner} draws up to {CLASSES} classes, got {len(np.unique(y))} in y")
    return x.astype(np.float64, copy=False), y
