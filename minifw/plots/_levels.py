"""A Graph as boxes, one for each line, in levels from the inputs down."""

from itertools import pairwise
from typing import Any, TypeAlias

from minifw.layers import Graph
from minifw.plots._drawing import BLUE, GREY, INK, ORANGE, Axes, Figure, Path, axes_for, finish

WIDE, HIGH = 1.9, 0.52  # inches of a box
GAP, LEVEL = 0.25, 0.92  # inches between boxes, and from level to level
LONGEST = 24  # characters of a layer's repr that a box holds

Place: TypeAlias = tuple[str, int]
"""The name of a line or input, and a level: its own, or one that its value passes."""
Ways: TypeAlias = dict[tuple[Place, ...], str]
"""What is said of each way: from a giver, by the places that its value passes, to a taker."""


def draw_graph(model: Graph, path: Path, ax: "Axes | None") -> "Figure":
    """Draw each line as a box; a value that skips levels passes beside the boxes there."""
    levels, ways = _levels(model)
    places = _places(levels, ways)
    xs = [x for x, _ in places.values()]
    low = min(y for _, y in places.values())
    margin = WIDE / 2 + 0.1, HIGH / 2 + 0.1
    size = max(xs) - min(xs) + 2 * margin[0], 2 * margin[1] - low
    figure, (plane,) = axes_for("network", ax, size)
    plane.set(xlim=(min(xs) - margin[0], max(xs) + margin[0]), aspect="equal")
    plane.set_ylim(low - margin[1], margin[1])
    plane.axis("off")
    for way, text in ways.items():
        _draw_way(plane, [places[place] for place in way], text)
    outputs = {value.partition(".")[0] for value in model._gives}
    for name, level in levels.items():
        layer = None if name in model.input_names else model[name]
        text = "input" if layer is None else repr(layer)
        text = text if len(text) <= LONGEST else f"{type(layer).__name__}(...)"
        color = BLUE if layer is None else ORANGE if name in outputs else GREY
        _draw_box(plane, places[name, level], (name, text), color)
    return finish(figure, path)


def _levels(model: Graph) -> tuple[dict[str, int], Ways]:
    """Return the level of each name, and the ways with the outputs that they carry."""
    levels = dict.fromkeys(model.input_names, 0)
    ways: Ways = {}
    for line in model._lines:  # a line takes values above it
        name = line.makes[0].partition(".")[0]
        taken = {value: value.partition(".")[0] for value in line.takes if value is not None}
        levels[name] = 1 + max(levels[giver] for giver in taken.values())
        for value, giver in taken.items():
            passed = [(giver, level) for level in range(levels[giver], levels[name])]
            way = *passed, (name, levels[name])
            said = ways.get(way), value.partition(".")[2]  # of a layer of several outputs
            ways[way] = ", ".join(filter(None, said))
    return levels, ways


def _places(levels: dict[str, int], ways: Ways) -> dict[Place, tuple[float, float]]:
    """Return where the middles are: below the boxes that give, and beside each other."""
    above: dict[Place, list[Place]] = {(name, level): [] for name, level in levels.items()}
    for way in ways:
        for one, two in pairwise(way):
            above.setdefault(two, []).append(one)
    places: dict[Place, tuple[float, float]] = {}
    for level in range(max(levels.values()) + 1):
        wanted: dict[Place, float] = {}
        for place, givers in above.items():
            if place[1] == level:
                near = [one for one in givers if levels[one[0]] == level - 1] or givers
                xs = [places[one][0] for one in near] or [0.0]
                wanted[place] = sum(xs) / len(xs)
        right, found = -1e9, dict[Place, float]()
        for place in sorted(wanted, key=lambda place: wanted[place]):
            half = WIDE / 2 if levels[place[0]] == level else 0.0
            found[place] = max(wanted[place], right + GAP + half)
            right = found[place] + half
        boxes = [place for place in found if levels[place[0]] == level]
        shift = sum(found[place] - wanted[place] for place in boxes) / len(boxes)
        places |= {place: (x - shift, -LEVEL * level) for place, x in found.items()}
    return places


def _draw_way(plane: "Axes", points: list[tuple[float, float]], text: str) -> None:
    """Draw the way of a value, from below its giver to its taker, around the boxes between."""
    from matplotlib.patches import FancyArrowPatch  # noqa: PLC0415 - optional
    from matplotlib.path import Path as Curve  # noqa: PLC0415

    x, y = points[0]
    vertices, codes = [(x, y - HIGH / 2)], [Curve.MOVETO]
    for x2, y2 in points[1:]:
        top, bottom = y - HIGH / 2, y2 + HIGH / 2
        middle = (top + bottom) / 2
        vertices += [(x, middle), (x2, middle), (x2, bottom), (x2, y2 - HIGH / 2)]
        codes += [Curve.CURVE4] * 3 + [Curve.LINETO]
        x, y = x2, y2
    curve = Curve(vertices[:-1], codes[:-1])  # the last one ends above its box
    style: Any = {"arrowstyle": "-|>", "mutation_scale": 11, "lw": 1.2, "color": GREY}
    plane.add_patch(FancyArrowPatch(path=curve, shrinkA=0, shrinkB=0, **style))
    if text:
        (x, y), (x2, y2) = points[:2]
        style = {"ha": "center", "va": "center", "size": 9, "color": INK}
        back = {"fc": "white", "ec": "none", "pad": 0.5}
        plane.text((x + x2) / 2, (y + y2) / 2, text, bbox=back, **style)


def _draw_box(plane: "Axes", at: tuple[float, float], lines: tuple[str, str], color: str) -> None:
    from matplotlib.patches import FancyBboxPatch  # noqa: PLC0415 - optional

    pad = 0.06
    corner = at[0] - WIDE / 2 + pad, at[1] - HIGH / 2 + pad
    style: Any = {"boxstyle": f"round,pad={pad}", "fc": "white", "ec": color, "lw": 1.6}
    plane.add_patch(FancyBboxPatch(corner, WIDE - 2 * pad, HIGH - 2 * pad, **style, zorder=2))
    style = {"ha": "center", "va": "center", "color": INK, "zorder": 3}
    plane.text(at[0], at[1] + 0.1, lines[0], size=11, weight="bold", **style)
    plane.text(at[0], at[1] - 0.11, lines[1], size=9, **style)
