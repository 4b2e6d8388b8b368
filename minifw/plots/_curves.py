"""Learning curves."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from minifw._tools.checks import describe
from minifw.plots._drawing import (
    BLUE,
    LEGEND,
    ORANGE,
    Axes,
    AxesLike,
    Figure,
    Path,
    axes_for,
    finish,
    open_up,
)

OWNER = "plots.learning_curves"
TIMES = ("epoch", "step", "iteration")  # columns that are no curve, but count
VALIDATION = "val_"
POINTS = 40  # up to which each value is marked

Numbers: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"


def learning_curves(
    history: Any,
    path: Path = None,
    *,
    columns: Sequence[str] | None = None,
    ax: AxesLike = None,
    time: str | None = None,
    log: bool = False,
) -> "Figure":
    """Draw losses and metrics over training, a panel for each; validation beside training.

    Parameters
    ----------
    history : mapping of str to sequence, or sequence
        The curves by name, all of one length, such as a `History` (which is
        taken by its ``to_dict``). "val_loss" is drawn beside "loss". A column "epoch",
        "step" or "iteration" has the times. A sequence of numbers alone is a cost.
    path : str or path, optional
        The file to write.
    columns : sequence of str, optional
        Which curves, a panel for each, such as ``["loss"]``; the validation is drawn beside
        it. All, by default.
    ax : Axes or sequence of Axes, optional
        Where to draw; one for each panel.
    time : str, optional
        What the x axis counts. Default: the column that has the times; else "epoch",
        and "iteration" for a sequence.
    log : bool, default False
        Whether the y axis is logarithmic.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError
        If there are no curves, they differ in length, or are not numbers.

    Notes
    -----
    The lowest validation loss is marked. What is not finite is left out.

    Examples
    --------
    >>> from minifw import plots
    >>> history = {"loss": [0.7, 0.4, 0.2], "val_loss": [0.7, 0.5, 0.6]}
    >>> figure = plots.learning_curves(history)  # doctest: +SKIP
    """
    times, curves, name = _read(history)
    beside = {VALIDATION + one for one in curves}  # drawn with the curve of training
    names = [one for one in curves if one not in beside]
    if columns is not None:
        unknown = [one for one in columns if one not in curves]
        if isinstance(columns, str) or unknown or not columns:
            raise ValueError(
                f"{OWNER} expects columns to be a list of some of {', '.join(curves)}, got "
                f"{columns!r}"
            )
        names = list(columns)
    height = 2.0 + 2.2 * len(names)
    figure, panels = axes_for("learning_curves", ax, (7.0, height), (len(names), 1), share_x=True)
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 - optional

    known: set[str] = set()
    for panel, one in zip(panels, names, strict=True):
        _draw(panel, times, curves, one)
        panel.set_ylabel(one.removeprefix(VALIDATION).replace("_", " "))
        if log:
            panel.set_yscale("log")
        _explain(panel, known)
        open_up(panel)
        panel.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    panels[-1].set_xlabel(time or name)
    figure.align_ylabels(panels)
    return finish(figure, path)


def _draw(panel: "Axes", times: Numbers, curves: Mapping[str, Numbers], name: str) -> None:
    marker = "o" if len(times) <= POINTS else ""
    style: dict[str, Any] = {"marker": marker, "markersize": 4, "linewidth": 1.8}
    other = VALIDATION + name
    paired = other in curves
    training = not name.startswith(VALIDATION)
    panel.plot(times, curves[name], color=BLUE if training else ORANGE, label="training", **style)
    values = curves[other] if paired else curves[name]
    if paired:
        panel.plot(times, values, color=ORANGE, label="validation", linestyle="--", **style)
    if (paired or not training) and "loss" in name and np.isfinite(values).any():
        best = int(np.nanargmin(np.where(np.isfinite(values), values, np.nan)))
        label = f"lowest: {values[best]:.4g} at {times[best]:g}"
        ring: dict[str, Any] = {"facecolors": "none", "edgecolors": ORANGE, "linewidths": 1.6}
        panel.scatter([times[best]], [values[best]], s=90, zorder=5, label=label, **ring)
    if len(times) > 1:
        pad = 0.02 * (times[-1] - times[0]) if marker else 0.0  # for whole marks at the ends
        panel.set_xlim(times[0] - pad, times[-1] + pad)


def _explain(panel: "Axes", known: set[str]) -> None:
    """Put a legend above, of what the panels before have not explained."""
    handles, labels = panel.get_legend_handles_labels()
    new = [i for i, label in enumerate(labels) if label not in known]
    if len(labels) > 1 and new:
        of_these = [handles[i] for i in new], [labels[i] for i in new]
        panel.legend(*of_these, ncols=3, fontsize=10, **LEGEND)
        known.update(labels)


def _read(history: Any) -> tuple[Numbers, dict[str, Numbers], str]:
    """Return the times, the curves, and what the times count."""
    if hasattr(history, "to_dict"):
        history = history.to_dict()
    name, first = "epoch", 1
    if not isinstance(history, Mapping):
        if isinstance(history, str | bytes) or not isinstance(history, Sequence | np.ndarray):
            raise TypeError(
                f"{OWNER} expects a history, a mapping of names to values, got {describe(history)}"
            )
        history, name, first = {"cost": history}, "iteration", 0
    curves = {str(key): _curve(key, values) for key, values in history.items()}
    lengths = {key: len(curve) for key, curve in curves.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"{OWNER} expects curves of one length, got {lengths}")
    counting = next((column for column in TIMES if column in curves), None)
    times = None
    if counting is not None and len(curves) > 1:
        name, times = counting, curves.pop(counting)
    if not curves or not max(lengths.values()):
        raise ValueError(f"{OWNER} expects at least one curve with one value, got none")
    if times is None:
        times = np.arange(first, first + max(lengths.values()), dtype=np.float64)
    return times, curves, name


def _curve(name: object, values: Any) -> Numbers:
    try:
        curve = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{OWNER} expects {name!r} to hold numbers, got {values!r}") from None
    if curve.ndim != 1:
        raise ValueError(f"{OWNER} expects {name!r} to be one number a time, got {curve.shape}")
    return curve
