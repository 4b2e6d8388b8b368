"""Flowcharts in Mermaid, drawn as SVG: the site loads no script to draw them.

GitHub draws them itself. This is the part of Mermaid that the pages use: each `subgraph` is a row
of boxes, with its label at the left, and arrows lead down. Arrows to one box share their way
through the rows between.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

__all__ = ["drawn", "parsed", "setup"]

ROW, BOX, TOP = 66, 26, 17  # pixels: the height of a row, of a box, and where a box begins
LETTER, SPACE = 8.0, 16
LABEL_LETTER = 6.0  # of a label, which is smaller
Place = tuple[int, str]  # a row, and the box that is there or that an arrow through it leads to
Step = tuple[Place, Place]  # an arrow, from one row to the next

_LINE = re.compile(
    r'flowchart TB|end|subgraph \w+ \["(?P<label>[^"<&]+)"\]'
    r"|(?P<start>\w+) --> (?P<ends>\w+(?: & \w+)*)|(?P<box>\w+)"
)


def parsed(text: str) -> tuple[dict[str, list[str]], list[tuple[str, str]]]:
    r"""Return the boxes of each row by its label, and the arrows.

    Examples
    --------
    >>> parsed('flowchart TB\nsubgraph a ["above"]\nx\nend\nsubgraph b ["below"]\ny\nend\nx --> y')
    ({'above': ['x'], 'below': ['y']}, [('x', 'y')])
    """
    rows: dict[str, list[str]] = {}
    arrows: list[tuple[str, str]] = []
    for line in map(str.strip, text.strip().splitlines()):
        match = _LINE.fullmatch(line)
        if not match:
            raise ValueError(f"docs/_ext/flowchart.py cannot draw the line {line!r}")
        if match["label"]:
            rows[match["label"]] = []
        elif match["start"]:
            arrows += [(match["start"], end) for end in match["ends"].split(" & ")]
        elif match["box"]:
            rows[list(rows)[-1]].append(match["box"])
    return rows, arrows


def side_by_side(wish: dict[Place, float], rows: Sequence[Sequence[str]]) -> dict[Place, float]:
    """Return places near the wished ones, in their order, that leave room for each box."""
    row = list(wish)
    apart = [width(p, rows) / 2 + SPACE + width(q, rows) / 2 for p, q in pairwise(row)]
    right = list(wish.values())
    left = list(right)
    for i, gap in enumerate(apart):
        right[i + 1] = max(right[i + 1], right[i] + gap)
    for i, gap in reversed(list(enumerate(apart))):
        left[i] = min(left[i], left[i + 1] - gap)
    return {p: (a + b) / 2 for p, a, b in zip(row, left, right, strict=True)}


def width(place: Place, rows: Sequence[Sequence[str]]) -> float:
    """Return the width of a box: 0 where an arrow passes."""
    return LETTER * len(place[1]) + 20 if place[1] in rows[place[0]] else 0.0


def arranged(rows: Sequence[Sequence[str]], steps: Sequence[Step]) -> dict[Place, float]:
    """Return how far right the middle of each place is: again and again between its neighbours."""
    boxes = [(index, name) for index, row in enumerate(rows) for name in row]
    near: dict[Place, list[Place]] = {
        p: [] for p in [*boxes, *(p for step in steps for p in step)]
    }
    for upper, lower in steps:
        near[upper].append(lower)
        near[lower].append(upper)
    at = {place: 100.0 * i for i, place in enumerate(sorted(near, key=lambda place: place[0]))}
    turns = 60
    for turn in range(turns):
        for index in range(len(rows))[:: 1 if turn % 2 else -1]:
            row = sorted((p for p in near if p[0] == index), key=at.__getitem__)
            wish = {p: sum(at[q] for q in near[p]) / max(len(near[p]), 1) for p in row}
            if turn < turns // 2:  # then the order is settled
                wish = dict(sorted(wish.items(), key=lambda item: item[1]))
            at |= side_by_side(wish, rows)
    return at


def drawn(text: str) -> str:
    """Return the SVG of a flowchart; site.css has its colours."""
    labelled, arrows = parsed(text)
    rows = list(labelled.values())
    row_of = {name: index for index, row in enumerate(rows) for name in row}
    steps: list[Step] = []
    for start, end in arrows:
        through = [(index, end) for index in range(row_of[start] + 1, row_of[end] + 1)]
        steps += pairwise([(row_of[start], start), *through])
    steps = list(dict.fromkeys(steps))
    at = arranged(rows, steps)
    left = min(x - width(p, rows) / 2 for p, x in at.items()) - SPACE
    left -= LABEL_LETTER * max(map(len, labelled))  # no arrow crosses a label
    at = {p: round(x - left) for p, x in at.items()}
    wide = round(max(x + width(p, rows) / 2 for p, x in at.items())) + SPACE
    svg = [
        f'<rect class="row" y="{ROW * i}" width="{wide}" height="{ROW - 6}" rx="6"/>'
        f'<text class="label" x="8" y="{ROW * i + TOP + 17}">{label}</text>'
        for i, label in enumerate(labelled)
    ]
    for upper, lower in steps:
        x, y, u, v = at[upper], ROW * upper[0] + TOP, at[lower], ROW * lower[0] + TOP
        begins = f"M{x} {y + BOX * (upper[1] in rows[upper[0]])}V{y + BOX + 3}"
        ends = "m-4 -7 4 7 4 -7" * (lower[1] in rows[lower[0]])
        middle = (y + BOX + v) / 2
        svg.append(f'<path d="{begins}C{x} {middle} {u} {middle} {u} {v - 5}V{v}{ends}"/>')
    for place, x in at.items():
        y, box = ROW * place[0] + TOP, width(place, rows)
        if box:
            svg.append(
                f'<rect x="{x - box / 2}" y="{y}" width="{box}" height="{BOX}" rx="4"/>'
                f'<text x="{x}" y="{y + 17}">{place[1]}</text>'
            )
    size = f'viewBox="0 0 {wide} {ROW * len(rows) - 6}" style="max-width: {wide}px"'
    return f'<div class="flowchart"><svg role="img" {size}>{"".join(svg)}</svg></div>'


def draw(app: "Sphinx", doctree: Any, page: str) -> None:
    """Put the picture in the place of the text."""
    from docutils import nodes  # noqa: PLC0415 - of the docs extra

    del page
    for block in list(doctree.findall(nodes.literal_block)):
        if block.get("language") == "mermaid" and app.builder.format == "html":
            block.replace_self(nodes.raw("", drawn(block.astext()), format="html"))


def setup(app: "Sphinx") -> dict[str, bool]:
    """Draw before a page is written."""
    app.connect("doctree-resolved", draw)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
