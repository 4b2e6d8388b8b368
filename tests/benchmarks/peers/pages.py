"""What the pages say of speed, from docs/benchmarks.json: tables, marked numbers and claims.

A number is marked by a comment right behind it, which a reader does not see:

- ``7<!-- W1 torch -->`` is the ratio of PyTorch's time to minifw's in W1;
- ``0.4<!-- W8-mlp-64 torch inverse -->`` is minifw's time by PyTorch's;
- ``76<!-- W3 floor percent -->`` is the ratio in per cent;
- ``59<!-- W1 minifw us -->`` is a median, here in microseconds.

`write` puts them there with as many digits as stand there. ``<!-- claim: W6-28 torch > 1 -->``
stands beside words such as "quicker". A test holds both against the file. The first machine of
the file counts.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from peers.report import (
    COMPARED,
    DATA,
    PREDICTING,
    TRAINING,
    Result,
    Results,
    compared,
    markdown,
    page,
    pieces,
    settings,
)

__all__ = ["faults", "pages", "refreshed", "write"]

ROOT = Path(__file__).parents[3]
UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "MB": 1e6}
NUMBER = re.compile(
    r"(\d+(?:\.(\d+))?)(<!-- (W[\w-]+) ([\w-]+)(?: (us|ms|s|MB|percent|inverse))? -->)"
)
CLAIM = re.compile(r"<!-- claim: (W[\w-]+) ([\w-]+) ([<>]) ([\d.]+) -->")


def pages() -> list[Path]:
    """Return every page that may name a figure."""
    docs = [path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts]
    return sorted([*ROOT.glob("README*.md"), *docs])


def write(stored: Results) -> None:
    """Store the results, and bring all pages up to date."""
    DATA.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    for path in pages():
        text = path.read_text(encoding="utf-8")
        path.write_text(refreshed(text, stored), encoding="utf-8")


def refreshed(text: str, stored: Results) -> str:
    """Return a page with the tables and the numbers that belong there now."""
    results = next(iter(stored.values()))
    for name, make in SECTIONS.items():
        start, end = f"<!-- {name}: start -->", f"<!-- {name}: end -->"
        if start in text:
            before, _, rest = text.partition(start)
            text = f"{before}{start}\n\n{make(stored)}\n{end}{rest.partition(end)[2]}"

    def number(found: re.Match[str]) -> str:
        written, decimals, mark, *words = found.groups()
        value = _value(results, *words)
        digits = len(decimals or "")
        return written + mark if value is None else f"{value:.{digits}f}{mark}"

    return NUMBER.sub(number, text)


def faults(text: str, stored: Results) -> Iterator[str]:
    """Yield what a page says and the file does not give."""
    results = next(iter(stored.values()))
    for _, _, mark, *words in NUMBER.findall(text):
        if _value(results, *words) is None:
            yield f"{mark} was not measured"
    for workload, name, sign, bound in CLAIM.findall(text):
        value = _value(results, workload, name)
        if value is None or not (value < float(bound) if sign == "<" else value > float(bound)):
            yield f"{workload} {name} is {value}, not {sign} {bound}"


def _value(
    results: Mapping[str, Result], workload: str, name: str, unit: str | None = None
) -> float | None:
    """Return what a mark asks for, if it was measured."""
    rows = results[workload]["rows"] if workload in results else []
    row = next((row for row in rows if row["name"] == name), None)
    if row is None:
        return None
    if unit in UNITS:
        return float(row["median"]) / UNITS[unit]
    ratio = float(row["ratio"])
    return {"inverse": 1 / ratio, "percent": 100 * ratio}.get(unit or "", ratio)


def _compared(workloads: tuple[str, ...]) -> Callable[[Results], str]:
    """Return what makes a table of ratios on the first machine."""
    return lambda stored: "\n".join([*compared(next(iter(stored.values())), workloads), ""])


def _processes(stored: Results) -> str:
    rows = next(iter(stored.values()))["W7"]["rows"]
    named = {row["name"]: row for row in rows}
    lines = [
        [
            label,
            f"{named[name]['extra']['import']:.2f} s",
            *(f"{named[name]['extra'][key]:.0f} MB" for key in ("memory", "size")),
        ]
        for name, label in {"minifw": "minifw", **COMPARED}.items()
        if name in named and name not in {"notes", "hand", "torch-compile", "jax-loop"}
    ]
    return "\n".join([*markdown(["", "import", "resident", "installed"], lines), ""])


def _pieces(workload: str, *head: str, inverse: bool) -> Callable[[Results], str]:
    """Return what makes the table of W9 or W10, and says where it was measured."""

    def make(stored: Results) -> str:
        machine, results = next(iter(stored.items()))
        lines = pieces(results, workload, head, inverse=inverse)
        return "\n".join([*lines, f"{machine}. {settings(results, workload)}\n"])

    return make


SECTIONS: dict[str, Callable[[Results], str]] = {
    "compare.py": page,
    "training": _compared(TRAINING),
    "predictions": _compared(PREDICTING),
    "processes": _processes,
    "advice": _pieces("W9", "so", "without", "times as fast (quartiles)", inverse=False),
    "limits": _pieces("W10", "minifw", "the other", "ratio (quartiles)", inverse=True),
}
