"""What all pictures share: matplotlib on demand, figures and axes, colours."""

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeAlias

from minifw._tools.checks import describe
from minifw._tools.extras import needs

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

Axes: TypeAlias = "matplotlib.axes.Axes"
Figure: TypeAlias = "matplotlib.figure.Figure"
Path: TypeAlias = "str | PathLike[str] | None"
AxesLike: TypeAlias = "Axes | Sequence[Axes] | None"

# Two colours of Okabe and Ito, which differ for every kind of colour vision, and of
# matplotlib's maps the one from blue to red, which is, too.
BLUE, ORANGE = "#0072B2", "#D55E00"
DIVERGING = "RdBu_r"
# Their other colours, black for the last, and two greys: ten classes.
CLASS_COLORS = (
    *(BLUE, ORANGE, "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#F0E442", "#000000"),
    *("#7F7F7F", "#BFBFBF"),
)
INK, GREY = "#222222", "#666666"  # of text, and of what stands back

MARGIN = 0.08  # inches around each axes with its labels
DPI = 120  # of a file
LEGEND: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0), "frameon": False}
TITLE, LABEL, TICK = 12, 11, 10  # sizes of letters, in points


def axes_for(
    owner: str,
    ax: AxesLike,
    size: tuple[float, float],
    grid: tuple[int, int] = (1, 1),
    *,
    share_x: bool = False,
) -> "tuple[Figure, list[Axes]]":
    """Return the axes to draw into, row by row, and their figure: those given, or new ones.

    Parameters
    ----------
    owner : str
        The function, for the messages.
    ax : Axes, sequence of Axes, or None
    size : tuple of float
        Of a new figure, in inches.
    grid : tuple of int
        The rows and columns of axes that are needed.
    share_x : bool, default False
        Whether new ones have one x axis.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError
        If what is given is not axes, or not as many as needed.
    """
    with needs(f"plots.{owner}", "matplotlib", "plot"):
        import matplotlib.axes  # noqa: PLC0415 - optional
        import matplotlib.figure  # noqa: PLC0415
    wanted = grid[0] * grid[1]
    if ax is None:
        figure = matplotlib.figure.Figure(figsize=size)
        figure.set_layout_engine("constrained", w_pad=MARGIN, h_pad=MARGIN)
        found = list(figure.subplots(*grid, squeeze=False, sharex=share_x).flat)
    else:
        found = [ax] if isinstance(ax, matplotlib.axes.Axes) else _listed(owner, ax)
        for one in found:
            if not isinstance(one, matplotlib.axes.Axes):
                raise TypeError(f"plots.{owner} expects ax to be matplotlib axes, got {one!r}")
        if len(found) != wanted:
            raise ValueError(f"plots.{owner} draws into {wanted} axes, got {len(found)} in ax")
        inner: Any = found[0].figure
        figure = inner.figure  # the whole, if that is a part of one
    for one in found:
        one.tick_params(labelsize=TICK, colors=INK)
        one.xaxis.label.set(size=LABEL, color=INK)
        one.yaxis.label.set(size=LABEL, color=INK)
        one.title.set(size=TITLE, color=INK)
    return figure, found


def _listed(owner: str, ax: Any) -> "list[Axes]":
    try:
        return list(getattr(ax, "flat", ax))  # of an array of axes, as subplots gives it
    except TypeError:
        raise TypeError(
            f"plots.{owner} expects ax to be matplotlib axes, got {describe(ax)}"
        ) from None


def open_up(ax: "Axes") -> None:
    """Draw no frame but the lines that are read, and a faint grid behind."""
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(GREY)
    ax.grid(alpha=0.25)
    ax.set_axisbelow(True)


def bar(figure: "Figure", image: Any, ax: AxesLike, what: str, **style: Any) -> None:
    """Put a bar beside, which says what the colours mean."""
    colors = figure.colorbar(image, ax=ax, **style)
    colors.set_label(what, size=LABEL, color=INK)
    colors.outline.set_visible(False)


def finish(figure: "Figure", path: Path) -> "Figure":
    """Write the figure if there is a path, and return it."""
    if path is not None:
        figure.savefig(path, dpi=DPI)
    return figure
