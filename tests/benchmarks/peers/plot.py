"""The picture of the results: a panel for each workload, minifw as 1."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from peers.report import DATA, Result, Results, title_of, with_tables

__all__ = ["draw"]

PICTURE = "benchmarks.png"
COLUMNS = 2
OURS, THEIRS, BOUND, INK = "#d1495b", "#7a9cc6", "#c9c9c9", "#333333"
BOUNDS = ("floor", "hand")  # what no framework is; drawn in grey
BAR = 0.27  # inches, with its gap
HEAD = 0.85  # inches for the title and the axis of a panel


def draw(stored: Results) -> Path:
    """Draw the first machine's panels into docs/images/benchmarks.png, and return its path."""
    results = next(iter(stored.values()))
    keys = with_tables(results)
    left, right = _columns(keys, results)
    heights = [
        sum(HEAD + BAR * len(results[key]["rows"]) for key in column) for column in (left, right)
    ]
    height = max(heights) + 0.7
    with mpl.rc_context({"font.size": 9, "font.family": "DejaVu Sans", "text.color": INK}):
        figure = Figure(figsize=(13, height), dpi=90)
        figure.text(
            0.02,
            1 - 0.3 / height,
            "Times of a step, minifw = 1 (longer bars are slower; logarithmic)",
            fontsize=13,
            weight="bold",
            va="center",
        )
        for column, panels in enumerate((left, right)):
            top = height - 0.7
            for key in panels:
                rows = results[key]["rows"]
                size = BAR * len(rows)
                axes = figure.add_axes(
                    (
                        0.16 + 0.5 * column,
                        (top - 0.3 - size) / height,
                        0.32,
                        size / height,
                    )
                )
                _panel(axes, key, rows)
                top -= HEAD + size
        path = DATA.parent / "images" / PICTURE
        figure.savefig(path)
    return path


def _columns(keys: list[str], results: Mapping[str, Result]) -> tuple[list[str], list[str]]:
    """Part the panels, in order, where both columns are about as high."""
    sizes = [HEAD + BAR * len(results[key]["rows"]) for key in keys]
    splits = range(len(keys) + 1)
    at = min(splits, key=lambda n: max(sum(sizes[:n]), sum(sizes[n:])))
    return keys[:at], keys[at:]


def _panel(axes: Any, key: str, rows: list[dict[str, Any]]) -> None:
    rows = sorted(rows, key=lambda row: -row["median"])  # the quickest is on top
    ratios = [row["ratio"] for row in rows]
    least = min(*ratios, 1.0) / 1.25  # where all bars begin
    for place, row in enumerate(rows):
        own = row["name"] == "minifw"
        colour = OURS if own else BOUND if row["name"] in BOUNDS else THEIRS
        axes.barh(place, row["ratio"] - least, left=least, height=0.72, color=colour)
        number = f"{row['ratio']:.2f}" if row["ratio"] < 10 else f"{row['ratio']:.0f}"
        axes.annotate(
            number,
            (row["ratio"], place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            weight="bold" if own else "normal",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
        )
    axes.axvline(1, color=OURS, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    axes.set_xscale("log")
    axes.set_xlim(least, max(ratios) * (max(ratios) / least) ** 0.12)
    axes.set_yticks(range(len(rows)), [row["label"] for row in rows])
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_weight("bold" if row["name"] == "minifw" else "normal")
    axes.xaxis.set_major_locator(mpl.ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(mpl.ticker.FormatStrFormatter("%g"))
    axes.xaxis.set_minor_locator(mpl.ticker.NullLocator())
    axes.tick_params(length=0, colors=INK)
    axes.tick_params(axis="x", labelsize=7.5, pad=1)
    axes.spines[:].set_visible(False)
    axes.set_title(title_of(key), loc="left", fontsize=9.5, weight="bold", pad=4, x=-0.44)
