"""Draws the house: the floors of docs/architecture.md, and the imports between its rooms.

    .venv/bin/python tests/support/draw_house.py

It writes the arrows of the flowchart on that page, and the same picture into docs/images, for
pages that do not draw a flowchart. An import that others imply is left out.
"""

import math
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from house import PAGE, ROOT, Arrows, drawing, floors, real_arrows

PICTURE = ROOT / "docs" / "images" / "house.svg"

WIDTH, FLOOR, BOX, LEFT = 11.0, 0.88, 0.4, 0.3  # inches: of all, of a floor, of a room's height
LETTER, PADDING = 0.093, 0.26  # inches: a letter of a room's name, and what is beside it
GAP = 0.2  # inches: between what stands side by side
SWEEPS = 60  # of ordering each floor by what it is tied to
BETWEEN = "|"  # begins the name of a place where an arrow passes a floor

GROUPS = (  # fill, line, and the rooms, by how they begin; the first that fits
    ("#e8eef7", "#3b5f92", "the contracts and what they stand on", ("core", "_engine", "_tools")),
    (
        "#fdf0dc",
        "#b07a1f",
        "what the user composes",
        ("layers", "losses", "optimizers", "initializers"),
    ),
    ("#e6f3ea", "#37794e", "what trains", ("training", "callbacks", "schedules", "metrics")),
    ("#f3f3f3", "#6b6b6b", "all else", ("",)),
)


def described(found: Arrows) -> str:
    """Return the arrows as text: what the file says of itself, and the test compares."""
    return "; ".join(f"{room} > {other}" for room, other in sorted(found))


def routes(found: Arrows) -> dict[tuple[str, str], list[str]]:
    """Return what each arrow goes through: a place of its own on every floor between."""
    height = heights()
    return {
        (room, other): [
            room,
            *(f"{BETWEEN}{room} > {other}, {k}" for k in range(height[room] + 1, height[other])),
            other,
        ]
        for room, other in found
    }


def heights() -> dict[str, int]:
    """Return the floor of every room, counted from the top."""
    return {room: index for index, floor in enumerate(floors()) for room in floor}


def ordered(ways: list[list[str]]) -> list[dict[str, float]]:
    """Return the middles of all places, floor by floor, each near what it is tied to."""
    rows = [sorted(floor) for floor in floors()]
    height = heights()
    ties: dict[str, list[str]] = {room: [] for row in rows for room in row}
    for way in ways:
        for step, (upper, lower) in enumerate(pairwise(way)):
            if lower not in ties:
                ties[lower] = []
                rows[height[way[0]] + step + 1].append(lower)
            ties[upper].append(lower)
            ties[lower].append(upper)
    place = {name: x for row in rows for name, x in _spread(row).items()}
    for _ in range(SWEEPS):
        for row in (*rows, *reversed(rows)):
            goal = {
                name: sum(place[near] for near in ties[name]) / len(ties[name])
                if ties[name]
                else place[name]
                for name in row
            }
            row.sort(key=lambda name: (goal[name], name))
            place |= _spread(row, goal)
    shift = (WIDTH - max(place.values()) - min(place.values())) / 2
    return [{name: place[name] + shift for name in row} for row in rows]


def _spread(row: list[str], goal: dict[str, float] | None = None) -> dict[str, float]:
    """Return the middles of what stands on a floor: as near to its goal as there is room."""
    widths = [_wide(name) + GAP for name in row]
    if goal is None:
        x = (WIDTH - sum(widths)) / 2
        goal = {}
        for name, width in zip(row, widths, strict=True):
            goal[name] = x + width / 2
            x += width
    pushed = _pushed(row, widths, goal, 1), _pushed(row[::-1], widths[::-1], goal, -1)
    return {name: (pushed[0][name] + pushed[1][name]) / 2 for name in row}


def _pushed(
    row: list[str], widths: list[float], goal: dict[str, float], way: int
) -> dict[str, float]:
    """Return middles in which nothing overlaps: to the right (way 1) or left of their goals."""
    middles: dict[str, float] = {}
    edge = -math.inf
    for name, width in zip(row, widths, strict=True):
        at = max(way * goal[name], edge + width / 2)
        middles[name] = way * at
        edge = at + width / 2
    return middles


def _wide(name: str) -> float:
    return 0.0 if name.startswith(BETWEEN) else LETTER * len(name) + PADDING


def _group(room: str) -> tuple[str, str]:
    return next((fill, line) for fill, line, _, starts in GROUPS if room.startswith(starts))


def draw(path: Path) -> None:
    """Write the picture."""
    import matplotlib as mpl  # noqa: PLC0415 - optional
    from matplotlib.figure import Figure  # noqa: PLC0415
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle  # noqa: PLC0415
    from matplotlib.path import Path as MplPath  # noqa: PLC0415

    found = real_arrows()
    ways = [way for _, way in sorted(routes(found).items())]
    rows = ordered(ways)
    height = FLOOR * len(rows) + 0.5
    figure = Figure(figsize=(WIDTH, height))
    axes: Any = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(0, height), aspect="equal")
    axes.axis("off")
    place: dict[str, tuple[float, float]] = {}
    for index, row in enumerate(rows):
        y = height - FLOOR * (index + 0.5) - 0.05
        if index % 2 == 0:
            axes.add_patch(
                Rectangle((0, y - FLOOR / 2), WIDTH, FLOOR, color="#f8f8f8", zorder=0, lw=0)
            )
        place |= {name: (x, y) for name, x in row.items()}
    for way in ways:
        points = [place[name] for name in way]
        corners, codes = [(points[0][0], points[0][1] - BOX / 2)], [MplPath.MOVETO]
        for (x, y), (x2, y2) in pairwise(points):
            start, end = y - BOX / 2, y2 + BOX / 2
            bend = (start - end) * 0.55
            corners += [(x, start - bend), (x2, end + bend), (x2, end), (x2, y2 - BOX / 2)]
            codes += [MplPath.CURVE4] * 3 + [MplPath.LINETO]
        axes.add_patch(
            FancyArrowPatch(
                path=MplPath(corners[:-1], codes[:-1]),  # not through the last room
                arrowstyle="-|>",
                mutation_scale=9,
                color=_group(way[0])[1],
                alpha=0.6,
                lw=1.1,
                zorder=1,
            )
        )
    place = {name: at for name, at in place.items() if not name.startswith(BETWEEN)}
    for room, (x, y) in place.items():
        fill, line = _group(room)
        wide = _wide(room)
        axes.add_patch(
            FancyBboxPatch(
                (x - wide / 2, y - BOX / 2),
                wide,
                BOX,
                boxstyle="round,pad=0,rounding_size=0.1",
                fc=fill,
                ec=line,
                lw=1.2,
                zorder=2,
            )
        )
        axes.text(x, y, room, ha="center", va="center", fontsize=10.5, color="#222222", zorder=3)
    x = LEFT
    for fill, line, text, _ in GROUPS:
        axes.add_patch(Rectangle((x, 0.13), 0.22, 0.16, fc=fill, ec=line, lw=1.0))
        axes.text(x + 0.32, 0.21, text, va="center", fontsize=9, color="#444444")
        x += 0.7 + 0.078 * len(text)
    with mpl.rc_context({"svg.hashsalt": "house"}):  # the same file each time
        figure.savefig(
            path, metadata={"Date": None, "Description": described(found)}, facecolor="white"
        )


def is_current(path: Path) -> bool:
    """Return whether the picture shows the imports as they are."""
    return escape(described(real_arrows())) in path.read_text(encoding="utf-8")


def write_arrows() -> None:
    """Write the arrows of the flowchart."""
    old = drawing()
    below: dict[str, list[str]] = {}
    for room, other in sorted(real_arrows()):
        below.setdefault(room, []).append(other)
    lines = [
        f"    {room} --> {' & '.join(below[room])}"
        for floor in floors()
        for room in floor
        if room in below
    ]
    boxes = old[: old.rindex("    end\n")] + "    end\n"
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(page.replace(old, boxes + "\n".join(lines) + "\n"), encoding="utf-8")


if __name__ == "__main__":
    write_arrows()
    draw(PICTURE)
    print(f"wrote the arrows of {PAGE.relative_to(ROOT)}, and {PICTURE.relative_to(ROOT)}")
