"""A network as nodes and edges."""

from typing import Any, NamedTuple

import numpy as np

from minifw._tools.checks import check_is
from minifw._tools.numbers import check_size
from minifw._tools.tables import counted
from minifw.core.layer import Layer
from minifw.layers import Dense, Graph, Sequential
from minifw.plots._drawing import DIVERGING, GREY, INK, Axes, Figure, Path, axes_for, bar, finish
from minifw.plots._levels import draw_graph
from minifw.typing import Array

WIDE = 2.4  # inches between columns
TALL, TALLEST = 0.62, 7.0  # inches between units, and of all of them
LINE = 0.22  # inches of a line of text
DIAMETER = 20.0  # of a unit, in points; less, where they stand closer
CLOSE = 0.5  # of their distance
THIN, THICK = 0.4, 4.0  # of an edge of weight 0, and of the largest, in points


class _Column(NamedTuple):
    """The units of one layer, and where they stand."""

    size: int
    rows: list[int]
    """The units that are drawn."""
    heights: Array
    """(len(rows),): where."""
    dense: Dense | None
    """The layer that leads here; none to the inputs."""
    lines: list[str]
    """What is written below."""


def network(
    model: Layer, path: Path = None, *, ax: "Axes | None" = None, most: int = 16
) -> "Figure":
    """Draw a network of `Dense` layers and activations: units, and weights as edges.

    Of a `Graph` the lines are drawn as boxes, below what they take: inputs in blue, outputs in
    orange. What skips a level goes around in an arc.

    Parameters
    ----------
    model : Sequential, Dense, or Graph
        A Sequential of `Dense` layers, with layers between them that keep the number of
        units, such as activations. A Sequential inside is taken apart. A Graph of any layers.
    path : str or path, optional
        The file to write.
    ax : Axes, optional
        Where to draw.
    most : int, default 16
        Of a layer with more units, so many are drawn, the first and the last.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If `model` is not a layer.
    ValueError
        If there is a layer that cannot be drawn so.

    Notes
    -----
    Edges and units have one scale of colours, from the largest negative weight or bias
    in blue to the largest positive in red; a thick edge is a large weight.

    Examples
    --------
    >>> from minifw import Dense, Sequential, Sigmoid, Tanh, plots
    >>> model = Sequential(Dense(2, 4, rng=3), Tanh(), Dense(4, 1, rng=4), Sigmoid())
    >>> figure = plots.network(model)  # doctest: +SKIP
    """
    units = check_size("plots.network", "most", most, least=2)
    if isinstance(model, Graph):
        return draw_graph(model, path, ax)
    columns = _columns(model, units)
    tallest = max(len(column.rows) + (len(column.rows) < column.size) for column in columns)
    apart = min(TALL, TALLEST / tallest)  # inches
    lines = max(len(column.lines) for column in columns)
    below = LINE * (lines + 1) / apart  # in the distance of units, which is 1
    height = max(2.6, apart * (tallest + below))
    size = (2.2 + WIDE * (len(columns) - 1), height)
    figure, (plane,) = axes_for("network", ax, size)
    diameter = min(DIAMETER, 72 * CLOSE * apart)
    values = [p.value for column in columns if column.dense for p in column.dense.parameters()]
    limit = max((float(np.abs(value).max(initial=0)) for value in values), default=0.0)
    limit = limit if np.isfinite(limit) and limit > 0 else 1.0
    shades = _edges(plane, columns, limit)
    for place, column in enumerate(columns):
        _units(plane, place, column, limit, diameter)
    _captions(plane, columns, lines, below)
    shrink = min(0.8, 3.0 / height)
    style: Any = {"shrink": shrink, "aspect": 18, "ticks": [-limit, 0, limit], "format": "{x:.2g}"}
    bar(figure, shades, plane, "weight (edge), bias (unit)", **style)
    return finish(figure, path)


def _edges(plane: "Axes", columns: list[_Column], limit: float) -> Any:
    from matplotlib.collections import LineCollection  # noqa: PLC0415 - optional

    segments, weights = [], []
    for place, column in enumerate(columns[1:], 1):
        if column.dense is None:
            continue
        weight = column.dense.weight.value  # (out, in)
        before = columns[place - 1]
        for row, to in zip(column.rows, column.heights, strict=True):
            for unit, start in zip(before.rows, before.heights, strict=True):
                segments.append([(place - 1, start), (place, to)])
                weights.append(float(weight[row, unit]))
    sizes = np.nan_to_num(np.abs(np.array(weights)) / limit, nan=1.0).clip(0, 1)
    order = np.argsort(sizes, kind="stable")  # large weights on top
    lines = LineCollection(
        [segments[i] for i in order],
        array=np.array(weights)[order],
        cmap=DIVERGING,
        linewidths=THIN + (THICK - THIN) * sizes[order],
        alpha=0.25 + 0.75 * sizes[order],
        capstyle="round",
        zorder=1,
    )
    lines.set_clim(-limit, limit)
    plane.add_collection(lines)
    # The edges are translucent where they are small; what explains the colours is not.
    from matplotlib.cm import ScalarMappable  # noqa: PLC0415 - optional
    from matplotlib.colors import Normalize  # noqa: PLC0415

    return ScalarMappable(Normalize(-limit, limit), DIVERGING)


def _units(plane: "Axes", place: int, column: _Column, limit: float, diameter: float) -> None:
    rows, heights = column.rows, column.heights
    bias = column.dense.bias if column.dense else None
    style: dict[str, Any] = {"s": diameter**2, "edgecolors": INK, "linewidths": 1.2, "zorder": 2}
    where = np.full(len(rows), float(place))
    if bias is None:
        plane.scatter(where, heights, color="white", **style)
    else:
        plane.scatter(
            where, heights, c=bias.value[rows], cmap=DIVERGING, vmin=-limit, vmax=limit, **style
        )
    if place == 0:
        for row, height in zip(rows, heights, strict=True):
            unit = f"$x_{{{row + 1}}}$"
            plane.text(place, height, unit, ha="center", va="center", size=diameter / 2, zorder=3)
    if len(rows) < column.size:  # three dots where units are left out
        last = (len(rows) + 1) // 2  # of the first ones
        dots = (heights[last - 1] + heights[last]) / 2 + np.array([-0.25, 0.0, 0.25])
        plane.scatter(np.full(3, float(place)), dots, s=(diameter / 7) ** 2, color=GREY, zorder=2)


def _captions(plane: "Axes", columns: list[_Column], lines: int, below: float) -> None:
    low = min(float(column.heights.min()) for column in columns)
    high = max(float(column.heights.max()) for column in columns)
    for place, column in enumerate(columns):
        for index, line in enumerate(column.lines):
            at = low - 0.5 - below * (index + 1) / (lines + 1)
            plane.text(place, at, line, ha="center", va="baseline", size=10, color=INK)
    plane.set_xlim(-0.45, len(columns) - 1 + 0.45)
    plane.set_ylim(low - 0.5 - below, high + 0.5)
    plane.axis("off")


def _column(size: int, most: int, dense: Dense | None, noun: str) -> _Column:
    """Return a column of all units, or of the first and the last, with a gap between them."""
    rows = list(range(size))
    del rows[(most + 1) // 2 : max(0, size - most) + (most + 1) // 2]
    places = np.arange(len(rows)) + (np.array(rows) > np.arange(len(rows)))  # (rows,)
    return _Column(size, rows, places[-1] / 2 - places, dense, [counted(size, noun)])


def _columns(model: Any, most: int) -> list[_Column]:
    """Return the columns of units, or raise for what has none."""
    check_is("plots.network", "model to be a layer", model, Layer)
    columns: list[_Column] = []
    first: list[str] = []  # layers before the first Dense
    for path, layer in _steps("", model):
        where = f"layer {path}, {layer!r}" if path else repr(layer)
        if isinstance(layer, Dense):
            if not columns:
                columns.append(_column(layer.in_features, most, None, "input"))
                columns[0].lines.extend(first)
            columns.append(_column(layer.out_features, most, layer, "unit"))
        elif not _keeps_units(layer, columns[-1].size if columns else None):
            raise ValueError(
                "plots.network draws Dense layers, and layers that keep the number of units, "
                f"such as activations; got {where}"
            )
        else:
            (columns[-1].lines if columns else first).append(type(layer).__name__)
    if not columns:
        raise ValueError(f"plots.network expects at least one Dense layer, got {model!r}")
    return columns


def _steps(path: str, layer: Layer) -> list[tuple[str, Layer]]:
    """Return a chain as its layers, with their paths; chains inside it, too."""
    if not isinstance(layer, Sequential):
        return [(path, layer)]
    return [
        step
        for index, inner in enumerate(layer)
        for step in _steps(f"{path}.{index}".removeprefix("."), inner)
    ]


def _keeps_units(layer: Layer, size: int | None) -> bool:
    if layer.named_layers():  # what is inside would not be seen
        return False
    if size is None:
        return not layer.parameters()
    try:
        return bool(layer.output_shape((size,)) == (size,))
    except (TypeError, ValueError):
        return False
