"""How weights and gradients are spread, and how that changes in training."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minifw._tools.checks import check_is
from minifw._tools.numbers import check_size
from minifw.core.layer import Layer
from minifw.plots._drawing import BLUE, GREY, ORANGE, AxesLike, Path, axes_for, finish, open_up
from minifw.typing import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BINS = 48  # of histograms: about as many as the eye tells apart in a small panel
FEWEST = 12  # bins of a histogram of few values
CELLS = 160  # of a column of the picture, into which the bins are spread
SMOOTHING = np.array([1, 4, 6, 4, 1]) / 16  # over neighbouring cells
DECADES = 4  # of a logarithmic scale, on either side of 0
MANY = 6  # parameters from which on those with one axis, such as biases, are left out


class _Spread(NamedTuple):
    """How the values of one array are spread.

    Quantiles rather than the counts of a histogram, so it need not be known before
    where the values will lie, and each can be drawn on any scale.
    """

    low: float
    high: float
    marks: Array
    """(bins + 1,): between two neighbours lies the same number of values, the first is the
    lowest and the last the highest; of no more values than that, themselves in their order"""
    each: bool
    """Whether it is the values themselves."""


class ParameterHistory:
    """Records how the values and gradients of every parameter are spread, time after time.

    Call it after each ``backward``. It keeps the same few numbers of a parameter of any
    size: the bounds of bins that hold equally many of its values. Of one that has no more
    values than that, it keeps the values.

    Parameters
    ----------
    model : Layer
    every : int, default 1
        How many calls there are for one record; the first is one.
    bins : int, default 48
        How many hold the values of a parameter.

    Attributes
    ----------
    times : list of int
        The numbers of the calls that were recorded, from 0.

    Examples
    --------
    >>> from minifw import Dense
    >>> from minifw.plots import ParameterHistory
    >>> model = Dense(2, 4, rng=0)
    >>> record = ParameterHistory(model, every=10)
    >>> for _ in range(25):  # instead of training
    ...     record()
    >>> record.times, record.names
    ([0, 10, 20], ['weight', 'bias'])
    """

    def __init__(self, model: Layer, *, every: int = 1, bins: int = BINS) -> None:
        check_is("ParameterHistory", "model to be a layer", model, Layer)
        self.every = check_size("ParameterHistory", "every", every)
        self.bins = check_size("ParameterHistory", "bins", bins, least=2)
        self.times: list[int] = []
        self._model = model
        self._calls = 0
        self._sizes: dict[str, int] = {}  # how many axes each parameter has
        self._records: dict[str, list[tuple[_Spread, _Spread]]] = {}

    def __call__(self) -> None:
        """Record the values and gradients as they are, if it is time."""
        if self._calls % self.every == 0:
            for name, parameter in self._model.named_parameters():
                self._sizes[name] = parameter.value.ndim
                pair = _spread(parameter.value, self.bins), _spread(parameter.grad, self.bins)
                self._records.setdefault(name, []).append(pair)
            self.times.append(self._calls)
        self._calls += 1

    @property
    def names(self) -> list[str]:
        """The names of the parameters that were recorded."""
        return list(self._records)

    def __len__(self) -> int:
        return len(self.times)

    def __repr__(self) -> str:
        return f"ParameterHistory({len(self.times)} times, {len(self._records)} parameters)"


def histograms(
    source: ParameterHistory | Layer,
    path: Path = None,
    *,
    ax: AxesLike = None,
    names: Sequence[str] | None = None,
) -> "Figure":
    """Draw how values and gradients are spread: now, or over training.

    Parameters
    ----------
    source : ParameterHistory or Layer
        Of a layer, the histograms of its parameters now. Of a history, how they
        changed: steps go to the right, and the darker, the more values lie there. Of a
        parameter of few numbers (not more than ``bins``), each is a line. Gradients have
        a scale that is logarithmic but near 0.
    path : str or path, optional
        The file to write.
    ax : sequence of Axes, optional
        Where to draw: two for each parameter, values on the left, gradients on the right.
    names : sequence of str, optional
        Which parameters. Default: all, or of more than 6 those with two axes and more.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError
        If `source` is neither, nothing was recorded, or a name is unknown.

    Examples
    --------
    >>> from minifw import Dense, plots
    >>> figure = plots.histograms(Dense(20, 30, rng=0))  # doctest: +SKIP
    """
    check_is("plots.histograms", "a layer or a ParameterHistory", source, Layer | ParameterHistory)
    if isinstance(source, ParameterHistory):
        if not source.times:
            raise ValueError(
                "plots.histograms: nothing was recorded; call the history in training"
            )
        chosen = _chosen(names, source._sizes)
    else:
        parameters = dict(source.named_parameters())
        chosen = _chosen(names, {name: p.value.ndim for name, p in parameters.items()})
    size = (8.4, 0.7 + 1.75 * len(chosen))
    over_time = isinstance(source, ParameterHistory)
    figure, panels = axes_for("histograms", ax, size, (len(chosen), 2), share_x=over_time)
    for row, name in enumerate(chosen):
        left, right = panels[2 * row : 2 * row + 2]
        if isinstance(source, ParameterHistory):
            values, grads = zip(*source._records[name], strict=True)
            _near_zero_linear(right, max(max(abs(g.low), abs(g.high)) for g in grads))
            _draw_changes(left, source, values, BLUE, "Blues")
            _draw_changes(right, source, grads, ORANGE, "Oranges")
        else:
            _draw_now(left, parameters[name].value, BLUE)
            _draw_now(right, parameters[name].grad, ORANGE)
        left.set_ylabel(name)
    panels[0].set_title("values")
    panels[1].set_title("gradients")
    if over_time:
        for panel in panels[-2:]:
            panel.set_xlabel("step")
    figure.align_ylabels(panels)
    return finish(figure, path)


def _spread(array: Array, bins: int) -> _Spread:
    """Return how the values are spread; those that are not finite are left out."""
    values = array.astype(np.float64).ravel()
    finite = values[np.isfinite(values)]
    if not finite.size:
        return _Spread(0.0, 0.0, np.full(min(values.size, bins + 1), np.nan), each=False)
    low, high = float(finite.min()), float(finite.max())
    if values.size <= bins + 1:
        return _Spread(low, high, values, each=True)
    return _Spread(low, high, np.quantile(finite, np.linspace(0, 1, bins + 1)), each=False)


def _draw_now(panel: "Axes", array: Array, color: str) -> None:
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 - optional

    finite = array[np.isfinite(array)].astype(np.float64)
    if finite.size:
        low, high = float(finite.min()), float(finite.max())
        bins = int(np.clip(2 * np.sqrt(finite.size), FEWEST, BINS))
        reach = high - low
        if reach <= np.spacing(max(abs(low), abs(high))) * bins:  # all the same, up to rounding
            reach = 0.1 * (abs(low) or 1.0)  # a bar of some width
            low -= reach / 2
        counts, edges = np.histogram(finite, np.linspace(low, low + reach, bins + 1))
        panel.stairs(counts, edges, fill=True, color=color, alpha=0.85)
    panel.axvline(0, color=GREY, linewidth=0.9, linestyle=":")
    panel.set_ylim(bottom=0)
    panel.xaxis.set_major_locator(MaxNLocator(4))
    panel.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    panel.ticklabel_format(axis="x", scilimits=(-2, 3), useMathText=True)
    open_up(panel)


def _draw_changes(
    panel: "Axes", history: ParameterHistory, records: Sequence[_Spread], color: str, cmap: str
) -> None:
    """Draw the values of all times, one column each; those that are few as lines."""
    low = min(record.low for record in records)
    high = max(record.high for record in records)
    times = history.times
    if any(record.each for record in records):
        lines = np.stack([record.marks for record in records])  # (times, numbers)
        panel.plot(times, lines, color=color, linewidth=1.1, alpha=0.75)
    else:
        scale: Any = panel.yaxis.get_transform()
        margin = 0.0 if high > low else 0.1 * (abs(low) or 1.0)
        start, stop = scale.transform(np.array([low - margin, high + margin]))
        cells = np.linspace(start, stop, CELLS + 1)  # of equal height in the picture
        shares = [_shares(scale.transform(record.marks), cells) for record in records]
        columns = np.stack(shares, axis=1)  # (CELLS, times)
        edges = scale.inverted().transform(cells)
        starts = np.array([*times, times[-1] + history.every], np.float64) - history.every / 2
        shown = np.ma.masked_equal(np.sqrt(columns), 0)
        panel.pcolormesh(starts, edges, shown, cmap=cmap, vmin=-0.15, vmax=1, rasterized=True)
        for extreme in zip(*[(record.low, record.high) for record in records], strict=True):
            panel.plot(times, extreme, color=color, linewidth=0.8)
    panel.axhline(0, color=GREY, linewidth=0.9, linestyle=":")
    if len(times) > 1:
        panel.set_xlim(times[0], times[-1])
    open_up(panel)


def _near_zero_linear(panel: "Axes", largest: float) -> None:
    """Make the y axis logarithmic on both sides of 0, and linear near it."""
    if not largest > 0:
        return
    decade = int(np.floor(np.log10(largest)))
    panel.set_yscale("symlog", linthresh=10.0 ** (decade - DECADES))
    ticks = [10.0 ** (decade - k) for k in range(0, DECADES, 2)]
    panel.set_yticks([*(-tick for tick in ticks), 0.0, *ticks])
    panel.minorticks_off()


def _shares(marks: Array, cells: Array) -> Array:
    """Return how full each cell is, relative to the fullest, a little smoothed."""
    if not np.isfinite(marks).all():
        return np.zeros(len(cells) - 1)
    below = np.interp(cells, marks, np.linspace(0, 1, len(marks)))  # the share below each edge
    shares = np.convolve(np.diff(below), SMOOTHING, "same")
    inside = (cells[1:] >= marks[0]) & (cells[:-1] <= marks[-1])
    shares = np.where(inside, shares, 0)
    return np.asarray(shares / (shares.max() or 1.0))


def _chosen(names: Sequence[str] | None, axes: dict[str, int]) -> list[str]:
    """Return which parameters are drawn."""
    if not axes:
        raise ValueError("plots.histograms expects a model with parameters, got none")
    if names is None:
        several = [name for name, ndim in axes.items() if ndim > 1]
        return several if len(axes) > MANY and several else list(axes)
    names = [names] if isinstance(names, str) else list(names)
    for name in names:
        if name not in axes:
            raise ValueError(
                f"plots.histograms: no parameter is called {name!r}; there are {', '.join(axes)}"
            )
    if not names:
        raise ValueError("plots.histograms expects at least one name, got none")
    return names
