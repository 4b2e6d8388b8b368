"""Text in tables: as plain text, and as HTML for a notebook; and how numbers stand in it."""

from collections.abc import Sequence

GAP = "  "  # between columns
RULE = "-"

# Colours come from the notebook, light or dark; only lines are drawn, in a grey between.
_LINE = "1px solid rgba(128, 128, 128, 0.5)"
_CELL = "padding: 0.2em 0.8em; white-space: pre; vertical-align: top"
_MONO = "font-family: ui-monospace, Menlo, Consolas, monospace"


class Table:
    """Rows of text under a header, in sections, with a last row of totals.

    Parameters
    ----------
    title : str
        The line above.
    header : sequence of str
        The names of the columns.
    align : str
        One letter a column: "l" for text, "r" for numbers.
    """

    def __init__(self, title: str, header: Sequence[str], align: str) -> None:
        self.title = title
        self.header = list(header)
        self.align = align
        self.sections: list[tuple[str, list[list[str]]]] = []
        self.totals: list[str] | None = None
        self.notes: list[str] = []

    def section(self, name: str) -> None:
        """Begin a section; without a name it has no heading."""
        self.sections.append((name, []))

    def add(self, *cells: str) -> None:
        """Add a row to the latest section."""
        if not self.sections:
            self.section("")
        self.sections[-1][1].append(list(cells))

    def text(self) -> str:
        """Return the table as lines of text, without blanks at their ends."""
        rows = [row for _, rows in self.sections for row in rows]
        every = [self.header, *rows, *([self.totals] if self.totals else [])]
        widths = _widths(every)
        rule = RULE * (sum(widths) + len(GAP) * (len(widths) - 1))
        lines = [self.title, "", _line(self.header, widths, self.align), rule]
        for index, (name, section) in enumerate(self.sections):
            if name:
                lines += [*([""] if index else []), name]
            lines += [_line(row, widths, self.align) for row in section]
        if self.totals:
            lines += [rule, _line(self.totals, widths, self.align)]
        if self.notes:
            lines += ["", *self.notes]
        return "\n".join(lines)

    def html(self) -> str:
        """Return the table as HTML that needs no style sheet."""
        from html import escape  # noqa: PLC0415 - a list of 2,000 entities, for notebooks alone

        def row(cells: Sequence[str], tag: str = "td", line: str = "") -> str:
            parts = []
            for cell, side in zip(cells, self.align, strict=True):
                where = "right" if side == "r" else "left"
                style = f"{_CELL}; text-align: {where}{line}"
                parts.append(f'<{tag} style="{style}">{escape(cell)}</{tag}>')
            return f'<tr style="background: none">{"".join(parts)}</tr>'

        body = []
        for name, section in self.sections:
            if name:
                style = f"{_CELL}; text-align: left; border-top: {_LINE}"
                heading = f'<th colspan="{len(self.header)}" style="{style}">{escape(name)}</th>'
                body.append(f'<tr style="background: none">{heading}</tr>')
            body += [row(cells) for cells in section]
        if self.totals:
            body.append(row(self.totals, "th", f"; border-top: {_LINE}"))
        head = row(self.header, "th", f"; border-bottom: {_LINE}")
        notes = "".join(f"<div>{escape(note)}</div>" for note in self.notes)
        return (
            f"<div><div><strong>{escape(self.title)}</strong></div>\n"
            f'<table style="{_MONO}; border-collapse: collapse; margin: 0.6em 0">\n'
            f"<thead>{head}</thead>\n<tbody>\n" + "\n".join(body) + "\n</tbody></table>\n"
            f"{notes}</div>"
        )


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a line for each row, in which numbers of one column end below each other."""
    widths = _widths(rows)
    return [_line(row, widths, "r" * len(widths)) for row in rows]


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def _line(cells: Sequence[str], widths: Sequence[int], align: str) -> str:
    padded = [
        cell.rjust(width) if side == "r" else cell.ljust(width)
        for cell, width, side in zip(cells, widths, align, strict=True)
    ]
    return GAP.join(padded).rstrip()


def shown(value: float) -> str:
    """Return a number as tables and lines show it: four decimals, or four digits."""
    size = abs(value)
    return f"{value:.4f}" if size == 0 or 1e-3 <= size < 1e5 else f"{value:.3e}"


def counted(number: int, noun: str) -> str:
    """Return "1 byte", "1,024 bytes"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
